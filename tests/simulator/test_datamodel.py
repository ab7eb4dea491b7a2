"""Are the facts about calls and errors whole, and does the simulator keep to them wherever it says no?

Effects: reads files
"""

from __future__ import annotations

import ast
import gzip
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from xenios.simulator.facts.datamodel import FieldType, Kind, load_datamodel, parse_type

ROOT = Path(__file__).parent.parent.parent
SIMULATOR = ROOT / "xenios" / "simulator"
# What a real server sends differs here from what its documentation says. Source of each: xapi's own code, or its wire.
SENT_OTHERWISE = {
    "SESSION_AUTHENTICATION_FAILED": 2,
    "VM_CANNOT_DELETE_DEFAULT_TEMPLATE": 0,
    "VM_IS_TEMPLATE": 2,
    "VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED": 1,
}
NOT_DOCUMENTED = {
    "Fault": 1,
    "REVERT_ONLY_ALLOWED_ON_SNAPSHOT": 0,
    "VM_IS_SNAPSHOT": 2,
}


def inner(kind_of: FieldType | None) -> Iterator[FieldType]:
    if kind_of is not None:
        yield kind_of
        yield from inner(kind_of.key)
        yield from inner(kind_of.value)


# ---- calls ----


def test_every_type_of_every_call_is_known() -> None:
    facts = load_datamodel()
    assert len(facts.messages) > 400
    for name, message in facts.messages.items():
        assert name == f"{message.class_name}.{message.name}"
        assert message.class_name in facts.classes
        for outer in [*(param.type for param in message.params), message.result]:
            for part in inner(outer):
                if part.kind is Kind.ENUM:
                    assert part.name in facts.enums, name
                elif part.kind in (Kind.REF, Kind.RECORD):
                    assert part.name in facts.tables, f"{name}: {part.name}"


def test_errors_that_calls_name_are_documented() -> None:
    facts = load_datamodel()
    named = {code for message in facts.messages.values() for code in message.errors}
    assert len(named) > 50
    assert named <= facts.errors.keys()
    assert len(facts.errors) > 600


def test_a_call_is_told_with_its_parameters() -> None:
    facts = load_datamodel()
    start = facts.messages["VM.start"]
    assert [(param.name, param.type.kind, param.has_default) for param in start.params] == [
        ("vm", Kind.REF, False),
        ("start_paused", Kind.BOOL, False),
        ("force", Kind.BOOL, False),
    ]
    assert (start.result, start.asynchronous) == (None, True)
    assert "VM_BAD_POWER_STATE" in start.errors
    snapshot = facts.messages["VM.snapshot"]
    assert snapshot.params[2].has_default
    assert snapshot.result == parse_type("ref VM")
    assert facts.errors["HANDLE_INVALID"] == ("class", "handle")


def test_makers_and_destroyers_are_among_the_calls() -> None:
    messages = load_datamodel().messages
    for class_name in ("VM", "VBD", "VIF", "VDI", "network", "PBD"):
        create, destroy = messages[f"{class_name}.create"], messages[f"{class_name}.destroy"]
        assert create.params[0].type == FieldType(Kind.RECORD, class_name)
        assert create.result == FieldType(Kind.REF, class_name)
        assert destroy.params[0].type == FieldType(Kind.REF, class_name)


def test_a_real_server_lists_every_call() -> None:
    text = gzip.decompress((ROOT / "tests/fixtures/xapi/listMethods.json.gz").read_bytes())
    listed = set(json.loads(text)["result"])
    unknown = load_datamodel().messages.keys() - listed
    assert not unknown


def test_calls_in_an_emergency_are_calls() -> None:
    facts = load_datamodel()
    assert facts.emergency_calls <= facts.messages.keys()
    assert "host.is_in_emergency_mode" in facts.emergency_calls
    assert {"session", "event", "task"} <= facts.classes_without_async


def test_a_pool_is_made_without_reading_the_calls() -> None:
    """They are needed for answering only, and the demo of a file should not wait for them."""
    code = (
        "from datetime import UTC, datetime\n"
        "from xenios.simulator.facts.datamodel import load_calls, load_datamodel\n"
        "from xenios.simulator.population.populate import populate\n"
        "populate(1, 1, 1, datetime(2026, 1, 1, tzinfo=UTC))\n"
        "print(load_datamodel.cache_info().currsize, load_calls.cache_info().currsize)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0"]


# ---- saying no ----


def raised(path: Path) -> Iterator[tuple[int, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "ApiError":
            yield node.lineno, node


def literal(node: ast.Call) -> str | None:
    """The code that is written out; None when it is a variable."""
    first = node.args[0] if node.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


@pytest.mark.parametrize(
    "path", sorted(SIMULATOR.rglob("*.py")), ids=lambda path: str(path.relative_to(SIMULATOR))
)
def test_every_error_is_one_of_the_api_with_its_parameters(path: Path) -> None:
    errors = load_datamodel().errors
    for line, node in raised(path):
        code = literal(node)
        if code is None:
            continue
        expected = SENT_OTHERWISE.get(code, NOT_DOCUMENTED.get(code))
        if expected is None:
            assert code in errors, f"{path.name}:{line}: {code} is no error of the API"
            expected = len(errors[code])
        if not any(isinstance(argument, ast.Starred) for argument in node.args):
            assert len(node.args) - 1 == expected, f"{path.name}:{line}: {code} has {expected} parameters"


def test_errors_are_raised_and_their_codes_mostly_written_out() -> None:
    nodes = [node for path in SIMULATOR.rglob("*.py") for _, node in raised(path)]
    assert len(nodes) > 100
    assert sum(1 for node in nodes if literal(node) is None) < 8


def test_what_differs_from_the_documentation_really_does() -> None:
    errors = load_datamodel().errors
    for code, count in SENT_OTHERWISE.items():
        assert len(errors[code]) != count
    assert not NOT_DOCUMENTED.keys() & errors.keys()
