"""Xenios itself as a policy that plays along: the same facts and tables that decide about real pools, and nothing else.

It adopts nothing by itself and marks only what it deploys. A user's request is a wish; whether it is acted on, in the
same moment or in a later round, says MAY_WE_TOUCH, and of a start also MAY_RUN_HERE. What it leaves alone it tells
once, with the rule, and again to whoever asks.

Effects: none
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from xenios.decide.changed import WHAT_CHANGED
from xenios.decide.details import details_of
from xenios.decide.facts import Facts, facts_about, power_seen
from xenios.decide.guards import refusal_in_state
from xenios.decide.ownership import mark_of
from xenios.decide.planner import plan_for
from xenios.decide.precedent.policy import ClaimedRoom, Deed, Occasion, Outcome, Reaction
from xenios.decide.room import room_of, wanted_bytes
from xenios.decide.rules import Rule, filled
from xenios.decide.touch import MAY_WE_TOUCH
from xenios.decide.view_history import PoolHistory, after_silence, after_view
from xenios.model.collection import Collection, Quality
from xenios.model.decision import Refusal, Verdict
from xenios.model.inventory import Answer, Host, Vm, VmKind
from xenios.model.mark import text_of
from xenios.model.plan import Plan, Step, Verb
from xenios.model.policy import Thresholds
from xenios.model.record import Custody, Installation, Record, Wish, WishedPower
from xenios.model.room import HostRoom
from xenios.replay.places import place_to_start
from xenios.replay.script import Seat

XENIOS = "xenios"
_DEFAULTS = Thresholds()
_SPACE = uuid.UUID("3d4bb0d5-0a0c-5a4e-8c35-5a7a3b1f3a10")
_RULES: Mapping[str, Rule[Facts]] = {rule.id: rule for rule in (*MAY_WE_TOUCH.rows, *WHAT_CHANGED.rows)}
_AS_EXPECTED = frozenset({"touch.nothing-asked", "touch.as-wished", "touch.drift-followed", "touch.act"})
"""What need not be told of a VM of ours."""
_NOT_SEEN = frozenset({"touch.host-silent", "touch.not-known-to-be-there", "touch.not-listed-once"})
_DEEDS: Mapping[Verb, Deed] = {Verb.START: Deed.STARTED, Verb.SHUT_DOWN: Deed.STOPPED}
_BOOKED: Mapping[str, Deed] = {
    "changed.followed-stop": Deed.MARKED_STOPPED,
    "changed.followed-start": Deed.MARKED_RUNNING,
    "changed.followed-move": Deed.MARKED_MOVED,
}
"""What our record follows, as it is called of every manager."""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What Xenios knows: its records, which are its database, and what it keeps while it runs."""

    installation: Installation
    records: Mapping[str, Record] = {}
    """By the hypervisor's uuid of the VM."""
    start_on: Mapping[str, str] = {}
    """Where somebody asked that a VM be started; nothing for one that may start anywhere."""
    history: PoolHistory | None = None
    """None: it has not been connected to the pool."""
    seen: Mapping[str, Vm] = {}
    """Every VM as it was last seen."""
    told: Mapping[str, str] = {}
    """By VM, the rule that was told of it last."""
    restored: bool = False
    """Its database was put back, and it has not begun anew since."""


