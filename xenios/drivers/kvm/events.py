"""Which of libvirt's events a watch listens to, and what they mean in words. Pure.

An event is only a hint to look again, so the list holds whatever may come with a change of something that a view
shows. Left out is what happens often and changes nothing that is shown: a guest that sets its clock, somebody who looks
at its screen, each round of a migration. libvirt lets a read-only connection listen to every one of them (seen with
9.0; https://libvirt.org/html/libvirt-libvirt-domain.html has their numbers). Of what has no event at all (a definition
that is changed while the guest is off, autostart, a saved memory thrown away) polls and views tell.

Effects: none
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Hinted(Enum):
    """What an event is about."""

    GUEST = "guest"
    NETWORK = "network"
    STORAGE = "storage"


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event. `words` makes a text of the arguments that follow the thing in libvirt's callback."""

    hinted: Hinted
    constant: str
    """Its number's name in libvirt; one that this libvirt does not know is left out."""
    words: Callable[[Sequence[Any]], str]


_LIFECYCLE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("defined", ("added", "changed", "renamed", "from a snapshot")),
    ("undefined", ("removed", "renamed")),
    ("started", ("booted", "migrated", "restored", "from a snapshot", "woken up", "recovered")),
    ("suspended", ("paused", "migration", "I/O error", "watchdog", "restored", "from a snapshot", "API error",
                   "post-copy", "post-copy failed")),
    ("resumed", ("unpaused", "migrated", "from a snapshot", "post-copy", "post-copy failed")),
    ("stopped", ("shut down", "destroyed", "crashed", "migrated", "saved", "failed", "from a snapshot")),
    ("shutting down", ("finished", "by the guest", "by the host")),
    ("asleep", ("memory", "disk")),
    ("crashed", ("panicked", "crash loaded")),
)  # fmt: skip
"""virDomainEventType, and for each of them its details, in their order."""
_NETWORK_LIFECYCLE = ("defined", "undefined", "started", "stopped")
_STORAGE_LIFECYCLE = ("defined", "undefined", "started", "stopped", "created", "deleted")
_METADATA = ("description", "title", "metadata")
_AGENT = ("", "connected", "disconnected")
_TRAY = ("opened", "closed")


def _picked(words: Sequence[str], number: Any) -> str:
    """The word of that number; a number that this version does not know is shown as it is."""
    return words[number] if isinstance(number, int) and 0 <= number < len(words) else f"{number}"


def _lifecycle(arguments: Sequence[Any]) -> str:
    event, detail = arguments[0], arguments[1]
    if not (isinstance(event, int) and 0 <= event < len(_LIFECYCLE)):
        return f"lifecycle event {event}"
    word, details = _LIFECYCLE[event]
    return f"{word} ({_picked(details, detail)})"


def _plain(words: str) -> Callable[[Sequence[Any]], str]:
    return lambda arguments: words


def _named(words: str, place: int = 0) -> Callable[[Sequence[Any]], str]:
    """The words, and in brackets the device that the event names."""
    return lambda arguments: f"{words} ({arguments[place]})" if arguments[place] else words


def _guest(name: str, words: Callable[[Sequence[Any]], str]) -> Event:
    return Event(Hinted.GUEST, f"VIR_DOMAIN_EVENT_ID_{name}", words)


EVENTS: tuple[Event, ...] = (
    _guest("LIFECYCLE", _lifecycle),
    _guest("REBOOT", _plain("rebooted")),
    _guest("WATCHDOG", _plain("its watchdog fired")),
    _guest("IO_ERROR_REASON", _named("I/O error", 1)),
    _guest("CONTROL_ERROR", _plain("libvirt cannot talk to its hypervisor process")),
    _guest("BLOCK_JOB_2", _named("block job")),
    _guest("DISK_CHANGE", _named("medium changed", 2)),
    _guest("TRAY_CHANGE", lambda arguments: f"tray {_picked(_TRAY, arguments[1])} ({arguments[0]})"),
    _guest("PMWAKEUP", _plain("woken up")),
    _guest("PMSUSPEND", _plain("asleep")),
    _guest("PMSUSPEND_DISK", _plain("asleep (disk)")),
    _guest("BALLOON_CHANGE", _plain("balloon moved")),
    _guest("DEVICE_ADDED", _named("device added")),
    _guest("DEVICE_REMOVED", _named("device removed")),
    _guest("DEVICE_REMOVAL_FAILED", _named("device not removed")),
    _guest("TUNABLE", _plain("limits changed")),
    _guest("AGENT_LIFECYCLE", lambda arguments: f"guest agent {_picked(_AGENT, arguments[0])}".strip()),
    _guest("JOB_COMPLETED", _plain("job ended")),
    _guest("METADATA_CHANGE", lambda arguments: f"{_picked(_METADATA, arguments[0])} changed"),
    _guest("MEMORY_DEVICE_SIZE_CHANGE", _named("memory device changed")),
    _guest("NIC_MAC_CHANGE", _named("MAC address changed")),
    _guest("VCPU_REMOVED", _plain("processor removed")),
    Event(
        Hinted.NETWORK,
        "VIR_NETWORK_EVENT_ID_LIFECYCLE",
        lambda arguments: f"network {_picked(_NETWORK_LIFECYCLE, arguments[0])}",
    ),
    Event(Hinted.NETWORK, "VIR_NETWORK_EVENT_ID_METADATA_CHANGE", _plain("network's metadata changed")),
    Event(
        Hinted.STORAGE,
        "VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE",
        lambda arguments: f"storage pool {_picked(_STORAGE_LIFECYCLE, arguments[0])}",
    ),
    Event(Hinted.STORAGE, "VIR_STORAGE_POOL_EVENT_ID_REFRESH", _plain("storage pool refreshed")),
)


def words_of(event: Event, arguments: Sequence[Any]) -> str:
    """The event in words. Never raises: a newer libvirt may pass other arguments, and a hint is a hint without them."""
    try:
        return event.words(arguments)
    except (IndexError, TypeError, ValueError):
        return event.constant.rpartition("_EVENT_ID_")[2].replace("_", " ").lower()
