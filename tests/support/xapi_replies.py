"""The raw replies of a real xapi, for tests that compare bytes.

Effects: reads files
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent.parent / "fixtures" / "xapi"
STATE_DB = FIXTURES / "state.db"


def reply(name: str) -> bytes:
    """The body of a reply: `vm_all.xml`, compressed or not."""
    path = FIXTURES / name
    return path.read_bytes() if path.exists() else gzip.decompress((FIXTURES / f"{name}.gz").read_bytes())


def result(name: str) -> Any:
    """What a reply in JSON says: `vm_all`."""
    return json.loads(reply(f"{name}.json"))["result"]


def records() -> dict[str, dict[str, dict[str, Any]]]:
    """Every record of the real pool, `{class: {ref: record}}`."""
    loaded: dict[str, dict[str, dict[str, Any]]] = json.loads((FIXTURES / "records.json").read_bytes())
    return loaded
