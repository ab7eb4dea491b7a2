"""A small HTTP(S) server that answers whatever a test wants it to, sense or rubbish, and keeps what it was sent.

The simulator answers as XAPI does. What a client must survive is the rest: web servers that are something else, answers
that are cut off, too big or no answers at all.

Effects: opens sockets that listen, and answers on them
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from xenios.drivers.xenserver.transport import Address

END_OF_HEADERS = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, as it came."""

    head: bytes
    """The first line and the headers, with the empty line that ends them."""
    body: bytes
    host: str
    """The address of the server that was asked."""

    @property
    def path(self) -> str:
        """What was asked for."""
        return self.head.split(b" ", 2)[1].decode()

    @property
    def headers(self) -> dict[str, str]:
        """By lower-case name."""
        lines = self.head.decode().split("\r\n")[1:]
        return {
            name.lower(): value
            for name, separator, value in (line.partition(": ") for line in lines)
            if separator
        }

    @property
    def method(self) -> str:
        """Of a call in JSON: its method."""
        return str(json.loads(self.body)["method"])

    @property
    def params(self) -> list[Any]:
        """Of a call in JSON: its parameters."""
        params: list[Any] = json.loads(self.body)["params"]
        return params


Answer = bytes | None
"""Bytes to send; None: no answer, for as long as the client waits."""
Handler = Callable[[Asked], Answer | Awaitable[Answer]]


def http(body: bytes, status: int = 200, content_type: str = "application/json", *headers: str) -> bytes:
    """A whole answer that keeps the connection open."""
    lines = [
        f"HTTP/1.1 {status} Whatever",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + END_OF_HEADERS + body


def json_result(result: Any) -> bytes:
    """What XAPI answers over JSON-RPC v2."""
    return http(json.dumps({"jsonrpc": "2.0", "result": result, "id": 1}).encode())


def json_failure(code: str, *params: str) -> bytes:
    """XAPI's "no" over JSON-RPC v2."""
    error = {"code": 1, "message": code, "data": list(params)}
    return http(json.dumps({"jsonrpc": "2.0", "error": error, "id": 1}).encode())


def xml_result(value: str) -> bytes:
    """What XAPI answers over XML-RPC; `value` is what stands inside <value>."""
    return _xml(
        f"<name>Status</name><value>Success</value></member><member><name>Value</name><value>{value}</value>"
    )


def xml_failure(code: str, *params: str) -> bytes:
    """XAPI's "no" over XML-RPC."""
    parts = "".join(f"<value>{part}</value>" for part in (code, *params))
    described = f"<value><array><data>{parts}</data></array></value>"
    return _xml(
        f"<name>Status</name><value>Failure</value></member><member><name>ErrorDescription</name>{described}"
    )


def _xml(members: str) -> bytes:
    text = (
        '<?xml version="1.0"?><methodResponse><params><param><value><struct><member>'
        f"{members}</member></struct></value></param></params></methodResponse>"
    )
    return http(text.encode(), content_type="text/xml")


@dataclass
class OddServer:
    """Answers by a function, on one port of one or several loopback addresses. An async context manager."""

    handler: Handler
    hosts: Sequence[str] = ("127.0.0.1",)
    certificate: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def address(self, host: str | None = None) -> Address:
        """Where it listens."""
        return Address(host=host or self.hosts[0], port=self.port, secure=self.certificate is not None)

    @property
    def target(self) -> str:
        """As a user writes it."""
        scheme = "xenserver" if self.certificate is not None else "xenserver+http"
        return f"{scheme}://root@{str(Address(host=self.hosts[0], port=self.port)).partition('://')[2]}"

    async def __aenter__(self) -> OddServer:
        for host in self.hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            listening = socket.create_server((host, self.port), family=family)
            self.port = listening.getsockname()[1]
            self._servers.append(
                await asyncio.start_server(self._connected, sock=listening, ssl=self.certificate)
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve_all(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = str(writer.get_extra_info("sockname")[0])
        try:
            # A client that goes away in the middle is what some tests are about.
            with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
                while await self._serve(reader, writer, host):
                    pass
                writer.close()
                await writer.wait_closed()
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> bool:
        """One request; whether the connection is kept."""
        head = await reader.readuntil(END_OF_HEADERS)
        asked = Asked(head, b"", host)
        asked = Asked(head, await reader.readexactly(int(asked.headers["content-length"])), host)
        self.asked.append(asked)
        answer = self.handler(asked)
        if not isinstance(answer, bytes | None):
            answer = await answer
        if answer is None:
            await asyncio.Event().wait()
            return False
        writer.write(answer)
        await writer.drain()
        begins = answer.find(END_OF_HEADERS)
        announced = answer[:begins].lower().partition(b"content-length: ")[2].partition(b"\r")[0]
        return bool(announced) and len(answer) - begins - len(END_OF_HEADERS) == int(announced)
