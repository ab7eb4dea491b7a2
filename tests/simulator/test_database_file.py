"""Is what the simulator writes a XenServer database, to the byte?

The writer is compared with the file of a real xapi, and read back by a decoder of the test's own, which
shares no code with it.

Effects: none
"""

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenios.simulator.database_file import COLUMNS_AFTER_5_55, TABLES_AFTER_5_55, write_database
from xenios.simulator.facts.datamodel import Records, load_datamodel
from xenios.simulator.population.populate import populate

FIXTURES = Path(__file__).parent.parent / "fixtures" / "xapi"
NOW = datetime(2026, 8, 21, 6, 0, 0, tzinfo=UTC)
# What the API does not tell and only the real database knows.
NOT_IN_RECORDS = {"__ctime", "__mtime", "port", "boot_free_mem"}


def written(records: Records, **options: Any) -> str:
    stream = io.BytesIO()
    write_database(records, stream, **options)
    return stream.getvalue().decode("utf-8")


def rows_of(text: str) -> dict[str, dict[str, dict[str, str]]]:
    """table -> ref -> column -> the text between the quotes, as it stands in the file."""
    tables: dict[str, dict[str, dict[str, str]]] = {}
    for name, body in re.findall(r'<table name="([^"]*)"(?:/>|>(.*?)</table>)', text, re.DOTALL):
        cells = [dict(re.findall(r'(\w+)="([^"]*)"', row)) for row in re.findall(r"<row ([^>]*)/>", body)]
        tables[name] = {row["ref"]: row for row in cells}
    return tables


# ---- an independent decoder ----

BLANKS = {".": " ", "_": "  ", "t": "\t", "n": "\n", "r": "\r", "%": "%"}


def unprotected(text: str) -> str:
    return re.sub(r"%(.)", lambda found: BLANKS[found.group(1)], text)


def parsed(text: str) -> Any:
    """An s-expression as nested lists of strings; only for what was written as one."""
    stack: list[list[Any]] = [[]]
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if character == "(":
            stack.append([])
        elif character == ")":
            done = stack.pop()
            stack[-1].append(done)
        elif character in "'\"":
            atom = ""
            while text[at] != character:
                at += text[at] == "\\"
                atom += text[at]
                at += 1
            at += 1
            stack[-1].append(atom)
        else:
            assert character == " ", f"{character!r} in {text!r}"
    assert len(stack) == 1
    assert len(stack[0]) == 1
    return stack[0][0]


def decoded(text: str, like: Any) -> Any:
    """The value of an attribute, in the Python type of `like`."""
    plain = unprotected(text)
    match like:
        case bool():
            return {"true": True, "false": False}[plain]
        case int():
            return int(plain)
        case float():
            return float(plain)
        case str():
            return plain
        case list():
            return [str(item) for item in parsed(plain)]
        case dict():
            return dict(parsed(plain))
        case _:
            raise TypeError(like)


def as_stored(value: Any) -> Any:
    """What can be known of a value in the database: inside sets and maps everything is text."""
    match value:
        case list():
            return [str(item) for item in value]
        case dict():
            return {key: _inner(item) for key, item in value.items()}
        case _:
            return value


def _inner(value: Any) -> Any:
    if isinstance(value, float):
        return format(value, "g")
    return [str(item) for item in value] if isinstance(value, list) else str(value)


def assert_read_back(records: Records, text: str, without: frozenset[str] = frozenset()) -> int:
    """Every field of every record is found again in the file; gives how many."""
    facts = load_datamodel()
    root = ElementTree.fromstring(text)
    tables = {table.get("name"): table for table in root.findall("table")}
    compared = 0
    for class_name, rows in records.items():
        if class_name not in tables:
            assert class_name in without
            continue
        found = {row.attrib["ref"]: row.attrib for row in tables[class_name].findall("row")}
        assert found.keys() == rows.keys()
        for ref, record in rows.items():
            for name, value in record.items():
                column = facts.classes[class_name].fields[name].column
                if column in COLUMNS_AFTER_5_55.get(class_name, ()) and without:
                    assert column not in found[ref]
                    continue
                assert decoded(found[ref][column], value) == as_stored(value), f"{class_name}.{name} of {ref}"
                compared += 1
    return compared


# ---- the tests ----


