"""Pages that are made from the code are fresh, and the report's contract only grows.

Effects: reads files
"""

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.generate_docs import PAGES, stale_pages
from xenios.report.render_json import json_schema
from xenios.report.schema import SCHEMA

PROMISED = Path(__file__).parent.parent / "golden" / "report.schema.1.json"


@pytest.mark.parametrize("page", sorted(PAGES))
def test_pages_are_what_the_code_says(page: str) -> None:
    assert page not in stale_pages(), "run `make docs` and commit the pages"


def test_what_a_schema_promised_stays() -> None:
    promised = json.loads(PROMISED.read_text(encoding="utf-8"))
    assert promised["title"].endswith(f"({SCHEMA})"), (
        "a new schema needs a promise of its own: add it to tests/golden"
    )
    assert lost(promised["$defs"], json_schema()["$defs"]) == []


def lost(promised: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What the promised definitions have and the present ones no longer have in the same way."""
    gone = []
    for name, definition in promised.items():
        present = now.get(name, {})
        gone += [
            f"{name}.{field}: {kind}"
            for field, kind in definition.get("properties", {}).items()
            if without_defaults(present.get("properties", {}).get(field)) != without_defaults(kind)
        ]
        gone += [
            f"{name}: required {field}"
            for field in definition.get("required", [])
            if field not in present.get("required", [])
        ]
        gone += [
            f"{name}: value {value}"
            for value in definition.get("enum", [])
            if value not in present.get("enum", [])
        ]
    return gone


def without_defaults(kind: Any) -> Any:
    """A field's type without its documentation and default."""
    if not isinstance(kind, dict):
        return kind
    return {key: value for key, value in kind.items() if key not in ("default", "description", "title")}


def test_a_lost_field_is_noticed() -> None:
    promised = {"Vm": {"properties": {"uuid": {"type": "string"}}, "required": ["uuid"]}}
    assert lost(promised, {"Vm": {"properties": {"uuid": {"type": "integer"}}, "required": ["uuid"]}})
    assert lost(promised, {"Vm": {"properties": {"uuid": {"type": "string"}}, "required": []}})
    assert lost({"State": {"enum": ["on"]}}, {"State": {"enum": ["off"]}})
    assert not lost(
        promised, {"Vm": {"properties": {"uuid": {"type": "string"}, "more": {}}, "required": ["uuid"]}}
    )
