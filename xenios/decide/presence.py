"""Is a VM there? Three values: seen, confirmed absent, unknown. Silence is not absence.

Effects: none
"""

from collections.abc import Callable
from enum import StrEnum
from typing import assert_never

from xenios.decide.view_history import PoolHistory, is_fresh
from xenios.model.inventory import Presence
from xenios.model.policy import Thresholds

NOWHERE_KNOWN = ""
"""Where a VM is that holds memory of a host which nobody names. That host cannot have answered."""


class Sighting(StrEnum):
    """When and how a VM was last seen."""

    FRESH = "fresh"
    """In the last view, which is not old, on no host that is silent."""
    STALE = "stale"
    """In the last view, which is old, or dated from the future."""
    HOST_SILENT = "host silent"
    """Its host does not answer, so its state is only remembered; or no host of the pool does."""
    HOST_GONE = "host gone"
    """The host on which it last ran has left the pool without a word of it. It may run there still."""
    NOT_LISTED_ONCE = "not listed once"
    """The last view, a complete one, lacks it. A second one would confirm that it is gone."""
    CONFIRMED_ABSENT = "confirmed absent"
    NOT_KNOWN = "not known"
    """The last view lacks it, and could not have shown everything."""
    NO_VIEW = "no view yet"
    TWICE = "same uuid twice"
    ON_TWO_HOSTS = "on two hosts at once"


def sightings_in(
    history: PoolHistory, now: int, thresholds: Thresholds
) -> Callable[[str, str | None], Sighting]:
    """How the VM with a uuid was last seen in this pool, and on which host: a function of these two."""
    if history.seen_at is None:
        return lambda _uuid, _host_uuid: Sighting.NO_VIEW
    listed, twice, answering = history.listed, history.twice, history.hosts_answering
    silent = history.silent_since is not None or not answering
    hosts = answering | history.hosts_silent | {NOWHERE_KNOWN}
    seen = Sighting.FRESH if is_fresh(history, now, thresholds) else Sighting.STALE
    host_silent, host_gone = Sighting.HOST_SILENT, Sighting.HOST_GONE

    def sighting(uuid: str, host_uuid: str | None) -> Sighting:
        if twice and uuid in twice:
            return Sighting.ON_TWO_HOSTS if uuid in history.on_two_hosts else Sighting.TWICE
        if history.silent_since is not None:
            return host_silent
        if uuid not in listed:
            return _missing(history.views_without(uuid), thresholds)
        if silent:
            return host_silent
        if host_uuid is None or host_uuid in answering:
            return seen
        return host_silent if host_uuid in hosts else host_gone

    return sighting


def _missing(views: int, thresholds: Thresholds) -> Sighting:
    if views == 0:
        return Sighting.NOT_KNOWN
    return (
        Sighting.NOT_LISTED_ONCE if views < thresholds.views_to_confirm_absence else Sighting.CONFIRMED_ABSENT
    )


def presence_of(sighting: Sighting) -> Presence:
    """There, missing or not known."""
    match sighting:
        case Sighting.FRESH:
            return Presence.THERE
        case Sighting.CONFIRMED_ABSENT:
            return Presence.MISSING
        case (
            Sighting.STALE
            | Sighting.HOST_SILENT
            | Sighting.HOST_GONE
            | Sighting.NOT_LISTED_ONCE
            | Sighting.NOT_KNOWN
            | Sighting.NO_VIEW
            | Sighting.TWICE
            | Sighting.ON_TWO_HOSTS
        ):
            return Presence.UNKNOWN
        case _:
            assert_never(sighting)
