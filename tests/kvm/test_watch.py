"""The parts of a watch that need no daemon: words of events, hints between threads, what was seen last, ssh's prompts.

And a watch of libvirt's fake driver inside this process, which needs libvirt-python and nothing else.

Effects: none but for libvirt's fake driver in this process
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.following import following
from tests.support.inventory import a_collection, a_disk, a_vm
from xenios.drivers.kvm.client import LibvirtClient, without_prompt
from xenios.drivers.kvm.events import EVENTS, Event, Hinted, words_of
from xenios.drivers.kvm.hints import WORDS_MAX, HintBox
from xenios.drivers.kvm.last_seen import LastSeen
from xenios.drivers.kvm.observe import KvmObserver
from xenios.drivers.kvm.pace import Pace
from xenios.drivers.kvm.view import Domain, View
from xenios.errors import TargetUnreadable
from xenios.model.inventory import Answer, Network, Nic, PowerState, Sharing, Snapshot, Storage, Vm
from xenios.model.update import UpdateSource

# --- words ---


def event(name: str) -> Event:
    (found,) = [event for event in EVENTS if event.constant.endswith(f"_EVENT_ID_{name}")]
    return found


LIFECYCLE = next(one for one in EVENTS if one.constant == "VIR_DOMAIN_EVENT_ID_LIFECYCLE")
NETWORK = next(one for one in EVENTS if one.constant == "VIR_NETWORK_EVENT_ID_LIFECYCLE")
POOL = next(one for one in EVENTS if one.constant == "VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE")


@pytest.mark.parametrize(
    ("one", "arguments", "words"),
    [
        (LIFECYCLE, (0, 0), "defined (added)"),
        (LIFECYCLE, (1, 1), "undefined (renamed)"),
        (LIFECYCLE, (2, 0), "started (booted)"),
        (LIFECYCLE, (3, 2), "suspended (I/O error)"),
        (LIFECYCLE, (5, 1), "stopped (destroyed)"),
        (LIFECYCLE, (8, 0), "crashed (panicked)"),
        (LIFECYCLE, (5, 99), "stopped (99)"),
        (LIFECYCLE, (99, 1), "lifecycle event 99"),
        (LIFECYCLE, (-1, -1), "lifecycle event -1"),
        (NETWORK, (3, 0), "network stopped"),
        (POOL, (2, 0), "storage pool started"),
        (event("REFRESH"), (), "storage pool refreshed"),
        (event("DEVICE_ADDED"), ("net0",), "device added (net0)"),
        (event("TRAY_CHANGE"), ("ide0-1-0", 0), "tray opened (ide0-1-0)"),
        (event("DISK_CHANGE"), (None, "/a", "ide0-0-0", 0), "medium changed (ide0-0-0)"),
        (event("IO_ERROR_REASON"), ("/a", "virtio-disk0", 1, "enospc"), "I/O error (virtio-disk0)"),
        (event("BLOCK_JOB_2"), ("vda", 2, 3), "block job (vda)"),
        (event("AGENT_LIFECYCLE"), (1, 2), "guest agent connected"),
    ],
)
def test_an_event_in_words(one: Event, arguments: tuple[Any, ...], words: str) -> None:
    assert words_of(one, arguments) == words


@given(st.sampled_from(EVENTS), st.lists(st.none() | st.integers() | st.text(max_size=5), max_size=5))
def test_no_argument_of_an_event_can_hurt(one: Event, arguments: list[Any]) -> None:
    """A newer libvirt may pass others; libvirt's thread would print an exception and lose the hint."""
    assert words_of(one, arguments)


def test_events_are_those_that_libvirt_has() -> None:
    """Each is a number of this libvirt's, or of a newer one's; none is named twice."""
    libvirt = pytest.importorskip("libvirt")
    newer = {"NIC_MAC_CHANGE", "VCPU_REMOVED", "VIR_NETWORK_EVENT_ID_METADATA_CHANGE"}
    missing = {one.constant for one in EVENTS if not hasattr(libvirt, one.constant)}
    assert {name for name in missing if not any(name.endswith(end) for end in newer)} == set()
    assert len({one.constant for one in EVENTS}) == len(EVENTS)


