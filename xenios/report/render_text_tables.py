"""Renders the tables of the report for a terminal.

A table that is wider than the terminal leaves out whole columns, the ones that --details gives as well, rather than
folding every cell.

Effects: none
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from xenios.decide.precedent import Harm
from xenios.model.decision import Finding, Severity
from xenios.model.inventory import Answer, Disk, DiskKind, PowerState
from xenios.report.schema import TargetReport, VmReport
from xenios.report.words import NOT_TOLD, bytes_text, number_text, shown

_LEFT_OUT: tuple[tuple[int, tuple[str, ...]], ...] = (
    (124, ()),
    (112, ("Disks",)),
    (92, ("Disks", "Host", "vCPU")),
    (0, ("Disks", "Host", "vCPU", "Memory", "Managed by")),
)
"""From how many columns on which columns of the table of VMs are left out."""

_POWER_STYLE = {
    PowerState.RUNNING: "green",
    PowerState.CRASHED: "bold red",
    PowerState.UNKNOWN: "bold yellow",
    PowerState.PAUSED: "yellow",
}
_HARM_WORDS = {
    Harm.NONE: "nothing",
    Harm.ON_CHANGE: "destroy later",
    Harm.STOPPED: "stop",
    Harm.RECORD_DESTROYED: "DESTROY NOW",
}
_ADOPTION_WORDS = {"ask the operator": "ask"}
_SEVERITY_WORDS = {Severity.CRITICAL: "critical", Severity.WARNING: "warn", Severity.INFO: "info"}
_ADOPTION_STYLE = {"yes": "green", "ask the operator": "yellow", "not now": "yellow", "no": "red"}


def tables_of(target: TargetReport, compare: str | None, width: int) -> list[tuple[str, Table]]:
    """The tables with their titles, in the order in which they are read."""
    compared = f", compared with what {compare} would do" if compare else ""
    return [
        ("Hosts", _host_table(target)),
        ("Room: memory", _room_table(target)),
        ("Storage", _storage_table(target)),
        ("Networks", _network_table(target)),
        (f"VMs ({len(target.vms)}){compared}", _vm_table(target.vms, width)),
    ]


def name_of(vm: VmReport) -> str:
    """A VM's name as it may be shown; one without a name by the beginning of its uuid."""
    return shown(vm.name) if vm.name.strip() else f"(no name, {vm.uuid[:8]}…)"


