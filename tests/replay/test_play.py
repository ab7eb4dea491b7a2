"""Is a story played the same to everybody, does each policy's world follow from what it did, and is anything left out?

Effects: none
"""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xenios.decide.precedent.policy import Deed
from xenios.errors import XeniosError
from xenios.model.inventory import HypervisorKind, PowerState
from xenios.replay.column import play_column
from xenios.replay.contestants import POLICY_NAMES, contestants
from xenios.replay.parse import parse_story
from xenios.replay.play import play
from xenios.replay.script import Story
from xenios.replay.told import Cell, Harm, RowKind, Told

OLD, PATCHED, NEW, OURS = POLICY_NAMES
BEFORE = """\
pool xenserver 6.2
host h1 64 GiB
host h2 64 GiB
vm web 8 GiB running on h1
vm old 4 GiB halted prefers h2
"""


def told(lines: str, *policies: str, before: str = BEFORE) -> Told:
    return play(parse_story(before + lines, "s"), contestants(policies or POLICY_NAMES))


def cells_of(story: Told, policy: str, words: str) -> list[Cell]:
    return [cell for row in story.rows if row.words == words for cell in row.cells if cell.policy == policy]


# --- rows ------------------------------------------------------------------------------------------------------------


def test_each_line_is_a_row_and_each_policy_a_cell() -> None:
    story = told("00:00 manager connects\n00:01 administrator pauses web\n00:02 administrator unpauses web\n")
    lines = [row for row in story.rows if row.kind is RowKind.LINE]
    assert [(row.at_seconds, row.line, row.words) for row in lines] == [
        (0, 6, "manager connects"),
        (60, 7, "administrator pauses web"),
        (120, 8, "administrator unpauses web"),
    ]
    for row in story.rows:
        assert tuple(cell.policy for cell in row.cells) == POLICY_NAMES


def test_rows_are_in_order_and_a_round_comes_after_the_lines_of_its_minute() -> None:
    story = told("00:00 manager connects\n00:01 administrator moves web to h2\n")
    keys = [(row.at_seconds, row.kind is RowKind.ROUND) for row in story.rows]
    assert keys == sorted(keys)
    assert (60, True) in keys


def test_a_manager_that_is_not_there_does_nothing() -> None:
    story = told("00:01 administrator moves web to h2\n00:05 end\n")
    assert all(not cell.happened for row in story.rows for cell in row.cells)
    assert story.rooms[0].ends == ()


def test_what_is_done_again_and_again_is_one_entry_that_counts() -> None:
    story = told(
        "vm pay 1 GiB running on h1 called i-2-3-VM\n00:00 manager connects\n00:10 end\n",
        OLD,
        before="pool kvm\nhost h1 64 GiB\n",
    )
    (row,) = (row for row in story.rows if row.kind is RowKind.ROUND)
    (happened,) = row.cells[0].happened
    assert (happened.deed, happened.times, happened.last_seconds) == (Deed.STOP_FAILED, 10, 600)


def test_rounds_come_as_often_as_the_story_says() -> None:
    slow = told("round every 600 s\n00:00 manager connects\n00:01 administrator moves web to h2\n", OLD)
    assert [row.at_seconds for row in slow.rows if row.kind is RowKind.ROUND] == [600]


# --- what a manager is asked, and what it does -----------------------------------------------------------------------

SHOP = "manager deploys shop 4 GiB on h1 called i-2-3-VM"
DEPLOYED = "00:00 manager connects\n00:03 manager deploys i-2-3-VM 4 GiB on h1\n"


def test_a_wish_is_fulfilled_in_every_world() -> None:
    story = told(
        f"{DEPLOYED}00:05 manager is asked to stop i-2-3-VM\n00:08 manager is asked to start i-2-3-VM on h2\n"
    )
    row = next(row for row in story.vms if row.vm == "i-2-3-VM")
    assert {(end.exists, end.power_state, end.host) for end in row.ends} == {(True, PowerState.RUNNING, "h2")}
    assert {end.harm for end in row.ends} == {Harm.NONE}
    (stopped,) = cells_of(story, OLD, "manager is asked to stop i-2-3-VM")[0].happened
    assert stopped.deed is Deed.RECORD_DESTROYED
    (stopped,) = cells_of(story, OURS, "manager is asked to stop i-2-3-VM")[0].happened
    assert stopped.deed is Deed.STOPPED


