"""HTTP as XAPI's own server speaks it, over asyncio.

No ready-made server would do, because the limits and odd answers are the product here: request headers of more than
1,024 bytes in all are refused, a body needs a Content-Length and may have 300 KiB, what is not understood gets a page
with status 500 and the end of the connection, every POST is a call whatever its path, and requests are answered one
after the other in the order they came. A client that was only tested against a modern server meets all of this on its
first pool. After xapi's http_svr.ml and http.ml; docs/simulator.md lists what differs.

Like there, only the first request of a connection is timed, and no more than 800 connections are taken at a time: the
next one waits in the kernel. Unlike there, a connection closed because of an error first lets the client read the
reply, so that tests see the reply and not, now and then, a reset.

Effects: opens sockets that listen, and answers on them
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

HEADER_BYTES_MAX = 1024
"""A request's first line and headers together, with the empty line that ends them."""
BODY_BYTES_MAX = 300 * 1024
CONNECTIONS_MAX = 800
HEADER_READ_SECONDS = 10.0
HEADER_TOTAL_SECONDS = 60.0
_WAITING_BYTES_MAX = 2 * BODY_BYTES_MAX
"""How much may come in while a call is being answered, before the client has to wait."""
_BACKLOG = 128
_LAST_WORD_SECONDS = 2.0
"""How long a client may take to read why its connection is closed."""
_END_OF_HEADERS = b"\r\n\r\n"
_HTTP_METHODS = ("GET", "POST", "PUT", "CONNECT", "OPTIONS")
_NO_CACHE = ("cache-control", "no-cache, no-store")
_FOR_BROWSERS = (("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Headers", "X-Requested-With"))


@dataclass(slots=True)
class Request:
    """One request, complete."""

    method: str
    path: str
    """Without the query, and decoded."""
    query: Mapping[str, str]
    version: str
    """`1.1`, or whatever the client said."""
    headers: Mapping[str, str]
    """By their names in lower case; of two equal ones the last."""
    body: bytes = b""
    peer: str = ""
    """The client's address."""
    abandoned_with_client: bool = False
    """Set by the handler: when the client goes away, so does the work. Otherwise the work is done all the same."""

    @property
    def closes(self) -> bool:
        """Whether the connection ends after the reply: by default for HTTP/1.0 only."""
        match self.headers.get("connection", "").lower():
            case "close":
                return True
            case "keep-alive":
                return False
            case _:
                return self.version == "1.0"

    @property
    def reply_version(self) -> str:
        """1.0 for a request of 1.0, else 1.1."""
        return "1.0" if self.version == "1.0" else "1.1"

    @property
    def cookies(self) -> Mapping[str, str]:
        """What the client remembers for us."""
        pairs = (pair.strip().partition("=") for pair in re.split("[;&]", self.headers.get("cookie", "")))
        return {unquote(name): unquote(value) for name, _, value in pairs}


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, before it is put on the wire."""

    body: bytes
    status: int = 200
    reason: str = "OK"
    headers: tuple[tuple[str, str], ...] = ()
    closes: bool = False
    version: str = "1.1"
    sized: bool = True
    """False: the end of the connection is the end of the body."""
    cut_after_bytes: int | None = None
    """A fault to play: the connection ends after so many bytes of the reply, headers included."""

    def wire(self) -> bytes:
        """The bytes of the whole reply."""
        lines = [f"HTTP/{self.version} {self.status} {self.reason}"]
        if self.sized:
            lines.append(f"content-length: {len(self.body)}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + self.body


Handler = Callable[[Request], Awaitable["Reply | None"]]
"""Answers a request; None: the connection is cut without a word."""


class RefusedRequest(Exception):
    """A request that gets an error page, after which the connection is closed."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


# --- replies ---------------------------------------------------------------------------------------------------------


def rpc_reply(
    request: Request,
    body: bytes,
    content_type: str,
    *,
    early: bool = False,
    cut_after_bytes: int | None = None,
) -> Reply:
    """The reply of a call, good or bad. `early`: the error arose before dispatch, where browsers are not thought of."""
    connection = ("connection", "close" if request.closes else "keep-alive")
    headers = (connection, _NO_CACHE, ("content-type", content_type), *(() if early else _FOR_BROWSERS))
    return Reply(
        body,
        headers=headers,
        closes=request.closes,
        version=request.reply_version,
        cut_after_bytes=cut_after_bytes,
    )


