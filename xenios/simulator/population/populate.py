"""Makes a XenServer pool in use: `populate(seed, hosts, vms, now)` gives all its records.

The demo, the tests and the benchmarks look at pools as a company runs them: busy, grown over years, managed
by several tools at once, with the odd states that a takeover must leave alone. The same arguments give the
same pool, byte for byte. `vms` counts VMs proper; control domains, templates and snapshots come on top. A
small pool gets the stories that fit, a large one ordinary VMs around them.

Effects: none
"""

from datetime import datetime

from xenios.drivers.xenserver.memory import overhead_bytes
from xenios.simulator.facts.datamodel import NULL, Records
from xenios.simulator.population.book import Book
from xenios.simulator.population.copies import add_snapshot
from xenios.simulator.population.guests import SYSTEMS, Disk, Guest, Maker
from xenios.simulator.population.hosts import Site, add_hosts, host_memory_bytes
from xenios.simulator.population.networks import add_networks
from xenios.simulator.population.storage import Storage, add_disk, add_storage, settle_sizes
from xenios.simulator.population.stories import Story, stories
from xenios.simulator.population.units import GIB

HOSTS_MAX = 256
VMS_MAX = 100_000

_ORDINARY = (
    ("web", "debian", 4, 2, "dmz"),
    ("app", "rocky", 8, 4, "servers"),
    ("db", "rocky", 16, 4, "servers"),
    ("ci-runner", "ubuntu", 8, 4, "servers"),
    ("kube-worker", "ubuntu", 16, 8, "servers"),
    ("mail-relay", "debian", 2, 2, "dmz"),
    ("desktop", "windows", 8, 2, "desktops"),
    ("print", "windows", 4, 2, "servers"),
    ("queue", "debian", 4, 2, "servers"),
    ("report", "windows", 8, 4, "servers"),
)
_TEMPLATE_OPERATIONS = (
    "metadata_export",
    "export",
    "changing_NVRAM",
    "changing_shadow_memory",
    "changing_static_range",
    "changing_dynamic_range",
    "provision",
    "copy",
    "clone",
)


def populate(seed: int, hosts: int, vms: int, now: datetime) -> Records:
    """All records of a pool in use, `{class: {ref: record}}`, as XAPI returns them.

    Raises ValueError when the numbers of hosts or VMs are out of bounds.
    """
    if not 1 <= hosts <= HOSTS_MAX:
        raise ValueError(f"a simulated pool has 1 to {HOSTS_MAX} hosts, not {hosts}")
    if not 0 <= vms <= VMS_MAX:
        raise ValueError(f"a simulated pool has 0 to {VMS_MAX} VMs, not {vms}")
    book = Book(seed, now)
    told = _stories_that_fit(book, hosts, vms)
    ordinary = _ordinary_guests(book, vms - sum(story.vms for story in told))
    resident = [guest for story in told for guest in story.guests if guest.resident]
    resident += [guest for guest in ordinary if guest.resident]
    site = Site()
    add_hosts(book, site, hosts, host_memory_bytes(sum(guest.held_bytes for guest in resident), hosts))
    add_networks(book, site)
    maker = Maker(book, site, add_storage(book, site))
    _add_templates(maker)
    for story in told:
        made = [maker.make(guest) for guest in story.guests]
        if story.finish is not None:
            story.finish(maker, made)
    for number, guest in enumerate(ordinary):
        vm = maker.make(guest)
        if number % 25 == 24:
            add_snapshot(maker, vm, "before patching", 20.0)
    _add_pool(book, site, maker.storage)
    book.link()
    settle_sizes(book)
    return book.records


def _stories_that_fit(book: Book, hosts: int, vms: int) -> list[Story]:
    told: list[Story] = []
    room = vms
    for story in stories(book):
        if story.vms <= room and hosts >= story.hosts_min:
            told.append(story)
            room -= story.vms
    return told