# --- hints ---


async def test_hints_of_many_threads_are_one_waking_and_none_is_lost() -> None:
    box = HintBox()
    threads = [
        threading.Thread(
            target=lambda number=number: [
                box.put(Hinted.GUEST, f"{number}-{guest}", word)
                for guest in range(50)
                for word in ("a", "b", "a")
            ]
        )
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    await box.wait(30)
    taken: dict[str, list[str]] = dict(box.take().of[Hinted.GUEST])
    for thread in threads:
        await asyncio.to_thread(thread.join)
    for uuid, words in box.take().of[Hinted.GUEST].items():
        taken[uuid] = list(dict.fromkeys([*taken.get(uuid, []), *words]))
    assert len(taken) == 8 * 50
    assert all(set(words) == {"a", "b"} for words in taken.values())


async def test_a_hint_that_comes_while_others_are_taken_wakes_again() -> None:
    box = HintBox()
    for round_number in range(50):
        box.put(Hinted.NETWORK, f"{round_number}", "x")
        await box.wait(30)
        assert box.take()
        assert not box.take()


async def test_only_the_last_words_about_a_thing_are_kept() -> None:
    box = HintBox()
    for number in range(1000):
        box.put(Hinted.GUEST, "g", f"{number}")
    (words,) = box.take().of[Hinted.GUEST].values()
    assert words == [f"{number}" for number in range(1000 - WORDS_MAX, 1000)]


def test_a_hint_after_the_loop_has_ended_harms_nobody() -> None:
    async def make() -> HintBox:
        return HintBox()

    box = asyncio.run(make())
    box.put(Hinted.GUEST, "g", "late")
    assert box.take()


# --- pace ---


@given(st.integers(0, 5_000), st.integers())
def test_pauses_grow_and_stay_bounded(attempts: int, seed: int) -> None:
    pace = Pace(dice=random.Random(seed))
    pause = pace.back_off_seconds(attempts)
    assert 0 < pause <= pace.back_off_seconds_max * (1 + pace.spread)
    assert pace.back_off_seconds(0) <= pace.back_off_seconds_min * (1 + pace.spread)


# --- ssh ---


@pytest.mark.parametrize(
    ("given", "opened"),
    [
        ("qemu+ssh://root@h/system", "qemu+ssh://root@h/system?no_tty=1"),
        ("QEMU+SSH://h/system?keyfile=/k", "QEMU+SSH://h/system?keyfile=/k&no_tty=1"),
        ("qemu+ssh://h/system?no_tty=0", "qemu+ssh://h/system?no_tty=0"),
        ("qemu+ssh://h/system?a=b&no_tty=1", "qemu+ssh://h/system?a=b&no_tty=1"),
        ("qemu+ssh://h/system#f", "qemu+ssh://h/system?no_tty=1#f"),
        ("qemu+libssh2://h/system", "qemu+libssh2://h/system"),  # has no terminal to ask at
        ("qemu:///system?socket=/a", "qemu:///system?socket=/a"),
        ("test:///default", "test:///default"),
        ("", ""),
    ],
)
def test_ssh_does_not_ask_for_a_password_unless_wanted(given: str, opened: str) -> None:
    assert without_prompt(given) == opened
    assert without_prompt(opened) == opened


# --- what was seen last ---

POOL_A = Storage(
    uuid="pool-a", name="a", type="dir", sharing=Sharing.UNKNOWN, where="/a", size_bytes=1, used_bytes=1
)
NET_A = Network(uuid="net-a", name="a", bridge="br-a", active=Answer.YES)


def a_domain(vm: Vm, **changes: Any) -> Domain:
    """As a list of all guests tells of this VM, shut off."""
    stats = {"state.state": 5, "state.reason": 0}
    values: dict[str, Any] = {
        "autostart": vm.autostart,
        "persistent": vm.persistent,
        "managed_save": Answer.NO,
        "stats": stats,
        **changes,
    }
    return Domain(handle=None, uuid=vm.uuid, name=values.pop("name", vm.name), **values)


def last_seen(*vms: Vm) -> LastSeen:
    view = View(None, "target", {}, storages=[POOL_A], networks=[NET_A], guests_listed=True)  # type: ignore[arg-type]
    seen = LastSeen()
    seen.replace_by(view, a_collection(*vms))
    return seen


HALTED = a_vm(
    uuid="g",
    name="g",
    power_state=PowerState.HALTED,
    power_reason="",
    autostart=Answer.NO,
    persistent=Answer.YES,
    snapshots=(),
)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"autostart": Answer.YES},
        {"persistent": Answer.NO},
        {"managed_save": Answer.YES},
        {"has_snapshots": True},
        {"stats": {"state.state": 1, "state.reason": 1}},
        {"stats": {"state.state": 5, "state.reason": 3}},
    ],
    ids=str,
)
def test_a_poll_sees_each_difference(changes: dict[str, Any]) -> None:
    seen = last_seen(HALTED)
    assert seen.untold([a_domain(HALTED)]) == []
    assert seen.untold([a_domain(HALTED, **changes)]) == ["g"]


