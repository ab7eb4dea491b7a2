"""Watching a libvirt host while virsh acts behind its back: real QEMU guests, a daemon that dies and hangs.

Whatever virsh does has to come out of the watch's updates, without anybody asking; and when nobody does anything,
nothing may come, and nothing may be written.

Effects: writes hypervisors (private ones only); starts and signals processes of its own
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import guest_image
from tests.support.fixtures import KvmHost, require_private_hosts
from tests.support.following import Following, following
from tests.support.kvm_host import PrivateHost, wait_until
from tests.support.outside_view import differences, fingerprint
from tests.support.resident_xml import (
    render_cdrom,
    render_network,
    render_pool,
)
from tests.support.watched_guest import (
    EVENTS_ONLY,
    NAMESPACE,
    NEVER,
    POLLS,
    VIEWS,
    Guest,
    agrees_with_a_fresh_look,
    comparable,
    in_state,
    watching,
    whatever_comes,
)
from xenios.drivers.base import Depth
from xenios.drivers.kvm.observe import KvmObserver
from xenios.drivers.kvm.pace import Pace
from xenios.errors import XeniosError
from xenios.model.inventory import Answer, Capability, PowerState, Vm
from xenios.model.update import UpdateSource

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def host() -> Iterator[PrivateHost]:
    """A host of this file's own with a storage pool and a network; each test brings its guest."""
    require_private_hosts()
    with PrivateHost("kvm-watched") as host:
        (host.folder / "pool.xml").write_text(render_pool("pool", host.images))
        (host.folder / "net.xml").write_text(render_network("inner", "<bridge name='virbr-in'/>"))
        host.run("sh", "-ec", "ip link add br0 type bridge; ip link set br0 up")
        host.virsh_all(
            [
                ("pool-define", str(host.folder / "pool.xml")),
                ("pool-start", "pool"),
                ("net-define", str(host.folder / "net.xml")),
                ("net-start", "inner"),
            ]
        )
        yield host
        host.close()
        assert host.leftovers() == []


@pytest.fixture
def guest(host: PrivateHost, request: pytest.FixtureRequest) -> Iterator[Guest]:
    """A guest of this test's own, not yet defined."""
    guest = Guest(host, f"g-{uuid.uuid5(NAMESPACE, request.node.name).hex[:8]}", render_cdrom(None))
    yield guest
    guest.clean_up()


# --- what virsh does comes out ---


async def test_a_guest_from_its_definition_to_its_end(host: PrivateHost, guest: Guest) -> None:
    """Each step by its event and none by a poll, on the read-only socket."""
    async with watching(host.uri_read_only) as seen:
        assert guest.uuid not in seen.vms
        await guest.virsh(f"define {guest.file}")
        vm = await in_state(seen, guest, PowerState.HALTED)
        assert vm.persistent is Answer.YES
        assert "libvirt: defined (added)" in seen.told_of(guest.uuid)
        for command, state, because in (
            ("start {}", PowerState.RUNNING, "started (booted)"),
            ("suspend {}", PowerState.PAUSED, "suspended (paused)"),
            ("resume {}", PowerState.RUNNING, "resumed (unpaused)"),
            ("managedsave {}", PowerState.SUSPENDED, "stopped (saved)"),
            ("start {}", PowerState.RUNNING, "started (restored)"),
            ("destroy {}", PowerState.HALTED, "stopped (destroyed)"),
        ):
            since = len(seen.updates)

            def was_told(because: str = because, since: int = since) -> bool:
                return because in " ".join(seen.told_of(guest.uuid, since))

            await guest.virsh(command)
            await in_state(seen, guest, state)
            await seen.until(was_told, because)
        await guest.virsh("domrename {} renamed")
        await seen.until(lambda: seen.vms[guest.uuid].name == "renamed", "the new name")
        await guest.virsh(f"undefine {guest.uuid}")
        await seen.until(lambda: guest.uuid not in seen.vms, "the guest to be gone")
        assert seen.updates[-1].vms_gone == (guest.uuid,)
        assert {update.source for update in seen.updates[1:]} == {UpdateSource.EVENT}
        assert all(update.failures == () and update.silent_since is None for update in seen.updates)


