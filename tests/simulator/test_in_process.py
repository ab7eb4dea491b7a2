"""Is a pool without sockets the same pool: the same bytes, limits and troubles, by a clock that only the test moves?

Effects: opens sockets on loopback
"""

import asyncio
import json
from typing import Any

import pytest

from tests.support.served_pool import post, serving, xml_call
from tests.support.simulated import Simulated, simulated_pool
from xenios.drivers.xenserver.transport import Address, HttpAnswer, Transport, TransportError, Trouble
from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import Records
from xenios.simulator.faults import CallFault
from xenios.simulator.serving.in_process import InProcessTransport

LIMIT_SECONDS = 30.0


def call(method: str, *params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).encode()


def address_of(simulated: Simulated, host: str) -> Address:
    return Address(host=simulated.pool.tables.get("host", host)["address"], port=443)


async def ask(
    simulated: Simulated,
    body: bytes,
    *,
    host: str = "",
    path: str = "/jsonrpc",
    headers: dict[str, str] | None = None,
    transport: Transport | None = None,
) -> HttpAnswer:
    """The answer of a host, by default of the master, to bytes."""
    door = transport or InProcessTransport(simulated.pool)
    place = address_of(simulated, host or simulated.master)
    return await door.post(place, path, body, LIMIT_SECONDS, headers or {})


async def trouble(simulated: Simulated, body: bytes, **options: Any) -> Trouble:
    """Why there is no answer."""
    with pytest.raises(TransportError) as raised:
        await ask(simulated, body, **options)
    return raised.value.trouble


async def test_the_bytes_are_those_of_a_socket() -> None:
    async with serving(2, 12) as pool:
        transport = InProcessTransport(pool.pool)
        place = Address(host="127.0.0.1", port=1)
        session = await pool.log_in()
        for path, body in [
            ("/jsonrpc", call("VM.get_all_records", session)),
            ("/jsonrpc", call("VM.get_record", session, "OpaqueRef:nope")),
            ("/jsonrpc", b"no JSON"),
            ("/", xml_call("VM.get_all_records", session)),
            ("/", xml_call("event.from", session)),
            ("/", b"no XML"),
        ]:
            over_socket = await pool.exchange(post(body, path))
            directly = await transport.post(place, path, body, LIMIT_SECONDS, {})
            assert directly.body == over_socket.body
            assert directly.status == over_socket.status
            assert directly.content_type == over_socket.headers["content-type"]


async def test_a_session_works() -> None:
    async with simulated_pool(2, 5) as simulated:
        said = await ask(simulated, call("session.login_with_password", "root", "xenios", "1.0", "me"))
        session = json.loads(said.body)["result"]
        said = await ask(simulated, call("VM.get_all", session))
        assert set(json.loads(said.body)["result"]) == set(simulated.pool.tables.rows("VM"))


async def test_a_supporter_names_the_masters_address() -> None:
    async with simulated_pool(2, 0) as simulated:
        login = call("session.login_with_password", "root", "wrong")
        said = json.loads((await ask(simulated, login, host=simulated.supporters[0])).body)
        assert said["error"]["message"] == "HOST_IS_SLAVE"
        assert said["error"]["data"] == [address_of(simulated, simulated.master).host]


async def test_pools_that_share_addresses_get_others() -> None:
    async with simulated_pool(2, 0) as one, simulated_pool(2, 0) as other:
        with pytest.raises(ValueError, match="two hosts have the address"):
            InProcessTransport(one.pool, other.pool)
        transport = InProcessTransport(one.pool)
        [supporter] = other.supporters
        transport.add(other.pool, {other.master: "pool-b", supporter: "pool-b-2"})
        login = call("session.login_with_password", "root", "xenios")
        said = await transport.post(
            Address(host="pool-b-2", port=80, secure=False), "/jsonrpc", login, LIMIT_SECONDS, {}
        )
        assert json.loads(said.body)["error"]["data"] == ["pool-b"]


async def test_nobody_is_there() -> None:
    async with simulated_pool(1, 0) as simulated:
        transport = InProcessTransport(simulated.pool)
        with pytest.raises(TransportError) as raised:
            await transport.post(Address(host="192.0.2.1", port=443), "/jsonrpc", b"", 1.0, {})
        assert raised.value.trouble is Trouble.UNREACHABLE


async def test_the_limits_hold_without_a_socket() -> None:
    async with simulated_pool(1, 0) as simulated:
        listing = call("system.listMethods")
        assert (await ask(simulated, listing, headers={"X-Long": "x" * 1100})).status == 431
        assert (await ask(simulated, listing, headers={"X-Long": "x" * 700})).status == 200
        assert (await ask(simulated, b" " * (300 * 1024 + 1))).status == 500
        said = await ask(simulated, listing, path="/elsewhere")
        assert said.status == 500  # XML-RPC is spoken there
        assert said.content_type == "text/html"


async def test_a_host_that_says_nothing_is_silent_after_the_limit() -> None:
    async with simulated_pool(2, 0) as simulated:
        simulated.pool.hang_host(simulated.supporters[0])
        asked = asyncio.create_task(
            trouble(simulated, call("pool.get_all", "OpaqueRef:x"), host=simulated.supporters[0])
        )
        await simulated.clock.advance(LIMIT_SECONDS - 1)
        assert not asked.done()
        await simulated.clock.advance(2)
        assert asked.done()
        assert await asked is Trouble.SILENT
        assert simulated.pool.answering.running() == []


