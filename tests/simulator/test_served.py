"""Do the hosts of a served pool listen, refuse, hang and come back as those of a real one, and is waiting cheap?

Effects: opens sockets on loopback
"""

import asyncio
import base64
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.served_pool import SECONDS_MAX, HttpReply, Serving, post, serving, xml_call
from xenios.errors import XeniosError
from xenios.simulator.api_error import ApiError
from xenios.simulator.database_load import load_database
from xenios.simulator.faults import CallFault
from xenios.simulator.serving.served import addresses_from, bind, hosts_in_order


async def until(holds: Callable[[], object]) -> None:
    """Goes on when it holds."""
    async with asyncio.timeout(SECONDS_MAX):
        while not holds():  # noqa: ASYNC110 - nobody tells when
            await asyncio.sleep(0.001)


async def wait_for_events(pool: Serving, session: str, token: str, seconds: float = 300.0) -> Any:
    return await pool.json("event.from", session, ["vm"], token, seconds)


async def token_of_now(pool: Serving, session: str) -> str:
    return str((await pool.json("event.from", session, ["vm"], "", 0.0))["token"])


# --- addresses


def test_hosts_take_loopback_addresses_in_a_row() -> None:
    assert addresses_from("127.0.0.1", 3) == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert addresses_from("127.0.0.255", 2) == ["127.0.0.255", "127.0.1.0"]
    assert addresses_from("127.255.255.254", 3) == ["127.255.255.254", "127.255.255.255"]
    assert addresses_from("192.0.2.1", 3) == ["192.0.2.1"]
    assert addresses_from("::1", 3) == ["::1"]


def test_the_master_comes_first() -> None:
    hosts = {name: {"name_label": name} for name in ("b", "c", "a")}
    assert hosts_in_order({"pool": {"p": {"master": "c"}}, "host": hosts}) == ["c", "a", "b"]


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(XeniosError) as refused:
            bind(["127.0.0.1", "127.0.0.2"], port)
        assert str(refused.value) == (
            f"cannot listen on 127.0.0.2, port {port}: something listens there already"
        )
    bound = bind(["127.0.0.1", "127.0.0.2"], port)  # nothing of the failure is left
    assert [each.getsockname() for each in bound] == [("127.0.0.1", port), ("127.0.0.2", port)]
    for each in bound:
        each.close()


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(XeniosError, match="does not have the address"):
        bind(["192.0.2.1"], 0)


async def test_every_host_listens_at_its_own_address() -> None:
    async with serving(3, 0) as pool:
        session = await pool.log_in()
        records = await pool.json("host.get_all_records", session)
        for host in pool.hosts:
            assert pool.served.addresses[host][0] == records[host]["address"]
        assert [pool.place(number)[0] for number in range(3)] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        assert len({pool.place(number)[1] for number in range(3)}) == 1
        assert pool.url == f"http://127.0.0.1:{pool.place()[1]}"


# --- waiting


async def test_many_wait_at_once_and_all_are_woken() -> None:
    waiting = 200
    async with serving(1, 3) as pool:
        session = await pool.log_in()
        token = await token_of_now(pool, session)
        [vm, *_] = await pool.json("VM.get_all", session)
        asked = [asyncio.create_task(wait_for_events(pool, session, token)) for _ in range(waiting)]
        await until(lambda: len(pool.pool.answering.running()) == waiting)
        assert pool.served.connections == waiting
        await pool.json("VM.set_name_description", session, vm, "changed")
        async with asyncio.timeout(SECONDS_MAX):
            batches = await asyncio.gather(*asked)
        assert {batch["events"][0]["ref"] for batch in batches} == {vm}
        await until(lambda: pool.served.connections == 0)


async def test_a_client_that_leaves_waits_no_longer() -> None:
    async with serving(1, 3) as pool:
        session = await pool.log_in()
        token = await token_of_now(pool, session)
        body = {"jsonrpc": "2.0", "method": "event.from", "params": [session, ["vm"], token, 300.0], "id": 1}
        _, writer = await asyncio.open_connection(*pool.place())
        writer.write(post(json.dumps(body).encode(), "/jsonrpc"))
        await until(lambda: len(pool.pool.answering.running()) == 1)
        writer.close()
        await until(lambda: not pool.pool.answering.running() and pool.served.connections == 0)
        await writer.wait_closed()


