"""May something be done to a host that could hurt the aliens on it, such as fencing or forced maintenance?

Effects: none
"""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from xenios.decide.facts import Consent, Facts, Freeze, Quiet, consent_for, freeze_of, quiet_time
from xenios.decide.ownership import MarkSeen
from xenios.decide.presence import Sighting
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


class ViewAge(StrEnum):
    """Whether the last view of the pool shows what is, and the host in it."""

    FRESH = "fresh"
    OLD = "old"
    """Or there was none; or the pool does not answer."""
    HOST_NOT_IN_IT = "the host is not in it"


class HostFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that disturbing a host depends on."""

    view: ViewAge
    aliens: AliensSeen
    consent: Consent
    quality: Quality
    freeze: Freeze
    quiet: Quiet


MAY_WE_DISTURB: Table[HostFacts] = Table(
    name="disturb",
    question="May a host be disturbed?",
    about="Fencing, forced maintenance, a reboot: whatever could hurt the aliens on a host. The first row that matches "
    "decides.",
    facts=HostFacts,
    parts=(
        Part(
            question="Is anything known of it, and anything in the way?",
            reads=("view", "quality", "freeze", "quiet"),
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
                    id="disturb.too-early",
                    when=lambda f: f.quiet is not Quiet.OVER,
                    verdict=Verdict.WAIT,
                    because="Xenios started only a moment ago, or has not seen the whole pool yet",
                    why="A control plane that has just started knows the past only.",
                    remedy="wait for the first complete view and the end of the quiet time",
                ),
                Rule(
                    id="disturb.view-old",
                    when=lambda f: f.view is not ViewAge.FRESH,
                    verdict=Verdict.WAIT,
                    because="the pool was not seen lately, or the host not in it",
                    why="Whatever somebody agreed to, he agreed to it for what he thought was there.",
                    remedy="wait for a view that shows the host; or act by hand, at the host itself",
                ),
            ),
        ),
        Part(
            question="Could anybody be hurt who did not agree?",
            reads=("view", "aliens", "consent", "quality", "freeze", "quiet"),
            rows=(
                Rule(
                    id="disturb.with-consent",
                    when=lambda f: (
                        f.consent is Consent.GIVEN
                        and f.view is ViewAge.FRESH
                        and f.quiet is Quiet.OVER
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
                        and f.view is ViewAge.FRESH
                        and f.quiet is Quiet.OVER
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
    aliens = AliensSeen.NONE if host_uuid in history.hosts_answering else AliensSeen.UNKNOWN
    for vm, facts in vms:
        if vm.kind is not VmKind.MACHINE:
            continue
        ours, here = _is_ours(facts), vm.host_uuid == host_uuid
        if ours and facts.sighting is Sighting.FRESH:
            continue
        if here and not ours:
            aliens = AliensSeen.SOME
            break
        on_some_host = vm.host_uuid is None and (vm.holds_memory or vm.power_state is PowerState.UNKNOWN)
        if here or on_some_host or vm.busy:  # it may be on this host, or on its way there
            aliens = AliensSeen.UNKNOWN
    return HostFacts(
        view=_view_age(host_uuid, history, now, thresholds),
        aliens=aliens,
        consent=consent_for(host_uuid, installation, now),
        quality=history.quality,
        freeze=freeze_of(installation, history.pool_uuid),
        quiet=quiet_time(installation, history, now, thresholds),
    )


def _view_age(host_uuid: str, history: PoolHistory, now: int, thresholds: Thresholds) -> ViewAge:
    if not is_fresh(history, now, thresholds):
        return ViewAge.OLD
    there = host_uuid in history.hosts_answering or host_uuid in history.hosts_silent
    return ViewAge.FRESH if there else ViewAge.HOST_NOT_IN_IT


def _is_ours(facts: Facts) -> bool:
    return facts.custody in (Custody.CREATED, Custody.ADOPTED) and facts.mark is MarkSeen.OURS
