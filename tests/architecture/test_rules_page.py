"""docs/rules.md has every rule there is, once, where its id leads.

Effects: reads files
"""

import re
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from scripts.rules_page import budget_refusals, field_docs, guard_refusals, rules
from xenios.decide.details import DETAILS
from xenios.decide.guards import GUARDS
from xenios.decide.tables import TABLES
from xenios.model.decision import Verdict
from xenios.model.policy import Budget, Thresholds

DECIDE = Path(__file__).parents[2] / "xenios" / "decide"
PAGE = "".join(rules())
OF_TABLES = [rule.id for table in TABLES.values() for rule in table.rows]
OF_REFUSALS = [refusal.rule for refusal in (*guard_refusals(), *budget_refusals())]
HEADING = re.compile(r'^#+ <a id="([^"]+)"></a>(\S+)$', re.MULTILINE)
RULE_IN_CODE = re.compile(r'"((?:guard|budget)\.[a-z-]+)"')


def test_every_rule_is_there_once_and_nothing_else_is() -> None:
    headings = HEADING.findall(PAGE)
    assert [anchor for anchor, _ in headings] == [heading for _, heading in headings]
    assert Counter(anchor for anchor, _ in headings) == Counter([*OF_TABLES, *OF_REFUSALS])
    assert len({*OF_TABLES, *OF_REFUSALS}) == len(headings)


def test_no_guard_and_no_rule_of_the_budget_is_overlooked() -> None:
    """Refusals of theirs are tried out for the page; in the code their ids stand as they are."""
    written = {
        rule
        for name in ("guards.py", "budget.py")
        for rule in RULE_IN_CODE.findall((DECIDE / name).read_text(encoding="utf-8"))
    }
    assert written == set(OF_REFUSALS)


def test_rules_are_in_the_order_in_which_they_are_asked() -> None:
    places = [PAGE.index(f'<a id="{rule}">') for rule in OF_TABLES]
    assert places == sorted(places)


@pytest.mark.parametrize("name", TABLES)
def test_a_rule_has_all_its_words(name: str) -> None:
    for rule in TABLES[name].rows:
        said = PAGE.partition(f'<a id="{rule.id}">')[2].partition("\n#")[0]
        for words in (rule.because, rule.why, rule.verdict.value, rule.remedy):
            assert words in said


def test_links_of_the_page_lead_somewhere() -> None:
    anchors = {anchor for anchor, _ in HEADING.findall(PAGE)} | set(re.findall(r'<a id="([^"]+)">', PAGE))
    headings = re.findall(r"^##+ ([^<\n]+)$", PAGE, re.MULTILINE)
    anchors |= {re.sub(r"[^a-z -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for link in re.findall(r"\]\(#([^)]+)\)", PAGE):
        assert link in anchors


@pytest.mark.parametrize("kind", [Budget, Thresholds], ids=lambda kind: kind.__name__)
def test_every_number_is_there_with_its_default_and_meaning(kind: type[msgspec.Struct]) -> None:
    meanings = field_docs(kind)
    for field in msgspec.structs.fields(kind):
        assert f"| `{field.name}` | {field.default:g} | {meanings[field.name]} |" in PAGE


def test_guards_and_details_are_there() -> None:
    for verb, guard in GUARDS.items():
        assert f"| {verb} | {guard.hazard} |" in PAGE
    for name, meaning in DETAILS.items():
        assert f"`{{{name}}}`: {meaning}" in PAGE
    assert all(f"Verdict: {verdict}" in PAGE for verdict in Verdict)
