"""What no record says about the guests: which have tools inside, and the number of the next domain of each host.

A halted VM's record does not tell whether its guest will report metrics once it is up. So it is remembered from the
last time it was seen running, and a VM that was never seen running has tools when it has a disk to boot from.
Domain numbers only grow while a host is up, so no two domains of a host ever share one.

Effects: none
"""

from xenios.simulator.facts.datamodel import NULL, Record
from xenios.simulator.tables import Tables

_FEATURES = ("shutdown", "reboot", "poweroff", "suspend", "balloon")
_SYSTEM = {
    "name": "Debian GNU/Linux 12 (bookworm)",
    "uname": "6.1.0-18-amd64",
    "distro": "debian",
    "major": "12",
    "minor": "5",
}


class Guests:
    """Kept beside the tables for as long as the pool lives."""

    def __init__(self) -> None:
        """Nothing is known of any guest yet."""
        self._metrics: dict[str, Record | None] = {}
        self._domids: dict[str, int] = {}

    def set_tools(self, vm: str, *, present: bool) -> None:
        """Say whether this guest has tools; takes effect when it next starts."""
        self._metrics[vm] = _metrics_of_new_guest() if present else None

    def copy(self, source: str, target: str, tables: Tables) -> None:
        """A copy of a disk holds the same software."""
        self.remember(tables, source)
        if source in self._metrics:
            self._metrics[target] = self._metrics[source]

    def remember(self, tables: Tables, vm: str) -> None:
        """Note what a VM that is up reports of itself, before its metrics go."""
        record = tables.get("VM", vm)
        metrics = tables.find("VM_guest_metrics", record["guest_metrics"])
        if metrics is not None:
            self._metrics[vm] = {name: value for name, value in metrics.items() if name != "uuid"}
        elif record["power_state"] in ("Running", "Paused"):
            self._metrics[vm] = None

    def reported(self, tables: Tables, vm: str) -> Record | None:
        """What the guest's tools will report once it is up; None without tools."""
        if vm in self._metrics:
            return self._metrics[vm]
        vbds = [tables.find("VBD", ref) for ref in tables.get("VM", vm)["VBDs"]]
        installed = any(vbd is not None and vbd["type"] == "Disk" and vbd["VDI"] != NULL for vbd in vbds)
        return _metrics_of_new_guest() if installed else None

    def next_domid(self, tables: Tables, host: str) -> int:
        """The number of the next domain of a host."""
        used = [tables.get("VM", vm)["domid"] for vm in tables.get("host", host)["resident_VMs"]]
        number: int = max([self._domids.get(host, 0), *used]) + 1
        self._domids[host] = number
        return number


def _metrics_of_new_guest() -> Record:
    return {
        "os_version": dict(_SYSTEM),
        "PV_drivers_version": {"major": "8", "minor": "4", "micro": "1", "build": "1"},
        "PV_drivers_up_to_date": True,
        "PV_drivers_detected": True,
        "other": {f"feature-{name}": "1" for name in _FEATURES},
    }
