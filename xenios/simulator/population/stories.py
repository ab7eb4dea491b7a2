"""The VMs that a takeover must not get wrong: one story each, first what a small pool should have.

Everything here has been met in real pools: names that lie, disks that two VMs hold, marks of other managers,
devices that tie a VM to its host, records that point nowhere. Ordinary VMs fill the pool up around them.

Effects: none
"""

from collections.abc import Callable
from dataclasses import dataclass

from xenios.simulator.facts.datamodel import NULL
from xenios.simulator.population.book import Book
from xenios.simulator.population.copies import add_clone, add_snapshot
from xenios.simulator.population.guests import Disk, Guest, Maker
from xenios.simulator.population.hosts import HostState
from xenios.simulator.population.storage import add_disk
from xenios.simulator.population.units import GIB


@dataclass(frozen=True, slots=True)
class Story:
    """Some VMs and what makes them special; `clones` more VMs come into being by `finish`."""

    guests: tuple[Guest, ...]
    finish: Callable[[Maker, list[str]], None] | None = None
    hosts_min: int = 1
    clones: int = 0

    @property
    def vms(self) -> int:
        """How many VMs the story adds."""
        return len(self.guests) + self.clones


def stories(book: Book) -> tuple[Story, ...]:
    """All stories, those that a small pool needs most first."""
    return (*_everyday(), *_names(), *_owners(book), *_devices(), *_places())


def _everyday() -> tuple[Story, ...]:
    database = Guest(
        "pg-prod-01",
        "PostgreSQL primary",
        system="rocky",
        memory_gib=16,
        memory_min_gib=8,
        vcpus=8,
        disks=(Disk(40), Disk(400, "iscsi")),
        ha="restart",
        autostart=True,
        tags=("production", "database"),
    )
    web = Guest(
        "web-prod-01",
        "Shop front end",
        autostart=True,
        ha="restart",
        wires=("dmz", "servers"),
        tags=("production",),
    )
    return (
        Story((database,), _two_snapshots),
        Story((web,), _cloned_for_tests, clones=1),
        *_states(),
        Story(
            (
                Guest(
                    "fileserver",
                    "Current",
                    system="windows",
                    memory_gib=8,
                    vcpus=4,
                    disks=(Disk(80), Disk(500)),
                ),
                Guest("fileserver", "Before the move", system="windows", state="Halted", disks=(Disk(80),)),
            )
        ),
        Story(
            (
                Guest("dns-01", memory_gib=1, vcpus=1, where=HostState.SOUND),
                Guest("dns-02", memory_gib=1, vcpus=1, where=HostState.SOUND),
            ),
            _same_mac,
        ),
    )


def _states() -> tuple[Story, ...]:
    return (
        Story(
            (Guest("intranet-old", "Kept until the archive is checked", state="Halted", memory_gib=2),),
            _snapshot_of_gone,
        ),
        Story((Guest('it\'s "quoted"', state="Suspended", memory_gib=2),)),
        Story(
            (
                Guest(
                    "tab\there",
                    "Paused for a disk check",
                    state="Paused",
                    memory_gib=2,
                    where=HostState.SOUND,
                ),
            )
        ),
        Story(
            (
                Guest(
                    "100% load %. %n %%",
                    system="centos5",
                    domain_type="pv",
                    tools=False,
                    memory_gib=1,
                    vcpus=1,
                ),
            )
        ),
        Story((Guest("\U0001f680 deploy-runner", system="ubuntu", tools=False, ha="best-effort"),)),
    )


def _names() -> tuple[Story, ...]:
    cloud = tuple(
        Guest(name, memory_gib=1, vcpus=1, tools=False, wires=("management", "servers"))
        for name in ("i-2-3-VM", "r-4-VM", "s-1-VM", "v-2-VM")
    )
    odd = (
        Guest("", "A VM without a name", memory_gib=1),
        Guest("<script>alert('xenios')</script>", '<b>HTML</b> & "more"', memory_gib=1),
        Guest("\u009b31mALERT\u009b0m \u009b2J", "8-bit terminal escapes", state="Halted", memory_gib=1),
        Guest(
            "Buchhaltung-Süd 日本語 ünïcödé",
            "Ελληνικά, עברית, русский",
            domain_type="pv_in_pvh",
            memory_gib=2,
        ),
        Guest(
            "two\nlines \u202etxt.exe", "Line break and right-to-left override", state="Halted", memory_gib=1
        ),
    )
    return (
        Story((*cloud, Guest("i-2-5-OTHER", state="Halted", memory_gib=1))),
        *(Story((guest,)) for guest in odd),
    )


