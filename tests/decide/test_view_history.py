"""Views in a row: which are believed, what ends a doubt, and how far back anything is remembered.

Effects: none
"""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from msgspec.structs import replace

from tests.support.decisions import (
    DEFAULTS,
    NOW,
    POOL,
    SECOND,
    a_record,
    facts_of,
    history_of,
    our_vm,
    uuid_of,
)
from tests.support.inventory import a_collection, a_host, a_pool, a_vm
from xenios.decide.presence import Sighting
from xenios.decide.view_history import (
    PoolHistory,
    Suspicion,
    after_consent,
    after_silence,
    after_view,
    after_word,
)
from xenios.model.collection import Collection, Quality, ReadFailure
from xenios.model.inventory import Answer, VmKind

FAILED = (ReadFailure(what="a storage", because="no", remedy="none"),)


def view(numbers: Any = range(20), at_seconds: int = 0, **changes: Any) -> Collection:
    """A view of VMs with these numbers."""
    seen_at = NOW + at_seconds * SECOND
    return a_collection(*(a_vm(uuid_of(n)) for n in numbers), **({"seen_at": seen_at} | changes))


ALL = view()
EMPTY = view(())
FEW = view(range(5))
LOST, NONE_LEFT = (Suspicion.VMS_LOST,), (Suspicion.ALL_LOST,)
PARTIAL = view((), all_vms_seen=False)


def quality(*views: Collection) -> tuple[Quality, tuple[Suspicion, ...]]:
    history = history_of(*views)
    return history.quality, history.suspicions


def test_a_pool_begins_unknown() -> None:
    history = PoolHistory(pool_uuid=POOL)
    assert history.quality is Quality.PARTIAL
    assert history.seen_at is None
    assert history.first_complete_at is None
    assert after_word(history, NOW) == history, "a word confirms a view, and there was none"
    assert after_consent(history) == history


def test_a_view_is_what_it_says() -> None:
    assert quality(ALL) == (Quality.COMPLETE, ())
    assert quality(view(failures=FAILED)) == (Quality.PARTIAL, ())
    assert history_of(ALL).first_complete_at == NOW
    assert history_of(view(failures=FAILED), view(at_seconds=60)).first_complete_at == NOW + 60 * SECOND
    assert history_of(ALL, view(at_seconds=60)).first_complete_at == NOW


@pytest.mark.parametrize("lacking", [{"all_vms_seen": False}, {"all_hosts_seen": False}])
def test_a_view_that_may_lack_something_is_partial_even_where_nothing_failed(
    lacking: dict[str, bool],
) -> None:
    partial = view(**lacking)
    assert partial.quality is Quality.COMPLETE
    assert quality(partial) == (Quality.PARTIAL, ())
    assert history_of(partial).first_complete_at is None
    assert history_of(partial).views_that_count == 0


# --- what is not believed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "left", "believed"),
    [
        (20, 20, True),
        (20, 16, True),
        (20, 15, False),
        (20, 0, False),
        (10, 7, True),
        (10, 6, False),
        (3, 0, True),
        (4, 0, False),
        (100, 80, True),
        (100, 79, False),
        (1, 0, True),
        (0, 0, True),
        (0, 500, True),
    ],
)
def test_how_many_vms_a_view_may_lose(before: int, left: int, believed: bool) -> None:
    found = quality(view(range(before)), view(range(left)))
    doubts = () if believed else LOST if left else NONE_LEFT
    assert found == (Quality.COMPLETE if believed else Quality.SUSPICIOUS, doubts)


def test_lost_vms_are_lost_though_as_many_are_new() -> None:
    assert quality(ALL, view(range(100, 120))) == (Quality.SUSPICIOUS, LOST)


def test_thresholds_are_settings() -> None:
    lenient = replace(DEFAULTS, vms_lost_share_max=0.5)
    assert history_of(ALL, view(range(10)), thresholds=lenient).quality is Quality.COMPLETE
    assert history_of(ALL, view(range(9)), thresholds=lenient).quality is Quality.SUSPICIOUS
    strict = replace(DEFAULTS, vms_lost_free=0, vms_lost_share_max=0)
    assert history_of(ALL, view(range(19)), thresholds=strict).quality is Quality.SUSPICIOUS


def test_a_partial_view_that_lacks_vms_is_no_lie() -> None:
    assert quality(ALL, PARTIAL) == (Quality.PARTIAL, ())
    assert quality(ALL, view((), failures=FAILED)) == (Quality.SUSPICIOUS, NONE_LEFT)