def _ordinary_guests(book: Book, count: int) -> list[Guest]:
    guests = []
    numbers: dict[str, int] = {}
    for _ in range(count):
        role, system, memory_gib, vcpus, wire = book.pick(_ORDINARY)
        numbers[role] = numbers.get(role, 1) + 1
        tools = book.random.random() < 0.9
        disks = [Disk(book.pick((20, 40, 60, 80)), book.pick(("nfs", "nfs", "nfs", "iscsi", "local")))]
        if role in ("db", "report"):
            disks.append(Disk(book.pick((100, 200, 400)), "iscsi"))
        guests.append(
            Guest(
                f"{role}-{numbers[role]:03d}",
                system=system,
                state=book.random.choices(("Running", "Halted", "Suspended", "Paused"), (76, 21, 2, 1))[0],
                tools=tools,
                memory_gib=memory_gib,
                vcpus=vcpus,
                disks=tuple(disks),
                wires=(wire,),
                autostart=book.random.random() < 0.5,
                ha=book.random.choices(("", "restart", "best-effort"), (7, 2, 1))[0],
                tags=(role,),
            )
        )
    return guests


def _add_templates(maker: Maker) -> None:
    for system in SYSTEMS.values():
        _add_template(maker, system.template, viridian=system.viridian, default=True)
    _add_template(maker, "Other install media", viridian=False, default=True)
    golden = _add_template(maker, "golden-debian12-cloudinit", viridian=False, default=False)
    vdi = add_disk(maker.book, maker.storage.nfs, "golden-debian12-cloudinit 0", 10 * GIB, type="system")
    maker.attach(golden, vdi, "0", attached=False, bootable=True)
    maker.book.add(
        "VIF",
        VM=golden,
        network=maker.site.wires["servers"].ref,
        device="0",
        MAC=maker.book.mac(),
        MTU=1500,
        MAC_autogenerated=True,
        allowed_operations=["attach"],
    )


def _add_template(maker: Maker, label: str, *, viridian: bool, default: bool) -> str:
    book = maker.book
    disk = f'<provision><disk device="0" size="{10 * GIB}" sr="" bootable="true" type="system"/></provision>'
    other_config = {"mac_seed": book.uuid(), "install-methods": "cdrom,nfs,http,ftp"}
    if default:
        other_config.update(
            {"default_template": "true", "disks": disk, "linux_template": "false" if viridian else "true"}
        )
    limits = '<restrictions><restriction field="memory-static-max" max="1649267441664"/></restrictions>'
    return book.add(
        "VM",
        name_label=label,
        name_description="" if default else "Hardened image, cloud-init, rebuilt monthly",
        allowed_operations=list(_TEMPLATE_OPERATIONS),
        is_a_template=True,
        is_default_template=default,
        user_version=1,
        memory_static_max=2 * GIB,
        memory_dynamic_max=2 * GIB,
        memory_dynamic_min=2 * GIB,
        memory_static_min=GIB,
        memory_overhead=overhead_bytes("hvm", 2 * GIB, 1),
        VCPUs_max=1,
        VCPUs_at_startup=1,
        actions_after_reboot="restart",
        actions_after_crash="restart",
        HVM_boot_policy="BIOS order",
        HVM_boot_params={"order": "cdn"},
        platform={
            "nx": "true",
            "acpi": "1",
            "apic": "true",
            "pae": "true",
            "viridian": "true" if viridian else "false",
        },
        other_config=other_config,
        domid=-1,
        domain_type="hvm",
        recommendations=limits,
        has_vendor_device=viridian,
        metrics=book.add("VM_metrics") if default else NULL,
    )


def _add_pool(book: Book, site: Site, storage: Storage) -> None:
    master = site.hosts[0].ref
    cpu_info = book.get("host", master)["cpu_info"]
    pool_keys = ("features_hvm_host", "features_pv_host", "vendor")
    cores = sum(place.cores for place in site.hosts)
    book.add(
        "pool",
        name_label="production-a",
        name_description="Virtual machines of building A",
        master=master,
        default_SR=storage.nfs,
        suspend_image_SR=storage.nfs,
        crash_dump_SR=storage.nfs,
        other_config={"auto_poweron": "true", "memory-ratio-hvm": "0.25", "memory-ratio-pv": "0.25"},
        ha_cluster_stack="xhad",
        tls_verification_enabled=True,
        allowed_operations=[
            "ha_enable",
            "designate_new_master",
            "configure_repositories",
            "sync_updates",
            "eject",
        ],
        cpu_info={
            **{key: cpu_info[key] for key in pool_keys},
            "cpu_count": str(cores),
            "socket_count": str(2 * len(site.hosts)),
        },
    )
    book.add("user", short_name="root", fullname="superuser")
    for place in site.hosts:
        book.get("host", place.ref)["suspend_image_sr"] = storage.nfs