async def test_a_guest_that_shuts_itself_down(host: PrivateHost, guest: Guest) -> None:
    await guest.virsh(f"define {guest.file}", "start {}")
    async with watching(host.uri) as seen:
        assert seen.vms[guest.uuid].power_state is PowerState.RUNNING
        await guest.until_up()
        await guest.virsh("shutdown {}")
        vm = await in_state(seen, guest, PowerState.HALTED)
        assert vm.power_reason == "shut down"


async def test_a_guest_whose_process_is_killed(host: PrivateHost, guest: Guest) -> None:
    await guest.virsh(f"define {guest.file}", "start {}")
    async with watching(host.uri) as seen:
        guest.kill()
        vm = await in_state(seen, guest, PowerState.HALTED)
        assert vm.power_reason == "crashed"


async def test_a_transient_guest_is_gone_when_it_stops(host: PrivateHost, guest: Guest) -> None:
    async with watching(host.uri) as seen:
        await guest.virsh(f"create {guest.file}")
        vm = await in_state(seen, guest, PowerState.RUNNING)
        assert vm.persistent is Answer.NO
        await guest.virsh("destroy {}")
        await seen.until(lambda: guest.uuid not in seen.vms, "the guest to be gone")


async def test_devices_snapshots_and_metadata(host: PrivateHost, guest: Guest) -> None:
    """Some of this is told by events that come before libvirt's own books follow: the second look sees it."""
    await guest.virsh(f"define {guest.file}", "start {}")
    extra = host.images / f"{guest.name}-extra.raw"
    disc = host.images / f"{guest.name}.iso"
    guest_image.write_disk(extra)
    guest_image.write_iso(disc)
    async with watching(host.uri) as seen:

        def vm() -> Vm:
            return seen.vms[guest.uuid]

        await guest.virsh(f"attach-disk {{}} {extra} vdb --live")
        await seen.until(lambda: any(disk.where == str(extra) for disk in vm().disks), "the disk")
        await guest.virsh("attach-interface {} bridge br0 --mac 52:54:00:aa:00:01 --live")
        await seen.until(lambda: [nic.mac for nic in vm().nics] == ["52:54:00:aa:00:01"], "the NIC")
        # A bridge that no view has shown comes with its first user.
        assert vm().nics[0].network_uuid in seen.networks
        assert vm().nics[0].device.startswith("vnet")
        await guest.virsh("detach-interface {} bridge --mac 52:54:00:aa:00:01 --live")
        await guest.virsh("reset {}")  # this guest lets go of a device only then
        await seen.until(lambda: vm().nics == (), "no NIC")
        await guest.virsh(f"change-media {{}} hdc {disc} --live")
        await seen.until(lambda: any(disk.where == str(disc) for disk in vm().disks), "the disc")
        await guest.virsh("change-media {} hdc --eject --live")
        await seen.until(lambda: all(disk.where != str(disc) for disk in vm().disks), "no disc")
        await guest.virsh("detach-disk {} vdb --live", "reset {}")
        await seen.until(lambda: len(vm().disks) == 2, "the disk to be gone")
        await guest.virsh("snapshot-create-as {} before")
        await seen.until(lambda: [snapshot.name for snapshot in vm().snapshots] == ["before"], "the snapshot")
        await guest.virsh("desc {} --live --title hello")
        await seen.until(lambda: vm().annotations.get("title") == "hello", "the title")
        await guest.virsh("metadata {} urn:somebody --key s --set <tag/> --live")
        await seen.until(lambda: "urn:somebody" in vm().annotations, "the metadata")
        await agrees_with_a_fresh_look(seen, host.uri)