def _table(*columns: str, right: Iterable[str] = (), whole: Iterable[str] = ()) -> Table:
    """An empty table; columns in `right` are flush right, those in `whole` never fold."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        justify: JustifyMethod = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold", no_wrap=column in whole)
    return table


def _host_table(target: TargetReport) -> Table:
    table = _table("Name", "Product", "Address", "CPUs", "Model", "Memory", "State", right=("CPUs", "Memory"))
    for host in target.hosts:
        state = {
            (Answer.NO, Answer.YES): "NOT LIVE",
            (Answer.NO, Answer.NO): "NOT LIVE, disabled",
            (Answer.YES, Answer.NO): "live, disabled",
            (Answer.YES, Answer.YES): "live",
        }.get((host.live, host.enabled), f"live: {host.live.value}, enabled: {host.enabled.value}")
        table.add_row(
            shown(host.name),
            shown(f"{host.product} {host.version}"),
            shown(host.address) or NOT_TOLD,
            number_text(host.cpu.count),
            shown(host.cpu.model) or NOT_TOLD,
            bytes_text(host.memory_bytes_total),
            Text(state, style="green" if state == "live" else "yellow"),
        )
    return table


def _room_table(target: TargetReport) -> Table:
    names = {host.uuid: host.name for host in target.hosts}
    figures = (
        "Total",
        "Overhead",
        "Declared",
        "Free: declared",
        "Free: measured",
        "Free: worst",
        "May start",
        "Drift",
    )
    table = _table("Host", *figures, right=figures)
    for room in target.rooms:
        declared = bytes_text(room.bytes_declared) + (
            f" +{room.vms_not_told} not told" if room.vms_not_told else ""
        )
        table.add_row(
            shown(names.get(room.host_uuid, room.host_uuid)),
            bytes_text(room.bytes_total),
            bytes_text(room.bytes_overhead),
            declared,
            bytes_text(room.bytes_free_declared),
            bytes_text(room.bytes_free_measured),
            Text(bytes_text(room.bytes_free), style="bold" if (room.bytes_free or 0) >= 0 else "bold red"),
            bytes_text(room.bytes_may_start) if room.vms_may_start else "none",
            bytes_text(room.bytes_drift),
        )
    return table


def _storage_table(target: TargetReport) -> Table:
    table = _table(
        "Name", "Type", "Size", "Used", "Allocated", "Reach", "Where", right=("Size", "Used", "Allocated")
    )
    for storage in target.storages:
        reach = storage.sharing.value + ("" if storage.active is not Answer.NO else ", inactive")
        table.add_row(
            shown(storage.name),
            shown(storage.type) + (" (images)" if storage.content == "images" else ""),
            bytes_text(storage.size_bytes),
            bytes_text(storage.used_bytes),
            bytes_text(storage.allocated_bytes),
            reach,
            shown(storage.where) or NOT_TOLD,
        )
    return table


def _network_table(target: TargetReport) -> Table:
    table = _table("Name", "Type", "Bridge", "VLAN", "MTU", right=("VLAN", "MTU"))
    for network in target.networks:
        table.add_row(
            shown(network.name),
            shown(network.type) + ("" if network.active is not Answer.NO else ", inactive"),
            shown(network.bridge) or NOT_TOLD,
            number_text(network.vlan),
            number_text(network.mtu),
        )
    return table


def _vm_table(vms: Sequence[VmReport], width: int) -> Table:
    left_out = next(columns for least, columns in _LEFT_OUT if width >= least)
    table: Table | None = None
    for vm in vms:
        cells: dict[str, Text | str] = {
            "Name": name_of(vm),
            "Power": Text(vm.power_state.value, style=_POWER_STYLE.get(vm.power_state, "")),
            "Host": shown(vm.host_name) or NOT_TOLD,
            "vCPU": number_text(vm.vcpus),
            "Memory": bytes_text(vm.memory.bytes_max),
            "Disks": _disk_words(vm.disks),
            "Managed by": ", ".join(str(seen.manager) for seen in vm.managers) or "nobody seen",
            "Adopt": _adoption_text(vm),
            "Findings": _finding_words(vm.findings),
        }
        if vm.precedent is not None:
            harmed = vm.precedent.harm is not Harm.NONE
            cells["Compared"] = Text(_HARM_WORDS[vm.precedent.harm], style="red" if harmed else "green")
        cells = {column: cell for column, cell in cells.items() if column not in left_out}
        if table is None:
            whole = [column for column in cells if column not in ("Name", "Managed by")]
            table = _table(*cells, right=("vCPU", "Memory", "Disks"), whole=whole)
        table.add_row(*cells.values())
    return table or _table("Name")


def _adoption_text(vm: VmReport) -> Text:
    words = _ADOPTION_WORDS.get(vm.may_be_adopted, vm.may_be_adopted)
    return Text(words, style=_ADOPTION_STYLE.get(vm.may_be_adopted, ""))


def _finding_words(findings: Iterable[Finding]) -> str:
    counts = Counter(finding.severity for finding in findings)
    return (
        ", ".join(
            f"{counts[severity]} {_SEVERITY_WORDS[severity]}" for severity in Severity if counts[severity]
        )
        or NOT_TOLD
    )


def _disk_words(disks: Iterable[Disk]) -> str:
    real = [disk for disk in disks if disk.kind is DiskKind.DISK]
    if not real:
        return NOT_TOLD
    sizes = [disk.size_bytes for disk in real]
    known = [size for size in sizes if size is not None]
    total = bytes_text(sum(known)) if len(known) == len(sizes) else "not told"
    return f"{len(real)}: {total}"
