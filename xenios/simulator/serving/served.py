"""Serves a simulated pool over HTTP: one port, one loopback address for each host, the master on the first.

Clients must find the master by themselves, follow it when it moves, and outlive hosts that refuse, hang or cut them
off; so every host of the pool is a server of its own. `HostFace` is what all ways to a pool share, sockets or none: it
takes an HTTP request apart, lets the pool answer, and writes the reply in the encoding of the request.

Effects: opens sockets that listen, and answers on them
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import errno
import io
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from xenios.errors import XeniosError
from xenios.simulator.answering import Answer, ClientInfo
from xenios.simulator.api_error import ApiError, ConnectionCut
from xenios.simulator.database_file import write_database
from xenios.simulator.facts.datamodel import FieldType, Kind, Records, load_datamodel
from xenios.simulator.pool import SimulatedPool
from xenios.simulator.serving import wire_json, wire_xml
from xenios.simulator.serving.http_server import (
    HttpLimits,
    HttpServer,
    Reply,
    Request,
    forbidden,
    internal_error,
    missing,
    rpc_reply,
    unauthorised,
)
from xenios.simulator.serving.wire_xml import MalformedCall

DATABASE_PATH = "/pool/xmldbdump"
PORT_TRIES = 20
"""How often a free port is sought that is free at the addresses of all hosts."""
_LOOK_AGAIN_SECONDS = 0.25
_BY_VALUE = FieldType(Kind.RECORD)
_IN_WORDS = {
    errno.EADDRINUSE: "something listens there already",
    errno.EADDRNOTAVAIL: "this machine does not have the address",
    errno.EACCES: "ports below 1024 need privileges",
}


class HostFace:
    """One host as its clients see it: a handler of HTTP requests."""

    def __init__(
        self,
        pool: SimulatedPool,
        host: str,
        *,
        without_jsonrpc: bool = False,
        address_of: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        """`host` is the ref of the host. `address_of` gives the address where a host is served.

        `without_jsonrpc`: a release before 7.3, to which JSON at any path is malformed XML.
        """
        self._pool = pool
        self._host = host
        self._without_jsonrpc = without_jsonrpc
        self._address_of = address_of

    async def __call__(self, request: Request) -> Reply | None:
        """The reply; None: the connection is cut without one."""
        try:
            if request.method == "GET":
                return await self._get(request)
            if request.path.startswith("/jsonrpc") and not self._without_jsonrpc:
                return await self._json(request)
            return await self._xml(request)
        except ConnectionCut:
            return None
        except MalformedCall as malformed:
            return internal_error(str(malformed), request.reply_version)

    async def _json(self, request: Request) -> Reply:
        call = wire_json.decode_call(request.body)
        answer = await self._answer(request, call.method, call.params)
        early = False
        if answer.error is not None:
            early = self._is_early(answer.error)
            encode = wire_json.encode_early_failure if early else wire_json.encode_failure
            body = encode(call, answer.error.code, self._params_of(answer.error))
        elif isinstance(answer.value, dict) and "valid_ref_counts" in answer.value:
            body = wire_json.encode_events(call, answer.value)
        else:
            body = wire_json.encode_success(call, answer.value, _BY_VALUE if answer.bare else answer.type)
        return self._reply(request, body, "application/json", answer, early=early)

    async def _xml(self, request: Request) -> Reply:
        method, params = wire_xml.decode_call(request.body)
        answer = await self._answer(request, method, params)
        early = False
        if answer.error is not None:
            early = self._is_early(answer.error)
            body = wire_xml.encode_failure(answer.error.code, self._params_of(answer.error))
        elif method == "system.listMethods":
            body = wire_xml.encode_methods(answer.value)
        elif isinstance(answer.value, dict) and "valid_ref_counts" in answer.value:
            body = wire_xml.encode_events(answer.value)
        else:
            body = wire_xml.encode_success(answer.value, _BY_VALUE if answer.bare else answer.type)
        return self._reply(request, body, "text/xml", answer, early=early)

    async def _answer(self, request: Request, method: str, params: Sequence[object]) -> Answer:
        request.abandoned_with_client = self._pool.answering.abandoned_with_client(method)
        client = ClientInfo(request.peer, request.headers.get("user-agent", ""))
        return await self._pool.answer(self._host, method, params, client=client)

    def _is_early(self, error: ApiError) -> bool:
        """Whether the host said no before it looked at the call: another function writes the reply then."""
        return error is self._pool.outages.emergency_of(self._host)

    def _params_of(self, error: ApiError) -> tuple[str, ...]:
        """The parameters of an error. A supporter names its master by the address where that is served.

        The records of a real pool's dump keep the real address, at which we are not.
        """
        if error.code == "HOST_IS_SLAVE" and len(error.params) == 1:
            master = self._pool.master()
            if error.params[0] == self._pool.tables.get("host", master)["address"]:
                return (self._address_of(master) or error.params[0],)
        return error.params

    def _reply(
        self, request: Request, body: bytes, content_type: str, answer: Answer, *, early: bool
    ) -> Reply:
        return rpc_reply(request, body, content_type, early=early, cut_after_bytes=answer.cut_after_bytes)

    # ---- what is no call ----

    async def _get(self, request: Request) -> Reply:
        if self._pool.refuses_connections(self._host):
            raise ConnectionCut
        if request.path.startswith(DATABASE_PATH):
            return await self._database(request)
        return forbidden() if request.path == "/" else missing(request.path)

    async def _database(self, request: Request) -> Reply:
        """The pool's database, as `xe pool-dump-database` gets it: HTTP/1.0 until the connection ends."""
        realm = "Dumping database as XML"
        try:
            if not await self._may_have_it(request):
                return unauthorised(realm, request.reply_version)
        except ApiError as error:
            return internal_error("; ".join(error.description), request.reply_version)
        tables = self._pool.tables
        records: Records = {name: tables.live_rows(name) for name in load_datamodel().classes}
        stream = io.BytesIO()
        write_database(records, stream, generation=tables.generation)
        headers = (("Connection", "close"), ("Cache-Control", "no-cache, no-store"))
        return Reply(stream.getvalue(), headers=headers, closes=True, version="1.0", sized=False)

    async def _may_have_it(self, request: Request) -> bool:
        session = request.cookies.get("session_id", request.query.get("session_id"))
        if session is None:
            credentials = _basic_credentials(request.headers.get("authorization", ""))
            if credentials is None:
                return False
            try:
                session = await self._pool.call(
                    self._host, "session.login_with_password", [*credentials, "1.0", "xapi"]
                )
            except ApiError as error:
                if error.code == "SESSION_AUTHENTICATION_FAILED":
                    return False
                raise
            await self._pool.call(self._host, "session.logout", [session])
            return True
        try:
            self._pool.sessions.get(session)
        except ApiError:
            return False
        return True


