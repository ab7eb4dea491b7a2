"""What can go wrong between us and a XenServer pool, each with what to do about it.

One place, so that the words are the same for a login, a read and a watch. The classes are as many as callers must tell
apart: no answer, an answer that is none, an answer that says no, and a "no" to the login, which must not be repeated.

Effects: none
"""

from __future__ import annotations

from collections.abc import Sequence

from xenios.drivers.xenserver.transport import Address, TransportError, Trouble
from xenios.drivers.xenserver.wire import ApiFailure
from xenios.errors import TargetSilent, TargetUnreadable, XeniosError

LOGIN = "session.login_with_password"
_PINNING = (
    "on the host: openssl x509 -noout -fingerprint -sha256 -in /etc/xensource/xapi-ssl.pem; "
    "give what it prints with --fingerprint"
)
_WAY = "check the address and the port (443, or 80 for xenserver+http), the way to that host and its firewall"
_TEXT_MAX = 300


class PoolUnreachable(TargetUnreadable):
    """There is no answer; whether the host is there at all is not known."""

    def __init__(self, message: str, *, remedy: str, trouble: Trouble) -> None:
        super().__init__(message, remedy=remedy)
        self.trouble = trouble


class PoolSilent(PoolUnreachable, TargetSilent):
    """The host took the question, or might have, and did not answer in time."""


class AnswerUnreadable(TargetUnreadable):
    """There is an answer, and it is not one that XAPI gives."""


class ApiError(TargetUnreadable):
    """XAPI answered that it will not or cannot. `code` and `params` are its own."""

    def __init__(self, message: str, *, remedy: str, method: str, failure: ApiFailure) -> None:
        super().__init__(message, remedy=remedy)
        self.method = method
        self.code = failure.code
        self.params = failure.params


class LoginRefused(ApiError):
    """User or password are wrong, or that user may not log in. Asking again only locks the account."""


class SessionRenewed(XeniosError):
    """The session in which something was to be asked is gone, and another one took its place: begin anew."""

    def __init__(self) -> None:
        super().__init__("the session ended and was renewed", remedy="read everything again")


class MethodRefused(Exception):
    """A defect of ours: a method was to be called that this connection is not for. Nothing was sent."""


_UNREACHABLE: dict[Trouble, str] = {
    Trouble.REFUSED: "check the port, and whether XAPI runs there (it is away for a minute when the toolstack "
    "restarts)",
    Trouble.UNREACHABLE: _WAY,
    Trouble.NAME_UNKNOWN: "check the spelling, or give the address",
    Trouble.SILENT: f"{_WAY}; or give it longer with --timeout; a pool member that has lost its master hangs like this",
    Trouble.UNTRUSTED: "a XenServer host signs its certificate itself. Compare its fingerprint with the real one: "
    + _PINNING,
    Trouble.EXPIRED: "check the clocks of both machines, or renew it on the host; or pin it: " + _PINNING,
    Trouble.WRONG_NAME: "use the name that it is for, or pin it: " + _PINNING,
    Trouble.FINGERPRINT_DIFFERS: "if it was renewed, or this is another member of the pool (each has its own; "
    "--fingerprint may be given several times), pin it: " + _PINNING + ". If not, somebody sits in between",
    Trouble.NOT_TLS: "check the port; for plain HTTP write xenserver+http://",
    Trouble.TLS_TOO_OLD: "update the host, or read its database file instead (xe pool-dump-database)",
    Trouble.TLS_EXPECTED: "write xenserver:// instead of xenserver+http://",
    Trouble.NOT_HTTP: "check the port: 443, or 80 for xenserver+http",
    Trouble.BROKEN_OFF: "the toolstack may be restarting: try again in a minute",
    Trouble.TOO_LARGE: "check that this is a XenServer host",
}
_BY_HTTPS = {Trouble.SILENT: ", and so does plain HTTP that is asked for HTTPS"}
_BY_HTTP = {
    Trouble.REFUSED: "; a host with https_only has no port 80: use xenserver:// then",
    Trouble.BROKEN_OFF: "; if it speaks HTTPS only, write xenserver://",
}
"""What there is to say only to somebody who asked in this way."""