def internal_error(extra: str = "", version: str = "1.1") -> Reply:
    """HTTP 500, the answer to all that is malformed. `extra` is what OCaml says of its exception."""
    text = (
        "<html><body><h1>HTTP 500 internal server error</h1>An unexpected error occurred; please wait a while and try"
        " again. If the problem persists, please contact your support representative."
    )
    if extra:
        text += f"<h1> Additional information </h1>{escape(extra).replace('&#x27;', '&apos;')}"
    return _page(500, "Internal Error", f"{text}</body></html>", version=version)


def unauthorised(realm: str, version: str = "1.1") -> Reply:
    """HTTP 401, from what is no call and needs a session."""
    text = "<html><body><h1>HTTP 401 unauthorised</h1>Please check your credentials and retry.</body></html>"
    return _page(401, "Unauthorised", text, ("WWW-Authenticate", f'Basic realm="{realm}"'), version=version)


def forbidden(version: str = "1.1") -> Reply:
    """HTTP 403, also for `GET /`: there is no website."""
    text = (
        "<html><body><h1>HTTP 403 forbidden</h1>Access to the requested resource is forbidden.</body></html>"
    )
    return _page(403, "Forbidden", text, version=version)


def missing(path: str) -> Reply:
    """HTTP 404, for what a website would have."""
    text = (
        "<html><head><title>404 Not Found</title></head>\n<body><h1>Not Found</h1>\n<p>The requested URL"
        f" {escape(path)} was not found on this server.</p>\n<hr><address>Xapi Server</address></body></html>"
    )
    headers = (("connection", "close"), _NO_CACHE)
    return Reply(text.encode(), 404, "Not Found", headers, closes=True)


def _header_too_large() -> Reply:
    text = (
        "<html><body><h1>HTTP 431 request header fields too large</h1>Exceeded the maximum header size."
        "</body></html>"
    )
    return _page(431, "Request Header Fields Too Large", text)


def _timed_out() -> Reply:
    text = "<html><body><h1>HTTP 408 request timeout</h1>Timed out waiting for the request.</body></html>"
    return _page(408, "Request Timeout", text)


def _not_implemented(method: str, version: str) -> Reply:
    text = (
        "<html><body><h1>HTTP 501 Method Not Implemented</h1>"
        f"<p>Unknown {escape(method)} not supported.<br /></p></body></html>"
    )
    return _page(501, "Method not implemented", text, version=version)


def _page(status: int, reason: str, text: str, *more: tuple[str, str], version: str = "1.1") -> Reply:
    headers = (("content-type", "text/html"), ("connection", "close"), _NO_CACHE, *more)
    return Reply(text.encode("utf-8", "replace"), status, reason, headers, closes=True, version=version)


# --- requests --------------------------------------------------------------------------------------------------------


def parse_head(block: bytes) -> Request:
    """The request without its body, from its first line to the empty one. Raises RefusedRequest."""
    if len(block) > HEADER_BYTES_MAX:
        raise RefusedRequest(_header_too_large())
    first, *lines = block.decode("latin-1").split("\n")
    words = first.split()
    if len(words) != 3 or not words[2].startswith("HTTP/") or not words[1].startswith(("/", "http")):
        raise RefusedRequest(internal_error("The HTTP headers could not be parsed."))
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.lower()] = value.strip()
    try:
        target = urlsplit(words[1])
    except ValueError as error:
        raise RefusedRequest(internal_error("The HTTP headers could not be parsed.")) from error
    request = Request(
        method=words[0],
        path=unquote(target.path) or "/",
        query=dict(parse_qsl(target.query, keep_blank_values=True)),
        version=words[2].removeprefix("HTTP/"),
        headers=headers,
    )
    if request.method not in _HTTP_METHODS:
        raise RefusedRequest(_not_implemented(request.method, request.reply_version))
    return request


def body_bytes_of(request: Request) -> int:
    """How long the body is; what is no call has none. Raises RefusedRequest."""
    if request.method != "POST":
        return 0
    length = request.headers.get("content-length")
    if length is None:  # also of a chunked body
        extra = 'Failure("We require a content-length: HTTP header")'
    elif not re.fullmatch("[0-9]{1,18}", length):
        extra = 'Failure("Int64.of_string")'
    elif int(length) > BODY_BYTES_MAX:
        extra = "Http_svr.Client_requested_size_over_limit"
    else:
        return int(length)
    raise RefusedRequest(internal_error(extra, request.reply_version))


