"""The way of the bytes: real sockets and certificates, and everything that can go wrong between two machines.

Every test runs in asyncio's own loop and in uvloop, whose errors differ.

Effects: opens sockets on loopback
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.odd_server import Asked, OddServer, http
from xenios.drivers.xenserver import client
from xenios.drivers.xenserver.client import HttpTransport
from xenios.drivers.xenserver.tls import Trust, fingerprint_of, fingerprint_words
from xenios.drivers.xenserver.transport import Address, HttpAnswer, TransportError, Trouble

SECONDS = 20.0
LOOPS = [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})]
XAPI_HEADER_BYTES_MAX = 1024


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@contextlib.asynccontextmanager
async def transport(trust: Trust | None = None) -> AsyncIterator[HttpTransport]:
    carrying = HttpTransport(trust)
    try:
        yield carrying
    finally:
        await carrying.close()
        await carrying.close()


async def ask(
    address: Address, trust: Trust | None = None, seconds: float = SECONDS, body: bytes = b"{}"
) -> HttpAnswer:
    async with transport(trust) as carrying:
        return await carrying.post(address, "/jsonrpc", body, seconds, {"Content-Type": "application/json"})


async def trouble_with(
    address: Address, trust: Trust | None = None, seconds: float = SECONDS
) -> TransportError:
    with pytest.raises(TransportError) as raised:
        await ask(address, trust, seconds)
    return raised.value


# --- plain HTTP ---


async def test_a_question_and_its_answer() -> None:
    async with OddServer(lambda asked: http(asked.body * 2, 200, "Text/XML; charset=x")) as server:
        answer = await ask(server.address(), body=b"question")
    assert answer == HttpAnswer(status=200, content_type="text/xml", body=b"questionquestion")


async def test_what_is_sent_is_what_a_small_server_takes() -> None:
    async with OddServer(lambda asked: http(b"")) as server:
        await ask(server.address(), body=b"12345")
    [asked] = server.asked
    assert asked.path == "/jsonrpc"
    assert len(asked.head) < XAPI_HEADER_BYTES_MAX / 3
    assert set(asked.headers) == {"host", "content-type", "content-length", "user-agent"}
    assert asked.headers["content-length"] == "5"
    assert asked.headers["user-agent"].startswith("xenios/")


async def test_one_connection_is_used_again_and_several_when_needed() -> None:
    all_there = asyncio.Event()
    waiting: list[Asked] = []

    async def together(asked: Asked) -> bytes:
        waiting.append(asked)
        if len(waiting) >= 5:
            all_there.set()
        await all_there.wait()
        return http(b"")

    async with OddServer(lambda asked: http(b"")) as server, transport() as carrying:
        for _ in range(3):
            await carrying.post(server.address(), "/", b"", SECONDS, {})
        assert server.connections == 1
        server.handler = together
        await asyncio.gather(*(carrying.post(server.address(), "/", b"", SECONDS, {}) for _ in range(5)))
        assert server.connections == 5


async def test_nothing_is_remembered_between_questions() -> None:
    """No cookies, and no redirect is followed: a password goes where the user said."""
    answer = http(b"", 302, "text/html", "Location: http://127.0.0.1:1/", "Set-Cookie: session_id=1")
    async with OddServer(lambda asked: answer) as server, transport() as carrying:
        for _ in range(2):
            assert (await carrying.post(server.address(), "/", b"", SECONDS, {})).status == 302
    assert "cookie" not in server.asked[1].headers


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with OddServer(lambda asked: http(b"direct")) as server:
        assert (await ask(server.address())).body == b"direct"


async def test_an_ipv6_literal() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        async with OddServer(lambda asked: http(b"six"), hosts=["::1"]) as server:
            assert (await ask(server.address())).body == b"six"
            assert server.asked[0].headers["host"] == f"[::1]:{server.port}"
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")


async def test_a_name_is_looked_up() -> None:
    async with OddServer(lambda asked: http(b"named")) as server:
        assert (await ask(server.address("localhost"))).body == b"named"


async def test_an_answer_of_50_megabytes() -> None:
    body = bytes(range(256)) * 200_000
    async with OddServer(lambda asked: http(body)) as server:
        assert (await ask(server.address())).body == body


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "not announced"])
async def test_an_answer_without_end_is_cut(announced: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_BYTES_MAX", 100_000)
    body = b"x" * 100_001
    answer = http(body) if announced else b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body
    async with OddServer(lambda asked: answer) as server:
        assert (await trouble_with(server.address())).trouble is Trouble.TOO_LARGE


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (http(b"12345")[:-2], Trouble.BROKEN_OFF),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Trouble.BROKEN_OFF),
        (b"", Trouble.BROKEN_OFF),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc", Trouble.BROKEN_OFF),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n\r\n", Trouble.NOT_HTTP),
        (b"\x15\x03\x01\x00\x02\x02\x0a\r\n\r\n", Trouble.TLS_EXPECTED),
        (b"HTTP/1.1 abc\r\n\r\n", Trouble.NOT_HTTP),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", Trouble.NOT_HTTP),
        (None, Trouble.SILENT),
    ],
    ids=[
        "cut body",
        "cut head",
        "nothing",
        "cut chunk",
        "ssh",
        "alert",
        "no status",
        "endless header",
        "silence",
    ],
)
async def test_answers_that_are_none(answer: bytes | None, trouble: Trouble) -> None:
    async with OddServer(lambda asked: answer) as server:
        found = await trouble_with(server.address(), seconds=0.2 if answer is None else SECONDS)
    assert found.trouble is trouble


async def test_nobody_listens() -> None:
    async with OddServer(lambda asked: http(b"")) as server:
        address = server.address()
    assert (await trouble_with(address)).trouble is Trouble.REFUSED


@pytest.mark.parametrize(
    "name", ["nowhere.invalid", "x" * 64 + ".invalid", "xn--", "a..b", "fe80::1%nowhere"]
)
async def test_a_name_that_is_none(name: str) -> None:
    assert (await trouble_with(Address(host=name, port=443))).trouble is Trouble.NAME_UNKNOWN


async def test_a_lookup_that_hangs_ends_with_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(60))
    try:
        assert (
            await trouble_with(Address(host="slow.example", port=443), seconds=0.2)
        ).trouble is Trouble.SILENT
    finally:
        over.set()


# --- TLS ---


class Authority:
    """Signs certificates, as this machine's administrator might."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.file))

    def server(
        self, *names: str, key: trustme.KeyType = trustme.KeyType.ECDSA
    ) -> tuple[ssl.SSLContext, bytes]:
        """A server's context for these names, and the fingerprint of its certificate."""
        certificate = self.authority.issue_cert(*names, key_type=key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(context)
        der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
        return context, fingerprint_of(der)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def trusted(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """The same, and this machine trusts it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    return authority


Handler = Callable[[Asked], bytes]


def greeting(asked: Asked) -> bytes:
    return http(b"hello")


async def test_a_certificate_signed_for_that_name_is_trusted(trusted: Authority) -> None:
    context, _ = trusted.server("localhost", "127.0.0.1")
    async with OddServer(greeting, certificate=context) as server:
        assert (await ask(server.address())).body == b"hello"
        assert (await ask(server.address("localhost"))).body == b"hello"


async def test_a_certificate_of_a_stranger_is_not_trusted_and_its_fingerprint_is_told(
    authority: Authority,
) -> None:
    context, fingerprint = authority.server("127.0.0.1")
    async with OddServer(greeting, certificate=context) as server:
        found = await trouble_with(server.address())
        assert server.asked == []
    assert found.trouble is Trouble.UNTRUSTED
    assert found.fingerprint == fingerprint_words(fingerprint)


async def test_a_certificate_for_another_name(trusted: Authority) -> None:
    context, fingerprint = trusted.server("xs1.example.org", "192.0.2.1")
    async with OddServer(greeting, certificate=context) as server:
        for host in ("127.0.0.1", "localhost"):
            found = await trouble_with(server.address(host))
            assert (found.trouble, found.fingerprint) == (Trouble.WRONG_NAME, fingerprint_words(fingerprint))
        assert server.asked == []


async def test_a_certificate_that_has_run_out(trusted: Authority) -> None:
    expired = trusted.authority.issue_cert(
        "127.0.0.1", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    expired.configure_cert(context)
    async with OddServer(greeting, certificate=context) as server:
        assert (await trouble_with(server.address())).trouble is Trouble.EXPIRED


async def test_a_pinned_certificate_is_trusted_whoever_signed_it_and_for_whatever_name(
    authority: Authority,
) -> None:
    context, fingerprint = authority.server("elsewhere.example")
    other = fingerprint_of(b"another member of the pool")
    async with OddServer(greeting, certificate=context) as server:
        for pinned in ({fingerprint}, {fingerprint, other}):
            answer = await ask(server.address(), Trust(fingerprints=frozenset(pinned)))
            assert answer.body == b"hello"


async def test_another_certificate_than_the_pinned_one_is_sent_nothing(trusted: Authority) -> None:
    """Not even when it is signed for that name."""
    context, fingerprint = trusted.server("127.0.0.1")
    pinned = frozenset({fingerprint_of(b"other"), fingerprint_of(b"more")})
    async with OddServer(greeting, certificate=context) as server:
        found = await trouble_with(server.address(), Trust(fingerprints=pinned))
        assert server.asked == []
    assert found.trouble is Trouble.FINGERPRINT_DIFFERS
    assert found.fingerprint == fingerprint_words(fingerprint)


async def test_insecure_takes_anything(authority: Authority) -> None:
    context, _ = authority.server("elsewhere.example")
    async with OddServer(greeting, certificate=context) as server:
        assert (await ask(server.address(), Trust(of_anybody=True))).body == b"hello"


@contextlib.asynccontextmanager
async def serving(
    connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], None],
) -> AsyncIterator[Address]:
    """A server that does this with every connection, which is expected to be one for HTTPS."""
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield Address(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await server.wait_closed()


async def test_tls_is_expected_and_plain_http_found() -> None:
    def complain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(b"<html>Bad Request</html>", 400, "text/html"))
        writer.close()

    async with serving(complain) as address:
        found = await trouble_with(address)
    assert found.trouble is Trouble.NOT_TLS


async def test_the_other_side_goes_away_while_encryption_is_set_up() -> None:
    def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with serving(leave) as address:
        found = await trouble_with(address)
    assert found.trouble is Trouble.BROKEN_OFF
    assert "encryption" in found.details


async def test_a_side_that_never_sets_encryption_up_is_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        found = await trouble_with(Address(host="127.0.0.1", port=door.getsockname()[1]), seconds=0.3)
    assert found.trouble is Trouble.SILENT


async def test_plain_http_is_expected_and_tls_found(authority: Authority) -> None:
    context, _ = authority.server("127.0.0.1")
    async with OddServer(greeting, certificate=context) as server:
        address = Address(host="127.0.0.1", port=server.port, secure=False)
        found = await trouble_with(address)
    assert found.trouble in (Trouble.TLS_EXPECTED, Trouble.BROKEN_OFF)


def handshake_in_thread(door: socket.socket, context: ssl.SSLContext) -> threading.Thread:
    """Takes one connection and says what it thinks of it, as a server does that has no loop to close it early."""

    def serve() -> None:
        connection, _ = door.accept()
        with connection, contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True):
            pass

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


async def test_ways_to_encrypt_that_nobody_accepts_any_more(authority: Authority) -> None:
    context, _ = authority.server("127.0.0.1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("NULL-SHA256:@SECLEVEL=0")
    with socket.create_server(("127.0.0.1", 0)) as door:
        thread = handshake_in_thread(door, context)
        found = await trouble_with(Address(host="127.0.0.1", port=door.getsockname()[1]))
        thread.join(SECONDS)
    assert found.trouble is Trouble.TLS_TOO_OLD


async def test_what_xenserver_of_2016_offers_is_accepted(trusted: Authority) -> None:
    """TLS 1.2 without forward secrecy: Python's own list of ciphers does not have it."""
    context, _ = trusted.server("127.0.0.1", key=trustme.KeyType.RSA)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AES256-SHA256:AES128-SHA")
    async with OddServer(greeting, certificate=context) as server:
        assert (await ask(server.address())).body == b"hello"