def test_a_partial_view_in_between_hides_no_loss() -> None:
    """Else less knowledge would mean more action: without the partial view, the empty one would not be believed."""
    assert quality(ALL, PARTIAL, EMPTY) == (Quality.SUSPICIOUS, NONE_LEFT)
    assert quality(ALL, PARTIAL, PARTIAL, view(range(15))) == (Quality.SUSPICIOUS, LOST)
    assert quality(ALL, PARTIAL, view(range(16))) == (Quality.COMPLETE, ())
    met_since = view(range(20, 40), all_vms_seen=False)
    assert quality(ALL, met_since, ALL) == (Quality.SUSPICIOUS, LOST)


def test_a_view_of_another_pool() -> None:
    other = view(pool=a_pool(uuid="pool-2"))
    assert quality(other) == (Quality.SUSPICIOUS, (Suspicion.ANOTHER_POOL,))
    assert quality(*[other] * 10) == (Quality.SUSPICIOUS, (Suspicion.ANOTHER_POOL,)), "never, however often"
    agreed = after_view(after_consent(history_of(other)), other, NOW, DEFAULTS)
    assert agreed.quality is Quality.SUSPICIOUS, "what is another pool's stays so, whoever agrees"
    assert history_of(other).first_complete_at is None


def test_another_pool_of_the_same_name_is_another() -> None:
    assert quality(view(pool=a_pool(name="another name"))) == (Quality.COMPLETE, ())


@pytest.mark.parametrize(
    ("first", "second", "looked_at", "suspicions"),
    [
        (0, -120, 0, ()),
        (0, -121, 0, (Suspicion.CLOCK_WENT_BACK,)),
        (0, 120, 0, ()),
        (0, 121, 0, (Suspicion.CLOCK_AHEAD,)),
        (0, 121, 1, ()),
        (0, -86_400, 0, (Suspicion.CLOCK_WENT_BACK,)),
        (0, 86_400, 86_400, ()),
    ],
)
def test_clocks(first: int, second: int, looked_at: int, suspicions: tuple[Suspicion, ...]) -> None:
    history = after_view(
        history_of(view(at_seconds=first)), view(at_seconds=second), NOW + looked_at * SECOND, DEFAULTS
    )
    assert history.suspicions == suspicions
    assert (history.quality is Quality.SUSPICIOUS) == bool(suspicions)


def test_all_reasons_are_told() -> None:
    odd = view((), at_seconds=-200, pool=a_pool(uuid="pool-2"))
    assert quality(ALL, odd)[1] == (
        Suspicion.ANOTHER_POOL,
        Suspicion.CLOCK_WENT_BACK,
        Suspicion.ALL_LOST,
    )


# --- what ends a doubt -----------------------------------------------------------------------------------------------


def test_a_doubt_ends_when_three_complete_views_agree() -> None:
    assert quality(ALL, FEW)[0] is Quality.SUSPICIOUS
    assert quality(ALL, FEW, FEW) == (Quality.SUSPICIOUS, (Suspicion.NOT_AGREED_YET,))
    assert quality(ALL, FEW, FEW, FEW) == (Quality.COMPLETE, ())


def test_it_takes_three_views_also_to_believe_that_all_is_well_again() -> None:
    for odd in (EMPTY, FEW):
        assert quality(ALL, odd, ALL)[0] is Quality.SUSPICIOUS
        assert quality(ALL, odd, ALL, ALL)[0] is Quality.SUSPICIOUS
        assert quality(ALL, odd, ALL, ALL, ALL) == (Quality.COMPLETE, ())


def test_an_empty_answer_is_not_believed_however_often_it_is_given() -> None:
    assert quality(ALL, *[EMPTY] * 20) == (Quality.SUSPICIOUS, NONE_LEFT)
    assert quality(ALL, EMPTY, PARTIAL, *[EMPTY] * 20) == (Quality.SUSPICIOUS, NONE_LEFT)
    history = after_silence(history_of(ALL, EMPTY), NOW)
    for _ in range(5):
        history = after_view(history, EMPTY, NOW, DEFAULTS)
    assert history.suspicions == NONE_LEFT


def test_what_ends_the_doubt_in_an_empty_answer() -> None:
    """An operator, or VMs that are seen: so few that they may be all there are, three times."""
    agreed = after_consent(history_of(ALL, EMPTY, EMPTY))
    assert after_view(agreed, EMPTY, NOW, DEFAULTS).quality is Quality.COMPLETE
    assert quality(ALL, EMPTY, view([1]), view([1]), view([1]))[0] is Quality.COMPLETE


