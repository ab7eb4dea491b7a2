"""Decodes one value of a XenServer database file: XAPI's own text formats inside XML attributes.

Spaces are protected (`%.` space, `%t` tab, `%n` line feed, `%r` carriage return, `%%` percent; older files also write
`%_` for two spaces). Sets are `('a' 'b')` and maps `(('k' 'v') ('k2' 'v2'))`: s-expressions whose atoms are quoted with
' since schema 5.57 and with " before, backslash-escaped. Sources: xapi's xml_spaces.ml and string_marshall_helper.ml.

Effects: none
"""

import re

_PROTECTED = re.compile(r"%(.)", re.DOTALL)
# Where no quote is escaped, every quote is a border, and what stands between two atoms is one of these. Nearly all
# values are like this; splitting them at the quotes is several times faster than reading token by token.
_BLANK = frozenset({" "})
_MEANT = {".": " ", "t": "\t", "n": "\n", "r": "\r", "%": "%", "_": "  "}
_TOKEN = re.compile(r"""\s*([()'"])""")
_STOP = {quote: re.compile(rf"\\.|{quote}", re.DOTALL) for quote in ("'", '"')}
_ESCAPED = re.compile(r"\\([0-9]{3}|.)", re.DOTALL)
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBERS_END = 2**63
_OLD_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b"}


class UnreadableValue(ValueError):
    """A value is not in XAPI's format."""


def text_of(value: str) -> str:
    """A string as it was stored."""
    if "%" not in value:
        return value
    text = value.replace("%.", " ")
    return text if "%" not in text else _PROTECTED.sub(_unprotected, value)


def set_of(value: str) -> list[str]:
    """The members of a set. Raises UnreadableValue."""
    if value in ("()", ""):
        return []
    text = text_of(value)
    if "\\'" not in text:
        parts = text.split("'")
        if len(parts) % 2 == 1 and parts[0] == "(" and parts[-1] == ")" and _BLANK.issuperset(parts[2:-1:2]):
            return _unescaped(parts[1::2], text)
    members = _expression(text)
    if not all(isinstance(member, str) for member in members):
        raise UnreadableValue("a set holds something that is no text")
    return [str(member) for member in members]


def map_of(value: str) -> dict[str, str]:
    """The pairs of a map; of a key that is there twice the last wins. Raises UnreadableValue."""
    if value in ("()", ""):
        return {}
    text = text_of(value)
    if "\\'" not in text:
        parts = text.split("'")
        if len(parts) % 4 == 1 and parts[::2] == _borders_of_pairs(len(parts) // 4):
            return dict(zip(_unescaped(parts[1::4], text), _unescaped(parts[3::4], text), strict=True))
    pairs: dict[str, str] = {}
    for pair in _expression(text):
        match pair:
            case [str(key), str(content)]:
                pairs[key] = content
            case _:
                raise UnreadableValue("a map holds something that is no pair of texts")
    return pairs


def bool_of(value: str) -> bool:
    """A truth value. Raises UnreadableValue."""
    if value in ("true", "false"):
        return value == "true"
    raise UnreadableValue(f"{value[:40]!r} is neither true nor false")


def int_of(value: str) -> int:
    """A whole number of 64 bits, as XAPI has them. Raises UnreadableValue."""
    if len(value) < 19 and value.isascii() and value.isdigit():
        return int(value)  # nearly all are like this
    if _WHOLE_NUMBER.fullmatch(value) and -_NUMBERS_END <= (number := int(value)) < _NUMBERS_END:
        return number
    raise UnreadableValue(f"{value[:40]!r} is no whole number of 64 bits")


def float_of(value: str) -> float:
    """A number that can be reckoned with: finite, and no larger than a whole one. Raises UnreadableValue."""
    try:
        number = float(value)
    except ValueError as error:
        raise UnreadableValue(f"{value[:40]!r} is no number") from error
    if not abs(number) < _NUMBERS_END:  # so written, it refuses "nan" too
        raise UnreadableValue(f"{value[:40]!r} is no number to reckon with")
    return number


def _unprotected(match: re.Match[str]) -> str:
    return _MEANT.get(match.group(1), match.group(0))


def _borders_of_pairs(count: int) -> list[str]:
    """What stands around the atoms of so many pairs."""
    return ["((", *[" ", ") ("] * (count - 1), " ", "))"] if count else []


def _unescaped(atoms: list[str], text: str) -> list[str]:
    return [_atom(atom, new=True) for atom in atoms] if "\\" in text else atoms


def _expression(text: str) -> list[str | list[str]]:
    """The items of the outermost list; no deeper than lists of atoms, which is all that XAPI stores."""
    items: list[str | list[str]] = []
    inner: list[str] | None = None
    depth, position = 0, 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            if text[position:].strip():
                # Where and not what: maps hold passwords, and a secret never enters an error.
                raise UnreadableValue(f"an s-expression has something unexpected after character {position}")
            break
        position = token.end()
        sign = token.group(1)
        if sign == "(":
            depth += 1
            if depth > 2:
                raise UnreadableValue("an s-expression is nested deeper than a map")
            inner = [] if depth == 2 else None
        elif sign == ")":
            depth -= 1
            if depth < 0:
                raise UnreadableValue("an s-expression has a closing bracket too many")
            if inner is not None:
                items.append(inner)
                inner = None
        else:
            if depth == 0:
                raise UnreadableValue("a set or map does not begin with a bracket")
            end = _end_of_atom(text, position, sign)
            atom = _atom(text[position:end], new=sign == "'")
            (items if inner is None else inner).append(atom)
            position = end + 1
    if depth != 0:
        raise UnreadableValue("an s-expression ends before its closing bracket")
    return items


def _end_of_atom(text: str, beginning: int, quote: str) -> int:
    """Where the quote is that ends an atom: the first that no backslash escapes.

    One regular expression for the whole atom would keep a note per character, gigabytes for a hostile one.
    """
    end = text.find(quote, beginning)
    if text.find("\\", beginning, end) < 0:
        if end < 0:
            raise UnreadableValue("an s-expression ends within quotes")
        return end
    for stop in _STOP[quote].finditer(text, beginning):
        if stop.group() == quote:
            return stop.start()
    raise UnreadableValue("an s-expression ends within quotes")


def _atom(quoted: str, *, new: bool) -> str:
    if "\\" not in quoted:
        return quoted
    if new:
        return _ESCAPED.sub(lambda match: match.group(1), quoted)
    return _ESCAPED.sub(_old_escape, quoted)


def _old_escape(match: re.Match[str]) -> str:
    """Releases that quoted with " escaped as OCaml does: names for some control characters, decimals for others."""
    escaped = match.group(1)
    if len(escaped) == 3:
        return chr(int(escaped)) if int(escaped) < 256 else match.group(0)
    return _OLD_ESCAPES.get(escaped, escaped)