async def answer(handler: Handler, request: Request) -> Reply | None:
    """What goes back: the handler's reply to a call or a GET, or the page for what nothing answers to."""
    match request.method:
        case "POST" | "GET":
            return await handler(request)
        case "OPTIONS":
            asked = request.headers.get("access-control-request-headers")
            allowed = f"{asked}, X-Requested-With" if asked else "X-Requested-With"
            headers = (
                ("connection", "close" if request.closes else "keep-alive"),
                _NO_CACHE,
                ("Access-Control-Allow-Origin", "*"),
                ("Access-Control-Allow-Headers", allowed),
                ("Access-Control-Allow-Methods", "PUT"),
            )
            return Reply(b"", headers=headers, closes=request.closes, version=request.reply_version)
        case _:
            return forbidden()


# --- connections -----------------------------------------------------------------------------------------------------


class _Connection(asyncio.Protocol):
    """One client: takes requests apart as bytes come, and answers them one after the other."""

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._arrived = bytearray()
        self._searched_bytes = 0
        self._head: Request | None = None
        self._wanted_bytes = 0
        self._answering: asyncio.Task[None] | None = None
        self._running: Request | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._client_has_finished = False
        self._over = False
        self._may_write = True
        self._paused = False
        self.was_made = False
        """Whether the client is, or was, really connected: TLS agreed on."""

    # asyncio calls these, by these names.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there; its first request is timed."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]) if peer else ""
        self._server.connections.add(self)
        self.was_made = True
        loop = asyncio.get_running_loop()
        self._timers = [
            loop.call_later(self._server.limits.header_total_seconds, self._time_out),
            loop.call_later(self._server.limits.header_read_seconds, self._time_out),
        ]

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request, or of several."""
        if self._over:
            return
        self._arrived += data
        if self._timers:
            self._timers.pop().cancel()
            self._timers.append(
                asyncio.get_running_loop().call_later(self._server.limits.header_read_seconds, self._time_out)
            )
        self._go_on()
        if (
            len(self._arrived) > _WAITING_BYTES_MAX
            and self._answering is not None
            and self._transport
            and not self._paused
        ):
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """The client sends no more. It may still be reading, so a call that is under way is answered."""
        self._client_has_finished = True
        if self._running is None or self._running.abandoned_with_client or self._over:
            return False
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._over = True
        self._stop_timers()
        self._server.connection_ended(self)
        if self._running is not None and self._running.abandoned_with_client and self._answering is not None:
            self._answering.cancel()

    def pause_writing(self) -> None:
        """The client does not read as fast as we write: no further request is taken."""
        self._may_write = False

    def resume_writing(self) -> None:
        """It has caught up."""
        self._may_write = True
        self._go_on()

    # The server calls these.

    def cut(self) -> None:
        """End the connection in the middle of whatever it does."""
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    def _go_on(self) -> None:
        """Takes the next request, if it is complete and none is being answered."""
        if self._over or self._answering is not None or not self._may_write:
            return
        try:
            request = self._next_request()
        except RefusedRequest as refused:
            self._stop_timers()
            self._send(refused.reply)
            return
        if request is None:
            if self._client_has_finished and self._transport is not None:
                self._transport.close()
            return
        self._running = request
        self._answering = asyncio.get_running_loop().create_task(self._answer(request))
        self._server.tasks.add(self._answering)
        self._answering.add_done_callback(self._server.tasks.discard)

    def _next_request(self) -> Request | None:
        if self._head is None:
            end = self._arrived.find(_END_OF_HEADERS, max(0, self._searched_bytes - 3))
            if end < 0:
                self._searched_bytes = len(self._arrived)
                if len(self._arrived) >= HEADER_BYTES_MAX:
                    raise RefusedRequest(_header_too_large())
                return None
            block = bytes(self._arrived[: end + len(_END_OF_HEADERS)])
            del self._arrived[: len(block)]
            self._searched_bytes = 0
            self._stop_timers()
            head = parse_head(block)
            self._wanted_bytes = body_bytes_of(head)
            self._head = head
        if len(self._arrived) < self._wanted_bytes:
            return None
        request, self._head = self._head, None
        request.body = bytes(self._arrived[: self._wanted_bytes])
        request.peer = self._peer
        del self._arrived[: self._wanted_bytes]
        return request

    async def _answer(self, request: Request) -> None:
        try:
            reply = await answer(self._server.handler, request)
        except Exception as error:  # noqa: BLE001 - a defect of the simulator; the client sees what XAPI shows of its own
            asyncio.get_running_loop().call_exception_handler(
                {"message": f"answering {request.method} {request.path}", "exception": error}
            )
            reply = internal_error(f"Failure({str(error)!r})", request.reply_version)
        finally:
            self._answering = self._running = None
        if self._over or self._transport is None or self._transport.is_closing():
            return
        if reply is None:
            self.cut()
            return
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        self._send(reply)
        self._go_on()

    def _send(self, reply: Reply) -> None:
        transport = self._transport
        if transport is None or self._over:
            return
        wire = reply.wire()
        if reply.cut_after_bytes is not None:
            wire = wire[: reply.cut_after_bytes]
        transport.write(wire)
        if not reply.closes and reply.cut_after_bytes is None:
            return
        self._over = True
        if reply.status != 200 and transport.can_write_eof() and not self._client_has_finished:
            # Closing while the rest of the request is unread would take the reply back (a reset).
            transport.write_eof()
            self._timers.append(asyncio.get_running_loop().call_later(_LAST_WORD_SECONDS, transport.close))
        else:
            transport.close()

    def _time_out(self) -> None:
        self._stop_timers()
        if not self._over:
            self._send(_timed_out())

    def _stop_timers(self) -> None:
        while self._timers:
            self._timers.pop().cancel()


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What tests set lower than XAPI does, so as not to wait."""

    connections_max: int = CONNECTIONS_MAX
    header_read_seconds: float = HEADER_READ_SECONDS
    header_total_seconds: float = HEADER_TOTAL_SECONDS


