"""Reads the name of a XenServer pool as a user writes it: xenserver://user@host[:port].

`xenserver` is HTTPS, `xenserver+http` plain HTTP. A user of a domain may be written as it is (DOMAIN\\user,
user@domain) or percent-encoded; the host comes after the last @. A password has no place here: command lines are seen
by every user of a machine and kept in histories, so one that is given is refused, in words that do not repeat it.

Effects: none
"""

import ipaddress
import re
from urllib.parse import quote, unquote

import msgspec

from xenios.drivers.xenserver.transport import HTTP_PORT, HTTPS_PORT, Address
from xenios.errors import TargetUnreadable

USER_OF_OLD = "root"
"""Every XenServer has this user; domain users exist where the pool was joined to a domain."""
_HOST_NAME = re.compile(r"(?=.{1,253}\.?$)(?!-)[\w-]{1,63}(?<!-)(\.(?!-)[\w-]{1,63}(?<!-))*\.?")
_FORM = "write xenserver://user@host[:port], or xenserver+http://user@host[:port] for plain HTTP"


class XenServerTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A pool, by any of its hosts, and who asks."""

    user: str
    address: Address

    def __str__(self) -> str:
        """The target in its shortest form, which reads back as the same."""
        scheme = "xenserver" if self.address.secure else "xenserver+http"
        return f"{scheme}://{quote(self.user, safe='')}@{str(self.address).partition('://')[2]}"


class Secret:
    """A password, which shows itself to nobody by accident: not in repr, str, a traceback or a log."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "<secret>"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written down")

    def reveal(self) -> str:
        """The text, for the one place that sends it."""
        return self._text


def is_xenserver(target: str) -> bool:
    """Whether a target is meant to be read here."""
    return re.match(r"xenserver(\+http)?://", target, re.IGNORECASE) is not None


def parse_target(text: str) -> XenServerTarget:
    """The pool that a target names. Raises TargetUnreadable, without any secret in it."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in ("xenserver", "xenserver+http"):
        raise TargetUnreadable("this is no XenServer target", remedy=_FORM)
    secure = scheme.lower() == "xenserver"
    user_part, at, place = rest.rpartition("@")
    if ":" in user_part:
        raise TargetUnreadable(
            "a password stands in the target, where every user of this machine can read it",
            remedy="leave it out, and give it when asked, in XENIOS_PASSWORD or with --password-file "
            "(a colon that belongs to the user's name is written %3A)",
        )
    if at and not user_part:
        raise TargetUnreadable("no user stands before the @", remedy=_FORM)
    return XenServerTarget(user=_user(user_part), address=_address(place, secure))


def _user(text: str) -> str:
    if not text:
        return USER_OF_OLD
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise TargetUnreadable(
            "the user's name has a % that encodes nothing", remedy="write a % itself as %25"
        )
    try:
        user = unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise TargetUnreadable("the user's name is not UTF-8 where it is encoded", remedy=_FORM) from error
    if any(ord(character) < 32 or ord(character) == 127 for character in user):
        raise TargetUnreadable("the user's name has a control character in it", remedy=_FORM)
    return user


def _address(place: str, secure: bool) -> Address:
    if re.search(r"[/?#]", place.removesuffix("/")):
        raise TargetUnreadable("something stands after the host", remedy=_FORM)
    host, port = _host_and_port(place.removesuffix("/"))
    return Address(host=host, port=_port(port, secure), secure=secure)


def _host_and_port(place: str) -> tuple[str, str | None]:
    if place.startswith("["):
        literal, bracket, rest = place[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise TargetUnreadable(
                "the brackets of the IPv6 address are not closed", remedy="write [2001:db8::1]:8443"
            )
        return _ipv6(literal), rest[1:] if rest else None
    if place.count(":") > 1:
        raise TargetUnreadable(
            "an IPv6 address stands without brackets, so its port cannot be told from it",
            remedy="write it as [2001:db8::1] or [2001:db8::1]:8443",
        )
    host, colon, port = place.partition(":")
    if not host:
        raise TargetUnreadable("no host is named", remedy=_FORM)
    return _name_or_ipv4(host), port if colon else None


def _ipv6(literal: str) -> str:
    address, percent, zone = literal.partition("%")
    zone = zone.removeprefix("25")  # a zone's % may be written encoded
    try:
        canonical = str(ipaddress.IPv6Address(address))
    except ValueError as error:
        raise TargetUnreadable(
            "what stands in the brackets is no IPv6 address", remedy="write it as [2001:db8::1]"
        ) from error
    if percent and not re.fullmatch(r"[\w.-]+", zone):
        raise TargetUnreadable(
            "the zone of the IPv6 address is not readable", remedy="write it as [fe80::1%eth0]"
        )
    return f"{canonical}%{zone}" if percent else canonical


def _name_or_ipv4(host: str) -> str:
    if re.fullmatch(r"[0-9.]+", host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as error:
            raise TargetUnreadable(f"{host} is no IPv4 address", remedy=_FORM) from error
    if not _HOST_NAME.fullmatch(host):
        raise TargetUnreadable("the host's name has characters that no host's name has", remedy=_FORM)
    return host


def _port(text: str | None, secure: bool) -> int:
    if text is None:
        return HTTPS_PORT if secure else HTTP_PORT
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise TargetUnreadable(
            "the port is no number from 1 to 65535", remedy="write it as in xenserver://root@host:8443"
        )
    return int(text)
