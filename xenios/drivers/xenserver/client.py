"""Carries questions to XenServer hosts over HTTP and HTTPS: the only part of this driver that opens a connection.

One `HttpTransport` serves all pools of a process: one set of connections, one TLS context. It sends what XAPI's small
server wants and nothing more: a Content-Length, headers far below its limit of 1,024 bytes, no cookies, no
compression; it follows no redirect and uses no proxy, so that a password goes where the user said or nowhere. A
certificate is judged before anything is sent. Sessions and calls are in session.py.

Names are looked up in daemon threads: a resolver that hangs may not keep the process from ending.

Source: xapi's http_svr.ml and xapi_http.ml (limits).

Effects: reads hypervisors
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from xenios import __version__
from xenios.drivers.threads import DaemonThreads
from xenios.drivers.xenserver.tls import Trust, context_for, fingerprint_of, fingerprint_words
from xenios.drivers.xenserver.transport import Address, HttpAnswer, TransportError, Trouble

USER_AGENT = f"xenios/{__version__}"
CONNECT_SECONDS_MAX = 10.0
"""For one address: what is not there costs no more than this, however long an answer may take."""
CERTIFICATE_SECONDS_MAX = 3.0
KEEPALIVE_SECONDS = 60.0
ANSWER_BYTES_MAX = 512 * 2**20
"""Ten thousand VMs are 30 MB."""
READ_BUFFER_BYTES = 2**20
RESOLVER_THREADS = 4

_TIME_IS_WRONG = 9, 10
_NAME_IS_WRONG = 62, 63, 64
"""OpenSSL's X509_V_ERR_*: hostname, e-mail and address mismatch; before them: not yet valid, expired."""
_NO_TLS = (
    "WRONG_VERSION_NUMBER",
    "RECORD_LAYER_FAILURE",
    "HTTP_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "UNKNOWN_PROTOCOL",
)
_TOO_OLD = (
    "UNSUPPORTED_PROTOCOL",
    "PROTOCOL_VERSION",
    "HANDSHAKE_FAILURE",
    "TOO_SMALL",
    "NO_SHARED_CIPHER",
    "TOO_WEAK",
)
_NO_WAY = {
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.EADDRNOTAVAIL,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
    errno.EACCES,
}
_TLS_ALERT = r"\x15\x03"


class HttpTransport:
    """The transport of real pools; see transport.py. Connections begin with the first question."""

    def __init__(self, trust: Trust | None = None) -> None:
        self._trust = trust or Trust()
        self._context: ssl.SSLContext | None = None
        self._http: aiohttp.ClientSession | None = None

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
        """See transport.py."""
        http = self._connections()
        timeout = aiohttp.ClientTimeout(
            total=timeout_seconds, sock_connect=min(timeout_seconds, CONNECT_SECONDS_MAX)
        )
        try:
            async with http.post(
                URL.build(
                    scheme="https" if base.secure else "http", host=base.host, port=base.port, path=path
                ),
                data=body,
                headers=headers,
                timeout=timeout,
                ssl=self._context or True,
                allow_redirects=False,
            ) as answer:
                media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
                return HttpAnswer(
                    status=answer.status,
                    content_type=media_type,
                    body=await _whole_body(answer, answer_bytes_max or ANSWER_BYTES_MAX),
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            trouble = _trouble(error, base)
            if trouble.trouble in (Trouble.UNTRUSTED, Trouble.WRONG_NAME, Trouble.EXPIRED):
                trouble.fingerprint = await _fingerprint_shown_by(base)
            raise trouble from error

    async def close(self) -> None:
        """See transport.py."""
        http, self._http = self._http, None
        if http is not None:
            await http.close()

    def _connections(self) -> aiohttp.ClientSession:
        if self._http is None:
            if self._context is None:
                self._context = context_for(self._trust)
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,  # each pool bounds its own questions; a thousand may each wait for events
                    keepalive_timeout=KEEPALIVE_SECONDS,
                    resolver=_PatientResolver(),
                    ssl=_OneOf(self._trust.fingerprints) if self._trust.fingerprints else True,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": USER_AGENT},
                skip_auto_headers=("Accept", "Accept-Encoding"),
                auto_decompress=False,
                read_bufsize=READ_BUFFER_BYTES,
                trust_env=False,
            )
        return self._http


class _OneOf(aiohttp.Fingerprint):
    """Accepts exactly the certificates with these fingerprints; aiohttp asks it before it sends anything."""

    def __init__(self, fingerprints: frozenset[bytes]) -> None:
        super().__init__(min(fingerprints))
        self._accepted = fingerprints

    def check(self, transport: asyncio.Transport) -> None:
        """Raises ServerFingerprintMismatch."""
        connection = transport.get_extra_info("ssl_object")
        if connection is None:
            return  # plain HTTP
        shown = fingerprint_of(connection.getpeercert(binary_form=True) or b"")
        if shown not in self._accepted:
            raise aiohttp.ServerFingerprintMismatch(self.fingerprint, shown, "", 0)


