"""Do the stories that come with Xenios tell what they promise, and do they tell it as they did before?

XENIOS_REFRESH_GOLDEN=1 writes the golden outputs anew, to be read: each changed line is a change of behaviour.

Effects: reads files; writes tests/golden/replay when asked to
"""

from __future__ import annotations

import json
import os
from functools import cache

import jsonschema
import pytest
from rich.cells import cell_len

from tests.support.golden import GOLDEN, REFRESH, check_golden
from xenios.cli.replay import shipped_stories
from xenios.decide.precedent.policy import Deed
from xenios.replay.column import RULE_DEPLOYED
from xenios.replay.contestants import POLICY_NAMES, contestants
from xenios.replay.parse import parse_story
from xenios.replay.play import play
from xenios.replay.script import Seat
from xenios.replay.told import Harm, PolicyVerdict, Replay, Told, VmEnd
from xenios.report.render_replay import (
    json_schema_of_replays,
    render_replay,
    render_replay_json,
    room_is_right,
)

WIDTH = 160
STORIES = tuple(shipped_stories())
OLD, PATCHED, NEW, OURS = POLICY_NAMES
stories = pytest.mark.parametrize("name", STORIES)


@cache
def played(name: str) -> Told:
    return play(parse_story(shipped_stories()[name], name), contestants(POLICY_NAMES))


def text_of(told: Told, width: int = WIDTH) -> str:
    return render_replay(Replay(xenios_version="0", stories=(told,)), width=width, colour=False)


def end(told: Told, policy: str, vm: str) -> VmEnd:
    (row,) = (row for row in told.vms if row.vm == vm)
    (found,) = (found for found in row.ends if found.policy == policy)
    return found


def verdict(told: Told, policy: str) -> PolicyVerdict:
    (found,) = (found for found in told.verdicts if found.policy == policy)
    return found


def rules_of(told: Told, policy: str, vm: str) -> list[tuple[str, str]]:
    """What happened to a VM under a policy: deed and rule, in order."""
    return [
        (happened.deed.value, happened.rule)
        for row in told.rows
        for cell in row.cells
        if cell.policy == policy
        for happened in cell.happened
        if happened.vm == vm
    ]


# --- all stories -----------------------------------------------------------------------------------------------------


def test_the_known_stories_are_told() -> None:
    known = {
        "founding",
        "restart",
        "moved",
        "empty-list",
        "restored",
        "cloned",
        "lookalike",
        "two-installations",
        "guest-shutdown",
        "silent-host",
    }
    assert known <= set(STORIES)
    assert {f"{name}-kvm" for name in known - {"restart", "cloned"}} <= set(STORIES)


@stories
def test_a_story_comes_out_as_before(name: str) -> None:
    check_golden(f"replay/{name}.txt", text_of(played(name)))


def test_no_golden_output_is_left_over() -> None:
    assert {file.stem for file in (GOLDEN / "replay").glob("*.txt")} == set(STORIES)


@stories
def test_ours_harms_nobody_and_knows_the_room(name: str) -> None:
    ours = verdict(played(name), OURS)
    assert (ours.aliens_harmed, ours.own_harmed, ours.mistaken, ours.records_destroyed) == ((), (), (), ())
    assert ours.started_again == ()
    assert room_is_right(ours)
    for row in played(name).vms:
        assert all(found.exists for found in row.ends if found.policy == OURS)


@stories
def test_ours_acts_only_where_a_user_asked(name: str) -> None:
    told = played(name)
    for row in told.rows:
        (cell,) = (cell for cell in row.cells if cell.policy == OURS)
        for happened in cell.happened:
            if happened.deed in (Deed.STARTED, Deed.STOPPED):
                deployed = " deploys " in row.words
                assert deployed or "is asked to" in row.words
                assert happened.rule == (RULE_DEPLOYED if deployed else "touch.act")
            assert happened.deed not in (Deed.RECORD_DESTROYED, Deed.RESTARTED, Deed.DRIVE_REMOVED)


