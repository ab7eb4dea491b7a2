"""Sees one libvirt host as a pool of one: asks in bulk, and turns the answers into a Collection.

The order is deliberate: first the surroundings that definitions refer to, then which guests there are and what they do
(one call), then their definitions (several at a time), and last the figures that cost a question per guest or disk.
Definitions are translated between the bulk reads and not in the reading threads: there the translation would hold the
interpreter's lock against the answers that arrive, and twice the time was measured. Whatever fails or stays unanswered
becomes a ReadFailure of the collection; what was read before stays.

Effects: reads hypervisors
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from errno import ENOENT
from typing import Any, TypeVar

from xenios.clock import now_micros
from xenios.drivers.base import Depth, Progress, no_progress
from xenios.drivers.kvm.client import ConnectionLost, LibvirtClient, NativeError
from xenios.drivers.kvm.domain import (
    DomainExtras,
    ImageFigures,
    Surroundings,
    UnreadableDefinition,
    parse,
    vm_from_xml,
    vm_without_definition,
    with_figures,
)
from xenios.drivers.kvm.host import (
    NativeHost,
    bridges_in_use,
    host_from,
    host_uuid_of,
    image_from_volume,
    kind_of,
    network_from,
    portgroup_vlans_from,
    storage_from,
    version_text,
)
from xenios.errors import TargetUnreadable
from xenios.model.collection import Collection, ReadFailure
from xenios.model.inventory import (
    Answer,
    Capability,
    CapabilityAnswer,
    Network,
    Pool,
    Presence,
    Snapshot,
    Storage,
    Vm,
)

T = TypeVar("T")

_NOT_SUPPORTED = 3  # VIR_ERR_NO_SUPPORT
_NO_SUCH_DOMAIN = 42  # VIR_ERR_NO_DOMAIN
_NO_SUCH_VOLUME = 50  # VIR_ERR_NO_STORAGE_VOL
_READ_AT_ONCE = 2_000
"""Definitions asked for in one go; some 10 MiB of XML. Each pause between two goes costs a third of a go's time."""
_TRANSLATED_AT_ONCE = 50
"""Definitions translated before other work of the process gets its turn; some 5 ms."""
_LAYERS_MAX = 64
"""Of images upon images that are followed; libvirt itself follows 200."""

_ASK_AGAIN = "inspect again; when it stays, look at libvirtd's log on that host"


@dataclass(slots=True)
class _Domain:
    """One domain while it is being read."""

    handle: Any
    uuid: str
    name: str
    stats: dict[str, Any]
    vm: Vm | None = None
    gone: bool = False
    autostart: Answer = Answer.UNKNOWN
    persistent: Answer = Answer.UNKNOWN
    managed_save: bool = False
    has_snapshots: bool = False
    snapshots: tuple[Snapshot, ...] = ()


@dataclass(slots=True)
class _View:
    """What one view has gathered so far."""

    native_host: NativeHost = field(default_factory=NativeHost)
    domains: list[_Domain] = field(default_factory=list)
    storages: list[Storage] = field(default_factory=list)
    networks: list[Network] = field(default_factory=list)
    portgroup_vlans: dict[tuple[str, str], int | None] = field(default_factory=dict)
    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    images: dict[str, ImageFigures] = field(default_factory=dict)
    failures: list[ReadFailure] = field(default_factory=list)
    lost: bool = False


