"""Writes the pages of docs/ that are made from the code, or checks that they are fresh.

    python -m scripts.generate_docs            writes them
    python -m scripts.generate_docs --check    fails when one is stale, and says which

A page that is written twice, once in code and once in prose, is wrong after a while. Rules, findings, the report's
JSON Schema and the command line are said in the code and only there.

Effects: writes files below docs/
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click

from scripts.rules_page import rules
from xenios.cli.main import cli
from xenios.decide.findings import KINDS
from xenios.report.render_changes import json_schema_of_changes
from xenios.report.render_explanation import json_schema_of_explanations
from xenios.report.render_json import json_schema
from xenios.report.render_replay import json_schema_of_replays

DOCS = Path(__file__).resolve().parent.parent / "docs"
MADE_FROM = "<!-- Made by `make docs` from {}; change that, not this. -->\n\n"


def rules_page() -> str:
    """docs/rules.md."""
    return MADE_FROM.format("xenios/decide/") + "".join(rules()).rstrip() + "\n"


def findings_page() -> str:
    """docs/findings.md."""
    lines = [
        MADE_FROM.format("xenios/decide/findings.py"),
        "# Findings\n\n",
        "What `xenios inspect` points out, the gravest first. Codes are stable. A finding tells a person; it never\n",
        "decides anything.\n\n",
        "| code | severity | meaning | what to do |\n|---|---|---|---|\n",
    ]
    lines += [
        f"| `{kind.code}` | {kind.severity.value} | {kind.meaning} | {kind.remedy} |\n" for kind in KINDS
    ]
    return "".join(lines)


def schema_page() -> str:
    """docs/report.schema.json."""
    return json.dumps(json_schema(), indent=2) + "\n"


def change_schema_page() -> str:
    """docs/change.schema.json."""
    return json.dumps(json_schema_of_changes(), indent=2) + "\n"


def explanation_schema_page() -> str:
    """docs/explain.schema.json."""
    return json.dumps(json_schema_of_explanations(), indent=2) + "\n"


def replay_schema_page() -> str:
    """docs/replay.schema.json."""
    return json.dumps(json_schema_of_replays(), indent=2) + "\n"


def command_line_page() -> str:
    """docs/cli.md."""
    lines = [MADE_FROM.format("xenios/cli/"), "# The command line\n\n"]
    context = click.Context(cli, info_name="xenios", terminal_width=100, **cli.context_settings)
    lines.append(f"```\n{cli.get_help(context)}\n```\n\n")
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None:
            child = click.Context(command, info_name=name, parent=context, terminal_width=100)
            lines.append(f"## xenios {name}\n\n```\n{command.get_help(child)}\n```\n\n")
    return "".join(lines).rstrip() + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "rules.md": rules_page,
    "findings.md": findings_page,
    "report.schema.json": schema_page,
    "change.schema.json": change_schema_page,
    "explain.schema.json": explanation_schema_page,
    "replay.schema.json": replay_schema_page,
    "cli.md": command_line_page,
}


def stale_pages() -> list[str]:
    """Names of the pages that are not what the code says now."""
    return [
        name
        for name, page in PAGES.items()
        if not (DOCS / name).exists() or (DOCS / name).read_text(encoding="utf-8") != page()
    ]


def main(arguments: list[str]) -> int:
    """Writes or checks; 1 when a page is stale."""
    stale = stale_pages()
    if "--check" in arguments:
        for name in stale:
            print(f"docs/{name} is stale: run `make docs` and commit it", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).write_text(PAGES[name](), encoding="utf-8")
        print(f"wrote docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
