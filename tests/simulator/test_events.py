"""Does event.from tell what XAPI would tell, when it would, and wake in time?

Effects: none
"""

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.simulated import Client, Simulated, simulated_pool
from xenios.simulator.api_error import ApiError
from xenios.simulator.events import parse_token, seconds_to_wait, token_of
from xenios.simulator.facts.datamodel import load_datamodel


def told(reply: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(event["operation"], event["class"], event["ref"]) for event in reply["events"]]


def some_vm(simulated: Simulated) -> str:
    return next(iter(simulated.pool.tables.rows("VM")))


async def followed(client: Client, *classes: str) -> str:
    """A token from now."""
    return str((await client.events("", *classes))["token"])


# ---- the shape of a reply ----


async def test_an_empty_token_gives_every_object_as_new() -> None:
    async with simulated_pool() as simulated:
        pool, client = simulated.pool, await simulated.log_in()
        pool.message("VM_STARTED", "VM", "some uuid", 5, "a body")
        reply = await client.events()
        assert {operation for operation, _, _ in told(reply)} == {"add"}
        expected = {
            (name.lower(), ref)
            for name, api_class in load_datamodel().classes.items()
            if api_class.events and name != "message"
            for ref in pool.tables.rows(name)
        }
        seen = [(name, ref) for _, name, ref in told(reply)]
        assert seen[0][0] == "message"
        assert set(seen[1:]) == expected
        assert len(seen) == len(set(seen))
        assert "session" not in {name for name, _ in seen}
        assert reply["valid_ref_counts"]["vm"] == len(pool.tables.rows("VM"))
        assert reply["valid_ref_counts"]["message"] == 0


async def test_an_event_looks_as_on_the_wire() -> None:
    async with simulated_pool() as simulated:
        client, vm = await simulated.log_in(), some_vm(simulated)
        token = await followed(client, "vm")
        await client.call("VM.set_name_label", vm, "new name")
        [event] = (await client.events(token, "VM"))["events"]
        assert event.keys() == {"id", "timestamp", "class", "operation", "ref", "snapshot"}
        assert (event["timestamp"], event["class"], event["operation"]) == ("0.0", "vm", "mod")
        assert re.fullmatch(r"\d+", event["id"])
        assert event["snapshot"] == await client.call("VM.get_record", vm)


async def test_a_deleted_object_has_no_snapshot() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        network = simulated.pool.tables.create("network", {})
        token = await followed(client, "network")
        simulated.pool.tables.delete("network", network)
        [event] = (await client.events(token, "network"))["events"]
        assert (event["operation"], event["ref"]) == ("del", network)
        assert "snapshot" not in event


async def test_order_is_messages_then_added_modified_deleted() -> None:
    async with simulated_pool() as simulated:
        client, tables = await simulated.log_in(), simulated.pool.tables
        gone = tables.create("network", {})
        token = await followed(client)
        tables.delete("network", gone)
        tables.touch("VM", some_vm(simulated))
        new = tables.create("network", {})
        message = simulated.pool.message("NEWS", "VM", "uuid", 5, "body")
        reply = await client.events(token)
        assert told(reply) == [
            ("add", "message", message),
            ("add", "network", new),
            ("mod", "vm", some_vm(simulated)),
            ("del", "network", gone),
        ]
        assert reply["events"][0]["id"] == "0"


async def test_messages_are_told_once_and_their_deletion_too() -> None:
    async with simulated_pool() as simulated:
        client, pool = await simulated.log_in(), simulated.pool
        first = pool.message("NEWS", "VM", "uuid", 5, "body")
        reply = await client.events("", "message")
        assert told(reply) == [("add", "message", first)]
        assert (await client.events(reply["token"], "message"))["events"] == []
        pool.messages.delete(first)
        reply = await client.events(reply["token"], "message")
        assert told(reply) == [("del", "message", first)]
        second = pool.message("NEWS", "VM", "uuid", 5, "body")
        pool.message("NEWS", "VM", "uuid", 5, "body")
        reply = await client.events(reply["token"], f"message/{second}")
        assert told(reply) == [("add", "message", second)]


async def test_who_does_not_want_messages_gets_no_message_generation() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        simulated.pool.message("NEWS", "VM", "uuid", 5, "body")
        assert parse_token(await followed(client, "vm"))[1] == 0
        assert parse_token(await followed(client, "vm", "message"))[1] > 0


# ---- subscriptions and tokens ----


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [("*", True), ("vm", True), ("VM", True), ("Vm", True), ("network", False), ("nonsense", False)],
)
async def test_classes_are_matched_without_case(pattern: str, *, wanted: bool) -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        token = await followed(client, pattern)
        simulated.pool.tables.touch("VM", some_vm(simulated))
        reply = await client.events(token, pattern)
        assert bool(reply["events"]) is wanted


