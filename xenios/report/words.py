"""How verdicts, figures and foreign text are written for people: the same on a terminal and on a page.

Names come from strangers. Whatever could steer a terminal, hide itself or reorder a line is shown as an escape.

Effects: none
"""

from datetime import UTC, datetime, timedelta

from xenios.decide.precedent import Harm

NOT_TOLD = "–"
ADOPTION_WORDS = {
    "yes": ("may be adopted as it is", "may be adopted as they are"),
    "ask the operator": ("needs a word from you first", "need a word from you first"),
    "not now": ("cannot be adopted now", "cannot be adopted now"),
    "no": ("cannot be adopted", "cannot be adopted"),
}
"""What the report says of adopting (`VmReport.may_be_adopted`), after "1" and after a greater number; best first."""
HARM_WORDS = {
    Harm.RECORD_DESTROYED: "destroy now",
    Harm.ON_CHANGE: "destroy later",
    Harm.DRIVE_REMOVED: "remove a drive",
    Harm.NONE: "leave alone",
}
"""What another manager would do to a VM."""
# Letters and marks by name, but nothing to see. The two selectors that make a sign an emoji or a letter may stand.
_INVISIBLE = frozenset(
    map(chr, (0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x2800, 0x3164, 0xFFA0))
) | frozenset(map(chr, (*range(0xFE00, 0xFE0E), *range(0xE0100, 0xE01F0))))
SHOWN_CHARACTERS_MAX = 10_000
"""XAPI takes names of 300,000 characters, and a server that is none sends longer ones: a report must still end."""
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def shown(text: str) -> str:
    """Foreign text with every character escaped that is not plainly visible: controls, bidi overrides, surrogates.

    No text is too long for a report: of one that is longer than anything people write, the beginning is shown, and
    how much is left out.
    """
    if len(text) > SHOWN_CHARACTERS_MAX:
        left_out = len(text) - SHOWN_CHARACTERS_MAX
        return f"{shown(text[:SHOWN_CHARACTERS_MAX])}… ({left_out} more characters)"
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character.isprintable() and character not in _INVISIBLE:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else (f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def bytes_text(size: int | None) -> str:
    """A size with three significant digits and a binary unit: 512 MiB, 1.5 GiB."""
    if size is None:
        return NOT_TOLD
    if abs(size) >= 2**1000:
        return f"more than {_UNITS[-1]} can say"
    value, unit = float(size), 0
    while abs(value) >= 1023.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    digits = f"{value:.0f}" if unit == 0 or abs(value) >= 99.95 else f"{value:.1f}".removesuffix(".0")
    return f"{digits} {_UNITS[unit]}"


def time_text(micros: int | None) -> str:
    """A moment in UTC to the minute."""
    if micros is None:
        return NOT_TOLD
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    except OverflowError:
        return f"{micros} µs from 1970"  # beyond the calendar
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def duration_text(seconds: int | None) -> str:
    """A time span in its two largest units: 3 d 4 h, 12 min."""
    if seconds is None:
        return NOT_TOLD
    if seconds < 0:
        return f"−{duration_text(-seconds)}"
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


def adoption_words(adoption: str, count: int) -> str:
    """The rest of the sentence after a count of VMs: may be adopted as they are."""
    return ADOPTION_WORDS[adoption][count != 1]