def test_templates_do_not_hide_that_all_machines_are_gone() -> None:
    templates = tuple(a_vm(f"template {n}", kind=VmKind.TEMPLATE) for n in range(200))
    with_templates = replace(ALL, vms=(*ALL.vms, *templates))
    only_templates = replace(ALL, vms=templates)
    assert quality(with_templates, *[only_templates] * 9) == (Quality.SUSPICIOUS, NONE_LEFT)
    fewer = replace(ALL, vms=(*FEW.vms, *templates))
    assert quality(with_templates, fewer) == (Quality.SUSPICIOUS, LOST)
    assert quality(with_templates, replace(ALL, vms=ALL.vms)) == (Quality.COMPLETE, ())


def test_a_pool_that_flaps_is_never_believed() -> None:
    for odd in (EMPTY, FEW):
        assert quality(*[ALL, odd] * 10)[0] is Quality.SUSPICIOUS
        assert quality(*[ALL, odd, odd] * 10)[0] is Quality.SUSPICIOUS


def test_a_view_that_is_not_complete_agrees_with_nothing() -> None:
    blind = view(range(5), all_hosts_seen=False)
    assert quality(ALL, FEW, FEW, blind, FEW, FEW)[0] is Quality.SUSPICIOUS
    assert quality(ALL, FEW, FEW, blind, FEW, FEW, FEW)[0] is Quality.COMPLETE
    assert quality(ALL, FEW, *[blind] * 10)[0] is Quality.SUSPICIOUS


def test_little_change_is_no_disagreement() -> None:
    few = [view(range(n)) for n in (5, 6, 4)]
    assert quality(ALL, *few)[0] is Quality.COMPLETE
    many = [view(range(n)) for n in (5, 15, 25)]
    assert quality(ALL, *many)[0] is Quality.SUSPICIOUS


def test_as_many_views_must_agree_as_is_set() -> None:
    for count in (1, 2, 5):
        thresholds = replace(DEFAULTS, views_to_trust_again=count)
        for more in range(6):
            history = history_of(ALL, FEW, *[FEW] * more, thresholds=thresholds)
            assert (history.quality is Quality.COMPLETE) == (more > 0 and more + 1 >= count)


def test_an_operator_agrees_and_the_next_view_is_judged_against_what_he_saw() -> None:
    agreed = after_consent(history_of(ALL, EMPTY))
    assert (agreed.quality, agreed.suspicions) == (Quality.PARTIAL, ()), (
        "nothing is done before the next view"
    )
    assert after_view(agreed, EMPTY, NOW, DEFAULTS).quality is Quality.COMPLETE
    assert after_view(agreed, ALL, NOW, DEFAULTS).quality is Quality.COMPLETE
    back = after_view(agreed, view(at_seconds=-121), NOW, DEFAULTS)
    assert back.suspicions == (Suspicion.CLOCK_WENT_BACK,)


def test_consent_to_what_is_not_suspicious_is_nothing() -> None:
    history = history_of(ALL)
    assert after_consent(history) == history


def test_a_restart_forgets_what_the_pool_was_like() -> None:
    """The first view of a process is judged by nothing; quiet time and the second key are what is left then."""
    assert quality(EMPTY) == (Quality.COMPLETE, ())


# --- silence and word ------------------------------------------------------------------------------------------------


def test_silence_keeps_what_was_known_and_tells_since_when() -> None:
    history = after_silence(after_silence(history_of(ALL), NOW + 1), NOW + 2)
    assert history.silent_since == NOW + 1
    assert history.listed == history_of(ALL).listed
    assert after_view(history, view(at_seconds=1), NOW + SECOND, DEFAULTS).silent_since is None


def test_silence_ends_no_doubt() -> None:
    history = after_silence(history_of(ALL, EMPTY), NOW)
    assert history.quality is Quality.SUSPICIOUS
    assert after_view(history, EMPTY, NOW, DEFAULTS).quality is Quality.SUSPICIOUS


def test_a_word_makes_nothing_older_and_ends_no_silence() -> None:
    history = history_of(ALL)
    assert after_word(history, NOW - 1) == history
    assert after_word(history, NOW + 5).seen_at == NOW + 5
    silent = after_silence(history, NOW)
    assert after_word(silent, NOW + 5) == silent


def test_hosts_that_answer_and_hosts_that_do_not() -> None:
    hosts = (a_host("a"), a_host("b", live=Answer.NO), a_host("c", live=Answer.UNKNOWN))
    history = history_of(view(hosts=hosts))
    assert history.hosts_answering == {"a"}
    assert history.hosts_silent == {"b", "c"}
    assert history.quality is Quality.COMPLETE, "the view is whole; who is on those hosts is told by sighting"
    assert history.views_that_count == 0