_AS_IT_IS = "see what the host's /var/log/xensource.log says at this time"
_REFUSED: dict[str, tuple[str, str]] = {
    "SESSION_AUTHENTICATION_FAILED": (
        "the user or the password is wrong",
        "give the right ones; users of a domain are written DOMAIN\\user or user@domain",
    ),
    "SESSION_AUTHORIZATION_FAILED": (
        "the password is right, but this user has no role in the pool",
        "give the user a role that may read (xe subject-role-add), or use another",
    ),
    "RBAC_PERMISSION_DENIED": (
        "the user's role does not allow it",
        "every role from read-only on may read; give the user one (xe subject-role-add)",
    ),
    "HOST_STILL_BOOTING": ("the host is still starting", "try again in a minute"),
    "HOST_IN_EMERGENCY_MODE": (
        "the host is in emergency mode: it cannot reach its pool's master",
        "look at the master, or name another member; if the master is lost: xe pool-emergency-transition-to-master",
    ),
    "HOST_MASTER_CANNOT_TALK_BACK": (
        "the host is in emergency mode: its master cannot reach it",
        "check the network between them, or name the master",
    ),
    "HOST_UNKNOWN_TO_MASTER": (
        "the host is in emergency mode: its master does not know it",
        "name another member of the pool; this one was ejected or its pool restored",
    ),
    "HOST_ITS_OWN_SLAVE": (
        "the host is in emergency mode: it takes itself for its own master's member",
        "name another member, and repair this one (xe pool-emergency-transition-to-master)",
    ),
    "HOST_HAS_NO_MANAGEMENT_IP": (
        "the host is in emergency mode: its management interface has no address",
        "repair the management interface on its console (xsconsole)",
    ),
    "HOST_BROKEN": (
        "the host is in emergency mode: high availability did not start on it",
        "look at its HA log; xe host-emergency-ha-disable is the last resort",
    ),
    "HOST_XAPI_VERSION_HIGHER_THAN_COORDINATOR": (
        "the host is in emergency mode: it is newer than its pool's master",
        "update the master first, or name the master",
    ),
    "HOST_IS_SLAVE": ("the host is no master, and names none that is", "name the pool's master"),
    "SESSION_INVALID": ("the session ended again and again", "see what logs sessions out on that pool"),
    "TOO_MANY_PENDING_TASKS": ("the host has too much to do", "try again in a minute"),
    "MESSAGE_METHOD_UNKNOWN": (
        "this release does not know the method",
        "nothing: its release is too old for it",
    ),
}
_WAITED_FOR = frozenset(
    {
        "HOST_STILL_BOOTING",
        "HOST_IN_EMERGENCY_MODE",
        "HOST_MASTER_CANNOT_TALK_BACK",
        "HOST_UNKNOWN_TO_MASTER",
        "HOST_ITS_OWN_SLAVE",
        "HOST_HAS_NO_MANAGEMENT_IP",
        "HOST_BROKEN",
        "HOST_XAPI_VERSION_HIGHER_THAN_COORDINATOR",
        "INTERNAL_ERROR",
        "TOO_MANY_PENDING_TASKS",
    }
)
_NO_XENSERVER = "this is no XenServer host: check the address and the port"
_IN_BETWEEN = "a proxy or load balancer may stand in between that reaches no host: name the host itself"
_STATUS_REMEDIES = {
    **dict.fromkeys(
        (301, 302, 307, 308), "it sends askers elsewhere, where a password does not follow: name that place"
    ),
    401: "something in between asks for a login of its own: name the host itself",
    403: "something in between forbids it: name the host itself",
    407: "a proxy stands in between: name the host itself",
    429: "ask less often, or have the pool's administrator raise the limit for this user agent (xenios)",
    431: "this is a defect of Xenios: report it",
    500: "if this is a XenServer host, xe-toolstack-restart on it cures most of this; VMs run on meanwhile. If not, "
    "check the address and the port",
    **dict.fromkeys((502, 504), _IN_BETWEEN),
    503: f"{_IN_BETWEEN}; or what answers has too much to do: try again in a minute",
}


