"""A world: the pool of a story as it really is at one moment, and what it shows to whoever looks.

What is and what is shown are two things: a silent host's VMs run on, and a hypervisor that answers with an empty list
has not lost a single VM. Managers act on worlds, so every policy has one of its own; a world never changes, each act
makes a new one.

Effects: none
"""

import hashlib
import uuid
from collections.abc import Mapping
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from xenios.model.collection import Collection, ReadFailure
from xenios.model.inventory import (
    POWER_STATES_THAT_HOLD_MEMORY,
    Answer,
    Cpu,
    Disk,
    DiskKind,
    Host,
    HypervisorKind,
    Memory,
    Nic,
    Pool,
    PowerState,
    Presence,
    Sharing,
    Snapshot,
    Vm,
    VmKind,
)
from xenios.replay.script import Seat, Story, VmSpec

FIRST_MOMENT = 1_767_225_600_000_000
"""00:00 of every story: 2026-01-01 00:00 UTC, in microseconds since 1970."""
_SPACE = uuid.UUID("8d0f3a52-6c0b-5d0e-9a53-3f1f6e0a7c11")
POOL_UUID = str(uuid.uuid5(_SPACE, "pool"))
_DISK_BYTES = 10 * 1024**3


class Manner(StrEnum):
    """How the hypervisor answers."""

    AS_IT_IS = "as it is"
    NOTHING = "nothing"
    """A list comes, and it is empty."""
    NOT_AT_ALL = "not at all"


