"""What every driver promises of a watch, held to every source that can be watched (drivers/base.py).

Somebody acts beside us, step by step; each step has to come out of the watch by itself, and in the end what all updates
add up to has to be what a fresh view sees.

Effects: reads hypervisors (private ones), starts them; an administrator of the test's own acts on some of them
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from tests.support.agreement import differing
from tests.support.following import Following, following
from tests.support.observed_sources import FILES, LIVE, SIMULATED, Act, Source, parameters
from xenios.clock import now_micros
from xenios.drivers.base import Depth
from xenios.errors import XeniosError
from xenios.model.collection import Collection, Quality
from xenios.model.inventory import Answer, Capability, CapabilityAnswer
from xenios.model.update import UpdateSource


@dataclass(frozen=True, slots=True)
class Watched:
    """One watch by one observer, and views by the same observer before, during and after."""

    source: Source
    before: Collection
    seen: Following
    steps: list[tuple[Act, str, int]]
    """Each act, the VM it was about, and how many updates there were before."""
    fresh: Collection
    """What a view saw when all acts were over and the watch went on."""
    second: Following
    """A second watch, after the first was ended."""
    capabilities: tuple[CapabilityAnswer, ...]
    writes: list[str]
    began_at: int
    ended_at: int


@pytest.fixture(scope="module", params=parameters(SIMULATED, LIVE))
def watched(request: pytest.FixtureRequest) -> Watched:
    """Every source in turn: watched while somebody acts, if anybody may."""

    async def watch() -> Watched:
        began_at = now_micros()
        async with request.param(request) as source:
            async with source.observer() as observer:
                before = await observer.observe(Depth.REPORT)
                async with following(observer) as seen:
                    steps = []
                    for act in source.acts:
                        updates = len(seen.updates)
                        uuid = await act.do()
                        await seen.until(lambda act=act, uuid=uuid: became(seen, act, uuid), act.what)
                        steps.append((act, uuid, updates))
                    fresh = await observer.observe(Depth.FULL)
                    await seen.until(
                        lambda: not disagreements(fresh, seen), "the picture to be what is there"
                    )
                async with following(observer) as second:
                    pass
                capabilities = observer.capabilities
            return Watched(
                source, before, seen, steps, fresh, second, capabilities, source.writes_of_ours(),
                began_at, now_micros(),
            )  # fmt: skip

    return asyncio.run(watch())


def became(seen: Following, act: Act, uuid: str) -> bool:
    vm = seen.vms.get(uuid)
    if act.becomes is None or vm is None:
        return vm is None and act.becomes is None
    return vm.power_state is act.becomes


def disagreements(fresh: Collection, seen: Following) -> list[str]:
    """Where what all updates add up to is not what a fresh view sees."""
    found = []
    for what, things, known in (
        ("VM", fresh.vms, seen.vms),
        ("host", fresh.hosts, seen.hosts),
        ("storage", fresh.storages, seen.storages),
        ("network", fresh.networks, seen.networks),
    ):
        there = {thing.uuid: thing for thing in things}
        found += [f"{what} {uuid} is on one side only" for uuid in there.keys() ^ known.keys()]
        for uuid in there.keys() & known.keys():
            found += differing(there[uuid], known[uuid], f"{what} {uuid}")
    return found


def test_the_first_update_is_a_complete_view(watched: Watched) -> None:
    for seen in (watched.seen, watched.second):
        first = seen.updates[0]
        assert first.source is UpdateSource.VIEW
        assert not first.routine
        assert first.view is not None
        assert first.view.quality is Quality.COMPLETE
        assert first.view.all_vms_seen
        assert first.view.all_hosts_seen


def test_it_shows_what_a_look_shows(watched: Watched) -> None:
    first = watched.seen.updates[0].view
    assert first is not None
    assert {vm.uuid for vm in first.vms} == {vm.uuid for vm in watched.before.vms}
    assert differing(first, watched.before, "view") == []


def test_each_act_comes_by_an_event(watched: Watched) -> None:
    for act, uuid, since in watched.steps:
        told = [
            update
            for update in watched.seen.updates[since:]
            if uuid in update.vms_gone or any(vm.uuid == uuid for vm in update.vms)
        ]
        assert told, act.what
        assert told[0].source is UpdateSource.EVENT, act.what


def test_only_what_was_acted_on_is_told(watched: Watched) -> None:
    acted = {uuid for _, uuid, _ in watched.steps}
    for update in watched.seen.updates[1:]:
        assert {vm.uuid for vm in update.vms} | set(update.vms_gone) <= acted
        assert update.view is None or update.routine


def test_gone_is_said_by_the_hypervisor_and_only_then(watched: Watched) -> None:
    gone = [uuid for update in watched.seen.updates for uuid in update.vms_gone]
    assert gone == [uuid for act, uuid, _ in watched.steps if act.becomes is None]


def test_all_updates_add_up_to_what_is_there(watched: Watched) -> None:
    assert disagreements(watched.fresh, watched.seen) == []


def test_whatever_is_referred_to_is_known(watched: Watched) -> None:
    picture = Following()
    for update in watched.seen.updates:
        picture.learn(update)
        for vm in update.vms:
            assert vm.host_uuid in picture.hosts.keys() | {None}
            assert {disk.storage_uuid for disk in vm.disks} <= picture.storages.keys() | {None}
            assert {nic.network_uuid for nic in vm.nics} <= picture.networks.keys() | {None}


def test_updates_say_when_and_why(watched: Watched) -> None:
    for seen in (watched.seen, watched.second):
        times = [update.seen_at for update in seen.updates]
        assert times == sorted(times)
        assert all(watched.began_at <= time <= watched.ended_at for time in times)
        for update in seen.updates:
            assert update.because
            assert update.because.isprintable()
            assert update.silent_since is None
            assert update.failures == ()


def test_a_watch_that_was_ended_has_not_failed(watched: Watched) -> None:
    assert not watched.seen.ended
    assert not watched.second.ended


def test_events_are_told_among_the_capabilities(watched: Watched) -> None:
    told = {answer.capability: answer for answer in watched.capabilities}
    assert told[Capability.EVENTS].answer is Answer.YES
    assert told[Capability.EVENTS].how


def test_watching_writes_nothing(watched: Watched) -> None:
    assert watched.writes == []


def test_somebody_acts_wherever_somebody_may(watched: Watched, request: pytest.FixtureRequest) -> None:
    """That no source lost its acts by an oversight, and with them most of these tests."""
    only_read = ("300 domains", "socket]", "real pool")
    name = request.node.name
    assert bool(watched.steps) != any(part in name for part in only_read)


@pytest.mark.parametrize("make", parameters(FILES))
async def test_a_file_cannot_be_watched(make: object, request: pytest.FixtureRequest) -> None:
    async with make(request) as source, source.observer() as observer:  # type: ignore[operator]
        with pytest.raises(XeniosError) as error:
            async with aclosing(observer.watch()) as updates:
                await anext(updates)
        assert error.value.remedy
