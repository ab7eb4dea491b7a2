"""One policy playing a story in a world of its own: who sits where, what was done, and what it did to the world.

Effects: none
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from xenios.decide.precedent.policy import HARMING_DEEDS, Deed, Occasion, Outcome, Policy, Reaction
from xenios.model.collection import Collection
from xenios.model.inventory import PowerState, Vm
from xenios.replay.hands import BY_HAND, by_hand, name_taken, place_for, powered
from xenios.replay.script import Act, Line, Seat, Story
from xenios.replay.told import Cell, Happened, Harm
from xenios.replay.world import (
    FIRST_MOMENT,
    World,
    WorldVm,
    as_seen,
    host_uuid_of,
    view_of,
    vm_from,
    vm_uuid_of,
    world_of,
)

HARM_ORDER = (Harm.NONE, Harm.MISTAKEN, Harm.OWN, Harm.ALIEN)

_NEED_A_VM = frozenset({Deed.STOPPED, Deed.RECORD_DESTROYED, Deed.DRIVE_REMOVED})
_ENDS = frozenset({Deed.STOPPED, Deed.RECORD_DESTROYED})
_STARTS = frozenset({Deed.STARTED, Deed.RESTARTED})
RULE_DEPLOYED = "at a user's request"
WORDS_DEPLOYED = "made, marked as its own, and started"
NOTHING_TO_STOP = "a stop is sent, and finds nothing: its record is gone already"

Moment = tuple[int, int, int]
"""When a row is: seconds, 0 for a line and 1 for the round after it, the line's number or 0."""
Born = Callable[[Policy[Any], World, WorldVm], WorldVm]
"""What a VM is like that this manager has just made: its uuid, what is written on it."""
Refuses = Callable[[Policy[Any], Any, Vm, Collection, int], Outcome | None]
"""What a manager says instead of making a VM that a user wants; None: it makes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A policy that takes part: an installation of it for each seat, and what the VMs are like that it makes."""

    name: str
    seats: dict[Seat, Policy[Any]]
    born: Born
    known_as: Mapping[str, str] = field(default_factory=dict)
    """What people call the ids that it tells."""
    deploys_by_starting: bool = True
    """Whether its start makes a VM's record, as CloudStack's does: out of whatever has the name already."""
    told_when_a_host_is_back: bool = True
    """Whether a host that comes back is a connection to it, as to a manager with an agent for each host."""
    finds_a_host: bool = False
    """Whether it finds a host itself for a start where the user names none; otherwise it is given one."""
    refuses: Refuses = field(default=lambda policy, memory, vm, view, now: None)
    """Asked of a manager that does not deploy by starting, which would say so itself."""


@dataclass(slots=True)
class _Sitting:
    """A manager at work."""

    policy: Policy[Any]
    memory: Any
    since_seconds: int
    own: dict[str, str] = field(default_factory=dict)
    """What it deployed, by handle, and the name under which it knows it."""
    saved: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Column:
    """One policy, its world, and everything that happened there."""

    contestant: Contestant
    story: Story
    world: World
    cells: dict[Moment, Cell] = field(default_factory=dict)
    sitting: dict[Seat, _Sitting] = field(default_factory=dict)
    harm: dict[str, Harm] = field(default_factory=dict)
    harmed_by: dict[str, list[str]] = field(default_factory=dict)
    destroyed: set[str] = field(default_factory=set)
    started_again: set[str] = field(default_factory=set)
    asked: dict[str, bool] = field(default_factory=dict)
    """What users asked of which VM and has not been seen to be so yet: that it run, or that it be off."""
    last_view: Collection | None = None
    last_round_seconds: int = -1
    repeated: dict[tuple[object, ...], tuple[Moment, int, int]] = field(default_factory=dict)
    """What happened in the last round: where it was told first, its place there, and when it was seen last."""


def play_column(story: Story, contestant: Contestant) -> Column:
    """Plays the whole story for one policy."""
    column = Column(contestant, story, world_of(story))
    round_at = story.round_seconds
    for line in story.lines:
        while round_at < line.at_seconds:
            _round(column, round_at)
            round_at += story.round_seconds
        _line(column, line)
    while round_at <= story.end_seconds:
        _round(column, round_at)
        round_at += story.round_seconds
    return column


