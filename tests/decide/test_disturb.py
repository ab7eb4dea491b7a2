"""May a host be disturbed? Not while anybody could be hurt who did not agree, and not while nobody knows.

Effects: none
"""

from typing import Any

import pytest
from msgspec.structs import replace

from tests.support.decisions import (
    DEFAULTS,
    NOW,
    SECOND,
    a_record,
    an_installation,
    facts_of,
    history_of,
    marked,
    our_vm,
    uuid_of,
)
from tests.support.inventory import a_collection, a_host, a_vm
from tests.support.matrix import cases_that_act
from xenios.decide.disturb import MAY_WE_DISTURB, AliensSeen, host_facts
from xenios.decide.facts import Consent, Freeze, consent_for
from xenios.decide.view_history import after_silence
from xenios.model.collection import Collection, Quality
from xenios.model.decision import Verdict
from xenios.model.inventory import Answer, PowerState, Vm, VmKind
from xenios.model.record import Custody, Installation, Record

OURS = our_vm()
RECORDS = {OURS.uuid: a_record(OURS.uuid)}
ALIEN = a_vm(uuid_of(2))
HOSTS = (a_host(), a_host("host-2"))


def rule_for(
    *vms: Vm,
    consent: Consent = Consent.NONE,
    freeze: Freeze = Freeze.NONE,
    records: dict[str, Record] = RECORDS,
    hosts: Any = HOSTS,
    history: Any = None,
    **view: Any,
) -> str:
    seen: Collection = a_collection(*vms, hosts=hosts, **view)
    history = history or history_of(seen)
    about = [(vm, facts_of(vm, records.get(vm.uuid), history=history)) for vm in vms]
    return MAY_WE_DISTURB.decide(
        host_facts("host-1", about, history, installation_with(consent, freeze), NOW, DEFAULTS)
    ).rule


def installation_with(consent: Consent, freeze: Freeze) -> Installation:
    """Ours, with such a consent for host-1, and frozen so."""
    until = {Consent.NONE: {}, Consent.GIVEN: {"host-1": NOW + 1}, Consent.EXPIRED: {"host-1": NOW}}[consent]
    pools = frozenset({"pool-1"} if freeze is Freeze.POOL else ())
    return an_installation(consents=until, frozen=freeze is Freeze.INSTALLATION, frozen_pools=pools)


def test_acting_means_consent_or_nobody_else_there() -> None:
    for case in cases_that_act(MAY_WE_DISTURB):
        assert case["freeze"] is Freeze.NONE
        assert case["quality"] is not Quality.SUSPICIOUS
        if case["consent"] is not Consent.GIVEN:
            assert (case["aliens"], case["quality"]) == (AliensSeen.NONE, Quality.COMPLETE)


def test_a_host_with_nobody_but_ours() -> None:
    assert rule_for() == "disturb.nobody-there"
    assert rule_for(OURS) == "disturb.nobody-there"
    assert rule_for(OURS, a_vm(uuid_of(2), host_uuid="host-2")) == "disturb.nobody-there"
    assert rule_for(OURS, a_vm("dom0", kind=VmKind.CONTROL_DOMAIN)) == "disturb.nobody-there"


@pytest.mark.parametrize("state", [state for state in PowerState if state is not PowerState.HALTED])
def test_an_alien_in_any_state(state: PowerState) -> None:
    assert rule_for(OURS, replace(ALIEN, power_state=state)) == "disturb.aliens"


@pytest.mark.parametrize(
    "half_ours",
    [
        a_vm(OURS.uuid),
        marked(a_vm(uuid_of(2)), a_record(OURS.uuid)),
        replace(OURS, definition_read=False),
        replace(OURS, mark="x"),
    ],
)
def test_what_has_not_both_keys_is_an_alien(half_ours: Vm) -> None:
    assert rule_for(half_ours) == "disturb.aliens"


def test_what_was_released_is_an_alien() -> None:
    assert (
        rule_for(OURS, records={OURS.uuid: a_record(OURS.uuid, custody=Custody.RELEASED)}) == "disturb.aliens"
    )
    assert rule_for(OURS, records={}) == "disturb.aliens"


def test_consent_is_for_a_host_and_a_time() -> None:
    assert rule_for(ALIEN, consent=Consent.GIVEN) == "disturb.with-consent"
    assert rule_for(ALIEN, consent=Consent.EXPIRED) == "disturb.consent-expired"
    assert rule_for(ALIEN, consent=Consent.GIVEN, freeze=Freeze.POOL) == "disturb.frozen"
    installation = an_installation(consents={"host-1": NOW + 1})
    assert consent_for("host-1", installation, NOW) is Consent.GIVEN
    assert consent_for("host-1", installation, NOW + 1) is Consent.EXPIRED
    assert consent_for("host-2", installation, NOW) is Consent.NONE
    assert consent_for(None, installation, NOW) is Consent.NONE


@pytest.mark.parametrize(
    "view",
    [
        {"all_vms_seen": False},
        {"all_hosts_seen": False},
        {"hosts": (a_host(live=Answer.NO),)},
        {"hosts": (a_host(live=Answer.UNKNOWN),)},
        {"hosts": (a_host("host-2"),)},
    ],
)
def test_who_is_there_is_not_known(view: dict[str, Any]) -> None:
    assert rule_for(OURS, **view) in {
        "disturb.aliens-not-known",
        "disturb.too-early",
        "disturb.view-old",
    }


def test_a_suspicious_view_outweighs_consent() -> None:
    history = history_of(a_collection(*(a_vm(uuid_of(n)) for n in range(9))), a_collection(OURS))
    assert rule_for(OURS, consent=Consent.GIVEN, history=history) == "disturb.view-suspicious"


# --- what is not seen now --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "state", [PowerState.RUNNING, PowerState.PAUSED, PowerState.CRASHED, PowerState.UNKNOWN]
)
def test_an_alien_that_may_be_anywhere_may_be_here(state: PowerState) -> None:
    """A state that is unknown is not off: it may run on any host, so also on this one."""
    lost = replace(ALIEN, power_state=state, host_uuid=None)
    assert rule_for(OURS, lost) == "disturb.aliens-not-known"
    newer = replace(lost, power_state=PowerState.UNKNOWN, power_recognised=False)
    assert rule_for(OURS, newer) == "disturb.aliens-not-known"


def test_an_alien_that_is_off_and_on_no_host_is_not_here() -> None:
    assert (
        rule_for(OURS, replace(ALIEN, power_state=PowerState.HALTED, host_uuid=None))
        == "disturb.nobody-there"
    )


def test_a_pool_that_fell_silent_does_not_tell_who_is_there_now() -> None:
    """The hour of fencing is the hour in which the pool does not answer. What it said before is old."""
    silent = after_silence(history_of(a_collection(OURS, hosts=HOSTS)), NOW + 1)
    assert rule_for(OURS, history=silent) == "disturb.view-old"


def test_what_was_seen_long_ago_does_not_tell_who_is_there_now() -> None:
    history = history_of(a_collection(OURS, hosts=HOSTS))
    later = NOW + (DEFAULTS.fresh_seconds + 1) * SECOND
    facts = facts_of(OURS, RECORDS[OURS.uuid], history=history, now=later)
    found = host_facts("host-1", [(OURS, facts)], history, an_installation(), later, DEFAULTS)
    assert MAY_WE_DISTURB.decide(found).verdict is not Verdict.ACT
