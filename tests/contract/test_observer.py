"""What every driver promises of a view, held to every driver there is (drivers/base.py).

Each source is a real one, or a simulator that is held to the real one: tests/support/observed_sources.py. What they
promise of a watch is in test_watch.py.

Effects: reads hypervisors (private ones), starts them
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from tests.support.agreement import MOVING_MEMORY, differing
from tests.support.observed_sources import EXAMPLE, FILES, LIVE, SIMULATED, Source, parameters
from xenios import app
from xenios.drivers.base import Depth
from xenios.model.collection import Collection, Quality
from xenios.model.inventory import Answer, CapabilityAnswer, PowerState, Vm, VmKind


@dataclass(frozen=True, slots=True)
class Seen:
    """Three views by one observer."""

    source: Source
    target: str
    names: dict[str, str]
    capabilities: tuple[CapabilityAnswer, ...]
    full: Collection
    report: Collection
    report_again: Collection
    progress: list[str]
    writes: list[str]


@pytest.fixture(scope="module", params=parameters(SIMULATED, LIVE, FILES))
def seen(request: pytest.FixtureRequest) -> Seen:
    """Every source in turn, looked at three times by one observer."""

    async def look() -> Seen:
        told: list[str] = []
        async with request.param(request) as source:
            async with source.observer() as observer:
                full = await observer.observe(Depth.FULL)
                report = await observer.observe(Depth.REPORT, told.append)
                again = await observer.observe(Depth.REPORT)
                target, capabilities = observer.target, observer.capabilities
            return Seen(
                source=source,
                target=target,
                names=await source.names(),
                full=full,
                report=report,
                report_again=again,
                capabilities=capabilities,
                progress=told,
                writes=source.writes_of_ours(),
            )

    return asyncio.run(look())


def test_every_driver_is_held_to_the_contract() -> None:
    targets = ("test:///default", "xenserver://root@192.0.2.1", str(EXAMPLE))
    held = {app.driver_for(target).name for target in targets}
    assert held == {driver.name for driver in app.DRIVERS}


def test_looking_writes_nothing(seen: Seen) -> None:
    assert seen.writes == []


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
    assert {vm.uuid: vm.name for vm in seen.report.vms} == seen.names
    assert {vm.uuid: vm.name for vm in seen.full.vms} == seen.names


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