def as_known(column: Column, seat: Seat, vm: WorldVm) -> Vm:
    """A VM of a manager under the name by which it knows it, whatever the hypervisor calls it now."""
    seen = as_seen(column.world, vm)
    return replace(seen, name=column.sitting[seat].own.get(vm.handle, vm.name))


def moment_of(at_seconds: int) -> int:
    """The time of a story in microseconds since 1970."""
    return FIRST_MOMENT + at_seconds * 1_000_000


# --- rounds and lines ----------------------------------------------------------------------------------------------


def _round(column: Column, at: int) -> None:
    for seat, sitting in column.sitting.items():
        if sitting.since_seconds < at:
            _react(column, seat, Occasion.ROUND, (at, 1, 0))
    column.last_round_seconds = at
    _forget_what_was_fulfilled(column)


def _line(column: Column, line: Line) -> None:
    moment = (line.at_seconds, 0, line.number)
    column.cells[moment] = Cell(policy=column.contestant.name)
    if line.act in BY_HAND:
        _forget_what_was_fulfilled(column)
        done = by_hand(column.world, line, moment_of(line.at_seconds))
        column.world = done.world
        if done.refused:
            _refuse(column, moment, done.refused)
        elif line.act is Act.HOST_BACK and column.contestant.told_when_a_host_is_back:
            for seat in column.sitting:
                _react(column, seat, Occasion.CONNECT, moment)
        return
    if line.seat is not None:
        _manager(column, line.seat, line, moment)


def _manager(column: Column, seat: Seat, line: Line, moment: Moment) -> None:
    if line.act is Act.CONNECT:
        policy = column.contestant.seats[seat]
        column.sitting[seat] = _Sitting(policy, policy.begin(), line.at_seconds)
    sitting = column.sitting[seat]
    match line.act:
        case Act.CONNECT | Act.RESTART:
            sitting.since_seconds = line.at_seconds
            _react(column, seat, Occasion.CONNECT, moment)
        case Act.SAVE:
            sitting.saved[line.name] = sitting.memory
        case Act.RESTORE:
            sitting.memory = sitting.policy.restored(sitting.saved[line.name], sitting.memory)
            sitting.since_seconds = line.at_seconds
            _react(column, seat, Occasion.CONNECT, moment)
        case Act.DEPLOY:
            _deploy(column, seat, sitting, line, moment)
        case _:
            _ask(column, seat, sitting, line, moment)


def _deploy(column: Column, seat: Seat, sitting: _Sitting, line: Line, moment: Moment) -> None:
    if line.new_vm is None:
        return None
    now = moment_of(line.at_seconds)
    vm = column.contestant.born(sitting.policy, column.world, vm_from(column.world, line.new_vm, maker=seat))
    view = _look(column, now)
    if view is None:
        return _refuse(column, moment, "the hypervisor does not answer")
    if vm.host in column.world.silent:
        return _refuse(column, moment, f"host {vm.host} does not answer")
    if column.contestant.deploys_by_starting:
        return _deploy_by_starting(column, seat, vm, view, moment)
    if taken := name_taken(column.world, vm):
        return _refuse(column, moment, taken)
    seen = as_seen(column.world, vm)
    if (refusal := column.contestant.refuses(sitting.policy, sitting.memory, seen, view, now)) is not None:
        return _take(column, seat, Reaction(memory=sitting.memory, outcomes=(refusal,)), moment)
    column.world = column.world.with_vm(vm)
    sitting.own[vm.handle] = vm.name
    memory = sitting.policy.created(sitting.memory, seen, ha=vm.high_availability, now=now)
    made = Outcome(vm_uuid=vm.uuid, name=vm.name, deed=Deed.STARTED, rule=RULE_DEPLOYED, words=WORDS_DEPLOYED)
    return _take(column, seat, Reaction(memory=memory, outcomes=(made,)), moment)