def test_a_poll_takes_no_answer_for_no_difference() -> None:
    unknown = {"autostart": Answer.UNKNOWN, "persistent": Answer.UNKNOWN, "managed_save": Answer.UNKNOWN}
    assert last_seen(HALTED).untold([a_domain(HALTED, **unknown)]) == []


def test_a_poll_names_the_new_the_missing_and_the_unread() -> None:
    unread = replace(HALTED, uuid="u", definition_read=False)
    new, missing = replace(HALTED, uuid="n"), replace(HALTED, uuid="m")
    seen = last_seen(HALTED, unread, missing)
    assert sorted(seen.untold([a_domain(vm) for vm in (HALTED, unread, new)])) == ["m", "n", "u"]


def test_guests_that_could_not_be_listed_stay_known() -> None:
    seen = last_seen(HALTED)
    view = View(None, "target", {}, guests_listed=False)  # type: ignore[arg-type]
    seen.replace_by(view, a_collection())
    assert set(seen.vms) == {"g"}


def test_bridges_come_with_their_first_user_only() -> None:
    def plugged(uuid: str, *bridges: str) -> Vm:
        nics = tuple(Nic(device=b, mac="", network_uuid=f"bridge:{b}", bridge=b) for b in bridges)
        return replace(HALTED, uuid=uuid, nics=nics)

    seen = last_seen(plugged("g", "br0"))
    assert seen.keep_vm(plugged("h", "br0")) == []
    assert [bridge.uuid for bridge in seen.keep_vm(plugged("h", "br0", "br1"))] == ["bridge:br1"]
    assert seen.keep_vm(plugged("h", "br1")) == []
    assert seen.forget_vm("h")
    assert not seen.forget_vm("h")
    assert [bridge.uuid for bridge in seen.keep_vm(plugged("i", "br1"))] == ["bridge:br1"]


def test_only_the_users_of_what_moved_are_read_again() -> None:
    on_a = replace(HALTED, uuid="on", disks=(a_disk(where="/a/x.img", storage_uuid="pool-a"),))
    by_path = replace(HALTED, uuid="path", disks=(a_disk(where="/b/y.img", storage_uuid=None),))
    plugged = replace(
        HALTED, uuid="net", nics=(Nic(device="0", mac="", network_uuid="net-a", network_name="a"),)
    )
    seen = last_seen(HALTED, on_a, by_path, plugged)
    # Stopped, started, refreshed: nobody's disk or NIC is another by that.
    assert seen.keep_storage(replace(POOL_A, active=Answer.NO, used_bytes=7)) == []
    assert seen.keep_network(replace(NET_A, active=Answer.NO), {}) == []
    # Moved, appeared, gone: those who use it.
    assert sorted(seen.keep_storage(replace(POOL_A, where="/b"))) == ["on", "path"]
    assert seen.keep_network(replace(NET_A, bridge="br-b"), {}) == ["net"]
    assert seen.keep_network(replace(NET_A, bridge="br-b"), {("a", ""): 7}) == ["net"]
    assert seen.forget_network("net-a") == ["net"]
    assert seen.forget_network("net-a") is None
    assert sorted(seen.forget_storage("pool-a") or ()) == ["on", "path"]
    assert seen.forget_storage("pool-a") is None
    # A name that a definition refers to, and that was not there.
    assert seen.keep_network(NET_A, {}) == ["net"]


