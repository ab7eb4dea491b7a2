"""Does the old event interface tell every change, and say so when it has lost some?

Effects: opens sockets on loopback
"""

import asyncio
from typing import Any

import pytest

from tests.support.served_pool import serving
from tests.support.simulated import NOW, Client, Simulated, simulated_pool
from xenios.simulator import old_events
from xenios.simulator.api_error import ApiError, ConnectionCut


async def registered(simulated: Simulated, *classes: str) -> Client:
    client = await simulated.log_in()
    await client.call("event.register", list(classes))
    return client


async def refused(client: Client, method: str, *params: Any) -> list[str]:
    with pytest.raises(ApiError) as error:
        await client.call(method, *params)
    return error.value.description


async def next_events(client: Client) -> list[dict[str, Any]]:
    """What waits to be told; fails when there is nothing."""
    events: list[dict[str, Any]] = await client.simulated.after(0.1, client.call("event.next"))
    return events


async def told(client: Client) -> list[tuple[str, str, str]]:
    return [(each["operation"], each["class"], each["ref"]) for each in await next_events(client)]


async def test_every_change_is_told_in_its_order_with_the_object_as_it_was() -> None:
    async with simulated_pool() as simulated:
        tables = simulated.pool.tables
        client = await registered(simulated, "network")
        network = tables.create("network", {"name_label": "one"})
        tables.change("network", network, name_label="two")
        tables.change("network", network, name_label="one")
        tables.delete("network", network)
        events = await next_events(client)
        assert [event["operation"] for event in events] == ["add", "mod", "mod", "del"]
        names = [event["snapshot"]["name_label"] for event in events if "snapshot" in event]
        assert names == ["one", "two", "one"]
        assert "snapshot" not in events[-1]
        assert {event["ref"] for event in events} == {network}
        ids = [int(event["id"]) for event in events]
        assert ids == sorted(ids)
        assert {float(event["timestamp"]) for event in events} == {NOW.timestamp()}


async def test_what_was_before_is_not_told_and_nothing_twice() -> None:
    async with simulated_pool() as simulated:
        tables = simulated.pool.tables
        client = await registered(simulated, "Network")
        waiting = client.start("event.next")
        await asyncio.sleep(0)
        assert not waiting.done()
        network = tables.create("network", {})
        assert [event["ref"] for event in await waiting] == [network]
        tables.touch("network", network)
        assert await told(client) == [("mod", "network", network)]


async def test_only_what_was_asked_for_is_told() -> None:
    async with simulated_pool() as simulated:
        tables = simulated.pool.tables
        one, other = (tables.create("network", {}) for _ in range(2))
        client = await registered(simulated, f"network/{one}", "SR")
        tables.touch("network", other)
        tables.touch("network", one)
        assert await told(client) == [("mod", "network", one)]


async def test_both_sides_of_a_relation_are_told() -> None:
    async with simulated_pool() as simulated:
        tables = simulated.pool.tables
        vm = next(iter(tables.rows("VM")))
        client = await registered(simulated, "*")
        vbd = tables.create("VBD", {"VM": vm})
        assert set(await told(client)) == {("add", "vbd", vbd), ("mod", "vm", vm)}


async def test_messages_are_told() -> None:
    async with simulated_pool() as simulated:
        client = await registered(simulated, "message")
        message = simulated.pool.message("VM_STARTED", "VM", "some uuid", 5, "a body")
        [event] = await next_events(client)
        assert (event["operation"], event["class"], event["ref"]) == ("add", "message", message)
        assert event["snapshot"]["body"] == "a body"
        simulated.pool.messages.delete(message)
        assert await told(client) == [("del", "message", message)]


async def test_a_session_registers_first() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        assert await refused(client, "event.next") == ["SESSION_NOT_REGISTERED", client.session]
        assert await refused(client, "event.unregister", ["vm"]) == ["SESSION_NOT_REGISTERED", client.session]
        assert (await refused(client, "event.register", ["/"]))[0] == "EVENT_SUBSCRIPTION_PARSE_FAILURE"
        assert await refused(client, "event.next") == ["SESSION_NOT_REGISTERED", client.session]


async def test_sessions_have_queues_of_their_own() -> None:
    async with simulated_pool() as simulated:
        one, other = [await registered(simulated, "network") for _ in range(2)]
        network = simulated.pool.tables.create("network", {})
        assert await told(one) == await told(other) == [("add", "network", network)]


