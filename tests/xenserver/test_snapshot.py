"""Does one answer with the whole pool tell the same as all its classes, and is it believed only when it is whole?

Effects: none
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.pool_observers import Watched, observer_of, watched_pool
from xenios.drivers.base import Depth
from xenios.model.collection import Collection, Quality
from xenios.simulator.faults import CallFault
from xenios.simulator.serving.in_process import InProcessTransport


async def viewed(watched: Watched) -> Collection:
    collection: Collection = await watched.done(watched.observer.observe(Depth.FULL))
    return collection


def class_reads(watched: Watched) -> list[str]:
    return [method for method in watched.meddler.asked if method.endswith(".get_all_records")]


async def test_it_tells_what_the_classes_tell() -> None:
    async with watched_pool(hosts=3, vms=40) as watched:
        at_once = await viewed(watched)
        assert class_reads(watched) == []
        assert watched.meddler.asked.count("event.from") == 1
        watched.meddler.all_at_once = False
        by_class = await viewed(watched)
        assert len(class_reads(watched)) > 10
    for part in ("pool", "hosts", "storages", "networks", "vms", "failures"):
        assert getattr(at_once, part) == getattr(by_class, part), part


async def test_a_pool_without_cpu_facts_is_asked_for_its_processors() -> None:
    async with watched_pool() as watched:
        for host in list(watched.pool.tables.rows("host")):
            watched.pool.tables.change("host", host, cpu_info={})
        seen = await viewed(watched)
        assert class_reads(watched) == ["host_cpu.get_all_records"]
    assert all(host.cpu.model for host in seen.hosts)


@pytest.mark.parametrize("class_name", ["vm", "vbd", "host", "network"])
async def test_an_answer_that_lacks_rows_is_not_believed(class_name: str) -> None:
    def without_one(method: str, result: Any) -> Any:
        if method == "event.from":
            first = next((event for event in result["events"] if event["class"] == class_name), None)
            if first is not None:
                result["events"].remove(first)
        return result

    async with watched_pool() as watched:
        there = await viewed(watched)
        watched.meddler.change = without_one
        seen = await viewed(watched)
        assert len(class_reads(watched)) > 10
    assert (seen.vms, seen.hosts, seen.networks) == (there.vms, there.hosts, there.networks)


async def test_an_empty_answer_makes_no_vm_vanish() -> None:
    async with watched_pool() as watched:
        there = await viewed(watched)
        watched.pool.faults.add(CallFault(method="event.from", times=1, empty=True))
        seen = await viewed(watched)
    assert seen.vms == there.vms
    assert seen.quality is Quality.COMPLETE


async def test_one_odd_value_spoils_no_other() -> None:
    def odd(method: str, result: Any) -> Any:
        if method == "event.from":
            for event in result["events"]:
                if event["class"] == "vm" and not event["snapshot"]["is_control_domain"]:
                    event["snapshot"]["memory_static_max"] = ["no", "number"]
                    break
        return result

    async with watched_pool() as watched:
        there = await viewed(watched)
        watched.meddler.change = odd
        seen = await viewed(watched)
        assert class_reads(watched) == []
    assert [failure.what for failure in seen.failures] == ["VM records: memory_static_max"]
    assert [vm.uuid for vm in seen.vms] == [vm.uuid for vm in there.vms]
    assert [vm.definition_read for vm in seen.vms].count(False) == 1


async def test_a_deletion_in_it_is_no_object() -> None:
    def and_a_deletion(method: str, result: Any) -> Any:
        if method == "event.from":
            gone = {"id": "1", "timestamp": "0.0", "class": "vm", "operation": "del", "ref": "OpaqueRef:gone"}
            result["events"].append(gone)
        return result

    async with watched_pool() as watched:
        there = await viewed(watched)
        watched.meddler.change = and_a_deletion
        assert (await viewed(watched)).vms == there.vms
        assert class_reads(watched) == []


async def test_a_host_without_json_gives_it_as_well() -> None:
    async with watched_pool() as watched:
        there = await viewed(watched)
        old = InProcessTransport()
        old.add(watched.pool, without_jsonrpc=True)
        client, observer = observer_of(watched.simulated, old)
        seen = await watched.done(observer.observe(Depth.FULL))
        assert client.encoding == "XML-RPC"
        await watched.done(observer.close())
    assert seen.vms == there.vms