async def test_single_objects_can_be_followed() -> None:
    async with simulated_pool() as simulated:
        client, (first, second, *_) = await simulated.log_in(), simulated.pool.tables.rows("VM")
        token = await followed(client, f"vm/{first}")
        simulated.pool.tables.touch("VM", second)
        assert (await client.events(token, f"vm/{first}"))["events"] == []
        simulated.pool.tables.touch("VM", first)
        assert told(await client.events(token, f"VM/{first}")) == [("mod", "vm", first)]


@pytest.mark.parametrize("pattern", ["", "vm/", "/OpaqueRef:1"])
async def test_a_bad_pattern_is_refused(pattern: str) -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        with pytest.raises(ApiError) as error:
            await client.call("event.from", ["vm", pattern], "", 0.0)
        assert error.value.description == ["EVENT_SUBSCRIPTION_PARSE_FAILURE", pattern]


@pytest.mark.parametrize(
    "token", ["1", "1,2", "x", "00000000000000000001", "-0000000000000000001,0" * 2, " "]
)
async def test_a_bad_token_is_refused(token: str) -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        with pytest.raises(ApiError) as error:
            await client.call("event.from", ["vm"], token, 0.0)
        assert error.value.description == ["EVENT_FROM_TOKEN_PARSE_FAILURE", token]


def test_tokens_have_twenty_digits_twice() -> None:
    assert token_of(58349, 58341) == "00000000000000058349,00000000000000058341"
    assert parse_token("00000000000000058349,00000000000000058341") == (58349, 58341)
    assert parse_token("") == (0, 0)


# ---- time ----


async def test_nothing_new_gives_the_old_token_when_time_is_over() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        token = await followed(client, "vm")
        simulated.pool.tables.create("network", {})
        reply = await client.events(token, "vm", seconds=30.0)
        assert (reply["events"], reply["token"]) == ([], token)
        assert reply["valid_ref_counts"]["vm"] == len(simulated.pool.tables.rows("VM"))


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(0.0, 0.0), (30.0, 30.0), (-1.0, 86400.0), (float("nan"), 86400.0), (1e300, 86400.0), (-0.5, 86400.0)],
)
def test_a_negative_timeout_is_a_day(timeout: float, seconds: float) -> None:
    assert seconds_to_wait(timeout) == seconds


async def test_a_poll_still_takes_fifty_milliseconds() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        poll = client.start("event.from", ["vm"], "", 0.0)
        await simulated.clock.advance(0.049)
        assert not poll.done()
        await simulated.clock.advance(0.002)
        assert (await poll)["events"]


async def test_tasks_alone_are_told_without_delay() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        task = await client.call("task.create", "mine", "")
        assert told(await client.call("event.from", ["task"], "", 0.0)) == [("add", "task", task)]
        assert told(await client.call("event.from", [f"task/{task}"], "", 0.0)) == [("add", "task", task)]


async def test_a_change_wakes_a_blocked_call_at_once() -> None:
    async with simulated_pool() as simulated:
        client, vm = await simulated.log_in(), some_vm(simulated)
        token = await followed(client, "vm")
        blocked = client.start("event.from", ["vm"], token, 30.0)
        await simulated.clock.advance(5.0)
        simulated.pool.tables.touch("VM", vm)
        await simulated.clock.settle()  # no time passes
        assert told(await blocked) == [("mod", "vm", vm)]


async def test_changes_within_fifty_milliseconds_are_one_batch() -> None:
    async with simulated_pool() as simulated:
        client, tables, vm = await simulated.log_in(), simulated.pool.tables, some_vm(simulated)
        token = await followed(client, "vm")
        call = client.start("event.from", ["vm"], token, 30.0)
        await simulated.clock.advance(0.01)
        tables.change("VM", vm, name_label="first")
        await simulated.clock.advance(0.03)
        tables.change("VM", vm, name_label="second")
        assert not call.done()
        await simulated.clock.advance(0.02)
        [event] = (await call)["events"]
        assert event["snapshot"]["name_label"] == "second"


async def test_what_nobody_asked_for_wakes_nobody() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        token = await followed(client, "vm")
        blocked = client.start("event.from", ["vm"], token, 30.0)
        await simulated.clock.advance(1.0)
        for _ in range(5):
            simulated.pool.tables.create("network", {})
            await simulated.clock.advance(1.0)
        assert not blocked.done()
        vm = simulated.pool.tables.create("VM", {})
        await simulated.clock.advance(0.06)
        assert told(await blocked) == [("add", "vm", vm)]


async def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        token = await followed(client, "vm")
        blocked = client.start("event.from", ["*"], token, 30.0)
        await simulated.clock.advance(1.0)
        blocked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await blocked
        await simulated.clock.settle()
        assert simulated.pool.answering.running() == []
        session = simulated.pool.sessions.get(client.session)
        assert (session.busy, session.when_closed) == (0, [])


# ---- injecting, restarting ----