def _basic_credentials(header: str) -> tuple[str, str] | None:
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


# --- a pool behind sockets -------------------------------------------------------------------------------------------


def hosts_in_order(records: Records) -> list[str]:
    """The refs of all hosts: the master first, the others by name."""
    master = next((pool["master"] for pool in records.get("pool", {}).values()), None)
    hosts = records.get("host", {})
    return sorted(hosts, key=lambda ref: (ref != master, hosts[ref]["name_label"], ref))


def addresses_from(first: str, count: int) -> list[str]:
    """One address for each host: `first`, and those after it where they are loopback ones and so surely ours."""
    base = ipaddress.ip_address(first)
    if base.version == 6 or not base.is_loopback:
        return [first]
    addresses = [base + number for number in range(count)]
    return [str(address) for address in addresses if address.is_loopback]


def bind(addresses: Sequence[str], port: int) -> list[socket.socket]:
    """A socket for each address, all with the same port; 0: any that is free at all of them. Raises XeniosError."""
    for attempt in range(PORT_TRIES):
        bound: list[socket.socket] = []
        address = addresses[0]
        try:
            for address in addresses:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                wanted = port or (bound[0].getsockname()[1] if bound else 0)
                bound.append(socket.create_server((address, wanted), family=family))
        except OSError as error:
            for listening in bound:
                listening.close()
            if port == 0 and error.errno == errno.EADDRINUSE and attempt < PORT_TRIES - 1:
                continue
            because = _IN_WORDS.get(error.errno or 0) or error.strerror or str(error)
            raise XeniosError(
                f"cannot listen on {address}, port {port or 'of our choice'}: {because}",
                remedy="give another address or port; port 0 takes one that is free",
            ) from error
        return bound
    raise XeniosError("no port is free", remedy="name one")