def _owners(book: Book) -> tuple[Story, ...]:
    made = f"{book.now.year - 1}-05-12T09:41:07.113Z"
    orchestra = {
        "xo:resource_set": '"U8kmJKszJC0"',
        "xo:355ee47d": f'{{"creation":{{"date":"{made}","template":"{book.uuid()}"}}}}',
    }
    replica = {
        "xo:backup:datetime": book.ago(days=1),
        "xo:backup:job": book.uuid(),
        "xo:backup:schedule": book.uuid(),
        "xo:backup:vm": book.uuid(),
        "xo:backup:sr": book.uuid(),
    }
    centre = {"folder": "/Finance/ERP", "XenCenter.CustomFields.Cost centre": "4711"}
    # The key is Citrix's documented one; on XenServer other_config is the only place for a key with a value.
    citrix = {"CitrixProvisioningSchemeId": book.uuid()}
    blocked = {"start": "Start operation for this vm is blocked, clone it if you want to use it."}
    return (
        Story((Guest("build-agent-01", "Made with Xen Orchestra", system="ubuntu", other_config=orchestra),)),
        Story(
            (
                Guest(
                    "mail-relay-01 - nightly - (20260820T010000Z)",
                    "Replica",
                    state="Halted",
                    other_config=replica,
                    tags=("Continuous Replication",),
                    blocked={**blocked, "start_on": blocked["start"]},
                ),
            )
        ),
        Story((Guest("erp-app-01", "Ledger", system="windows", memory_gib=8, vcpus=4, other_config=centre),)),
        Story(
            (Guest("vda-pool-001", "Desktop", system="windows", wires=("desktops",), other_config=citrix),)
        ),
    )


def _devices() -> tuple[Story, ...]:
    local = Guest("cache-01", "Scratch data, local disk", disks=(Disk(20), Disk(200, "local")), cd=True)
    nodes = tuple(
        Guest(f"cluster-node-{name}", "Quorum disk shared with the other node", wires=("servers", "internal"))
        for name in "ab"
    )
    clash = (
        Guest("billing-01", "In production"),
        Guest("billing-01-restore", "Restore test", state="Halted"),
    )
    return (
        Story((local,)),
        Story(nodes, _shared_disk),
        Story(clash, _disk_of_the_other),
        Story(
            (Guest("back\\slash", "Its second disk is gone", state="Halted", disks=(Disk(20), Disk(60))),),
            _missing_disk,
        ),
        Story((Guest("san-gateway", "Owns an HBA", first_host=True),), _passthrough),
        Story(
            (
                Guest(
                    "cad-01", system="windows", memory_gib=16, vcpus=8, wires=("desktops",), first_host=True
                ),
            ),
            _vgpu,
        ),
    )


def _places() -> tuple[Story, ...]:
    gone = Guest("monitoring-01", "On a host not heard of", where=HostState.NOT_LIVE)
    resting = Guest("wiki-01", "On a host in maintenance", where=HostState.DISABLED)
    return (
        Story((gone,), hosts_min=3),
        Story((resting,), hosts_min=3),
        Story((Guest("ldap-01", "Its preferred host was removed", memory_gib=2),), _affinity_to_nowhere),
    )


def _cloned_for_tests(maker: Maker, vms: list[str]) -> None:
    add_clone(maker, vms[0], "web-prod-01 (test copy)")


def _two_snapshots(maker: Maker, vms: list[str]) -> None:
    first = add_snapshot(maker, vms[0], "before upgrade 15", 61.0)
    second = add_snapshot(maker, vms[0], "before upgrade 16", 9.0)
    maker.book.get("VM", second)["parent"] = first


def _snapshot_of_gone(maker: Maker, vms: list[str]) -> None:
    snapshot = add_snapshot(maker, vms[0], "month end", 400.0)
    record = maker.book.get("VM", snapshot)
    record["snapshot_of"] = maker.book.ref()
    maker.book.get("VM", vms[0])["parent"] = NULL


def _interface(maker: Maker, vm: str) -> str:
    return maker.book.devices("VIF", vm)[0]


