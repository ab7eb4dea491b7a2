"""The report as data, and as the JSON that `xenios inspect --json` prints: one structure for every rendering.

The JSON is a contract: docs/report.schema.json is generated from these types, and a test fails when it changes without
a new SCHEMA. Within one SCHEMA fields are only added. Sizes are bytes, times microseconds since 1970 in UTC, and null
means "not told". Annotations are given by key only: their values are other tools' business and may hold secrets.

Effects: none
"""

from __future__ import annotations

import msgspec

from xenios.decide.precedent import Precedent
from xenios.model.collection import ReadFailure
from xenios.model.decision import Finding, ManagerSeen, Refusal
from xenios.model.inventory import (
    Answer,
    CapabilityAnswer,
    Disk,
    Guest,
    Host,
    Memory,
    Network,
    Nic,
    Pool,
    PowerState,
    Snapshot,
    Storage,
    VmKind,
)
from xenios.model.room import HostRoom

SCHEMA = "xenios.report/1"


class VmReport(msgspec.Struct, frozen=True, kw_only=True):
    """One VM with what is thought of it. Fields named as in the model mean the same (xenios/model/inventory.py)."""

    uuid: str
    name: str
    kind: VmKind
    power_state: PowerState
    power_reason: str
    paused_on_io_error: bool
    host_uuid: str | None
    host_name: str
    preferred_host_uuid: str | None
    vcpus: int | None
    vcpus_max: int | None
    memory: Memory
    virtualisation: str
    disks: tuple[Disk, ...]
    nics: tuple[Nic, ...]
    snapshots: tuple[Snapshot, ...]
    snapshot_of_uuid: str | None
    passthrough: tuple[str, ...]
    autostart: Answer
    high_availability: str
    persistent: Answer
    guest: Guest
    started_at: int | None
    uptime_seconds: int | None
    busy: tuple[str, ...]
    blocked_operations: tuple[str, ...]
    annotation_keys: tuple[str, ...]
    tags: tuple[str, ...]
    definition_read: bool
    dangling: tuple[str, ...]
    managers: tuple[ManagerSeen, ...]
    """Who else manages it, as far as traces show; empty: nobody seen."""
    may_be_adopted: str
    """"yes", "ask the operator", "not now" or "no"."""
    refusals: tuple[Refusal, ...]
    """All reasons against adopting it."""
    findings: tuple[Finding, ...]
    precedent: Precedent | None
    """With --compare: what that manager would do to it."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A pool in figures."""

    vms: int
    by_power_state: dict[str, int]
    by_adoption: dict[str, int]
    by_severity: dict[str, int]
    by_manager: dict[str, int]
    by_harm: dict[str, int]
    """With --compare: how many VMs that manager would harm, and how."""
    memory_bytes_total: int | None
    memory_bytes_free: int | None
    """On the hosts that take VMs: neither known to be dead nor disabled."""
    memory_bytes_drift: int | None
    memory_bytes_may_start: int | None
    vms_may_start: int


class TargetReport(msgspec.Struct, frozen=True, kw_only=True):
    """One target: what was read of it, or why nothing was."""

    target: str
    status: str
    """"complete", "partial" (see failures) or "unreadable" (see failures; everything else is empty)."""
    source: str = ""
    seen_at: int | None = None
    failures: tuple[ReadFailure, ...] = ()
    capabilities: tuple[CapabilityAnswer, ...] = ()
    """What this source can tell."""
    pool: Pool | None = None
    summary: Summary | None = None
    hosts: tuple[Host, ...] = ()
    rooms: tuple[HostRoom, ...] = ()
    storages: tuple[Storage, ...] = ()
    networks: tuple[Network, ...] = ()
    vms: tuple[VmReport, ...] = ()
    """Machines; what a hypervisor keeps beside them among its VMs follows apart."""
    templates: tuple[VmReport, ...] = ()
    snapshots: tuple[VmReport, ...] = ()
    control_domains: tuple[VmReport, ...] = ()
    findings: tuple[Finding, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole report."""

    schema: str = SCHEMA
    xenios_version: str
    made_at: int
    complete: bool
    """False as soon as anything of any target could not be read."""
    compare: str | None
    targets: tuple[TargetReport, ...]

    def __repr__(self) -> str:
        """Short on purpose, as that of a collection."""
        return f"<Report on {len(self.targets)} targets>"
