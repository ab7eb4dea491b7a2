"""Are numbers and texts read as Java reads them?

Effects: none
"""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenios.decide.precedent.java_text import java_long, java_parts, name_uuid


@pytest.mark.parametrize(
    ("text", "base", "value"),
    [
        ("0", 10, 0),
        ("-0", 10, 0),
        ("+7", 10, 7),
        ("-7", 10, -7),
        ("007", 10, 7),
        ("", 10, None),
        ("+", 10, None),
        ("-", 10, None),
        ("1.0", 10, None),
        ("a", 10, None),
        ("a", 16, 10),
        ("F", 16, 15),
        ("g", 16, None),
        (str(2**63 - 1), 10, 2**63 - 1),
        (str(2**63), 10, None),
        (str(-(2**63)), 10, -(2**63)),
        (str(-(2**63) - 1), 10, None),
        ("9" * 5000, 10, None),
        ("9" * 5000 + "x", 10, None),
    ],
)
def test_whole_numbers(text: str, base: int, value: int | None) -> None:
    assert java_long(text, base) == value


@given(st.integers())
def test_every_number_is_read_or_out_of_range(number: int) -> None:
    assert java_long(str(number)) == (number if -(2**63) <= number < 2**63 else None)


@given(st.text("a-", max_size=9))
def test_a_split_has_no_empty_part_at_the_end(text: str) -> None:
    parts = java_parts(text)
    assert len(parts) == 1 or parts[-1]
    assert "-".join(parts) == text.rstrip("-") or parts == [""]


def test_the_uuid_that_java_makes_of_a_name() -> None:
    # UUID.nameUUIDFromBytes("hello".getBytes()), of the MD5 5d41402abc4b2a76b9719d911017c592
    assert name_uuid("hello") == "5d41402a-bc4b-3a76-b971-9d911017c592"
    assert uuid.UUID(name_uuid("i-2-3-VM")).version == 3
    assert name_uuid("Süd") != name_uuid("Sud")
    assert name_uuid("\ud800") == name_uuid("?")  # what Java's getBytes writes for half a character
