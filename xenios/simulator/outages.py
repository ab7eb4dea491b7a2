"""Which hosts of a simulated pool do not answer as they should: dead, hanging, in emergency mode, restarting.

Effects: none
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from xenios.simulator.api_error import ApiError

ASSUMED_DEAD_AFTER = timedelta(minutes=10)
"""How long a host must be silent before the pool says that it is not live."""
EMERGENCY = ApiError("HOST_IN_EMERGENCY_MODE")


@dataclass(slots=True)
class Outages:
    """The hosts by ref that are not well."""

    now: Callable[[], datetime]
    dead: dict[str, datetime] = field(default_factory=dict)
    """Since when."""
    hanging: set[str] = field(default_factory=set)
    emergency: dict[str, ApiError] = field(default_factory=dict)
    """What each answers to all calls but a few."""
    returned: set[str] = field(default_factory=set)
    """Hosts that have power again and did not yet tell the master."""
    restarting_until: datetime | None = None
    """The master takes no connections before."""

    def refuses_connections(self, host: str, master: str) -> bool:
        """Whether nothing listens at a host's address."""
        if host in self.dead:
            return True
        if host != master or self.restarting_until is None:
            return False
        if self.now() < self.restarting_until:
            return True
        self.restarting_until = None
        return False

    def emergency_of(self, host: str) -> ApiError | None:
        """The error that a host in emergency mode answers with, or None."""
        return self.emergency.get(host)

    def heal(self, host: str) -> None:
        """Everything is well again with a host."""
        if self.dead.pop(host, None) is not None:
            self.returned.add(host)
        self.hanging.discard(host)
        self.emergency.pop(host, None)