def test_nobody_can_be_asked_while_the_hypervisor_does_not_answer() -> None:
    story = told(f"{DEPLOYED}00:05 hypervisor fails\n00:06 manager is asked to stop i-2-3-VM\n")
    for policy in POLICY_NAMES:
        (cell,) = cells_of(story, policy, "manager is asked to stop i-2-3-VM")
        assert (cell.refused, cell.happened) == ("the hypervisor does not answer", ())


def test_a_deploy_is_a_start_which_clears_away_what_has_the_name() -> None:
    story = told(f"vm x 1 GiB halted called i-2-3-VM\n00:00 manager connects\n00:01 {SHOP}\n")
    (cell,) = cells_of(story, OLD, SHOP)
    assert [(done.vm, done.deed, done.harm) for done in cell.happened] == [
        ("x", Deed.RECORD_DESTROYED, Harm.ALIEN),
        ("shop", Deed.STARTED, Harm.NONE),
    ]
    (cell,) = cells_of(story, OURS, SHOP)
    assert [(done.vm, done.deed) for done in cell.happened] == [("shop", Deed.STARTED)]


def test_a_deploy_may_take_what_runs_under_the_name_for_its_own() -> None:
    story = told(
        f"vm x 1 GiB running on h1 called i-2-3-VM\n00:00 manager connects\n00:01 {SHOP}\n",
        NEW,
    )
    shop = next(row for row in story.vms if row.vm == "shop")
    assert shop.ends == (), "it was never made"
    row = next(row for row in story.rows if row.words.startswith("manager deploys"))
    assert [done.deed for done in row.cells[0].happened] == [Deed.MARKED_RUNNING]


def test_what_a_stop_destroyed_is_not_there_for_a_start_even_in_a_pool_without_anything_else() -> None:
    story = told(
        "00:00 manager connects\n00:01 manager deploys x 2 GiB running on h1\n"
        "00:03 manager is asked to stop x\n00:04 manager is asked to start x on h1\n",
        OLD,
        before="pool xenserver 6.2\nhost h1 64 GiB\n",
    )
    [cell] = cells_of(story, OLD, "manager is asked to start x on h1")
    assert cell.happened
    assert not any("taken for it" in happened.words for happened in cell.happened)


def test_a_transient_domain_goes_with_its_guest() -> None:
    story = told(
        "00:00 manager connects\n00:01 manager deploys i-2-3-VM 4 GiB on h1\n00:02 guest i-2-3-VM shuts down\n",
        before="pool kvm\nhost h1 64 GiB\n",
    )
    (row,) = story.vms
    gone = [end.policy for end in row.ends if not end.exists]
    assert NEW in gone
    assert OURS not in gone
    assert next(end for end in row.ends if end.policy == NEW).harm is Harm.NONE


def test_ours_waits_in_its_quiet_time_and_acts_when_it_is_over() -> None:
    story = told(
        "00:00 manager connects\n00:00:30 manager deploys shop 4 GiB on h1\n00:01 manager is asked to stop shop\n",
        OURS,
    )
    stopped = [
        row.at_seconds
        for row in story.rows
        for happened in row.cells[0].happened
        if happened.deed is Deed.STOPPED
    ]
    assert stopped == [120]


def test_ours_does_not_restart_what_somebody_stopped() -> None:
    story = told(f"{DEPLOYED}00:05 guest i-2-3-VM shuts down\n02:00 end\n", OURS)
    row = next(row for row in story.vms if row.vm == "i-2-3-VM")
    assert [(end.power_state, end.believed) for end in row.ends] == [(PowerState.HALTED, "off")]


def test_ours_loses_nothing_when_its_vm_is_renamed_or_its_mark_goes() -> None:
    story = told(
        f"{DEPLOYED}00:05 administrator renames i-2-3-VM to x\n00:08 manager is asked to stop i-2-3-VM\n",
        OURS,
    )
    row = next(row for row in story.vms if row.vm == "i-2-3-VM")
    assert row.ends[0].power_state is PowerState.HALTED


def test_ours_does_not_touch_a_vm_of_its_own_that_came_back_from_before_its_mark() -> None:
    column = play_column(
        parse_story(BEFORE + DEPLOYED + "00:05 administrator snapshots i-2-3-VM as s\n", "s"),
        contestants((OURS,))[0],
    )
    (kept,) = column.world.vms["i-2-3-VM"].snapshots
    assert kept.mark == column.world.vms["i-2-3-VM"].mark != ""


# --- anything may be told --------------------------------------------------------------------------------------------

