"""The XAPI classes and fields that Xenios reads, under XAPI's own names and types.

Just the fields that are used: a pool's records are mostly fields that nobody here asks about. Every field has XAPI's
default, so that records of old releases, where a field did not exist yet, read the same: host.cpu_info,
host.memory_overhead, VM.domain_type, VM_guest_metrics.PV_drivers_detected and the like. A field that every release has,
and whose default would be a claim, is None where its column is absent or damaged. References are strings
("OpaqueRef:…"); the null reference and a dangling one are both simply not found in the other table.

Source: the XenServer API's data model (schema 5.909) and XenServer 5.5's database.

Effects: none
"""

from typing import Annotated

import msgspec

Ref = str
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""XAPI's integers. What is larger was not written by XAPI, and is told to be damaged as any other such value."""
NULL_REF = "OpaqueRef:NULL"


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One object of a XAPI database."""

    uuid: str = ""


class PoolRecord(Record, frozen=True):
    """Class `pool`; there is exactly one."""

    name_label: str = ""
    master: Ref = NULL_REF
    ha_enabled: bool | None = None
    other_config: dict[str, str] | None = None


class HostRecord(Record, frozen=True):
    """Class `host`."""

    name_label: str = ""
    hostname: str = ""
    address: str = ""
    enabled: bool | None = None
    memory_overhead: Int64 = 0
    metrics: Ref = NULL_REF
    software_version: dict[str, str] = {}
    cpu_info: dict[str, str] = {}
    capabilities: list[str] = []
    license_params: dict[str, str] = {}


class HostCpuRecord(Record, frozen=True):
    """Class `host_cpu`: one per processor; XenServer before 6.0 has no `host.cpu_info`."""

    host: Ref = NULL_REF
    vendor: str = ""
    modelname: str = ""
    speed: Int64 = 0


class HostMetricsRecord(Record, frozen=True):
    """Class `host_metrics`."""

    memory_total: Int64 = 0
    memory_free: Int64 = 0
    live: bool | None = None


class VmRecord(Record, frozen=True):
    """Class `VM`: machines, templates, snapshots and control domains."""

    name_label: str = ""
    power_state: str = ""
    is_a_template: bool = False
    is_a_snapshot: bool = False
    is_control_domain: bool = False
    snapshot_of: Ref = NULL_REF
    snapshot_time: str = ""
    resident_on: Ref = NULL_REF
    scheduled_to_be_resident_on: Ref = NULL_REF
    affinity: Ref = NULL_REF
    suspend_VDI: Ref = NULL_REF
    memory_static_max: Int64 = 0
    memory_dynamic_max: Int64 = 0
    memory_dynamic_min: Int64 = 0
    memory_static_min: Int64 = 0
    memory_overhead: Int64 = 0
    VCPUs_max: Int64 = 0
    VCPUs_at_startup: Int64 = 0
    VGPUs: list[Ref] = []
    VUSBs: list[Ref] = []
    attached_PCIs: list[Ref] = []
    HVM_boot_policy: str = ""
    HVM_shadow_multiplier: float = 1.0
    domain_type: str = ""
    other_config: dict[str, str] = {}
    tags: list[str] = []
    blocked_operations: dict[str, str] = {}
    current_operations: dict[str, str] = {}
    metrics: Ref = NULL_REF
    guest_metrics: Ref = NULL_REF
    ha_restart_priority: str = ""


class VmMetricsRecord(Record, frozen=True):
    """Class `VM_metrics`."""

    memory_actual: Int64 = 0
    VCPUs_number: Int64 = 0
    start_time: str = ""


class VmGuestMetricsRecord(Record, frozen=True):
    """Class `VM_guest_metrics`: what the guest agent reports."""

    os_version: dict[str, str] = {}
    PV_drivers_version: dict[str, str] = {}
    PV_drivers_detected: bool = False
    networks: dict[str, str] = {}


class VbdRecord(Record, frozen=True):
    """Class `VBD`: a VM's block device."""

    VM: Ref = ""
    """Empty: it is not told whose disk this is."""
    VDI: Ref = NULL_REF
    userdevice: str = ""
    device: str = ""
    mode: str = "RW"
    type: str = "Disk"
    empty: bool = False
    """Claims nothing: what is not empty and has no image is of unknown presence."""


class VdiRecord(Record, frozen=True):
    """Class `VDI`: a disk image."""

    name_label: str = ""
    SR: Ref = NULL_REF
    virtual_size: Int64 | None = None
    physical_utilisation: Int64 | None = None
    sharable: bool = False
    """This and the next default to what warns: a disk that may be written, and not by two."""
    read_only: bool = False
    missing: bool = False
    """Only "true" says anything; that an image is there is never taken from here."""
    sm_config: dict[str, str] = {}


class SrRecord(Record, frozen=True):
    """Class `SR`: a storage repository."""

    name_label: str = ""
    type: str = ""
    content_type: str = ""
    shared: bool | None = None
    physical_size: Int64 | None = None
    physical_utilisation: Int64 | None = None
    virtual_allocation: Int64 | None = None


class PbdRecord(Record, frozen=True):
    """Class `PBD`: a host's connection to an SR."""

    host: Ref = NULL_REF
    SR: Ref = NULL_REF
    currently_attached: bool | None = None
    device_config: dict[str, str] = {}


class VifRecord(Record, frozen=True):
    """Class `VIF`: a VM's network card."""

    VM: Ref = ""
    """Empty: it is not told whose card this is."""
    device: str = ""
    MAC: str = ""
    network: Ref = NULL_REF
    currently_attached: bool | None = None


class NetworkRecord(Record, frozen=True):
    """Class `network`."""

    name_label: str = ""
    bridge: str = ""
    MTU: Int64 = 0


class PifRecord(Record, frozen=True):
    """Class `PIF`: a host's physical, bond, VLAN or tunnel interface."""

    network: Ref = NULL_REF
    VLAN: Int64 | None = None
    """-1: none."""


class Records(msgspec.Struct, kw_only=True):
    """A whole pool's records by class and reference."""

    pool: dict[Ref, PoolRecord] = {}
    host: dict[Ref, HostRecord] = {}
    host_cpu: dict[Ref, HostCpuRecord] = {}
    host_metrics: dict[Ref, HostMetricsRecord] = {}
    VM: dict[Ref, VmRecord] = {}
    VM_metrics: dict[Ref, VmMetricsRecord] = {}
    VM_guest_metrics: dict[Ref, VmGuestMetricsRecord] = {}
    VBD: dict[Ref, VbdRecord] = {}
    VDI: dict[Ref, VdiRecord] = {}
    SR: dict[Ref, SrRecord] = {}
    PBD: dict[Ref, PbdRecord] = {}
    VIF: dict[Ref, VifRecord] = {}
    network: dict[Ref, NetworkRecord] = {}
    PIF: dict[Ref, PifRecord] = {}


CLASSES: dict[str, type[Record]] = {
    "pool": PoolRecord,
    "host": HostRecord,
    "host_cpu": HostCpuRecord,
    "host_metrics": HostMetricsRecord,
    "VM": VmRecord,
    "VM_metrics": VmMetricsRecord,
    "VM_guest_metrics": VmGuestMetricsRecord,
    "VBD": VbdRecord,
    "VDI": VdiRecord,
    "SR": SrRecord,
    "PBD": PbdRecord,
    "VIF": VifRecord,
    "network": NetworkRecord,
    "PIF": PifRecord,
}
"""XAPI's class names, as they are spelled on the wire and in the database."""
