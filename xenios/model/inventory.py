"""What is there: a pool with its hosts, storages, networks and VMs, in words that fit every hypervisor.

A driver translates its hypervisor's records into these nouns once; nothing above the drivers sees a native record.
Identity is always the hypervisor's own uuid, never a name. A figure that the hypervisor did not tell is `None`: it is
shown as "not told" and never counted as zero. Sizes are bytes, times are microseconds since 1970 in UTC.

Effects: none
"""

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class HypervisorKind(StrEnum):
    """The family of hypervisor, as far as rules differ between families."""

    XENSERVER = "xenserver"
    KVM = "kvm"
    TEST = "test"
    """libvirt's own test driver: made-up guests, no hypervisor at all."""
    OTHER = "other"


class PowerState(StrEnum):
    """What a VM is doing. UNKNOWN is a value of its own and never means halted."""

    RUNNING = "running"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    """Its memory is kept on disk (XenServer: suspended; libvirt: managed save); it can be resumed."""
    SHUTTING_DOWN = "shutting down"
    ASLEEP = "asleep"
    """The guest sleeps in ACPI S3; its memory stays allocated (libvirt: pmsuspended)."""
    CRASHED = "crashed"
    HALTED = "halted"
    UNKNOWN = "unknown"


POWER_STATES_THAT_HOLD_MEMORY = frozenset(
    {PowerState.RUNNING, PowerState.PAUSED, PowerState.SHUTTING_DOWN, PowerState.ASLEEP, PowerState.CRASHED}
)
"""States in which the VM occupies memory of a host. UNKNOWN is not among them: who sums must treat it by itself."""


class VmKind(StrEnum):
    """Hypervisors keep other things among their VMs; only a MACHINE is ever a candidate for anything."""

    MACHINE = "machine"
    TEMPLATE = "template"
    SNAPSHOT = "snapshot"
    CONTROL_DOMAIN = "control domain"


class Sharing(StrEnum):
    """Whether a storage can be reached from more than one host."""

    SHARED = "shared"
    LOCAL = "local"
    UNKNOWN = "unknown"
    """The hypervisor does not tell, for instance a plain directory that may be a mounted network file system."""


class Presence(StrEnum):
    """Whether the bytes behind a disk are there."""

    THERE = "there"
    MISSING = "missing"
    UNKNOWN = "unknown"


class DiskKind(StrEnum):
    """What a block device of a VM is."""

    DISK = "disk"
    CDROM = "cdrom"
    FLOPPY = "floppy"
    PASSTHROUGH = "passthrough"
    """A whole device of the host handed through, such as a SCSI LUN."""


class ToolsState(StrEnum):
    """Whether the guest has an agent that talks to the hypervisor."""

    WORKING = "working"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    """Not told, or the guest is off and so cannot show it."""


class Capability(StrEnum):
    """Something a hypervisor can tell or do; found by asking it, never looked up by version."""

    EVENTS = "events"
    KEEPALIVE = "keepalive"
    FREE_MEMORY = "free memory"
    STORAGE = "storage"
    NETWORKS = "networks"
    GUEST_FIGURES = "guest figures"
    GUEST_ADDRESSES = "guest addresses"
    GUEST_UPTIME = "guest uptime"
    HARDWARE_VIRTUALISATION = "hardware virtualisation"
    LIVE_MIGRATION = "live migration"
    HIGH_AVAILABILITY = "high availability"
    UEFI = "uefi"


class Answer(StrEnum):
    """An answer to a question that may have none."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


class CapabilityAnswer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One capability, the answer, and how it was found out."""

    capability: Capability
    answer: Answer
    how: str