# --- libvirt's fake driver in this process ---

DEFINITION = (
    "<domain type='test'><name>{name}</name><memory unit='MiB'>8</memory><os><type>hvm</type></os></domain>"
)
EVENTS_ONLY = Pace(poll_seconds=1e6, view_seconds=1e6, settle_seconds=0.05)


@pytest.fixture
def administrator() -> Iterator[Any]:
    """A connection that may write to the fake host of this process, which lives as long as one is open."""
    libvirt = pytest.importorskip("libvirt")
    libvirt.registerErrorHandler(lambda *_: None, None)
    connection = libvirt.open("test:///default")
    yield connection
    connection.close()


async def test_a_fake_host_in_this_process_is_followed(administrator: Any) -> None:
    libvirt = pytest.importorskip("libvirt")
    observer = await KvmObserver.open("test:///default", 30, pace=EVENTS_ONLY)
    try:
        async with following(observer) as seen:
            assert {vm.name for vm in seen.vms.values()} == {"test"}
            domain = administrator.defineXML(DEFINITION.format(name="new"))
            await seen.until(lambda: seen.named("new"), "the new guest")
            domain.create()
            domain.snapshotCreateXML("<domainsnapshot><name>s</name></domainsnapshot>", 0)
            await seen.until(lambda: _state(seen.named("new")) is PowerState.RUNNING, "it running")
            domain.managedSave()
            await seen.until(lambda: _state(seen.named("new")) is PowerState.SUSPENDED, "it saved")
            vm = seen.named("new")
            assert vm is not None
            assert vm.snapshots == (
                Snapshot(uuid=f"{vm.uuid}/s", name="s", taken_at=vm.snapshots[0].taken_at),
            )
            domain.undefineFlags(
                libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            )
            await seen.until(lambda: seen.named("new") is None, "it gone")
            assert seen.updates[-1].vms_gone == (vm.uuid,)
            assert all(update.source is UpdateSource.EVENT for update in seen.updates[1:])
            # One event costs one guest, not the host.
            assert all(len(update.vms) <= 1 for update in seen.updates[1:])
    finally:
        await observer.close()


def _state(vm: Vm | None) -> PowerState | None:
    return vm.power_state if vm is not None else None


async def test_a_watch_that_is_broken_off_lets_the_next_one_begin(administrator: Any) -> None:
    observer = await KvmObserver.open("test:///default", 30, pace=EVENTS_ONLY)
    try:
        for _ in range(3):
            async with aclosing(observer.watch()) as updates:
                first = await anext(updates)
                assert first.view is not None
                assert first.source is UpdateSource.VIEW
                assert not first.routine
    finally:
        await observer.close()


async def test_a_watch_of_a_closed_observer_fails_or_ends_and_does_not_hang(administrator: Any) -> None:
    observer = await KvmObserver.open("test:///default", 30)
    await observer.close()
    assert [update async for update in observer.watch()] == []


async def test_an_attempt_that_nobody_waits_for_closes_what_it_opened() -> None:
    pytest.importorskip("libvirt")
    client = LibvirtClient("test:///default", 30, "test")
    opening = asyncio.create_task(client.establish())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert client.lost is None
    with pytest.raises(Exception, match="closed"):
        _ = client.connection
    with pytest.raises(TargetUnreadable):
        await LibvirtClient.open("test:////nowhere/node.xml", 30, "test")