def says_ask_another(failure: ApiFailure) -> bool:
    """Whether a host's "no" is about itself, so that another member of its pool may say more."""
    return failure.code in _WAITED_FOR


def unreachable(
    address: Address, error: TransportError, timeout_seconds: float, role: str = ""
) -> PoolUnreachable:
    """No answer, in words. `role` says how we came to ask there."""
    who = f"{address}, {role}," if role else str(address)
    only_here = _BY_HTTPS if address.secure else _BY_HTTP
    remedy = _UNREACHABLE[error.trouble] + only_here.get(error.trouble, "")
    match error.trouble:
        case Trouble.SILENT:
            said = f"{who} did not answer within {timeout_seconds:.3g} s"
            return PoolSilent(said, remedy=remedy, trouble=error.trouble)
        case _:
            said = f"{who} cannot be read: {error.trouble.value}"
    if error.details:
        said += f" ({_short(error.details)})"
    if error.fingerprint:
        said += f"; the SHA-256 fingerprint of the one it shows is {error.fingerprint}"
    return PoolUnreachable(said, remedy=remedy, trouble=error.trouble)


def no_time_left(address: Address, method: str, timeout_seconds: float) -> PoolSilent:
    """The time for a whole piece of work was over before this question of it was answered."""
    return PoolSilent(
        f"no time was left of {timeout_seconds:g} s while asking {address} for {method}",
        remedy="give it longer with --timeout; what keeps a host from answering, its /var/log/xensource.log says",
        trouble=Trouble.SILENT,
    )


def refused(address: Address, method: str, failure: ApiFailure) -> ApiError:
    """XAPI's "no", in words."""
    because, remedy = _REFUSED.get(failure.code, ("", _AS_IT_IS))
    said = f"{address} refuses {method}: " + (
        f"{because} ({_native(failure)})" if because else _native(failure)
    )
    kind = (
        LoginRefused
        if failure.code in ("SESSION_AUTHENTICATION_FAILED", "SESSION_AUTHORIZATION_FAILED")
        else ApiError
    )
    return kind(said, remedy=remedy, method=method, failure=failure)


def unreadable(address: Address, method: str, because: str) -> AnswerUnreadable:
    """An answer that looks like XAPI's and cannot be read."""
    what = "the login" if method == LOGIN else method
    return AnswerUnreadable(
        f"what {address} answers to {what} cannot be read: {_short(because)}",
        remedy="try again; if it stays so, something between here and the host changes or cuts answers",
    )


def no_xapi(address: Address, because: str) -> AnswerUnreadable:
    """Something answers, but XAPI it is not."""
    return AnswerUnreadable(
        f"{address} answers, but not as XenServer's XAPI: {_short(because)}",
        remedy="check the address and the port: 443, or 80 for xenserver+http",
    )


def bad_status(address: Address, method: str, status: int) -> AnswerUnreadable:
    """HTTP's own "no"; XAPI's come with status 200."""
    # Whoever was logged in has found a XenServer host.
    remedy = _NO_XENSERVER if method == LOGIN else _IN_BETWEEN
    return AnswerUnreadable(
        f"{address} answers {method} with HTTP status {status}",
        remedy=_STATUS_REMEDIES.get(status, remedy),
    )


def masters_in_a_ring(way: Sequence[Address]) -> AnswerUnreadable:
    """Members that each name another as their master."""
    return AnswerUnreadable(
        "no master is found: " + ", which names ".join(str(address) for address in way),
        remedy="the pool is changing its master or has lost it; look at its members (xe pool-list, xe host-list)",
    )


def _native(failure: ApiFailure) -> str:
    return _short(str(failure)) or "an error without a code"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _TEXT_MAX else f"{text[:_TEXT_MAX]}…"
