"""What must hold of any pool whatever: less knowledge, other VMs, another order, other names, a second look.

Effects: none
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.decisions import (
    DEFAULTS,
    NOW,
    SECOND,
    THEM,
    Seen,
    a_record,
    carried_out,
    history_of,
    marked,
    one_pass,
    uuid_of,
    wish,
)
from tests.support.inventory import a_collection, a_host, a_pool, a_vm
from tests.support.matrix import FACTS_OF, cases_that_act, values_of
from xenios.decide.facts import Facts
from xenios.decide.ownership import MarkSeen
from xenios.decide.presence import Sighting
from xenios.decide.tables import TABLES
from xenios.decide.view_history import PoolHistory, after_silence, after_view
from xenios.model.collection import Collection, ReadFailure
from xenios.model.decision import Verdict
from xenios.model.inventory import Answer, PowerState, Vm
from xenios.model.record import Custody, DriftPolicy, Record, WishedPower

HOSTS = (a_host(), a_host("host-2"))


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """A pool that was looked at twice, and what is recorded of it."""

    before: Collection
    now: Collection
    records: Mapping[str, Record]

    def history(self) -> PoolHistory:
        return history_of(self.before, self.now)

    def seen(self) -> dict[str, Seen]:
        return one_pass(self.now, self.records, self.history())


def acts(seen: Mapping[str, Seen]) -> set[tuple[str, tuple[str, ...]]]:
    """Which VMs would be acted on, and how."""
    return {
        (uuid, tuple(step.verb for step in one.plan.steps) if one.plan is not None else ())
        for uuid, one in seen.items()
        if one.decision.verdict is Verdict.ACT
    }


def decisions(seen: Mapping[str, Seen]) -> dict[str, tuple[str, str]]:
    return {uuid: (one.decision.rule, one.changed.rule) for uuid, one in seen.items()}


def one_vm(number: int, chance: Random) -> tuple[Vm | None, Record | None]:
    """A VM and its record, of which either may be missing."""
    uuid = uuid_of(number)
    state = chance.choice([PowerState.RUNNING] * 6 + [PowerState.HALTED] * 4 + list(PowerState))
    hosts = ["host-1", "host-1", "host-1", "host-2", "host-2", "host-3", None]
    vm = a_vm(
        uuid,
        power_state=state,
        host_uuid=None if state is PowerState.HALTED else chance.choice(hosts),
        busy=chance.choice([()] * 7 + [("clone",)]),
        power_recognised=state is not PowerState.UNKNOWN or chance.random() < 0.5,
        definition_read=chance.random() < 0.9,
    )
    record = a_record(
        uuid,
        custody=chance.choice([Custody.CREATED] * 5 + [Custody.ADOPTED] * 2 + [Custody.RELEASED]),
        wish=wish(
            chance.choice([*WishedPower, WishedPower.ON, WishedPower.OFF]),
            gone=chance.random() < 0.2,
            host_uuid=chance.choice([None, None, "host-1", "host-2"]),
            met_at=chance.choice([None, None, 1]),
        ),
        drift=chance.choice(list(DriftPolicy)),
        was_on=chance.choice([None, None, vm.holds_memory, True, False]),
        host_uuid=chance.choice([None, "host-1", "host-2", "host-3"]),
        operation=chance.choice([None] * 9 + ["op"]),
    )
    match chance.choice(["ours"] * 9 + ["alien", "copy", "theirs", "no mark", "no record", "not there"]):
        case "ours":
            return marked(vm, record), record
        case "copy":
            return marked(vm, a_record(uuid_of(number + 50))), None
        case "theirs":
            return marked(vm, record, THEM), record
        case "no mark":
            return vm, record
        case "no record":
            return marked(vm, record), None
        case "not there":
            return None, record
        case _:
            return vm, None


def scene_of(seed: int) -> Scene:
    """A pool of a few VMs, about as many of them ours as not, some of which were missing in the last view."""
    chance = Random(seed)
    drawn = [one_vm(number, chance) for number in range(1, chance.randint(1, 6) + 1)]
    vms = [vm for vm, _ in drawn if vm is not None]
    if vms and chance.random() < 0.2:
        vms.append(replace(chance.choice(vms), host_uuid=chance.choice(["host-2", None])))
    third = a_host("host-3", live=chance.choice([Answer.YES, Answer.YES, Answer.NO]))
    whole = a_collection(*vms, hosts=(*HOSTS, third), seen_at=NOW - 60 * SECOND)
    missing = chance.choice([0, 0, 0, 1, 2])
    return Scene(
        before=whole,
        now=replace(whole, seen_at=NOW, vms=tuple(vms[missing:])),
        records={record.native_uuid: record for _, record in drawn if record is not None},
    )


def scenes() -> st.SearchStrategy[Scene]:
    """Drawn by a seed, which is fast and makes the odd as frequent as it should be."""
    return st.integers(0, 2**40).map(scene_of)


def test_scenes_show_something() -> None:
    """A fifth of them act, and most rules of the table are met."""
    seen = [scene_of(seed).seen() for seed in range(1_000)]
    assert sum(bool(acts(one)) for one in seen) > 150
    met = {one.decision.rule for scene in seen for one in scene.values()}
    assert len(met) > 25


# --- less knowledge never means more action --------------------------------------------------------------------------

Loss = Callable[[Collection], Collection]


def in_each_vm(**lost: Any) -> Loss:
    return lambda seen: replace(seen, vms=tuple(replace(vm, **lost) for vm in seen.vms))


def without_first_vm(seen: Collection) -> Collection:
    """All that have its uuid: that there are two of it is something that one knows."""
    uuid = seen.vms[0].uuid if seen.vms else ""
    return replace(seen, vms=tuple(vm for vm in seen.vms if vm.uuid != uuid))


def with_every_second_vm(seen: Collection) -> Collection:
    kept = {vm.uuid for vm in seen.vms[::2]}
    return replace(seen, vms=tuple(vm for vm in seen.vms if vm.uuid in kept))


def with_hosts(live: Answer) -> Loss:
    return lambda seen: replace(seen, hosts=tuple(replace(host, live=live) for host in seen.hosts))


LOSSES: dict[str, Loss] = {
    "nothing": lambda seen: seen,
    "a VM": without_first_vm,
    "every second VM": with_every_second_vm,
    "all VMs": lambda seen: replace(seen, vms=()),
    "the first host": lambda seen: replace(seen, hosts=seen.hosts[1:]),
    "the host in the middle": lambda seen: replace(seen, hosts=seen.hosts[:1] + seen.hosts[2:]),
    "the last host": lambda seen: replace(seen, hosts=seen.hosts[:-1]),
    "all hosts": lambda seen: replace(seen, hosts=()),
    "whether hosts answer": with_hosts(Answer.UNKNOWN),
    "the hosts' answers": with_hosts(Answer.NO),
    "whether all VMs were seen": lambda seen: replace(seen, all_vms_seen=False),
    "whether all hosts were seen": lambda seen: replace(seen, all_hosts_seen=False),
    "something that failed": lambda seen: replace(
        seen, failures=(ReadFailure(what="a thing", because="no", remedy="none"),)
    ),
    "definitions": in_each_vm(definition_read=False),
    "definitions and what is in them": in_each_vm(
        definition_read=False, mark="", annotations={}, busy=(), disks=(), nics=()
    ),
    "marks": in_each_vm(mark=""),
    "ends of marks": lambda seen: replace(seen, vms=tuple(replace(vm, mark=vm.mark[:40]) for vm in seen.vms)),
    "power states": in_each_vm(power_state=PowerState.UNKNOWN),
    "what power states mean": in_each_vm(power_state=PowerState.UNKNOWN, power_recognised=False),
    "where VMs are": in_each_vm(host_uuid=None),
    "which pool it is": lambda seen: replace(seen, pool=a_pool(uuid="?")),
    "how late it is": lambda seen: replace(seen, seen_at=seen.seen_at - 3600 * SECOND),
}


@pytest.mark.parametrize("loss", LOSSES)
@settings(deadline=None, max_examples=60)
@given(scene=scenes())
def test_less_knowledge_never_means_more_action(loss: str, scene: Scene) -> None:
    less = replace(scene, now=LOSSES[loss](scene.now))
    assert acts(less.seen()) <= acts(scene.seen())


@settings(deadline=None, max_examples=100)
@given(scenes(), st.sampled_from(sorted(LOSSES)), st.sampled_from(sorted(LOSSES)))
def test_two_losses_are_no_gain(scene: Scene, first: str, second: str) -> None:
    once = replace(scene, now=LOSSES[first](scene.now))
    twice = replace(once, now=LOSSES[second](once.now))
    assert acts(twice.seen()) <= acts(once.seen())


@settings(deadline=None, max_examples=100)
@given(scenes(), st.integers(0, 10_000))
def test_time_that_passes_without_a_view_never_means_more_action(scene: Scene, seconds: int) -> None:
    history = scene.history()
    later = one_pass(scene.now, scene.records, history, now=NOW + seconds * SECOND)
    assert acts(later) <= acts(scene.seen())
    assert acts(one_pass(scene.now, scene.records, history, now=NOW + 601 * SECOND)) == set()
    assert acts(one_pass(scene.now, scene.records, after_silence(history, NOW))) == set()


@settings(deadline=None, max_examples=100)
@given(scenes())
def test_records_that_are_lost_or_old_never_mean_more_action(scene: Scene) -> None:
    before = acts(scene.seen())
    for forgotten in scene.records:
        left = {uuid: record for uuid, record in scene.records.items() if uuid != forgotten}
        assert acts(one_pass(scene.now, left, scene.history())) <= before
    old = {uuid: replace(record, epoch=record.epoch + 1) for uuid, record in scene.records.items()}
    assert acts(one_pass(scene.now, old, scene.history())) == set()


@settings(deadline=None, max_examples=100)
@given(scenes())
def test_an_empty_partial_silent_or_foreign_answer_leads_to_nothing(scene: Scene) -> None:
    """Promise 2, from every pool."""
    for answer in (
        replace(scene.now, vms=()),
        replace(scene.now, vms=(), hosts=()),
        replace(scene.now, all_vms_seen=False),
        replace(scene.now, pool=a_pool(uuid="pool-2")),
    ):
        history = scene.history()
        for n in range(1, 6):
            answer = replace(answer, seen_at=NOW + n * 60 * SECOND)
            history = after_view(history, answer, answer.seen_at, DEFAULTS)
            assert acts(one_pass(answer, scene.records, history)) == set()


LESS: dict[str, set[str]] = {
    "mark": {mark.name for mark in MarkSeen} - {"OURS", "ABSENT"},
    "sighting": {sighting.name for sighting in Sighting} - {"FRESH"},
    "quality": {"PARTIAL", "SUSPICIOUS"},
    "quiet": {"TOO_EARLY", "NO_COMPLETE_VIEW"},
    "consent": {"NONE", "EXPIRED"},
    "identity": {"NOT_UNIQUE"},
    "host": {"UNKNOWN", "SILENT"},
    "live": {"UNKNOWN", "NO"},
}
"""Values of a fact, by their names, that say less than its other values do; for every other fact this:"""
UNKNOWN = {"UNKNOWN", "UNRECOGNISED", "NOT_READ"}
ALLOWED = {
    ("release", "mark"): "our mark comes off whichever record it names; no mark cannot come off",
    ("adopt", "mark"): "what is ours already need not be adopted; a copy of ours may be",
    (
        "adopt",
        "persistent",
    ): "XenServer and old libvirt do not tell; every VM that is there to be adopted is kept",
}
"""(table, fact): why less of it may be enough."""


@pytest.mark.parametrize("name", TABLES)
def test_in_every_table_a_fact_that_says_less_turns_nothing_into_acting(name: str) -> None:
    """Every case that acts, with each of its less-known facts known better: that acts, too."""
    values = values_of(FACTS_OF[name])
    for case in cases_that_act(TABLES[name]):
        for fact, value in case.items():
            less = LESS.get(fact, UNKNOWN)
            if value.name not in less or (name, fact) in ALLOWED:
                continue
            for better in values[fact]:
                whole = {of: case.get(of, values[of][0]) for of in values} | {fact: better}
                decision = TABLES[name].decide(FACTS_OF[name](**whole))
                acts_too = better.name in less or decision.verdict is Verdict.ACT
                assert acts_too, f"{decision.rule}: {fact} {better} refuses what {value} allows"


# --- others, order, names --------------------------------------------------------------------------------------------


def with_another(scene: Scene, vm: Vm) -> Scene:
    return replace(
        scene,
        before=replace(scene.before, vms=(vm, *scene.before.vms)),
        now=replace(scene.now, vms=(*scene.now.vms, vm)),
    )


foreign = st.builds(
    a_vm,
    st.integers(200, 210).map(uuid_of),
    name=st.sampled_from(["web", "i-2-3-VM", "", "name of " + uuid_of(1)]),
    power_state=st.sampled_from(PowerState),
    host_uuid=st.sampled_from(["host-1", "host-2", "host-3", None]),
    mark=st.sampled_from(["", "rubbish", marked(a_vm(uuid_of(1)), a_record(uuid_of(1))).mark]),
    annotations=st.sampled_from([{}, {"http://ovirt.org/vm/1.0": ""}]),
    busy=st.sampled_from([(), ("clone",)]),
    definition_read=st.booleans(),
)


@settings(deadline=None, max_examples=100)
@given(scenes(), foreign)
def test_a_foreign_vm_changes_no_other_vms_decision(scene: Scene, vm: Vm) -> None:
    beside = with_another(scene, vm)
    assume(scene.history().quality is beside.history().quality)
    after = decisions(beside.seen())
    rule, _ = after.pop(vm.uuid)
    assert after == decisions(scene.seen())
    assert rule != "touch.act"


@settings(deadline=None, max_examples=100)
@given(scenes(), st.randoms(use_true_random=False))
def test_the_order_in_which_things_are_told_does_not_matter(scene: Scene, chance: Any) -> None:
    def shuffled(view: Collection) -> Collection:
        vms, hosts = list(view.vms), list(view.hosts)
        chance.shuffle(vms)
        chance.shuffle(hosts)
        return replace(view, vms=tuple(vms), hosts=tuple(hosts))

    assume(len({vm.uuid for vm in scene.now.vms}) == len(scene.now.vms))
    other = Scene(
        before=shuffled(scene.before),
        now=shuffled(scene.now),
        records=dict(sorted(scene.records.items(), reverse=chance.random() < 0.5)),
    )
    assert decisions(other.seen()) == decisions(scene.seen())
    assert other.history() == scene.history()


names = st.text(max_size=12) | st.sampled_from(["i-2-3-VM", "r-4-VM", "xenios", uuid_of(1), "xenios/1"])


@settings(deadline=None, max_examples=100)
@given(scenes(), st.lists(names, min_size=1, max_size=5))
def test_renaming_anything_changes_nothing(scene: Scene, new: list[str]) -> None:
    def renamed(view: Collection) -> Collection:
        return replace(
            view,
            pool=replace(view.pool, name=new[0]),
            hosts=tuple(replace(host, name=new[n % len(new)]) for n, host in enumerate(view.hosts)),
            vms=tuple(replace(vm, name=new[n % len(new)]) for n, vm in enumerate(view.vms)),
        )

    other = replace(scene, before=renamed(scene.before), now=renamed(scene.now))
    assert decisions(other.seen()) == decisions(scene.seen())
    assert acts(other.seen()) == acts(scene.seen())
    assert other.history() == scene.history()


@settings(deadline=None, max_examples=100)
@given(scenes())
def test_another_master_changes_nothing(scene: Scene) -> None:
    other = replace(scene, now=replace(scene.now, pool=a_pool(master_uuid="host-2")))
    assert decisions(other.seen()) == decisions(scene.seen())


# --- a second look ---------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=100)
@given(scenes())
def test_a_second_pass_after_success_does_nothing(scene: Scene) -> None:
    history, records, view = scene.history(), dict(scene.records), scene.now
    seen = one_pass(view, records, history)
    touched = {uuid for uuid, _ in acts(seen)}
    plans = {uuid: one.plan for uuid, one in seen.items() if one.plan is not None}
    assert set(plans) == touched, "who acts has a plan"
    for n in (1, 2):
        records = {uuid: one.record for uuid, one in seen.items() if one.record is not None}
        view = replace(view, vms=carried_out(view.vms, plans), seen_at=NOW + n * 60 * SECOND)
        history = after_view(history, view, view.seen_at, DEFAULTS)
        seen = one_pass(view, records, history)
        plans = {uuid: one.plan for uuid, one in seen.items() if one.plan is not None}
        assert {uuid for uuid, _ in acts(seen)} & touched == set()


@settings(deadline=None, max_examples=100)
@given(scenes())
def test_a_second_pass_over_the_same_view_decides_the_same(scene: Scene) -> None:
    """As long as nothing was done: what the first one wrote down takes nothing back and adds nothing."""
    first = scene.seen()
    records = {uuid: one.record for uuid, one in first.items() if one.record is not None}
    assert acts(one_pass(scene.now, records, scene.history())) == acts(first)


@settings(deadline=None, max_examples=100)
@given(scenes())
def test_whatever_acts_is_ours_by_both_keys(scene: Scene) -> None:
    """Not by the facts this time, but by what lies before them."""
    vms = {vm.uuid: vm for vm in scene.now.vms}
    for uuid, _ in acts(scene.seen()):
        record, vm = scene.records[uuid], vms[uuid]
        assert record.custody in (Custody.CREATED, Custody.ADOPTED)
        assert vm.mark == marked(vm, record).mark
        assert sum(other.uuid == uuid for other in scene.now.vms) == 1
        assert record.operation is None
        assert not vm.busy
        assert vm.host_uuid in (None, *(host.uuid for host in scene.now.hosts if host.live is Answer.YES))


def test_facts_are_enums_only() -> None:
    for facts in {*FACTS_OF.values(), Facts}:
        for name, values in values_of(facts).items():
            assert len(values) > 1, name
