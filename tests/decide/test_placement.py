"""May a VM of ours run on a host? Room that is not known is not there, and one reason is enough.

Effects: none
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.inventory import GIB, a_collection, a_host, a_storage, a_vm
from tests.support.matrix import cases_that_act
from xenios.decide.facts import Freeze
from xenios.decide.placement import (
    MAY_RUN_HERE,
    Processors,
    Reach,
    RoomSeen,
    Wanted,
    placement_facts,
)
from xenios.decide.room import room_of
from xenios.model.collection import Collection, Quality
from xenios.model.decision import Verdict
from xenios.model.inventory import Answer, Cpu, Network
from xenios.model.room import HostRoom

A_NETWORK = Network(uuid="network-1", name="lan")
WANTED = Wanted(memory_bytes=4 * GIB, vcpus=2, storage_uuids=("storage-1",), network_uuids=("network-1",))
VIEW = a_collection(networks=(A_NETWORK,))


def the_room(view: Collection = VIEW, **changes: Any) -> HostRoom:
    [room] = room_of(view).hosts
    return replace(room, **changes)


def rules_for(
    wanted: Wanted = WANTED,
    view: Collection = VIEW,
    room: HostRoom | str | None = "counted",
    quality: Quality = Quality.COMPLETE,
    freeze: Freeze = Freeze.NONE,
) -> list[str]:
    counted = the_room(view) if isinstance(room, str) else room
    facts = placement_facts(wanted, view.hosts[0], counted, view, quality, freeze)
    decision = MAY_RUN_HERE.decide(facts)
    refusals = [refusal.rule for refusal in MAY_RUN_HERE.refusals(facts, {})]
    assert (decision.verdict is Verdict.ACT) == (refusals == [])
    return refusals


def on_host(**changes: Any) -> Collection:
    return replace(VIEW, hosts=(a_host(**changes),))


def test_acting_means_that_every_answer_is_yes() -> None:
    cases = list(cases_that_act(MAY_RUN_HERE))
    assert cases == [
        {
            "live": Answer.YES,
            "enabled": Answer.YES,
            "quality": Quality.COMPLETE,
            "freeze": Freeze.NONE,
            "room": RoomSeen.ENOUGH,
            "processors": Processors.ENOUGH,
            "storages": Reach.REACHED,
            "networks": Reach.REACHED,
        }
    ]


def test_an_ordinary_host_will_do() -> None:
    assert rules_for() == []


@pytest.mark.parametrize(
    ("view", "rule"),
    [
        (on_host(live=Answer.NO), "here.host-silent"),
        (on_host(live=Answer.UNKNOWN), "here.host-not-known-to-answer"),
        (on_host(enabled=Answer.NO), "here.host-disabled"),
        (on_host(enabled=Answer.UNKNOWN), "here.host-disabled"),
        (on_host(cpu=Cpu(count=1)), "here.too-few-processors"),
        (on_host(cpu=Cpu(count=None)), "here.too-few-processors"),
        (replace(VIEW, storages=()), "here.storage-not-reached"),
        (replace(VIEW, storages=(a_storage(host_uuids=()),)), "here.storage-not-reached"),
        (replace(VIEW, storages=(a_storage(active=Answer.NO),)), "here.storage-not-reached"),
        (replace(VIEW, networks=()), "here.network-not-reached"),
        (replace(VIEW, networks=(replace(A_NETWORK, active=Answer.NO),)), "here.network-not-reached"),
    ],
)
def test_each_reason_by_itself(view: Collection, rule: str) -> None:
    assert rule in rules_for(view=view, room=the_room())


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"bytes_free_declared": 4 * GIB - 1}, "here.room-declared"),
        ({"bytes_free_measured": 4 * GIB - 1}, "here.room-measured"),
        ({"bytes_free_declared": 4 * GIB, "bytes_free_measured": 4 * GIB}, None),
        ({"bytes_free_declared": -1}, "here.room-declared"),
        ({"bytes_free_declared": None}, "here.room-unknown"),
        ({"bytes_free_measured": None}, "here.room-unknown"),
    ],
)
def test_room_by_all_three_truths(changes: dict[str, Any], rule: str | None) -> None:
    assert rules_for(room=the_room(**changes)) == ([rule] if rule else [])


def test_what_is_promised_is_not_free() -> None:
    free = the_room(bytes_free_declared=10 * GIB, bytes_free_measured=10 * GIB)
    assert rules_for(room=replace(free, bytes_promised=6 * GIB)) == []
    assert rules_for(room=replace(free, bytes_promised=6 * GIB + 1)) == ["here.room-promised"]


def test_room_that_was_not_counted_is_not_there() -> None:
    assert rules_for(room=None) == ["here.room-unknown"]


@pytest.mark.parametrize("quality", [Quality.PARTIAL, Quality.SUSPICIOUS])
def test_a_view_that_may_lack_vms_shows_no_room(quality: Quality) -> None:
    [rule] = rules_for(quality=quality)
    assert rule == f"here.view-{quality}"


def test_a_freeze_stops_placing() -> None:
    assert rules_for(freeze=Freeze.POOL) == rules_for(freeze=Freeze.INSTALLATION) == ["here.frozen"]


def test_every_reason_is_told_at_once() -> None:
    view = replace(on_host(live=Answer.NO, enabled=Answer.NO, cpu=Cpu(count=1)), storages=(), networks=())
    assert rules_for(view=view, room=None, freeze=Freeze.POOL, quality=Quality.PARTIAL) == [
        "here.frozen",
        "here.view-partial",
        "here.host-silent",
        "here.host-not-known-to-answer",
        "here.host-disabled",
        "here.room-unknown",
        "here.too-few-processors",
        "here.storage-not-reached",
        "here.network-not-reached",
    ]


@given(st.integers(0, 40), st.integers(0, 8))
def test_an_alien_that_grows_shrinks_our_room(gib: int, vcpus: int) -> None:
    """More aliens never make room, whoever they are."""
    wanted = Wanted(memory_bytes=gib * GIB, vcpus=vcpus)
    crowded = a_collection(*(a_vm(f"vm-{n}") for n in range(6)), networks=(A_NETWORK,))
    if rules_for(wanted, crowded) == []:
        assert rules_for(wanted, VIEW) == []


def test_not_to_know_whether_something_is_on_is_no_better_than_to_know_that_it_is_off() -> None:
    """Of a storage every hypervisor tells it. Of a network XenServer does not: there it is taken to be on."""
    view = replace(VIEW, storages=(a_storage(active=Answer.UNKNOWN),))
    assert "here.storage-not-reached" in rules_for(view=view)
