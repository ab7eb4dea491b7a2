"""convertToInfos of 4.0: from the names in a report to the VMs of the database.

For every name: the row that has it; else the id that a handler reads out of it, without a row; else it is nobody's.
The entries are kept by id, so a stranger whose name yields an id can take the place of the VM that has this id. What
is nobody's is kept, with negative keys, in the overload for clusters (XenServer) and dropped in the two for hosts.

Effects: none
"""

from collections.abc import Mapping

import msgspec

from xenios.decide.precedent.books import Row, rows_by_name
from xenios.decide.precedent.names import VmType, id_of_own_name_4_0
from xenios.decide.precedent.reports_4_0 import Reports
from xenios.decide.precedent.states import State


class Info(msgspec.Struct, frozen=True, kw_only=True):
    """AgentVmInfo: one name in a report, and what the database makes of it."""

    name: str
    state: State
    host_uuid: str | None
    row: Row | None = None
    """None: its id came out of its name, or it is an alien."""
    type: VmType | None = None
    """None: an alien."""


def infos_of_cluster(reports: Reports, rows: Mapping[int, Row], instance: str) -> dict[int, Info]:
    """The overload for XenServer's full and delta reports, which keeps aliens."""
    named = rows_by_name(rows)
    infos: dict[int, Info] = {}
    aliens = 0
    for name, (host, state) in reports.items():
        found = _known(name, named, instance)
        if found is not None:
            key, kind, row = found
            infos[key] = Info(name=name, state=state, host_uuid=host, row=row, type=kind)
        else:
            aliens += 1
            infos[-aliens] = Info(name=name, state=state, host_uuid=host)
    return infos


def infos_of_host(reports: Reports, rows: Mapping[int, Row], instance: str) -> dict[int, Info]:
    """The two overloads for what one host reports, at its start and as changed. They are alike: both drop aliens."""
    return {
        key: info for key, info in infos_of_cluster(reports, rows, instance).items() if info.type is not None
    }


def _known(name: str, named: Mapping[str, Row], instance: str) -> tuple[int, VmType, Row | None] | None:
    row = named.get(name)
    if row is not None:
        return row.id, row.type, row
    read = id_of_own_name_4_0(name, instance)
    return (read[1], read[0], None) if read is not None else None
