"""How figures and foreign text are written for people: the same on a terminal and on a page.

Names come from strangers. Whatever could steer a terminal, hide itself or reorder a line is shown as an escape.

Effects: none
"""

import unicodedata
from datetime import UTC, datetime

NOT_TOLD = "–"
_STEERING = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def shown(text: str) -> str:
    """Foreign text with every character escaped that is not plainly visible: controls, bidi overrides, surrogates."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if unicodedata.category(character) not in _STEERING:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def bytes_text(size: int | None) -> str:
    """A size with three significant digits and a binary unit: 512 MiB, 1.5 GiB."""
    if size is None:
        return NOT_TOLD
    value, unit = float(size), 0
    while abs(value) >= 1023.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    if unit == 0 or abs(value) >= 99.95 or value == int(value):
        return f"{value:.0f} {_UNITS[unit]}"
    return f"{value:.1f} {_UNITS[unit]}"


def time_text(micros: int | None) -> str:
    """A moment in UTC to the minute."""
    if micros is None:
        return NOT_TOLD
    return datetime.fromtimestamp(micros / 1_000_000, tz=UTC).strftime("%Y-%m-%d %H:%M UTC")


def duration_text(seconds: int | None) -> str:
    """A time span in its two largest units: 3 d 4 h, 12 min."""
    if seconds is None:
        return NOT_TOLD
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes = rest // 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def number_text(value: int | None) -> str:
    """A number, or that it was not told."""
    return NOT_TOLD if value is None else str(value)


def plural(count: int, thing: str) -> str:
    """A count with its noun: 1 VM, 2 VMs."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