@pytest.fixture(scope="module")
def real_records() -> Records:
    loaded: Records = json.loads((FIXTURES / "records.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def real_text() -> str:
    return (FIXTURES / "state.db").read_text(encoding="utf-8")


def test_every_row_is_the_real_one_byte_for_byte(real_records: Records, real_text: str) -> None:
    mine = rows_of(written(real_records, generation=58357))
    real = rows_of(real_text)
    assert mine.keys() == real.keys()
    compared = 0
    for table, rows in real.items():
        if table == "user":  # the API lists no users
            continue
        assert list(mine[table]) == list(rows), f"order of the rows of {table}"
        for ref, cells in rows.items():
            assert list(mine[table][ref]) == list(cells), f"order of the columns of {table}"
            for column in cells.keys() - NOT_IN_RECORDS:
                assert mine[table][ref][column] == cells[column], f"{table}.{column} of {ref}"
                compared += 1
    assert compared > 4000


def test_what_stands_around_the_rows_is_the_real_one_byte_for_byte(
    real_records: Records, real_text: str
) -> None:
    user = re.compile(r'<table name="user"(/>|>.*?</table>)', re.DOTALL)
    row = re.compile(r"<row [^>]*/>")
    mine = written(real_records, generation=58357)
    assert row.sub("<row/>", user.sub("", mine)) == row.sub("<row/>", user.sub("", real_text))


def test_a_populated_pool_is_read_back_whole() -> None:
    records = populate(7, 3, 60, NOW)
    assert assert_read_back(records, written(records)) > 10_000


def test_the_old_dialect_is_read_back_without_what_came_later() -> None:
    records = populate(7, 3, 60, NOW)
    text = written(records, schema=(5, 55))
    assert assert_read_back(records, text, without=TABLES_AFTER_5_55) > 5_000
    assert '<pair key="schema_minor_vsn" value="55"/>' in text
    assert "(&quot;" in text
    assert "=\"('" not in text
    assert "%." not in text.replace("%%", "")
    assert "__ctime" not in text
    assert "domain_type" not in text
    assert 'name="VGPU"' not in text


def test_the_first_single_quoted_schema_is_5_57() -> None:
    records: Records = {"VM": {"OpaqueRef:a": {"tags": ["it's"]}}}
    assert "tags=\"('it\\'s')\"" in written(records, schema=(5, 57))
    assert 'tags="(&quot;it\'s&quot;)"' in written(records, schema=(5, 55))


@pytest.mark.parametrize("unfit", ["\x00", "\x01", "\x1b", "\x0b", "\ufffe", "\ud800"])
def test_a_string_ends_where_xml_cannot_go_on(unfit: str) -> None:
    text = written({"VM": {"OpaqueRef:a": {"name_label": f"v{unfit}[31m", "tags": [f"x{unfit}y", "z"]}}})
    assert 'name__label="v"' in text
    assert "tags=\"('x'%.'z')\"" in text
    ElementTree.fromstring(text)


def test_eight_bit_escapes_and_blanks_are_kept() -> None:
    name = " \u009b31m two  blanks\t\r\n% \u202e"
    records: Records = {"VM": {"OpaqueRef:a": {"name_label": name}}}
    for schema in ((5, 909), (5, 55)):
        row = ElementTree.fromstring(written(records, schema=schema)).find(".//table[@name='VM']/row")
        assert row is not None
        assert unprotected(row.attrib["name__label"]) == name


@settings(max_examples=200, deadline=None)
@given(
    name=st.text(),
    keys=st.dictionaries(st.text(min_size=1), st.text(), max_size=4),
    tags=st.lists(st.text(), max_size=4),
    old=st.booleans(),
)
def test_any_text_that_xml_can_hold_comes_back(
    name: str, keys: dict[str, str], tags: list[str], old: bool
) -> None:
    unfit = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
    name = unfit.sub("", name)
    keys = {unfit.sub("", key): unfit.sub("", value) for key, value in keys.items()}
    tags = [unfit.sub("", tag) for tag in tags]
    records: Records = {"VM": {"OpaqueRef:a": {"name_label": name, "other_config": keys, "tags": tags}}}
    row = ElementTree.fromstring(written(records, schema=(5, 55) if old else None)).find(".//row")
    assert row is not None
    assert unprotected(row.attrib["name__label"]) == name
    assert decoded(row.attrib["other_config"], {}) == keys
    assert decoded(row.attrib["tags"], []) == tags


def test_missing_fields_get_their_defaults_and_internal_columns_may_be_given() -> None:
    text = written({"console": {"OpaqueRef:a": {"protocol": "rfb", "port": 5900}}})
    assert 'port="5900" protocol="rfb" uuid=""' in text
    assert 'VM="OpaqueRef:NULL"' in text


def test_classes_that_a_pool_does_not_keep_are_left_out() -> None:
    kept_nowhere: Records = {"task": {"OpaqueRef:a": {"name_label": "x"}}, "role": {"OpaqueRef:b": {}}}
    assert "<row" not in written(kept_nowhere)


@pytest.mark.parametrize(
    ("records", "complaint"),
    [
        ({"Nonsense": {"OpaqueRef:a": {}}}, "no columns are known for the classes Nonsense"),
        ({"VM": {"OpaqueRef:a": {"nonsense": 1}}}, r"no column is known for VM.nonsense \(of OpaqueRef:a\)"),
    ],
)
def test_what_has_no_place_is_refused(records: Records, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        written(records)


def test_rows_are_written_as_they_come() -> None:
    largest = 0

    class Watching(io.RawIOBase):
        def write(self, data: Any) -> int:
            nonlocal largest
            largest = max(largest, len(data))
            return len(data)

    write_database(populate(1, 2, 200, NOW), Watching())  # type: ignore[arg-type]
    assert largest < 64 * 1024
