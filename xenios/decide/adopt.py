"""May a VM be adopted? Unlike other tables this one gives every reason against, so that all can be put right at once.

Effects: none
"""

from collections.abc import Collection as Many
from enum import StrEnum

import msgspec

from xenios.decide.details import details_of, other_owners
from xenios.decide.facts import Freeze, OwnerSeen, PowerSeen, Work, power_seen, work_on
from xenios.decide.ownership import MarkSeen, mark_seen
from xenios.decide.presence import Sighting
from xenios.decide.rules import Part, Rule, Table, nobody_thought_of_it
from xenios.model.collection import Quality
from xenios.model.decision import ManagerSeen, Refusal, Verdict
from xenios.model.inventory import Answer, Host, Vm, VmKind
from xenios.model.record import Custody, Record


class Identity(StrEnum):
    """Whether the hypervisor's uuid means this VM and no other."""

    UNIQUE = "unique"
    NOT_UNIQUE = "not unique"
    """Missing, or there more than once."""


class HostSeen(StrEnum):
    """Whether the host that it is on answers."""

    ANSWERS = "answers"
    SILENT = "silent"
    UNKNOWN = "unknown"
    """Nothing is known of the host, or not whether it answers."""
    NONE = "none"
    """It is on no host."""


class AdoptionFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What adoption depends on."""

    kind: VmKind
    identity: Identity
    power: PowerSeen
    host: HostSeen
    persistent: Answer
    custody: Custody
    mark: MarkSeen
    sighting: Sighting
    owner: OwnerSeen
    """ANOTHER also where a name looks like CloudStack's, which knows its VMs by nothing else: a warning, no proof."""
    work: Work
    freeze: Freeze
    quality: Quality


_KNOWN = frozenset(
    {
        PowerSeen.RUNNING,
        PowerSeen.PAUSED,
        PowerSeen.PAUSED_ON_IO_ERROR,
        PowerSeen.SUSPENDED,
        PowerSeen.SHUTTING_DOWN,
        PowerSeen.ASLEEP,
        PowerSeen.CRASHED,
        PowerSeen.HALTED,
    }
)


CAN_IT_BE: Part[AdoptionFacts] = Part(
    question="Can it ever be?",
    reads=("kind", "identity", "persistent", "custody", "mark"),
    rows=(
        Rule(
            id="adopt.control-domain",
            when=lambda f: f.kind is VmKind.CONTROL_DOMAIN,
            verdict=Verdict.LEAVE_ALONE,
            because="it is a control domain: the hypervisor itself runs in it",
            why="A control domain is part of its host. Stopping or moving it takes the host with it.",
            remedy="nothing to do",
        ),
        Rule(
            id="adopt.snapshot",
            when=lambda f: f.kind is VmKind.SNAPSHOT,
            verdict=Verdict.LEAVE_ALONE,
            because="it is a snapshot, not a machine",
            why="Snapshots belong to the VM they were taken of and go with it.",
            remedy="adopt the VM it was taken of",
        ),
        Rule(
            id="adopt.template",
            when=lambda f: f.kind is VmKind.TEMPLATE,
            verdict=Verdict.LEAVE_ALONE,
            because="it is a template, not a machine",
            why="A template cannot run. It can be deployed from without being ours.",
            remedy="deploy from it instead of adopting it",
        ),
        Rule(
            id="adopt.uuid-not-unique",
            when=lambda f: f.identity is not Identity.UNIQUE,
            verdict=Verdict.LEAVE_ALONE,
            because="its uuid is missing or is there more than once, so nobody can say which VM is meant",
            why="The mark of an adopted VM names the hypervisor's own uuid. Without a unique one it proves nothing.",
            remedy="find out with the hypervisor's own tools how this came to be",
        ),
        Rule(
            id="adopt.transient",
            when=lambda f: f.persistent is Answer.NO,
            verdict=Verdict.LEAVE_ALONE,
            because="it is transient: when it stops, its definition is gone, and our mark with it",
            why="libvirt keeps no definition of a transient domain. Whoever created it expects to create it again.",
            remedy="make it permanent (virsh dumpxml, virsh define) when nobody else manages it",
        ),
        Rule(
            id="adopt.ours-already",
            when=lambda f: f.custody in (Custody.CREATED, Custody.ADOPTED) and f.mark is MarkSeen.OURS,
            verdict=Verdict.LEAVE_ALONE,
            because="it is ours already",
            why="Adopting twice would begin a new time of custody for nothing.",
            remedy="nothing to do",
        ),
    ),
)

