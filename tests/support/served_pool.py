"""Simulated pools behind sockets on loopback, and plain ways to ask them: raw bytes, JSON, XenServer's own client.

Effects: opens sockets on loopback
"""

from __future__ import annotations

import asyncio
import importlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, TypeVar
from xml.sax.saxutils import escape

from tests.support.simulated import NOW
from xenios.simulator.clock import SimulatedClock, WallClock
from xenios.simulator.facts.datamodel import Records
from xenios.simulator.pool import SimulatedPool
from xenios.simulator.population.populate import populate
from xenios.simulator.serving.http_server import HttpLimits
from xenios.simulator.serving.served import ServedPool, addresses_from, bind, hosts_in_order
from xenios.simulator.verbs.at_rest import work_out_allowed_operations

XenAPI: Any = importlib.import_module("XenAPI")  # it has no types
SECONDS_MAX = 30.0
Result = TypeVar("Result")


@dataclass(frozen=True)
class HttpReply:
    """A reply taken apart."""

    first_line: str
    headers: dict[str, str]
    body: bytes

    @property
    def status(self) -> int:
        """The number in the first line."""
        return int(self.first_line.split()[1])


@dataclass
class Serving:
    """A pool that listens."""

    pool: SimulatedPool
    served: ServedPool
    hosts: list[str]
    """The refs of all hosts, the master first."""
    _numbers: count[int] = field(default_factory=lambda: count(1))

    @property
    def url(self) -> str:
        """Where the master is."""
        return self.served.url(self.hosts[0])

    def place(self, host: int = 0) -> tuple[str, int]:
        """Address and port of a host by its number; the master is 0."""
        return self.served.addresses[self.hosts[host]]

    async def exchange(self, request: bytes, host: int = 0) -> HttpReply:
        """What comes back for these bytes, over a connection of its own."""
        reader, writer = await asyncio.open_connection(*self.place(host))
        try:
            writer.write(request)
            async with asyncio.timeout(SECONDS_MAX):
                head = await reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode().strip().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                size = headers.get("content-length")
                body = await (reader.read() if size is None else reader.readexactly(int(size)))
                return HttpReply(first, headers, body)
        finally:
            writer.transport.abort()

    async def post(self, body: bytes, path: str = "/", host: int = 0) -> HttpReply:
        """The reply to a POST."""
        return await self.exchange(post(body, path), host)

    async def json(self, method: str, *params: Any, host: int = 0) -> Any:
        """The result of a call by JSON-RPC v2. Raises XenAPI.Failure, as XenServer's own client would."""
        body = {"jsonrpc": "2.0", "method": method, "params": params, "id": next(self._numbers)}
        reply = await self.post(json.dumps(body).encode(), "/jsonrpc", host)
        answer = json.loads(reply.body)
        if "error" in answer:
            raise XenAPI.Failure([answer["error"]["message"], *answer["error"]["data"]])
        assert answer["id"] == body["id"]
        return answer["result"]

    async def log_in(self, originator: str = "a test") -> str:
        """A session on the master."""
        return str(await self.json("session.login_with_password", "root", "xenios", "1.0", originator))

    async def as_administrator(self, work: Callable[[Any], Result]) -> Result:
        """What the work comes to, done by XenServer's own client, logged in over XML-RPC, in a thread."""

        def run() -> Result:
            with XenAPI.Session(self.url) as session:  # which closes its connection, and does not log out
                session.xenapi.login_with_password("root", "xenios", "1.0", "an administrator")
                try:
                    return work(session.xenapi)
                finally:
                    session.xenapi.session.logout()

        return await asyncio.to_thread(run)


def post(body: bytes, path: str = "/") -> bytes:
    """The bytes of a POST."""
    return f"POST {path} HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def xml_call(method: str, *params: str) -> bytes:
    """A call with parameters that are all strings, as XAPI's own clients write it."""
    encoded = "".join(f"<param><value><string>{escape(param)}</string></value></param>" for param in params)
    return (
        f'<?xml version="1.0"?><methodCall><methodName>{method}</methodName>'
        f"<params>{encoded}</params></methodCall>"
    ).encode()


@asynccontextmanager
async def serving(
    hosts: int = 1,
    vms: int = 5,
    *,
    records: Records | None = None,
    clock: SimulatedClock | None = None,
    certificate: ssl.SSLContext | None = None,
    without_jsonrpc: bool = False,
    limits: HttpLimits | None = None,
    **options: Any,
) -> AsyncIterator[Serving]:
    """A populated pool, or the one of `records`; fails when the simulator showed a defect of its own.

    Operations and the answer to a wrong password take no time, unless the options say otherwise.
    """
    made = (
        work_out_allowed_operations(populate(1, hosts, vms, NOW if clock is not None else datetime.now(UTC)))
        if records is None
        else records
    )
    order = hosts_in_order(made)
    addresses = addresses_from("127.0.0.1", len(order))
    if records is None:
        for host, address in zip(order, addresses, strict=True):
            made["host"][host]["address"] = address
    options = {"speed": 0.0, "login_delay_seconds": 0.0} | options
    pool = SimulatedPool(made, clock=clock or WallClock(), **options)
    served = ServedPool(pool, certificate, without_jsonrpc, limits or HttpLimits())
    served.start(dict(zip(order, bind(addresses, 0), strict=True)))
    try:
        yield Serving(pool, served, order)
    finally:
        await served.close()
    if pool.defects:
        raise pool.defects[0]
