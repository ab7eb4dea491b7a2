"""Plays a story to several policies and puts what happened side by side.

Effects: none
"""

from collections.abc import Sequence

from xenios.model.collection import Collection
from xenios.replay.column import Column, Contestant, as_known, play_column
from xenios.replay.script import Story
from xenios.replay.told import (
    Cell,
    Harm,
    PolicyVerdict,
    RoomEnd,
    RoomRow,
    Row,
    RowKind,
    Told,
    VmEnd,
    VmRow,
)
from xenios.replay.world import host_uuid_of, room_taken_bytes, unanswered, view_of

ROUND_WORDS = "a round"


def play(story: Story, contestants: Sequence[Contestant]) -> Told:
    """The story in every policy's world."""
    columns = [play_column(story, contestant) for contestant in contestants]
    rooms = _rooms(story, columns)
    return Told(
        name=story.name,
        title=story.title,
        about=story.about,
        kind=story.kind,
        version=story.version,
        round_seconds=story.round_seconds,
        end_seconds=story.end_seconds,
        policies=tuple(contestant.name for contestant in contestants),
        rows=_rows(story, columns),
        vms=_vms(columns),
        rooms=rooms,
        verdicts=tuple(_verdict(column, rooms) for column in columns),
    )


def _rows(story: Story, columns: Sequence[Column]) -> tuple[Row, ...]:
    """Every line of the story, and every round in which anything was done that the round before had not done."""
    words = {line.number: line.words for line in story.lines}
    rows = []
    for moment in sorted({moment for column in columns for moment in column.cells}):
        at, in_round, number = moment
        rows.append(
            Row(
                at_seconds=at,
                kind=RowKind.ROUND if in_round else RowKind.LINE,
                line=None if in_round else number,
                words=ROUND_WORDS if in_round else words[number],
                cells=tuple(
                    column.cells.get(moment) or Cell(policy=column.contestant.name) for column in columns
                ),
            )
        )
    return tuple(rows)


def _vms(columns: Sequence[Column]) -> tuple[VmRow, ...]:
    handles = dict.fromkeys(handle for column in columns for handle in column.world.vms)
    rows = []
    for handle in handles:
        vm = next(column.world.vms[handle] for column in columns if handle in column.world.vms)
        ends = tuple(_vm_end(column, handle) for column in columns if _was_made(column, handle))
        made_by = vm.maker.value if vm.maker is not None else "administrator"
        rows.append(VmRow(vm=handle, name=vm.name, made_by=made_by, memory_bytes=vm.memory_bytes, ends=ends))
    return tuple(rows)


def _was_made(column: Column, handle: str) -> bool:
    return handle in column.world.vms and column.world.vms[handle].lives > 0


def _vm_end(column: Column, handle: str) -> VmEnd:
    vm = column.world.vms[handle]
    sitting = column.sitting.get(vm.maker) if vm.maker is not None else None
    believed = ""
    if sitting is not None and vm.maker is not None:
        believed = sitting.policy.belief(sitting.memory, as_known(column, vm.maker, vm))
    return VmEnd(
        policy=column.contestant.name,
        exists=vm.exists,
        power_state=vm.power_state,
        host=vm.host,
        believed=believed,
        harm=column.harm.get(handle, Harm.NONE),
        harmed_by=tuple(column.harmed_by.get(handle, ())),
    )


def _rooms(story: Story, columns: Sequence[Column]) -> tuple[RoomRow, ...]:
    ends: dict[str, list[RoomEnd]] = {host.name: [] for host in story.hosts}
    for column in columns:
        taken = room_taken_bytes(column.world)
        view = _view_at_the_end(column)
        if view is None:
            continue
        for seat, sitting in column.sitting.items():
            claims = sitting.policy.room(sitting.memory, view)
            for host in story.hosts:
                claim = claims.get(host_uuid_of(host.name))
                believed = claim.bytes_used if claim is not None else None
                ends[host.name].append(
                    RoomEnd(
                        policy=column.contestant.name,
                        seat=seat,
                        bytes_taken=taken[host.name],
                        bytes_taken_believed=believed,
                        bytes_free=host.memory_bytes - host.overhead_bytes - taken[host.name],
                        bytes_free_believed=claim.bytes_free if claim is not None else None,
                        bytes_drift=taken[host.name] - believed if believed is not None else None,
                    )
                )
    return tuple(
        RoomRow(host=host.name, bytes_total=host.memory_bytes, ends=tuple(ends[host.name]))
        for host in story.hosts
    )


def _view_at_the_end(column: Column) -> Collection | None:
    """What there is to see when the story ends; if nothing is, the last that was seen, as such."""
    last = column.last_view
    now = view_of(column.world, last.seen_at if last is not None else 0)
    return now if now is not None or last is None else unanswered(last)


def _verdict(column: Column, rooms: Sequence[RoomRow]) -> PolicyVerdict:
    name = column.contestant.name
    drifts: dict[object, list[int | None]] = {}
    for room in rooms:
        for end in room.ends:
            if end.policy == name:
                drifts.setdefault(end.seat, []).append(end.bytes_drift)
    known = [[drift for drift in seat if drift is not None] for seat in drifts.values()]

    def harmed(harm: Harm) -> tuple[str, ...]:
        return tuple(handle for handle in column.world.vms if column.harm.get(handle) is harm)

    return PolicyVerdict(
        policy=name,
        aliens_harmed=harmed(Harm.ALIEN),
        own_harmed=harmed(Harm.OWN),
        mistaken=harmed(Harm.MISTAKEN),
        records_destroyed=tuple(handle for handle in column.world.vms if handle in column.destroyed),
        started_again=tuple(handle for handle in column.world.vms if handle in column.started_again),
        bytes_promised_too_much=max((sum(max(0, drift) for drift in seat) for seat in known), default=0),
        bytes_promised_too_little=max((sum(max(0, -drift) for drift in seat) for seat in known), default=0),
        room_known=bool(drifts) and not any(None in seat for seat in drifts.values()),
    )
