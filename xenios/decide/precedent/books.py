"""What CloudStack keeps from round to round: its database, and the caches of its agents. Nothing in it ever changes.

`Row.vm_uuid`, `Books.pool` and `Books.seen` are ours, not CloudStack's, which knows a VM by its name alone. They
are kept to say which VM was meant when a view does not show it.

Effects: none
"""

from collections.abc import Mapping

import msgspec

from xenios.decide.precedent.names import VmType
from xenios.decide.precedent.reports_4_0 import Reports
from xenios.decide.precedent.states import PowerReport, State
from xenios.model.inventory import Pool, Vm

SECOND = 1_000_000
PING_INTERVAL = 60 * SECOND
"""CloudStack's setting `ping.interval` as it comes."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One VM in its database."""

    id: int
    name: str
    type: VmType = VmType.USER
    state: State
    host_uuid: str | None = None
    last_host_uuid: str | None = None
    ha: bool = False
    bytes_memory: int | None = None
    updated_at: int = 0
    work_is_migrating: bool = False
    """A work item of its own in the step Migrating is outstanding."""
    power: PowerReport | None = None
    """4.22: the last power report, with its host, time, and how often the same was written."""
    power_host_uuid: str | None = None
    power_at: int = 0
    power_count: int = 0
    vm_uuid: str | None = None


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of a CloudStack of any version."""

    rows: Mapping[int, Row] = {}
    """VMs by their id in the database."""
    hosts: Mapping[str, str] = {}
    """The hosts that were added, by uuid: their names. A host that joins the pool later is not among them."""
    pool_cache: Reports = {}
    """XenServer's table of last states (4.0)."""
    host_caches: Mapping[str, Reports] = {}
    """KVM's, for each host (4.0)."""
    silent_since: Mapping[str, int] = {}
    """Hosts that do not answer, and since when. A host about which the operator was told has the time 0."""
    pool: Pool | None = None
    """As the last view told it."""
    seen: tuple[Vm, ...] = ()
    """Everything that the last view showed that was not empty."""

    def row_of_name(self, name: str) -> Row | None:
        """findByName: the row with this name; of several, the first."""
        return next((row for row in self.rows.values() if row.name == name), None)

    def belief(self, name: str) -> str:
        """What the database says of a name, in words."""
        row = self.row_of_name(name)
        if row is None:
            return "unknown to it"
        if row.host_uuid is None:
            return str(row.state)
        return f"{row.state} on {self.hosts.get(row.host_uuid, row.host_uuid)}"


def rows_by_name(rows: Mapping[int, Row]) -> dict[str, Row]:
    """The rows by their names. Two rows of one name (CloudStack's imports allow it): the first."""
    named: dict[str, Row] = {}
    for row in rows.values():
        named.setdefault(row.name, row)
    return named