async def test_registering_adds_and_unregistering_takes_away() -> None:
    async with simulated_pool() as simulated:
        tables = simulated.pool.tables
        client = await registered(simulated, "network")
        await client.call("event.register", ["SR"])
        repository = next(iter(tables.rows("SR")))
        network = tables.create("network", {})
        tables.touch("SR", repository)
        assert await told(client) == [("add", "network", network), ("mod", "sr", repository)]
        await client.call("event.unregister", ["Network"])
        tables.touch("network", network)
        tables.touch("SR", repository)
        assert await told(client) == [("mod", "sr", repository)]
        waiting = client.start("event.next")
        await asyncio.sleep(0)
        await client.call("event.unregister", ["SR"])
        with pytest.raises(ApiError) as error:
            await waiting
        assert error.value.code == "SESSION_NOT_REGISTERED"


@pytest.mark.parametrize("how", ["session.logout", "restart"])
async def test_the_end_of_a_session_ends_the_waiting(how: str) -> None:
    async with simulated_pool() as simulated:
        client = await registered(simulated, "network")
        waiting = client.start("event.next")
        await asyncio.sleep(0)
        if how == "restart":
            simulated.pool.restart_toolstack(0.0)
            with pytest.raises(ConnectionCut):
                await waiting
            return
        await client.call("session.logout")
        with pytest.raises(ApiError) as error:
            await waiting
        assert error.value.description == ["SESSION_INVALID", client.session]


async def test_who_does_not_listen_is_told_that_events_are_lost() -> None:
    async with simulated_pool() as simulated:
        tables = simulated.pool.tables
        client = await registered(simulated, "network")
        network = tables.create("network", {"name_description": "x" * 1_000_000})
        events = await next_events(client)
        assert len(events) == 1
        for _ in range(old_events.QUEUE_BYTES_MAX // 1_000_000 - 1):
            tables.touch("network", network)
        assert len(await next_events(client)) == 9
        for _ in range(12):
            tables.touch("network", network)
        assert await refused(client, "event.next") == ["EVENTS_LOST"]
        tables.touch("network", network)
        assert await told(client) == [("mod", "network", network)]


async def test_the_pool_is_told_of_every_thirty_seconds() -> None:
    async with simulated_pool() as simulated:
        client, other = await registered(simulated, "pool"), await simulated.log_in()
        waiting = client.start("event.next")
        token = (await other.events("", "pool"))["token"]
        await simulated.clock.advance(31.0)
        [event] = await waiting
        assert (event["operation"], event["class"]) == ("mod", "pool")
        assert event["snapshot"]["master"] == simulated.master
        # It is no change of the database: event.from does not hear of it.
        assert (await other.events(token, "pool"))["events"] == []


async def test_it_leaves_no_write() -> None:
    async with simulated_pool() as simulated:
        client = await registered(simulated, "network")
        simulated.pool.tables.create("network", {})
        await next_events(client)
        await client.call("event.unregister", ["network"])
        assert simulated.pool.journal.writes() == []


async def test_the_official_client_follows_with_it() -> None:
    async with serving(vms=3) as served:
        vm = next(iter(served.pool.tables.rows("VM")))

        def follow(api: Any) -> tuple[list[Any], Any]:
            api.event.register(["vm"])
            api.VM.add_to_other_config(vm, "at", "20260821T02:00:23Z")
            api.VM.remove_from_other_config(vm, "at")
            events = api.event.next()
            api.event.unregister(["vm"])
            return events, api.VM.get_record(vm)

        events, record = await served.as_administrator(follow)
        assert [event["operation"] for event in events] == ["mod", "mod"]
        # A text that looks like a time stays one: snapshots are written by the types of their fields.
        assert events[0]["snapshot"]["other_config"]["at"] == "20260821T02:00:23Z"
        assert events[1]["snapshot"] == record


async def test_the_same_events_come_as_json() -> None:
    async with serving(vms=3) as served:
        tables = served.pool.tables
        metrics = next(iter(tables.rows("VM_metrics")))
        session = await served.log_in()
        await served.json("event.register", session, ["VM_metrics"])
        tables.touch("VM_metrics", metrics)
        [event] = await served.json("event.next", session)
        assert event["snapshot"] == await served.json("VM_metrics.get_record", session, metrics)
