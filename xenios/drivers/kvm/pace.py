"""How often a watch asks by itself, and how long it waits for what.

Effects: draws from the random numbers it is given
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Times of a watch, in seconds. Every recurring one is spread, or a thousand hosts would be asked at once."""

    poll_seconds: float = 30.0
    """Between two polls of what all guests do; they find what no event told."""
    view_seconds: float = 300.0
    """Between two full views; they find what neither events nor polls tell."""
    settle_seconds: float = 1.0
    """After this the guest of an event is looked at once more: libvirt sends some events before its own books follow
    (a medium that is changed, a snapshot of a running guest)."""
    rest_seconds: float = 0.02
    """Between two looks at what was hinted at; a burst of events becomes one look."""
    back_off_seconds_min: float = 0.25
    back_off_seconds_max: float = 60.0
    """Between attempts to connect again: the first pause, and the longest."""
    spread: float = 0.2
    """A pause is longer or shorter by at most this share."""
    dice: random.Random = field(default_factory=random.Random)

    def spread_out(self, seconds: float) -> float:
        """About so long."""
        return seconds * self.dice.uniform(1 - self.spread, 1 + self.spread)

    def back_off_seconds(self, attempts: int) -> float:
        """The pause after so many attempts in vain."""
        doubled = self.back_off_seconds_min * 2 ** min(attempts, 30)
        return self.spread_out(min(doubled, self.back_off_seconds_max))