def _same_mac(maker: Maker, vms: list[str]) -> None:
    first = maker.book.get("VIF", _interface(maker, vms[0]))
    maker.book.get("VIF", _interface(maker, vms[1])).update(MAC=first["MAC"], MAC_autogenerated=False)


def _attached(maker: Maker, vm: str) -> bool:
    return bool(maker.book.get("VM", vm)["power_state"] in ("Running", "Paused"))


def _shared_disk(maker: Maker, vms: list[str]) -> None:
    vdi = add_disk(maker.book, maker.storage.nfs, "quorum", GIB, sharable=True)
    for vm in vms:
        maker.attach(vm, vdi, "1", attached=_attached(maker, vm))


def _disk_of_the_other(maker: Maker, vms: list[str]) -> None:
    vdi = maker.book.get("VBD", maker.book.devices("VBD", vms[0])[0])["VDI"]
    maker.attach(vms[1], vdi, "1", attached=False)


def _missing_disk(maker: Maker, vms: list[str]) -> None:
    vdi = maker.book.get("VBD", maker.book.devices("VBD", vms[0])[1])["VDI"]
    maker.book.get("VDI", vdi).update(missing=True, managed=False)


def _passthrough(maker: Maker, vms: list[str]) -> None:
    record = maker.book.get("VM", vms[0])
    pci = maker.book.add(
        "PCI",
        class_id="0c04",
        class_name="Fibre Channel",
        vendor_id="1077",
        vendor_name="QLogic Corp.",
        device_id="2261",
        device_name="ISP2722-based 16/32Gb Fibre Channel to PCIe Adapter",
        host=maker.site.hosts[0].ref,
        pci_id="0000:3b:00.0",
        driver_name="pciback",
    )
    record["other_config"]["pci"] = "0/0000:3b:00.0"
    record["affinity"] = maker.site.hosts[0].ref
    if _attached(maker, vms[0]):
        record["attached_PCIs"] = [pci]
    _drop_operations(maker, vms[0])


def _vgpu(maker: Maker, vms: list[str]) -> None:
    book = maker.book
    host = maker.site.hosts[0].ref
    group = book.add(
        "GPU_group", name_label="Group of NVIDIA Corporation GA107GL [A2 / A16] GPUs", GPU_types=["10de/25b6"]
    )
    kind = book.add(
        "VGPU_type",
        vendor_name="NVIDIA Corporation",
        model_name="NVIDIA A16-2Q",
        framebuffer_size=2 * GIB,
        max_heads=4,
        max_resolution_x=7680,
        max_resolution_y=4320,
        implementation="nvidia",
        identifier="0001:nvidia,10de,25b6,10de,159b",
        supported_on_GPU_groups=[group],
        enabled_on_GPU_groups=[group],
    )
    pci = book.add(
        "PCI",
        class_id="0302",
        class_name="3D controller",
        vendor_id="10de",
        vendor_name="NVIDIA Corporation",
        device_id="25b6",
        device_name="GA107GL [A2 / A16]",
        host=host,
        pci_id="0000:86:00.0",
        driver_name="nvidia",
    )
    card = book.add(
        "PGPU",
        PCI=pci,
        GPU_group=group,
        host=host,
        supported_VGPU_types=[kind],
        enabled_VGPU_types=[kind],
        supported_VGPU_max_capacities={kind: 8},
    )
    book.get("VGPU_type", kind).update(supported_on_PGPUs=[card], enabled_on_PGPUs=[card])
    book.get("GPU_group", group).update(supported_VGPU_types=[kind], enabled_VGPU_types=[kind])
    attached = _attached(maker, vms[0])
    book.add(
        "VGPU",
        VM=vms[0],
        GPU_group=group,
        device="0",
        type=kind,
        currently_attached=attached,
        resident_on=card if attached else NULL,
    )
    _drop_operations(maker, vms[0])


def _drop_operations(maker: Maker, vm: str) -> None:
    """A VM that holds a device of its host can neither move nor be suspended."""
    record = maker.book.get("VM", vm)
    tied = {"pool_migrate", "migrate_send", "suspend", "checkpoint"}
    record["allowed_operations"] = [name for name in record["allowed_operations"] if name not in tied]


def _affinity_to_nowhere(maker: Maker, vms: list[str]) -> None:
    maker.book.get("VM", vms[0])["affinity"] = maker.book.ref()
