"""Which operations a host admits, and whether anybody answers there.

A host that is not live still stands in the database as it was last seen, and its VMs with it; only what must be done
on that host fails. Source: valid_operations in xapi's xapi_host_helpers.ml.

Effects: none
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import Record
from xenios.simulator.tables import Tables
from xenios.simulator.verbs.lifecycle import in_progress

if TYPE_CHECKING:
    from xenios.simulator.pool import SimulatedPool

# The order in which a real pool lists what is allowed.
_OPERATIONS = (
    "vm_migrate",
    "provision",
    "vm_resume",
    "enable",
    "evacuate",
    "vm_start",
    "shutdown",
    "reboot",
    "power_on",
)
_BRINGS_VMS = frozenset({"provision", "vm_resume", "vm_migrate", "vm_start", "evacuate"})


def refusal_of_host(tables: Tables, ref: str, operation: str) -> ApiError | None:
    """Why the host does not admit the operation; None if it does. Raises ApiError HANDLE_INVALID."""
    return next(_refusals(tables, ref, tables.get("host", ref), operation), None)


def host_operations_allowed(tables: Tables, ref: str) -> list[str]:
    """What `allowed_operations` of a host should say."""
    host = tables.get("host", ref)
    return [name for name in _OPERATIONS if next(_refusals(tables, ref, host, name), None) is None]


def is_live(tables: Tables, host: Record) -> bool:
    """Whether the host has been heard of lately."""
    metrics = tables.find("host_metrics", host["metrics"])
    return metrics is not None and metrics["live"]


def require_answer(pool: "SimulatedPool", ref: str) -> None:
    """Raise what the master answers when something must be done on a host and nobody answers there.

    HOST_OFFLINE [host] once the host is known to be lost, and before that CANNOT_CONTACT_HOST [host].
    """
    if not is_live(pool.tables, pool.tables.get("host", ref)):
        raise ApiError("HOST_OFFLINE", ref)
    if pool.host_is_dead(ref):
        raise ApiError("CANNOT_CONTACT_HOST", ref)


def _refusals(tables: Tables, ref: str, host: Record, operation: str) -> Iterator[ApiError]:
    current = host["current_operations"]
    if operation in _BRINGS_VMS and "evacuate" in current.values():
        yield ApiError("HOST_EVACUATE_IN_PROGRESS", ref)
    if operation not in ("vm_start", "vm_resume", "vm_migrate", "provision") and any(
        name in ("shutdown", "reboot", "evacuate") for name in current.values()
    ):
        yield in_progress("host", ref, current)
    if operation in ("shutdown", "reboot") and host["enabled"]:
        yield ApiError("HOST_NOT_DISABLED")
    if operation == "power_on":
        if is_live(tables, host):
            yield ApiError("HOST_IS_LIVE", ref)
        if not host["power_on_mode"]:
            yield ApiError("HOST_POWER_ON_MODE_DISABLED")
