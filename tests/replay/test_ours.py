"""Does Xenios, as it plays, ask of a start all that it would ask of a real pool, and does it know what room there is?

Effects: none
"""

from __future__ import annotations

import pytest

from xenios.decide.precedent.policy import Deed
from xenios.model.inventory import PowerState
from xenios.replay.contestants import contestants
from xenios.replay.parse import parse_story
from xenios.replay.play import play
from xenios.replay.told import Happened, Harm, Told, VmEnd

GIB = 1024**3
TWO_HOSTS = "pool xenserver 8.2\nhost h1 64 GiB\nhost h2 64 GiB\n"
ONE_IS_FULL = "pool xenserver 8.2\nhost h1 8 GiB\nhost h2 64 GiB\nvm big 7 GiB running on h1\n"
STOPPED = (
    "00:00 manager connects\n00:05 manager deploys web 6 GiB on h2\n00:10 manager is asked to stop web\n"
)


def told(text: str) -> Told:
    return play(parse_story(text, "s"), contestants(("xenios",)))


def end(story: Told, vm: str = "web") -> VmEnd:
    return next(row for row in story.vms if row.vm == vm).ends[0]


def said(story: Told, words: str) -> list[Happened]:
    """What came of a line, in any of its places."""
    return [done for row in story.rows if row.words == words for done in row.cells[0].happened]


def rules(story: Told, words: str) -> list[tuple[Deed, str]]:
    return [(done.deed, done.rule) for done in said(story, words)]