def _deploy_by_starting(column: Column, seat: Seat, vm: WorldVm, view: Collection, moment: Moment) -> None:
    """A manager whose start makes the record: until then the VM is in its database only."""
    sitting, now, host = column.sitting[seat], moment_of(moment[0]), vm.host or ""
    unmade = replace(powered(column.world, vm, PowerState.HALTED), exists=False, lives=0)
    column.world = column.world.with_vm(unmade)
    sitting.own[vm.handle] = vm.name
    seen = replace(as_seen(column.world, unmade), preferred_host_uuid=host_uuid_of(host))
    memory = sitting.policy.created(sitting.memory, seen, ha=vm.high_availability, now=now)
    _take(column, seat, sitting.policy.asked_to_start(memory, seen, host_uuid_of(host), view, now), moment)


def _ask(column: Column, seat: Seat, sitting: _Sitting, line: Line, moment: Moment) -> None:
    vm = column.world.vms.get(line.vm)
    if vm is None or line.vm not in sitting.own:
        return _refuse(column, moment, f"{line.vm} was never made here")
    now = moment_of(line.at_seconds)
    view = _look(column, now)
    if view is None:
        return _refuse(column, moment, "the hypervisor does not answer")
    seen = as_known(column, seat, vm)
    column.asked[line.vm] = line.act is Act.ASK_TO_START
    if line.act is Act.ASK_TO_STOP:
        reaction = sitting.policy.asked_to_stop(sitting.memory, seen, view, now)
    else:
        host = line.host or ("" if column.contestant.finds_a_host else place_for(column.world, vm))
        host_uuid = host_uuid_of(host) if host else ""
        reaction = sitting.policy.asked_to_start(sitting.memory, seen, host_uuid, view, now)
    _take(column, seat, reaction, moment)
    return None


def _forget_what_was_fulfilled(column: Column) -> None:
    for handle, on in tuple(column.asked.items()):
        if column.world.vms[handle].holds_memory is on:
            del column.asked[handle]


def _react(column: Column, seat: Seat, occasion: Occasion, moment: Moment) -> None:
    now = moment_of(moment[0])
    view = _look(column, now)
    sitting = column.sitting[seat]
    _take(column, seat, sitting.policy.react(sitting.memory, occasion, view, now), moment)


def _look(column: Column, now: int) -> Collection | None:
    view = view_of(column.world, now)
    column.last_view = view if view is not None else column.last_view
    return view


def _refuse(column: Column, moment: Moment, why: str) -> None:
    column.cells[moment] = replace(column.cells[moment], refused=why)


# --- what a policy does to its world -------------------------------------------------------------------------------


def _take(column: Column, seat: Seat, reaction: Reaction[Any], moment: Moment) -> None:
    """Remembers what the policy knows now, does to the world what it does, and notes it down."""
    column.sitting[seat].memory = reaction.memory
    for outcome in reaction.outcomes:
        vm = _hit(column, seat, outcome)
        harm = Harm.NONE
        if vm is not None:
            outcome = _as_it_turns_out(vm, outcome)
            harm = _harm(vm, outcome.deed, seat, asked=_was_asked(column, seat, vm, outcome.deed))
            _do(column, seat, vm, outcome)
            _note_harm(column, vm.handle, outcome, harm)
            if outcome.deed is Deed.RESTARTED and not vm.holds_memory:
                column.started_again.add(vm.handle)
        _note(column, seat, outcome, vm.handle if vm is not None else "", harm, moment)


def _hit(column: Column, seat: Seat, outcome: Outcome) -> WorldVm | None:
    """The VM that an outcome is about; one that the manager lost sight of is found among its own by name."""
    vms = column.world.vms
    if outcome.vm_uuid is not None:
        return column.world.by_uuid(outcome.vm_uuid)
    own = column.sitting[seat].own
    return next((vms[handle] for handle, name in own.items() if name == outcome.name), None)


def _as_it_turns_out(vm: WorldVm, outcome: Outcome) -> Outcome:
    """A manager may send a stop for a VM that it has lost sight of, and that is really gone: it finds nothing."""
    if vm.exists or outcome.deed not in _NEED_A_VM:
        return outcome
    return replace(outcome, deed=Deed.STOP_FAILED, words=NOTHING_TO_STOP)