class Ours:
    """One installation of Xenios."""

    name = XENIOS

    def __init__(self, pool_uuid: str, seat: Seat = Seat.FIRST, thresholds: Thresholds = _DEFAULTS) -> None:
        self.pool_uuid = pool_uuid
        self.installation_id = str(uuid.uuid5(_SPACE, f"installation of the {seat.value}"))
        self.thresholds = thresholds

    def begin(self) -> Known:
        """Nothing is recorded yet."""
        return Known(installation=Installation(id=self.installation_id, started_at=0))

    def react(self, memory: Known, occasion: Occasion, view: Collection | None, now: int) -> Reaction[Known]:
        """A pass over all VMs."""
        if occasion is Occasion.CONNECT:  # it starts anew: what it knew beside its database is forgotten
            restored_at = now if memory.restored else memory.installation.restored_at
            memory = Known(
                installation=replace(memory.installation, started_at=now, restored_at=restored_at),
                records=memory.records,
                start_on=memory.start_on,
                history=memory.history and PoolHistory(pool_uuid=memory.history.pool_uuid),
            )
        return self._pass(memory, view, now)

    def created(self, memory: Known, vm: Vm, *, ha: bool, now: int) -> Known:
        """A VM that was deployed at a user's request is ours: a record, and the mark that it was made with."""
        record = replace(
            self.record_of(vm.uuid),
            wish=Wish(power=WishedPower.ON, asked_at=now, met_at=now),
            was_on=True,
            host_uuid=vm.host_uuid,
        )
        return replace(memory, records={**memory.records, vm.uuid: record}, seen={**memory.seen, vm.uuid: vm})

    def refusal_to_deploy(self, memory: Known, vm: Vm, view: Collection, now: int) -> Outcome | None:
        """Why a VM that a user wants is not made on the host where he wants it; None: it is."""
        history = self._after(memory, view, now)
        place = place_to_start(vm, vm.host_uuid or "", view, history, memory.installation, {})
        return None if place.host_uuid is not None else _refused(vm, place.refusals)

    def asked_to_stop(self, memory: Known, vm: Vm, view: Collection, now: int) -> Reaction[Known]:
        """Somebody wishes that it be off."""
        return self._wished(memory, vm, Wish(power=WishedPower.OFF, asked_at=now), "", view, now)

    def asked_to_start(
        self, memory: Known, vm: Vm, host_uuid: str, view: Collection, now: int
    ) -> Reaction[Known]:
        """Somebody wishes that it run; `host_uuid` empty: anywhere."""
        return self._wished(memory, vm, Wish(power=WishedPower.ON, asked_at=now), host_uuid, view, now)

    def restored(self, old: Known, now: Known) -> Known:
        """The records of then."""
        return replace(now, records=old.records, start_on=old.start_on, told={}, restored=True)

    def room(self, memory: Known, view: Collection) -> Mapping[str, ClaimedRoom]:
        """What is there, counted: every VM, whosever it is. Of a host that does not answer nothing is known."""
        history = self._after(memory, view, view.seen_at)
        doubted = Quality.SUSPICIOUS in (history.quality, memory.history and memory.history.quality)
        live = {host.uuid: host for host in view.hosts if host.live is Answer.YES and not doubted}
        return {
            room.host_uuid: ClaimedRoom(
                host_uuid=room.host_uuid,
                bytes_total=room.bytes_total,
                bytes_used=_bytes_used(live[room.host_uuid], room) if room.host_uuid in live else None,
                bytes_free=room.bytes_free if room.host_uuid in live else None,
            )
            for room in room_of(view).hosts
        }

    def belief(self, memory: Known, vm: Vm) -> str:
        """What the record says, or why there is none to go by."""
        record = memory.records.get(vm.uuid)
        if record is None:
            return "no record of it"
        told = memory.told.get(vm.uuid, "")
        if told == "touch.gone":
            return "gone; its record is kept"
        if told in _NOT_SEEN:
            return "unknown for now"
        if told == "touch.suspended":
            return "suspended"
        if record.was_on is None:
            return "unknown"
        return "on" if record.was_on else "off"

    def record_of(self, vm_uuid: str) -> Record:
        """The first record of a VM that this installation makes."""
        return Record(
            vm_id=str(uuid.uuid5(_SPACE, f"{self.installation_id} {vm_uuid}")),
            pool_uuid=self.pool_uuid,
            native_uuid=vm_uuid,
            custody=Custody.CREATED,
            epoch=1,
        )

    def mark_for(self, vm_uuid: str) -> str:
        """What it writes on a VM that it makes."""
        return text_of(mark_of(self.record_of(vm_uuid), self.installation_id))

    # --- one pass --------------------------------------------------------------------------------------------------

    def _wished(
        self, memory: Known, vm: Vm, wish: Wish, host_uuid: str, view: Collection, now: int
    ) -> Reaction[Known]:
        record = memory.records.get(vm.uuid)
        if record is None:
            said = Outcome(
                vm_uuid=vm.uuid,
                name=vm.name,
                deed=Deed.NOTHING,
                rule="touch.alien",
                words="there is no record of it, so nothing can be asked of it before it is adopted",
            )
            return Reaction(memory=memory, outcomes=(said,))
        memory = replace(
            memory,
            records={**memory.records, vm.uuid: replace(record, wish=wish)},
            start_on=_without(memory.start_on, vm.uuid) | ({vm.uuid: host_uuid} if host_uuid else {}),
            told=_without(memory.told, vm.uuid),  # who asks is answered, whatever was said before
        )
        return self._pass(memory, view, now)

    def _after(self, memory: Known, view: Collection, now: int) -> PoolHistory:
        return after_view(memory.history or PoolHistory(pool_uuid=self.pool_uuid), view, now, self.thresholds)

    def _pass(self, memory: Known, view: Collection | None, now: int) -> Reaction[Known]:
        before = memory.history
        if view is not None:
            history = self._after(memory, view, now)
            seen = dict(memory.seen) | {vm.uuid: vm for vm in view.vms}
        elif before is None:
            return Reaction(memory=memory)
        else:
            history, seen = after_silence(before, now), dict(memory.seen)
        memory = replace(memory, history=history, seen=seen)
        outcomes = list(_about_the_view(before, history, view))
        promised: dict[str, int] = {}
        for vm_uuid in dict.fromkeys((*shown_in_order(view), *memory.records)):
            memory, found = self._one(memory, vm_uuid, view, now, promised)
            outcomes += found
        return Reaction(memory=memory, outcomes=tuple(outcomes))

    def _one(
        self, memory: Known, vm_uuid: str, view: Collection | None, now: int, promised: dict[str, int]
    ) -> tuple[Known, tuple[Outcome, ...]]:
        """Decides about one VM: what a change means for its record, then whether it may be touched."""
        vm, record, history = memory.seen.get(vm_uuid), memory.records.get(vm_uuid), memory.history
        if history is None or (vm is not None and vm.kind is not VmKind.MACHINE):
            return memory, ()
        facts = facts_about(vm, record, history, memory.installation, now, self.thresholds)
        changed = WHAT_CHANGED.decide(facts)
        if record is not None and vm is not None and vm_uuid in history.listed and view is not None:
            record = _followed(record, changed.rule, vm, now)
            memory = replace(memory, records={**memory.records, vm_uuid: record})
            facts = facts_about(vm, record, history, memory.installation, now, self.thresholds)
        touch = MAY_WE_TOUCH.decide(facts)
        done: tuple[Outcome, ...] = ()
        if vm is not None and record is not None and view is not None:
            done = _acts(memory, plan_for(touch, facts, vm, record), vm, view, promised)
            memory = replace(memory, records={**memory.records, vm_uuid: _recorded(record, done, now)})
        news, refused = changed.rule if changed.rule in _BOOKED else touch.rule, _refusal_in(done)
        outcomes: list[Outcome] = []
        if refused is None:
            outcomes += done
            if news != memory.told.get(vm_uuid, "") and (record is None or news not in _AS_EXPECTED):
                outcomes.insert(0, _told(news, vm, vm_uuid, _details(vm, view, history)))
        else:
            news = refused.rule
            if news != memory.told.get(vm_uuid, ""):
                outcomes.append(refused)
        return replace(memory, told={**memory.told, vm_uuid: news}), tuple(outcomes)