async def test_work_that_was_begun_is_done_although_the_client_left() -> None:
    async with serving(1, 6, speed=0.02) as pool:
        session = await pool.log_in()
        vms = await pool.json("VM.get_all_records", session)
        vm = next(ref for ref, vm in vms.items() if "start" in vm["allowed_operations"])
        body = {"jsonrpc": "2.0", "method": "VM.start", "params": [session, vm, False, False], "id": 1}
        _, writer = await asyncio.open_connection(*pool.place())
        writer.write(post(json.dumps(body).encode(), "/jsonrpc"))
        await until(pool.pool.answering.running)
        writer.transport.abort()
        await until(lambda: not pool.pool.answering.running())
        assert pool.pool.tables.get("VM", vm)["power_state"] == "Running"


# --- trouble


async def test_a_reply_is_cut_after_so_many_bytes() -> None:
    async with serving(1, 5) as pool:
        session = await pool.log_in()
        whole = await pool.post(xml_call("VM.get_all_records", session))
        pool.pool.faults.add(CallFault(method="VM.get_all_records", times=1, cut_after_bytes=1000))
        reader, writer = await asyncio.open_connection(*pool.place())
        writer.write(post(xml_call("VM.get_all_records", session)))
        got = await reader.read()
        assert len(got) == 1000
        assert whole.body.startswith(got.partition(b"\r\n\r\n")[2])
        writer.close()
        await writer.wait_closed()
        assert (await pool.post(xml_call("VM.get_all_records", session))).body == whole.body


async def test_a_connection_is_cut_before_the_call() -> None:
    async with serving(1, 5) as pool:
        session = await pool.log_in()
        pool.pool.faults.add(CallFault(method="VM.*", times=1, cut=True))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await pool.json("VM.get_all", session)
        assert await pool.json("VM.get_all", session)


async def test_an_ordered_error_and_an_ordered_emptiness() -> None:
    async with serving(1, 5) as pool:
        session = await pool.log_in()
        pool.pool.faults.add(CallFault(method="SR.get_all_records", error=("SR_BACKEND_FAILURE_46", "", "x")))
        pool.pool.faults.add(CallFault(method="VM.get_all_records", empty=True))
        pool.pool.faults.add(CallFault(method="VM.get_record", empty=True))
        said = json.loads((await pool.post(json_call("SR.get_all_records", session), "/jsonrpc")).body)
        assert said["error"] == {"code": 1, "message": "SR_BACKEND_FAILURE_46", "data": ["", "x"]}
        assert await pool.json("VM.get_all_records", session) == {}
        [vm, *_] = await pool.json("VM.get_all", session)
        assert await pool.json("VM.get_record", session, vm) == {}
        nothing = b"<name>Value</name><value><struct></struct></value>"
        assert nothing in (await pool.post(xml_call("VM.get_record", session, vm))).body


async def test_a_host_in_emergency_mode_answers_before_it_looks() -> None:
    async with serving(2, 0) as pool:
        pool.pool.enter_emergency(pool.hosts[1], ApiError("HOST_STILL_BOOTING"))
        said = await pool.post(json_call("VM.get_all", "OpaqueRef:x"), "/jsonrpc", host=1)
        assert said.status == 200
        assert said.body == b'{"jsonrpc":"2.0","error":["HOST_STILL_BOOTING"],"id":0}'
        assert "access-control-allow-origin" not in said.headers
        v1 = b'{"method":"VM.get_all","params":[],"id":7}'
        said = await pool.post(v1, "/jsonrpc", host=1)
        assert said.body == b'{"result":null,"error":["HOST_STILL_BOOTING"],"id":0}'
        said = await pool.post(xml_call("VM.get_all"), host=1)
        assert b"<name>Status</name><value>Failure</value>" in said.body
        assert b"<data><value>HOST_STILL_BOOTING</value></data>" in said.body
        # Some calls are answered all the same, in the usual form.
        local = await pool.json("session.slave_local_login_with_password", "root", "xenios", host=1)
        assert await pool.json("host.is_in_emergency_mode", local, host=1) is True


async def test_a_restart_cuts_everybody_and_refuses_for_a_while() -> None:
    async with serving(2, 3) as pool:
        session = await pool.log_in()
        token = await token_of_now(pool, session)
        waiting = asyncio.create_task(wait_for_events(pool, session, token))
        await until(pool.pool.answering.running)
        resting, writer = await asyncio.open_connection(*pool.place())
        await until(lambda: pool.served.connections == 2)
        pool.pool.restart_toolstack(0.3)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await waiting
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await resting.readexactly(1)
        writer.transport.abort()
        await until(lambda: not is_listening(pool.place()))  # it ends within a turn or two of the loop
        await until(lambda: is_listening(pool.place()))
        with pytest.raises(Exception, match="SESSION_INVALID"):
            await pool.json("VM.get_all", session)
        assert await pool.json("VM.get_all", await pool.log_in())


