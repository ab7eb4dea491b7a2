"""Whom a connection to a XenServer host trusts: a certificate signed for that name, one certificate, or anybody.

A XenServer host signs its certificate itself unless its operator gave it another, so "checked" alone would lock most
pools out. The answer is to pin the certificate by its SHA-256 fingerprint, which is checked before a password is sent;
to check nothing is possible, and said aloud wherever the pool is shown.

Effects: reads files (the certificates that this machine trusts)
"""

from __future__ import annotations

import hashlib
import re
import ssl

import msgspec

from xenios.errors import XeniosError

_FINGERPRINT = re.compile(r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}|[0-9A-F]{64}")
_BEFORE_IT = re.compile(r"(?:sha-?256)?\s*(?:fingerprint)?\s*[=:]?\s*", re.IGNORECASE)


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """Which certificates are accepted. The default: those signed, for that name, by somebody this machine trusts."""

    fingerprints: frozenset[bytes] = frozenset()
    """SHA-256 of certificates; when there are any, exactly these are accepted. A pool has one for each host."""
    of_anybody: bool = False
    """Nothing is checked: whoever sits in between can read the password and answer in the pool's place."""

    @property
    def words(self) -> str:
        """For a person who must know how far what was read can be trusted."""
        if self.of_anybody:
            return "certificate NOT checked"
        return "certificate known by its fingerprint" if self.fingerprints else "certificate checked"


def fingerprint_from(text: str) -> bytes:
    """A SHA-256 fingerprint as openssl, browsers and XenCenter write it. Raises XeniosError."""
    written = _BEFORE_IT.sub("", text.strip(), count=1).upper()
    if not _FINGERPRINT.fullmatch(written):
        raise XeniosError(
            "this is no SHA-256 fingerprint, which has 64 hexadecimal digits, in pairs with colons or without",
            remedy="on the host: openssl x509 -noout -fingerprint -sha256 -in /etc/xensource/xapi-ssl.pem",
        )
    return bytes.fromhex(written.replace(":", ""))


def fingerprint_of(certificate: bytes) -> bytes:
    """The SHA-256 fingerprint of a certificate in DER."""
    return hashlib.sha256(certificate).digest()


def fingerprint_words(digest: bytes) -> str:
    """As openssl writes it: AA:BB:…"""
    return digest.hex(":").upper()


def context_for(trust: Trust) -> ssl.SSLContext:
    """The settings for every connection under this trust. Making them costs milliseconds; make them once."""
    context = ssl.create_default_context()
    # OpenSSL's own list instead of Python's, which lacks what XenServer 7.0 has to offer.
    context.set_ciphers("DEFAULT")
    # Python says so by itself, but not every distribution's.
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if trust.of_anybody or trust.fingerprints:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # Old hosts have keys that OpenSSL of today finds too short. Whose key it is, the fingerprint says.
        context.set_ciphers("DEFAULT:@SECLEVEL=1")
    return context
