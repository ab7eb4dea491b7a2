"""How Java reads numbers and cuts and hashes texts, as far as CloudStack's look at names hangs on it.

Effects: none
"""

import hashlib
import unicodedata
import uuid


def java_parts(name: str) -> list[str]:
    """Java's name.split("-"), which drops the empty parts at the end: "i-2-3-VM-" has four."""
    parts = name.split("-")
    while len(parts) > 1 and not parts[-1]:
        parts.pop()
    return parts


def java_long(text: str, base: int = 10) -> int | None:
    """What Java's Long.parseLong makes of the text; None where it throws.

    Java goes through it by UTF-16 units, so it takes the decimal digits of every script of the first plane and none
    beyond, and in base 16 the full-width letters too. A plus sign is taken since Java 7.
    """
    digits = text[1:] if text[:1] in ("+", "-") else text
    values = [_java_digit(digit) for digit in digits]
    if not values:
        return None
    size = 0
    for value in values:
        if value is None or value >= base:
            return None
        size = min(size * base + value, 2**63 + 1)  # beyond that, no digit makes it valid again
    size = -size if text[0] == "-" else size
    return size if -(2**63) <= size < 2**63 else None


def name_uuid(name: str) -> str:
    """Java's UUID.nameUUIDFromBytes(name), which CloudStack gives to the domains that it makes on KVM."""
    digest = bytearray(hashlib.md5(name.encode(errors="replace"), usedforsecurity=False).digest())
    return str(uuid.UUID(bytes=bytes(digest), version=3))


def _java_digit(digit: str) -> int | None:
    if digit > "\uffff":
        return None
    if (value := unicodedata.decimal(digit, None)) is not None:
        return value
    if "\uff21" <= digit <= "\uff3a" or "\uff41" <= digit <= "\uff5a":
        digit = chr(ord(digit) - 0xFEE0)
    return int(digit, 36) if digit.isascii() and digit.isalpha() else None
