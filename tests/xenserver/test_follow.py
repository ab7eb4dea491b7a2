"""Does a watch of a live pool tell what happens, and does trouble with the pool never become news about its VMs?

Effects: none
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.following import Following
from tests.support.pool_observers import Watched, observer_of, watched_pool
from xenios.drivers.base import Depth
from xenios.drivers.xenserver.follow import REFUSED_SECONDS, UNREAD_SECONDS, VIEW_SECONDS_MAX
from xenios.drivers.xenserver.transport import Address, HttpAnswer
from xenios.errors import TargetUnreadable
from xenios.model.collection import Quality
from xenios.model.inventory import Host, PowerState
from xenios.model.update import Update, UpdateSource
from xenios.simulator.api_error import ApiError
from xenios.simulator.faults import CallFault
from xenios.simulator.serving.in_process import InProcessTransport


def has(seen: Following, uuid: str, **fields: Any) -> Callable[[], bool]:
    """Whether a VM is known with these values."""
    return lambda: (
        uuid in seen.vms and all(getattr(seen.vms[uuid], n) == value for n, value in fields.items())
    )


def views(seen: Following) -> list[str]:
    """Why the pool was read whole, each time."""
    return [update.because for update in seen.updates if update.view is not None]


def plain(hosts: Iterable[Host]) -> dict[str, Host]:
    """Hosts without the word on who did the sum: the host itself in the first view, we in the others."""
    return {host.uuid: replace(host, memory_free_source="") for host in hosts}


async def compare_with_a_fresh_view(watched: Watched, seen: Following) -> None:
    """What the updates add up to is what is there."""
    fresh = await watched.done(watched.observer.observe(Depth.FULL))
    assert seen.vms == {vm.uuid: vm for vm in fresh.vms}
    assert plain(seen.hosts.values()) == plain(fresh.hosts)
    assert seen.storages == {storage.uuid: storage for storage in fresh.storages}
    assert seen.networks == {network.uuid: network for network in fresh.networks}


# --- what happens ----------------------------------------------------------------------------------------------------


async def test_what_an_administrator_does_is_told_as_it_happens() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        vm = watched.machine("Halted", "start")
        uuid = watched.uuid(vm)
        assert seen.updates[0].view is not None
        assert seen.updates[0].source is UpdateSource.VIEW

        await watched.do("VM.start", vm, False, False)
        await watched.until(has(seen, uuid, power_state=PowerState.RUNNING), "it runs")
        assert seen.vms[uuid].host_uuid in seen.hosts
        await watched.do("VM.set_name_label", vm, "another name")
        await watched.until(has(seen, uuid, name="another name"), "it has another name")
        await watched.do("VM.hard_shutdown", vm)
        await watched.until(has(seen, uuid, power_state=PowerState.HALTED), "it is off")
        clone = await watched.do("VM.clone", vm, "a clone")
        await watched.until(lambda: seen.named("a clone"), "there is a clone")
        await watched.do("VM.snapshot", vm, "a snapshot")
        await watched.until(
            lambda: "a snapshot" in [s.name for s in seen.vms[uuid].snapshots], "its snapshot"
        )
        clone_uuid = watched.uuid(clone)
        await watched.do("VM.destroy", clone)
        await watched.until(lambda: clone_uuid not in seen.vms, "the clone is gone")

        assert views(seen) == ["first view"]
        assert clone_uuid in [uuid for update in seen.updates for uuid in update.vms_gone]
        await watched.settled(seen)
        await compare_with_a_fresh_view(watched, seen)


async def test_an_event_tells_only_the_vms_that_it_concerns() -> None:
    async with watched_pool(hosts=3, vms=40) as watched, watched.watching() as seen:
        vm = watched.machine("Running")
        already = len(seen.updates)
        await watched.do("VM.add_tags", vm, "seen")
        await watched.until(lambda: len(seen.updates) > already, "an update")
        [update] = seen.updates[already:]
        assert [told.uuid for told in update.vms] == [watched.uuid(vm)]
        assert update.hosts == ()


async def test_a_vm_that_starts_takes_free_memory_from_its_host() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        vm = watched.machine("Halted", "start")
        free = {host.uuid: host.memory_bytes_free for host in seen.hosts.values()}
        await watched.do("VM.start", vm, False, False)
        await watched.until(has(seen, watched.uuid(vm), power_state=PowerState.RUNNING), "it runs")
        started = seen.vms[watched.uuid(vm)]
        assert started.host_uuid is not None
        before, after = free[started.host_uuid], seen.hosts[started.host_uuid].memory_bytes_free
        assert before is not None
        assert after is not None
        assert before - after == (started.memory.bytes_dynamic_min or 0) + (
            started.memory.bytes_overhead or 0
        )
        told = await watched.do("host.compute_free_memory", watched.ref("host", uuid=started.host_uuid))
        assert after == told


async def test_what_nobody_reads_is_no_update() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        already = len(seen.updates)
        await watched.do("VM.set_name_description", watched.machine("Running"), "tells nothing new")
        await watched.do("VM.set_user_version", watched.machine("Running"), "7")
        network = next(iter(watched.pool.tables.rows("network")))
        await watched.do("network.set_name_description", network, "neither does this")
        await watched.settled(seen)
        dom0 = watched.uuid(watched.ref("VM", is_control_domain=True))
        told = {vm.uuid for update in seen.updates[already:] for vm in update.vms}
        assert told == {dom0}  # the mark of `settled`


async def test_a_renamed_network_is_told_with_the_cards_that_show_it() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        nic = next(nic for vm in seen.vms.values() for nic in vm.nics if nic.network_uuid)
        await watched.do("network.set_name_label", watched.ref("network", uuid=nic.network_uuid), "other lan")
        await watched.settled(seen)
        names = {
            n.network_name for vm in seen.vms.values() for n in vm.nics if n.network_uuid == nic.network_uuid
        }
        assert names == {"other lan"}
        await compare_with_a_fresh_view(watched, seen)


@pytest.mark.parametrize("seed", range(4))
async def test_after_any_work_the_updates_add_up_to_what_is_there(seed: int) -> None:
    random = Random(seed)
    async with watched_pool(seed=seed) as watched, watched.watching() as seen:
        for number in range(40):
            vm = random.choice([*watched.pool.tables.rows("VM")])
            calls = [
                ("VM.start", vm, False, False),
                ("VM.hard_shutdown", vm),
                ("VM.suspend", vm),
                ("VM.resume", vm, False, False),
                ("VM.pause", vm),
                ("VM.unpause", vm),
                ("VM.hard_reboot", vm),
                ("VM.clone", vm, f"clone {number}"),
                ("VM.snapshot", vm, f"snapshot {number}"),
                ("VM.revert", vm),
                ("VM.destroy", vm),
                ("VM.set_tags", vm, [f"tag {number}"]),
                ("VM.set_is_a_template", vm, random.random() < 0.5),
            ]
            try:
                await watched.do(*random.choice(calls))
            except ApiError:
                continue  # not everything is allowed to everything, and nothing was done
        await watched.settled(seen)
        assert views(seen) == ["first view"]
        await compare_with_a_fresh_view(watched, seen)


# --- what events do not tell -----------------------------------------------------------------------------------------


async def test_deletions_that_were_not_told_are_found_by_counting() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        vm = await watched.do("VM.clone", watched.machine("Halted", "clone"), "soon gone")
        await watched.until(lambda: seen.named("soon gone"), "the clone")
        uuid = watched.uuid(vm)

        def forget(method: str, result: Any) -> Any:
            if method == "event.from":
                result["events"] = [event for event in result["events"] if event["operation"] != "del"]
            return result

        watched.meddler.change = forget
        await watched.do("VM.destroy", vm)
        await watched.until(lambda: uuid not in seen.vms, "it is no longer listed")
        assert "counts disagree" in views(seen)[-1]
        assert uuid not in [gone for update in seen.updates for gone in update.vms_gone]
        watched.meddler.change = None
        await compare_with_a_fresh_view(watched, seen)


async def test_a_change_that_was_not_told_is_found_by_the_next_regular_view() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        vm = watched.machine("Halted")

        def forget(method: str, result: Any) -> Any:
            if method == "event.from":
                result["events"] = []
            return result

        watched.meddler.change = forget
        await watched.do("VM.set_name_label", vm, "changed in secret")
        await watched.simulated.clock.advance(2.0)
        assert seen.named("changed in secret") is None
        await watched.simulated.clock.advance(VIEW_SECONDS_MAX)
        await watched.until(lambda: seen.named("changed in secret"), "the regular view")
        regular = [update for update in seen.updates if update.routine]
        assert regular
        assert regular[0].source is UpdateSource.VIEW


async def test_a_pool_that_idles_is_asked_about_once_a_minute() -> None:
    async with watched_pool() as watched, watched.watching():
        watched.meddler.asked.clear()
        await watched.simulated.clock.advance(200.0)
        assert set(watched.meddler.asked) == {"event.from"}
        assert 3 <= len(watched.meddler.asked) <= 6


async def test_an_unread_class_is_read_as_soon_as_it_can_be() -> None:
    async with watched_pool(all_at_once=False) as watched:
        refusal = ("INTERNAL_ERROR", "Not_found")
        watched.pool.faults.add(CallFault(method="VBD.get_all_records", times=1, error=refusal))
        async with watched.watching() as seen:
            assert not any(vm.definition_read for vm in seen.vms.values())
            await watched.simulated.clock.advance(UNREAD_SECONDS + 1)
            await watched.until(lambda: len(views(seen)) == 2, "another view")
            assert seen.view is not None
            assert seen.view.quality is Quality.COMPLETE
            await compare_with_a_fresh_view(watched, seen)


async def test_a_spoiled_record_in_an_event_is_told_and_believed_only_as_far_as_it_goes() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        vm = watched.machine("Running")
        uuid = watched.uuid(vm)

        def spoil(method: str, result: Any) -> Any:
            if method == "event.from":
                for event in result["events"]:
                    if event["ref"] == vm:
                        event["snapshot"]["memory_static_max"] = "much"
            return result

        watched.meddler.change = spoil
        await watched.do("VM.set_name_label", vm, "spoiled")
        await watched.until(has(seen, uuid, name="spoiled"), "the event")
        assert not seen.vms[uuid].definition_read
        assert [failure.what for update in seen.updates for failure in update.failures] == [
            "VM records: memory_static_max"
        ]
        watched.meddler.change = None
        await watched.do("VM.set_name_label", vm, "well again")
        await watched.until(has(seen, uuid, name="well again", definition_read=True), "the next event")


# --- trouble with the pool -------------------------------------------------------------------------------------------


def quiet_about_vms(updates: list[Update]) -> bool:
    """Whether no update but a full view said anything about VMs."""
    return not any(update.vms or update.vms_gone for update in updates)


async def test_a_restarted_toolstack_is_followed_on_without_any_vm_changing() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        before = dict(seen.vms)
        already = len(seen.updates)
        watched.pool.restart_toolstack(10.0)
        await watched.until(lambda: len(views(seen)) == 2, "a new view")
        silent = [update for update in seen.updates[already:] if update.silent_since is not None]
        assert silent
        assert all(update.failures for update in silent)
        assert {update.source for update in silent} == {UpdateSource.CONNECTION}
        assert quiet_about_vms(seen.updates[already:])
        assert seen.vms == before
        watched.admin.session = (await watched.simulated.log_in()).session
        await watched.settled(seen)


async def test_a_lost_session_leads_to_a_new_one_and_a_whole_view() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        before = dict(seen.vms)
        watched.pool.sessions.restart()
        watched.admin.session = (await watched.done(watched.simulated.log_in())).session
        await watched.do("VM.add_tags", watched.machine("Running"), "wakes it")
        await watched.until(lambda: len(views(seen)) == 2, "a new view")
        assert views(seen)[1] == "logged in again"
        assert before.keys() == seen.vms.keys()
        await watched.settled(seen)
        await compare_with_a_fresh_view(watched, seen)


async def test_a_long_silence_tells_since_when_and_nothing_of_the_vms() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        before = dict(seen.vms)
        already = len(seen.updates)
        heard = watched.timing().now()
        watched.pool.restart_toolstack(3600.0)
        await watched.simulated.clock.advance(1800.0)
        told = seen.updates[already:]
        assert told
        assert all(update.silent_since is not None for update in told)
        assert abs((told[0].silent_since or 0) - heard) < 1_000_000
        assert seen.vms == before
        assert (
            watched.meddler.asked.count("session.login_with_password") < 250
        )  # of two hosts, each about every half minute
        await watched.simulated.clock.advance(1900.0)
        await watched.until(lambda: len(views(seen)) == 2, "it answers again")
        assert views(seen)[1] == "it was silent"
        assert not seen.updates[-1].routine


async def test_a_connection_that_is_cut_in_the_middle_of_a_reply_is_made_again() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        before = set(seen.vms)
        watched.pool.faults.add(CallFault(method="event.from", times=3, cut_after_bytes=200))
        await watched.do("VM.set_name_label", watched.machine("Running"), "told all the same")
        await watched.until(lambda: seen.named("told all the same"), "the change")
        assert set(seen.vms) == before
        await compare_with_a_fresh_view(watched, seen)


async def test_an_empty_answer_in_a_view_makes_no_vm_vanish() -> None:
    async with watched_pool(all_at_once=False) as watched, watched.watching() as seen:
        watched.pool.faults.add(CallFault(method="VM.get_all_records", empty=True))
        watched.pool.sessions.restart()
        watched.admin.session = (await watched.done(watched.simulated.log_in())).session
        await watched.do("network.set_MTU", next(iter(watched.pool.tables.rows("network"))), "1400")
        await watched.until(lambda: len(views(seen)) == 2, "a new view")
        assert seen.view is not None
        assert not seen.view.all_vms_seen
        assert seen.view.quality is Quality.PARTIAL
        watched.pool.faults.clear()
        await watched.simulated.clock.advance(UNREAD_SECONDS + 1)
        await watched.until(lambda: seen.view and seen.view.all_vms_seen, "the VMs are read again")
        await compare_with_a_fresh_view(watched, seen)


async def test_a_view_without_most_vms_is_told_to_be_doubtful() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        known = len(seen.vms)
        doomed = [ref for ref, vm in watched.pool.tables.rows("VM").items() if not vm["is_control_domain"]]
        watched.pool.restart_toolstack(5.0)
        for ref in doomed:
            watched.pool.tables.delete("VM", ref)
        await watched.until(lambda: len(views(seen)) == 2, "a new view")
        assert seen.view is not None
        assert f"only {known - len(doomed)} of {known} VMs" in seen.view.failures[0].because


async def test_a_database_that_was_set_back_is_read_whole() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        watched.pool.save_database()
        await watched.do("VM.clone", watched.machine("Halted", "clone"), "of tomorrow")
        await watched.until(lambda: seen.named("of tomorrow"), "the clone")
        watched.pool.roll_back_database(seconds=3.0)
        await watched.until(lambda: len(views(seen)) == 2, "a new view")
        assert seen.named("of tomorrow") is None
        assert not any(update.vms_gone for update in seen.updates)
        watched.admin.session = (await watched.done(watched.simulated.log_in())).session
        await watched.do("VM.set_name_label", watched.machine("Halted"), "after the rollback")
        await watched.until(lambda: seen.named("after the rollback"), "events go on")


async def test_a_master_that_moves_is_followed() -> None:
    async with watched_pool(hosts=3) as watched, watched.watching() as seen:
        master = watched.simulated.supporters[0]
        watched.pool.move_master(master)
        uuid = watched.pool.tables.get("host", master)["uuid"]
        await watched.until(
            lambda: seen.view and seen.view.pool.master_uuid == uuid, "a view of the new master"
        )
        watched.admin = await watched.done(watched.simulated.log_in())
        await watched.settled(seen)
        await compare_with_a_fresh_view(watched, seen)


async def test_another_pool_at_the_same_address_is_not_mixed_in() -> None:
    async with watched_pool() as watched, watched_pool(seed=7) as other, watched.watching() as seen:
        before = dict(seen.vms)
        pool = next(iter(other.pool.tables.rows("pool")))
        other.pool.tables.change("pool", pool, uuid="another-pool", name_label="impostor")
        watched.meddler.inner = InProcessTransport(other.pool)
        watched.pool.restart_toolstack(0.0)

        async def told() -> bool:
            await other.simulated.clock.advance(0.1)
            return any("another pool answers" in update.because for update in seen.updates)

        for _ in range(1000):
            if await told():
                break
            await watched.simulated.clock.advance(0.1)
        assert await told()
        assert seen.silent
        assert seen.vms == before
        assert views(seen) == ["first view"]
        watched.meddler.inner = InProcessTransport(watched.pool)
        await watched.until(lambda: len(views(seen)) == 2, "the right pool answers again")
        assert seen.vms == before


async def test_a_pool_that_refuses_only_events_is_not_read_over_and_over() -> None:
    def spoil_the_token(method: str, result: Any) -> Any:
        return result | {"token": "of another form"} if method == "event.from" else result

    async with watched_pool() as watched, watched.watching() as seen:
        before = dict(seen.vms)
        watched.meddler.change = spoil_the_token
        await watched.do("VM.add_tags", watched.machine("Running"), "wakes it")
        await watched.simulated.clock.advance(600.0)
        assert any("EVENT_FROM_TOKEN_PARSE_FAILURE" in update.because for update in seen.updates)
        assert 10 < len(views(seen)) < 60  # it goes on, each about every half minute
        assert before.keys() == seen.vms.keys()
        watched.meddler.change = None
        await watched.simulated.clock.advance(60.0)
        await watched.settled(seen)
        await compare_with_a_fresh_view(watched, seen)


class NothingAtOnce(InProcessTransport):
    """Answers event.from at once and with nothing, whatever time it was given."""

    async def post(
        self,
        base: Address,
        path: str,
        body: bytes,
        timeout_seconds: float,
        headers: Mapping[str, str],
        *,
        answer_bytes_max: int | None = None,
    ) -> HttpAnswer:
        """See transport.py."""
        call = json.loads(body)
        if call["method"] != "event.from" or not call["params"][2]:
            return await super().post(
                base, path, body, timeout_seconds, headers, answer_bytes_max=answer_bytes_max
            )
        nothing = {"events": [], "token": call["params"][2], "valid_ref_counts": {}}
        return HttpAnswer(
            status=200, content_type="application/json", body=json.dumps({"result": nothing}).encode()
        )


async def test_a_pool_that_answers_early_and_with_nothing_is_not_asked_without_a_pause() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        watched.meddler.inner = NothingAtOnce(watched.pool)
        watched.meddler.asked.clear()
        await watched.do("VM.add_tags", watched.machine("Running"), "wakes it")
        await watched.simulated.clock.advance(120.0)
        assert 5 < watched.meddler.asked.count("event.from") < 40
        assert not seen.silent


async def test_an_integer_that_no_xapi_writes_is_told_and_does_not_end_the_watch() -> None:
    def enlarge(method: str, result: Any) -> Any:
        if method == "event.from":
            for event in result["events"]:
                if event["class"] == "vm" and "snapshot" in event:
                    event["snapshot"]["memory_static_max"] = 10**30
        return result

    async with watched_pool() as watched, watched.watching() as seen:
        watched.meddler.change = enlarge
        machine = watched.machine("Running")
        await watched.do("VM.add_tags", machine, "wakes it")
        await watched.until(
            lambda: any(f.what == "VM records: memory_static_max" for u in seen.updates for f in u.failures),
            "the damage",
        )
        assert not seen.ended


async def test_a_password_that_was_changed_is_not_tried_all_the_time() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        before = dict(seen.vms)
        watched.meddler.asked.clear()
        watched.pool.passwords["root"] = "changed"
        watched.pool.restart_toolstack(0.0)
        await watched.simulated.clock.advance(REFUSED_SECONDS - 60)
        assert seen.silent
        assert watched.meddler.asked.count("session.login_with_password") <= 2
        watched.pool.passwords["root"] = "xenios"
        await watched.simulated.clock.advance(120)
        await watched.until(lambda: len(views(seen)) == 2, "it answers again")
        assert seen.vms == before


async def test_a_pool_that_cannot_be_read_at_first_is_no_watch() -> None:
    async with watched_pool() as watched:
        _, observer = observer_of(watched.simulated, watched.meddler, password="wrong")
        with pytest.raises(TargetUnreadable, match="the user or the password is wrong"):
            await watched.done(anext(observer.watch()))


async def test_nothing_that_is_asked_while_watching_writes() -> None:
    async with watched_pool() as watched, watched.watching() as seen:
        await watched.do("VM.add_tags", watched.machine("Running"), "by the administrator")
        watched.pool.restart_toolstack(1.0)
        await watched.until(lambda: len(views(seen)) == 2, "a new view")
        writes = watched.pool.journal.writes()
    assert [entry.method for entry in writes] == ["VM.add_tags"]
    assert {entry.originator for entry in writes} == {"an administrator"}


async def test_a_host_that_speaks_only_xml_is_followed_all_the_same() -> None:
    async with watched_pool() as watched:
        transport = InProcessTransport()
        transport.add(watched.pool, without_jsonrpc=True)
        client, watched.observer = observer_of(watched.simulated, transport)
        async with watched.watching() as seen:
            assert client.encoding == "XML-RPC"
            vm = watched.machine("Halted", "start")
            await watched.do("VM.add_to_other_config", vm, "a<b&c", "odd")  # which XAPI does not escape
            await watched.do("VM.start", vm, False, False)
            await watched.until(has(seen, watched.uuid(vm), power_state=PowerState.RUNNING), "it runs")
            assert seen.vms[watched.uuid(vm)].annotations["a<b&c"] == "odd"
            await watched.settled(seen)
            await compare_with_a_fresh_view(watched, seen)
        await watched.done(watched.observer.close())
