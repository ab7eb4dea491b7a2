"""Every case of every table, written down; and what must hold for any table, whatever it decides.

Effects: reads files
"""

import itertools
import re
from collections import Counter
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.golden import GOLDEN, check_golden
from tests.support.matrix import (
    FACTS_OF,
    PartMatrix,
    ReadElsewhere,
    cases_that_act,
    first_match,
    matrix_of,
    values_of,
    written,
)
from xenios.decide.details import DETAILS
from xenios.decide.facts import Facts
from xenios.decide.rules import Part, Rule, Table, facts_as_pairs, filled
from xenios.decide.tables import TABLES
from xenios.model.decision import Verdict

CASES_MAX = 5_000
MATRICES = {name: matrix_of(table) for name, table in TABLES.items()}
PARTS = [(name, number) for name, table in TABLES.items() for number in range(len(table.parts))]
RULES = [(name, rule) for name, table in TABLES.items() for rule in table.rows]


def part_and_matrix(name: str, number: int) -> tuple[Part[Any], PartMatrix]:
    return TABLES[name].parts[number], MATRICES[name][number]


def facts_from(name: str, case: dict[str, StrEnum]) -> Any:
    """Whole facts of that case; what no row reads has its first value."""
    values = {fact: of[0] for fact, of in values_of(FACTS_OF[name]).items()}
    return FACTS_OF[name](**(values | case))


# --- the matrix ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "number"), PARTS)
def test_every_case_is_decided_as_written_down(name: str, number: int) -> None:
    _, matrix = part_and_matrix(name, number)
    check_golden(f"decisions/{name}-{number + 1}.txt", written(matrix))
    if number == len(TABLES[name].parts) - 1:
        assert matrix.passed == []


def test_no_golden_file_is_left_over() -> None:
    kept = {path.name for path in (GOLDEN / "decisions").glob("*.txt")}
    wanted = {f"{name}-{number + 1}.txt" for name, number in PARTS}
    assert kept - wanted <= {"guards-states.txt", "guards-beside.txt"}


@pytest.mark.parametrize(("name", "number"), PARTS)
def test_a_part_can_be_looked_at(name: str, number: int) -> None:
    assert len(MATRICES[name][number].outcomes) <= CASES_MAX, "split the table by question"


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
def test_the_parts_together_are_the_table(name: str, data: st.DataObject) -> None:
    values = values_of(FACTS_OF[name])
    case = {fact: data.draw(st.sampled_from(of)) for fact, of in values.items()}
    decided: Rule[Any] | None = None
    for matrix in MATRICES[name]:
        decided = matrix.outcomes[tuple(case[fact] for fact in matrix.reads)]
        if decided is not None:
            break
    assert decided is not None
    facts = FACTS_OF[name](**case)
    decision = TABLES[name].decide(facts)
    assert (decision.table, decision.rule, decision.verdict) == (name, decided.id, decided.verdict)
    assert decision.facts == facts_as_pairs(facts)
    assert TABLES[name].decide(facts) == decision


@pytest.mark.parametrize(("name", "number"), PARTS)
def test_a_part_names_what_it_reads_and_no_more(name: str, number: int) -> None:
    """What its rows read beside that raises ReadElsewhere while the matrix is made; here each row by itself."""
    part, matrix = part_and_matrix(name, number)
    read: set[str] = set()
    for rule in part.rows:
        for case in matrix.outcomes:
            only: Any = _Recording(dict(zip(part.reads, case, strict=True)))
            rule.when(only)
            read |= only.read
    assert read == set(part.reads)


class _Recording:
    def __init__(self, facts: dict[str, StrEnum]) -> None:
        self.facts = facts
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> StrEnum:
        if name not in self.facts:
            raise ReadElsewhere(name)
        self.read.add(name)
        return self.facts[name]


def test_a_row_that_reads_elsewhere_is_found_out() -> None:
    nosy: Rule[Any] = Rule(
        id="x.y", when=lambda f: f.power == "", verdict=Verdict.WAIT, because="", why="", remedy=""
    )
    with pytest.raises(ReadElsewhere, match="power"):
        first_match((nosy,), ("mark",), tuple(itertools.islice(values_of(Facts)["mark"], 1)))


# --- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_every_rule_decides_something_and_the_default_nothing(name: str) -> None:
    decided = Counter(rule.id for matrix in MATRICES[name] for rule in matrix.outcomes.values() if rule)
    default = TABLES[name].rows[-1]
    assert default.id == f"{name}.nobody-thought-of-it"
    assert default.verdict is Verdict.LEAVE_ALONE
    assert [rule.id for rule in TABLES[name].rows if not decided[rule.id]] == [default.id]


@pytest.mark.parametrize("name", TABLES)
def test_the_default_decides_whatever_the_others_do_not(name: str) -> None:
    assert TABLES[name].rows[-1].when(object())
    assert sum(_always(rule) for rule in TABLES[name].rows) == 1


def _always(rule: Rule[Any]) -> bool:
    try:
        return rule.when(object())
    except AttributeError:
        return False


