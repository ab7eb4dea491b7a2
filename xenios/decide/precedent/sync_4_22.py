"""The power-state sync of 4.22: every host reports all its VMs in every ping, and what is missing gets a grace period.

A name that is not in the database is dropped, so strangers are neither stopped nor counted. Names are looked up
without regard to host, pool or zone.

Effects: none
"""

from collections.abc import Mapping

from msgspec.structs import replace

from xenios.decide.precedent.books import PING_INTERVAL, Row, rows_by_name
from xenios.decide.precedent.policy import Deed
from xenios.decide.precedent.power_4_22 import Course, handle_power_report
from xenios.decide.precedent.reports_4_0 import is_resident
from xenios.decide.precedent.states import (
    KVM_REPORTS_4_22,
    XENSERVER_REPORTS_4_22,
    PowerReport,
    State,
)
from xenios.decide.precedent.turn import Turn
from xenios.model.inventory import PowerState, Vm, VmKind

SAME_STATE_UPDATES_MAX = 3
GRACE = 2 * PING_INTERVAL
SCANNED_FOR_MISSING = frozenset({State.RUNNING, State.STOPPING, State.STARTING})


def power_report(turn: Turn, host_uuid: str) -> Mapping[str, PowerReport]:
    """What a host reports, by name. When the hypervisor cannot be asked, the report is empty and not absent."""
    if turn.view is None:
        return {}
    here = [vm for vm in turn.view.vms if vm.kind is VmKind.MACHINE and vm.host_uuid == host_uuid]
    if turn.manner.xenserver:
        return {
            vm.name: XENSERVER_REPORTS_4_22.get(vm.power_state, PowerReport.UNKNOWN)
            for vm in here
            if is_resident(vm)
        }
    return {vm.name: KVM_REPORTS_4_22[vm.power_state] for vm in here if vm.power_state in KVM_REPORTS_4_22}


def reset_tracking(turn: Turn) -> None:
    """At connect: the VMs of the hosts get a fresh grace period."""
    for row in tuple(turn.rows.values()):
        if row.host_uuid in turn.hosts:
            turn.rows[row.id] = _tracked(row, count=0, at=turn.now)


def sync_host(turn: Turn, host_uuid: str) -> None:
    """One ping of one host."""
    report = power_report(turn, host_uuid)
    if _is_ambiguous(turn.rows, report):
        return
    named = rows_by_name(turn.rows)
    updated: list[tuple[int, PowerReport]] = []
    for name, power in report.items():
        row = named.get(name)
        if row is not None and _write(turn, row, power, host_uuid):
            updated.append((row.id, power))
    for row in tuple(turn.rows.values()):
        expected = row.host_uuid == host_uuid and row.state in SCANNED_FOR_MISSING
        if expected and row.name not in report and _is_missing(turn, row, host_uuid):
            updated.append((row.id, PowerReport.MISSING))
    for row_id, power in updated:
        _handle(turn, turn.rows[row_id], power, host_uuid)


def _is_ambiguous(rows: Mapping[int, Row], report: Mapping[str, PowerReport]) -> bool:
    """Whether two rows have one of the reported names: its map by names takes no second, and the sync ends there."""
    found = [row.name for row in rows.values() if row.name in report]
    return len(found) > len(set(found))


def _tracked(row: Row, *, count: int, at: int) -> Row:
    """Not Turn.set_row: the tracking is no change of the VM."""
    return replace(row, power_count=count, power_at=at)


def _write(turn: Turn, row: Row, power: PowerReport, host_uuid: str) -> bool:
    """Writes a report to the row. False: it has been written often enough and says nothing new."""
    same = row.power is power and row.power_host_uuid == host_uuid
    if same and not _contradicts(power, row.state) and row.power_count >= SAME_STATE_UPDATES_MAX:
        return False
    turn.rows[row.id] = replace(
        row,
        power=power,
        power_host_uuid=host_uuid,
        power_at=turn.now,
        power_count=row.power_count + 1 if same else 1,
    )
    return True


