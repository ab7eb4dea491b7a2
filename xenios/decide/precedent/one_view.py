"""What a manager would do to each VM of a pool if the pool were added to it now: the comparison in one view.

Nothing is decided here. The policy is shown the pool with an empty database, and then what it would see if somebody
started, moved or stopped the VM; so what a report says and what a story plays cannot differ. VMs of one name are
shown together, because CloudStack does not tell them apart; VMs of different names do not touch each other.

Effects: none
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from msgspec.structs import replace

from xenios.decide.precedent.books import PING_INTERVAL, Books
from xenios.decide.precedent.cloudstack import CloudStack
from xenios.decide.precedent.commands import is_xenserver
from xenios.decide.precedent.java_text import name_uuid
from xenios.decide.precedent.names import (
    has_patch_drive_name,
    is_name_of_its_own_4_0,
    is_own_halted_name_4_4,
    is_valid_user_vm_name_4_0,
)
from xenios.decide.precedent.policies import policy_named
from xenios.decide.precedent.policy import Deed, Occasion, Outcome
from xenios.decide.precedent.reports_4_0 import MIGRATING_PREFIX
from xenios.model.collection import Collection
from xenios.model.inventory import (
    Answer,
    Cpu,
    DiskKind,
    Host,
    HypervisorKind,
    Pool,
    PowerState,
    Vm,
    VmKind,
)

NAMESAKES_PLAYED_MAX = 20
"""Of more VMs of one name, what would follow from a change to one of them is found without the others."""

_SOMEWHERE = "the host that it is on"
_ELSEWHERE = "another host of the pool"
_ON = (PowerState.RUNNING, PowerState.PAUSED)
_DESTROYING = (Deed.RECORD_DESTROYED, Deed.STOPPED, Deed.RESTARTED)


class Harm(StrEnum):
    """The worst that happens to a VM, from none to its record being gone."""

    NONE = "none"
    DRIVE_REMOVED = "drive removed"
    """It runs on, without the CD drive that it had."""
    ON_CHANGE = "on change"
    """Nothing at first; as soon as anybody starts, moves or stops it, its record is destroyed, now or in the end."""
    RECORD_DESTROYED = "record destroyed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Precedent:
    """What would be done to one VM, with the rule that does it."""

    policy: str
    harm: Harm
    at_connect: str
    later: str
    rule: str


class Change(StrEnum):
    """What somebody may do to a VM after the pool was added."""

    STARTS = "starts it"
    MOVES = "moves it"
    SHUTS_DOWN = "shuts it down"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Later:
    """What follows from a change: in the next round, or when its host connects again."""

    change: Change
    at_once: bool
    outcome: Outcome


def precedent_of(policy: str, kind: HypervisorKind, vm: Vm, *, version: str = "") -> Precedent:
    """What `policy` would do to an unknown VM in a pool of this kind and version, alone in it.

    Raises ValueError for an unknown policy.
    """
    return _judge(policy_named(policy), Pool(uuid="", name="", kind=kind, version=version), (vm,))[0]


def precedents_of(policy: str, collection: Collection) -> tuple[Precedent, ...]:
    """The same for every VM of a view, in the order of the view. Raises ValueError for an unknown policy."""
    manager, pool = policy_named(policy), collection.pool
    silent = {host.uuid for host in collection.hosts if host.live is Answer.NO}
    answering = {host.uuid for host in collection.hosts} - silent
    by_name: dict[str, list[int]] = defaultdict(list)
    vms: list[Vm] = []
    for place, vm in enumerate(collection.vms):
        by_name[vm.name].append(place)
        known = vm.preferred_host_uuid in answering
        vms.append(vm if known or vm.preferred_host_uuid is None else replace(vm, preferred_host_uuid=None))
    found: dict[int, Precedent] = {}
    alike: dict[tuple[object, ...], Precedent] = {}
    for places in by_name.values():
        if len(places) == 1:
            vm = vms[places[0]]
            key = _what_matters(vm)
            if key not in alike:
                alike[key] = _judge(manager, pool, (vm,))[0]
            found[places[0]] = alike[key]
        else:
            found.update(zip(places, _judge(manager, pool, [vms[place] for place in places]), strict=True))
    return tuple(found[place] for place in range(len(vms)))


def _what_matters(vm: Vm) -> tuple[object, ...]:
    """Everything about a VM that a rule of any policy looks at: VMs that agree in it have one fate."""
    return (
        vm.kind,
        vm.power_state,
        vm.host_uuid is None,
        vm.preferred_host_uuid is None,
        vm.host_uuid == vm.preferred_host_uuid,
        vm.persistent,
        any(disk.kind is DiskKind.CDROM for disk in vm.disks),
        is_valid_user_vm_name_4_0(vm.name),
        is_name_of_its_own_4_0(vm.name),
        is_own_halted_name_4_4(vm.name),
        has_patch_drive_name(vm.name),
        vm.name.startswith(MIGRATING_PREFIX),
        vm.uuid == name_uuid(vm.name),
    )


# --- shown to the policy ---------------------------------------------------------------------------------------------


def _judge(policy: CloudStack, pool: Pool, namesakes: Sequence[Vm]) -> list[Precedent]:
    """The fates of all VMs of one name."""
    xenserver = is_xenserver(pool.kind)
    placed = [_placed(vm, xenserver) for vm in namesakes]
    view = _view(pool, placed)
    connected = policy.react(policy.begin(), Occasion.CONNECT, view, 0)
    told = _by_uuid(connected.outcomes)
    gone = {uuid for uuid, done in told.items() if any(outcome.deed in _DESTROYING for outcome in done)}
    left = [vm for vm in placed if vm.uuid not in gone]
    fates = []
    for vm in placed:
        if vm.uuid in gone:
            later = []
        elif len(placed) <= NAMESAKES_PLAYED_MAX:
            later = list(_after_changes(policy, connected.memory, view, vm, left))
        else:
            alone = policy.react(policy.begin(), Occasion.CONNECT, _view(pool, [vm]), 0).memory
            later = list(_after_changes(policy, alone, view, vm, [vm]))
        fates.append(_precedent(policy, vm, told.get(vm.uuid, []), later, xenserver))
    return fates


def _placed(vm: Vm, xenserver: bool) -> Vm:
    """A VM that runs is on some host, even if the view does not tell which."""
    if vm.host_uuid is None and (vm.power_state in _ON or not xenserver):
        return replace(vm, host_uuid=_SOMEWHERE)
    return vm


def _view(pool: Pool, vms: Sequence[Vm]) -> Collection:
    """A pool of these VMs, with the hosts that they are on, and one more."""
    uuids = {_SOMEWHERE, _ELSEWHERE}
    for vm in vms:
        uuids |= {uuid for uuid in (vm.host_uuid, vm.preferred_host_uuid) if uuid is not None}
    return Collection(
        seen_at=0,
        source="",
        pool=replace(pool, master_uuid=None),
        hosts=tuple(
            Host(
                uuid=uuid,
                name=uuid,
                cpu=Cpu(count=None),
                memory_bytes_total=None,
                memory_bytes_free=None,
                memory_bytes_overhead=None,
            )
            for uuid in sorted(uuids)
        ),
        storages=(),
        networks=(),
        vms=tuple(vms),
    )


def _by_uuid(outcomes: Iterable[Outcome]) -> Mapping[str, list[Outcome]]:
    told: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.vm_uuid is not None and outcome.deed is not Deed.ALERT:
            told[outcome.vm_uuid].append(outcome)
    return told


def _after_changes(
    policy: CloudStack, connected: Books, view: Collection, vm: Vm, there: Sequence[Vm]
) -> Iterator[_Later]:
    """Every change to a VM that ends in harm, each played from the connection on."""
    for change in Change:
        changed = _changed(vm, change, is_xenserver(view.pool.kind))
        if changed is None:
            continue
        after = replace(view, vms=tuple(changed if other is vm else other for other in there))
        memory = connected
        for occasion in (Occasion.ROUND, Occasion.CONNECT):
            reaction = policy.react(memory, occasion, after, PING_INTERVAL)
            outcomes = _by_uuid(reaction.outcomes).get(vm.uuid, [])
            harming = next((outcome for outcome in outcomes if outcome.deed in _DESTROYING), None)
            if harming is not None:
                yield _Later(change=change, at_once=occasion is Occasion.ROUND, outcome=harming)
                break
            memory = reaction.memory


def _changed(vm: Vm, change: Change, xenserver: bool) -> Vm | None:
    """The VM after a change; None where the change is none."""
    if vm.kind is not VmKind.MACHINE:
        return None
    if change is Change.STARTS:
        home = vm.host_uuid or vm.preferred_host_uuid or _SOMEWHERE
        off = vm.power_state not in _ON
        return replace(vm, power_state=PowerState.RUNNING, host_uuid=home) if off else None
    if vm.power_state not in _ON:
        return None
    if change is Change.MOVES:
        return replace(vm, host_uuid=_ELSEWHERE) if xenserver else None
    return replace(vm, power_state=PowerState.HALTED, host_uuid=None if xenserver else vm.host_uuid)


# --- in words --------------------------------------------------------------------------------------------------------


def _precedent(
    policy: CloudStack, vm: Vm, at_connect: Sequence[Outcome], later: Sequence[_Later], xenserver: bool
) -> Precedent:
    harm = _harm(at_connect, later)
    if harm is Harm.RECORD_DESTROYED:
        later_words = "gone"
    elif later:
        later_words = _later_words(vm, later)
    else:
        later_words = "left alone" if vm.kind is VmKind.MACHINE or at_connect else "not looked at"
    if at_connect:
        words = "; ".join(dict.fromkeys(outcome.words for outcome in at_connect))
        rules = [at_connect[0].rule, *(later[0].outcome.rule for _ in later[:1])]
        rule = "; then ".join(dict.fromkeys(rules))
    else:
        words, rule = _left_alone(policy, vm, xenserver)
        rule = later[0].outcome.rule if later else rule
    return Precedent(policy=policy.name, harm=harm, at_connect=words, later=later_words, rule=rule)


def _harm(at_connect: Iterable[Outcome], later: Sequence[_Later]) -> Harm:
    deeds = {outcome.deed for outcome in at_connect}
    if deeds & set(_DESTROYING):
        return Harm.RECORD_DESTROYED
    if later:
        return Harm.ON_CHANGE
    return Harm.DRIVE_REMOVED if Deed.DRIVE_REMOVED in deeds else Harm.NONE


def _later_words(vm: Vm, later: Sequence[_Later]) -> str:
    at_once = [each for each in later if each.at_once]
    if not at_once:
        verbs = " or ".join(each.change for each in later)
        return f"when anybody {verbs}: {later[0].outcome.words}"
    words = {each.outcome.words for each in at_once}
    what = words.pop() if len(words) == 1 else "stopped, and its record destroyed; only its disks stay"
    if vm.power_state is PowerState.UNKNOWN:
        return f"once it is seen running: {what}"
    verbs = " or ".join(each.change for each in at_once)
    return f"as soon as anybody {verbs}: {what}"


def _left_alone(policy: CloudStack, vm: Vm, xenserver: bool) -> tuple[str, str]:
    """Why nothing happens at first, and by which rule."""
    if vm.kind is not VmKind.MACHINE:
        return "not looked at", f"sync skips a {vm.kind}"
    if not policy.stops_unknown_vms:
        return (
            "left alone: it is not in its database",
            "power sync: a name that is not in the database is dropped",
        )
    if not xenserver:
        if is_name_of_its_own_4_0(vm.name):
            return (
                "not seen: it is off, and CloudStack looks for such domains by the uuid that it would give to this "
                "name",
                "sync of a KVM host lists running domains by name and the others by uuid",
            )
        return (
            "left alone: the name is not CloudStack's",
            "fullHostSync and deltaHostSync drop names that are not theirs",
        )
    rule = "fullSync, name rule: only names of user VMs (i-2-3-VM) are stopped for their form"
    if vm.power_state is PowerState.UNKNOWN:
        return "not known", rule
    if vm.power_state not in _ON:
        return "not reported: it is on no host", rule
    return "left alone: the name has not the form of CloudStack's user VMs", rule