@stories
@pytest.mark.parametrize("width", [60, 80, 100, 137, 240])
def test_every_width_is_kept(name: str, width: int) -> None:
    text = text_of(played(name), width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    for policy in POLICY_NAMES:
        assert f"  {policy}: harmed" in text


@stories
def test_the_json_is_what_its_schema_says(name: str) -> None:
    replay = Replay(xenios_version="0", stories=(played(name),))
    jsonschema.validate(json.loads(render_replay_json(replay)), json_schema_of_replays())


def test_what_the_schema_promised_stays() -> None:
    file = GOLDEN / "replay" / "replay.schema.1.json"
    now = json.dumps(json_schema_of_replays(), indent=2) + "\n"
    if os.environ.get(REFRESH) == "1":
        file.write_text(now, encoding="utf-8")
    promised = json.loads(file.read_text(encoding="utf-8"))
    for name, definition in promised["$defs"].items():
        present = json.loads(now)["$defs"].get(name, {})
        assert set(definition.get("properties", {})) <= set(present.get("properties", {})), name
        assert set(definition.get("enum", ())) <= set(present.get("enum", ())), name


# --- the founding story ----------------------------------------------------------------------------------------------


def test_founding_4_0_2_stops_the_alien_and_its_record_is_gone() -> None:
    told = played("founding")
    assert rules_of(told, OLD, "crm") == [
        ("record destroyed", "deltaSync, unknown VM: StopCommand without a look at the name")
    ]
    assert not end(told, OLD, "crm").exists
    assert not end(told, OLD, "lab").exists
    assert end(told, OLD, "web").exists, "nobody touched it since the pool was added"
    assert verdict(told, OLD).aliens_harmed == ("crm", "lab")


def test_founding_the_patched_one_leaves_the_alien_and_kills_the_look_alike() -> None:
    told = played("founding")
    assert rules_of(told, PATCHED, "crm") == []
    assert (end(told, PATCHED, "crm").exists, end(told, PATCHED, "crm").power_state.value) == (
        True,
        "running",
    )
    assert not end(told, PATCHED, "lab").exists
    assert verdict(told, PATCHED).aliens_harmed == ("lab",)


def test_founding_ours_harms_neither() -> None:
    told = played("founding")
    for vm in ("web", "archive", "crm", "lab"):
        assert rules_of(told, OURS, vm) == [("nothing", "touch.alien")]
        assert end(told, OURS, vm).exists
    assert [end(told, OURS, vm).power_state.value for vm in ("web", "crm", "lab")] == ["running"] * 3
    assert end(told, OURS, "archive").power_state.value == "halted"


def test_founding_room_is_right_only_in_ours() -> None:
    told = played("founding")
    assert [room_is_right(verdict(told, policy)) for policy in POLICY_NAMES] == [False, False, False, True]
    gib = 1024**3
    too_much = [verdict(told, policy).bytes_promised_too_much // gib for policy in POLICY_NAMES]
    assert too_much == [8, 14, 16, 0]


# --- the others, in what makes them worth telling --------------------------------------------------------------------


def harmed(name: str, policy: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    found = verdict(played(name), policy)
    return found.aliens_harmed, found.own_harmed, found.mistaken


@pytest.mark.parametrize(
    ("name", "policy", "aliens", "own", "mistaken"),
    [
        ("restart", OLD, ("backup", "ledger", "desk"), (), ()),
        ("restart", PATCHED, ("backup", "ledger"), (), ()),
        ("restart", NEW, ("ledger",), (), ()),
        ("moved", OLD, ("web",), (), ()),
        ("moved", PATCHED, (), (), ()),
        ("moved-kvm", OLD, (), ("i-2-3-VM",), ()),
        ("moved-kvm", NEW, (), (), ()),
        ("empty-list", OLD, ("web", "mail"), ("i-2-3-VM", "i-2-4-VM"), ()),
        ("empty-list", PATCHED, (), ("i-2-3-VM", "i-2-4-VM"), ()),
        ("empty-list-kvm", NEW, (), (), ("i-2-3-VM",)),
        ("restored", OLD, (), ("i-2-5-VM",), ()),
        ("restored", NEW, (), (), ()),
        ("cloned", OLD, ("copy",), ("i-2-3-VM",), ()),
        ("cloned", PATCHED, (), ("i-2-3-VM",), ()),
        ("lookalike", OLD, ("payroll", "ledger"), (), ()),
        ("lookalike", NEW, ("ledger",), (), ()),
        ("lookalike-kvm", OLD, (), (), ()),
        ("lookalike-kvm", NEW, ("ledger",), (), ()),
        ("two-installations", OLD, ("shop", "trial"), (), ()),
        ("two-installations-kvm", OLD, ("shop", "trial"), (), ()),
        ("two-installations", NEW, (), (), ()),
        ("guest-shutdown", OLD, ("web",), ("i-2-3-VM",), ()),
        ("silent-host", OLD, (), (), ()),
    ],
)
def test_who_harms_whom(
    name: str, policy: str, aliens: tuple[str, ...], own: tuple[str, ...], mistaken: tuple[str, ...]
) -> None:
    assert harmed(name, policy) == (aliens, own, mistaken)


def test_what_was_destroyed_can_no_longer_be_worked_on() -> None:
    refused = {
        cell.policy: cell.refused
        for row in played("cloned").rows
        for cell in row.cells
        if row.words == "administrator starts i-2-3-VM on h1"
    }
    assert refused[OLD] == "there is no i-2-3-VM any more"
    assert refused[OURS] == ""


def test_a_database_of_yesterday_adopts_nothing_and_asks() -> None:
    told = played("restored")
    assert rules_of(told, OURS, "i-2-5-VM")[1:] == [("alert", "touch.mark-without-record")]
    assert end(told, OURS, "i-2-5-VM").believed == "no record of it"


def test_ours_knows_a_copy_by_the_uuid_in_its_mark() -> None:
    assert rules_of(played("cloned"), OURS, "copy") == [("nothing", "touch.copy")]


def test_two_installations_of_ours_know_each_other_by_their_marks() -> None:
    told = played("two-installations")
    assert rules_of(told, OURS, "shop")[1] == ("nothing", "touch.another-installations")
    seats = {
        happened.seat
        for row in told.rows
        for cell in row.cells
        if cell.policy == OURS
        for happened in cell.happened
        if happened.rule == "touch.another-installations"
    }
    assert seats == set(Seat)


def test_ours_does_not_believe_an_empty_list() -> None:
    text = text_of(played("empty-list"))
    assert "the view is not believed: it shows none of the VMs that were there" in " ".join(text.split())


# --- rendering -------------------------------------------------------------------------------------------------------


def test_a_harm_is_told_by_a_sign_and_not_by_colour_alone() -> None:
    told = played("founding")
    text = text_of(told)
    marks = sum(
        happened.harm in (Harm.ALIEN, Harm.OWN)
        for row in told.rows
        for cell in row.cells
        for happened in cell.happened
    )
    ends = sum(found.harm in (Harm.ALIEN, Harm.OWN) for row in told.vms for found in row.ends)
    assert text.count("✗") == marks + ends + 1, "and once in the legend"
    assert "\x1b" not in text
    assert "\x1b" in render_replay(Replay(xenios_version="0", stories=(told,)), width=WIDTH, colour=True)


def test_names_cannot_steer_a_terminal() -> None:
    told = play(
        parse_story('host h1 4 GiB\nvm a 1 GiB on h1 called "x y"\n00:00 manager connects\n', "\x1b[31m"),
        contestants((OURS,)),
    )
    assert "\x1b" not in text_of(told)
    assert "\\x1b" in text_of(told)
