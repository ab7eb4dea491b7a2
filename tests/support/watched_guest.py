"""A real guest on a private host with virsh at its side, and a watch that looks on.

Effects: writes hypervisors (the private one that is passed in); starts and ends processes of its own
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support import guest_image
from tests.support.following import Following, following
from tests.support.kvm_host import HostError, PrivateHost, wait_until
from tests.support.resident_xml import (
    render_domain,
    render_file_disk,
    render_serial,
)
from xenios.drivers.base import Depth
from xenios.drivers.kvm.observe import KvmObserver
from xenios.drivers.kvm.pace import Pace
from xenios.model.inventory import PowerState, Presence, Vm

NEVER = 1e6
EVENTS_ONLY = Pace(poll_seconds=NEVER, view_seconds=NEVER, settle_seconds=0.3, back_off_seconds_min=0.02)
"""What is seen at this pace is seen by events."""
POLLS = Pace(poll_seconds=0.2, view_seconds=NEVER)
VIEWS = Pace(poll_seconds=NEVER, view_seconds=0.2)
NAMESPACE = uuid.UUID("1c1f3c8e-33a5-4e7b-9a60-1b8a3c1f5d01")


class Guest:
    """One guest on a host, and virsh at its side."""

    def __init__(self, host: PrivateHost, name: str, devices: str = "") -> None:
        self.host = host
        self.name = name
        self.uuid = str(uuid.uuid5(NAMESPACE, name))
        self.file = host.folder / f"{name}.xml"
        image = host.images / f"{name}.qcow2"
        raw = host.images / f"{name}.raw"
        guest_image.write_disk(raw)
        subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(image)], check=True)
        disk = render_file_disk(image, kind="qcow2")
        self.serial = host.serials / f"{name}.log"
        self.file.write_text(render_domain(name, self.uuid, disk + render_serial(self.serial) + devices))

    async def virsh(self, *commands: str) -> None:
        """virsh commands in order, parted by commas, with {} for this guest; saving goes around virsh, see below."""
        for command in ",".join(commands).split(","):
            words = [self.name if word == "{}" else word for word in command.split()]
            if words[0] == "managedsave":
                await whatever_comes(self.host.uri, [("managedSave", self.name)], self.file.parent)
            else:
                await asyncio.to_thread(self.host.virsh, *words)

    async def until_up(self) -> None:
        """Waits until it obeys the power button."""
        log = self.serial
        await asyncio.to_thread(
            wait_until, lambda: log.exists() and guest_image.UP in log.read_text(), "the guest to be up"
        )

    def kill(self) -> None:
        """Ends its hypervisor process."""
        mark = f"guest={self.name},".encode()
        (pid,) = [
            pid for pid in self.host.processes().values() if mark in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
        os.kill(pid, signal.SIGKILL)

    def clean_up(self) -> None:
        """Takes the guest away, in whatever state it is."""
        for command in ("destroy", "undefine --snapshots-metadata --managed-save"):
            with contextlib.suppress(HostError):
                self.host.virsh(*command.split(), self.uuid)


@contextlib.asynccontextmanager
async def watching(
    uri: str, pace: Pace = EVENTS_ONLY, timeout_seconds: float = 30
) -> AsyncIterator[Following]:
    observer = await KvmObserver.open(uri, timeout_seconds, pace=pace)
    try:
        async with following(observer) as seen:
            yield seen
    finally:
        await observer.close()


async def in_state(seen: Following, guest: Guest, state: PowerState) -> Vm:
    def is_so() -> bool:
        vm = seen.vms.get(guest.uuid)
        return vm is not None and vm.power_state is state

    await seen.until(is_so, f"{guest.name} {state.value}")
    return seen.vms[guest.uuid]


async def as_it_is(uri: str) -> dict[str, Vm]:
    """The guests as a fresh look sees them."""
    observer = await KvmObserver.open(uri, 30)
    try:
        return {vm.uuid: vm for vm in (await observer.observe(Depth.REPORT)).vms}
    finally:
        await observer.close()


def comparable(vm: Vm) -> Vm:
    """Without the figures that only a report asks for, and those that move by themselves."""
    memory = replace(
        vm.memory, bytes_actual=None, bytes_resident=None, bytes_overhead=None, overhead_source=""
    )
    disks = tuple(
        replace(
            disk, size_bytes=None, used_bytes=None, presence=Presence.UNKNOWN, backing=(),
            backing_presence=Presence.UNKNOWN,
        )
        for disk in vm.disks
    )  # fmt: skip
    return replace(vm, memory=memory, disks=disks, nics=tuple(replace(n, addresses=()) for n in vm.nics))


async def agrees_with_a_fresh_look(seen: Following, uri: str) -> None:
    """What all updates come to is what is there."""
    fresh = {key: comparable(vm) for key, vm in (await as_it_is(uri)).items()}

    def is_so() -> bool:
        return {key: comparable(vm) for key, vm in seen.vms.items()} == fresh

    await seen.until(is_so, "the picture to agree with a fresh look")


async def whatever_comes(uri: str, acts: list[tuple[str, str]], definitions: Path) -> None:
    """Many acts over one connection, each the name of a libvirt function and of a guest; some may be refused.

    Not by virsh, whose managedsave may wait for ever for a job that ends at once (seen with 9.0 on a busy machine).
    """
    libvirt = pytest.importorskip("libvirt")
    libvirt.registerErrorHandler(lambda *_: None, None)

    def run() -> None:
        connection = libvirt.open(uri)
        for act, name in acts:
            with contextlib.suppress(libvirt.libvirtError):
                if act == "define":
                    connection.defineXML((definitions / f"{name}.xml").read_text())
                else:
                    getattr(connection.lookupByName(name), act)(*((1,) if act == "setAutostart" else ()))
        connection.close()

    await asyncio.to_thread(run)
