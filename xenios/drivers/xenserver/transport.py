"""How bytes get to a XenServer host and back: the one narrow door between the client and whatever carries it.

The client asks for one POST at a time and knows nothing of sockets, so that a simulated pool in this process answers
through the same client code as a real one (simulator/serving/in_process.py). What may go wrong is an enum, because
each kind needs another word of advice.

Effects: none
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

HTTPS_PORT = 443
HTTP_PORT = 80


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a host listens. `host` is a name or an IP literal, IPv6 without its brackets."""

    host: str
    port: int
    secure: bool = True
    """HTTPS; otherwise plain HTTP."""

    def __str__(self) -> str:
        """As a URL without a path: https://[2001:db8::1]:8443; the port only where it is not the usual one."""
        scheme, usual_port = ("https", HTTPS_PORT) if self.secure else ("http", HTTP_PORT)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}" + (f":{self.port}" if self.port != usual_port else "")

    def at(self, host: str) -> "Address":
        """Another host, reached the same way: XAPI names members without scheme and port."""
        return Address(host=host.removeprefix("[").removesuffix("]"), port=self.port, secure=self.secure)


class HttpAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer, whatever its status."""

    status: int
    content_type: str
    """Media type without parameters, lower case; empty where none was given."""
    body: bytes


class Trouble(StrEnum):
    """Why there is no answer."""

    REFUSED = "nothing listens there"
    UNREACHABLE = "no way leads there"
    NAME_UNKNOWN = "the name is not known"
    SILENT = "no answer in time"
    UNTRUSTED = "its certificate is signed by nobody this machine trusts"
    EXPIRED = "its certificate is not valid at this time"
    WRONG_NAME = "its certificate is for another name"
    FINGERPRINT_DIFFERS = "its certificate is not the one expected"
    NOT_TLS = "it does not speak TLS"
    TLS_TOO_OLD = "there is no way to encrypt that both sides accept"
    TLS_EXPECTED = "it speaks TLS and not plain HTTP"
    NOT_HTTP = "it does not speak HTTP"
    BROKEN_OFF = "the connection broke off"
    TOO_LARGE = "the answer is too large"


class TransportError(Exception):
    """There is no answer. Whether the question arrived is not known for SILENT and BROKEN_OFF."""

    def __init__(self, trouble: Trouble, details: str = "", *, fingerprint: str = "") -> None:
        super().__init__(details or trouble.value)
        self.trouble = trouble
        self.details = details
        """What the system or the TLS library said, where it says more than `trouble`."""
        self.fingerprint = fingerprint
        """SHA-256 of the certificate that was offered, as AA:BB:…, where it is known."""


class Transport(Protocol):
    """Carries one question at a time to an address; many may be under way at once."""

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
        """Posts the body and waits for the whole answer. Raises TransportError and nothing else.

        `answer_bytes_max`: a longer answer is TOO_LARGE; None: what the transport takes at most.
        """

    async def close(self) -> None:
        """Lets go of every connection; safe to call twice."""
