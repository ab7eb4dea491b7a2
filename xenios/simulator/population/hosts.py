"""Which machines and networks the simulated pool has.

Hosts are alike, as hosts of one pool are. With three or more of them one is in maintenance (disabled, its VMs
still run there) and one has not been heard of for hours (not live, its VMs still recorded as running there):
both are ordinary states of a pool in use, and both are where a takeover goes wrong.

Effects: none
"""

from dataclasses import dataclass, field
from enum import Enum

from xenios.drivers.xenserver.memory import overhead_bytes
from xenios.simulator.facts.datamodel import NULL
from xenios.simulator.population.book import Book
from xenios.simulator.population.units import GIB, MIB

_HOST_MEMORY_GIB = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096)
_FEATURES = "1fcbfbff-f7fa3223-2d93fbff-00000523-00000001-f1bf27ab-00000000-00000100"
_FEATURES_POOL_PV = "1fc9cbf5-f6f83203-2991cbf5-00000123-00000001-f1bb0729-00000000-00000100"


class HostState(Enum):
    """In which state of health a host is."""

    SOUND = "sound"
    DISABLED = "disabled"
    NOT_LIVE = "not live"


@dataclass(slots=True)
class HostPlace:
    """A host as the population sees it: where VMs may be put, and the room left."""

    ref: str
    name: str
    address: str
    state: HostState
    free_bytes: int
    cores: int
    domains: int = 0


@dataclass(frozen=True, slots=True)
class Wire:
    """A network that guests use: its ref, and how their addresses begin (empty: no addresses are known)."""

    ref: str
    prefix: str


@dataclass(slots=True)
class Site:
    """Everything that is there before the first VM."""

    hosts: list[HostPlace] = field(default_factory=list)
    wires: dict[str, Wire] = field(default_factory=dict)


def state_of_host(index: int, count: int) -> HostState:
    """The last of three or more hosts is not live, the second is disabled, all others are sound."""
    if count >= 3 and index == count - 1:
        return HostState.NOT_LIVE
    if count >= 3 and index == 1:
        return HostState.DISABLED
    return HostState.SOUND


def host_memory_bytes(needed_bytes: int, count: int) -> int:
    """The size of machine one would have bought so that the running VMs fit with room to spare."""
    wanted = needed_bytes * 1.6 / count + 24 * GIB
    return next((gib for gib in _HOST_MEMORY_GIB if gib * GIB >= wanted), _HOST_MEMORY_GIB[-1]) * GIB


def add_hosts(book: Book, site: Site, count: int, memory_bytes: int) -> None:
    """The hosts with their processors, metrics and control domains."""
    cores = 64 if memory_bytes > 192 * GIB else 32
    for index in range(count):
        _add_host(book, site, index, count, memory_bytes, cores)