# --- absence ---------------------------------------------------------------------------------------------------------

GONE = our_vm(99)


def test_a_dead_host_prevents_confirmation_for_ever() -> None:
    hosts = (a_host(), a_host("host-2", live=Answer.NO))
    history = history_of(view([*range(20), 99]), *[view(hosts=hosts)] * 10)
    assert history.views_without(uuid_of(99)) == 0


def test_a_suspicious_view_confirms_nothing() -> None:
    lacking = [view((), at_seconds=1)] * 2
    history = history_of(view([*range(20), 99]), *lacking)
    assert history.views_without(uuid_of(99)) == 0


def test_what_is_remembered_of_missing_vms_is_bounded() -> None:
    """However long a pool is watched, and however many VMs come and go."""
    history = PoolHistory(pool_uuid=POOL)
    for n in range(300):
        history = after_view(history, view([*range(20), 1_000 + n], at_seconds=n), NOW + n * SECOND, DEFAULTS)
    assert len(history.last_listed) <= 22
    for n in range(300):
        partial = view([*range(20), 5_000 + n], at_seconds=300 + n, all_hosts_seen=False)
        history = after_view(history, partial, NOW + (300 + n) * SECOND, DEFAULTS)
    assert len(history.last_listed) <= 22
    assert len(history.expected) <= 22


class Views(RuleBasedStateMachine):
    """A pool and what a simple-minded onlooker, who keeps every view, would say."""

    def __init__(self) -> None:
        super().__init__()
        self.history = PoolHistory(pool_uuid=POOL)
        self.told: list[tuple[str, frozenset[int]]] = []
        self.now = NOW

    @rule(
        numbers=st.frozensets(st.integers(0, 7)),
        how=st.sampled_from(["whole", "whole", "whole", "vms lacking", "host dead", "failed", "other pool"]),
    )
    def looks(self, numbers: frozenset[int], how: str) -> None:
        self.now += 60 * SECOND
        changes: dict[str, Any] = {
            "vms lacking": {"all_vms_seen": False},
            "host dead": {"hosts": (a_host(), a_host("h", live=Answer.NO))},
            "failed": {"failures": FAILED},
            "other pool": {"pool": a_pool(uuid="pool-2")},
        }.get(how, {})
        seen = view(sorted(numbers), seen_at=self.now, **changes)
        self.history = after_view(self.history, seen, self.now, DEFAULTS)
        self.told.append((how, numbers))

    @rule()
    def hears_nothing(self) -> None:
        self.now += SECOND
        self.history = after_silence(self.history, self.now)
        self.told.append(("silence", frozenset()))

    @rule()
    def hears_that_it_holds(self) -> None:
        self.now += SECOND
        self.history = after_word(self.history, self.now)

    @rule()
    def agrees(self) -> None:
        self.history = after_consent(self.history)

    @invariant()
    def only_whole_views_in_a_row_confirm_an_absence(self) -> None:
        for number in range(8):
            sighting = facts_of(None, a_record(uuid_of(number)), history=self.history, now=self.now).sighting
            last_two = self.told[-2:]
            lacking = [how == "whole" and number not in seen for how, seen in last_two]
            if sighting is Sighting.CONFIRMED_ABSENT:
                assert lacking == [True, True]
            if sighting is Sighting.NOT_LISTED_ONCE:
                assert lacking[-1:] == [True]
            if sighting is Sighting.FRESH:
                assert number in last_two[-1][1]

    @invariant()
    def a_complete_one_is_whole_and_lost_little(self) -> None:
        if self.history.quality is not Quality.COMPLETE or self.history.silent_since is not None:
            return
        how, _ = self.told[-1]
        assert how in ("whole", "host dead")

    @invariant()
    def little_is_remembered(self) -> None:
        assert len(self.history.last_listed) <= 8
        assert len(self.history.expected) <= 8
        assert self.history.agreeing_views <= DEFAULTS.views_to_trust_again
        assert (self.history.quality is Quality.SUSPICIOUS) == bool(self.history.suspicions)


TestViews = Views.TestCase
TestViews.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)


def test_a_vm_of_ours_in_a_doubted_view_is_not_acted_on() -> None:
    ours = our_vm(1)
    history = history_of(a_collection(*(a_vm(uuid_of(n)) for n in range(1, 21))), a_collection(ours))
    facts = facts_of(ours, a_record(ours.uuid), history=history)
    assert (facts.sighting, facts.quality) == (Sighting.FRESH, Quality.SUSPICIOUS)
