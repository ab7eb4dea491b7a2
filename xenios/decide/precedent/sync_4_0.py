"""The syncs of 4.0.2: fullSync and deltaSync for a XenServer pool, fullHostSync and deltaHostSync for a KVM host.

All four follow one line: names become entries (infos.py), entries meet the database (compare_state.py), and what is
left over is stopped (commands.py).

Effects: none
"""

from collections.abc import Callable

from xenios.decide.precedent.books import Row
from xenios.decide.precedent.compare_state import Case, Effect, Where, compare_state
from xenios.decide.precedent.infos import Info, infos_of_cluster, infos_of_host
from xenios.decide.precedent.names import is_valid_user_vm_name_4_0
from xenios.decide.precedent.policy import Deed
from xenios.decide.precedent.reports_4_0 import Reports
from xenios.decide.precedent.states import State
from xenios.decide.precedent.turn import Turn

MayStopUnknown = Callable[[str], bool]
"""Whether deltaSync may stop an unknown VM of this name: 4.0.2 does not ask, the patch does."""

RULE_FULL_NAME = "fullSync, name rule: the name looks like CloudStack's"
RULE_FULL_STOPPED = "fullSync, a VM that should be off"
RULE_FULL_DESTROYED = "fullSync, a VM that was destroyed"
RULE_FULL_MOVED = "fullSync, another host"
RULE_DELTA_UNKNOWN = "deltaSync, unknown VM: StopCommand without a look at the name"
RULE_DELTA_UNKNOWN_PATCHED = "deltaSync, unknown VM, patched: the name looks like CloudStack's"
RULE_HOST_MOVED = "fullHostSync: a VM of its own, expected on another host"
RULE_HOST_UNKNOWN = "fullHostSync: a name of its own, and no record of it"
RULE_DELTA_HOST_UNKNOWN = "deltaHostSync: a name of its own, and no record of it"

_OFF = (State.STOPPED, State.STOPPING)
_GONE = (State.DESTROYED, State.EXPUNGING)


# --- XenServer -------------------------------------------------------------------------------------------------------


def full_sync(turn: Turn, reports: Reports, instance: str) -> None:
    """fullSync, at connect only: the VMs of the database first, then what is left over, by the name rule."""
    infos = infos_of_cluster(reports, turn.rows, instance)
    for row in tuple(turn.rows.values()):
        if _is_of_this_pool(turn, row):
            _full_sync_row(turn, row, infos.pop(row.id, None))
    for info in infos.values():
        if is_valid_user_vm_name_4_0(info.name):
            turn.send_stop(info.name, info.host_uuid, RULE_FULL_NAME)


def _is_of_this_pool(turn: Turn, row: Row) -> bool:
    """Those on a host of the pool, and those on none whose last host is in it."""
    return (row.host_uuid if row.host_uuid is not None else row.last_host_uuid) in turn.hosts


def _full_sync_row(turn: Turn, row: Row, info: Info | None) -> None:
    if _is_inconsistent(row, info):
        # Taken for stopped, also if it runs while its start is not finished: high availability shall care for it.
        row = turn.set_row(row, state=State.RUNNING, work_is_migrating=False)
        host_uuid = row.host_uuid if row.host_uuid is not None else row.last_host_uuid
        stopped = Info(name=row.name, state=State.STOPPED, host_uuid=host_uuid, row=row, type=row.type)
        _compare(turn, stopped, row, "fullSync", full=True, track=True)
    elif info is None:
        return
    elif row.state in _GONE:
        turn.send_stop(info.name, info.host_uuid, RULE_FULL_DESTROYED)
    elif row.state in _OFF:
        # Marked also if the host that reports it is not known, to which no command can be sent.
        turn.mark_stopped(row)
        turn.send_stop(info.name, info.host_uuid, RULE_FULL_STOPPED)
    elif row.state is State.RUNNING and info.host_uuid in turn.hosts and info.host_uuid != row.host_uuid:
        _mark_moved(turn, row, info.host_uuid, RULE_FULL_MOVED)


def _is_inconsistent(row: Row, info: Info | None) -> bool:
    if info is None:
        return row.state in (State.RUNNING, State.STARTING)
    return info.state is State.RUNNING and row.state is State.STARTING