async def test_an_answer_in_time_is_no_trouble() -> None:
    async with simulated_pool(1, 0) as simulated:
        simulated.pool.faults.add(CallFault(method="system.listMethods", delay_seconds=LIMIT_SECONDS - 1))
        asked = asyncio.create_task(ask(simulated, call("system.listMethods")))
        await simulated.clock.advance(LIMIT_SECONDS)
        assert (await asked).status == 200


async def test_who_stops_waiting_is_cancelled_and_not_told_of_silence() -> None:
    async with simulated_pool(1, 0) as simulated:
        simulated.pool.hang_host(simulated.master)
        asked = asyncio.create_task(ask(simulated, call("system.listMethods")))
        await simulated.clock.settle()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await simulated.clock.settle()
        assert simulated.pool.answering.running() == []


async def test_ordered_trouble_arrives() -> None:
    async with simulated_pool(2, 3) as simulated:
        session = (await simulated.log_in()).session
        simulated.pool.faults.add(CallFault(method="VM.get_all_records", cut_after_bytes=500))
        assert await trouble(simulated, call("VM.get_all_records", session)) is Trouble.BROKEN_OFF
        simulated.pool.faults.add(CallFault(method="SR.get_all", cut=True))
        assert await trouble(simulated, call("SR.get_all", session)) is Trouble.BROKEN_OFF
        # Cut behind its end, a reply is whole.
        simulated.pool.faults.add(CallFault(method="host.get_all", cut_after_bytes=100_000))
        assert (await ask(simulated, call("host.get_all", session))).status == 200
        simulated.pool.kill_host(simulated.supporters[0])
        assert await trouble(simulated, b"", host=simulated.supporters[0]) is Trouble.REFUSED


async def test_a_restart_breaks_off_what_waits_and_refuses_for_a_while() -> None:
    async with simulated_pool(1, 3) as simulated:
        client = await simulated.log_in()
        token = (await client.events())["token"]
        waiting = call("event.from", client.session, ["vm"], token, 20.0)
        asked = asyncio.create_task(trouble(simulated, waiting))
        await simulated.clock.settle()
        simulated.pool.restart_toolstack(3.0)
        await simulated.clock.settle()
        assert asked.done()
        assert await asked is Trouble.BROKEN_OFF
        assert await trouble(simulated, call("system.listMethods")) is Trouble.REFUSED
        await simulated.clock.advance(3.0)
        assert (await ask(simulated, call("system.listMethods"))).status == 200


async def test_emergency_mode_has_its_own_form() -> None:
    async with simulated_pool(2, 0) as simulated:
        [supporter] = simulated.supporters
        simulated.pool.enter_emergency(supporter, ApiError("HOST_MASTER_CANNOT_TALK_BACK", "10.0.0.1"))
        said = await ask(simulated, call("VM.get_all", "x"), host=supporter)
        assert json.loads(said.body) == {
            "jsonrpc": "2.0",
            "error": ["HOST_MASTER_CANNOT_TALK_BACK", "10.0.0.1"],
            "id": 0,
        }


async def test_an_old_host_knows_no_json() -> None:
    async with simulated_pool(1, 0) as simulated:
        transport = InProcessTransport()
        place = address_of(simulated, simulated.master)
        transport.add(simulated.pool, {simulated.master: place.host}, without_jsonrpc=True)
        assert (await transport.post(place, "/jsonrpc", call("system.listMethods"), 5.0, {})).status == 500
        listing = xml_call("system.listMethods")
        assert (await transport.post(place, "/jsonrpc", listing, 5.0, {})).status == 200
        await transport.close()
        await transport.close()


async def test_the_same_pool_gives_the_same_bytes_in_each_run() -> None:
    async def run(records: Records | None = None) -> list[bytes]:
        async with simulated_pool(2, 8, records, seed=5, speed=0.0) as simulated:
            client = await simulated.log_in()
            vm = next(
                ref
                for ref, vm in simulated.pool.tables.rows("VM").items()
                if "clone" in vm["allowed_operations"]
            )
            said = [
                await ask(simulated, call("VM.clone", client.session, vm, "copy")),
                await ask(simulated, call("VM.get_all_records", client.session)),
                await ask(simulated, xml_call("VIF.get_all_records", client.session), path="/"),
            ]
            return [answer.body for answer in said]

    assert await run() == await run()


async def test_an_answer_is_as_long_as_the_asker_takes() -> None:
    async with simulated_pool() as simulated:
        door, place = InProcessTransport(simulated.pool), address_of(simulated, simulated.master)
        body = call("system.listMethods")
        whole = await door.post(place, "/jsonrpc", body, LIMIT_SECONDS, {})
        size_bytes = len(whole.body)
        assert (
            await door.post(place, "/jsonrpc", body, LIMIT_SECONDS, {}, answer_bytes_max=size_bytes) == whole
        )
        with pytest.raises(TransportError) as raised:
            await door.post(place, "/jsonrpc", body, LIMIT_SECONDS, {}, answer_bytes_max=size_bytes - 1)
        assert raised.value.trouble is Trouble.TOO_LARGE