IS_IT_SEEN: Part[AdoptionFacts] = Part(
    question="Is it seen?",
    reads=("sighting",),
    rows=(
        Rule(
            id="adopt.not-seen-now",
            when=lambda f: f.sighting is not Sighting.FRESH,
            verdict=Verdict.WAIT,
            because="it is not seen now: what is known of it is old, or its host does not answer",
            why="A mark is written on what is there, and that is to be seen.",
            remedy="look again; if it does not show, look at the connection to the pool",
        ),
    ),
)

DO_WE_KNOW_ENOUGH: Part[AdoptionFacts] = Part(
    question="Do we know enough of it?",
    reads=("mark", "power", "host"),
    rows=(
        Rule(
            id="adopt.definition-unread",
            when=lambda f: f.mark is MarkSeen.NOT_READ,
            verdict=Verdict.WAIT,
            because="its definition could not be read",
            why="Less knowledge never means more action.",
            remedy="put right what kept it from being read (see the failures), then inspect again",
        ),
        Rule(
            id="adopt.power-unrecognised",
            when=lambda f: f.power is PowerSeen.UNRECOGNISED,
            verdict=Verdict.WAIT,
            because="the hypervisor tells a state of it that this version has no word for",
            why="What a newer hypervisor means by it is not guessed.",
            remedy="bring Xenios up to date, then inspect again",
        ),
        Rule(
            id="adopt.power-unknown",
            when=lambda f: f.power is PowerSeen.UNKNOWN,
            verdict=Verdict.WAIT,
            because="its power state is unknown",
            why="Unknown is not halted.",
            remedy="inspect again; ask the hypervisor's own tools what the VM does",
        ),
        Rule(
            id="adopt.host-not-live",
            when=lambda f: f.host is HostSeen.SILENT,
            verdict=Verdict.WAIT,
            because="its host {host} does not answer, so its state is only remembered",
            why="What a dead host's VMs do is not known until the host is back or declared dead.",
            remedy="bring the host back, or let the pool take its VMs over, then inspect again",
        ),
        Rule(
            id="adopt.host-unknown",
            when=lambda f: f.host is HostSeen.UNKNOWN,
            verdict=Verdict.WAIT,
            because="nothing is known of its host, or not whether that answers, so its state may only be remembered",
            why="To know less than that a host is dead is no reason to do more.",
            remedy="put right what kept the host from being seen (see the failures), then inspect again",
        ),
    ),
)

IS_NOW_THE_TIME: Part[AdoptionFacts] = Part(
    question="Is now the time?",
    reads=("freeze", "quality", "work"),
    rows=(
        Rule(
            id="adopt.frozen",
            when=lambda f: f.freeze is not Freeze.NONE,
            verdict=Verdict.WAIT,
            because="acting is frozen, on this pool or everywhere",
            why="One switch stops all acting, and writing a mark is acting.",
            remedy="end the freeze when its reason is gone",
        ),
        Rule(
            id="adopt.view-suspicious",
            when=lambda f: f.quality is Quality.SUSPICIOUS,
            verdict=Verdict.WAIT,
            because="the view of its pool is not to be believed: {suspicions}",
            why="A pool that looks quite different from a minute ago is more often misread than changed.",
            remedy="look at the pool with its own tools, and agree if it is so; or wait until several views agree",
        ),
        Rule(
            id="adopt.our-own-work",
            when=lambda f: f.work is Work.OURS,
            verdict=Verdict.WAIT,
            because="an operation of ours is under way on it",
            why="One operation at a time.",
            remedy="wait until it is over",
        ),
        Rule(
            id="adopt.busy",
            when=lambda f: f.work is Work.ANOTHERS,
            verdict=Verdict.WAIT,
            because="the hypervisor is at work on it: {busy}",
            why="What it will be when that is over is not known yet.",
            remedy="wait until that is over",
        ),
    ),
)