class _PatientResolver(AbstractResolver):
    """Looks names up as the machine is set up to, in threads that nobody has to wait for."""

    def __init__(self) -> None:
        self._threads: DaemonThreads | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of a name. Raises OSError."""
        if self._threads is None:
            self._threads = DaemonThreads(RESOLVER_THREADS, "names")
        try:
            found = await self._threads.run(
                lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
            )
        except UnicodeError as error:
            raise OSError("it is no name that can be looked up") from error
        return [
            ResolveResult(
                hostname=host,
                host=str(where[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST,
            )
            for kind, _, protocol, _, where in found
        ]

    async def close(self) -> None:
        """Lets idle threads end."""
        if self._threads is not None:
            self._threads.stop()


async def _whole_body(answer: aiohttp.ClientResponse, bytes_max: int) -> bytes:
    if (answer.content_length or 0) > bytes_max:
        raise TransportError(Trouble.TOO_LARGE)
    pieces: list[bytes] = []
    size_bytes = 0
    async for piece in answer.content.iter_any():
        size_bytes += len(piece)
        if size_bytes > bytes_max:
            raise TransportError(Trouble.TOO_LARGE)
        pieces.append(piece)
    return b"".join(pieces)


def _trouble(error: Exception, base: Address) -> TransportError:
    """What an error of aiohttp, TLS or the system comes to."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return _certificate_trouble(error.certificate_error)
        case aiohttp.ServerFingerprintMismatch():
            return TransportError(Trouble.FINGERPRINT_DIFFERS, fingerprint=fingerprint_words(error.got))
        case aiohttp.ClientConnectorSSLError():
            return _tls_trouble(error.os_error)
        case aiohttp.ClientConnectorDNSError() | aiohttp.InvalidURL():
            return TransportError(Trouble.NAME_UNKNOWN)
        case TimeoutError():
            return TransportError(Trouble.SILENT)
        case aiohttp.ClientResponseError():
            if _TLS_ALERT in error.message:
                return TransportError(Trouble.TLS_EXPECTED)
            return TransportError(Trouble.NOT_HTTP)
        case OSError():
            return _system_trouble(error, base)
        case ValueError():
            return TransportError(Trouble.NAME_UNKNOWN)
        case _:
            return TransportError(Trouble.BROKEN_OFF)


def _system_trouble(error: OSError, base: Address) -> TransportError:
    connecting = isinstance(error, aiohttp.ClientConnectorError)
    match error.errno:
        case errno.ECONNREFUSED:
            return TransportError(Trouble.REFUSED)
        case errno.ETIMEDOUT:
            return TransportError(Trouble.SILENT)
        case socket.EAI_NONAME:  # an IPv6 address whose zone is no interface of this machine
            return TransportError(Trouble.NAME_UNKNOWN)
        case number if number in _NO_WAY:
            return TransportError(Trouble.UNREACHABLE, error.strerror or "")
        case _ if connecting and base.secure:
            return TransportError(Trouble.BROKEN_OFF, "while encryption was set up")
        case _:
            return TransportError(Trouble.BROKEN_OFF)


def _certificate_trouble(error: Exception) -> TransportError:
    code = getattr(error, "verify_code", 0)
    details = str(getattr(error, "verify_message", ""))
    if code in _NAME_IS_WRONG:
        return TransportError(Trouble.WRONG_NAME, details)
    if code in _TIME_IS_WRONG:
        return TransportError(Trouble.EXPIRED, details)
    return TransportError(Trouble.UNTRUSTED, details)


def _tls_trouble(error: Exception) -> TransportError:
    reason = str(getattr(error, "reason", "") or "")
    if any(word in reason for word in _NO_TLS):
        return TransportError(Trouble.NOT_TLS)
    details = reason.lower().replace("_", " ")
    if any(word in reason for word in _TOO_OLD):
        return TransportError(Trouble.TLS_TOO_OLD, details)
    return TransportError(Trouble.BROKEN_OFF, details or "while encryption was set up")


async def _fingerprint_shown_by(base: Address) -> str:
    """Of the certificate that a host shows to anybody; empty when it shows none. Sends nothing but the handshake."""
    context = context_for(Trust(of_anybody=True))
    try:
        async with asyncio.timeout(CERTIFICATE_SECONDS_MAX):
            _, writer = await asyncio.open_connection(base.host, base.port, ssl=context)
            try:
                certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, ValueError):
        return ""
    return fingerprint_words(fingerprint_of(certificate)) if certificate else ""