async def test_a_definition_that_is_changed_by_defining_it_again(host: PrivateHost, guest: Guest) -> None:
    await guest.virsh(f"define {guest.file}")
    async with watching(host.uri) as seen:
        before = seen.vms[guest.uuid]
        guest.file.write_text(guest.file.read_text().replace(">16</memory>", ">24</memory>"))
        await guest.virsh(f"define {guest.file}")
        await seen.until(lambda: seen.vms[guest.uuid].memory.bytes_max == 24 << 20, "more memory")
        assert before.memory.bytes_max == 16 << 20
        assert "libvirt: defined (changed)" in seen.told_of(guest.uuid)


async def test_pools_and_networks(host: PrivateHost, guest: Guest) -> None:
    """A guest that refers to something that was not there sees it come, although nothing happened to the guest."""
    network, pool = f"n-{guest.name}", f"p-{guest.name}"
    folder = host.folder / pool
    folder.mkdir()
    nic = f"<interface type='network'><source network='{network}'/></interface>"
    volume = (
        f"<disk type='volume' device='disk'><source pool='{pool}' volume='v.img'/><target dev='vdb'/></disk>"
    )
    guest.file.write_text(guest.file.read_text().replace("</devices>", f"{nic}{volume}</devices>"))
    (host.folder / "late-net.xml").write_text(
        render_network(network, "<forward mode='bridge'/><bridge name='br0'/>")
    )
    (host.folder / "late-pool.xml").write_text(render_pool(pool, folder))
    await guest.virsh(f"define {guest.file}")
    async with watching(host.uri) as seen:
        assert len(seen.vms[guest.uuid].dangling) == 2

        def networks() -> dict[str, Answer]:
            return {net.name: net.active for net in seen.networks.values()}

        def storages() -> dict[str, Answer]:
            return {storage.name: storage.active for storage in seen.storages.values()}

        await guest.virsh(f"net-define {host.folder}/late-net.xml")
        await seen.until(lambda: networks().get(network) is Answer.NO, "the network")
        await seen.until(lambda: seen.vms[guest.uuid].nics[0].bridge == "br0", "the NIC's bridge")
        await guest.virsh(f"net-start {network}")
        await seen.until(lambda: networks().get(network) is Answer.YES, "the network to start")
        await guest.virsh(f"pool-define {host.folder}/late-pool.xml")
        await seen.until(lambda: storages().get(pool) is Answer.NO, "the pool")
        await guest.virsh(f"pool-start {pool}")
        await seen.until(lambda: storages().get(pool) is Answer.YES, "the pool to start")
        await seen.until(lambda: seen.vms[guest.uuid].dangling == (), "no dangling reference")
        assert seen.vms[guest.uuid].disks[-1].where == f"{folder}/v.img"
        await agrees_with_a_fresh_look(seen, host.uri)
        await guest.virsh(f"net-destroy {network}", f"net-undefine {network}")
        await seen.until(lambda: network not in networks(), "the network to be gone")
        await guest.virsh(f"pool-destroy {pool}", f"pool-undefine {pool}")
        await seen.until(lambda: pool not in storages(), "the pool to be gone")
        await seen.until(lambda: len(seen.vms[guest.uuid].dangling) == 2, "both references to dangle")
        assert {update.source for update in seen.updates[1:]} == {UpdateSource.EVENT}


# --- what no event tells ---


async def test_polls_find_what_no_event_told(host: PrivateHost, guest: Guest) -> None:
    await guest.virsh(f"define {guest.file}")
    async with watching(host.uri, POLLS) as seen:
        await guest.virsh("autostart {}")
        await seen.until(lambda: seen.vms[guest.uuid].autostart is Answer.YES, "autostart")
        await guest.virsh("snapshot-create-as {} off")
        await seen.until(lambda: seen.vms[guest.uuid].snapshots, "the snapshot")
        assert {update.source for update in seen.updates[1:]} == {UpdateSource.POLL}
    await guest.virsh("snapshot-delete {} off", "start {}", "managedsave {}")
    async with watching(host.uri, POLLS) as seen:  # another: no event is still being looked into
        assert seen.vms[guest.uuid].power_state is PowerState.SUSPENDED
        await guest.virsh("managedsave-remove {}")
        await in_state(seen, guest, PowerState.HALTED)
        assert {update.source for update in seen.updates[1:]} == {UpdateSource.POLL}