async def test_a_dead_host_is_gone_until_it_returns() -> None:
    async with serving(2, 0) as pool:
        supporter = pool.hosts[1]
        assert (await pool.post(xml_call("system.listMethods"), host=1)).status == 200
        pool.pool.kill_host(supporter)
        address = pool.place(1)
        await until(lambda: not is_listening(address))
        assert is_listening(pool.place(0))
        pool.pool.heal_host(supporter)
        await until(lambda: is_listening(address))
        assert (await pool.post(xml_call("system.listMethods"), host=1)).status == 200


def is_listening(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=1.0).close()
    except ConnectionRefusedError:
        return False
    return True


async def test_a_hanging_host_takes_calls_and_says_nothing() -> None:
    async with serving(2, 0) as pool:
        pool.pool.hang_host(pool.hosts[1])
        asked = asyncio.create_task(pool.post(json_call("pool.get_all", "OpaqueRef:x"), "/jsonrpc", host=1))
        await until(pool.pool.answering.running)
        said = await pool.post(xml_call("session.login_with_password", "root", "x"), host=1)
        assert b"HOST_IS_SLAVE" in said.body  # it still knows what it is
        assert not asked.done()
        asked.cancel()
        await until(lambda: not pool.pool.answering.running())


async def test_another_host_becomes_master() -> None:
    async with serving(2, 0) as pool:
        pool.pool.move_master(pool.hosts[1])
        await until(lambda: is_listening(pool.place(0)))
        login = xml_call("session.login_with_password", "root", "xenios", "1.0", "me")
        assert b"<value>HOST_IS_SLAVE</value><value>127.0.0.2</value>" in (await pool.post(login)).body
        assert b"Success" in (await pool.post(login, host=1)).body


async def test_an_old_host_knows_no_json() -> None:
    async with serving(1, 0, without_jsonrpc=True) as pool:
        said = await pool.post(json_call("system.listMethods"), "/jsonrpc")
        assert said.status == 500
        assert said.headers["content-type"] == "text/html"
        assert b"VM.start" in (await pool.post(xml_call("system.listMethods"), "/jsonrpc")).body


async def test_https() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with serving(1, 0, certificate=context) as pool:
        assert pool.url.startswith("https://127.0.0.1:")
        reader, writer = await asyncio.open_connection(*pool.place(), ssl=trusting)
        writer.write(
            post(xml_call("system.isAlive:", "yes")).replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        )
        assert b"<value>yes</value>" in await reader.read()
        writer.close()
        await writer.wait_closed()


# --- the database


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", *headers, "", ""]).encode()


def basic(user: str, password: str) -> str:
    return f"Authorization: Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


async def test_the_database_can_be_fetched_and_is_the_pool(tmp_path: Path) -> None:
    async with serving(2, 15) as pool:
        session = await pool.log_in()
        replies = [
            await pool.exchange(get(f"/pool/xmldbdump?session_id={session}")),
            await pool.exchange(get("/pool/xmldbdump", f"Cookie: a=b; session_id={session}")),
            await pool.exchange(get("/pool/xmldbdump", basic("root", "xenios"))),
        ]
        for said in replies:
            assert said.first_line == "HTTP/1.0 200 OK"
            assert said.headers["connection"] == "close"
            path = tmp_path / "pool.db"
            path.write_bytes(said.body)
            loaded = await load_database(path)
            for name in ("VM", "host", "SR", "VDI", "pool", "network"):
                assert loaded.records[name] == dict(pool.pool.tables.rows(name)), name
            assert 0 < loaded.generation <= pool.pool.tables.generation  # logging in is a change too
        assert pool.pool.journal.writes() == []


@pytest.mark.parametrize(
    "credentials",
    [
        "X: nothing",
        basic("root", "wrong"),
        basic("nobody", "xenios"),
        "Authorization: Basic ???",
        "Authorization: Bearer token",
        "Cookie: session_id=OpaqueRef:nope",
    ],
)
async def test_the_database_is_not_for_everybody(credentials: str) -> None:
    async with serving(1, 0) as pool:
        said = await pool.exchange(get("/pool/xmldbdump", credentials))
        assert said.status == 401
        assert said.headers["www-authenticate"].startswith('Basic realm="')
        assert b"<database>" not in said.body


async def test_a_supporter_gives_its_database_to_nobody() -> None:
    async with serving(2, 0) as pool:
        said: HttpReply = await pool.exchange(get("/pool/xmldbdump", basic("root", "xenios")), host=1)
        assert said.status == 500
        assert b"HOST_IS_SLAVE" in said.body


def json_call(method: str, *params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1}).encode()
