"""Does the simulator's HTTP keep XAPI's limits and give its odd answers?

Everything is said over real sockets, byte by byte, since that is what a client meets.

Effects: opens sockets on loopback
"""

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import trustme

from xenios.simulator.serving.http_server import (
    BODY_BYTES_MAX,
    HEADER_BYTES_MAX,
    Handler,
    HttpLimits,
    HttpServer,
    Reply,
    Request,
    rpc_reply,
)

SECONDS_MAX = 20.0


async def echo(request: Request) -> Reply:
    """Says what it was asked."""
    text = f"{request.method} {request.path} {sorted(request.query.items())} ".encode() + request.body
    return rpc_reply(request, text, "text/xml")


class Client:
    """One connection that sends and expects bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Goes away without a word, so that the server's system notices."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def reply(self) -> tuple[str, dict[str, str], bytes]:
        """The next reply: its first line, its headers by lower-case name, its body."""
        async with asyncio.timeout(SECONDS_MAX):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            return first, headers, await self.reader.readexactly(int(headers["content-length"]))

    async def rest(self) -> bytes:
        """What comes until the server ends the connection."""
        async with asyncio.timeout(SECONDS_MAX):
            return await self.reader.read()


async def until(holds: Callable[[], bool]) -> None:
    """Goes on when it holds."""
    async with asyncio.timeout(SECONDS_MAX):
        while not holds():  # noqa: ASYNC110 - nobody tells when
            await asyncio.sleep(0)


Connect = Callable[[], Awaitable[Client]]


@asynccontextmanager
async def serving(
    handler: Handler = echo, limits: HttpLimits | None = None, certificate: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[HttpServer, Connect]]:
    """A server, and what connects to it; both are gone afterwards."""
    server = HttpServer(handler, certificate, limits or HttpLimits())
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server.listen(listening)
    clients: list[Client] = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", port)))
        return clients[-1]

    try:
        yield server, connect
    finally:
        for client in clients:
            client.writer.transport.abort()
        await server.close()


def post(body: bytes, *headers: str, path: str = "/", version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_a_call_is_answered_with_the_headers_of_xapi() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(post(b"question", path="/RPC2?a=b%20c"))
        first, headers, body = await client.reply()
    assert first == "HTTP/1.1 200 OK"
    assert headers == {
        "content-length": str(len(body)),
        "connection": "keep-alive",
        "cache-control": "no-cache, no-store",
        "content-type": "text/xml",
        "access-control-allow-origin": "*",
        "access-control-allow-headers": "X-Requested-With",
    }
    assert body == b"POST /RPC2 [('a', 'b c')] question"


async def test_a_connection_is_kept() -> None:
    async with serving() as (server, connect):
        client = await connect()
        for number in range(5):
            await client.send(post(b"%d" % number))
            assert (await client.reply())[2].endswith(b" %d" % number)
        assert len(server.connections) == 1


@pytest.mark.parametrize(
    ("version", "header", "kept"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close", False),
        ("1.1", "Connection: Keep-Alive", True),
        ("1.0", "", False),
        ("1.0", "Connection: keep-alive", True),
        ("1.0", "Connection: close", False),
    ],
)
async def test_who_ends_a_connection(version: str, header: str, kept: bool) -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(post(b"", *filter(None, [header]), version=version))
        first, headers, _ = await client.reply()
        assert first == f"HTTP/{version} 200 OK"
        assert headers["connection"] == ("keep-alive" if kept else "close")
        if kept:
            await client.send(post(b"again", "Connection: close"))
            await client.reply()
        assert await client.rest() == b""


async def test_requests_in_one_packet_are_answered_in_order() -> None:
    async def slowest_first(request: Request) -> Reply:
        for _ in range(20 if request.body == b"0" else 1):
            await asyncio.sleep(0)
        return rpc_reply(request, request.body, "text/xml")

    async with serving(slowest_first) as (_, connect):
        client = await connect()
        await client.send(b"".join(post(b"%d" % number) for number in range(3)))
        assert [(await client.reply())[2] for _ in range(3)] == [b"0", b"1", b"2"]


async def test_a_request_may_come_byte_by_byte() -> None:
    async with serving() as (_, connect):
        client = await connect()
        for byte in post(b"question"):
            await client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await client.reply())[2] == b"POST / [] question"


async def test_a_client_that_has_sent_all_may_still_read() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(post(b"a") + post(b"b"))
        client.writer.write_eof()
        assert (await client.reply())[2].endswith(b" a")
        assert (await client.reply())[2].endswith(b" b")
        assert await client.rest() == b""


def head_of(length: int) -> bytes:
    """A request without body whose first line and headers have so many bytes together."""
    bare = post(b"", "X-Long: ")
    return post(b"", f"X-Long: {'x' * (length - len(bare))}")


async def test_headers_may_have_1024_bytes() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(head_of(HEADER_BYTES_MAX))
        assert (await client.reply())[0] == "HTTP/1.1 200 OK"
        await client.send(head_of(HEADER_BYTES_MAX + 1))
        first, headers, body = await client.reply()
        assert first == "HTTP/1.1 431 Request Header Fields Too Large"
        assert headers["connection"] == "close"
        assert headers["content-type"] == "text/html"
        assert b"maximum header size" in body
        assert await client.rest() == b""


async def test_headers_without_end_are_refused_too() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(b"POST / HTTP/1.1\r\nX: " + b"x" * 5000)
        assert (await client.reply())[0].startswith("HTTP/1.1 431 ")


async def refused(data: bytes) -> tuple[str, bytes]:
    """The first line and the body of the page with which a request is refused and the connection ended."""
    async with serving() as (_, connect):
        client = await connect()
        await client.send(data)
        first, headers, body = await client.reply()
        assert headers["content-type"] == "text/html"
        assert headers["connection"] == "close"
        assert await client.rest() == b""
        return first, body


async def test_a_body_needs_a_content_length() -> None:
    first, body = await refused(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert first == "HTTP/1.1 500 Internal Error"
    assert b"Failure(&quot;We require a content-length: HTTP header&quot;)" in body
    first, _ = await refused(b"POST / HTTP/1.0\r\n\r\n")
    assert first == "HTTP/1.0 500 Internal Error"


async def test_a_chunked_body_is_refused() -> None:
    request = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    assert (await refused(request))[0] == "HTTP/1.1 500 Internal Error"


async def test_a_body_may_have_300_kib() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(post(b"x" * BODY_BYTES_MAX))
        first, _, body = await client.reply()
        assert first == "HTTP/1.1 200 OK"
        assert body.count(b"x") == BODY_BYTES_MAX
    first, body = await refused(post(b"x" * (BODY_BYTES_MAX + 1)))
    assert first == "HTTP/1.1 500 Internal Error"
    assert b"size_over_limit" in body


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK"),  # the handler's to refuse
        (b"PUT /import HTTP/1.1\r\n\r\n", "HTTP/1.1 403 Forbidden"),
        (b"CONNECT /console HTTP/1.1\r\n\r\n", "HTTP/1.1 403 Forbidden"),
        (b"DELETE / HTTP/1.1\r\n\r\n", "HTTP/1.1 501 Method not implemented"),
        (b"HEAD / HTTP/1.0\r\n\r\n", "HTTP/1.0 501 Method not implemented"),
        (b"hello\r\n\r\n", "HTTP/1.1 500 Internal Error"),
        (b"GET /\r\n\r\n", "HTTP/1.1 500 Internal Error"),
        (b"GET / HTTP/1.1 x\r\n\r\n", "HTTP/1.1 500 Internal Error"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", "HTTP/1.1 500 Internal Error"),
        (b"POST / HTTP/1.1\r\nContent-Length: five\r\n\r\n", "HTTP/1.1 500 Internal Error"),
        (b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", "HTTP/1.1 500 Internal Error"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", "HTTP/1.1 500 Internal Error"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "HTTP/1.1 500 Internal Error"),
    ],
)
async def test_what_other_requests_get(request_bytes: bytes, status: str) -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(request_bytes)
        assert (await client.reply())[0] == status


async def test_a_browser_may_ask_what_is_allowed() -> None:
    async with serving() as (_, connect):
        client = await connect()
        await client.send(b"OPTIONS / HTTP/1.1\r\nAccess-Control-Request-Headers: X-Own\r\n\r\n")
        first, headers, _ = await client.reply()
    assert first == "HTTP/1.1 200 OK"
    assert headers["access-control-allow-headers"] == "X-Own, X-Requested-With"


async def test_a_client_that_says_nothing_is_told_so() -> None:
    async with serving(limits=HttpLimits(header_read_seconds=0.05)) as (_, connect):
        client = await connect()
        assert (await client.reply())[0] == "HTTP/1.1 408 Request Timeout"
        assert await client.rest() == b""


async def test_a_client_may_not_drip_its_first_request() -> None:
    limits = HttpLimits(header_read_seconds=5.0, header_total_seconds=0.05)
    async with serving(limits=limits) as (_, connect):
        client = await connect()
        await client.send(b"POST / HT")
        assert (await client.reply())[0] == "HTTP/1.1 408 Request Timeout"


async def test_only_the_first_request_of_a_connection_is_timed() -> None:
    limits = HttpLimits(header_read_seconds=0.2, header_total_seconds=0.2)
    async with serving(limits=limits) as (_, connect):
        client = await connect()
        other = await connect()
        await client.send(post(b"first"))
        await client.reply()
        await client.send(b"POST / HTTP/1.1\r\n")
        # The other connection says nothing; when it has been told so, the first has been idle for longer.
        assert (await other.reply())[0] == "HTTP/1.1 408 Request Timeout"
        await client.send(b"Content-Length: 6\r\n\r\nsecond")
        assert (await client.reply())[2] == b"POST / [] second"


async def test_no_more_than_so_many_connections_at_a_time() -> None:
    async with serving(limits=HttpLimits(connections_max=2)) as (server, connect):
        first, second, third = [await connect() for _ in range(3)]
        await third.send(post(b"third"))
        for client in (first, second):
            await client.send(post(b"x"))
            await client.reply()
        assert len(server.connections) == 2
        first.writer.close()
        assert (await third.reply())[2].endswith(b" third")


async def test_a_reply_can_be_cut() -> None:
    async def cutting(request: Request) -> Reply:
        return Reply(b"0123456789" * 100, cut_after_bytes=40)

    async with serving(cutting) as (_, connect):
        client = await connect()
        await client.send(post(b"") + post(b""))
        assert await client.rest() == Reply(b"0123456789" * 100).wire()[:40]


async def test_a_connection_can_be_cut_without_a_word() -> None:
    async def silent(request: Request) -> None:
        return None

    async with serving(silent) as (_, connect):
        client = await connect()
        await client.send(post(b""))
        with suppress(ConnectionResetError):  # as from a host that died
            assert await client.rest() == b""


async def test_work_goes_on_when_the_client_has_left() -> None:
    begun, finish, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def working(request: Request) -> Reply:
        begun.set()
        await finish.wait()
        done.set()
        return rpc_reply(request, b"", "text/xml")

    async with serving(working) as (server, connect):
        client = await connect()
        await client.send(post(b""))
        await begun.wait()
        client.reset()
        await until(lambda: not server.connections)
        finish.set()
        async with asyncio.timeout(SECONDS_MAX):
            await done.wait()


async def test_waiting_for_a_client_ends_with_the_client() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def waiting(request: Request) -> Reply:
        request.abandoned_with_client = True
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError("never reached")

    async with serving(waiting) as (server, connect):
        for leaving in (lambda client: client.writer.close(), Client.reset):
            begun.clear()
            cancelled.clear()
            client = await connect()
            await client.send(post(b""))
            await begun.wait()
            leaving(client)
            async with asyncio.timeout(SECONDS_MAX):
                await cancelled.wait()
        await until(lambda: not server.tasks and not server.connections)


async def test_a_client_that_sends_too_much_ahead_has_to_wait() -> None:
    finish = asyncio.Event()

    async def working(request: Request) -> Reply:
        await finish.wait()
        return rpc_reply(request, b"%d" % len(request.body), "text/xml")

    async with serving(working) as (_, connect):
        client = await connect()
        big = post(b"x" * (BODY_BYTES_MAX - 1))
        sending = asyncio.create_task(client.send(big * 40))
        await until(lambda: client.writer.transport.get_write_buffer_size() > 0)
        finish.set()
        assert [(await client.reply())[2] for _ in range(40)] == [b"%d" % (BODY_BYTES_MAX - 1)] * 40
        await sending


async def test_a_defect_is_a_page_and_not_silence() -> None:
    async def broken(request: Request) -> Reply:
        raise KeyError("defect")

    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with serving(broken) as (_, connect):
        client = await connect()
        await client.send(post(b""))
        first, _, body = await client.reply()
    assert first == "HTTP/1.1 500 Internal Error"
    assert b"defect" in body
    assert [type(context["exception"]) for context in told] == [KeyError]


async def test_listening_can_end_and_begin_again() -> None:
    async with serving() as (server, connect):
        client = await connect()
        await client.send(post(b"a"))
        await client.reply()
        listening = server.listening
        assert listening is not None
        address = listening.getsockname()
        server.stop_listening()
        with pytest.raises(ConnectionError):
            await connect()
        await client.send(post(b"b"))  # who is connected stays so
        assert (await client.reply())[2].endswith(b" b")
        server.cut_all()
        server.listen(socket.create_server(address))
        again = await connect()
        await again.send(post(b"c"))
        assert (await again.reply())[2].endswith(b" c")


async def test_tls_as_stunnel_gives_it() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with serving(certificate=context) as (server, connect):
        plain = await connect()  # who speaks no TLS is cut off and harms nobody
        await plain.send(post(b"plain"))
        assert not re.match(b"HTTP/", await plain.rest())
        assert server.listening is not None
        port = server.listening.getsockname()[1]
        client = Client(*await asyncio.open_connection("127.0.0.1", port, ssl=trusting))
        await client.send(post(b"secret", "Connection: close"))
        assert (await client.reply())[2] == b"POST / [] secret"
        assert await client.rest() == b""
        client.writer.close()
        await client.writer.wait_closed()