async def test_views_find_what_neither_events_nor_polls_tell(host: PrivateHost, guest: Guest) -> None:
    await guest.virsh(f"define {guest.file}")
    async with watching(host.uri, VIEWS) as seen:
        await guest.virsh("setvcpus {} 3 --config --maximum")
        await seen.until(lambda: seen.vms[guest.uuid].vcpus_max == 3, "the processors")
        assert seen.updates[-1].source is UpdateSource.VIEW
        assert all(update.routine for update in seen.updates[1:])


# --- nobody acts ---


async def test_watching_writes_nothing_and_sees_nothing(kvm_host: KvmHost) -> None:
    """Promise 14, through views and polls in quick succession, on a host with every kind of resident."""
    before = await asyncio.to_thread(fingerprint, kvm_host.host)
    pace = Pace(poll_seconds=0.05, view_seconds=0.4)
    async with watching(kvm_host.uri, pace) as seen, watching(kvm_host.uri_read_only, pace) as other:
        for one in (seen, other):
            first = one.view
            assert first is not None
            assert {vm.uuid for vm in first.vms} == kvm_host.residents.uuids
            await one.until(lambda one=one: len(one.updates) >= 4, "three more views")
            assert all(update.view is not None and update.routine for update in one.updates[1:])
            last = one.view
            assert last is not None
            assert last.failures == ()
            assert [comparable(vm) for vm in last.vms] == [comparable(vm) for vm in first.vms]
    assert differences(before, await asyncio.to_thread(fingerprint, kvm_host.host)) == []


# --- several at once, and many ---


async def test_two_watchers_see_the_same(host: PrivateHost, guest: Guest) -> None:
    async with watching(host.uri) as one, watching(host.uri_read_only) as other:
        await guest.virsh(f"define {guest.file}", "start {}")
        for seen in (one, other):
            await in_state(seen, guest, PowerState.RUNNING)
        await guest.virsh("destroy {}")
        for seen in (one, other):
            await in_state(seen, guest, PowerState.HALTED)
            await agrees_with_a_fresh_look(seen, host.uri)


async def test_one_observer_has_one_watch_and_looks_meanwhile(host: PrivateHost, guest: Guest) -> None:
    await guest.virsh(f"define {guest.file}")
    observer = await KvmObserver.open(host.uri, 30, pace=EVENTS_ONLY)
    try:
        kinds = []
        for state in ("start {}", "destroy {}", "start {}"):
            async with following(observer) as seen:
                with pytest.raises(XeniosError, match="being watched"):
                    await anext(observer.watch())
                since = len(seen.updates)
                await guest.virsh(state)
                await seen.until(lambda since=since: seen.told_of(guest.uuid, since), state)
                assert guest.uuid in {vm.uuid for vm in (await observer.observe(Depth.FULL)).vms}
            kinds += [answer for answer in observer.capabilities if answer.capability is Capability.EVENTS]
        assert len(kinds) == 3
        assert {answer.answer for answer in kinds} == {Answer.YES}
        assert len({answer.how for answer in kinds}) == 1  # the second listens to as many as the first
    finally:
        await observer.close()