DOES_ANYBODY_ELSE_ANSWER: Part[AdoptionFacts] = Part(
    question="Does anybody else answer for it?",
    reads=(
        "kind",
        "identity",
        "persistent",
        "mark",
        "sighting",
        "power",
        "host",
        "freeze",
        "quality",
        "work",
        "owner",
    ),
    rows=(
        Rule(
            id="adopt.another-installations",
            when=lambda f: f.mark is MarkSeen.ANOTHERS,
            verdict=Verdict.ASK_OPERATOR,
            because="it carries the mark of another installation of Xenios ({installation})",
            why="Two installations on one VM undo each other's work.",
            remedy="release it there first, or say that the other installation is gone",
        ),
        Rule(
            id="adopt.mark-unknown",
            when=lambda f: f.mark in (MarkSeen.DAMAGED, MarkSeen.UNREADABLE, MarkSeen.UNKNOWN_VERSION),
            verdict=Verdict.ASK_OPERATOR,
            because="something stands under our key that is no mark of ours that can be read",
            why="Our mark would be written over it, and nobody knows yet what it was.",
            remedy="look who wrote it, then say that it may be written over",
        ),
        Rule(
            id="adopt.managed-by-another",
            when=lambda f: f.owner is OwnerSeen.ANOTHER,
            verdict=Verdict.ASK_OPERATOR,
            because="it looks managed by {owners}",
            why="Two control planes on one VM undo each other's work. A trace is no proof, so a person decides.",
            remedy="take it out of that manager's hands first, or say that the trace is stale when adopting",
        ),
        Rule(
            id="adopt.nothing-against",
            when=lambda f: (
                f.kind is VmKind.MACHINE
                and f.identity is Identity.UNIQUE
                and f.sighting is Sighting.FRESH
                and f.power in _KNOWN
                and f.host in (HostSeen.ANSWERS, HostSeen.NONE)
                and f.persistent in (Answer.YES, Answer.UNKNOWN)
                and f.mark
                in (
                    MarkSeen.ABSENT,
                    MarkSeen.COPIED,
                    MarkSeen.OURS,
                    MarkSeen.OTHER_RECORD,
                    MarkSeen.OTHER_EPOCH,
                )
                and f.owner is OwnerSeen.NOBODY
                and f.work is Work.IDLE
                and f.freeze is Freeze.NONE
                and f.quality in (Quality.COMPLETE, Quality.PARTIAL)
            ),
            verdict=Verdict.ACT,
            because="nothing stands against it",
            why="Adopting changes nothing but our mark.",
            remedy="adopt it if it shall be ours",
        ),
        nobody_thought_of_it("adopt"),
    ),
)

MAY_WE_ADOPT: Table[AdoptionFacts] = Table(
    name="adopt",
    question="May a VM be adopted?",
    about="Every row that matches is a reason, so that all can be put right at once; the gravest come first. When no "
    "row against it matches, the VM may be adopted, and adopting changes nothing but our mark.",
    facts=AdoptionFacts,
    gives_all_reasons=True,
    parts=(CAN_IT_BE, IS_IT_SEEN, DO_WE_KNOW_ENOUGH, IS_NOW_THE_TIME, DOES_ANYBODY_ELSE_ANSWER),
)


def adoption_facts(
    vm: Vm,
    managers: Many[ManagerSeen],
    host: Host | None,
    *,
    uuid_is_unique: bool,
    record: Record | None = None,
    installation_id: str = "",
    freeze: Freeze = Freeze.NONE,
    quality: Quality = Quality.COMPLETE,
    sighting: Sighting = Sighting.FRESH,
) -> AdoptionFacts:
    """The facts about adopting a VM. Without an installation every mark is somebody else's."""
    return AdoptionFacts(
        kind=vm.kind,
        identity=Identity.UNIQUE if uuid_is_unique else Identity.NOT_UNIQUE,
        power=power_seen(vm),
        host=_host_seen(vm, host),
        persistent=vm.persistent,
        custody=record.custody if record is not None else Custody.UNMANAGED,
        mark=mark_seen(vm, record, installation_id),
        sighting=sighting,
        owner=OwnerSeen.ANOTHER if other_owners(managers) else OwnerSeen.NOBODY,
        work=work_on(vm, record),
        freeze=freeze,
        quality=quality,
    )


def refusals_to_adopt(
    vm: Vm, managers: Many[ManagerSeen], host: Host | None, *, uuid_is_unique: bool
) -> tuple[Refusal, ...]:
    """All reasons against adopting the VM; empty: it may be adopted."""
    facts = adoption_facts(vm, managers, host, uuid_is_unique=uuid_is_unique)
    return MAY_WE_ADOPT.refusals(facts, details_of(vm, host, managers))


def _host_seen(vm: Vm, host: Host | None) -> HostSeen:
    if host is not None:
        return {Answer.YES: HostSeen.ANSWERS, Answer.NO: HostSeen.SILENT}.get(host.live, HostSeen.UNKNOWN)
    return HostSeen.UNKNOWN if vm.host_uuid is not None or vm.holds_memory else HostSeen.NONE
