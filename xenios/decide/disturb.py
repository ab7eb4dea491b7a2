"""May something be done to a host that could hurt the aliens on it, such as fencing or forced maintenance?

Effects: none
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from xenios.decide.facts import Consent, Facts, Freeze, consent_for, freeze_of
from xenios.decide.ownership import MarkSeen
from xenios.decide.rules import Part, Rule, Table, nobody_thought_of_it
from xenios.decide.view_history import PoolHistory, is_fresh
from xenios.model.collection import Quality
from xenios.model.decision import Verdict
from xenios.model.inventory import PowerState, Vm, VmKind
from xenios.model.policy import Thresholds
from xenios.model.record import Custody, Installation


class AliensSeen(StrEnum):
    """Whether VMs that are not ours are on the host."""

    NONE = "none"
    SOME = "some"
    UNKNOWN = "unknown"


class HostFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that disturbing a host depends on."""

    aliens: AliensSeen
    consent: Consent
    quality: Quality
    freeze: Freeze


MAY_WE_DISTURB: Table[HostFacts] = Table(
    name="disturb",
    question="May a host be disturbed?",
    about="Fencing, forced maintenance, a reboot: whatever could hurt the aliens on a host. The first row that matches "
    "decides.",
    facts=HostFacts,
    parts=(
        Part(
            question="Could anybody be hurt who did not agree?",
            reads=("aliens", "consent", "quality", "freeze"),
            rows=(
                Rule(
                    id="disturb.frozen",
                    when=lambda f: f.freeze is not Freeze.NONE,
                    verdict=Verdict.WAIT,
                    because="acting is frozen, on its pool or everywhere",
                    why="One switch stops all acting.",
                    remedy="end the freeze when its reason is gone",
                ),
                Rule(
                    id="disturb.view-suspicious",
                    when=lambda f: f.quality is Quality.SUSPICIOUS,
                    verdict=Verdict.WAIT,
                    because="the view of its pool is not to be believed: {suspicions}",
                    why="Who is on the host is not known, whatever somebody agreed to.",
                    remedy="look at the pool with its own tools, and agree if it is so; or wait",
                ),
                Rule(
                    id="disturb.with-consent",
                    when=lambda f: (
                        f.consent is Consent.GIVEN
                        and f.quality in (Quality.COMPLETE, Quality.PARTIAL)
                        and f.freeze is Freeze.NONE
                    ),
                    verdict=Verdict.ACT,
                    because="somebody allowed it for this host, and the permission has not expired",
                    why="Consent is for one host and for a time.",
                    remedy="nothing to do",
                ),
                Rule(
                    id="disturb.aliens-not-known",
                    when=lambda f: f.aliens is AliensSeen.UNKNOWN or f.quality is not Quality.COMPLETE,
                    verdict=Verdict.WAIT,
                    because="whether aliens are on the host is not known",
                    why="Less knowledge never means more action.",
                    remedy="wait for a complete view; or look, and allow it for this host",
                ),
                Rule(
                    id="disturb.consent-expired",
                    when=lambda f: f.aliens is AliensSeen.SOME and f.consent is Consent.EXPIRED,
                    verdict=Verdict.ASK_OPERATOR,
                    because="aliens are on the host, and the permission has expired",
                    why="Who allowed it then did not know who is there now.",
                    remedy="look who is there, and allow it again",
                ),
                Rule(
                    id="disturb.aliens",
                    when=lambda f: f.aliens is AliensSeen.SOME,
                    verdict=Verdict.ASK_OPERATOR,
                    because="aliens are on the host",
                    why="They did nothing, and nobody asked their owners.",
                    remedy="ask their owners, then allow it for this host and a time",
                ),
                Rule(
                    id="disturb.nobody-there",
                    when=lambda f: (
                        f.aliens is AliensSeen.NONE
                        and f.consent in (Consent.NONE, Consent.EXPIRED)
                        and f.quality is Quality.COMPLETE
                        and f.freeze is Freeze.NONE
                    ),
                    verdict=Verdict.ACT,
                    because="nobody but VMs of ours is on the host",
                    why="What is ours we may interrupt, within the budget.",
                    remedy="nothing to do",
                ),
                nobody_thought_of_it("disturb"),
            ),
        ),
    ),
)


def host_facts(
    host_uuid: str,
    vms: Iterable[tuple[Vm, Facts]],
    history: PoolHistory,
    installation: Installation,
    now: int,
    thresholds: Thresholds,
) -> HostFacts:
    """The facts about one host. `vms`: all of its pool, with the facts about each."""
    known = host_uuid in history.hosts_answering and is_fresh(history, now, thresholds)
    aliens = AliensSeen.NONE if known else AliensSeen.UNKNOWN
    for vm, facts in vms:
        if vm.kind is not VmKind.MACHINE or _is_ours(facts):
            continue
        if vm.host_uuid == host_uuid:
            aliens = AliensSeen.SOME
            break
        if vm.host_uuid is None and (vm.holds_memory or vm.power_state is PowerState.UNKNOWN):
            aliens = AliensSeen.UNKNOWN  # it may be on any host
    return HostFacts(
        aliens=aliens,
        consent=consent_for(host_uuid, installation, now),
        quality=history.quality,
        freeze=freeze_of(installation, history.pool_uuid),
    )


def _is_ours(facts: Facts) -> bool:
    return facts.custody in (Custody.CREATED, Custody.ADOPTED) and facts.mark is MarkSeen.OURS