async def test_the_picture_follows_whatever_happens(
    libvirt_test_daemon: Callable[..., str], tmp_path: Path
) -> None:
    """Hundreds of random acts on a fake host, in bursts: what the updates add up to is what is there."""
    uri = libvirt_test_daemon()
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    acts = ("create", "destroy", "suspend", "resume", "undefine", "define", "managedSave", "setAutostart")
    fakes = write_fakes(tmp_path, 40)
    async with watching(uri, Pace(poll_seconds=0.5, view_seconds=NEVER, settle_seconds=0.2)) as seen:
        for _ in range(6):
            burst = [(dice.choice(acts), dice.choice(list(fakes))) for _ in range(60)]
            await whatever_comes(uri, burst, tmp_path)
            await agrees_with_a_fresh_look(seen, uri)
        end = ("destroy", "managedSaveRemove", "undefine")
        await whatever_comes(uri, [(act, name) for name in fakes for act in end], tmp_path)
        await agrees_with_a_fresh_look(seen, uri)
        assert not set(fakes.values()) & set(seen.vms)
        assert all(update.failures == () for update in seen.updates)


async def test_a_burst_of_events_is_few_updates(
    libvirt_test_daemon: Callable[..., str], tmp_path: Path
) -> None:
    """Whoever has no time for a while finds one update for many events, and every guest in it."""
    uri = libvirt_test_daemon()
    fakes = write_fakes(tmp_path, 400)
    observer = await KvmObserver.open(uri, 30, pace=EVENTS_ONLY)
    seen = Following()
    try:
        async with contextlib.aclosing(observer.watch()) as updates, asyncio.timeout(60):
            seen.learn(await anext(updates))
            begin = ("define", "create", "suspend")
            await whatever_comes(uri, [(act, name) for name in fakes for act in begin], tmp_path)
            while [seen.vms[key].power_state for key in fakes.values() if key in seen.vms] != (
                [PowerState.PAUSED] * len(fakes)
            ):
                seen.learn(await anext(updates))
            events = 3 * len(fakes)
            assert len(seen.updates) < events / 10
            end = ("destroy", "undefine")
            await whatever_comes(uri, [(act, name) for name in fakes for act in end], tmp_path)
            while set(fakes.values()) & set(seen.vms):
                seen.learn(await anext(updates))
            assert len(seen.updates) < events / 10
    finally:
        await observer.close()
    assert all(update.failures == () for update in seen.updates)


def write_fakes(folder: Path, count: int) -> dict[str, str]:
    """Definitions for libvirt's fake driver; returns uuids by name."""
    fakes = {name: str(uuid.uuid5(NAMESPACE, name)) for name in (f"fake-{number}" for number in range(count))}
    for name, key in fakes.items():
        (folder / f"{name}.xml").write_text(
            f"<domain type='test'><name>{name}</name><uuid>{key}</uuid><memory unit='MiB'>8</memory>"
            "<os><type>hvm</type></os></domain>"
        )
    return fakes


# --- ends ---


async def test_closing_the_observer_ends_its_watch(host: PrivateHost) -> None:
    observer = await KvmObserver.open(host.uri, 30, pace=EVENTS_ONLY)
    async with following(observer) as seen:
        await observer.close()
        await seen.until(lambda: seen.ended, "the end")
        assert seen.ended is True
        assert not seen.silent


async def test_watches_leave_no_thread_and_no_open_file(host: PrivateHost, guest: Guest) -> None:
    """Ended in the middle of anything; nothing but libvirt's one event loop stays."""

    async def watch_and_end(number: int) -> None:
        observer = await KvmObserver.open(host.uri, 30, pace=Pace(poll_seconds=0.01, view_seconds=0.05))
        async with following(observer) as seen:
            await seen.until(lambda: len(seen.updates) > number % 4, "some updates")
        await observer.close()

    await guest.virsh(f"define {guest.file}")
    await watch_and_end(3)
    wait_until(lambda: not _threads_of_connections(), "idle threads to end")
    files = len(os.listdir("/proc/self/fd"))
    for number in range(12):
        await watch_and_end(number)
    wait_until(lambda: not _threads_of_connections(), "idle threads to end")
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= files, "open files to be closed")


def _threads_of_connections() -> list[str]:
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("libvirt ") and thread.name != "libvirt events"
    ]