def counted(story: Told) -> list[int | None]:
    """What it believes to be taken on each host, in GiB."""
    found = [room.ends[0].bytes_taken_believed for room in story.rooms]
    return [taken // GIB if taken is not None else None for taken in found]


# --- deployed before anything was seen -------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["xenserver 8.2", "kvm"])
def test_a_deploy_before_the_first_view_has_a_record_of_the_right_pool(pool: str) -> None:
    story = told(
        f"pool {pool}\nhost h1 64 GiB\n00:00 hypervisor fails\n00:00:10 manager connects\n"
        "00:00:20 hypervisor answers again\n00:00:30 manager deploys web 2 GiB on h1\n"
        "00:04 manager is asked to stop web\n"
    )
    assert rules(story, "manager is asked to stop web") == [(Deed.STOPPED, "touch.act")]
    assert (end(story).power_state, end(story).believed) == (PowerState.HALTED, "off")


# --- may it run there? -----------------------------------------------------------------------------------------------


def test_nothing_is_started_on_a_silent_host_and_it_starts_there_when_the_host_is_back() -> None:
    lines = f"{TWO_HOSTS}{STOPPED}00:15 host h2 falls silent\n00:20 manager is asked to start web on h2\n"
    story = told(lines)
    assert rules(story, "manager is asked to start web on h2") == [(Deed.NOTHING, "here.host-silent")]
    assert said(story, "manager is asked to start web on h2")[0].words == "the host does not answer"
    assert (end(story).power_state, end(story).believed) == (PowerState.HALTED, "off")
    back = told(f"{lines}00:30 host h2 comes back\n")
    assert (end(back).power_state, end(back).host, end(back).harm) == (PowerState.RUNNING, "h2", Harm.NONE)


def test_nothing_is_started_on_a_full_host_that_was_asked_for() -> None:
    story = told(f"{ONE_IS_FULL}{STOPPED}00:20 manager is asked to start web on h1\n")
    assert rules(story, "manager is asked to start web on h1") == [(Deed.NOTHING, "here.room-declared")]
    assert end(story).power_state is PowerState.HALTED


def test_who_asks_again_is_answered_again() -> None:
    ask = "manager is asked to start web on h1"
    story = told(f"{ONE_IS_FULL}{STOPPED}00:20 {ask}\n00:30 {ask}\n")
    assert rules(story, ask) == [(Deed.NOTHING, "here.room-declared")] * 2
    assert not [done for done in said(story, "a round") if done.rule.startswith("here.")]


def test_a_wish_for_no_host_in_particular_goes_where_there_is_room() -> None:
    story = told(f"{ONE_IS_FULL}{STOPPED}00:20 manager is asked to start web\n")
    assert (end(story).power_state, end(story).host) == (PowerState.RUNNING, "h2")


def test_when_no_host_will_do_each_is_named_with_its_reason() -> None:
    story = told(f"{ONE_IS_FULL}{STOPPED}00:15 host h2 falls silent\n00:20 manager is asked to start web\n")
    (done,) = said(story, "manager is asked to start web")
    assert done.deed is Deed.NOTHING
    assert done.words.startswith("h1: there is no room")
    assert done.words.endswith("; h2: the host does not answer")


def test_room_is_promised_once_in_one_pass() -> None:
    """Two wishes wait for the quiet time to end; both start in the same round, and one of them only fits."""
    story = told(
        "pool xenserver 8.2\nhost h1 8 GiB\n00:00 manager connects\n"
        "00:05 manager deploys a 5 GiB on h1\n00:06 manager is asked to stop a\n"
        "00:07 manager deploys b 5 GiB on h1\n00:08 manager is asked to stop b\n00:10 manager restarts\n"
        "00:10 manager is asked to start a on h1\n00:10 manager is asked to start b on h1\n"
    )
    assert [end(story, vm).power_state for vm in "ab"] == [PowerState.RUNNING, PowerState.HALTED]
    # here.room-declared comes in the rounds after, when the view shows what was started
    assert (Deed.NOTHING, "here.room-promised") in rules(story, "a round")


def test_nothing_is_deployed_where_it_could_not_start() -> None:
    story = told(f"{ONE_IS_FULL}00:00 manager connects\n00:05 manager deploys web 6 GiB on h1\n")
    assert rules(story, "manager deploys web 6 GiB on h1") == [(Deed.NOTHING, "here.room-declared")]
    assert [row.vm for row in story.vms] == ["big"]
    asked = told(
        f"{ONE_IS_FULL}00:00 manager connects\n00:05 manager deploys web 6 GiB on h1\n"
        "00:06 manager is asked to stop web\n"
    )
    (cell,) = next(row for row in asked.rows if "asked to stop" in row.words).cells
    assert cell.refused == "web was never made here"


def test_what_is_defined_on_one_kvm_host_starts_there_or_nowhere() -> None:
    before = TWO_HOSTS.replace("xenserver 8.2", "kvm") + STOPPED
    story = told(f"{before}00:20 manager is asked to start web on h1\n")
    (done,) = said(story, "manager is asked to start web on h1")
    assert (done.rule, done.words) == (
        "here.defined-elsewhere",
        "it is defined on h2, and starts nowhere else",
    )
    assert (end(story).power_state, end(story).host) == (PowerState.HALTED, "h2")
    assert end(told(f"{before}00:20 manager is asked to start web\n")).power_state is PowerState.RUNNING


def test_an_old_wish_that_a_restored_database_brings_back_is_not_acted_on() -> None:
    story = told(
        f"{TWO_HOSTS}{STOPPED}00:15 host h2 falls silent\n00:20 manager is asked to start web on h2\n"
        "00:21 manager saves its database\n00:25 host h2 comes back\n00:30 manager is asked to stop web\n"
        "00:40 manager restores its database\n"
    )
    assert (end(story).power_state, end(story).harm) == (PowerState.HALTED, Harm.NONE)
    assert (Deed.ALERT, "touch.wish-lapsed") in rules(story, "a round")


def test_what_is_suspended_is_neither_on_nor_off() -> None:
    story = told(
        f"{TWO_HOSTS}{STOPPED.splitlines()[0]}\n00:05 manager deploys web 6 GiB on h2\n"
        "00:10 administrator suspends web\n"
    )
    assert end(story).believed == "suspended"


def test_what_it_did_is_recorded_before_anybody_looks_again() -> None:
    story = told(
        f"{TWO_HOSTS}{STOPPED}00:20 manager is asked to start web on h2\n00:20:30 guest web shuts down\n"
    )
    assert (end(story).power_state, end(story).believed) == (PowerState.HALTED, "off")
    silent = told(
        f"{TWO_HOSTS}{STOPPED}00:10:30 host h2 falls silent\n00:20 manager is asked to stop web\n"
        "00:25 administrator starts web on h1\n"
    )
    assert (end(silent).power_state, end(silent).harm) == (PowerState.RUNNING, Harm.NONE)


# --- room ------------------------------------------------------------------------------------------------------------

DEPLOYED = "00:00 manager connects\n00:05:10 manager deploys web 4 GiB on h1\n"


def test_what_was_deployed_since_the_last_round_is_counted() -> None:
    assert counted(told(f"{TWO_HOSTS}{DEPLOYED}00:05:30 end\n")) == [4, 0]


def test_a_list_that_lacks_what_runs_does_not_free_its_room() -> None:
    story = told(f"{TWO_HOSTS}{DEPLOYED}00:05:20 hypervisor answers nothing\n00:05:30 end\n")
    assert counted(story) == [4, 0]


def test_nothing_is_known_of_the_room_in_a_view_that_is_not_believed() -> None:
    many = "".join(f"vm v{number} 1 GiB running on h1\n" for number in range(6))
    story = told(f"{TWO_HOSTS}{many}{DEPLOYED}00:08 hypervisor answers nothing\n00:10 end\n")
    assert counted(story) == [None, None]
    assert not story.verdicts[0].room_known


@pytest.mark.parametrize("last", ["hypervisor fails", "host h1 falls silent"])
@pytest.mark.parametrize("at", ["00:05:20", "00:06:30"])
def test_nothing_is_known_of_the_room_in_a_pool_that_does_not_answer(last: str, at: str) -> None:
    story = told(f"{TWO_HOSTS}{DEPLOYED}{at} {last}\n00:20 end\n")
    assert counted(story) == [None, None]
    assert not story.verdicts[0].room_known
    assert (story.verdicts[0].bytes_promised_too_much, story.verdicts[0].bytes_promised_too_little) == (0, 0)


@pytest.mark.parametrize("pool", ["xenserver 8.2", "kvm"])
def test_nothing_is_known_of_the_room_on_a_silent_host_and_all_of_the_others(pool: str) -> None:
    before = TWO_HOSTS.replace("xenserver 8.2", pool) + "vm old 2 GiB running on h2\n"
    story = told(f"{before}{DEPLOYED}00:08 host h2 falls silent\n00:20 end\n")
    assert counted(story) == [4, None]
