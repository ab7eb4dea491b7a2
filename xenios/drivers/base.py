"""What every hypervisor driver offers: an Observer. It has no method that writes.

Why a protocol: the layers above must not know which hypervisor they look at, and the same contract tests run over
every driver. A view never raises for a part that failed: it carries the failure (model/collection.py). It raises only
when there is no view at all.

Effects: none
"""

from collections.abc import AsyncGenerator, Callable
from enum import StrEnum
from typing import Protocol

from xenios.model.collection import Collection
from xenios.model.inventory import CapabilityAnswer
from xenios.model.update import Update


class Depth(StrEnum):
    """How much a view asks for."""

    FULL = "full"
    """Everything that is cheap in bulk: enough to follow a pool, polled as often as needed."""
    REPORT = "report"
    """And the figures that cost a question per guest or disk: sizes, addresses, snapshots, real memory."""


Progress = Callable[[str], None]
"""Told in a few words what is being read now."""


def no_progress(_: str) -> None:
    """Ignores progress."""


class Observer(Protocol):
    """Reads one pool and writes nothing to it, not even a tag (promise 14)."""

    @property
    def target(self) -> str:
        """What it reads, as the user named it but without secrets."""

    @property
    def capabilities(self) -> tuple[CapabilityAnswer, ...]:
        """What this source can tell, found by asking; complete after the first view."""

    async def observe(self, depth: Depth, progress: Progress = no_progress) -> Collection:
        """A full view. Raises TargetUnreadable when nothing at all could be seen."""

    def watch(self) -> AsyncGenerator[Update, None]:
        """First a full view, then what changes, for as long as it is not closed (`aclosing`, or cancel the reader).

        A connection that is lost is told once as `silent_since` and made again by itself; nothing that was known is
        taken back by it. Raises TargetUnreadable when the first view fails, and XeniosError from a source that has no
        events. One watch at a time; `observe` may be asked meanwhile.
        """

    async def close(self) -> None:
        """Lets go of the target; safe to call twice, and on a target that no longer answers."""
