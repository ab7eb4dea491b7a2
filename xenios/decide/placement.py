"""May a VM of ours run on a host? Every row that matches is a reason why this host will not do.

Effects: none
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from xenios.decide.facts import Freeze
from xenios.decide.rules import Part, Rule, Table, nobody_thought_of_it
from xenios.model.collection import Collection, Quality
from xenios.model.decision import Verdict
from xenios.model.inventory import Answer, Host
from xenios.model.room import HostRoom


class RoomSeen(StrEnum):
    """Whether the host has the memory, by the first of the three truths that says no."""

    ENOUGH = "enough"
    DECLARED_SHORT = "not enough beside what is declared"
    MEASURED_SHORT = "not enough as measured"
    PROMISED_SHORT = "not enough beside what is promised"
    UNKNOWN = "unknown"


class Processors(StrEnum):
    """Whether the host has as many processors as the VM."""

    ENOUGH = "enough"
    TOO_FEW = "too few"
    UNKNOWN = "unknown"


class Reach(StrEnum):
    """Whether the host reaches everything of a kind that the VM needs."""

    REACHED = "reached"
    NOT_REACHED = "not reached"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a VM needs of a host."""

    memory_bytes: int
    """With the hypervisor's overhead for it."""
    vcpus: int
    storage_uuids: tuple[str, ...] = ()
    network_uuids: tuple[str, ...] = ()


class PlacementFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that placement on one host depends on."""

    live: Answer
    enabled: Answer
    quality: Quality
    freeze: Freeze
    room: RoomSeen
    processors: Processors
    storages: Reach
    networks: Reach


DOES_IT_TAKE_VMS: Part[PlacementFacts] = Part(
    question="Does it take VMs?",
    reads=("live", "enabled", "quality", "freeze"),
    rows=(
        Rule(
            id="here.frozen",
            when=lambda f: f.freeze is not Freeze.NONE,
            verdict=Verdict.WAIT,
            because="acting is frozen, on its pool or everywhere",
            why="One switch stops all acting.",
            remedy="end the freeze when its reason is gone",
        ),
        Rule(
            id="here.view-suspicious",
            when=lambda f: f.quality is Quality.SUSPICIOUS,
            verdict=Verdict.WAIT,
            because="the view of its pool is not to be believed: {suspicions}",
            why="Room that is counted from such a view is not there.",
            remedy="look at the pool with its own tools, and agree if it is so; or wait until several views agree",
        ),
        Rule(
            id="here.view-partial",
            when=lambda f: f.quality is Quality.PARTIAL,
            verdict=Verdict.WAIT,
            because="the view of its pool is not complete, so what is on the host is not known",
            why="A VM that was not seen takes room all the same.",
            remedy="put right what could not be read (see the failures)",
        ),
        Rule(
            id="here.host-silent",
            when=lambda f: f.live is Answer.NO,
            verdict=Verdict.LEAVE_ALONE,
            because="the host does not answer",
            why="Nothing is placed on a host that may be dead.",
            remedy="bring the host back, or choose another",
        ),
        Rule(
            id="here.host-not-known-to-answer",
            when=lambda f: f.live is not Answer.YES,
            verdict=Verdict.WAIT,
            because="nobody knows whether the host answers",
            why="Not to know is no better than a no.",
            remedy="wait for a view that shows it",
        ),
        Rule(
            id="here.host-disabled",
            when=lambda f: f.enabled is not Answer.YES,
            verdict=Verdict.LEAVE_ALONE,
            because="the host is disabled, or not known to take VMs",
            why="Who disabled it prepares something, such as maintenance.",
            remedy="enable the host when that is over, or choose another",
        ),
    ),
)

DOES_IT_FIT: Part[PlacementFacts] = Part(
    question="Does the VM fit?",
    reads=("live", "enabled", "quality", "freeze", "room", "processors", "storages", "networks"),
    rows=(
        Rule(
            id="here.room-declared",
            when=lambda f: f.room is RoomSeen.DECLARED_SHORT,
            verdict=Verdict.LEAVE_ALONE,
            because="there is no room beside what the VMs on it may grow to, aliens included",
            why="Memory that a VM may come to hold at any time is not free.",
            remedy="choose another host, or a smaller size",
        ),
        Rule(
            id="here.room-measured",
            when=lambda f: f.room is RoomSeen.MEASURED_SHORT,
            verdict=Verdict.LEAVE_ALONE,
            because="the hypervisor itself says that it has not so much memory free",
            why="What the hypervisor measures outweighs every sum.",
            remedy="choose another host, or a smaller size",
        ),
        Rule(
            id="here.room-promised",
            when=lambda f: f.room is RoomSeen.PROMISED_SHORT,
            verdict=Verdict.LEAVE_ALONE,
            because="what is still free is promised to operations under way",
            why="Room is promised once.",
            remedy="wait until they are over, or choose another host",
        ),
        Rule(
            id="here.room-unknown",
            when=lambda f: f.room is RoomSeen.UNKNOWN,
            verdict=Verdict.WAIT,
            because="how much room it has is not known",
            why="Room that is not known is not there.",
            remedy="put right what kept its memory from being read (see the failures)",
        ),
        Rule(
            id="here.too-few-processors",
            when=lambda f: f.processors is not Processors.ENOUGH,
            verdict=Verdict.LEAVE_ALONE,
            because="the VM has more processors than the host, as far as that is known",
            why="Hypervisors refuse it, or the guest waits for itself.",
            remedy="choose another host, or fewer processors",
        ),
        Rule(
            id="here.storage-not-reached",
            when=lambda f: f.storages is not Reach.REACHED,
            verdict=Verdict.LEAVE_ALONE,
            because="the host is not known to reach all storage that the VM needs",
            why="A VM does not start without its disks.",
            remedy="attach the storage to the host, or choose another",
        ),
        Rule(
            id="here.network-not-reached",
            when=lambda f: f.networks is not Reach.REACHED,
            verdict=Verdict.LEAVE_ALONE,
            because="the host is not known to reach all networks that the VM needs",
            why="A VM that nobody reaches is of no use, and some hypervisors do not start it.",
            remedy="connect the network to the host, or choose another",
        ),
        Rule(
            id="here.fits",
            when=lambda f: (
                f.live is Answer.YES
                and f.enabled is Answer.YES
                and f.quality is Quality.COMPLETE
                and f.freeze is Freeze.NONE
                and f.room is RoomSeen.ENOUGH
                and f.processors is Processors.ENOUGH
                and f.storages is Reach.REACHED
                and f.networks is Reach.REACHED
            ),
            verdict=Verdict.ACT,
            because="the host takes VMs, and this one fits",
            why="Every row above is a reason against; none of them held.",
            remedy="nothing to do",
        ),
        nobody_thought_of_it("here"),
    ),
)

MAY_RUN_HERE: Table[PlacementFacts] = Table(
    name="here",
    question="May a VM run on a host?",
    about="Every row that matches is a reason why this host will not do. Placement chooses among those without one.",
    facts=PlacementFacts,
    gives_all_reasons=True,
    parts=(DOES_IT_TAKE_VMS, DOES_IT_FIT),
)


def placement_facts(
    wanted: Wanted, host: Host, room: HostRoom | None, view: Collection, quality: Quality, freeze: Freeze
) -> PlacementFacts:
    """The facts about running on one host of the pool. `room` None: it could not be counted."""
    storages = {
        storage.uuid
        for storage in view.storages
        if storage.active is Answer.YES and host.uuid in storage.host_uuids
    }
    # XenServer does not tell of a network whether it is on: what is not known to be off is taken to be on.
    networks = {network.uuid for network in view.networks if network.active is not Answer.NO}
    return PlacementFacts(
        live=host.live,
        enabled=host.enabled,
        quality=quality,
        freeze=freeze,
        room=_room_seen(wanted.memory_bytes, room),
        processors=_processors(wanted.vcpus, host.cpu.count),
        storages=_reach(wanted.storage_uuids, storages),
        networks=_reach(wanted.network_uuids, networks),
    )


def _room_seen(bytes_wanted: int, room: HostRoom | None) -> RoomSeen:
    if room is None or room.bytes_free_declared is None or room.bytes_free_measured is None:
        return RoomSeen.UNKNOWN
    if bytes_wanted > room.bytes_free_declared:
        return RoomSeen.DECLARED_SHORT
    if bytes_wanted > room.bytes_free_measured:
        return RoomSeen.MEASURED_SHORT
    free = min(room.bytes_free_declared, room.bytes_free_measured)
    return RoomSeen.ENOUGH if bytes_wanted + room.bytes_promised <= free else RoomSeen.PROMISED_SHORT


def _processors(vcpus: int, count: int | None) -> Processors:
    if count is None:
        return Processors.UNKNOWN
    return Processors.ENOUGH if vcpus <= count else Processors.TOO_FEW


def _reach(wanted: Iterable[str], reached: set[str]) -> Reach:
    return Reach.REACHED if reached.issuperset(wanted) else Reach.NOT_REACHED
