"""What every driver promises of a view, held to every driver there is (drivers/base.py).

Each source is a real one: libvirt in this process, libvirt's fake driver behind a daemon, a host with real QEMU
guests by both of its sockets, and two database files of XenServer pools.

Effects: reads hypervisors (private ones), starts them
"""

from __future__ import annotations

import asyncio
import subprocess
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from xenios import app
from xenios.drivers.base import Depth, Observer
from xenios.model.collection import Collection, Quality
from xenios.model.inventory import Answer, CapabilityAnswer, PowerState, Vm, VmKind

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "xenios" / "simulator" / "examples" / "pool-in-use.db"
REAL_DATABASE = ROOT / "tests" / "fixtures" / "xapi" / "state.db"
TIMEOUT_SECONDS = 60.0

MOVING = {"memory_bytes_free", "memory_bytes_overhead", "used_bytes"}
"""Figures that change by themselves while nobody does anything."""
MOVING_MEMORY = {"bytes_actual", "bytes_resident", "bytes_overhead", "overhead_source"}


@dataclass(frozen=True, slots=True)
class Source:
    """A target, and the names that its guests have, by uuid, as somebody other than Xenios tells them."""

    target: str
    names: Callable[[], dict[str, str]]


@dataclass(frozen=True, slots=True)
class Seen:
    """Three views by one observer."""

    source: Source
    target: str
    capabilities: tuple[CapabilityAnswer, ...]
    full: Collection
    report: Collection
    report_again: Collection
    progress: list[str]


def names_by_virsh(uri: str) -> Callable[[], dict[str, str]]:
    def ask() -> dict[str, str]:
        command = ["virsh", "--readonly", "--quiet", "--connect", uri, "list", "--all", "--uuid", "--name"]
        text = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        pairs = (line.split(" ", 1) for line in text.split("\n") if line.strip())
        return {uuid: name.strip(" ") for uuid, name in pairs}

    return ask


def names_in_database(path: Path) -> Callable[[], dict[str, str]]:
    """Names as the file has them: XAPI protects white space in values with per cent signs."""
    meant = {"%.": " ", "%_": "  ", "%t": "\t", "%n": "\n", "%r": "\r", "%%": "%"}

    def plain(text: str) -> str:
        parts = iter(text)
        return "".join(meant[c + next(parts)] if c == "%" else c for c in parts)

    def read() -> dict[str, str]:
        rows = ET.parse(path).getroot().iterfind("table[@name='VM']/row")
        return {
            row.get("uuid", "") or row.get("_uuid", ""): plain(
                row.get("name__label") or row.get("name_label") or ""
            )
            for row in rows
        }

    return read


def _private_libvirt(request: pytest.FixtureRequest, **how: Any) -> Source:
    uri = request.getfixturevalue("libvirt_test_daemon")(**how)
    return Source(uri, names_by_virsh(uri))


def _qemu(request: pytest.FixtureRequest, *, read_only: bool) -> Source:
    host = request.getfixturevalue("kvm_host")
    return Source(host.uri_read_only if read_only else host.uri, names_by_virsh(host.uri))


def _in_process(request: pytest.FixtureRequest) -> Source:
    pytest.importorskip("libvirt")
    return Source("test:///default", lambda: {"6695eb01-f6a4-8304-79aa-97f2502e193f": "test"})


SOURCES: dict[str, Callable[[pytest.FixtureRequest], Source]] = {
    "libvirt in this process": _in_process,
    "libvirt behind a daemon": _private_libvirt,
    "libvirt with 300 domains": lambda request: _private_libvirt(request, domains=300, read_only=True),
    "QEMU by the read-write socket": lambda request: _qemu(request, read_only=False),
    "QEMU by the read-only socket": lambda request: _qemu(request, read_only=True),
    "example database": lambda _: Source(str(EXAMPLE), names_in_database(EXAMPLE)),
    "real database": lambda _: Source(str(REAL_DATABASE), names_in_database(REAL_DATABASE)),
}
LIVE = ("libvirt behind", "libvirt with", "QEMU")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(make, id=name, marks=[pytest.mark.live] if name.startswith(LIVE) else [])
        for name, make in SOURCES.items()
    ],
)
def seen(request: pytest.FixtureRequest) -> Seen:
    """Every source in turn, looked at three times by one observer, which is closed twice."""
    source: Source = request.param(request)

    async def look() -> Seen:
        observer = await open_observer(source.target)
        told: list[str] = []
        try:
            return Seen(
                source=source,
                target=observer.target,
                full=await observer.observe(Depth.FULL),
                report=await observer.observe(Depth.REPORT, told.append),
                report_again=await observer.observe(Depth.REPORT),
                capabilities=observer.capabilities,
                progress=told,
            )
        finally:
            await observer.close()
            await observer.close()

    return asyncio.run(look())


async def open_observer(target: str) -> Observer:
    return await app.driver_for(target).open(target, TIMEOUT_SECONDS)


def test_every_driver_is_held_to_the_contract() -> None:
    held = {app.driver_for(target).name for target in ("test:///default", str(EXAMPLE))}
    assert held == {driver.name for driver in app.DRIVERS}


def test_a_view_without_trouble_is_complete(seen: Seen) -> None:
    for view in (seen.full, seen.report, seen.report_again):
        assert view.failures == ()
        assert view.quality is Quality.COMPLETE
        assert view.source


def test_the_observer_names_its_target(seen: Seen) -> None:
    assert seen.target == seen.source.target


