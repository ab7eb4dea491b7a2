"""How one VM of the simulated pool is written down: its record, disks, interfaces and metrics.

A `Guest` says in words what a VM is like; `Maker` turns it into the dozen records XAPI would hold for it. A
guest that should run but fits on no host is recorded as halted, as it would be.

Effects: none
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xenios.drivers.xenserver.memory import overhead_bytes
from xenios.simulator.facts.datamodel import NULL, Record
from xenios.simulator.population.book import Book
from xenios.simulator.population.hosts import HostPlace, HostState, Site, add_console
from xenios.simulator.population.storage import Storage, add_disk
from xenios.simulator.population.units import GIB

OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "Halted": (
        "create_vtpm",
        "destroy",
        "metadata_export",
        "export",
        "make_into_template",
        "changing_NVRAM",
        "changing_shadow_memory",
        "changing_static_range",
        "changing_dynamic_range",
        "migrate_send",
        "start_on",
        "start",
        "copy",
        "clone",
        "snapshot",
    ),
    "Running": (
        "sysprep",
        "metadata_export",
        "changing_VCPUs_live",
        "changing_dynamic_range",
        "migrate_send",
        "pool_migrate",
        "suspend",
        "hard_reboot",
        "hard_shutdown",
        "clean_reboot",
        "clean_shutdown",
        "pause",
        "checkpoint",
        "snapshot",
    ),
    "Suspended": (
        "destroy",
        "metadata_export",
        "export",
        "migrate_send",
        "resume_on",
        "resume",
        "hard_shutdown",
        "checkpoint",
        "snapshot",
    ),
    "Paused": ("metadata_export", "hard_reboot", "hard_shutdown", "unpause", "checkpoint", "snapshot"),
}
NEEDS_TOOLS = frozenset(
    {
        "changing_VCPUs_live",
        "suspend",
        "pool_migrate",
        "migrate_send",
        "clean_reboot",
        "clean_shutdown",
        "checkpoint",
    }
)
_TOOLS_FEATURES = tuple(
    f"feature-{name}" for name in ("shutdown", "reboot", "poweroff", "suspend", "balloon")
)
_BIOS = {
    "bios-vendor": "Xen",
    "bios-version": "",
    "system-manufacturer": "Xen",
    "system-product-name": "HVM domU",
    "system-version": "",
    "system-serial-number": "",
    "oem-1": "Xen",
}


@dataclass(frozen=True, slots=True)
class GuestSystem:
    """An operating system: what its tools would say, and the template its VMs come from."""

    template: str
    name: str
    distro: str
    major: str
    minor: str
    kernel: str
    viridian: bool = False


SYSTEMS: Mapping[str, GuestSystem] = {
    "debian": GuestSystem(
        "Debian Bookworm 12", "Debian GNU/Linux 12 (bookworm)", "debian", "12", "11", "6.1.0-37-amd64"
    ),
    "ubuntu": GuestSystem(
        "Ubuntu Noble Numbat 24.04", "Ubuntu 24.04.2 LTS", "ubuntu", "24", "04", "6.8.0-60-generic"
    ),
    "rocky": GuestSystem(
        "Rocky Linux 9", "Rocky Linux 9.6 (Blue Onyx)", "rocky", "9", "6", "5.14.0-570.el9.x86_64"
    ),
    "centos5": GuestSystem(
        "CentOS 5 (32-bit)", "CentOS release 5.11 (Final)", "centos", "5", "11", "2.6.18-398.el5xen"
    ),
    "windows": GuestSystem(
        "Windows Server 2022 (64-bit)",
        "Microsoft Windows Server 2022 Standard|C:\\Windows|\\Device\\Harddisk0\\Partition3",
        "windows",
        "10",
        "0",
        "",
        viridian=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk of a guest: its size and on which kind of storage (nfs, iscsi, local)."""

    gib: int
    on: str = "nfs"


@dataclass(frozen=True, slots=True)
class Guest:
    """What a VM is like. `where` asks for a host in that state; None takes any, sound ones more often."""

    name: str
    description: str = ""
    system: str = "debian"
    state: str = "Running"
    domain_type: str = "hvm"
    tools: bool = True
    memory_gib: int = 4
    memory_min_gib: int = 0
    vcpus: int = 2
    disks: tuple[Disk, ...] = (Disk(20),)
    wires: tuple[str, ...] = ("servers",)
    other_config: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    autostart: bool = False
    ha: str = ""
    where: HostState | None = None
    first_host: bool = False
    blocked: Mapping[str, str] = field(default_factory=dict)
    cd: bool = False

    @property
    def resident(self) -> bool:
        """Whether it holds memory on a host."""
        return self.state in ("Running", "Paused")

    @property
    def held_bytes(self) -> int:
        """What it holds on its host while it is there."""
        least = self.memory_min_gib or self.memory_gib
        return least * GIB + overhead_bytes(self.domain_type, self.memory_gib * GIB, self.vcpus)


