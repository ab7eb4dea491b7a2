"""XenServer database files for tests: written attribute by attribute, so that they may be as wrong as a test wants.

Effects: reads files
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

from xenios.drivers.base import Depth
from xenios.drivers.xenserver.database import Database, read_database
from xenios.drivers.xenserver.offline import DatabaseObserver
from xenios.drivers.xenserver.records import CLASSES
from xenios.model.collection import Collection

Row = Mapping[str, str]
REAL = Path(__file__).parent.parent / "fixtures" / "xapi" / "state.db"
REAL_RECORDS = REAL.with_name("records.json")
EXAMPLE = Path(__file__).parents[2] / "xenios" / "simulator" / "examples" / "pool-in-use.db"

POOL: Row = {"_ref": "OpaqueRef:pool", "uuid": "pool-uuid", "name_label": "pool", "master": "OpaqueRef:host"}
HOST: Row = {
    "_ref": "OpaqueRef:host",
    "uuid": "host-uuid",
    "name__label": "host",
    "enabled": "true",
    "metrics": "OpaqueRef:host-metrics",
    "memory__overhead": str(1024**3),
}
HOST_METRICS: Row = {"_ref": "OpaqueRef:host-metrics", "memory__total": str(64 * 1024**3), "live": "true"}
VM: Row = {
    "_ref": "OpaqueRef:vm",
    "uuid": "vm-uuid",
    "name__label": "vm",
    "power_state": "Running",
    "resident_on": "OpaqueRef:host",
    "memory__static_max": str(1024**3),
    "memory__dynamic_max": str(1024**3),
    "memory__dynamic_min": str(1024**3),
    "VCPUs__max": "1",
    "VCPUs__at_startup": "1",
}


def pool_rows(*vms: Row, **tables: Sequence[Row]) -> dict[str, Sequence[Row]]:
    """Every table that is read; a pool of one host with these VMs; other tables as given."""
    rows: dict[str, Sequence[Row]] = dict.fromkeys(CLASSES, ())
    rows |= {"pool": (POOL,), "host": (HOST,), "host_metrics": (HOST_METRICS,), "VM": vms or (VM,)}
    return rows | tables


def database_bytes(tables: Mapping[str, Sequence[Row]], *, before: str = "", minor: int = 909) -> bytes:
    """The file with these tables; values are escaped for XML and otherwise as given."""
    parts = [f'<?xml version="1.0" encoding="UTF-8"?>{before}<database><manifest>']
    parts.append(f'<pair key="schema_major_vsn" value="5"/><pair key="schema_minor_vsn" value="{minor}"/>')
    parts.append('<pair key="generation_count" value="7"/></manifest>')
    for name, rows in tables.items():
        parts.append(f"<table name={quoteattr(name)}>")
        for row in rows:
            cells = " ".join(f"{column}={quoteattr(value)}" for column, value in row.items())
            parts.append(f"<row {cells}/>")
        parts.append("</table>")
    return "".join((*parts, "</database>")).encode()


def read(path: Path) -> Database:
    """The file as the driver reads it."""
    return asyncio.run(read_database(path))


def observed(path: Path, timeout_seconds: float = 60) -> Collection:
    """The file as the observer sees it."""
    return asyncio.run(DatabaseObserver(path, timeout_seconds).observe(Depth.FULL))
