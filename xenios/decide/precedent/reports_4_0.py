"""The side of 4.0's sync that runs beside the hypervisor: which VMs it reports, and what it takes for a change.

The agent keeps a cache of the states that it reported last, by name. At connect the cache is emptied and everything is
reported; later only what the table DELTA calls a change.

Effects: none
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from xenios.decide.precedent.java_text import name_uuid
from xenios.decide.precedent.states import KVM_STATES_4_0, XENSERVER_STATES_4_0, State
from xenios.model.inventory import POWER_STATES_THAT_HOLD_MEMORY, PowerState, Vm, VmKind

MIGRATING_PREFIX = "migrating"
"""XenServer gives such a name to the second half of a VM that is on its way."""


class Seen(NamedTuple):
    """Where a VM of some name is, and its state."""

    host_uuid: str | None
    state: State


Reports = Mapping[str, Seen]
"""By name: two VMs of one name are one entry, the last."""


class CacheAct(StrEnum):
    """What the agent does about one name."""

    REPORT = "cache and report"
    CACHE = "cache only"
    IGNORE = "ignore"
    DROP = "drop from the cache, no report"
    REPORT_STOPPED = "report Stopped, leave in the cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRow:
    """One row of the table. None among the states: not in the cache, or not there now."""

    cached: frozenset[State | None]
    now: frozenset[State | None]
    act: CacheAct
    why: str


_ANY: frozenset[State | None] = frozenset(State)
_MISSING: frozenset[State | None] = frozenset({None})
_UNDER_WAY = (State.STARTING, State.MIGRATING, State.STOPPING)


def _row(
    cached: Iterable[State | None], now: Iterable[State | None], act: CacheAct, why: str = ""
) -> CacheRow:
    return CacheRow(cached=frozenset(cached), now=frozenset(now), act=act, why=why)


DELTA = (
    _row(_MISSING, _ANY, CacheAct.REPORT, "not known before; nothing asks whose it is"),
    _row([State.STARTING], [State.RUNNING], CacheAct.CACHE, "its own start has ended"),
    _row([State.STARTING], _ANY, CacheAct.IGNORE, "its own start is under way"),
    _row([State.MIGRATING], [State.RUNNING], CacheAct.CACHE, "its own migration has ended"),
    _row([State.MIGRATING], _ANY, CacheAct.IGNORE, "its own migration is under way"),
    _row([State.STOPPING], [State.STOPPED], CacheAct.CACHE, "its own stop has ended"),
    _row([State.STOPPING], _ANY, CacheAct.IGNORE, "its own stop is under way"),
    *(_row([state], [state], CacheAct.IGNORE, "no change") for state in State if state not in _UNDER_WAY),
    _row(_ANY, _ANY, CacheAct.REPORT, "changed"),
    _row([State.STOPPING], _MISSING, CacheAct.DROP, "its own stop has ended"),
    _row(
        [State.STARTING, State.MIGRATING],
        _MISSING,
        CacheAct.IGNORE,
        "a start or migration of its own is under way",
    ),
    _row([State.STOPPED], _MISSING, CacheAct.DROP, "was off before"),
    _row(_ANY, _MISSING, CacheAct.REPORT_STOPPED, "gone; said anew every round"),
)
"""The first row that matches decides. Before it: another host is always a change (unless it is off there), and what
XenServer calls "migrating…" is skipped."""

_ACTS = {
    (cached, now): next(row.act for row in DELTA if cached in row.cached and now in row.now)
    for cached in (*State, None)
    for now in (*State, None)
    if cached is not None or now is not None
}


def cache_act(cached: State | None, now: State | None) -> CacheAct:
    """What the table says of one name."""
    return _ACTS[cached, now]


def changes_since(
    cache: Reports, seen: Reports, *, real_state: Callable[[str, State], State] = lambda _, state: state
) -> tuple[Reports, Reports]:
    """deltaClusterSync, and KVM's sync(): the new cache, and what is reported.

    `real_state` asks a second time for the state of a VM that is suddenly off (getRealPowerState); in one view the
    second answer is the first.
    """
    after, reported = dict(cache), dict[str, Seen]()
    for name, (host, state) in seen.items():
        before = cache.get(name)
        off = state in (State.STOPPED, State.STOPPING)
        if before is not None and host is not None and host != before.host_uuid and not off:
            after[name] = reported[name] = Seen(host, state)
            continue
        if state is State.STOPPED and (before is None or before.state not in (State.STOPPING, State.STOPPED)):
            state = real_state(name, state)
        if name.startswith(MIGRATING_PREFIX):
            continue
        act = cache_act(before.state if before is not None else None, state)
        if act in (CacheAct.CACHE, CacheAct.REPORT):
            after[name] = Seen(host, state)
        if act is CacheAct.REPORT:
            reported[name] = Seen(host, state)
    for name, (host, state) in cache.items():
        if name in seen:
            continue
        act = cache_act(state, None)
        if act is CacheAct.DROP:
            del after[name]
        elif act is CacheAct.REPORT_STOPPED:
            reported[name] = Seen(host, State.STOPPED)
    return after, reported


def list_on_xenserver(vms: Iterable[Vm]) -> Reports:
    """What the pool master lists: VMs on a host; no control domain, template or snapshot; nothing that is off."""
    return {
        vm.name: Seen(vm.host_uuid, XENSERVER_STATES_4_0.get(vm.power_state, State.UNKNOWN))
        for vm in vms
        if vm.kind is VmKind.MACHINE and is_resident(vm)
    }


def is_resident(vm: Vm) -> bool:
    """Whether XenServer says that the VM is on a host. A view does not tell it of a VM in a state that nobody knows."""
    if vm.power_state in (PowerState.HALTED, PowerState.SUSPENDED):
        return False
    return vm.host_uuid is not None


def list_on_kvm(vms: Iterable[Vm], host_uuid: str) -> Reports:
    """What a KVM host lists: what runs, by name; what is only defined, by the uuid that is computed from its name."""
    return {
        vm.name: Seen(host_uuid, KVM_STATES_4_0.get(vm.power_state, State.UNKNOWN))
        for vm in vms
        if vm.kind is VmKind.MACHINE
        and vm.host_uuid in (host_uuid, None)
        and (vm.power_state in POWER_STATES_THAT_HOLD_MEMORY or vm.uuid == name_uuid(vm.name))
    }