def _was_asked(column: Column, seat: Seat, vm: WorldVm, deed: Deed) -> bool:
    """Whether a user of this manager asked for it, just now or a while ago."""
    on = column.asked.get(vm.handle)
    return on is not None and vm.maker is seat and (deed in _STARTS if on else deed in _ENDS)


def _harm(vm: WorldVm, deed: Deed, seat: Seat, *, asked: bool) -> Harm:
    if asked or not vm.exists:
        return Harm.NONE
    if deed in HARMING_DEEDS and vm.maker is not seat:
        return Harm.ALIEN
    if deed in HARMING_DEEDS and (vm.holds_memory or deed is Deed.RECORD_DESTROYED):
        return Harm.OWN
    return Harm.MISTAKEN if deed is Deed.MARKED_STOPPED and vm.holds_memory else Harm.NONE


def _do(column: Column, seat: Seat, vm: WorldVm, outcome: Outcome) -> None:
    world = column.world
    match outcome.deed:
        case Deed.STOPPED:
            column.world = world.with_vm(powered(world, vm, PowerState.HALTED))
        case Deed.RECORD_DESTROYED:
            column.world = world.with_vm(replace(powered(world, vm, PowerState.HALTED), exists=False))
        case Deed.STARTED | Deed.RESTARTED:
            host = _host_named(world, outcome.host_uuid) or place_for(world, vm)
            started = powered(world, vm, PowerState.RUNNING, host)
            if not vm.exists:
                started = replace(
                    started,
                    exists=True,
                    lives=vm.lives + 1,
                    uuid=vm_uuid_of(vm.handle, vm.lives + 1),
                    mark="",
                    snapshots=(),
                )
                started = column.contestant.born(column.sitting[seat].policy, world, started)
            column.world = world.with_vm(started)
        case _:
            pass


def _host_named(world: World, host_uuid: str | None) -> str | None:
    return next((host.name for host in world.story.hosts if host_uuid_of(host.name) == host_uuid), None)


def _note_harm(column: Column, handle: str, outcome: Outcome, harm: Harm) -> None:
    if harm is Harm.NONE:
        return
    column.harm[handle] = worst((column.harm.get(handle, Harm.NONE), harm))
    rules = column.harmed_by.setdefault(handle, [])
    if outcome.rule not in rules:
        rules.append(outcome.rule)
    if outcome.deed is Deed.RECORD_DESTROYED:
        column.destroyed.add(handle)


def worst(harms: Iterable[Harm]) -> Harm:
    """The gravest of them."""
    return max(harms, key=HARM_ORDER.index, default=Harm.NONE)


def _note(column: Column, seat: Seat, outcome: Outcome, handle: str, harm: Harm, moment: Moment) -> None:
    """Tells it, unless it is what the round before has done as well: then it counts as one more time."""
    at, in_round, _ = moment
    same = (seat, handle, outcome.name, outcome.deed, outcome.rule, harm)
    before = column.repeated.get(same)
    if in_round and before is not None and before[2] == column.last_round_seconds:
        first, place, _ = before
        told = list(column.cells[first].happened)
        told[place] = replace(told[place], times=told[place].times + 1, last_seconds=at)
        column.cells[first] = replace(column.cells[first], happened=tuple(told))
        column.repeated[same] = (first, place, at)
        return
    cell = column.cells.setdefault(moment, Cell(policy=column.contestant.name))
    happened = Happened(
        seat=seat,
        vm=handle,
        name=outcome.name,
        deed=outcome.deed,
        rule=outcome.rule,
        words=_in_names(column, outcome.words),
        harm=harm,
        last_seconds=at,
    )
    column.cells[moment] = replace(cell, happened=(*cell.happened, happened))
    if in_round:
        column.repeated[same] = (moment, len(cell.happened), at)


def _in_names(column: Column, words: str) -> str:
    """A policy knows hosts by their uuids, people by their names."""
    names = {host_uuid_of(host.name): host.name for host in column.story.hosts}
    for known, name in (names | dict(column.contestant.known_as)).items():
        words = words.replace(known, name)
    return words