def shown_in_order(view: Collection | None) -> tuple[str, ...]:
    """The uuids of a view, in its order."""
    return tuple(vm.uuid for vm in view.vms) if view is not None else ()


def _about_the_view(
    before: PoolHistory | None, now: PoolHistory, view: Collection | None
) -> Iterator[Outcome]:
    """What is told of the pool as a whole, when it begins to be so."""
    silent = before is not None and before.silent_since is not None
    if view is None and not silent:
        yield _of_the_pool("the pool does not answer: nothing is concluded from that, and nothing is done")
    if now.quality is Quality.SUSPICIOUS and (before is None or before.quality is not Quality.SUSPICIOUS):
        why = "; ".join(suspicion.value for suspicion in now.suspicions)
        yield _of_the_pool(
            f"the view is not believed: {why}; nothing is done in this pool until that is settled"
        )


def _of_the_pool(words: str) -> Outcome:
    return Outcome(vm_uuid=None, name="", deed=Deed.ALERT, rule="view quality", words=words)


def _told(rule_id: str, vm: Vm | None, vm_uuid: str, details: Mapping[str, str]) -> Outcome:
    rule = _RULES[rule_id]
    deed = Deed.ALERT if rule.verdict is Verdict.ASK_OPERATOR else Deed.NOTHING
    return Outcome(
        vm_uuid=vm_uuid,
        name=vm.name if vm is not None else "",
        deed=_BOOKED.get(rule_id, deed),
        rule=rule_id,
        words=filled(rule.because, details),
    )