def _contradicts(power: PowerReport, state: State) -> bool:
    """Reports that are told anew for ever."""
    return (power, state) in ((PowerReport.OFF, State.RUNNING), (PowerReport.ON, State.STOPPED))


def _is_missing(turn: Turn, row: Row, host_uuid: str) -> bool:
    """Whether a VM that its host does not report is taken for missing now."""
    if row.power_count >= SAME_STATE_UPDATES_MAX:
        turn.rows[row.id] = _tracked(row, count=0, at=turn.now)
        return False
    if turn.now - row.power_at <= GRACE:
        return False
    return _write(turn, row, PowerReport.MISSING, host_uuid)


def _handle(turn: Turn, row: Row, power: PowerReport, host_uuid: str) -> None:
    course = handle_power_report(row.state, power)
    rule = f"power sync: {row.state} in the database, {power} reported"
    match course:
        case Course.FOLLOW_ON | Course.FOLLOW_ON_ALERT:
            _follow_on(turn, row, host_uuid, rule, alert=course is Course.FOLLOW_ON_ALERT)
        case Course.OFF_PATH | Course.OFF_PATH_SILENT:
            _off_path(turn, row, power, rule)
        case Course.HA_OR_OFF_PATH:
            if row.ha:
                _investigate(turn, row, rule)
            else:
                _off_path(turn, row, power, rule)
        case Course.LOG | Course.NOTHING:
            pass


def _follow_on(turn: Turn, row: Row, host_uuid: str, rule: str, *, alert: bool) -> None:
    moved = row.host_uuid is not None and row.host_uuid != host_uuid
    was = row.state
    if was is State.RUNNING and not moved and row.host_uuid == host_uuid:
        return
    turn.set_row(row, state=State.RUNNING, host_uuid=host_uuid, last_host_uuid=host_uuid)
    name = turn.hosts.get(host_uuid, host_uuid)
    if was is State.RUNNING:
        turn.tell_row(row, Deed.MARKED_MOVED, rule, f"on {name} in its database")
    else:
        turn.tell_row(row, Deed.MARKED_RUNNING, rule, f"Running on {name} in its database")
    if alert:
        turn.tell_row(row, Deed.ALERT, rule, f"state is synced ({was} to Running), from outside")


def _off_path(turn: Turn, row: Row, power: PowerReport, rule: str) -> None:
    """PowerOff is asked back by a stop that does nothing to a VM that runs; missing is believed without asking."""
    was = row.state
    if power is PowerReport.OFF:
        host_uuid = row.power_host_uuid if row.host_uuid is None else row.host_uuid
        if not turn.send_stop(row.name, host_uuid, rule, check_before_cleanup=True):
            return
    turn.mark_stopped(turn.rows[row.id])
    if was is not State.STOPPED:
        words = "Stopped in its database, its networks and volumes released there"
        turn.tell_row(row, Deed.MARKED_STOPPED, rule, words)
        turn.tell_row(row, Deed.ALERT, rule, f"state is synced ({was} to Stopped), from outside")


def _investigate(turn: Turn, row: Row, rule: str) -> None:
    """scheduleRestart with investigation. The database stays as it is until the investigators have spoken."""
    if not turn.manner.xenserver:
        # Its investigator takes a VM for alive as long as its host is up.
        words = "high availability drops the restart, for its host is up; nothing changes"
        turn.tell_row(row, Deed.ALERT, rule, words)
        return
    if turn.view is None:
        turn.tell_row(
            row, Deed.ALERT, rule, "high availability cannot find out whether it runs, and tries again"
        )
        return
    if any(_runs_on(vm, row.host_uuid) for vm in turn.view.vms if vm.name == row.name):
        return  # alive, and its host up: dropped
    turn.advance_stop(row, rule)
    turn.restart_later(row, rule)


def _runs_on(vm: Vm, host_uuid: str | None) -> bool:
    return vm.power_state is PowerState.RUNNING and vm.host_uuid == host_uuid