@dataclass(slots=True, eq=False)
class ServedPool:
    """A pool whose hosts listen. Start it inside a running event loop, and close it."""

    pool: SimulatedPool
    certificate: ssl.SSLContext | None = None
    """Given: HTTPS for all hosts."""
    without_jsonrpc: bool = False
    limits: HttpLimits = field(default_factory=HttpLimits)
    addresses: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Where each host that is served listens: ref -> (address, port)."""
    _servers: dict[str, HttpServer] = field(default_factory=dict)
    _listening: set[str] = field(default_factory=set)
    _look: asyncio.Event = field(default_factory=asyncio.Event)
    _watching: asyncio.Task[None] | None = None

    def start(self, sockets: Mapping[str, socket.socket]) -> None:
        """Serve on sockets that are bound, by the refs of the hosts; they are ours from now on.

        Raises XeniosError when the pool's script cannot be played.
        """
        self.pool.start()
        self.pool.when_cut.append(self._cut)
        for host, bound in sockets.items():
            name = bound.getsockname()
            self.addresses[host] = (name[0], name[1])
            face = HostFace(
                self.pool, host, without_jsonrpc=self.without_jsonrpc, address_of=self._address_of
            )
            self._servers[host] = HttpServer(face, self.certificate, self.limits)
            if self.pool.refuses_connections(host):
                bound.close()
            else:
                self._servers[host].listen(bound)
                self._listening.add(host)
        self._watching = asyncio.get_running_loop().create_task(self._keep_listening())

    def url(self, host: str) -> str:
        """Where a host is: `http://127.0.0.2:8080`."""
        address, port = self.addresses[host]
        literal = f"[{address}]" if ":" in address else address
        return f"{'http' if self.certificate is None else 'https'}://{literal}:{port}"

    @property
    def connections(self) -> int:
        """How many clients are connected to all hosts together."""
        return sum(len(server.connections) for server in self._servers.values())

    async def close(self) -> None:
        """End everything: connections, calls under way, the pool's own housekeeping."""
        if self._cut in self.pool.when_cut:
            self.pool.when_cut.remove(self._cut)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await asyncio.gather(*(server.close() for server in self._servers.values()))
        await self.pool.close()

    def _address_of(self, host: str) -> str | None:
        place = self.addresses.get(host)
        return None if place is None else place[0]

    def _cut(self, host: str) -> None:
        for ref, server in self._servers.items():
            if host in ("", ref):
                server.cut_all()
        self._look.set()

    async def _keep_listening(self) -> None:
        """A host that refuses connections does not listen, until it is back."""
        while True:
            refusing = {host for host in self._servers if self.pool.refuses_connections(host)}
            for host in refusing & self._listening:
                self._servers[host].stop_listening()
                self._listening.discard(host)
            for host in self._servers.keys() - refusing - self._listening:
                try:
                    [bound] = bind([self.addresses[host][0]], self.addresses[host][1])
                except XeniosError:
                    continue  # its port is taken for the moment
                self._servers[host].listen(bound)
                self._listening.add(host)
            self._look.clear()
            if len(self._listening) == len(self._servers):
                await self._look.wait()
            else:
                take_back = self.pool.clock.call_later(_LOOK_AGAIN_SECONDS, self._look.set)
                await self._look.wait()
                take_back()
