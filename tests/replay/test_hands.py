"""Does a world do what people do to it, say what cannot be done, and show what a hypervisor would show?

Effects: none
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenios.model.inventory import Answer, PowerState, VmKind
from xenios.replay.hands import by_hand
from xenios.replay.parse import parse_story
from xenios.replay.script import Line, Story
from xenios.replay.world import World, host_uuid_of, room_taken_bytes, view_of, world_of

GIB = 1024**3
XENSERVER = """\
pool xenserver 6.2
host h1 64 GiB keeps 4 GiB
host h2 32 GiB
vm web 8 GiB running on h1
vm old 4 GiB halted prefers h2
"""
KVM = XENSERVER.replace("xenserver 6.2", "kvm").replace("halted prefers h2", "halted on h2")


def told(lines: str, before: str = XENSERVER) -> Story:
    timed = "".join(f"00:01 {line}\n" for line in lines.splitlines() if line.strip())
    return parse_story(before + timed, "s")


def after(lines: str, before: str = XENSERVER) -> tuple[World, list[str]]:
    """The world after these acts, and what was refused."""
    story = told(lines, before)
    world, refused = world_of(story), []
    for line in story.lines:
        done = by_hand(world, line, 0)
        world = done.world
        refused += [done.refused] if done.refused else []
    return world, refused


def state(world: World, handle: str) -> tuple[str, str | None]:
    vm = world.vms[handle]
    return vm.power_state.value, vm.host


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("administrator shuts down web", ("halted", None)),
        ("administrator pauses web", ("paused", "h1")),
        ("administrator pauses web\nadministrator unpauses web", ("running", "h1")),
        ("administrator suspends web", ("suspended", None)),
        ("administrator suspends web\nadministrator resumes web on h2", ("running", "h2")),
        ("administrator moves web to h2", ("running", "h2")),
        ("guest web shuts down", ("halted", None)),
        ("guest web crashes", ("halted", None)),
        ("administrator snapshots web as s\nadministrator reverts web to s", ("halted", None)),
        ("administrator shuts down web\nadministrator starts web on h2", ("running", "h2")),
    ],
)
def test_acts_on_xenserver(lines: str, expected: tuple[str, str | None]) -> None:
    world, refused = after(lines)
    assert state(world, "web") == expected
    assert refused == []


def test_a_vm_starts_where_it_likes_to_be() -> None:
    assert state(after("administrator starts old")[0], "old") == ("running", "h2")


def test_on_kvm_a_vm_that_is_off_stays_on_its_host() -> None:
    world, _ = after("guest web shuts down", KVM)
    assert state(world, "web") == ("halted", "h1")
    view = view_of(world, 0)
    assert view is not None
    assert {vm.host_uuid for vm in view.vms} == {host_uuid_of("h1"), host_uuid_of("h2")}


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("administrator starts web", "web is running"),
        ("administrator moves web to h1", "web is on h1 already"),
        ("administrator moves old to h1", "old is halted"),
        ("administrator deletes web", "web is running"),
        ("administrator deletes old\nadministrator starts old", "there is no old any more"),
        ("host h1 falls silent\nadministrator shuts down web", "host h1 does not answer"),
        ("guest old shuts down", "old is halted"),
        ("host h2 falls silent\nadministrator moves web to h2", "host h2 does not answer"),
        ("host h1 falls silent\nadministrator moves web to h2", "host h1 does not answer"),
        ("host h2 falls silent\nadministrator creates x 1 GiB on h2", "host h2 does not answer"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(lines: str, why: str) -> None:
    *before, last = lines.splitlines()
    world, refused = after("\n".join(before)) if before else (world_of(told(last)), [])
    assert refused == []
    done = by_hand(world, told(lines).lines[-1], 0)
    assert done.refused == why
    assert done.world == world


@pytest.mark.parametrize(
    "line",
    [
        "administrator creates x 1 GiB on h1 called web",
        "administrator clones web as x called web",
        "administrator renames y to web",
        "administrator moves z to h1",
    ],
)
def test_a_libvirt_host_has_no_two_vms_of_one_name(line: str) -> None:
    more = "vm y 1 GiB running on h1\nvm z 1 GiB running on h2 called web\n"
    before = KVM + more
    world, refused = after(line, before)
    assert refused == ["host h1 has a VM web already"]
    assert world == world_of(told(line, before))
    assert after(line, XENSERVER + more)[1] == []


def test_a_copy_carries_the_mark_and_gets_a_uuid_of_its_own() -> None:
    world, _ = after("administrator clones web as copy")
    assert world.vms["copy"].uuid != world.vms["web"].uuid
    assert world.vms["copy"].memory_bytes == 8 * GIB
    assert world.vms["copy"].power_state is PowerState.HALTED


def test_a_new_name_is_no_new_vm() -> None:
    world, _ = after('administrator renames web to "i-2-3-VM"')
    assert (world.vms["web"].name, world.vms["web"].uuid) == (
        "i-2-3-VM",
        world_of(told("end")).vms["web"].uuid,
    )


def test_the_view_shows_what_is_there() -> None:
    world, _ = after("administrator snapshots web as s")
    view = view_of(world, 5)
    assert view is not None
    assert view.seen_at == 5
    assert [vm.kind for vm in view.vms] == [VmKind.MACHINE, VmKind.SNAPSHOT, VmKind.MACHINE]
    assert [host.memory_bytes_free for host in view.hosts] == [52 * GIB, 32 * GIB]
    assert room_taken_bytes(world) == {"h1": 8 * GIB, "h2": 0}


def test_an_empty_answer_is_an_answer_and_a_failure_is_none() -> None:
    nothing = view_of(after("hypervisor answers nothing")[0], 0)
    assert nothing is not None
    assert (nothing.vms, nothing.failures, nothing.all_vms_seen) == ((), (), True)
    assert view_of(after("hypervisor fails")[0], 0) is None
    again = view_of(after("hypervisor fails\nhypervisor answers again")[0], 0)
    assert again is not None
    assert len(again.vms) == 2


def test_a_silent_host() -> None:
    member = view_of(after("host h2 falls silent")[0], 0)
    assert member is not None
    assert [host.live for host in member.hosts] == [Answer.YES, Answer.NO]
    assert len(member.vms) == 2, "the pool's master knows them still"
    assert view_of(after("host h1 falls silent")[0], 0) is None, "nobody else can be asked"
    kvm = view_of(after("host h1 falls silent", KVM)[0], 0)
    assert kvm is not None
    assert [vm.name for vm in kvm.vms] == ["old"]
    assert not kvm.all_vms_seen
    assert [failure.subject_uuid for failure in kvm.failures] == [host_uuid_of("h1")]
    back = view_of(after("host h1 falls silent\nhost h1 comes back", KVM)[0], 0)
    assert back is not None
    assert len(back.vms) == 2


ACTS = st.sampled_from(
    [
        "administrator starts web",
        "administrator starts old on h1",
        "administrator shuts down web",
        "administrator pauses web",
        "administrator unpauses web",
        "administrator suspends web",
        "administrator resumes web",
        "administrator moves web to h2",
        "administrator moves old to h2",
        "administrator renames web to old",
        "administrator deletes web",
        "administrator snapshots web as s",
        "guest web shuts down",
        "guest old crashes",
        "hypervisor answers nothing",
        "hypervisor fails",
        "hypervisor answers again",
        "host h1 falls silent",
        "host h1 comes back",
        "host h2 falls silent",
    ]
)


@given(st.lists(ACTS, max_size=25), st.sampled_from([XENSERVER, KVM]))
def test_whatever_is_done_worlds_make_sense(acts: list[str], before: str) -> None:
    story = told("\n".join([*acts, "end"]), before)
    world = world_of(story)
    for line in story.lines:
        done = by_hand(world, line, line.at_seconds)
        assert done.world == world or not done.refused
        world = done.world
        check(world, line)


def check(world: World, line: Line) -> None:
    hosts = {host.name for host in world.story.hosts}
    for vm in world.vms.values():
        assert vm.host is None or vm.host in hosts, line
        if vm.holds_memory:
            assert vm.host is not None, line
        elif not world.kvm:
            assert vm.host is None, line
        if world.kvm:
            assert vm.host is not None, line
    assert sum(room_taken_bytes(world).values()) == sum(
        vm.memory_bytes for vm in world.vms.values() if vm.holds_memory
    )
    view = view_of(world, 0)
    if view is not None:
        there = {vm.uuid for vm in world.vms.values() if vm.exists}
        assert {vm.uuid for vm in view.vms if vm.kind is VmKind.MACHINE} <= there
