"""Are XAPI's values read as XAPI wrote them, and are others refused?

Effects: none
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenios.drivers.xenserver.marshal import (
    UnreadableValue,
    bool_of,
    float_of,
    int_of,
    map_of,
    set_of,
    text_of,
)
from xenios.simulator.database_file import Dialect, dialect_of

NEW, OLD = dialect_of((5, 909)), dialect_of((5, 55))
dialects = st.sampled_from((NEW, OLD))


def protected(dialect: Dialect, text: str) -> str:
    """As it stands in the file after XML's own escapes are undone."""
    if dialect.old:
        for plain, mark in (("%", "%%"), ("\t", "%t"), ("\n", "%n"), ("\r", "%r"), ("  ", "%_")):
            text = text.replace(plain, mark)
        return text
    for plain, mark in (("%", "%%"), (" ", "%."), ("\t", "%t"), ("\n", "%n"), ("\r", "%r")):
        text = text.replace(plain, mark)
    return text


# What XML cannot hold, XAPI cannot store.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters=[chr(c) for c in range(32)])).map(
    lambda text: (
        text.replace("x", " ").replace("y", "\n").replace("z", "'").replace("w", '"').replace("v", "\\")
    )
)


@settings(deadline=None)
@given(texts, dialects)
def test_text_comes_back(text: str, dialect: Dialect) -> None:
    assert text_of(protected(dialect, text)) == text


@settings(deadline=None)
@given(st.lists(texts, max_size=5), dialects)
def test_sets_come_back(members: list[str], dialect: Dialect) -> None:
    assert set_of(protected(dialect, dialect.expression(members))) == members


@settings(deadline=None)
@given(st.dictionaries(texts, texts, max_size=5), dialects)
def test_maps_come_back(pairs: dict[str, str], dialect: Dialect) -> None:
    assert map_of(protected(dialect, dialect.expression(pairs))) == pairs


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        ("", ""),
        ("%.", " "),
        ("a%.b%.c", "a b c"),
        ("%_", "  "),
        ("%_%_", "    "),
        ("%%.", "%."),
        ("%%%.", "% "),
        ("100%", "100%"),
        ("%q", "%q"),
        ("%t%n%r", "\t\n\r"),
    ],
)
def test_blanks(stored: str, meant: str) -> None:
    assert text_of(stored) == meant


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        ("", []),
        ("()", []),
        ("%.", []),
        ("('a')", ["a"]),
        ("('')", [""]),
        ("('a'%.'b')", ["a", "b"]),
        ("('a' 'b')", ["a", "b"]),
        ("('a'  'b')", ["a", "b"]),
        ("('a''b')", ["a", "b"]),
        (r"('it\'s'%.'back\\slash')", ["it's", "back\\slash"]),
        (r"('\\')", ["\\"]),
        ('("a" "b")', ["a", "b"]),
        (r'("say \"hi\"" "a\\b" "\n\t\r" "\226\130")', ['say "hi"', "a\\b", "\n\t\r", "\xe2\x82"]),
        (r'("\999")', [r"\999"]),
        ("""('a "b"')""", ['a "b"']),
        ("""("it's")""", ["it's"]),
    ],
)
def test_sets(stored: str, meant: list[str]) -> None:
    assert set_of(stored) == meant


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        ("", {}),
        ("()", {}),
        ("(('k'%.'v'))", {"k": "v"}),
        ("(('k' '')('' 'v'))", {"k": "", "": "v"}),
        ('(("k" "v") ("k2" "v2"))', {"k": "v", "k2": "v2"}),
        ("(('k' 'first') ('k' 'last'))", {"k": "last"}),
        ("(('(' ')') ('a b' 'c'))", {"(": ")", "a b": "c"}),
    ],
)
def test_maps(stored: str, meant: dict[str, str]) -> None:
    assert map_of(stored) == meant


@pytest.mark.parametrize(
    "damaged",
    [
        "(",
        ")",
        "('",
        "('a",
        "('a'",
        "('a\\')",
        '("a',
        "(a)",
        "a",
        "'a'",
        "('a'))",
        "('a' b)",
        "('a'x'b')",
        "((('a')))",
        "(')",
        "('a')x",
        "(('a' 'b'))'c",
        "\\",
    ],
)
def test_what_is_no_expression_is_refused(damaged: str) -> None:
    with pytest.raises(UnreadableValue):
        set_of(damaged)
    with pytest.raises(UnreadableValue):
        map_of(damaged)


@pytest.mark.parametrize("no_set", ["(('a' 'b'))", "('a' ('b'))", "(())"])
def test_a_set_holds_texts_only(no_set: str) -> None:
    with pytest.raises(UnreadableValue):
        set_of(no_set)


@pytest.mark.parametrize(
    "no_map", ["('a' 'b')", "(('a'))", "(('a' 'b' 'c'))", "(())", "(('a') ('b' 'c' 'd'))"]
)
def test_a_map_holds_pairs_only(no_map: str) -> None:
    with pytest.raises(UnreadableValue):
        map_of(no_map)


@settings(deadline=None)
@given(st.text("()'\" \\%.abk", max_size=20))
def test_anything_else_is_read_or_refused_and_never_worse(text: str) -> None:
    for decode in (set_of, map_of):
        try:
            decode(text)
        except UnreadableValue as error:
            said = str(error)
        else:
            said = "read"
        assert said


def test_an_error_says_where_and_not_what() -> None:
    with pytest.raises(UnreadableValue) as caught:
        map_of("(('password' hunter2))")
    assert "hunter2" not in str(caught.value)
    assert "12" in str(caught.value)


@pytest.mark.parametrize(("stored", "meant"), [("true", True), ("false", False)])
def test_truth_values(stored: str, meant: bool) -> None:
    assert bool_of(stored) is meant


@pytest.mark.parametrize("stored", ["", "True", "1", "0", "yes", " true", "TRUE"])
def test_no_truth_values(stored: str) -> None:
    with pytest.raises(UnreadableValue):
        bool_of(stored)


@settings(deadline=None)
@given(st.integers(-(2**63), 2**63 - 1))
def test_whole_numbers_of_64_bits(number: int) -> None:
    assert int_of(str(number)) == number


@pytest.mark.parametrize(
    "stored",
    ["", "x", "1.0", "1_000", " 1", "1 ", "٣", "0x10", str(2**63), str(-(2**63) - 1), "9" * 5000, "-"],
)
def test_no_whole_numbers(stored: str) -> None:
    with pytest.raises(UnreadableValue):
        int_of(stored)


@pytest.mark.parametrize(("stored", "meant"), [("1", 1.0), ("1.5", 1.5), ("-0", 0.0), ("4e3", 4000.0)])
def test_numbers(stored: str, meant: float) -> None:
    assert float_of(stored) == meant


@pytest.mark.parametrize("stored", ["", "x", "nan", "inf", "-inf", "1e300", "1e999", "1,5"])
def test_no_numbers_to_reckon_with(stored: str) -> None:
    with pytest.raises(UnreadableValue):
        float_of(stored)