@pytest.mark.parametrize(("name", "number"), PARTS)
def test_no_rule_can_be_removed_unnoticed(name: str, number: int) -> None:
    part, matrix = part_and_matrix(name, number)
    text = written(matrix)
    for rule in part.rows:
        if rule is TABLES[name].rows[-1]:
            continue
        rest = tuple(row for row in part.rows if row is not rule)
        mine = [case for case, decided in matrix.outcomes.items() if decided is rule]
        assert mine
        for case in mine:
            assert first_match(rest, part.reads, case) is not rule
        assert f"\n{rule.verdict.name} {rule.id} " in text


def test_ids_are_well_formed_and_unique_over_all_tables() -> None:
    ids = [rule.id for _, rule in RULES]
    assert len(set(ids)) == len(ids)
    for name, rule in RULES:
        assert re.fullmatch(rf"{name}\.[a-z]+(-[a-z]+)*", rule.id)
    assert {name: table.name for name, table in TABLES.items()} == {name: name for name in TABLES}


@pytest.mark.parametrize(("name", "rule"), RULES, ids=[rule.id for _, rule in RULES])
def test_a_rule_says_why_and_what_to_do(name: str, rule: Rule[Any]) -> None:
    for text in (rule.because, rule.why, rule.remedy):
        assert text.strip() == text != ""
    assert not rule.because.endswith(".")
    assert rule.why.endswith(".")
    if rule.verdict in (Verdict.WAIT, Verdict.ASK_OPERATOR):
        assert rule.remedy != "nothing to do", "whoever is told to wait or asked is told for what"
    places = re.findall(r"\{([^}]*)\}", rule.because)
    assert set(places) <= set(DETAILS)
    assert "{" not in rule.why + rule.remedy


def test_a_detail_is_put_in_once_and_never_looked_at_again() -> None:
    assert (
        filled("by {owners} on {host}", {"owners": "{host}", "host": "{owners}"}) == "by {host} on {owners}"
    )
    assert filled("by {owners}", {}) == "by (not known)"


# --- tables ----------------------------------------------------------------------------------------------------------


def test_tables_are_known_by_name() -> None:
    assert set(TABLES) == set(FACTS_OF)
    for table in TABLES.values():
        assert table.question.endswith("?")
        assert all(part.question.endswith("?") for part in table.parts)


def test_every_fact_is_read_by_some_table() -> None:
    read: dict[type, set[str]] = {}
    for name, table in TABLES.items():
        read.setdefault(FACTS_OF[name], set()).update(fact for part in table.parts for fact in part.reads)
    unread = {facts.__name__: set(values_of(facts)) - names for facts, names in read.items()}
    assert unread == {
        "Facts": {"consent"},
        "AdoptionFacts": set(),
        "PlacementFacts": set(),
        "HostFacts": set(),
    }


@pytest.mark.parametrize("name", TABLES)
def test_only_the_rows_that_shall_act_do(name: str) -> None:
    acting = [rule.id for rule in TABLES[name].rows if rule.verdict is Verdict.ACT]
    assert (
        acting
        == {
            "touch": ["touch.act"],
            "release": ["release.act"],
            "changed": [],
            "adopt": ["adopt.nothing-against"],
            "here": ["here.fits"],
            "disturb": ["disturb.with-consent", "disturb.nobody-there"],
        }[name]
    )


def acts_all_the_same(table: Table[Any], name: str) -> set[tuple[str, str]]:
    """By rule, facts that may come to have any value whatever, and the rule acts."""
    read = sorted({fact for part in table.parts for fact in part.reads})
    values = values_of(FACTS_OF[name])
    found = set()
    for case in cases_that_act(table):
        facts = {fact: of[0] for fact, of in values.items()} | case
        for fact in read:
            odd: Any = _Recording({**facts, fact: _Odd.NEW})
            decided = next(rule for rule in table.rows if rule.when(odd))
            if decided.verdict is Verdict.ACT:
                found.add((decided.id, fact))
    return found


@pytest.mark.parametrize("name", TABLES)
def test_a_value_that_nobody_thought_of_never_acts(name: str) -> None:
    """A later version adds a value, and somebody forgets the row for it: it falls through to the last row."""
    assert acts_all_the_same(TABLES[name], name) == {
        (rule, fact) for rule, facts in INDIFFERENT.items() for fact in facts if rule.startswith(f"{name}.")
    }


class _Odd(StrEnum):
    NEW = "nobody thought of it"


INDIFFERENT: dict[str, tuple[str, ...]] = {
    # Who else left traces on what is ours was asked at adoption. A new wish is acted on whatever the policy for drift,
    # and drift that shall be restored whatever the age of the wish. Where it is matters only to a move.
    "touch.act": ("owner", "drift", "place"),
    "release.act": ("custody",),
    "adopt.nothing-against": ("custody",),
    "disturb.with-consent": ("aliens",),
}


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
def test_there_are_refusals_exactly_when_the_table_does_not_act(name: str, data: st.DataObject) -> None:
    case = {fact: data.draw(st.sampled_from(of)) for fact, of in values_of(FACTS_OF[name]).items()}
    facts = FACTS_OF[name](**case)
    decision = TABLES[name].decide(facts)
    refusals = TABLES[name].refusals(facts, {})
    if decision.verdict is Verdict.ACT and name != "disturb":
        assert refusals == ()
    if decision.verdict is not Verdict.ACT:
        assert refusals[0].rule == decision.rule
        assert all(refusal.verdict is not Verdict.ACT for refusal in refusals)