class Cpu(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Processors of a host."""

    count: int | None
    """Logical processors, threads included."""
    sockets: int | None = None
    cores_per_socket: int | None = None
    threads_per_core: int | None = None
    model: str = ""
    vendor: str = ""
    mhz: int | None = None


class Host(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A physical machine that runs VMs."""

    uuid: str
    name: str
    address: str = ""
    product: str = ""
    version: str = ""
    cpu: Cpu
    memory_bytes_total: int | None
    memory_bytes_free: int | None
    """Free memory as the hypervisor itself measures or computes it; `memory_free_source` says which."""
    memory_free_source: str = ""
    memory_bytes_overhead: int | None
    """What the hypervisor keeps for itself, control domains (which are listed as VMs) not included."""
    live: Answer = Answer.UNKNOWN
    """Whether the host answers (heartbeat, or we read from it just now)."""
    enabled: Answer = Answer.UNKNOWN
    """Whether it may start VMs (no: in maintenance)."""
    capabilities: tuple[CapabilityAnswer, ...] = ()


class Storage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A storage repository (XenServer) or storage pool (libvirt)."""

    uuid: str
    name: str
    type: str
    """The native type name: nfs, lvmoiscsi, ext, dir, logical …"""
    content: str = "disks"
    sharing: Sharing
    where: str = ""
    """Path or server path, as far as it is no secret."""
    size_bytes: int | None
    used_bytes: int | None
    allocated_bytes: int | None = None
    """Sum of the virtual sizes of the disks on it: what would be used if every thin disk filled up."""
    active: Answer = Answer.UNKNOWN
    host_uuids: tuple[str, ...] = ()
    """Hosts that have it attached now."""
    detached_host_uuids: tuple[str, ...] = ()
    """Hosts that should have it attached and do not."""


class Network(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A network that NICs can be plugged into."""

    uuid: str
    name: str
    bridge: str = ""
    vlan: int | None = None
    type: str = ""
    """How it reaches the world: bridge, nat, isolated, vlan, bond …; empty when not told."""
    mtu: int | None = None
    active: Answer = Answer.UNKNOWN


class Disk(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A block device of a VM."""

    device: str
    kind: DiskKind
    where: str
    """What its bytes are kept in: a path, a volume, a VDI uuid or a network address; empty: nothing inserted."""
    identity: str = ""
    """Equal for two disks exactly when they are the same bytes; empty when there are none."""
    name: str = ""
    size_bytes: int | None = None
    used_bytes: int | None = None
    format: str = ""
    storage_uuid: str | None = None
    sharing: Sharing = Sharing.UNKNOWN
    shareable: bool = False
    """Marked on the hypervisor as meant for more than one VM."""
    read_only: bool = False
    presence: Presence = Presence.UNKNOWN
    backing: tuple[str, ...] = ()
    """Images that this one builds on, nearest first, as far as the hypervisor tells."""
    backing_presence: Presence = Presence.UNKNOWN
    """Whether the last of `backing` is there: a chain is followed down to the first image that is missing."""


class Nic(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A network card of a VM."""

    device: str
    mac: str
    network_uuid: str | None = None
    network_name: str = ""
    bridge: str = ""
    vlan: int | None = None
    addresses: tuple[str, ...] = ()
    connected: Answer = Answer.UNKNOWN


class Memory(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Memory of a VM. static ≥ dynamic bounds hold it while it exists; `bytes_actual` is what it has now."""

    bytes_max: int | None
    """The most it can have without a restart of the guest (XenServer: static max; libvirt: memory)."""
    bytes_dynamic_max: int | None = None
    bytes_dynamic_min: int | None = None
    bytes_static_min: int | None = None
    bytes_actual: int | None = None
    """What the hypervisor has given to it at this moment; for a VM that is off on libvirt, what it would start with."""
    bytes_resident: int | None = None
    """What its process really occupies on the host now (libvirt); below bytes_actual while pages are untouched."""
    bytes_overhead: int | None = None
    """What the hypervisor needs beside it for this VM."""
    overhead_source: str = ""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A saved state of a VM."""

    uuid: str
    name: str
    taken_at: int | None = None


class Guest(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the guest says of itself."""

    os: str = ""
    tools: ToolsState = ToolsState.UNKNOWN
    tools_version: str = ""
    hostname: str = ""


class Vm(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A virtual machine, or what a hypervisor keeps among its virtual machines (see `kind`)."""

    uuid: str
    name: str
    kind: VmKind = VmKind.MACHINE
    power_state: PowerState
    power_reason: str = ""
    """The hypervisor's reason for the state, where it tells one."""
    power_recognised: bool = True
    """False: the hypervisor told a state that this version has no word for; `power_state` is UNKNOWN then."""
    paused_on_io_error: bool = False
    host_uuid: str | None = None
    """Where it runs, or the one host that has its definition; None when it is bound to none."""
    preferred_host_uuid: str | None = None
    vcpus: int | None = None
    vcpus_max: int | None = None
    memory: Memory
    virtualisation: str = ""
    """hvm, pv, pvh, kvm, qemu …"""
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    passthrough: tuple[str, ...] = ()
    """Devices of the host handed to it: PCI, USB, GPU."""
    autostart: Answer = Answer.UNKNOWN
    high_availability: str = ""
    """The hypervisor's own restart policy for it; empty: none."""
    persistent: Answer = Answer.UNKNOWN
    """Whether its definition outlives its running (no: a libvirt transient domain)."""
    guest: Guest = Guest()
    started_at: int | None = None
    snapshot_of_uuid: str | None = None
    busy: tuple[str, ...] = ()
    """Operations of the hypervisor under way on it, by whomever."""
    blocked_operations: tuple[str, ...] = ()
    annotations: Mapping[str, str] = {}
    """What tools wrote on it: other_config on XenServer; metadata namespaces and SMBIOS entries on libvirt."""
    mark: str = ""
    """What stands under Xenios's own key (model/mark.py), unread: it may be anybody's, or damaged. Empty: nothing."""
    tags: tuple[str, ...] = ()
    definition_read: bool = True
    """False: it is known to exist, but what it consists of could not be read."""
    dangling: tuple[str, ...] = ()
    """References that lead nowhere, in words."""

    @property
    def holds_memory(self) -> bool:
        """Whether it occupies memory of a host now, as far as is known."""
        return self.power_state in POWER_STATES_THAT_HOLD_MEMORY


class Pool(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Hosts that share their VMs: a XenServer pool, or one libvirt host as a pool of one."""

    uuid: str
    name: str
    kind: HypervisorKind
    product: str = ""
    version: str = ""
    master_uuid: str | None = None
    ha_enabled: Answer = Answer.UNKNOWN
    native_version: str = ""
    """The version of the interface we read: database schema, API or libvirt version."""
