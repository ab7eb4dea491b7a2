"""Is the JSON what its schema says, safe on a terminal, and free of secrets?

Effects: reads files
"""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.database_files import EXAMPLE, REAL, VM, Row, database_bytes, observed, pool_rows
from tests.support.inventory import a_collection, a_vm
from xenios.decide.precedent import CLOUDSTACK_4_0_2
from xenios.errors import TargetUnreadable
from xenios.model.collection import Collection
from xenios.report.build import report_on, report_on_unreadable
from xenios.report.render_json import json_schema, render_json
from xenios.report.schema import SCHEMA, Report, TargetReport

VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def report_of(*targets: TargetReport) -> Report:
    complete = all(target.status == "complete" for target in targets)
    return Report(xenios_version="1", made_at=1, complete=complete, compare=None, targets=targets)


def on(collection: Collection, compare: str | None = None) -> TargetReport:
    return report_on("target", collection, (), compare)


def parsed(report: Report) -> Any:
    plain = json.loads(render_json(report))
    VALIDATOR.validate(plain)
    return plain


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert SCHEMA in json_schema()["title"]


@pytest.mark.parametrize("path", [EXAMPLE, REAL])
@pytest.mark.parametrize("compare", [None, CLOUDSTACK_4_0_2])
def test_real_reports_keep_to_the_schema(path: Path, compare: str | None) -> None:
    plain = parsed(report_of(on(observed(path), compare)))
    assert plain["schema"] == SCHEMA
    assert plain["complete"] is True
    assert plain["targets"][0]["status"] == "complete"
    assert plain["targets"][0]["pool"]["kind"] == "xenserver"


def test_failures_keep_to_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "cut.db"
    path.write_bytes(REAL.read_bytes()[:100_000])
    unreadable = report_on_unreadable("gone", TargetUnreadable("no", remedy="look"))
    plain = parsed(report_of(on(observed(path)), unreadable))
    assert plain["complete"] is False
    assert [target["status"] for target in plain["targets"]] == ["partial", "unreadable"]
    assert all(target["failures"] for target in plain["targets"])
    assert plain["targets"][1]["pool"] is None


def test_no_report_is_valid_without_its_fields() -> None:
    plain = parsed(report_of(on(a_collection(a_vm()))))
    del plain["targets"][0]["vms"][0]["may_be_adopted"]
    assert not VALIDATOR.is_valid(plain)


def test_what_is_not_told_is_null() -> None:
    plain = parsed(report_of(on(a_collection(a_vm(vcpus=None)))))
    assert plain["targets"][0]["vms"][0]["vcpus"] is None


@settings(deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=[]), max_size=20))
def test_any_name_comes_back_and_steers_no_terminal(name: str) -> None:
    text = render_json(report_of(on(a_collection(a_vm(name=name)))))
    assert json.loads(text)["targets"][0]["vms"][0]["name"].encode("utf-16", "surrogatepass") == name.encode(
        "utf-16", "surrogatepass"
    )
    assert text.isascii()
    assert text.replace("\n", "").isprintable()


def test_every_control_character_is_escaped() -> None:
    name = "".join(map(chr, [*range(32), *range(127, 160), 0x202E, 0x2066, 0x200B, 0xE0041]))
    text = render_json(report_of(on(a_collection(a_vm(name=name)))))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\U0010ffff]", text)
    assert json.loads(text)["targets"][0]["vms"][0]["name"] == name


@pytest.mark.parametrize(
    "config",
    [
        "(('Citrix' 'hunter2') ('xo:x' 'hunter2') ('folder' 'hunter2') ('password' 'hunter2'))",
        "(('password' hunter2))",
        "(('password' 'hunter2)",
        "hunter2",
        "(('a' 'b' 'hunter2'))",
    ],
)
def test_no_value_of_an_annotation_is_ever_told(tmp_path: Path, config: str) -> None:
    row: Row = {**VM, "other_config": config}
    pbd: Row = {"_ref": "r", "uuid": "p", "SR": "s", "host": "OpaqueRef:host", "device_config": config}
    path = tmp_path / "pool.db"
    path.write_bytes(database_bytes(pool_rows(row, PBD=(pbd,), SR=({"_ref": "s", "uuid": "s"},))))
    text = render_json(report_of(on(observed(path), CLOUDSTACK_4_0_2)))
    assert "hunter2" not in text
    assert "vm-uuid" in text


def test_the_same_collection_gives_the_same_text() -> None:
    assert render_json(report_of(on(observed(EXAMPLE)))) == render_json(report_of(on(observed(EXAMPLE))))
    assert render_json(report_of()).endswith("}\n")
