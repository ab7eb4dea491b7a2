"""Does a story say what it says, and is everything else told with file, line and remedy, and never a traceback?

Effects: none
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenios.errors import XeniosError
from xenios.model.inventory import HypervisorKind, PowerState
from xenios.replay import parse
from xenios.replay.grammar import FORMS, SLOTS, forms_in_words
from xenios.replay.parse import parse_story
from xenios.replay.script import Act, Seat, Story

GIB = 1024**3
BEFORE = """\
pool xenserver 6.2
host h1 64 GiB
host h2 32 GiB keeps 2 GiB
vm web 8 GiB running on h1
vm old 4 GiB halted prefers h2 called "old web" ha
"""


def story(text: str, before: str = BEFORE) -> Story:
    return parse_story(before + text, "s.story")


def complaint(text: str, before: str = BEFORE) -> XeniosError:
    with pytest.raises(XeniosError) as raised:
        story(text, before)
    assert raised.value.remedy
    return raised.value


# --- what is understood ----------------------------------------------------------------------------------------------


def test_what_there_is() -> None:
    told = story("title = no\n00:00 manager connects\n".replace("title = no", "story  A # title"))
    assert told.title == "A # title"
    assert (told.kind, told.version, told.round_seconds) == (HypervisorKind.XENSERVER, "6.2", 60)
    assert [(host.name, host.memory_bytes, host.overhead_bytes) for host in told.hosts] == [
        ("h1", 64 * GIB, 0),
        ("h2", 32 * GIB, 2 * GIB),
    ]
    web, old = told.vms
    assert (web.handle, web.name, web.power_state, web.host) == ("web", "web", PowerState.RUNNING, "h1")
    assert (old.name, old.prefers, old.high_availability) == ("old web", "h2", True)
    assert (old.power_state, old.host, old.memory_bytes) == (PowerState.HALTED, None, 4 * GIB)


def test_times_lines_and_the_end() -> None:
    told = story(
        "round every 30 s\n00:00 manager connects # a remark\n\n# another\n01:02:03 guest web crashes\n"
        '100:00 administrator renames web to "a # b"\n'
    )
    assert [line.at_seconds for line in told.lines] == [0, 3_723, 360_000]
    assert [line.number for line in told.lines] == [7, 10, 11]
    assert told.lines[2].name == "a # b"
    assert told.lines[2].words == 'administrator renames web to "a # b"'
    assert told.end_seconds == 360_000 + 5 * 30
    assert story("00:00 manager connects\n00:30 end\n").end_seconds == 1_800


EXAMPLES = {
    "administrator creates NEW CLAUSES": "administrator creates n 4 GiB running on h1",
    "administrator clones VM as NEW CLAUSES": "administrator clones web as n",
    "administrator reverts VM to NAME": "administrator reverts web to kept",
    "manager deploys NEW CLAUSES": "manager deploys n 4 GiB running on h1 ha",
    "second manager deploys NEW CLAUSES": "second manager deploys n 4 GiB running on h1",
}


@pytest.mark.parametrize("form", tuple(forms_in_words()))
def test_each_form_is_understood(form: str) -> None:
    before = (
        "00:00 manager connects\n00:00 second manager connects\n00:01 manager deploys mine 1 GiB on h1\n"
        "00:01 second manager deploys theirs 1 GiB on h1\n00:01 administrator snapshots web as kept\n"
        "00:01 manager saves its database\n00:01 second manager saves its database\n"
        "00:01 manager saves its database as S\n00:01 second manager saves its database as S\n"
    )
    if form in ("manager connects", "second manager connects"):
        before = ""
    asked = "theirs" if form.startswith("second") else "mine"
    words = " ".join(
        {"VM": asked if "asked" in form else "web", "HOST": "h2", "NAME": "x", "SAVE": "S", "NEW": "n"}.get(
            word, word
        )
        for word in form.split()
    )
    told = story(f"{before}00:02 {EXAMPLES.get(form, words)}\n")
    (expected,) = (found for found in FORMS if " ".join(found.words) == form)
    if expected.act is Act.END:
        assert told.end_seconds == 120
    else:
        assert (told.lines[-1].act, told.lines[-1].seat) == (expected.act, expected.seat)


def test_a_copy_is_like_what_it_is_a_copy_of_and_a_deployed_vm_runs() -> None:
    told = story(
        "00:00 manager connects\n00:01 manager deploys shop 2 GiB on h2\n00:02 administrator clones web as c\n"
    )
    assert told.lines[1].new_vm is not None
    assert told.lines[1].new_vm.power_state is PowerState.RUNNING
    assert told.lines[1].seat is Seat.FIRST
    assert told.lines[2].new_vm is not None
    assert told.lines[2].new_vm.power_state is PowerState.HALTED


def test_no_form_hides_behind_another() -> None:
    assert len({form.words for form in FORMS}) == len(FORMS)
    for form in FORMS:
        assert "CLAUSES" not in form.words[:-1]
        assert form.words[0] not in SLOTS


# --- what is complained of -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says", "remedy"),
    [
        ("0:5 manager connects", "'0:5' is no time", "00:05"),
        ("00:65 manager connects", "'00:65' is no time", "00:05"),
        ("00:05", "a time, and nothing happens", "00:05 administrator"),
        ("999:00 manager connects", "more than 8 days", "shorter"),
        ("manager connects", "does not say when", "00:05 manager"),
        ("hots h3 4 GiB", "cannot begin with 'hots'", "did you mean 'host'?"),
        ("00:00 administartor starts web", "'administartor' means nothing", "did you mean 'administrator'?"),
        ("00:00 administrator strats web", "after 'administrator'", "did you mean 'starts'?"),
        ("00:00 administrator starts wbe", "no VM 'wbe'", "did you mean 'web'?"),
        ("00:00 administrator moves web to h3", "no host 'h3'", "'h1' or 'h2'"),
        ("00:00 administrator moves web", "says too little", "'to'"),
        ("00:00 administrator deletes web now", "'now' is too much", "take it away"),
        ("00:00 administrator starts web in h2", "'in' means nothing", "there may stand 'on'"),
        ("00:00 manager restarts", "before it is there", "manager connects"),
        ("00:00 manager connects\n00:01 manager connects", "connected already", "manager restarts"),
        ("00:00 manager connects\n00:01 manager is asked to stop web", "is no VM of the manager", "deployed"),
        (
            "00:00 manager connects\n00:01 manager restores its database",
            "no such database",
            "saves its database",
        ),
        ("00:00 administrator reverts web to s", "no snapshot 's'", "snapshots web as s"),
        ("00:02 administrator starts old\n00:01 administrator starts old", "before the line above", "order"),
        ("00:00 end\n00:01 administrator starts old", "after the end", "last"),
        ("00:00 administrator starts old\nhost h3 4 GiB", "after something has happened", "before"),
        ("00:00 administrator creates web 4 GiB on h1", "a VM 'web' already", "called web"),
        ("00:00 administrator creates x 4 on h1", "'4 on' is no size", "GiB"),
        ("00:00 administrator creates x 4 GB on h1", "'4 GB' is no size", "did you mean 'GiB'?"),
        ("00:00 administrator creates x", "a size is missing", "4 GiB"),
        ("00:00 administrator creates x 0 GiB on h1", "not a size", "4 GiB"),
        (
            "00:00 administrator creates x 4 GiB runing on h1",
            "'runing' means nothing",
            "did you mean 'running'?",
        ),
        ("00:00 administrator creates x 4 GiB running", "is on a host", "running on h1"),
        ("00:00 administrator creates x 4 GiB halted on h1", "on no host", "prefers h1"),
        ("00:00 administrator creates x 4 GiB running halted", "was said", "once"),
        ("00:00 administrator creates x 4 GiB on", "nothing follows 'on'", "4 GiB running on h1"),
        ("00:00 manager connects\n00:01 manager deploys x 4 GiB halted", "deploys VMs that run", "running"),
        ('00:00 administrator renames web to "a', "quotation mark", "both"),
        ('00:00 administrator renames web to ""', "names nothing", "name"),
        ("00:00 administrator renames web to a\x07", "U+0007", "take it away"),
        ("story", "followed by nothing", "sentence"),
        ("story a\nstory b", "two titles", "about"),
        ("pool kvm", "two pools", "one line"),
        ("round every 0 s", "'0' is no number", "round every 60 s"),
        ("round 60", "how often", "round every 60 s"),
        ("host h1 4 GiB", "a host 'h1' already", "something else"),
        ("host h3 4 GiB keeps 4 GiB", "keeps all", "host h1"),
        ("vm web 4 GiB halted", "a VM 'web' already", "called web"),
        ("#" * 500, "500 characters", "400"),
    ],
)
def test_a_complaint_names_the_line_and_the_remedy(text: str, says: str, remedy: str) -> None:
    error = complaint(text)
    number = len((BEFORE + text).splitlines())
    assert str(error).startswith(f"s.story, line {number}: ")
    assert says in str(error)
    assert remedy in error.remedy


def test_kvm_defines_each_vm_on_a_host() -> None:
    before = "pool kvm\nhost h1 64 GiB\n"
    told = story("vm web 4 GiB halted on h1\n00:00 guest web crashes\n", before)
    assert told.vms[0].host == "h1"
    assert "defined on a host" in str(complaint("vm web 4 GiB halted\n", before))
    assert "comes after its hosts" in str(complaint("pool kvm", "host h1 4 GiB\n"))


@pytest.mark.parametrize("text", ["", "# nothing\n", BEFORE, "00:00 manager connects\n"])
def test_half_a_story_is_none(text: str) -> None:
    with pytest.raises(XeniosError) as raised:
        parse_story(text, "s.story")
    assert "host" in str(raised.value) or "time" in str(raised.value)


def test_limits() -> None:
    with pytest.raises(XeniosError, match="characters"):
        parse_story("#" * (parse.CHARACTERS_MAX + 1), "s")
    with pytest.raises(XeniosError, match="lines"):
        parse_story("\n" * parse.LINES_MAX, "s")
    hosts = "".join(f"host h{number} 1 GiB\n" for number in range(parse.HOSTS_MAX + 1))
    assert "hosts" in str(complaint(hosts, ""))
    vms = "".join(f"vm v{number} 1 GiB running on h1\n" for number in range(parse.VMS_MAX + 1))
    assert "VMs" in str(complaint(vms))
    assert "too many" in str(complaint("round every 1 s\n99:00 manager connects\n"))


def test_stories_may_come_from_other_systems() -> None:
    assert len(parse_story((BEFORE + "00:00 manager connects\n").replace("\n", "\r\n"), "s").lines) == 1


# --- rubbish ---------------------------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    sorted(
        {word for form in FORMS for word in form.words}
        | {
            "story",
            "about",
            "pool",
            "round",
            "host",
            "vm",
            "every",
            "60",
            "s",
            "xenserver",
            "kvm",
            "6.2",
            "keeps",
        }
        | {
            "00:05",
            "00:10",
            "99:99",
            "h1",
            "h2",
            "web",
            "old",
            "4",
            "GiB",
            "-1",
            "running",
            "halted",
            "on",
            "#",
        }
        | {"prefers", "called", "ha", '"', '"a b"', "²", "９", "00:0٥", "1e9", "\x00", "\u202e", "é", "NEW"}
    )
)


@given(st.lists(st.lists(WORDS, max_size=9).map(" ".join), max_size=12).map("\n".join))
@settings(max_examples=400)
def test_words_in_any_order_never_end_in_a_traceback(text: str) -> None:
    told_or_complained(text)
    told_or_complained(BEFORE + text)


@given(st.text(max_size=300))
@settings(max_examples=200)
def test_rubbish_never_ends_in_a_traceback(text: str) -> None:
    told_or_complained(text)


@given(st.integers(0, 400), st.integers(0, 40), WORDS)
@settings(max_examples=200)
def test_a_story_with_a_piece_cut_out_or_put_in(start: int, length: int, word: str) -> None:
    whole = (
        BEFORE
        + "00:00 manager connects\n00:01 manager deploys x 4 GiB on h1\n00:02 administrator starts old\n"
    )
    told_or_complained(whole[:start] + whole[start + length :])
    told_or_complained(whole[:start] + word + whole[start:])


def told_or_complained(text: str) -> None:
    try:
        parse_story(text, "s")
    except XeniosError as error:
        assert str(error).startswith("s")  # noqa: PT017 - either way is right
        assert error.remedy  # noqa: PT017