class KeptState(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a VM: what it brings back."""

    name: str
    uuid: str
    mark: str
    at: int


class WorldVm(msgspec.Struct, frozen=True, kw_only=True):
    """A VM as it really is."""

    handle: str
    name: str
    uuid: str
    memory_bytes: int
    power_state: PowerState
    host: str | None
    """Where it runs; on KVM, where it is defined."""
    prefers: str | None = None
    high_availability: bool = False
    mark: str = ""
    """What stands under Xenios's key on it."""
    snapshots: tuple[KeptState, ...] = ()
    persistent: bool = True
    """False: on libvirt, its definition goes when it ends."""
    maker: Seat | None = None
    """Which manager made it; None: an administrator."""
    exists: bool = True
    """False: its record is gone. What it was like is still known here, to tell it at the end."""
    lives: int = 1
    """How many records it has had: a manager may destroy one and make another. 0: it was never made."""

    @property
    def holds_memory(self) -> bool:
        """Whether it occupies memory of its host."""
        return self.exists and self.power_state in POWER_STATES_THAT_HOLD_MEMORY


class World(msgspec.Struct, frozen=True, kw_only=True):
    """The pool as it really is."""

    story: Story
    vms: Mapping[str, WorldVm]
    """By handle, in the order in which they came."""
    silent: frozenset[str] = frozenset()
    """Hosts that nobody reaches; what runs on them runs on."""
    manner: Manner = Manner.AS_IT_IS

    @property
    def kvm(self) -> bool:
        """Whether each host is one by itself, and keeps the definitions of its own VMs."""
        return self.story.kind is HypervisorKind.KVM

    def with_vm(self, vm: WorldVm) -> "World":
        """The same world with this VM as it is now."""
        return replace(self, vms={**self.vms, vm.handle: vm})

    def by_uuid(self, vm_uuid: str) -> WorldVm | None:
        """The VM whose present record has that uuid."""
        found = [vm for vm in self.vms.values() if vm.uuid == vm_uuid]
        return next((vm for vm in found if vm.exists), found[0] if found else None)


def host_uuid_of(name: str) -> str:
    """The uuid of a story's host."""
    return str(uuid.uuid5(_SPACE, f"host {name}"))


def vm_uuid_of(handle: str, life: int = 1) -> str:
    """The uuid of a VM's record, which is another one when the record was made anew."""
    return str(uuid.uuid5(_SPACE, f"vm {handle} {life}"))


def world_of(story: Story) -> World:
    """The world at the beginning of a story."""
    world = World(story=story, vms={})
    for spec in story.vms:
        world = world.with_vm(vm_from(world, spec, maker=None))
    return world


def vm_from(world: World, spec: VmSpec, *, maker: Seat | None) -> WorldVm:
    """A VM that comes into being as the story says."""
    return WorldVm(
        handle=spec.handle,
        name=spec.name,
        uuid=vm_uuid_of(spec.handle),
        memory_bytes=spec.memory_bytes,
        power_state=spec.power_state,
        host=spec.host if world.kvm or spec.host is not None else None,
        prefers=spec.prefers,
        high_availability=spec.high_availability,
        maker=maker,
    )


def room_taken_bytes(world: World) -> dict[str, int]:
    """What VMs really take on each host, by its name."""
    taken = dict.fromkeys((host.name for host in world.story.hosts), 0)
    for vm in world.vms.values():
        if vm.holds_memory and vm.host is not None:
            taken[vm.host] += vm.memory_bytes
    return taken


# --- what is shown -------------------------------------------------------------------------------------------------


def view_of(world: World, now: int) -> Collection | None:
    """What a manager sees that looks now; None: nobody answers."""
    hosts = world.story.hosts
    reachable = [host.name for host in hosts if host.name not in world.silent]
    master = hosts[0].name
    asked = reachable if world.kvm else [master] if master in reachable else []
    if world.manner is Manner.NOT_AT_ALL or not asked:
        return None
    taken = room_taken_bytes(world)
    vms = () if world.manner is Manner.NOTHING else tuple(_shown_vms(world))
    return Collection(
        seen_at=now,
        source="a story",
        pool=Pool(
            uuid=POOL_UUID,
            name="pool",
            kind=world.story.kind,
            product="libvirt" if world.kvm else "XenServer",
            version=world.story.version,
            master_uuid=None if world.kvm else host_uuid_of(master),
        ),
        hosts=tuple(
            Host(
                uuid=host_uuid_of(host.name),
                name=host.name,
                version=world.story.version,
                cpu=Cpu(count=32),
                memory_bytes_total=host.memory_bytes,
                memory_bytes_free=host.memory_bytes - host.overhead_bytes - taken[host.name]
                if host.name in reachable
                else None,
                memory_free_source="the story",
                memory_bytes_overhead=host.overhead_bytes,
                live=Answer.YES if host.name in reachable else Answer.NO,
                enabled=Answer.YES,
            )
            for host in hosts
        ),
        storages=(),
        networks=(),
        vms=vms,
        failures=_failures(world),
        all_vms_seen=not (world.kvm and world.silent),
    )


def unanswered(view: Collection) -> Collection:
    """The last view that there was, of a pool that does not answer any more: nobody knows whether it still holds."""
    return replace(view, hosts=tuple(replace(host, live=Answer.UNKNOWN) for host in view.hosts))


def _failures(world: World) -> tuple[ReadFailure, ...]:
    """Of a KVM host that is silent nothing is read; of a XenServer pool the master tells what it last knew."""
    if not world.kvm:
        return ()
    return tuple(
        ReadFailure(
            what=f"host {host.name}",
            because="it does not answer",
            remedy="see whether it runs, and whether the network reaches it",
            subject_uuid=host_uuid_of(host.name),
        )
        for host in world.story.hosts
        if host.name in world.silent
    )


def _shown_vms(world: World) -> "list[Vm]":
    shown = []
    for vm in world.vms.values():
        if not vm.exists or (world.kvm and vm.host in world.silent):
            continue
        shown.append(as_seen(world, vm))
        if not world.kvm:
            shown += [_snapshot_as_seen(vm, kept) for kept in vm.snapshots]
    return shown


def as_seen(world: World, vm: WorldVm) -> Vm:
    """The VM as a view tells it."""
    resident = vm.host is not None and (world.kvm or vm.holds_memory)
    return Vm(
        uuid=vm.uuid,
        name=vm.name,
        power_state=vm.power_state,
        host_uuid=host_uuid_of(vm.host) if resident and vm.host is not None else None,
        preferred_host_uuid=host_uuid_of(vm.prefers) if vm.prefers is not None else None,
        vcpus=2,
        memory=Memory(bytes_max=vm.memory_bytes, bytes_dynamic_max=vm.memory_bytes),
        disks=(_disk_of(vm),),
        nics=(Nic(device="0", mac=_mac_of(vm)),),
        snapshots=tuple(Snapshot(uuid=kept.uuid, name=kept.name, taken_at=kept.at) for kept in vm.snapshots),
        autostart=Answer.NO,
        high_availability="restart" if vm.high_availability and vm.maker is None else "",
        persistent=Answer.YES if vm.persistent else Answer.NO,
        mark=vm.mark,
    )


def _snapshot_as_seen(vm: WorldVm, kept: KeptState) -> Vm:
    return Vm(
        uuid=kept.uuid,
        name=kept.name,
        kind=VmKind.SNAPSHOT,
        power_state=PowerState.HALTED,
        memory=Memory(bytes_max=vm.memory_bytes, bytes_dynamic_max=vm.memory_bytes),
        snapshot_of_uuid=vm.uuid,
        mark=kept.mark,
    )


def _disk_of(vm: WorldVm) -> Disk:
    return Disk(
        device="xvda",
        kind=DiskKind.DISK,
        where=f"disk of {vm.handle}",
        identity=f"disk of {vm.handle}",
        size_bytes=_DISK_BYTES,
        sharing=Sharing.SHARED,
        presence=Presence.THERE,
    )


def _mac_of(vm: WorldVm) -> str:
    digest = hashlib.sha256(vm.handle.encode()).digest()
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])
