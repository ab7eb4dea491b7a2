"""Is a database file read true, and a broken or hostile one without harm?

Effects: reads files, starts processes of its own
"""

import gzip
import io
import json
import os
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.database_files import (
    EXAMPLE,
    REAL,
    REAL_RECORDS,
    VM,
    Row,
    database_bytes,
    observed,
    pool_rows,
    read,
)
from xenios.drivers.xenserver import database as reader
from xenios.drivers.xenserver.records import CLASSES
from xenios.errors import TargetUnreadable
from xenios.simulator.database_file import COLUMNS_AFTER_5_55, write_database
from xenios.simulator.facts.datamodel import Records, load_datamodel
from xenios.simulator.population.populate import populate

NOW = datetime(2026, 8, 21, 6, 0, 0, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "pool.db"
    path.write_bytes(data)
    return path


def as_read(value: Any) -> Any:
    """A value of the API in the terms of records.py, where enums and times are texts."""
    if isinstance(value, list):
        return [str(item) for item in value]
    if isinstance(value, dict):
        return {str(key): str(item) for key, item in value.items()}
    return value


def assert_same(path: Path, records: Records, *, without: bool = False) -> int:
    """Every field of records.py of every object is what the API says, or the default where there is no column."""
    database = read(path)
    assert not database.failures
    assert not database.damaged
    assert not database.unread
    compared = 0
    for name, kind in CLASSES.items():
        rows = getattr(database.records, name)
        expected = records.get(name, {})
        assert rows.keys() == expected.keys(), name
        later = COLUMNS_AFTER_5_55.get(name, frozenset()) if without else frozenset()
        columns = load_datamodel().classes[name].fields
        for ref, record in expected.items():
            for field in get_type_hints(kind):
                found = getattr(rows[ref], field)
                if columns[field].column in later:
                    assert found == getattr(kind(), field), f"{name}.{field} should have its default"
                    continue
                assert found == as_read(record[field]), f"{name}.{field} of {ref}"
                compared += 1
    return compared


# --- true ------------------------------------------------------------------------------------------------------------


def test_the_database_of_a_real_xapi_holds_what_that_xapi_said() -> None:
    records: Records = json.loads(REAL_RECORDS.read_text(encoding="utf-8"))
    assert assert_same(REAL, records) > 1_300
    database = read(REAL)
    assert database.schema == (5, 909)
    assert database.modified_at == REAL.stat().st_mtime_ns // 1000


def test_every_field_has_a_column_that_xapi_writes() -> None:
    facts = load_datamodel()
    for name, kind in CLASSES.items():
        columns = {field.column for field in facts.classes[name].columns}
        for field in get_type_hints(kind):
            assert columns & set(reader._columns_of(field)), f"{name}.{field}"


def test_the_example_pool_holds_what_the_simulator_put_in() -> None:
    assert assert_same(EXAMPLE, populate(1, 3, 40, NOW)) > 3_000


def test_a_database_of_xenserver_5_5_is_read_with_defaults_for_what_came_later(tmp_path: Path) -> None:
    records = populate(5, 3, 40, NOW)
    stream = io.BytesIO()
    write_database(records, stream, schema=(5, 55))
    path = written(tmp_path, stream.getvalue())
    assert assert_same(path, records, without=True) > 2_500
    assert read(path).schema == (5, 55)


def test_two_blanks_of_old_files(tmp_path: Path) -> None:
    row: Row = {**VM, "name__label": "a%_b%_%_c", "other_config": '(("it\'s" "two%_blanks \\"x\\" \\\\"))'}
    path = written(tmp_path, database_bytes(pool_rows(row), minor=55))
    vm = read(path).records.VM["OpaqueRef:vm"]
    assert vm.name_label == "a  b    c"
    assert vm.other_config == {"it's": 'two  blanks "x" \\'}


# --- other than expected, and still readable -------------------------------------------------------------------------


def test_unknown_tables_columns_and_manifest_entries_are_passed_over(tmp_path: Path) -> None:
    rows = pool_rows(
        {**VM, "colour": "blue", "VM__x": "('"}, Nonsense=({"_ref": "a", "memory__static_max": "x"},)
    )
    data = database_bytes(rows).replace(b"<manifest>", b'<manifest><pair key="moon" value="full"/><pair/>')
    database = read(written(tmp_path, data))
    assert not database.failures
    assert database.records.VM["OpaqueRef:vm"].name_label == "vm"
    assert database.schema == (5, 909)


@pytest.mark.parametrize("value", ["x", "", "-1", "9" * 30])
def test_a_schema_that_is_no_number_is_not_known(tmp_path: Path, value: str) -> None:
    data = database_bytes(pool_rows()).replace(b'value="5"', f'value="{value}"'.encode())
    assert read(written(tmp_path, data)).schema == (0, 909)


@pytest.mark.parametrize("missing", sorted(CLASSES))
def test_a_missing_table_is_unknown_and_not_empty(tmp_path: Path, missing: str) -> None:
    rows = {name: table for name, table in pool_rows().items() if name != missing}
    database = read(written(tmp_path, database_bytes(rows)))
    assert [failure.what for failure in database.failures] == [f"table {missing}"]
    assert database.unread == {missing}


def test_a_file_that_breaks_off_leaves_every_table_unread_whose_end_did_not_come(tmp_path: Path) -> None:
    data = database_bytes(pool_rows())
    for name in CLASSES:
        beginning = data.index(f'<table name="{name}">'.encode())
        for end in (beginning, data.index(b"</table>", beginning) + 4):
            if b"<row" not in data[:end]:
                continue
            begun = [data.find(f'<table name="{table}">'.encode()) for table in CLASSES]
            passed = {table for table, at in zip(CLASSES, begun, strict=True) if b"</table>" in data[at:end]}
            assert read(written(tmp_path, data[:end])).unread == set(CLASSES) - passed
    assert not read(written(tmp_path, data)).unread
    assert not read(written(tmp_path, data.removesuffix(b"</database>"))).unread


def test_a_table_that_comes_again_and_breaks_off_is_unread(tmp_path: Path) -> None:
    data = database_bytes(pool_rows()).replace(b"</database>", b'<table name="VBD"><row _ref="x"')
    assert read(written(tmp_path, data)).unread == {"VBD"}


@pytest.mark.parametrize(
    ("table", "column", "field", "value"),
    [
        ("host", "enabled", "enabled", "maybe"),
        ("host_metrics", "live", "live", "yes"),
        ("pool", "ha_enabled", "ha_enabled", "?"),
        ("VDI", "virtual_size", "virtual_size", "abc"),
        ("SR", "physical_size", "physical_size", "zz"),
        ("SR", "shared", "shared", "1"),
        ("PBD", "currently_attached", "currently_attached", "x"),
        ("VIF", "currently_attached", "currently_attached", "x"),
        ("PIF", "VLAN", "VLAN", "x"),
    ],
)
def test_what_is_damaged_or_has_no_column_is_neither_false_nor_zero(
    tmp_path: Path, table: str, column: str, field: str, value: str
) -> None:
    rows: tuple[Row, ...] = ({"_ref": "a", column: value}, {"_ref": "b"})
    database = read(written(tmp_path, database_bytes(pool_rows(**{table: rows}))))
    assert [getattr(row, field) for row in getattr(database.records, table).values()] == [None, None]
    assert database.damaged == {"a"}


def test_columns_that_are_missing_have_xapis_defaults(tmp_path: Path) -> None:
    vm = read(written(tmp_path, database_bytes(pool_rows({"_ref": "OpaqueRef:vm"})))).records.VM[
        "OpaqueRef:vm"
    ]
    assert vm == CLASSES["VM"]()


def test_a_reference_may_stand_in_either_column(tmp_path: Path) -> None:
    row = {key: value for key, value in VM.items() if key != "_ref"} | {"ref": "OpaqueRef:old"}
    assert set(read(written(tmp_path, database_bytes(pool_rows(row)))).records.VM) == {"OpaqueRef:old"}


def test_rows_without_a_reference_are_counted(tmp_path: Path) -> None:
    row = {key: value for key, value in VM.items() if key != "_ref"}
    database = read(written(tmp_path, database_bytes(pool_rows(VM, row, row))))
    assert set(database.records.VM) == {"OpaqueRef:vm"}
    assert [failure.what for failure in database.failures] == ["2 rows of VM"]
    assert database.unread == {"VM"}


def test_of_two_rows_with_one_reference_the_first_is_kept_as_damaged(tmp_path: Path) -> None:
    other: Row = {**VM, "name__label": "impostor"}
    database = read(written(tmp_path, database_bytes(pool_rows(VM, other))))
    assert database.records.VM["OpaqueRef:vm"].name_label == "vm"
    assert database.damaged == {"OpaqueRef:vm"}
    assert "twice" in database.failures[0].because


@pytest.mark.parametrize(
    ("column", "value", "field"),
    [
        ("memory__static_max", "a lot", "memory_static_max"),
        ("memory__static_max", "9" * 400, "memory_static_max"),
        ("VCPUs__max", "1.5", "VCPUs_max"),
        ("is_a_template", "perhaps", "is_a_template"),
        ("other_config", "(('CitrixProvisioningSchemeId'", "other_config"),
        ("tags", "('a' b)", "tags"),
        ("HVM_shadow_multiplier", "nan", "HVM_shadow_multiplier"),
        ("HVM__shadow_multiplier", "inf", "HVM_shadow_multiplier"),
        ("blocked_operations", "('start')", "blocked_operations"),
    ],
)
def test_a_damaged_value_has_its_default_and_a_failure_that_names_it(
    tmp_path: Path, column: str, value: str, field: str
) -> None:
    database = read(written(tmp_path, database_bytes(pool_rows({**VM, column: value}))))
    vm = database.records.VM["OpaqueRef:vm"]
    assert getattr(vm, field) == getattr(CLASSES["VM"](), field)
    assert vm.name_label == "vm"
    [failure] = database.failures
    assert failure.what == f"{field} of VM vm-uuid"
    assert failure.subject_uuid == "vm-uuid"
    assert failure.because
    assert failure.remedy
    assert database.damaged == {"OpaqueRef:vm"}


def test_the_list_of_failures_ends_and_the_damage_does_not(tmp_path: Path) -> None:
    rows: list[Row] = [
        {**VM, "_ref": f"r{n}", "uuid": f"u{n}", "memory__static_max": "?"} for n in range(300)
    ]
    database = read(written(tmp_path, database_bytes(pool_rows(*rows))))
    assert len(database.failures) == reader.FAILURES_MAX + 1
    assert "too many" in database.failures[-1].because
    assert len(database.damaged) == 300
    assert len(database.records.VM) == 300


# --- cut off ---------------------------------------------------------------------------------------------------------

SMALL = database_bytes(
    pool_rows(
        *({**VM, "_ref": f"OpaqueRef:{n}", "uuid": f"uuid-{n}", "name__label": f"n{n} é"} for n in range(8))
    )
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(SMALL) - 1))
def test_a_file_cut_off_anywhere_yields_the_rows_before(
    tmp_path_factory: pytest.TempPathFactory, end: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.db"
    path.write_bytes(SMALL[:end])
    whole_rows = SMALL[:end].count(b'"/>') - SMALL[:end].count(b"<pair")
    if SMALL[:end].count(b"<row") == 0 or whole_rows <= 0:
        with pytest.raises(TargetUnreadable) as caught:
            read(path)
        assert caught.value.remedy
        return
    database = read(path)
    kept = sum(len(getattr(database.records, name)) for name in CLASSES)
    assert kept == whole_rows
    [failure] = database.failures
    assert f"after {kept} rows" in failure.what
    assert "cut off" in failure.because
    vms = list(database.records.VM.values())
    assert [vm.uuid for vm in vms] == [f"uuid-{n}" for n in range(len(vms))]
    assert all(vm.memory_static_max == 1024**3 for vm in vms)


def test_the_real_database_cut_off_in_many_places(tmp_path: Path) -> None:
    data = REAL.read_bytes()
    whole = read(REAL).records
    for end in range(0, len(data), 4001):
        path = written(tmp_path, data[:end])
        try:
            database = read(path)
        except TargetUnreadable:
            assert data[:end].count(b"<row") <= 1
            continue
        assert len(database.failures) == 1
        for name in CLASSES:
            kept = getattr(database.records, name)
            assert kept.items() <= getattr(whole, name).items()


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(SMALL) - 1), junk=st.binary(min_size=1, max_size=6))
def test_a_damaged_file_never_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, at: int, junk: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.db"
    path.write_bytes(SMALL[:at] + junk + SMALL[at + len(junk) :])
    try:
        observed(path)
    except TargetUnreadable as error:
        said = error.remedy
    else:
        said = "read"
    assert said


