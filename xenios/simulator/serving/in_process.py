"""Simulated pools behind the driver's own door, without a socket: the transport that a client is given instead of HTTP.

Tests that move the clock by hand, and those that need thousands of pools, cannot have a network in between. They lose
nothing else: the same bytes go through the same request parser, limits, encodings and ordered faults as over a socket,
and what a socket would do (refuse, stay silent, break off) is raised as the transport's own trouble. Time-outs go by
the pool's clock.

Effects: none
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from xenios.drivers.xenserver.transport import Address, HttpAnswer, TransportError, Trouble
from xenios.simulator.pool import SimulatedPool
from xenios.simulator.serving.http_server import RefusedRequest, Reply, answer, body_bytes_of, parse_head
from xenios.simulator.serving.served import HostFace


class InProcessTransport:
    """Leads to the hosts of simulated pools by their addresses; any port, with and without TLS."""

    def __init__(self, *pools: SimulatedPool) -> None:
        """Every host is reached at the address in its record; `add` gives others, so that pools do not collide."""
        self._faces: dict[str, tuple[SimulatedPool, str, HostFace]] = {}
        self.closed = False
        for pool in pools:
            self.add(pool)

    def add(
        self,
        pool: SimulatedPool,
        addresses: Mapping[str, str] | None = None,
        *,
        without_jsonrpc: bool = False,
    ) -> None:
        """Lead to one more pool: `addresses` says where each host is, ref -> address; default: as their records say.

        Raises ValueError when an address is another host's already.
        """
        places = addresses or {ref: record["address"] for ref, record in pool.tables.rows("host").items()}
        for host, address in places.items():
            if address in self._faces:
                raise ValueError(f"two hosts have the address {address}")
            face = HostFace(pool, host, without_jsonrpc=without_jsonrpc, address_of=places.get)
            self._faces[address] = (pool, host, face)

    async def post(
        self,
        base: Address,
        path: str,
        body: bytes,
        timeout_seconds: float,
        headers: Mapping[str, str],
        *,
        answer_bytes_max: int | None = None,
    ) -> HttpAnswer:
        """Posts the body to the host at that address. Raises TransportError."""
        if base.host not in self._faces:
            raise TransportError(Trouble.UNREACHABLE, f"no simulated host has the address {base.host}")
        pool, host, face = self._faces[base.host]
        if pool.refuses_connections(host):
            raise TransportError(Trouble.REFUSED)
        lines = [f"POST {path} HTTP/1.1", f"Host: {base.host}:{base.port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        try:
            request = parse_head("\r\n".join(lines).encode("latin-1", "replace"))
            body_bytes_of(request)
        except RefusedRequest as refused:
            return _whole(refused.reply)
        request.body = body
        request.peer = "127.0.0.1"
        work = asyncio.get_running_loop().create_task(answer(face, request))
        late: list[bool] = []

        def give_up() -> None:
            late.append(True)
            work.cancel()

        take_back = pool.clock.call_later(timeout_seconds, give_up)
        try:
            reply = await work
        except asyncio.CancelledError:
            if late and work.cancelled():
                raise TransportError(Trouble.SILENT) from None
            raise
        finally:
            take_back()
        if reply is None:
            raise TransportError(Trouble.BROKEN_OFF)
        whole = _whole(reply)
        if answer_bytes_max is not None and len(whole.body) > answer_bytes_max:
            raise TransportError(Trouble.TOO_LARGE)
        return whole

    async def close(self) -> None:
        """There is nothing to let go of; the pools live on."""
        self.closed = True


def _whole(reply: Reply) -> HttpAnswer:
    if reply.cut_after_bytes is not None and reply.cut_after_bytes < len(reply.wire()):
        raise TransportError(Trouble.BROKEN_OFF, f"after {reply.cut_after_bytes} bytes")
    content_type = dict(reply.headers).get("content-type", "")
    return HttpAnswer(status=reply.status, content_type=content_type, body=reply.body)