def _followed(record: Record, rule: str, vm: Vm, now: int) -> Record:
    """The record after a change that it follows. A wish that somebody overruled at the hypervisor is taken back."""
    follows = rule.startswith("changed.followed-")
    if not follows and rule not in ("changed.as-asked", "changed.nothing"):
        return record
    wish = record.wish
    if rule in ("changed.followed-stop", "changed.followed-start"):
        wish = Wish()
    elif wish.met_at is None and wish.power is (WishedPower.ON if vm.holds_memory else WishedPower.OFF):
        wish = replace(wish, met_at=now)
    return replace(record, wish=wish, was_on=vm.holds_memory, host_uuid=vm.host_uuid)


def _acts(
    memory: Known, plan: Plan | None, vm: Vm, view: Collection, promised: dict[str, int]
) -> tuple[Outcome, ...]:
    """The steps of a plan as what happens to the VM, up to one that may not be: that is the last, and says why.

    Nobody in a story asks for more than on and off.
    """
    outcomes: list[Outcome] = []
    for step in plan.steps if plan is not None else ():
        host_uuid, refusals = _may_be(memory, step, vm, view, promised)
        if refusals:
            return (*outcomes, _refused(vm, refusals))
        outcomes.append(
            Outcome(
                vm_uuid=vm.uuid,
                name=vm.name,
                deed=_DEEDS[step.verb],
                rule=plan.because if plan is not None else "",
                words=_RULES["touch.act"].because,
                host_uuid=host_uuid,
            )
        )
    return tuple(outcomes)


def _may_be(
    memory: Known, step: Step, vm: Vm, view: Collection, promised: dict[str, int]
) -> tuple[str | None, tuple[Refusal, ...]]:
    """The last word before a step: the guards, and for a start a host that takes it, where room is promised to it."""
    if (refusal := refusal_in_state(step.verb, power_seen(vm))) is not None:
        return None, (refusal,)
    if step.verb is not Verb.START or memory.history is None:
        return None, ()
    asked = step.host_uuid or memory.start_on.get(vm.uuid, "")
    place = place_to_start(vm, asked, view, memory.history, memory.installation, promised)
    if place.host_uuid is not None:
        promised[place.host_uuid] = promised.get(place.host_uuid, 0) + (wanted_bytes(vm) or 0)
    return place.host_uuid, place.refusals


def _recorded(record: Record, done: Sequence[Outcome], now: int) -> Record:
    """The record after what was done: an operation writes down itself what came of it, before anybody looks again."""
    for outcome in done:
        if outcome.deed in _DEEDS.values():
            starts = outcome.deed is Deed.STARTED
            record = replace(
                record,
                wish=replace(record.wish, met_at=now),
                was_on=starts,
                host_uuid=outcome.host_uuid if starts else record.host_uuid,
            )
    return record


def _refused(vm: Vm, refusals: Sequence[Refusal]) -> Outcome:
    return Outcome(
        vm_uuid=vm.uuid,
        name=vm.name,
        deed=Deed.NOTHING,
        rule=refusals[0].rule,
        words="; ".join(refusal.because for refusal in refusals),
    )


def _refusal_in(done: Sequence[Outcome]) -> Outcome | None:
    return next((outcome for outcome in done if outcome.deed is Deed.NOTHING), None)


def _details(vm: Vm | None, view: Collection | None, history: PoolHistory) -> Mapping[str, str]:
    hosts: Mapping[str, Host] = {host.uuid: host for host in view.hosts} if view is not None else {}
    return details_of(
        vm,
        hosts.get(vm.host_uuid or "") if vm is not None else None,
        suspicions=[suspicion.value for suspicion in history.suspicions],
    )


def _bytes_used(host: Host, room: HostRoom) -> int | None:
    """What is taken by the worse of the truths: a list may lack what the hypervisor measures, and the reverse."""
    total, kept, free = host.memory_bytes_total, host.memory_bytes_overhead, room.bytes_free
    return total - kept - free if total is not None and kept is not None and free is not None else None


def _without(texts: Mapping[str, str], name: str) -> dict[str, str]:
    return {key: text for key, text in texts.items() if key != name}