@dataclass(slots=True, eq=False)
class HttpServer:
    """Listens on one address and answers by one handler."""

    handler: Handler
    certificate: ssl.SSLContext | None = None
    """Given: TLS from the first byte, as stunnel does in front of XAPI."""
    limits: HttpLimits = field(default_factory=HttpLimits)
    connections: set[_Connection] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """Whatever is being answered, and connections about to be made."""
    listening: socket.socket | None = None
    """The socket that clients connect to; None: they are refused."""
    _taken: int = 0
    """How many connections there are or are about to be."""
    _accepting: bool = False

    def listen(self, listening: socket.socket) -> None:
        """Answer on a socket that is bound; it is ours from now on. Needs a running event loop."""
        listening.setblocking(False)
        listening.listen(_BACKLOG)
        self.listening = listening
        self._accept_while_there_is_room()

    def stop_listening(self) -> None:
        """From now on, whoever comes is refused."""
        listening, self.listening = self.listening, None
        if listening is not None:
            if self._accepting:
                asyncio.get_running_loop().remove_reader(listening)
                self._accepting = False
            listening.close()

    def cut_all(self) -> None:
        """End every connection in the middle of whatever it does; listen on."""
        for connection in list(self.connections):
            connection.cut()

    async def close(self) -> None:
        """Stop listening, end every connection and all work for them."""
        self.stop_listening()
        self.cut_all()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.cut_all()  # one that was being made in the meantime

    def connection_ended(self, connection: _Connection) -> None:
        """A client is gone; the next one may come."""
        if connection in self.connections:
            self.connections.discard(connection)
            self._give_back_room()

    def _accept_while_there_is_room(self) -> None:
        """Beyond the limit, clients wait in the kernel, as they do where accept() is not called."""
        wanted = self.listening is not None and self._taken < self.limits.connections_max
        if self.listening is None or wanted == self._accepting:
            return
        self._accepting = wanted
        loop = asyncio.get_running_loop()
        if wanted:
            loop.add_reader(self.listening, self._accept)
        else:
            loop.remove_reader(self.listening)

    def _accept(self) -> None:
        """Takes one connection; called when there is one. asyncio's own way cannot be called off without losses."""
        if self.listening is None:
            return
        try:
            client, _ = self.listening.accept()
        except OSError:  # the client gave up already; or there are too many open files, which ends
            return
        client.setblocking(False)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._taken += 1
        self._accept_while_there_is_room()
        greeting = asyncio.get_running_loop().create_task(self._greet(client))
        self.tasks.add(greeting)
        greeting.add_done_callback(self.tasks.discard)

    async def _greet(self, client: socket.socket) -> None:
        greeted: list[_Connection] = []

        def connection() -> _Connection:
            greeted.append(_Connection(self))
            return greeted[-1]

        try:
            await asyncio.get_running_loop().connect_accepted_socket(connection, client, ssl=self.certificate)
        except OSError:  # no TLS, or one that does not fit; stunnel closes without a word
            pass
        finally:
            if not greeted or not greeted[-1].was_made:
                client.close()
                self._give_back_room()

    def _give_back_room(self) -> None:
        self._taken -= 1
        self._accept_while_there_is_room()