class Maker:
    """Writes guests into the book."""

    def __init__(self, book: Book, site: Site, storage: Storage) -> None:
        """Guests are put on the hosts and the storage given."""
        self.book = book
        self.site = site
        self.storage = storage
        self._addresses: dict[str, int] = {}

    def make(self, guest: Guest) -> str:
        """Write one guest down with everything that belongs to it; returns its ref."""
        place = self._place(guest)
        state = "Halted" if guest.resident and place is None else guest.state
        vm = self.book.add("VM", **self._settings(guest, state))
        record = self.book.get("VM", vm)
        home = place.ref if place else self.book.pick(self.site.hosts).ref
        if place is not None:
            self._settle(record, vm, guest, place)
        self._add_disks(vm, record, guest, state, home)
        addresses = self._add_interfaces(vm, guest, attached=place is not None)
        self._add_metrics(record, guest, state)
        if guest.tools and state != "Halted":
            record["guest_metrics"] = self._guest_metrics(guest, addresses, live=state == "Running")
        if state == "Suspended":
            record["suspend_VDI"] = add_disk(
                self.book,
                self.storage.nfs,
                "Suspend image",
                guest.memory_gib * GIB + GIB // 2,
                type="suspend",
                name_description="Suspend image",
            )
        return vm

    def _place(self, guest: Guest) -> HostPlace | None:
        if not guest.resident:
            return None
        weights = {HostState.SOUND: 3.0, HostState.DISABLED: 1.5, HostState.NOT_LIVE: 1.0}
        fits = [place for place in self.site.hosts if place.free_bytes >= guest.held_bytes]
        if guest.first_host:
            fits = [place for place in fits if place is self.site.hosts[0]]
        elif guest.where is not None:
            fits = [place for place in fits if place.state is guest.where]
        if not fits:
            return None
        shares = [weights[place.state] * place.free_bytes for place in fits]
        return self.book.random.choices(fits, shares)[0]

    def _settle(self, record: Record, vm: str, guest: Guest, place: HostPlace) -> None:
        place.free_bytes -= guest.held_bytes
        record["resident_on"] = place.ref
        record["domid"] = place.domains
        record["domarch"] = "x64" if guest.domain_type == "pv" else ""
        record["last_boot_CPU_flags"] = {"vendor": "GenuineIntel"}
        place.domains += 1 + self.book.random.randrange(4)
        add_console(self.book, place, vm, "vt100" if guest.domain_type == "pv" else "rfb")

    def _settings(self, guest: Guest, state: str) -> dict[str, Any]:
        system = SYSTEMS[guest.system]
        most = guest.memory_gib * GIB
        least = (guest.memory_min_gib or guest.memory_gib) * GIB
        other_config = {
            "base_template_name": system.template,
            "mac_seed": self.book.uuid(),
            "install-methods": "cdrom,nfs,http,ftp",
        }
        if guest.autostart:
            other_config["auto_poweron"] = "true"
        values: dict[str, Any] = {
            "name_label": guest.name,
            "name_description": guest.description,
            "power_state": state,
            "user_version": 1,
            "memory_static_max": most,
            "memory_dynamic_max": most,
            "memory_dynamic_min": least,
            "memory_static_min": min(least, 2 * GIB),
            "memory_target": least if state == "Running" else 0,
            "memory_overhead": overhead_bytes(guest.domain_type, most, guest.vcpus),
            "VCPUs_max": guest.vcpus,
            "VCPUs_at_startup": guest.vcpus,
            "actions_after_reboot": "restart",
            "actions_after_crash": "restart",
            "other_config": {**other_config, **guest.other_config},
            "tags": list(guest.tags),
            "ha_restart_priority": guest.ha,
            "ha_always_run": bool(guest.ha) and state == "Running",
            "domid": -1,
            "domain_type": guest.domain_type,
            "blocked_operations": dict(guest.blocked),
            "hardware_platform_version": 2 if guest.domain_type != "pv" else 0,
            "has_vendor_device": system.viridian,
            "generation_id": f"{self.book.random.getrandbits(63)}:{self.book.random.getrandbits(63)}",
            "xenstore_data": {"vm-data": "", "vm-data/mmio-hole-size": "268435456"},
        }
        values["allowed_operations"] = [
            name
            for name in OPERATIONS[state]
            if name not in guest.blocked and (guest.tools or name not in NEEDS_TOOLS)
        ]
        values.update(_boot_settings(guest, system))
        return values

    def _add_disks(self, vm: str, record: Record, guest: Guest, state: str, home: str) -> None:
        attached = state in ("Running", "Paused")
        for number, disk in enumerate(guest.disks):
            sr = self.storage.repository(disk.on, home)
            label = f"{guest.name or 'unnamed'} {number}"
            vdi = add_disk(self.book, sr, label, disk.gib * GIB, type="system" if number == 0 else "user")
            self.attach(vm, vdi, str(number), attached=attached, bootable=number == 0)
            if disk.on == "local":
                record["affinity"] = home
        if guest.domain_type == "pv" and not guest.cd:
            return
        cd = self.book.pick(self.storage.isos) if guest.cd else NULL
        self.book.add(
            "VBD",
            VM=vm,
            VDI=cd,
            userdevice="3",
            device="xvdd" if attached else "",
            mode="RO",
            type="CD",
            bootable=False,
            empty=cd == NULL,
            currently_attached=attached,
            allowed_operations=["attach", "unpause", "insert" if cd == NULL else "eject", "pause"],
        )

    def attach(
        self, vm: str, vdi: str, userdevice: str, *, attached: bool, mode: str = "RW", bootable: bool = False
    ) -> str:
        """Connect a disk to a VM."""
        return self.book.add(
            "VBD",
            VM=vm,
            VDI=vdi,
            userdevice=userdevice,
            device=f"xvd{'abcdefghij'[int(userdevice)]}" if attached else "",
            mode=mode,
            type="Disk",
            bootable=bootable,
            unpluggable=not bootable,
            currently_attached=attached,
            other_config={"owner": ""},
            allowed_operations=["attach", "unpause", "pause"] if attached else ["attach"],
        )

    def _add_interfaces(self, vm: str, guest: Guest, *, attached: bool) -> list[str]:
        addresses = []
        for device, key in enumerate(guest.wires):
            wire = self.site.wires[key]
            if wire.prefix:
                number = self._addresses.get(wire.prefix, 100)
                self._addresses[wire.prefix] = number + 1
                addresses.append(f"{wire.prefix}.{number // 250}.{number % 250 + 1}")
            else:
                addresses.append("")
            self.book.add(
                "VIF",
                VM=vm,
                network=wire.ref,
                device=str(device),
                MAC=self.book.mac(),
                MTU=1500,
                MAC_autogenerated=True,
                currently_attached=attached,
                locking_mode="network_default",
                allowed_operations=["attach", "unplug"] if attached else ["attach"],
            )
        return addresses

    def _add_metrics(self, record: Record, guest: Guest, state: str) -> None:
        up = state in ("Running", "Paused")
        installed = self.book.random.randrange(200, 1500)
        record["metrics"] = self.book.add(
            "VM_metrics",
            memory_actual=record["memory_dynamic_min"] if up else 0,
            VCPUs_number=guest.vcpus if up else 0,
            start_time=self.book.some_days_ago(190) if state != "Halted" else "19700101T00:00:00Z",
            install_time=self.book.ago(days=installed),
            last_updated=self.book.ago(minutes=3),
            hvm=up and guest.domain_type == "hvm",
            current_domain_type=guest.domain_type if up else "unspecified",
        )

    def _guest_metrics(self, guest: Guest, addresses: list[str], *, live: bool) -> str:
        system = SYSTEMS[guest.system]
        networks: dict[str, str] = {}
        for device, address in enumerate(addresses):
            if not address:
                continue
            networks[f"{device}/ip"] = address
            networks[f"{device}/ipv4/0"] = address
            networks[f"{device}/ipv6/0"] = f"fe80::{self.book.random.randrange(1, 65536):x}:{device + 1:x}"
        os_version = {"name": system.name, "uname": system.kernel, "distro": system.distro}
        return self.book.add(
            "VM_guest_metrics",
            os_version={**os_version, "major": system.major, "minor": system.minor},
            PV_drivers_version={"major": "8", "minor": "4", "micro": "1", "build": "1"},
            PV_drivers_up_to_date=True,
            PV_drivers_detected=True,
            networks=networks,
            other={**dict.fromkeys(_TOOLS_FEATURES, "1"), "platform-feature-multiprocessor-suspend": "1"},
            last_updated=self.book.ago(minutes=12),
            live=live,
            can_use_hotplug_vbd="yes",
            can_use_hotplug_vif="yes",
        )


def _boot_settings(guest: Guest, system: GuestSystem) -> dict[str, Any]:
    if guest.domain_type == "pv":
        return {
            "PV_bootloader": "pygrub",
            "PV_args": "console=hvc0 ro quiet",
            "platform": {"timeoffset": "0"},
        }
    settings: dict[str, Any] = {
        "HVM_boot_policy": "BIOS order",
        "HVM_boot_params": {"order": "cdn", "firmware": "uefi" if system.viridian else "bios"},
        "platform": {
            "timeoffset": "0",
            "device-model": "qemu-upstream-uefi" if system.viridian else "qemu-upstream-compat",
            "nx": "true",
            "acpi": "1",
            "apic": "true",
            "pae": "true",
            "hpet": "true",
            "videoram": "8",
            "vga": "std",
            "viridian": "true" if system.viridian else "false",
            "device_id": "0002" if system.viridian else "0001",
        },
        "bios_strings": dict(_BIOS),
    }
    if system.viridian:
        settings["NVRAM"] = {"EFI-variables": "VkFSUwEAAAABAAAAAAAAAA=="}
    return settings
