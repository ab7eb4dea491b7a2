"""Is somebody whose pool cannot be read told what fits: this address, this way of asking, this much time?

Effects: opens sockets on loopback
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.odd_server import Answer, Asked, OddServer, http, json_failure, json_result, xml_result
from xenios.drivers.base import Depth
from xenios.drivers.xenserver.client import HttpTransport
from xenios.drivers.xenserver.observe import PoolObserver
from xenios.drivers.xenserver.pool_errors import LOGIN, AnswerUnreadable, PoolSilent, PoolUnreachable
from xenios.drivers.xenserver.session import (
    LOGIN_BYTES_MAX,
    READ_METHODS,
    SESSION_CHARACTERS_MAX,
    XapiClient,
)
from xenios.drivers.xenserver.target import Secret, parse_target
from xenios.drivers.xenserver.transport import Trouble
from xenios.errors import XeniosError

GET_VMS = "VM.get_all_records"
NO_XENSERVER = "no XenServer host: check the address and the port"
IN_BETWEEN = "a proxy or load balancer may stand in between"


async def refused(
    target: str, *, seconds: float = 20.0, work: Callable[[XapiClient], object] | None = None
) -> XeniosError:
    """What a login comes to, or a reading of the pool."""
    transport = HttpTransport()
    client = XapiClient(
        parse_target(target), Secret("secret"), transport, methods=READ_METHODS, timeout_seconds=seconds
    )
    try:
        with pytest.raises(XeniosError) as raised:
            await (client.login() if work is None else work(client))  # type: ignore[misc]
    finally:
        await client.logout()
        await transport.close()
    return raised.value


async def refused_by(answer: Answer) -> XeniosError:
    async with OddServer(lambda asked: answer) as server:
        return await refused(server.target)


# --- HTTP's own "no" ---


@pytest.mark.parametrize("status", [400, 404, 405, 413, 418, 501])
async def test_what_answers_as_no_xapi_does_is_called_no_xenserver_host(status: int) -> None:
    error = await refused_by(http(b"<h1>no</h1>", status, "text/html"))
    assert f"HTTP status {status}" in str(error)
    assert NO_XENSERVER in error.remedy
    assert "toolstack" not in error.remedy


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_what_stands_before_a_host_is_named(status: int) -> None:
    error = await refused_by(http(b"<h1>no</h1>", status, "text/html"))
    assert f"HTTP status {status}" in str(error)
    assert IN_BETWEEN in error.remedy
    assert "toolstack" not in error.remedy


async def test_a_toolstack_is_restarted_only_on_a_xenserver_host() -> None:
    error = await refused_by(http(b"", 500))
    assert error.remedy.startswith("if this is a XenServer host")
    assert "xe-toolstack-restart" in error.remedy


@pytest.mark.parametrize("status", [413, 501])
async def test_a_host_that_let_us_in_is_not_called_no_xenserver_host(status: int) -> None:
    def answer(asked: Asked) -> Answer:
        return json_result("OpaqueRef:1") if asked.method == LOGIN else http(b"", status)

    async with OddServer(answer) as server:
        error = await refused(server.target, work=lambda client: client.call(GET_VMS, result=str))
    assert IN_BETWEEN in error.remedy


# --- no answer ---


@pytest.mark.parametrize(("scheme", "said"), [("xenserver", False), ("xenserver+http", True)])
async def test_https_is_advised_only_to_who_asked_by_plain_http(scheme: str, said: bool) -> None:
    error = await refused(f"{scheme}://root@127.0.0.1:9")
    assert isinstance(error, PoolUnreachable)
    assert error.trouble is Trouble.REFUSED
    assert ("use xenserver://" in error.remedy) is said


async def test_who_breaks_off_plain_http_may_want_https() -> None:
    assert "write xenserver://" in (await refused_by(b"")).remedy


@pytest.mark.parametrize("logins", [1, 100])
async def test_a_host_that_is_slow_in_everything_is_not_called_out_of_reach(logins: int) -> None:
    """The question that failed had a part of the time; the user gave the whole of it."""
    answered: list[Asked] = []

    def slow(asked: Asked) -> Answer:
        if asked.method == LOGIN and len(answered) < logins:
            answered.append(asked)
            return json_result("OpaqueRef:1")
        return None

    async with OddServer(slow) as server:
        error = await refused(
            server.target,
            seconds=0.8,
            work=lambda client: PoolObserver(client, name=server.target).observe(Depth.FULL),
        )
    assert isinstance(error, PoolSilent)
    assert "no time was left of 0.8 s while asking http://127.0.0.1" in str(error)
    assert "event.from" in str(error)
    assert "--timeout" in error.remedy
    assert "firewall" not in error.remedy


async def test_a_host_that_does_not_even_let_us_in_may_be_out_of_reach() -> None:
    async with OddServer(lambda asked: None) as server:
        error = await refused(
            server.target,
            seconds=20.0,
            work=lambda client: client.call(GET_VMS, result=str, timeout_seconds=0.2),
        )
    assert isinstance(error, PoolSilent)
    assert "did not answer within 0.2 s" in str(error)
    assert "firewall" in error.remedy


# --- logins that are none ---


@pytest.mark.parametrize("characters", [SESSION_CHARACTERS_MAX + 1, LOGIN_BYTES_MAX // 2])
async def test_a_session_with_an_endless_name_is_no_session(characters: int) -> None:
    async with OddServer(lambda asked: json_result("x" * characters)) as server:
        error = await refused(server.target)
    assert isinstance(error, AnswerUnreadable)
    assert "not as XenServer's XAPI" in str(error)
    assert f"{characters:,} characters" in str(error)
    assert len(server.asked) == 1


async def test_so_it_is_in_xml() -> None:
    def answer(asked: Asked) -> Answer:
        return http(b"", 404) if asked.path == "/jsonrpc" else xml_result("x" * 2000)

    async with OddServer(answer) as server:
        error = await refused(server.target)
    assert "2,000 characters" in str(error)


@pytest.mark.parametrize("of", [json_result, json_failure])
async def test_a_login_is_not_read_to_the_end_of_an_endless_answer(of: Callable[[str], bytes]) -> None:
    error = await refused_by(of("x" * LOGIN_BYTES_MAX))
    assert isinstance(error, PoolUnreachable)
    assert error.trouble is Trouble.TOO_LARGE


async def test_what_comes_after_the_login_may_be_longer() -> None:
    long = "x" * LOGIN_BYTES_MAX

    def answer(asked: Asked) -> Answer:
        return json_result("OpaqueRef:1" if asked.method == LOGIN else long)

    async def asked_for_it(client: XapiClient) -> None:
        assert await client.call(GET_VMS, result=str) == long
        await client.call(GET_VMS, result=int)

    async with OddServer(answer) as server:
        assert isinstance(await refused(server.target, work=asked_for_it), AnswerUnreadable)
