"""What people and guests do to a world, by hand on the hypervisor: each act makes a new world, or says why not.

A story is played in several worlds that drift apart, so an act may be possible in one and not in another: a VM cannot
be started where a manager has destroyed it. That is an answer and not an error.

Effects: none
"""

from collections.abc import Callable, Mapping

import msgspec
from msgspec.structs import replace

from xenios.model.inventory import PowerState
from xenios.replay.script import Act, Line
from xenios.replay.world import KeptState, Manner, World, WorldVm, vm_from, vm_uuid_of

_ON = (PowerState.RUNNING, PowerState.PAUSED)


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The world after an act; `refused` says why nothing could be done, and then the world is as before."""

    world: World
    refused: str = ""


def by_hand(world: World, line: Line, now: int) -> Done:
    """What a line does that no manager does. Raises KeyError for a line of a manager."""
    if line.act in _OF_THE_POOL:
        return Done(world=_OF_THE_POOL[line.act](world, line))
    if line.act is Act.CREATE and line.new_vm is not None:
        made = vm_from(world, line.new_vm, maker=None)
        if made.host in world.silent:
            return Done(world=world, refused=f"host {made.host} does not answer")
        return _done(world, made)
    vm = world.vms.get(line.vm)
    if vm is None or not vm.exists:
        lost = vm is not None and vm.lives > 0
        return Done(world=world, refused=f"there is no {line.vm}{' any more' if lost else ' here'}")
    allowed = _ALLOWED.get(line.act)
    if allowed is not None and vm.power_state not in allowed:
        return Done(world=world, refused=f"{line.vm} is {vm.power_state}")
    host = line.host or vm.host
    if host in world.silent and line.act not in (Act.GUEST_CRASHES, Act.GUEST_SHUTS_DOWN):
        return Done(world=world, refused=f"host {host} does not answer")
    return _TO_A_VM[line.act](world, vm, line, now)


def powered(world: World, vm: WorldVm, state: PowerState, host: str | None = None) -> WorldVm:
    """The VM in another power state. On XenServer what is off is on no host; a transient domain is then gone."""
    holds = state in _ON
    place = (host or vm.host) if holds or world.kvm else None
    return replace(vm, power_state=state, host=place, exists=vm.exists and (holds or vm.persistent))


def place_for(world: World, vm: WorldVm) -> str:
    """Where a VM starts when nobody says: where it is, where it likes to be, else on the first host that answers."""
    answering = [host.name for host in world.story.hosts if host.name not in world.silent]
    for wanted in (vm.host, vm.prefers):
        if wanted in answering and wanted is not None:
            return wanted
    return answering[0] if answering else world.story.hosts[0].name


def name_taken(world: World, vm: WorldVm) -> str:
    """Why a VM cannot be where it would be: a libvirt host has no two of one name. Empty: it can."""
    for other in world.vms.values():
        if (
            world.kvm
            and other.exists
            and other.handle != vm.handle
            and (other.name, other.host) == (vm.name, vm.host)
        ):
            return f"host {vm.host} has a VM {vm.name} already"
    return ""


# --- one act each --------------------------------------------------------------------------------------------------


def _start(world: World, vm: WorldVm, line: Line, now: int) -> Done:
    return _done(world, powered(world, vm, PowerState.RUNNING, line.host or place_for(world, vm)))


def _to(state: PowerState) -> Callable[[World, WorldVm, Line, int], Done]:
    return lambda world, vm, line, now: _done(world, powered(world, vm, state))


def _move(world: World, vm: WorldVm, line: Line, now: int) -> Done:
    if vm.host == line.host:
        return Done(world=world, refused=f"{vm.handle} is on {line.host} already")
    if vm.host in world.silent:
        return Done(world=world, refused=f"host {vm.host} does not answer")
    return _done(world, replace(vm, host=line.host))


def _clone(world: World, vm: WorldVm, line: Line, now: int) -> Done:
    if line.new_vm is None:
        return Done(world=world)
    copy = vm_from(world, line.new_vm, maker=None)
    copy = replace(copy, memory_bytes=vm.memory_bytes, mark=vm.mark, prefers=copy.prefers or vm.prefers)
    if world.kvm and copy.host is None:
        copy = replace(copy, host=vm.host)
    return _done(world, copy)


def _snapshot(world: World, vm: WorldVm, line: Line, now: int) -> Done:
    kept = KeptState(
        name=line.name,
        uuid=vm_uuid_of(f"{vm.handle} snapshot {len(vm.snapshots)} {line.name}"),
        mark=vm.mark,
        at=now,
    )
    return _done(world, replace(vm, snapshots=(*vm.snapshots, kept)))


def _revert(world: World, vm: WorldVm, line: Line, now: int) -> Done:
    """Back to how it was, which is off: memory is not kept in these snapshots."""
    kept = next((kept for kept in reversed(vm.snapshots) if kept.name == line.name), None)
    if kept is None:
        return Done(world=world, refused=f"{vm.handle} has no snapshot {line.name}")
    return _done(world, replace(powered(world, vm, PowerState.HALTED), mark=kept.mark))


def _rename(world: World, vm: WorldVm, line: Line, now: int) -> Done:
    return _done(world, replace(vm, name=line.name))


def _delete(world: World, vm: WorldVm, line: Line, now: int) -> Done:
    return _done(world, replace(powered(world, vm, PowerState.HALTED), exists=False))


def _done(world: World, vm: WorldVm) -> Done:
    if taken := name_taken(world, vm):
        return Done(world=world, refused=taken)
    return Done(world=world.with_vm(vm))


_TO_A_VM: Mapping[Act, Callable[[World, WorldVm, Line, int], Done]] = {
    Act.START: _start,
    Act.SHUT_DOWN: _to(PowerState.HALTED),
    Act.PAUSE: _to(PowerState.PAUSED),
    Act.UNPAUSE: _to(PowerState.RUNNING),
    Act.SUSPEND: _to(PowerState.SUSPENDED),
    Act.RESUME: _start,
    Act.MOVE: _move,
    Act.CLONE: _clone,
    Act.SNAPSHOT: _snapshot,
    Act.REVERT: _revert,
    Act.RENAME: _rename,
    Act.DELETE: _delete,
    Act.GUEST_SHUTS_DOWN: _to(PowerState.HALTED),
    Act.GUEST_CRASHES: _to(PowerState.HALTED),
}
_ALLOWED: Mapping[Act, tuple[PowerState, ...]] = {
    Act.START: (PowerState.HALTED,),
    Act.SHUT_DOWN: _ON,
    Act.PAUSE: (PowerState.RUNNING,),
    Act.UNPAUSE: (PowerState.PAUSED,),
    Act.SUSPEND: (PowerState.RUNNING,),
    Act.RESUME: (PowerState.SUSPENDED,),
    Act.MOVE: _ON,
    Act.DELETE: (PowerState.HALTED, PowerState.SUSPENDED),
    Act.GUEST_SHUTS_DOWN: (PowerState.RUNNING,),
    Act.GUEST_CRASHES: (PowerState.RUNNING,),
}
_OF_THE_POOL: Mapping[Act, Callable[[World, Line], World]] = {
    Act.ANSWER_NOTHING: lambda world, line: replace(world, manner=Manner.NOTHING),
    Act.FAIL: lambda world, line: replace(world, manner=Manner.NOT_AT_ALL),
    Act.ANSWER_AGAIN: lambda world, line: replace(world, manner=Manner.AS_IT_IS),
    Act.HOST_SILENT: lambda world, line: replace(world, silent=world.silent | {line.host}),
    Act.HOST_BACK: lambda world, line: replace(world, silent=world.silent - {line.host}),
}
BY_HAND = frozenset({*_TO_A_VM, *_OF_THE_POOL, Act.CREATE})
"""What no manager does."""