def delta_sync(
    turn: Turn, changes: Reports, instance: str, may_stop: MayStopUnknown, rule_unknown: str
) -> None:
    """deltaSync, every minute. Whatever is to be sent, it is a StopCommand."""
    for info in infos_of_cluster(changes, turn.rows, instance).values():
        if info.row is not None:
            if info.host_uuid in turn.hosts:
                _compare(turn, info, turn.rows[info.row.id], "deltaSync", full=False, track=True)
        elif may_stop(info.name):
            turn.send_stop(info.name, info.host_uuid, rule_unknown)


# --- KVM -------------------------------------------------------------------------------------------------------------


def full_host_sync(turn: Turn, host_uuid: str, reports: Reports, instance: str) -> None:
    """fullHostSync, when a host connects. KVM does not track moves, so what came from elsewhere is stopped."""
    infos = infos_of_host(reports, turn.rows, instance)
    for row in tuple(turn.rows.values()):
        if row.host_uuid == host_uuid:
            info = infos.pop(row.id, None) or Info(
                name=row.name, state=State.STOPPED, host_uuid=host_uuid, row=row, type=row.type
            )
            _compare(turn, info, row, "fullHostSync", full=True, track=False)
    for info in infos.values():
        turn.send_stop(info.name, host_uuid, RULE_HOST_MOVED if info.row is not None else RULE_HOST_UNKNOWN)


def delta_host_sync(turn: Turn, host_uuid: str, changes: Reports, instance: str) -> None:
    """deltaHostSync, in every ping."""
    for info in infos_of_host(changes, turn.rows, instance).values():
        if info.row is not None:
            _compare(turn, info, turn.rows[info.row.id], "deltaHostSync", full=False, track=False)
        else:
            turn.send_stop(info.name, host_uuid, RULE_DELTA_HOST_UNKNOWN)


# --- what compareState says, done ------------------------------------------------------------------------------------


def _compare(turn: Turn, info: Info, row: Row, sync: str, *, full: bool, track: bool) -> None:
    where = Where.NONE if row.host_uuid is None else Where.OTHER
    case = Case(
        agent=info.state,
        server=row.state,
        where=Where.SAME if row.host_uuid == info.host_uuid and row.host_uuid is not None else where,
        full=full,
        track=track,
        work_is_migrating=row.work_is_migrating,
    )
    compared = compare_state(case)
    rule = f"{sync}, compareState {compared.rule}: {compared.why}"
    for effect in compared.effects:
        _do(turn, effect, turn.rows[row.id], info, rule)


def _do(turn: Turn, effect: Effect, row: Row, info: Info, rule: str) -> None:
    match effect:
        case Effect.ALERT_STORAGE:
            turn.tell_row(row, Deed.ALERT, rule, "stopped due to storage failure")
        case Effect.REPORT_MIGRATED:
            _mark_moved(turn, row, info.host_uuid, rule)
        case Effect.REPORT_RUNNING | Effect.FINISH_START:
            _mark_running(turn, row, info.host_uuid, rule)
        case Effect.HA_RESTART:
            if not row.ha:
                turn.tell_row(row, Deed.ALERT, rule, "stopped unexpectedly, and high availability is off")
            turn.advance_stop(row, rule)
            turn.restart_later(row, rule)
        case Effect.HA_STOP | Effect.HA_FORCE_STOP:
            if turn.send_stop(row.name, row.host_uuid, rule) or effect is Effect.HA_FORCE_STOP:
                turn.mark_stopped(row)
        case Effect.ADVANCE_STOP:
            turn.advance_stop(row, rule)
        case Effect.STOP_COMMAND:
            turn.send_stop(info.name, info.host_uuid, rule)


def _mark_running(turn: Turn, row: Row, host_uuid: str | None, rule: str) -> None:
    if row.state is not State.RUNNING:
        turn.tell_row(row, Deed.MARKED_RUNNING, rule, "Running in its database")
    if row.state is not State.RUNNING or row.host_uuid != host_uuid:
        turn.set_row(row, state=State.RUNNING, host_uuid=host_uuid, last_host_uuid=host_uuid)


def _mark_moved(turn: Turn, row: Row, host_uuid: str | None, rule: str) -> None:
    name = turn.hosts.get(host_uuid or "", host_uuid or "nowhere")
    turn.set_row(row, host_uuid=host_uuid, last_host_uuid=host_uuid)
    turn.tell_row(row, Deed.MARKED_MOVED, rule, f"on {name} in its database")