class KvmObserver:
    """Reads one libvirt host over one read-only connection; see drivers/base.py for the contract."""

    def __init__(self, client: LibvirtClient, target: str) -> None:
        self._client = client
        self._target = target
        self._answers: dict[Capability, CapabilityAnswer] = {}

    @classmethod
    async def open(cls, target: str, timeout_seconds: float, *, name: str | None = None) -> KvmObserver:
        """Connects to a libvirt URI, shown as `name`. Raises TargetUnreadable or TargetSilent."""
        name = name or target
        return cls(await LibvirtClient.open(target, timeout_seconds, name), name)

    @property
    def target(self) -> str:
        """The libvirt URI."""
        return self._target

    @property
    def capabilities(self) -> tuple[CapabilityAnswer, ...]:
        """What this libvirt can tell; see drivers/base.py."""
        return tuple(self._answers.values())

    async def close(self) -> None:
        """Closes the connection."""
        await self._client.close()

    async def observe(self, depth: Depth, progress: Progress = no_progress) -> Collection:
        """A full view of the host; see drivers/base.py."""
        seen_at = now_micros()
        view = _View()
        progress("host")
        await self._read_host(view)
        progress("storage and networks")
        await self._read_storages(view)
        await self._read_networks(view, depth)
        progress("guests")
        await self._read_domains(view, progress)
        if depth is Depth.REPORT:
            progress("disks and figures")
            await self._read_figures(view, progress)
        return self._collection(view, seen_at)

    # --- reading -----------------------------------------------------------------------------------------------

    async def _ask(
        self,
        view: _View,
        what: str,
        question: Callable[[Any], T],
        default: T,
        capability: Capability | None = None,
    ) -> T:
        """Asks one thing; a refusal becomes a failure of the view, "not supported" an answer about capability."""
        if view.lost:
            return default
        try:
            answer = await self._client.ask(question)
        except ConnectionLost as error:
            self._lose(view, what, error)
            return default
        except NativeError as error:
            if error.code == _NOT_SUPPORTED:
                self._learn(capability, Answer.NO, f"libvirt says so: {error}")
            else:
                view.failures.append(ReadFailure(what=what, because=str(error), remedy=_ASK_AGAIN))
            return default
        self._learn(capability, Answer.YES, "it answered")
        return answer

    def _learn(self, capability: Capability | None, answer: Answer, how: str) -> None:
        if capability is not None:
            self._answers[capability] = CapabilityAnswer(capability=capability, answer=answer, how=how)

    def _lose(self, view: _View, what: str, error: ConnectionLost) -> None:
        """Notes once that nothing more can be read; the first thing that was not answered is named."""
        if not view.lost:
            view.lost = True
            view.failures.append(
                ReadFailure(
                    what=f"{what}, and everything after it",
                    because=f"{self._target}: {error}",
                    remedy="look at libvirtd on that host (guests run on without it), then inspect again",
                )
            )

    async def _read_host(self, view: _View) -> None:
        async def ask(
            what: str, question: Callable[[Any], T], default: T, capability: Capability | None = None
        ) -> T:
            return await self._ask(view, what, question, default, capability)

        driver = await ask("kind of hypervisor", lambda c: c.getType(), "")
        if not driver:
            if view.failures:
                raise TargetUnreadable(view.failures[0].because, remedy=view.failures[0].remedy)
            raise TargetUnreadable(f"{self._target} does not name its hypervisor", remedy=_ASK_AGAIN)
        self._learn(
            Capability.KEEPALIVE,
            Answer.YES if self._client.keepalive else Answer.NO,
            "asked for when connecting",
        )
        self._learn(
            Capability.GUEST_UPTIME,
            Answer.NO,
            "libvirt has no question for it that a read-only connection may ask",
        )
        self._learn(
            Capability.UEFI,
            Answer.UNKNOWN,
            "libvirt tells its domain capabilities only to connections that may write",
        )
        memory_free = Capability.FREE_MEMORY
        view.native_host = NativeHost(
            driver=driver,
            hostname=await ask("host name", lambda c: c.getHostname(), ""),
            hypervisor_version=await ask("hypervisor version", lambda c: c.getVersion(), None),
            library_version=await ask("libvirt version", lambda c: c.getLibVersion(), None),
            node_info=await ask("processors", lambda c: tuple(c.getInfo()), None),
            free_memory_bytes=await ask("free memory", lambda c: c.getFreeMemory(), None, memory_free),
            memory_stats_kib=await ask("memory statistics", lambda c: c.getMemoryStats(-1, 0), {}),
            capabilities_xml=await ask("capabilities", lambda c: c.getCapabilities(), ""),
        )
        if view.lost:  # not even the host's identity is certain, and nothing more will be answered
            raise TargetUnreadable(view.failures[0].because, remedy=view.failures[0].remedy)
        if view.native_host.memory_stats_kib:
            self._learn(memory_free, Answer.YES, "it answered")

    async def _read_domains(self, view: _View, progress: Progress) -> None:
        libvirt = self._client.libvirt
        listed: list[tuple[Any, dict[str, Any]]] = await self._ask(
            view, "list of guests", lambda c: c.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_STATE, 0), []
        )
        view.domains = [
            _Domain(handle=handle, uuid=handle.UUIDString(), name=handle.name(), stats=dict(stats))
            for handle, stats in listed
        ]
        view.domains.sort(key=lambda domain: (domain.name, domain.uuid))  # libvirt lists in no order
        await self._read_flags(view)
        await self._read_definitions(view, progress)

    async def _read_flags(self, view: _View) -> None:
        """Autostart, persistence, managed save and snapshots: one bulk question each, not one per guest."""
        libvirt = self._client.libvirt

        async def marked(what: str, flag: int) -> set[str] | None:
            return await self._ask(
                view,
                f"which guests have {what}",
                lambda c: {domain.UUIDString() for domain in c.listAllDomains(flag)},
                None,
            )

        autostart, persistent, saved, snapshots = await asyncio.gather(
            marked("autostart", libvirt.VIR_CONNECT_LIST_DOMAINS_AUTOSTART),
            marked("a permanent definition", libvirt.VIR_CONNECT_LIST_DOMAINS_PERSISTENT),
            marked("their memory saved", libvirt.VIR_CONNECT_LIST_DOMAINS_MANAGEDSAVE),
            marked("snapshots", libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT),
        )
        for domain in view.domains:
            domain.autostart = _membership(domain.uuid, autostart)
            domain.persistent = _membership(domain.uuid, persistent)
            domain.managed_save = domain.uuid in (saved or ())
            domain.has_snapshots = domain.uuid in (snapshots or ())

    async def _read_definitions(self, view: _View, progress: Progress) -> None:
        known = [self._answers.get(capability) for capability in (Capability.STORAGE, Capability.NETWORKS)]
        told = all(answer is not None and answer.answer is Answer.YES for answer in known)
        around = _surroundings(view, complete=told and not view.failures)
        for start in range(0, len(view.domains), _READ_AT_ONCE):
            part = view.domains[start : start + _READ_AT_ONCE]

            def reached(number: int, start: int = start) -> None:
                progress(f"guests {start + number} of {len(view.domains)}")

            answers = await self._client.ask_each(part, lambda domain: str(domain.handle.XMLDesc(0)), reached)
            for number, (domain, answer) in enumerate(zip(part, answers, strict=True)):
                if number % _TRANSLATED_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if isinstance(answer, ConnectionLost):
                    self._lose(view, f"definition of guest {domain.name!r}", answer)
                    continue
                try:
                    if isinstance(answer, NativeError):
                        raise answer
                    domain.vm = vm_from_xml(answer, domain.stats, _extras(domain), around)
                except (NativeError, UnreadableDefinition) as error:
                    self._note_unread_definition(view, domain, error)
        view.domains = [domain for domain in view.domains if not domain.gone]

    def _note_unread_definition(
        self, view: _View, domain: _Domain, error: NativeError | UnreadableDefinition
    ) -> None:
        if isinstance(error, NativeError) and error.code == _NO_SUCH_DOMAIN:
            domain.gone = True
            because, remedy = (
                f"it vanished while it was read: {error}",
                "inspect again for a view without this gap",
            )
        else:
            because, remedy = str(error), _ASK_AGAIN
        view.failures.append(
            ReadFailure(
                what=f"definition of guest {domain.name!r}",
                because=because,
                remedy=remedy,
                subject_uuid=domain.uuid,
            )
        )

    async def _read_storages(self, view: _View) -> None:
        pools: list[Any] = await self._ask(
            view, "storage pools", lambda c: c.listAllStoragePools(0), [], Capability.STORAGE
        )
        pools.sort(key=lambda pool: str(pool.name()))
        answers = await self._client.ask_each(
            pools, lambda pool: (str(pool.XMLDesc(0)), bool(pool.isActive()))
        )
        host_uuid = host_uuid_of(view.native_host)
        self._translate(
            view,
            "storage pool",
            pools,
            answers,
            lambda pair: view.storages.append(storage_from(*pair, host_uuid)),
        )

    async def _read_networks(self, view: _View, depth: Depth) -> None:
        networks: list[Any] = await self._ask(
            view, "networks", lambda c: c.listAllNetworks(0), [], Capability.NETWORKS
        )
        networks.sort(key=lambda network: str(network.name()))
        answers = await self._client.ask_each(
            networks, lambda net: (str(net.XMLDesc(0)), bool(net.isActive()))
        )

        def use(pair: tuple[str, bool]) -> None:
            view.networks.append(network_from(*pair))
            view.portgroup_vlans |= portgroup_vlans_from(pair[0])

        self._translate(view, "network", networks, answers, use)
        if depth is Depth.REPORT:
            await self._read_leases(view, networks)

    async def _read_leases(self, view: _View, networks: Sequence[Any]) -> None:
        active = {network.uuid for network in view.networks if network.active is Answer.YES}
        asked = [network for network in networks if network.UUIDString() in active]
        found: dict[str, list[str]] = {}
        for answer in await self._client.ask_each(asked, lambda network: network.DHCPLeases()):
            if isinstance(answer, NativeError | ConnectionLost):
                continue  # bridged networks have no leases to ask for; an address not told is shown as not told
            for lease in answer:
                if lease.get("mac") and lease.get("ipaddr"):
                    found.setdefault(str(lease["mac"]).lower(), []).append(str(lease["ipaddr"]))
        view.addresses = {mac: tuple(sorted(set(addresses))) for mac, addresses in found.items()}
        self._learn(
            Capability.GUEST_ADDRESSES, Answer.YES if asked else Answer.UNKNOWN, "DHCP leases of its networks"
        )

    def _translate(
        self,
        view: _View,
        what: str,
        handles: Sequence[Any],
        answers: Iterable[T | NativeError | ConnectionLost],
        use: Callable[[T], None],
    ) -> None:
        for handle, answer in zip(handles, answers, strict=True):
            name = f"{what} {handle.name()!r}"
            if isinstance(answer, ConnectionLost):
                self._lose(view, name, answer)
                continue
            try:
                if isinstance(answer, NativeError):
                    raise answer
                use(answer)
            except (NativeError, UnreadableDefinition) as error:
                view.failures.append(ReadFailure(what=name, because=str(error), remedy=_ASK_AGAIN))

    # --- figures that cost ---------------------------------------------------------------------------------------

    async def _read_figures(self, view: _View, progress: Progress) -> None:
        await self._read_snapshots(view)
        await self._read_guest_figures(view)
        await self._read_images(view, progress)
        for domain in view.domains:
            if domain.vm is not None:
                domain.vm = with_figures(domain.vm, domain.stats, view.images, domain.snapshots)

    async def _read_snapshots(self, view: _View) -> None:
        holders = [domain for domain in view.domains if domain.has_snapshots]
        answers = await self._client.ask_each(
            holders,
            lambda domain: [(s.getName(), s.getXMLDesc(0)) for s in domain.handle.listAllSnapshots(0)],
        )
        for domain, answer in zip(holders, answers, strict=True):
            if isinstance(answer, ConnectionLost):
                self._lose(view, f"snapshots of guest {domain.name!r}", answer)
            elif isinstance(answer, NativeError):
                view.failures.append(
                    ReadFailure(
                        what=f"snapshots of guest {domain.name!r}",
                        because=str(answer),
                        remedy=_ASK_AGAIN,
                        subject_uuid=domain.uuid,
                    )
                )
            else:
                domain.snapshots = tuple(_snapshot(domain.uuid, name, xml) for name, xml in answer)

    async def _read_guest_figures(self, view: _View) -> None:
        """Real memory and disk sizes of running guests: libvirt asks each QEMU for them, some 9 ms per guest."""
        libvirt = self._client.libvirt
        wanted = libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_BLOCK
        # Guests with a job under way (a migration, a backup) are not waited for.
        flags = getattr(libvirt, "VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT", 0)
        figures: dict[str, dict[str, Any]] = await self._ask(
            view,
            "memory and disk figures of guests",
            lambda c: {domain.UUIDString(): stats for domain, stats in c.getAllDomainStats(wanted, flags)},
            {},
            Capability.GUEST_FIGURES,
        )
        for domain in view.domains:
            for key, value in figures.get(domain.uuid, {}).items():
                domain.stats.setdefault(key, value)

    async def _read_images(self, view: _View, progress: Progress) -> None:
        """What is behind each disk: its storage volume where there is one, else what the guest's driver sees."""
        users: dict[str, tuple[_Domain, str]] = {}
        for domain in view.domains:
            for disk in domain.vm.disks if domain.vm is not None else ():
                if disk.identity:
                    users.setdefault(disk.identity, (domain, disk.device))
        progress(f"{len(users)} disk images")
        await self._read_volumes(view, [identity for identity in users if identity.startswith("path:")])
        unknown = [identity for identity in users if identity not in view.images]
        answers = await self._client.ask_each(unknown, lambda identity: _block_info(*users[identity]))
        for identity, answer in zip(unknown, answers, strict=True):
            if isinstance(answer, ConnectionLost):
                self._lose(view, f"size of {identity.removeprefix('path:')}", answer)
            elif isinstance(answer, NativeError):
                missing = answer.system_errno == ENOENT
                view.images[identity] = ImageFigures(
                    presence=Presence.MISSING if missing else Presence.UNKNOWN
                )
                if answer.system_errno is not None and not missing:
                    view.failures.append(
                        ReadFailure(
                            what=f"disk {users[identity][1]} of guest {users[identity][0].name!r}",
                            because=str(answer),
                            remedy="look whether that host itself can read it",
                            subject_uuid=users[identity][0].uuid,
                        )
                    )
            else:
                capacity, allocation, physical = answer
                view.images[identity] = ImageFigures(
                    size_bytes=capacity, used_bytes=allocation or physical, presence=Presence.THERE
                )
        await self._read_backing(view)

    async def _read_volumes(self, view: _View, identities: Sequence[str]) -> None:
        """Fills in the images that are volumes of a storage pool."""
        connection = self._client.connection
        answers = await self._client.ask_each(
            identities,
            lambda identity: str(
                connection.storageVolLookupByPath(identity.removeprefix("path:")).XMLDesc(0)
            ),
        )
        for identity, answer in zip(identities, answers, strict=True):
            if isinstance(answer, ConnectionLost):
                self._lose(view, f"volume {identity.removeprefix('path:')}", answer)
            elif isinstance(answer, NativeError):
                if answer.system_errno == ENOENT:
                    view.images[identity] = ImageFigures(presence=Presence.MISSING)
            else:
                view.images[identity] = image_from_volume(answer)

    async def _read_backing(self, view: _View) -> None:
        """Follows images below overlays down to the last; one that was there at the pool's refresh may be gone."""
        overlays = [
            identity for identity, image in view.images.items() if image.backing_presence is Presence.THERE
        ]
        connection = self._client.connection
        pool_at = {storage.where.rstrip("/"): storage.name for storage in view.storages}

        def look(identity: str) -> str:
            folder, name = posixpath.split(view.images[identity].backing[-1])
            if folder not in pool_at:
                return ""  # in no pool: its presence at the refresh is all that libvirt tells
            try:
                volume = connection.storagePoolLookupByName(pool_at[folder]).storageVolLookupByName(name)
            except self._client.libvirt.libvirtError:
                return ""  # likewise
            return str(
                volume.XMLDesc(0)
            )  # libvirt looks at the file now; "no such volume" means that it is gone

        for _ in range(_LAYERS_MAX):
            followed, overlays = overlays, []
            answers = await self._client.ask_each(followed, look)
            for identity, answer in zip(followed, answers, strict=True):
                image = view.images[identity]
                if isinstance(answer, ConnectionLost):
                    self._lose(view, f"image below {identity.removeprefix('path:')}", answer)
                elif isinstance(answer, NativeError):
                    if answer.system_errno == ENOENT or answer.code == _NO_SUCH_VOLUME:
                        view.images[identity] = replace(image, backing_presence=Presence.MISSING)
                elif answer and (below := image_from_volume(answer)).backing:
                    view.images[identity] = replace(
                        image,
                        backing=(*image.backing, *below.backing),
                        backing_presence=below.backing_presence,
                    )
                    if below.backing_presence is Presence.THERE:
                        overlays.append(identity)

    # --- translating ---------------------------------------------------------------------------------------------

    def _collection(self, view: _View, seen_at: int) -> Collection:
        native = view.native_host
        host_uuid = host_uuid_of(native)
        vms = [_vm(domain, host_uuid) for domain in view.domains]
        host = host_from(native, vms)
        library = version_text(native.library_version)
        pool = Pool(
            uuid=host_uuid,
            name=native.hostname,
            kind=kind_of(native.driver),
            product=host.product,
            version=host.version,
            master_uuid=host_uuid,
            ha_enabled=Answer.NO,
            native_version=f"libvirt {library}",
        )
        return Collection(
            seen_at=seen_at,
            source=f"libvirt {library}, read-only connection",
            pool=pool,
            hosts=(host,),
            storages=tuple(view.storages),
            networks=(*view.networks, *bridges_in_use(vms)),
            vms=tuple(vms),
            failures=tuple(view.failures),
        )