async def test_inject_makes_an_event_after_its_token() -> None:
    async with simulated_pool() as simulated:
        client, vm = await simulated.log_in(), some_vm(simulated)
        before = await followed(client)
        barrier = await client.call("event.inject", "VM", vm)
        reply = await client.events(barrier, "vm")
        assert told(reply) == [("mod", "vm", vm)]
        assert reply["token"] > barrier
        assert ("mod", "vm", vm) in told(await client.events(before))
        for class_name, ref in (("vm", vm), ("VM", "OpaqueRef:nope"), ("nonsense", vm)):
            with pytest.raises(ApiError) as error:
                await client.call("event.inject", class_name, ref)
            assert error.value.description == ["HANDLE_INVALID", class_name, ref]


async def test_after_a_restart_an_old_token_gets_everything_as_new() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        token = await followed(client)
        gone = some_vm(simulated)
        simulated.pool.tables.delete("VM", gone)
        simulated.pool.restart_toolstack(0.0)
        again = await simulated.log_in()
        reply = await again.events(token, "vm")
        assert told(reply) == [("add", "vm", ref) for ref in simulated.pool.tables.rows("VM")]


async def test_a_rolled_back_pool_says_nothing_to_a_newer_token() -> None:
    async with simulated_pool() as simulated:
        simulated.pool.save_database()
        client, vm = await simulated.log_in(), some_vm(simulated)
        await client.call("VM.set_name_label", vm, "changed")
        token = await followed(client, "vm")
        simulated.pool.roll_back_database()
        again = await simulated.log_in()
        await again.call("VM.add_tags", vm, "unseen")
        assert (await again.events(token, "vm", seconds=5.0))["events"] == []
        assert await again.call("VM.get_name_label", vm) != "changed"


async def test_many_deletions_are_lost_but_the_counts_tell() -> None:
    async with simulated_pool() as simulated:
        client, tables = await simulated.log_in(), simulated.pool.tables
        networks = [tables.create("network", {}) for _ in range(800)]
        reply = await client.events("", "network")
        known = {event["ref"] for event in reply["events"]}
        for network in networks:
            tables.delete("network", network)
        reply = await client.events(reply["token"], "network")
        known -= {event["ref"] for event in reply["events"]}
        assert len(reply["events"]) < 512
        assert len(known) > reply["valid_ref_counts"]["network"] == len(tables.rows("network"))


@pytest.mark.parametrize(("earlier", "now", "told_of"), [(0, 300, 300), (400, 300, 300), (3, 800, 291)])
async def test_as_many_deletions_are_told_as_a_real_server_remembers(
    earlier: int, now: int, told_of: int
) -> None:
    """291 of 800 is what a real one told; that three were deleted before is our reading of that number."""
    async with simulated_pool() as simulated:
        client, tables = await simulated.log_in(), simulated.pool.tables
        for _ in range(earlier):
            tables.delete("network", tables.create("network", {}))
        networks = [tables.create("network", {}) for _ in range(now)]
        token = await followed(client, "network")
        for network in networks:
            tables.delete("network", network)
        events = (await client.events(token, "network"))["events"]
        assert sorted(event["ref"] for event in events) == sorted(networks[-told_of:])


# ---- a client that follows ----


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["create", "change", "delete", "look", "wait", "time"]), st.integers(0, 30)
        ),
        max_size=40,
    )
)
def test_a_client_that_follows_ends_with_the_truth(script: list[tuple[str, int]]) -> None:
    asyncio.run(follow(script))


async def follow(script: list[tuple[str, int]]) -> None:
    known: dict[str, Any] = {}
    token = ""

    def apply(reply: dict[str, Any]) -> str:
        for event in reply["events"]:
            if event["operation"] == "del":
                known.pop(event["ref"], None)
            else:
                known[event["ref"]] = dict(event["snapshot"])
        return str(reply["token"])

    async with simulated_pool(vms=1) as simulated:
        client, tables = await simulated.log_in(), simulated.pool.tables
        blocked: asyncio.Task[Any] | None = None
        for number, (verb, argument) in enumerate(script):
            networks = list(tables.rows("network"))
            network = networks[argument % len(networks)] if networks else None
            match verb:
                case "create":
                    tables.create("network", {"name_label": str(number)})
                case "change" if network is not None:
                    tables.change("network", network, name_label=str(number))
                case "delete" if network is not None:
                    tables.delete("network", network)
                case "look" if blocked is None:
                    token = apply(await client.events(token, "network"))
                case "wait" if blocked is None:
                    blocked = client.start("event.from", ["network"], token, 3600.0)
                case _:
                    await simulated.clock.advance(argument / 100)
            if blocked is not None and blocked.done():
                token = apply(await blocked)
                blocked = None
        if blocked is not None:
            blocked.cancel()
        reply = await client.events(token, "network")
        apply(reply)
        assert known == dict(tables.rows("network"))
        assert reply["valid_ref_counts"]["network"] == len(known)
