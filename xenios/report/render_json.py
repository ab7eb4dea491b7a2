"""Renders the report as JSON.

Effects: none
"""

import json
from typing import Any

import msgspec

from xenios.report.schema import SCHEMA, Report


def render_json(report: Report) -> str:
    """The report as JSON text, indented, with a line end. Escapes every character that could steer a terminal."""
    plain = msgspec.to_builtins(report)
    text = json.dumps(plain, indent=2, ensure_ascii=True)
    return text.replace("\x7f", "\\u007f") + "\n"  # DEL is the one control character that JSON lets stand


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the report."""
    schema = msgspec.json.schema(Report)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Xenios report ({SCHEMA})",
        **schema,
    }