def _surroundings(view: _View, *, complete: bool) -> Surroundings:
    return Surroundings(
        host_uuid=host_uuid_of(view.native_host),
        storages=tuple(view.storages),
        pool_paths={storage.name: storage.where for storage in view.storages},
        network_uuids={network.name: network.uuid for network in view.networks},
        network_bridges={network.name: network.bridge for network in view.networks},
        network_vlans={network.name: network.vlan for network in view.networks},
        portgroup_vlans=view.portgroup_vlans,
        addresses=view.addresses,
        complete=complete,
    )


def _vm(domain: _Domain, host_uuid: str) -> Vm:
    if domain.vm is None:
        return vm_without_definition(domain.uuid, domain.name, domain.stats, _extras(domain), host_uuid)
    return domain.vm


def _extras(domain: _Domain) -> DomainExtras:
    return DomainExtras(
        autostart=domain.autostart, persistent=domain.persistent, managed_save=domain.managed_save
    )


def _membership(uuid: str, members: set[str] | None) -> Answer:
    if members is None:
        return Answer.UNKNOWN
    return Answer.YES if uuid in members else Answer.NO


def _block_info(domain: _Domain, device: str) -> list[int]:
    return list(domain.handle.blockInfo(device))


def _snapshot(domain_uuid: str, name: str, xml: str) -> Snapshot:
    try:
        created = parse(xml).findtext("creationTime")
        taken_at = int(created) * 1_000_000 if created else None
    except (UnreadableDefinition, ValueError):
        taken_at = None
    return Snapshot(uuid=f"{domain_uuid}/{name}", name=name, taken_at=taken_at)
