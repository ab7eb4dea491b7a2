"""Renders everything about one VM for a terminal: each disk, NIC, reason and finding in a line of its own.

Effects: none
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.text import Text

from xenios.model.inventory import Answer, Disk, DiskKind, Nic, Presence, ToolsState
from xenios.report.render_explanation import reason_line
from xenios.report.schema import VmReport
from xenios.report.words import NOT_TOLD, bytes_text, duration_text, number_text, shown, time_text


def details_of(vm: VmReport, storage_names: Mapping[str, str]) -> Text:
    """The VM in lines of "what: figures"; `storage_names` by the uuid of each storage."""
    text = Text(f"{shown(vm.name) or '(no name)'}", style="bold")
    text.append(f"  {vm.kind.value} {vm.uuid}\n", style="dim")
    for label, words in _lines(vm, storage_names):
        text.append(f"  {label:<12}", style="dim")
        text.append(f"{words}\n")
    text.rstrip()
    return text


def _lines(vm: VmReport, storage_names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    reason = f" ({shown(vm.power_reason)})" if vm.power_reason else ""
    uptime = f", up {duration_text(vm.uptime_seconds)}" if vm.uptime_seconds is not None else ""
    where = f" on {shown(vm.host_name)}" if vm.host_name else ""
    yield "power", f"{vm.power_state.value}{reason}{where}{uptime}"
    if not vm.definition_read:
        yield "definition", "could not be read"
    yield (
        "vCPU",
        f"{number_text(vm.vcpus)} now, at most {number_text(vm.vcpus_max)}; {vm.virtualisation or NOT_TOLD}",
    )
    yield "memory", _memory_words(vm)
    for disk in vm.disks:
        yield "disk", _disk_words(disk, storage_names)
    for nic in vm.nics:
        yield "NIC", _nic_words(nic)
    for device in vm.passthrough:
        yield "passthrough", shown(device)
    for snapshot in vm.snapshots:
        yield "snapshot", f"{shown(snapshot.name)}, {time_text(snapshot.taken_at)}"
    yield "guest", _guest_words(vm)
    yield "starts", _start_words(vm)
    if vm.busy:
        yield "busy with", ", ".join(vm.busy)
    if vm.blocked_operations:
        yield "forbidden", ", ".join(vm.blocked_operations)
    for seen in vm.managers:
        yield (
            "manager",
            f"{seen.manager}{'' if seen.owns else ' (only a trace)'}, seen by {shown(seen.evidence)}",
        )
    yield "adopt", vm.may_be_adopted
    for refusal in vm.refusals:
        line = reason_line(refusal)
        yield "", f"{line.label}: {shown(line.text)}\n{'':14}→ {line.remedy}"
    for finding in vm.findings:
        yield finding.severity.value, f"{finding.code}: {shown(finding.detail)}\n{'':14}→ {finding.remedy}"
    if vm.precedent is not None:
        yield "compared", f"{vm.precedent.policy}, at connect: {vm.precedent.at_connect}"
        yield "", f"later: {vm.precedent.later}"
        yield "", f"by: {vm.precedent.rule}"


def _memory_words(vm: VmReport) -> str:
    memory = vm.memory
    words = f"at most {bytes_text(memory.bytes_max)}"
    if memory.bytes_dynamic_max is not None:
        words += f", dynamic {bytes_text(memory.bytes_dynamic_min)} to {bytes_text(memory.bytes_dynamic_max)}"
    if memory.bytes_static_min is not None:
        words += f", at least {bytes_text(memory.bytes_static_min)}"
    words += f", now {bytes_text(memory.bytes_actual)}"
    if memory.bytes_resident is not None:
        words += f" ({bytes_text(memory.bytes_resident)} resident)"
    overhead = f", overhead {bytes_text(memory.bytes_overhead)}"
    return words + overhead + (f" ({memory.overhead_source})" if memory.overhead_source else "")


def _disk_words(disk: Disk, storage_names: Mapping[str, str]) -> str:
    if not disk.where:
        return f"{shown(disk.device)} {disk.kind.value}, " + (
            "its image is MISSING" if disk.presence is Presence.MISSING else "empty"
        )
    name = f"{shown(disk.name)} " if disk.name else ""
    words = f"{shown(disk.device)} {disk.kind.value}, {bytes_text(disk.size_bytes)}"
    words += (
        f" ({bytes_text(disk.used_bytes)} used) {disk.format or 'format not told'}, {name}{shown(disk.where)}"
    )
    if disk.storage_uuid is not None:
        words += (
            f", in storage {shown(storage_names.get(disk.storage_uuid, '').strip() or disk.storage_uuid)}"
        )
    if disk.kind is not DiskKind.CDROM:
        words += f", {disk.sharing.value}" if disk.sharing != "unknown" else ", reach not told"
    for condition, word in (
        (disk.shareable, "shareable"),
        (disk.read_only, "read-only"),
        (disk.presence is Presence.MISSING, "MISSING"),
    ):
        words += f", {word}" if condition else ""
    if disk.backing:
        lost = " (MISSING)" if disk.backing_presence is Presence.MISSING else ""
        words += f", on {' on '.join(shown(layer) for layer in disk.backing)}{lost}"
    return words


def _nic_words(nic: Nic) -> str:
    words = f"{shown(nic.device)} {nic.mac or 'no MAC'} in {shown(nic.network_name) or 'no network'}"
    words += f" ({shown(nic.bridge)})" if nic.bridge and nic.bridge not in nic.network_name else ""
    words += f", VLAN {nic.vlan}" if nic.vlan is not None else ""
    words += ", unplugged" if nic.connected is Answer.NO else ""
    return words + (f", {', '.join(shown(address) for address in nic.addresses)}" if nic.addresses else "")


def _guest_words(vm: VmReport) -> str:
    tools = {
        ToolsState.WORKING: f"tools {shown(vm.guest.tools_version)}".rstrip(),
        ToolsState.ABSENT: "no tools",
        ToolsState.UNKNOWN: "tools not told",
    }[vm.guest.tools]
    return f"{shown(vm.guest.os) or 'system not told'}, {tools}"


def _start_words(vm: VmReport) -> str:
    words = {Answer.YES: "with its host", Answer.NO: "not by itself", Answer.UNKNOWN: "not told"}[
        vm.autostart
    ]
    if vm.high_availability:
        words += f", HA: {shown(vm.high_availability)}"
    return words + (", transient: gone when it stops" if vm.persistent is Answer.NO else "")
