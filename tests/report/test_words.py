"""Is foreign text harmless wherever it is shown, and are figures written so that nobody misreads them?

Effects: none
"""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenios.report.words import NOT_TOLD, bytes_text, duration_text, number_text, plural, shown, time_text

KIB = 1024


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("web-1", "web-1"),
        ("", ""),
        ("Süd 日本語 \U0001f680", "Süd 日本語 \U0001f680"),
        ("back\\slash", "back\\slash"),
        ("<b>&amp;</b>", "<b>&amp;</b>"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\rd", "a\\x0ab\\x09c\\x0dd"),
        ("\x00\x7f", "\\x00\\x7f"),
        ("\u009b31m", "\\x9b31m"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("\u2066a\u2069\u200e\u200f\u061c", "\\u2066a\\u2069\\u200e\\u200f\\u061c"),
        ("a\u200bb\u200cc\u200dd\ufeffe\u2060", "a\\u200bb\\u200cc\\u200dd\\ufeffe\\u2060"),
        ("a\u00adb", "a\\xadb"),
        ("\u2028\u2029\u0085", "\\u2028\\u2029\\x85"),
        ("web\u00a01", "web\\xa01"),
        ("\u3000", "\\u3000"),
        ("\ud800", "\\ud800"),
        ("\ue000", "\\ue000"),
        ("\uffff", "\\uffff"),
        ("\U000e0041\U000e0001", "\\U000e0041\\U000e0001"),
        ("\u3164\u115f\u2800", "\\u3164\\u115f\\u2800"),
        ("x\U000e0100", "x\\U000e0100"),
        ("❤\ufe0f", "❤\ufe0f"),
    ],
)
def test_shown(text: str, escaped: str) -> None:
    assert shown(text) == escaped


def test_no_name_is_too_long_for_a_report() -> None:
    assert shown("x" * 10_000) == "x" * 10_000
    text = shown("\n" + "x" * 50_000_000)
    assert text.startswith("\\x0axxx")
    assert text.endswith("xxx… (49990001 more characters)")
    assert len(text) < 11_000


@settings(deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=[])))
def test_what_is_shown_can_be_seen_and_is_shown_once(text: str) -> None:
    once = shown(text)
    assert once.isprintable()
    assert shown(once) == once
    once.encode()


def test_every_character_there_is() -> None:
    for code in range(sys.maxunicode + 1):
        text = shown(chr(code))
        if not text.isprintable():
            pytest.fail(f"U+{code:04X} is shown as it is")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, NOT_TOLD),
        (0, "0 B"),
        (1, "1 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (99 * KIB + 1000, "100 KiB"),
        (512 * KIB**2, "512 MiB"),
        (KIB**2 - 1, "1 MiB"),
        (3 * KIB**3 // 2, "1.5 GiB"),
        (-5 * KIB**3, "-5 GiB"),
        (KIB**6, "1 EiB"),
        (2**63 - 1, "8 EiB"),
        (5000 * KIB**6, "5000 EiB"),
    ],
)
def test_sizes(size: int | None, text: str) -> None:
    assert bytes_text(size) == text


@settings(deadline=None)
@given(st.integers() | st.integers(min_value=2**900).map(lambda n: n**3))
def test_any_size_can_be_said(size: int) -> None:
    text = bytes_text(size)
    assert text.isprintable()
    assert len(text) < 400


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (None, NOT_TOLD),
        (0, "1970-01-01 00:00 UTC"),
        (1_787_277_623_000_000, "2026-08-21 02:00 UTC"),
        (-1, "1969-12-31 23:59 UTC"),
        (253_402_300_799_000_000, "9999-12-31 23:59 UTC"),
        (253_402_300_800_000_000, "253402300800000000 µs from 1970"),
        (-(10**30), f"-{10**30} µs from 1970"),
        (10**40, f"{10**40} µs from 1970"),
    ],
)
def test_times(micros: int | None, text: str) -> None:
    assert time_text(micros) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, NOT_TOLD),
        (0, "0 min"),
        (59, "0 min"),
        (60, "1 min"),
        (3_600, "1 h 0 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d 0 h"),
        (273_600, "3 d 4 h"),
        (-90, "−1 min"),
        (-86_400, "−1 d 0 h"),
        (10**12, "11574074 d 1 h"),
    ],
)
def test_durations(seconds: int | None, text: str) -> None:
    assert duration_text(seconds) == text


def test_numbers() -> None:
    assert (number_text(None), number_text(0), number_text(-3)) == (NOT_TOLD, "0", "-3")
    assert (plural(0, "VM"), plural(1, "VM"), plural(2, "VM")) == ("0 VMs", "1 VM", "2 VMs")