# --- no database -----------------------------------------------------------------------------------------------------


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("state.db", SMALL)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "empty"),
        (gzip.compress(SMALL), "gunzip"),
        (zipped(), "zip archive"),
        (b"QFI\xfb\x00\x00\x00\x03" + bytes(600), "qcow2"),
        (b"\xfd7zXZ\x00", "unxz"),
        (b"BZh9", "bunzip2"),
        (b"SQLite format 3\x00", "SQLite"),
        (b"conectix", "VHD"),
        (bytes(range(256)) * 20, "no XenServer pool database"),
        (bytes(4096), "no XenServer pool database"),
        (b"hello\n", "no XenServer pool database"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "DOCTYPE"),
        (b"<html><head></head></html>", "<html> instead of <database>"),
        (b"<?xml version='1.0'?><domain type='kvm'/>", "<domain> instead of <database>"),
        (b"<row _ref='a'/>", "<row> instead of <database>"),
        (b"<table name='VM'><row _ref='a'/></table>", "<table> instead of <database>"),
        (b"<database/>", "none of its tables"),
        (b"<database><manifest/></database>", "none of its tables"),
        (b"<?xml version='1.0' encoding='rot13'?><database/>", "no XenServer pool database"),
        (b"<?xml version='1.0' encoding='big5'?><database/>", "none of its tables"),
        (b"<?xml version='1.0' encoding='no-such'?><database/>", "encoding"),
        (b"\x00" + SMALL, "no XenServer pool database"),
        (SMALL.decode().encode("utf-16")[:400], "no XenServer pool database"),
    ],
)
def test_what_is_no_database_is_refused_and_named(tmp_path: Path, data: bytes, said: str) -> None:
    path = written(tmp_path, data)
    with pytest.raises(TargetUnreadable) as caught:
        read(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.remedy


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(TargetUnreadable, match="Is a directory"):
        read(tmp_path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TargetUnreadable, match="No such file"):
        read(tmp_path / "nothing")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not read")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    path.chmod(0)
    code = (
        "import os, sys; os.chdir(sys.argv[2]); sys.path.insert(0, sys.argv[2])\n"
        "import asyncio; from pathlib import Path\n"
        "from xenios.drivers.xenserver.database import read_database\nfrom xenios.errors import TargetUnreadable\n"
        "fd = os.open(Path(sys.argv[1]).parent, os.O_RDONLY); os.fchdir(fd); os.setresuid(65534, 65534, 65534)\n"
        "try: asyncio.run(read_database(Path(sys.argv[1]).relative_to(Path(sys.argv[1]).parent)))\n"
        "except TargetUnreadable as error: print(error)"
    )
    answer = run_python(code, str(path), str(ROOT))
    assert "Permission denied" in answer


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_we_may_not_read(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    path.chmod(0)
    with pytest.raises(TargetUnreadable, match="Permission denied"):
        read(path)


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TargetUnreadable, match="not a regular file"):
        read(tmp_path / "pipe")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device(device: str) -> None:
    with pytest.raises(TargetUnreadable, match="not a regular file"):
        read(Path(device))


# --- encodings -------------------------------------------------------------------------------------------------------


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert len(read(written(tmp_path, b"\xef\xbb\xbf" + SMALL)).records.VM) == 8


def test_a_file_in_utf_16_is_read(tmp_path: Path) -> None:
    data = SMALL.decode().replace("UTF-8", "UTF-16").encode("utf-16")
    database = read(written(tmp_path, data))
    assert not database.failures
    assert next(iter(database.records.VM.values())).name_label == "n0 é"


@pytest.mark.parametrize(
    "junk", [b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\x00", b"\x01", b"&#0;", b"&#27;", b"&x;"]
)
def test_bytes_that_are_no_text_break_the_file_there(tmp_path: Path, junk: bytes) -> None:
    database = read(written(tmp_path, SMALL.replace(b"n5", junk)))
    assert [vm.uuid for vm in database.records.VM.values()] == [f"uuid-{n}" for n in range(5)]
    assert len(database.failures) == 1


# --- hostile ---------------------------------------------------------------------------------------------------------

LAUGHS = "<!DOCTYPE database [<!ENTITY a0 'ha'>" + "".join(
    f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>" for n in range(1, 12)
)

MEASURED = """
import asyncio, re, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from xenios.drivers.xenserver import database
from xenios.errors import TargetUnreadable
def peak_kib():  # not getrusage: its figure is inherited from whoever started the process
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak_kib()
try:
    read = asyncio.run(database.read_database(Path(sys.argv[1])))
    said = "; ".join(failure.because for failure in read.failures) or f"{len(read.records.VM)} VMs"
except TargetUnreadable as error:
    said = str(error)
print(peak_kib() - before, said)
"""


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def kib_and_words(path: Path) -> tuple[int, str]:
    """By how many KiB the process grew to read the file, and what was said of it."""
    kib, _, words = run_python(MEASURED, str(path), str(ROOT)).partition(" ")
    return int(kib), words


@pytest.mark.parametrize(
    "body",
    [
        "]><database><table name='VM'><row _ref='a' name__label='&a11;'/></table></database>",
        "]><database>&a11;</database>",
    ],
    ids=["attribute", "text"],
)
def test_an_entity_bomb_does_not_expand(tmp_path: Path, body: str) -> None:
    kib, said = kib_and_words(written(tmp_path, (LAUGHS + body).encode()))
    assert "DOCTYPE" in said
    assert kib < 20_000


def test_an_entity_names_no_other_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    before = f"<!DOCTYPE database [<!ENTITY x SYSTEM 'file://{secret}'>]>"
    data = database_bytes(pool_rows(), before=before).replace(b'"vm"', b'"&x;"')
    with pytest.raises(TargetUnreadable, match="DOCTYPE") as caught:
        read(written(tmp_path, data))
    assert "hunter2" not in str(caught.value)


def test_a_bomb_after_some_rows_cannot_be(tmp_path: Path) -> None:
    data = SMALL.replace(b"</database>", (LAUGHS + "]><x>&a11;</x></database>").encode())
    database = read(written(tmp_path, data))
    assert len(database.records.VM) == 8
    assert len(database.failures) == 1


@pytest.mark.parametrize("limit_bytes", [1 << 16])
def test_an_endless_attribute_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_bytes: int
) -> None:
    monkeypatch.setattr(reader, "ELEMENT_BYTES_MAX", limit_bytes)
    monkeypatch.setattr(reader, "CHUNK_BYTES", 4096)
    head, tail = SMALL.split(b"n5", 1)
    database = read(written(tmp_path, head + b"x" * 10 * limit_bytes + tail))
    assert len(database.records.VM) == 5
    [failure] = database.failures
    assert "longer than" in failure.because
    with pytest.raises(TargetUnreadable, match="longer than"):
        read(written(tmp_path, b"<database><table name='" + b"x" * 10 * limit_bytes))


def test_an_endless_attribute_takes_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "endless.db"
    with path.open("wb") as file:
        file.write(SMALL.split(b"n5", 1)[0])
        file.truncate(2 << 30)  # a hole: takes no place on the disk, and NUL bytes without end
    kib, _ = kib_and_words(path)
    assert kib < 20_000
    with path.open("wb") as file:
        file.write(SMALL.split(b"n5", 1)[0])
        for _ in range(100):
            file.write(b"x" * (1 << 20))
    kib, said = kib_and_words(path)
    assert "longer than 8 MiB" in said
    assert kib < 150_000


def test_a_long_value_full_of_escapes_takes_little_memory(tmp_path: Path) -> None:
    row: Row = {**VM, "tags": "('" + "a\\\\" * 2_000_000 + "')", "other_config": "(('" + "\\\\" * 1_000_000}
    kib, said = kib_and_words(written(tmp_path, database_bytes(pool_rows(row))))
    assert "ends within quotes" in said
    assert kib < 120_000


@pytest.mark.parametrize("element", ["a", "row", "table"])
def test_deep_nesting_is_refused_soon(tmp_path: Path, element: str) -> None:
    head = SMALL.removesuffix(b"</database>")
    deep = f"<{element}>".encode() * 100_000 + f"</{element}>".encode() * 100_000
    kib, said = kib_and_words(written(tmp_path, head + deep + b"</database>"))
    assert "deep" in said
    assert kib < 40_000


def test_after_a_refusal_nothing_more_is_read(tmp_path: Path) -> None:
    data = SMALL.removesuffix(b"</database>") + b"<a>" * 20 + b" " * 20 * reader.CHUNK_BYTES
    file = reader._File(written(tmp_path, data))
    database = reader._Parser(tmp_path, reader._readers_of_records).parse(file)
    assert "deep" in database.failures[0].because
    assert file._file is not None
    assert file._file.tell() <= 2 * reader.CHUNK_BYTES
    file.close()


def test_what_nobody_waits_for_is_not_read_on(tmp_path: Path) -> None:
    file = reader._File(written(tmp_path, SMALL))
    file.stop()
    with pytest.raises(TargetUnreadable):
        reader._Parser(tmp_path, reader._readers_of_records).parse(file)
    assert file._file is not None
    assert file._file.tell() == 0
    file.close()


def test_rows_outside_of_tables_belong_to_none(tmp_path: Path) -> None:
    data = SMALL.replace(b"</database>", b"<row _ref='stray' uuid='stray'/></database>")
    records = read(written(tmp_path, data)).records
    assert not any("stray" in getattr(records, name) for name in CLASSES)


def test_a_large_file_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "large.db"
    row = f"<row _ref='OpaqueRef:x' value='{'x' * 100_000}'/>".encode()
    with path.open("wb") as file:
        file.write(SMALL.removesuffix(b"</database>") + b"<table name='blob'>")
        for _ in range(1_000):
            file.write(row)
        file.write(b"</table></database>")
    assert path.stat().st_size > 90_000_000
    kib, said = kib_and_words(path)
    assert said.strip() == "8 VMs"
    assert kib < 20_000


def test_a_pool_of_1000_vms_takes_less_than_three_times_its_file(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    with path.open("wb") as file:
        write_database(populate(3, 8, 1000, NOW), file)
    kib, said = kib_and_words(path)
    assert said.strip() == f"{len(read(path).records.VM)} VMs"
    assert kib * 1024 < 3 * path.stat().st_size
