"""Reads the figures that cost a question per guest or disk: snapshots, jobs, real memory, and what is behind each disk.

Effects: reads hypervisors
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import replace
from errno import ENOENT
from typing import Any

from xenios.drivers.base import Progress
from xenios.drivers.kvm.client import NOT_TEXT, ConnectionLost, NativeError
from xenios.drivers.kvm.domain import ImageFigures, UnreadableDefinition, parse, with_figures
from xenios.drivers.kvm.host import image_from_volume, kind_of
from xenios.drivers.kvm.view import Domain, View
from xenios.model.inventory import Capability, HypervisorKind, Presence, Snapshot

_NOT_TEXT_REMEDY = (
    "look at that image's header on the host (qemu-img info); whoever made the image chose its names"
)
_NO_SUCH_VOLUME = 50  # VIR_ERR_NO_STORAGE_VOL
_LAYERS_MAX = 64
"""Of images upon images that are followed; libvirt itself follows 200."""


async def read_figures(view: View, progress: Progress) -> None:
    """Adds the figures to the guests of the view."""
    await read_snapshots(view)
    await _read_jobs(view)
    await _read_guest_figures(view)
    await _read_images(view, progress)
    for domain in view.domains:
        if domain.vm is not None:
            domain.vm = with_figures(domain.vm, domain.stats, view.images, domain.snapshots, domain.busy)


async def read_snapshots(view: View) -> None:
    """Reads the snapshots of those guests that have any; one question for each of them and each snapshot."""
    holders = [domain for domain in view.domains if domain.has_snapshots]
    answers = await view.client.ask_each(
        holders,
        lambda domain: [(s.getName(), s.getXMLDesc(0)) for s in domain.handle.listAllSnapshots(0)],
    )
    for domain, answer in zip(holders, answers, strict=True):
        if isinstance(answer, ConnectionLost):
            view.lose(f"snapshots of guest {domain.name!r}", answer)
        elif isinstance(answer, NativeError):
            view.fail(f"snapshots of guest {domain.name!r}", str(answer), subject_uuid=domain.uuid)
        else:
            domain.snapshots = tuple(_snapshot(domain.uuid, name, xml) for name, xml in answer)


async def _read_jobs(view: View) -> None:
    """Which guests libvirt is at work on: migrating, saving, dumping, backing up."""
    running = [domain for domain in view.domains if domain.on]
    none = view.client.libvirt.VIR_DOMAIN_JOB_NONE
    answers = await view.client.ask_each(running, lambda domain: int(domain.handle.jobInfo()[0]))
    for domain, answer in zip(running, answers, strict=True):
        if isinstance(answer, ConnectionLost):
            view.lose(f"jobs of guest {domain.name!r}", answer)
        elif not isinstance(answer, NativeError) and answer != none:
            domain.busy = ("a job of libvirt (migration, save, dump or backup)",)


async def _read_guest_figures(view: View) -> None:
    """Real memory and disk sizes of running guests: libvirt asks each QEMU for them, some 9 ms per guest."""
    libvirt = view.client.libvirt
    wanted = libvirt.VIR_DOMAIN_STATS_BALLOON | libvirt.VIR_DOMAIN_STATS_BLOCK
    # Guests with a job under way (a migration, a backup) are not waited for.
    flags = getattr(libvirt, "VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT", 0)
    figures: dict[str, dict[str, Any]] = await view.ask(
        "memory and disk figures of guests",
        lambda c: {domain.UUIDString(): stats for domain, stats in c.getAllDomainStats(wanted, flags)},
        {},
        Capability.GUEST_FIGURES,
    )
    for domain in view.domains:
        for key, value in figures.get(domain.uuid, {}).items():
            domain.stats.setdefault(key, value)
    if view.native_host.driver and kind_of(view.native_host.driver) is HypervisorKind.KVM and figures:
        for domain in view.domains:
            if domain.on and not any(key.startswith("balloon.") for key in figures.get(domain.uuid, {})):
                view.fail(
                    f"memory and disk figures of guest {domain.name!r}",
                    "libvirt left them out: a job is under way on it, or it has just stopped",
                    remedy="inspect again when that is over",
                    subject_uuid=domain.uuid,
                )


async def _read_images(view: View, progress: Progress) -> None:
    """What is behind each disk: its storage volume where there is one, else what the guest's driver sees."""
    users: dict[str, tuple[Domain, str]] = {}
    for domain in view.domains:
        for disk in domain.vm.disks if domain.vm is not None else ():
            if disk.identity:
                users.setdefault(disk.identity, (domain, disk.device))
    progress(f"{len(users)} disk images")
    await _read_volumes(view, [identity for identity in users if identity.startswith("path:")])
    unknown = [identity for identity in users if identity not in view.images]
    answers = await view.client.ask_each(unknown, lambda identity: _block_info(*users[identity]))
    for identity, answer in zip(unknown, answers, strict=True):
        if isinstance(answer, ConnectionLost):
            view.lose(f"size of {identity.removeprefix('path:')}", answer)
        elif isinstance(answer, NativeError):
            missing = answer.system_errno == ENOENT
            view.images[identity] = ImageFigures(presence=Presence.MISSING if missing else Presence.UNKNOWN)
            if not missing and (answer.system_errno is not None or answer.code == NOT_TEXT):
                domain, device = users[identity]
                view.fail(
                    f"disk {device} of guest {domain.name!r}",
                    str(answer),
                    remedy="look whether that host itself can read it",
                    subject_uuid=domain.uuid,
                )
        else:
            capacity, allocation, physical = answer
            view.images[identity] = ImageFigures(
                size_bytes=capacity, used_bytes=allocation or physical, presence=Presence.THERE
            )
    await _read_backing(view)