def _add_host(book: Book, site: Site, index: int, count: int, memory_bytes: int, cores: int) -> None:
    name = f"xcp-a{index + 1:02d}"
    address = f"10.20.{index // 200}.{index % 200 + 11}"
    state = state_of_host(index, count)
    heard_minutes = 190.0 if state is HostState.NOT_LIVE else 0.4
    metrics = book.add(
        "host_metrics",
        memory_total=memory_bytes,
        live=state is not HostState.NOT_LIVE,
        last_updated=book.ago(minutes=heard_minutes),
    )
    own_bytes = (memory_bytes // 128 + 640 * MIB) // MIB * MIB
    boot_days = 3 + book.random.randrange(180)
    boot_time = int(book.now.timestamp()) - boot_days * 86400
    usable = state is HostState.SOUND
    host = book.add(
        "host",
        name_label=name,
        name_description="Rack A, virtualisation" if usable else "Rack A, see maintenance calendar",
        hostname=name,
        address=address,
        enabled=state is not HostState.DISABLED,
        memory_overhead=own_bytes,
        metrics=metrics,
        cpu_info=_cpu_info(cores),
        software_version=_software_version(),
        other_config={
            "agent_start_time": f"{boot_time + 95}.",
            "boot_time": f"{boot_time}.",
            "iscsi_iqn": f"iqn.2024-03.net.example:{name}",
            "multipathing": "true",
        },
        capabilities=["xen-3.0-x86_64", "hvm-3.0-x86_32", "hvm-3.0-x86_32p", "hvm-3.0-x86_64"],
        allowed_operations=["vm_migrate", "provision", "vm_resume", "evacuate", "vm_start"]
        if usable
        else ["enable"],
        API_version_major=2,
        API_version_minor=23,
        API_version_vendor="XenSource",
        sched_policy="credit",
        supported_bootloaders=["pygrub", "eliloader"],
        edition="xcp-ng",
        editions=["xcp-ng"],
        chipset_info={"iommu": "true"},
        virtual_hardware_platform_versions=[0, 1, 2],
        iscsi_iqn=f"iqn.2024-03.net.example:{name}",
        multipathing=True,
        ssl_legacy=False,
        tls_verification_enabled=True,
        bios_strings={"system-manufacturer": "Example Systems", "system-product-name": "R2U-32"},
        logging={},
        crash_dump_sr=book.ref() if index == 0 else NULL,
    )
    dom0_bytes = min(8 * GIB, GIB + memory_bytes // 20 // MIB * MIB)
    place = HostPlace(host, name, address, state, memory_bytes - own_bytes, cores, domains=1)
    site.hosts.append(place)
    _add_control_domain(book, place, dom0_bytes, boot_days)
    for number in range(cores):
        book.add("host_cpu", host=host, number=number, **_cpu_facts())


def _cpu_facts() -> dict[str, object]:
    return {
        "vendor": "GenuineIntel",
        "speed": 2893,
        "modelname": "Intel(R) Xeon(R) Gold 6346 CPU @ 3.10GHz",
        "family": 6,
        "model": 106,
        "stepping": "6",
        "flags": "fpu vme de pse tsc msr pae mce cx8 apic sep mca cmov pat clflush acpi mmx fxsr sse sse2 ht",
        "features": _FEATURES,
    }


def _cpu_info(cores: int) -> dict[str, str]:
    return {
        "cpu_count": str(cores),
        "socket_count": "2",
        "threads_per_core": "2",
        "nr_nodes": "2",
        "vendor": "GenuineIntel",
        "speed": "2893.000",
        "modelname": "Intel(R) Xeon(R) Gold 6346 CPU @ 3.10GHz",
        "family": "6",
        "model": "106",
        "stepping": "6",
        "flags": "fpu vme de pse tsc msr pae mce cx8 apic sep mca cmov pat clflush acpi mmx fxsr sse sse2 ht",
        "features_pv": _FEATURES_POOL_PV,
        "features_hvm": _FEATURES,
        "features_hvm_host": _FEATURES,
        "features_pv_host": _FEATURES_POOL_PV,
    }


def _software_version() -> dict[str, str]:
    return {
        "product_version": "8.3.0",
        "product_version_text": "8.3",
        "product_version_text_short": "8.3",
        "platform_name": "XCP",
        "platform_version": "3.4.0",
        "product_brand": "XCP-ng",
        "build_number": "cloud",
        "git_id": "0",
        "hostname": "localhost",
        "date": "20260606T12:28:32Z",
        "dbv": "0.0.1",
        "xapi": "26.21",
        "xapi_build": "26.21.0",
        "xen": "4.17.5-13",
        "linux": "4.19.0+1",
        "xencenter_min": "2.23",
        "xencenter_max": "2.23",
        "network_backend": "openvswitch",
        "db_schema": "5.909",
    }


def _add_control_domain(book: Book, place: HostPlace, memory_bytes: int, boot_days: int) -> None:
    overhead = overhead_bytes("pv", memory_bytes, 16)
    started = book.ago(days=boot_days)
    metrics = book.add(
        "VM_metrics",
        memory_actual=memory_bytes,
        VCPUs_number=16,
        start_time=started,
        install_time=started,
        last_updated=started,
        current_domain_type="pv",
    )
    vm = book.add(
        "VM",
        name_label=f"Control domain on host: {place.name}",
        name_description="The domain which manages physical devices and manages other domains",
        allowed_operations=["metadata_export", "changing_static_range", "changing_dynamic_range"],
        power_state="Running",
        user_version=1,
        resident_on=place.ref,
        affinity=place.ref,
        memory_overhead=overhead,
        memory_target=memory_bytes,
        memory_static_max=memory_bytes,
        memory_dynamic_max=memory_bytes,
        memory_dynamic_min=memory_bytes,
        memory_static_min=memory_bytes,
        VCPUs_max=16,
        VCPUs_at_startup=16,
        domid=0,
        domarch="x64",
        is_control_domain=True,
        metrics=metrics,
        domain_type="pv",
        has_vendor_device=False,
        generation_id="",
        other_config={"storage_driver_domain": "true"},
    )
    for protocol in ("rfb", "vt100"):
        add_console(book, place, vm, protocol)
    book.get("host", place.ref)["control_domain"] = vm
    place.free_bytes -= memory_bytes + overhead


def add_console(book: Book, place: HostPlace, vm: str, protocol: str) -> None:
    """A console of a domain that exists on this host."""
    console = book.add("console", protocol=protocol, VM=vm)
    record = book.get("console", console)
    record["location"] = f"https://{place.address}/console?uuid={record['uuid']}"
