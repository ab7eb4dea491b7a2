"""The client of one pool against simulated pools behind sockets, which answer as XAPI does.

What only the pool can tell is looked at there: whether anything was written, and which sessions are left.

Effects: opens sockets on loopback
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import pytest
import trustme

from tests.support.served_pool import Serving, serving
from xenios.drivers.xenserver.client import HttpTransport
from xenios.drivers.xenserver.pool_errors import (
    ApiError,
    LoginRefused,
    PoolSilent,
    PoolUnreachable,
    SessionRenewed,
)
from xenios.drivers.xenserver.records import CLASSES, HostRecord, PoolRecord, Record, VmRecord
from xenios.drivers.xenserver.session import READ_METHODS, XapiClient
from xenios.drivers.xenserver.target import Secret, XenServerTarget
from xenios.drivers.xenserver.tls import Trust, fingerprint_of
from xenios.drivers.xenserver.transport import Address, Trouble
from xenios.simulator.api_error import ApiError as SimulatedError
from xenios.simulator.faults import CallFault

SECONDS = 20.0
GET_VMS = "VM.get_all_records"
VMS = dict[str, VmRecord]


@contextlib.asynccontextmanager
async def client_of(
    pool: Serving,
    host: int = 0,
    *,
    password: str = "xenios",
    seconds: float = SECONDS,
    trust: Trust | None = None,
) -> AsyncIterator[XapiClient]:
    """A client that was pointed at this host; the pool was not written to when it is gone."""
    place, port = pool.place(host)
    target = XenServerTarget(user="root", address=Address(host=place, port=port, secure=trust is not None))
    transport = HttpTransport(trust)
    client = XapiClient(target, Secret(password), transport, methods=READ_METHODS, timeout_seconds=seconds)
    try:
        yield client
    finally:
        await client.logout()
        await transport.close()
        assert list(pool.pool.journal.writes()) == []


async def all_records(client: XapiClient) -> dict[str, dict[str, Record]]:
    return {
        name: await client.call(f"{name}.get_all_records", result=dict[str, kind])  # type: ignore[valid-type]
        for name, kind in CLASSES.items()
    }


async def test_both_encodings_give_the_same_records() -> None:
    seen = []
    for without_jsonrpc in (False, True):
        async with serving(2, 8, without_jsonrpc=without_jsonrpc) as pool, client_of(pool) as client:
            assert client.epoch == 0
            read = await all_records(client)
            assert client.encoding == ("XML-RPC" if without_jsonrpc else "JSON-RPC")
            assert len(read["VM"]) == len(pool.pool.tables.rows("VM"))
            seen.append({name: sorted(rows.values(), key=repr) for name, rows in read.items()})
    assert [len(rows) for rows in seen[0].values()] == [len(rows) for rows in seen[1].values()]
    names = [{vm.name_label for vm in each["VM"]} for each in seen]  # type: ignore[attr-defined]
    assert names[0] == names[1]


async def test_a_member_leads_to_the_master_and_the_logout_leaves_no_session() -> None:
    async with serving(3, 5) as pool:
        async with client_of(pool, host=1) as client:
            assert len(await client.call(GET_VMS, result=VMS)) == len(pool.pool.tables.rows("VM"))
            assert (client.address.host, client.address.port) == pool.place(0)
            assert len(pool.pool.sessions) == 1
        assert len(pool.pool.sessions) == 0


async def test_a_wrong_password() -> None:
    async with serving() as pool, client_of(pool, password="guessed") as client:
        with pytest.raises(LoginRefused) as raised:
            await client.login()
        assert raised.value.code == "SESSION_AUTHENTICATION_FAILED"
        assert "guessed" not in str(raised.value)


async def test_a_session_that_the_pool_ended() -> None:
    async with serving() as pool, client_of(pool) as client:
        await client.login()
        pool.pool.sessions.restart()
        assert await client.call(GET_VMS, result=VMS)
        assert client.epoch == 2
        pool.pool.sessions.restart()
        with pytest.raises(SessionRenewed):
            await client.call("event.from", ["vm"], "", 0.0, result=dict[str, object], epoch=2)


async def test_a_toolstack_restart() -> None:
    async with serving() as pool, client_of(pool) as client:
        await client.login()
        pool.pool.restart_toolstack(seconds=0.2)
        troubles: set[Trouble] = set()
        async with asyncio.timeout(SECONDS):
            while client.epoch == 1:
                try:
                    await client.call(GET_VMS, result=VMS)
                except PoolUnreachable as error:
                    troubles.add(error.trouble)
        assert troubles
        assert troubles <= {Trouble.REFUSED, Trouble.BROKEN_OFF}
        assert await client.call(GET_VMS, result=VMS)
        assert client.epoch == 2


async def test_a_new_master_is_found_when_the_old_one_dies() -> None:
    async with serving(3, 5) as pool, client_of(pool) as client:
        hosts = await client.call("host.get_all_records", result=dict[str, HostRecord])
        client.remember_members(host.address for host in hosts.values())
        pool.pool.move_master(pool.hosts[1])
        pool.pool.kill_host(pool.hosts[0])
        with pytest.raises(PoolUnreachable):
            await client.call(GET_VMS, result=VMS)
        assert await client.call(GET_VMS, result=VMS)
        assert (client.address.host, client.address.port) == pool.place(1)
        assert client.epoch == 2


async def test_a_master_that_only_changed() -> None:
    async with serving(2, 5) as pool, client_of(pool) as client:
        await client.login()
        pool.pool.move_master(pool.hosts[1])
        assert await client.call(GET_VMS, result=VMS)
        assert (client.address.host, client.address.port) == pool.place(1)


async def test_a_host_in_emergency_mode() -> None:
    async with serving() as pool, client_of(pool) as client:
        pool.pool.enter_emergency(pool.hosts[0], SimulatedError("HOST_STILL_BOOTING"))
        with pytest.raises(ApiError) as raised:
            await client.login()
        assert raised.value.code == "HOST_STILL_BOOTING"
        pool.pool.heal_host(pool.hosts[0])
        assert await client.call(GET_VMS, result=VMS)


async def test_a_pool_that_hangs() -> None:
    async with serving() as pool, client_of(pool) as client:
        await client.login()
        pool.pool.faults.add(CallFault(method=GET_VMS, hang=True))
        with pytest.raises(PoolSilent):
            await client.call(GET_VMS, result=VMS, timeout_seconds=0.3)
        assert await client.call("pool.get_all_records", result=dict[str, PoolRecord])


@pytest.mark.parametrize("size", [0, 30, 400, 5000])
async def test_an_answer_that_is_cut_off(size: int) -> None:
    async with serving() as pool, client_of(pool) as client:
        await client.login()
        pool.pool.faults.add(CallFault(method=GET_VMS, cut_after_bytes=size, times=1))
        assert await client.call(GET_VMS, result=VMS)  # asked again
        pool.pool.faults.add(CallFault(method=GET_VMS, cut_after_bytes=size))
        with pytest.raises(PoolUnreachable) as raised:
            await client.call(GET_VMS, result=VMS)
        assert raised.value.trouble is Trouble.BROKEN_OFF


async def test_https_with_a_pinned_certificate() -> None:
    certificate = trustme.CA().issue_cert("xs1.example.org")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    async with serving(2, 3, certificate=context) as pool:
        pinned = Trust(fingerprints=frozenset({fingerprint_of(der)}))
        async with client_of(pool, host=1, trust=pinned) as client:
            assert await client.call(GET_VMS, result=VMS)
        async with client_of(pool, trust=Trust(fingerprints=frozenset({fingerprint_of(b"")}))) as client:
            with pytest.raises(PoolUnreachable) as raised:
                await client.login()
            assert raised.value.trouble is Trouble.FINGERPRINT_DIFFERS
        assert len(pool.pool.sessions) == 0