def test_every_uuid_is_there_and_there_once(seen: Seen) -> None:
    for view in (seen.full, seen.report):
        for things in (view.hosts, view.storages, view.networks, view.vms):
            uuids = Counter(thing.uuid for thing in things)
            assert "" not in uuids
            assert [uuid for uuid, times in uuids.items() if times > 1] == []
        for vm in view.vms:
            assert len({snapshot.uuid for snapshot in vm.snapshots}) == len(vm.snapshots)
            assert len({disk.device for disk in vm.disks}) == len(vm.disks)
        assert view.pool.uuid


def test_whatever_is_referred_to_is_there(seen: Seen) -> None:
    for view in (seen.full, seen.report):
        hosts = {host.uuid for host in view.hosts}
        storages = {storage.uuid for storage in view.storages}
        networks = {network.uuid for network in view.networks}
        vms = {vm.uuid for vm in view.vms}
        assert view.pool.master_uuid in hosts
        for storage in view.storages:
            assert {*storage.host_uuids, *storage.detached_host_uuids} <= hosts
        for vm in view.vms:
            assert vm.host_uuid in hosts | {None}
            assert vm.preferred_host_uuid in hosts | {None}
            assert vm.snapshot_of_uuid in vms | {None}
            assert {disk.storage_uuid for disk in vm.disks} <= storages | {None}
            assert {nic.network_uuid for nic in vm.nics} <= networks | {None}


def test_a_guest_that_runs_runs_somewhere(seen: Seen) -> None:
    for vm in seen.report.vms:
        assert isinstance(vm.power_state, PowerState)
        assert isinstance(vm.kind, VmKind)
        if vm.power_state is PowerState.RUNNING:
            assert vm.host_uuid is not None, vm.name


def test_names_are_passed_on_as_they_are(seen: Seen) -> None:
    told = seen.source.names()
    assert {vm.uuid: vm.name for vm in seen.report.vms} == told
    assert {vm.uuid: vm.name for vm in seen.full.vms} == told


def test_no_size_is_negative(seen: Seen) -> None:
    sizes = [(where, value) for where, value in numbers_in(seen.report, "view") if "bytes" in where]
    assert sizes
    assert [(where, value) for where, value in sizes if value < 0] == []


def test_everything_told_is_of_the_type_that_the_model_promises(seen: Seen) -> None:
    """What is unknown is None or UNKNOWN, and a bool is never a number."""
    for vm in seen.report.vms:
        for name in ("autostart", "persistent"):
            assert isinstance(getattr(vm, name), Answer)
        for number in (vm.vcpus, vm.vcpus_max, vm.memory.bytes_max, vm.memory.bytes_actual):
            assert number is None or type(number) is int
        assert all(nic.mac == nic.mac.lower() for nic in vm.nics)
        assert all(isinstance(text, str) for pair in vm.annotations.items() for text in pair)
        hash(replace(vm, annotations=frozenset()))  # type: ignore[arg-type] # no list hides in it


def test_looking_twice_sees_the_same(seen: Seen) -> None:
    assert standing(seen.report) == standing(seen.report_again)


def test_the_quick_view_tells_nothing_that_the_thorough_one_denies(seen: Seen) -> None:
    assert differing(seen.full, seen.report, "view") == []


def test_capabilities_are_told_once_each_with_how_they_were_found(seen: Seen) -> None:
    told = [answer.capability for answer in seen.capabilities]
    assert told
    assert len(set(told)) == len(told)
    assert all(answer.how for answer in seen.capabilities)
    for host in seen.report.hosts:
        of_host = [answer.capability for answer in host.capabilities]
        assert len(set(of_host)) == len(of_host)


def test_progress_is_told_in_words(seen: Seen) -> None:
    assert seen.progress
    assert all(words and words.isprintable() for words in seen.progress)


# --- walking a collection ---


def numbers_in(thing: Any, where: str) -> Iterator[tuple[str, int | float]]:
    """Every number in a collection, with the way to it."""
    if isinstance(thing, Struct):
        for field in thing.__struct_fields__:
            yield from numbers_in(getattr(thing, field), f"{where}.{field}")
    elif isinstance(thing, tuple):
        for number, item in enumerate(thing):
            yield from numbers_in(item, f"{where}[{number}]")
    elif isinstance(thing, int | float) and not isinstance(thing, bool):
        yield where, thing


def standing(view: Collection) -> Collection:
    """The view without its time and the figures that move."""

    def vm(one: Vm) -> Vm:
        memory = replace(one.memory, **dict.fromkeys(MOVING_MEMORY - {"overhead_source"}), overhead_source="")
        return replace(one, memory=memory, disks=tuple(replace(disk, used_bytes=None) for disk in one.disks))

    return replace(
        view,
        seen_at=0,
        hosts=tuple(replace(host, memory_bytes_free=None, memory_bytes_overhead=None) for host in view.hosts),
        storages=tuple(replace(storage, used_bytes=None) for storage in view.storages),
        vms=tuple(vm(one) for one in view.vms),
    )


def differing(less: Any, more: Any, where: str) -> list[str]:
    """Where `less` says something that `more` does not say: an untold value in `less` differs from nothing."""
    name = where.rpartition(".")[2]
    if name in MOVING | MOVING_MEMORY | {"seen_at"}:
        return []
    if isinstance(less, Struct) and type(less) is type(more):
        return [
            found
            for field in less.__struct_fields__
            for found in differing(getattr(less, field), getattr(more, field), f"{where}.{field}")
        ]
    if is_untold(less):
        return []
    if isinstance(less, tuple) and isinstance(more, tuple) and len(less) == len(more):
        return [
            found
            for number, (one, other) in enumerate(zip(less, more, strict=True))
            for found in differing(one, other, f"{where}[{number}]")
        ]
    return [] if less == more else [f"{where}: {less!r}, then {more!r}"]


def is_untold(value: Any) -> bool:
    return value in (None, "", ()) or (isinstance(value, Enum) and value.value == "unknown")