LINES = st.sampled_from(
    [
        "manager restarts",
        "manager saves its database",
        "manager restores its database",
        "manager is asked to stop i-2-3-VM",
        "manager is asked to start i-2-3-VM",
        "manager is asked to start i-2-3-VM on h2",
        "second manager connects",
        "second manager deploys trial 2 GiB on h2 called i-2-3-VM",
        "second manager restarts",
        "administrator starts old",
        "administrator starts i-2-3-VM",
        "administrator shuts down web",
        "administrator shuts down i-2-3-VM",
        "administrator pauses i-2-3-VM",
        "administrator suspends i-2-3-VM",
        "administrator moves web to h2",
        "administrator moves i-2-3-VM to h2",
        "administrator renames web to i-2-3-VM",
        "administrator renames i-2-3-VM to mine",
        "administrator deletes i-2-3-VM",
        "administrator clones i-2-3-VM as copy",
        "administrator clones i-2-3-VM as same called i-2-3-VM",
        "administrator starts copy",
        "administrator creates lab 2 GiB running on h2 called i-9-9-LAB",
        "administrator snapshots i-2-3-VM as s",
        "administrator reverts i-2-3-VM to s",
        "guest i-2-3-VM shuts down",
        "guest i-2-3-VM crashes",
        "hypervisor answers nothing",
        "hypervisor fails",
        "hypervisor answers again",
        "host h1 falls silent",
        "host h1 comes back",
        "host h2 falls silent",
        "host h2 comes back",
    ]
)


@st.composite
def any_story(draw: st.DrawFn) -> Story:
    """Lines in any order; those that make no sense at their place are left out."""
    kvm = draw(st.booleans())
    version = draw(st.sampled_from(["xenserver 6.2", "xenserver 8.2"]))
    before = BEFORE.replace("xenserver 6.2", "kvm" if kvm else version)
    before = before.replace("halted prefers h2", "halted on h2") if kvm else before
    ha = draw(st.sampled_from(["", " ha"]))
    unseen = "00:00 hypervisor fails\n", "00:00:50 hypervisor answers again\n"
    fails, answers = unseen if draw(st.booleans()) else ("", "")
    text = f"{before}{fails}00:00 manager connects\n{answers}00:01 manager deploys i-2-3-VM 4 GiB on h1{ha}\n"
    minute = 1
    for line in draw(st.lists(LINES, max_size=14)):
        minute += draw(st.sampled_from([0, 1, 4]))
        longer = f"{text}00:{minute:02} {line}\n"
        try:
            parse_story(longer, "s")
        except XeniosError:
            continue
        text = longer
    return parse_story(text, "s")


@given(any_story())
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_whatever_is_told_ours_harms_nobody_and_every_loss_has_a_reason(story: Story) -> None:
    result = play(story, contestants(POLICY_NAMES))
    ours = result.verdicts[-1]
    assert (ours.aliens_harmed, ours.own_harmed, ours.records_destroyed, ours.started_again) == (
        (),
        (),
        (),
        (),
    )
    assert (ours.bytes_promised_too_much, ours.bytes_promised_too_little) == (0, 0), "right, or not known"
    for row in result.rows:
        for happened in row.cells[-1].happened:
            assert happened.deed not in (Deed.RECORD_DESTROYED, Deed.RESTARTED, Deed.DRIVE_REMOVED)
    deleted = {line.vm for line in story.lines if line.act.value == "delete"}
    transient = {NEW} if story.kind is HypervisorKind.KVM else set()
    for vm in result.vms:
        for end in vm.ends:
            if end.exists:
                continue
            destroyed = any(
                happened.vm == vm.vm and happened.deed is Deed.RECORD_DESTROYED
                for row in result.rows
                for cell in row.cells
                if cell.policy == end.policy
                for happened in cell.happened
            )
            assert (
                destroyed or vm.vm in deleted or (end.policy in transient and vm.made_by != "administrator")
            )


@given(any_story())
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_policy_does_the_same_whoever_plays_beside_it(story: Story) -> None:
    together = play(story, contestants(POLICY_NAMES))
    for place, policy in enumerate(POLICY_NAMES):
        alone = play(story, contestants((policy,)))
        assert alone.verdicts[0] == together.verdicts[place]
        said = [row.cells[0] for row in alone.rows]
        assert said == [
            row.cells[place] for row in together.rows if row.kind is RowKind.LINE or row.cells[place].happened
        ]
