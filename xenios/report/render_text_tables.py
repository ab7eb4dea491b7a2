"""Renders the tables of the report for a terminal.

A table that is wider than the terminal leaves out whole columns, the ones that --details gives as well, rather than
folding every cell.

Effects: none
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from xenios.decide.precedent import Harm
from xenios.model.decision import Finding, Severity
from xenios.model.inventory import Answer, CapabilityAnswer, Disk, DiskKind, PowerState
from xenios.report.schema import TargetReport, VmReport
from xenios.report.words import HARM_WORDS, NOT_TOLD, bytes_text, number_text, plural, shown

_LEFT_OUT = ("Disks", "Host", "vCPU", "Managed by", "Memory")
"""Columns of the table of VMs that are left out until the others fit, this one first."""
_FOLDED_COLUMNS_MIN = {"Name": 20, "Managed by": 13}
"""Cells of these columns may fold, but not below this width."""
_GAP_COLUMNS = 2
_ROOM_MEANING = (
    "Declared: what the VMs here may grow to. Worst: the lesser of both. May start: VMs that are off and may start by "
    "themselves. Drift: what a manager that counts only its own VMs would promise too much."
)

_POWER_STYLE = {
    PowerState.RUNNING: "green",
    PowerState.CRASHED: "bold red",
    PowerState.UNKNOWN: "bold yellow",
    PowerState.PAUSED: "yellow",
}
_HARM_STYLE = {
    Harm.NONE: "green",
    Harm.DRIVE_REMOVED: "yellow",
    Harm.ON_CHANGE: "red",
    Harm.RECORD_DESTROYED: "bold red",
}
_ADOPTION_WORDS = {"ask the operator": "ask"}
_SEVERITY_WORDS = {Severity.CRITICAL: "critical", Severity.WARNING: "warn", Severity.INFO: "info"}
_ADOPTION_STYLE = {"yes": "green", "ask the operator": "yellow", "not now": "yellow", "no": "red"}


_ROOM_WHOLE_COLUMNS = 100
"""Below this the table of room leaves out what the report says of hosts anyway."""


def tables_of(
    target: TargetReport, compare: str | None, width: int
) -> list[tuple[str, Table, tuple[str, ...]]]:
    """The tables with their titles and what is to be said below them, in the order in which they are read."""
    compared = f", compared with what {compare} would do" if compare else ""
    return [
        ("Hosts", _host_table(target), ()),
        ("Room: memory", _room_table(target, width), _room_notes(target)),
        ("Storage", _storage_table(target), ()),
        ("Networks", _network_table(target), ()),
        (f"VMs ({len(target.vms)}){compared}", _vm_table(target.vms, width), ()),
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


def _room_table(target: TargetReport, width: int) -> Table:
    names = {host.uuid: host.name for host in target.hosts}
    table: Table | None = None
    for room in target.rooms:
        not_told = f" +{room.vms_not_told} not told" if room.vms_not_told else ""
        least = "" if room.all_vms_seen else "at least "
        free_style = "bold" if (room.bytes_free or 0) >= 0 else "bold red"
        cells: dict[str, Text | str] = {
            "Host": shown(names.get(room.host_uuid, room.host_uuid)),
            "Total": bytes_text(room.bytes_total),
            "Overhead": bytes_text(room.bytes_overhead),
            "Declared": least + bytes_text(room.bytes_declared) + not_told,
            "Free: declared": bytes_text(room.bytes_free_declared),
            "Free: measured": bytes_text(room.bytes_free_measured),
            "Free: worst": Text(bytes_text(room.bytes_free), style=free_style),
            "May start": "none" if room.bytes_may_start == 0 else bytes_text(room.bytes_may_start),
            "Drift": bytes_text(room.bytes_drift),
        }
        if width < _ROOM_WHOLE_COLUMNS:
            del cells["Total"], cells["Overhead"]
        table = table or _table(*cells, right=[column for column in cells if column != "Host"])
        table.add_row(*cells.values())
    return table or _table("Host")


def _room_notes(target: TargetReport) -> tuple[str, ...]:
    if not target.rooms:
        return ()
    sources = dict.fromkeys(room.measured_source for room in target.rooms if room.measured_source)
    measured = "; ".join(shown(source) for source in sources) or "not told"
    return (f"Free: measured comes from: {measured}.", _ROOM_MEANING)


def capability_table(target: TargetReport) -> Table:
    """What the source answers, then what the hosts answer, the same answers of several hosts in one row."""
    table = _table("Asked", "Capability", "Answer", "How it was found out", whole=("Capability", "Answer"))
    by_answer: dict[CapabilityAnswer, list[str]] = defaultdict(list)
    for host in target.hosts:
        for answer in host.capabilities:
            by_answer[answer].append(shown(host.name) or host.uuid)
    rows = [("the source", answer) for answer in target.capabilities]
    for answer, names in by_answer.items():
        everyone = len(names) == len(target.hosts) > 1
        rows.append((f"all {plural(len(names), 'host')}" if everyone else ", ".join(names), answer))
    for asked, answer in rows:
        table.add_row(asked, answer.capability.value, answer.answer.value, shown(answer.how))
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
    rows = [_vm_cells(vm) for vm in vms]
    if not rows:
        return _table("Name")
    columns = _columns_that_fit(rows, width)
    whole = [column for column in columns if column not in _FOLDED_COLUMNS_MIN]
    table = _table(*columns, right=("vCPU", "Memory", "Disks"), whole=whole)
    for cells in rows:
        table.add_row(*(cells[column] for column in columns))
    return table


def _columns_that_fit(rows: Sequence[dict[str, Text | str]], width: int) -> list[str]:
    needed = {
        column: max(len(column), *(cell_len(str(cells[column])) for cells in rows)) + _GAP_COLUMNS
        for column in rows[0]
    }
    for column, least in _FOLDED_COLUMNS_MIN.items():
        needed[column] = min(needed[column], least + _GAP_COLUMNS)
    for column in _LEFT_OUT:
        if sum(needed.values()) - _GAP_COLUMNS <= width:
            break
        del needed[column]
    return list(needed)


def _vm_cells(vm: VmReport) -> dict[str, Text | str]:
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
        cells["Compared"] = Text(HARM_WORDS[vm.precedent.harm], style=_HARM_STYLE[vm.precedent.harm])
    return cells


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
