"""Fingerprints as people paste them, and what a connection trusts.

Effects: none
"""

from __future__ import annotations

import hashlib
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenios.drivers.xenserver.tls import (
    Trust,
    context_for,
    fingerprint_from,
    fingerprint_of,
    fingerprint_words,
)
from xenios.errors import XeniosError

DIGEST = hashlib.sha256(b"certificate").digest()
WORDS = fingerprint_words(DIGEST)


@pytest.mark.parametrize(
    "text",
    [
        WORDS,
        WORDS.lower(),
        WORDS.replace(":", ""),
        f" {WORDS}\n",
        f"SHA256 Fingerprint={WORDS}",
        f"sha256 Fingerprint={WORDS}",
        f"SHA-256: {WORDS}",
        f"sha256:{DIGEST.hex()}",
    ],
)
def test_a_fingerprint_as_tools_write_it(text: str) -> None:
    assert fingerprint_from(text) == DIGEST == fingerprint_of(b"certificate")


@pytest.mark.parametrize(
    "text",
    [
        "",
        WORDS[:-1],
        WORDS + "0",
        WORDS[:-3],
        WORDS.replace(":", "-"),
        WORDS.replace("A", "G") + "G",
        hashlib.sha1(b"x").hexdigest(),  # noqa: S324 - too short to be safe, and so refused
        "SHA1 Fingerprint=" + hashlib.sha1(b"x").hexdigest(),  # noqa: S324
        "０" * 64,
        "certificate.pem",
    ],
)
def test_what_is_no_fingerprint_is_said_with_how_to_get_one(text: str) -> None:
    with pytest.raises(XeniosError) as raised:
        fingerprint_from(text)
    assert "SHA-256" in str(raised.value)
    assert "openssl" in raised.value.remedy


@given(st.binary(min_size=32, max_size=32))
def test_a_fingerprint_reads_back_as_itself(digest: bytes) -> None:
    assert fingerprint_from(fingerprint_words(digest)) == digest


def test_what_is_trusted_is_said_in_words() -> None:
    pinned = Trust(fingerprints=frozenset({DIGEST}))
    assert len({Trust().words, pinned.words, Trust(of_anybody=True).words}) == 3
    assert "NOT" in Trust(of_anybody=True).words


def test_without_a_word_every_certificate_is_checked() -> None:
    context = context_for(Trust())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    for trust in (Trust(), Trust(of_anybody=True), Trust(fingerprints=frozenset({DIGEST}))):
        assert context_for(trust).minimum_version is ssl.TLSVersion.TLSv1_2