async def _read_volumes(view: View, identities: Sequence[str]) -> None:
    """Fills in the images that are volumes of a storage pool."""
    connection = view.client.connection
    answers = await view.client.ask_each(
        identities,
        lambda identity: str(connection.storageVolLookupByPath(identity.removeprefix("path:")).XMLDesc(0)),
    )
    for identity, answer in zip(identities, answers, strict=True):
        if isinstance(answer, ConnectionLost):
            view.lose(f"volume {identity.removeprefix('path:')}", answer)
        elif isinstance(answer, NativeError):
            if answer.system_errno == ENOENT:
                view.images[identity] = ImageFigures(presence=Presence.MISSING)
            elif answer.code == NOT_TEXT:
                view.fail(f"image {identity.removeprefix('path:')}", str(answer), remedy=_NOT_TEXT_REMEDY)
        else:
            view.images[identity] = _image(view, identity, answer)


async def _read_backing(view: View) -> None:
    """Follows images below overlays down to the last; one that was there at the pool's refresh may be gone."""
    overlays = [
        identity for identity, image in view.images.items() if image.backing_presence is Presence.THERE
    ]
    connection = view.client.connection
    pool_at = {storage.where.rstrip("/"): storage.name for storage in view.storages}

    def look(identity: str) -> str:
        folder, name = posixpath.split(view.images[identity].backing[-1])
        if folder not in pool_at:
            return ""  # in no pool: its presence at the refresh is all that libvirt tells
        try:
            volume = connection.storagePoolLookupByName(pool_at[folder]).storageVolLookupByName(name)
        except view.client.libvirt.libvirtError:
            return ""  # likewise
        # libvirt looks at the file now; "no such volume" means that it is gone.
        return str(volume.XMLDesc(0))

    for _ in range(_LAYERS_MAX):
        followed, overlays = overlays, []
        answers = await view.client.ask_each(followed, look)
        for identity, answer in zip(followed, answers, strict=True):
            image = view.images[identity]
            if isinstance(answer, ConnectionLost):
                view.lose(f"image below {identity.removeprefix('path:')}", answer)
            elif isinstance(answer, NativeError):
                if answer.system_errno == ENOENT or answer.code == _NO_SUCH_VOLUME:
                    view.images[identity] = replace(image, backing_presence=Presence.MISSING)
            elif answer and (below := _image(view, identity, answer)).backing:
                view.images[identity] = replace(
                    image,
                    backing=(*image.backing, *below.backing),
                    backing_presence=below.backing_presence,
                )
                if below.backing_presence is Presence.THERE:
                    overlays.append(identity)


def _image(view: View, identity: str, xml: str) -> ImageFigures:
    try:
        return image_from_volume(xml)
    except UnreadableDefinition as error:
        view.fail(f"image {identity.removeprefix('path:')}", str(error))
        return ImageFigures()


def _block_info(domain: Domain, device: str) -> list[int]:
    return list(domain.handle.blockInfo(device))


def _snapshot(domain_uuid: str, name: str, xml: str) -> Snapshot:
    try:
        created = parse(xml).findtext("creationTime")
        taken_at = int(created) * 1_000_000 if created else None
    except (UnreadableDefinition, ValueError):
        taken_at = None
    return Snapshot(uuid=f"{domain_uuid}/{name}", name=name, taken_at=taken_at)
