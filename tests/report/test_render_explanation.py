"""Do terminal, JSON and page say the same of an explanation, and does no foreign text steer any of them?

Effects: none
"""

import html
import json
import re
from html.parser import HTMLParser
from typing import Any

import jsonschema
import msgspec
import pytest
from msgspec.structs import replace

from tests.support.decisions import a_record, facts_of, our_vm, uuid_of
from tests.support.inventory import a_collection, a_host, a_vm
from xenios.decide.explain import (
    Explanation,
    explanation_of_decision,
    explanation_of_finding,
    explanation_of_plan,
)
from xenios.decide.findings import findings_in
from xenios.decide.planner import plan_for
from xenios.decide.room import room_of
from xenios.decide.tables import TABLES
from xenios.decide.touch import MAY_WE_TOUCH
from xenios.errors import XeniosError
from xenios.model.collection import ReadFailure
from xenios.model.decision import Decision, Refusal, Severity, Verdict
from xenios.model.inventory import Answer, PowerState, VmKind
from xenios.model.record import Wish
from xenios.report.explained import WITHOUT_DATABASE, Explained, explained_in
from xenios.report.render_explanation import (
    json_schema_of_explanations,
    parts_of,
    render_explained_text,
    render_explanation_html,
    render_explanation_json,
    render_explanation_text,
)
from xenios.report.words import shown

HOSTILE = "x\x1b[31mred\x07\n\u202egnp.exe<script>alert(1)</script>\x9b2J"
EVERY_RULE = [(name, rule.id) for name, table in TABLES.items() for rule in table.rows]


def an_explanation(**changes: Any) -> Explanation:
    decision = MAY_WE_TOUCH.decide(facts_of(a_vm(uuid_of(1))))
    made = explanation_of_decision(decision, about="VM web-1", about_uuid=uuid_of(1))
    return replace(made, **changes)


def of_a_plan(name: str = "web-1") -> Explanation:
    record = a_record(uuid_of(1), wish=Wish(gone=True))
    facts = facts_of(our_vm(), record)
    decision = MAY_WE_TOUCH.decide(facts)
    plan = plan_for(decision, facts, our_vm(name=name), record)
    assert plan is not None
    return explanation_of_plan(plan, decision=decision)


def of_a_finding(name: str = "web-1") -> Explanation:
    collection = a_collection(a_vm(name=name, power_state=PowerState.CRASHED))
    return explanation_of_finding(findings_in(collection, room_of(collection))[0])


def text_of(explanation: Explanation, width: int = 10_000) -> str:
    return render_explanation_text(explanation, width=width, colour=False)


class Words(HTMLParser):
    """The text of a page, and the elements that it is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.elements = "", set[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        assert not any(name.startswith("on") or name in ("style", "id") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data + "\n"


def page_of(explanation: Explanation) -> Words:
    words = Words()
    words.feed(render_explanation_html(explanation))
    return words


# --- one structure, three forms --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "rule_id"), EVERY_RULE, ids=lambda value: value)
def test_every_rule_can_be_shown_in_all_three_forms(name: str, rule_id: str) -> None:
    rule = next(rule for rule in TABLES[name].rows if rule.id == rule_id)
    decision = Decision(table=name, rule=rule_id, verdict=rule.verdict, facts=())
    explanation = explanation_of_decision(decision, about="VM web-1", details={"host": "h<1>"})
    text, page = text_of(explanation), page_of(explanation).text
    plain = json.loads(render_explanation_json(explanation))
    for said in (rule_id, rule.verdict.value, rule.why, rule.remedy, explanation.because):
        assert said in text
        assert said in page
        assert said in plain.values()


@pytest.mark.parametrize("explanation", [an_explanation(), of_a_plan(), of_a_finding()], ids=lambda e: e.kind)
def test_the_forms_say_the_same(explanation: Explanation) -> None:
    text, page = text_of(explanation), page_of(explanation).text
    for part in parts_of(explanation):
        assert part.lines
        assert part.title in text
        assert part.title in page
        for line in part.lines:
            assert line.label in text
            assert line.label in page
            assert line.text in text
            assert line.text in page
            assert line.remedy in text
            assert line.remedy in page
    again = msgspec.json.decode(render_explanation_json(explanation), type=Explanation)
    assert again == explanation


def test_a_decision_is_shown_with_all_that_it_rests_on() -> None:
    titles = [part.title for part in parts_of(an_explanation())]
    assert titles == [
        "May we touch a VM?",
        "The facts",
        "Looked at, and not so: Is it ours?",
        "What would change it",
    ]
    text = text_of(an_explanation())
    assert "touch.alien" in text
    assert "our record of it" in text
    assert "there is none" in text
    assert "permission to disturb its host" not in text  # no row of the table reads it


def test_a_plan_is_shown_step_by_step() -> None:
    text = text_of(of_a_plan())
    assert "1. shut down" in text
    assert "2. destroy" in text
    assert "expects: running; leaves: halted; undone by: start; interrupts" in text
    assert "expects: halted; leaves: no VM; undone by: restore from its capsule; destroys" in text


def test_several_reasons_are_shown_with_their_remedies() -> None:
    reason = Refusal(rule="adopt.busy", verdict=Verdict.WAIT, because="it is busy", remedy="wait")
    text = text_of(an_explanation(reasons=(reason, replace(reason, rule="adopt.frozen"))))
    assert len(re.findall(r"wait: it is busy\n +→ wait\n", text)) == 2
    assert "Everything that stands against it" in text
    assert "Everything" not in text_of(an_explanation(reasons=(reason,)))


def test_changes_left_out_and_notes_are_told() -> None:
    text = text_of(an_explanation(changes_left_out=3, notes=("this is old",)))
    assert "and 3 other changes" in text
    assert "this is old" in text


# --- for a terminal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 60, 80, 100, 140])
@pytest.mark.parametrize("explanation", [an_explanation(), of_a_plan(), of_a_finding()], ids=lambda e: e.kind)
def test_text_keeps_to_its_width(explanation: Explanation, width: int) -> None:
    text = text_of(replace(explanation, because="long " * 200 + "w" * 300), width)
    assert max(map(len, text.splitlines())) <= max(60, width)
    assert not re.search(r"[ \t]$", text, re.MULTILINE)


def test_colours_only_where_they_are_wanted_and_nothing_is_said_by_them_alone() -> None:
    for explanation in (an_explanation(), of_a_plan(), of_a_finding()):
        plain = text_of(explanation, 100)
        coloured = render_explanation_text(explanation, width=100, colour=True)
        assert "\x1b" not in plain
        assert "\x1b[" in coloured
        bare = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
        assert [line.rstrip() for line in bare.splitlines()] == plain.splitlines()


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("severity", [None, *Severity])
def test_every_verdict_and_severity_has_a_tone(verdict: Verdict, severity: Severity | None) -> None:
    assert verdict.value in text_of(an_explanation(verdict=verdict, severity=severity))


# --- foreign text ----------------------------------------------------------------------------------------------------


def hostile() -> list[Explanation]:
    details = dict.fromkeys(("owners", "host", "busy", "installation", "suspicions"), HOSTILE)
    found = [of_a_plan(HOSTILE), of_a_finding(HOSTILE), an_explanation(about=HOSTILE, about_uuid=HOSTILE)]
    for name, rule_id in EVERY_RULE:
        rule = next(rule for rule in TABLES[name].rows if rule.id == rule_id)
        decision = Decision(table=name, rule=rule_id, verdict=rule.verdict, facts=((HOSTILE, HOSTILE),))
        found.append(explanation_of_decision(decision, about=HOSTILE, details=details))
    reason = Refusal(rule=HOSTILE, verdict=Verdict.WAIT, because=HOSTILE, remedy=HOSTILE)
    return [*found, an_explanation(reasons=(reason, reason), notes=(HOSTILE,), because=HOSTILE)]


def test_no_foreign_text_steers_a_terminal() -> None:
    for explanation in hostile():
        for text in (text_of(explanation), render_explanation_json(explanation)):
            assert all(sign.isprintable() or sign == "\n" for sign in text)
            assert "\x1b" not in text


def test_no_foreign_text_becomes_markup() -> None:
    for explanation in hostile():
        page = render_explanation_html(explanation)
        assert all(sign.isprintable() or sign == "\n" for sign in page)
        words = page_of(explanation)
        assert words.elements <= {"section", "h4", "h5", "dl", "dt", "dd", "bdi", "span", "br"}
        assert html.escape(shown(HOSTILE)) in page or "{" not in explanation.because


def test_text_of_any_length_comes_to_an_end() -> None:
    explanation = an_explanation(because="x" * 5_000_000, about="y" * 5_000_000)
    assert len(text_of(explanation)) < 100_000
    assert len(render_explanation_html(explanation)) < 100_000


# --- one look --------------------------------------------------------------------------------------------------------


def looked(word: str, *vms: Any, tables: tuple[str, ...] = ("touch", "adopt"), **changes: Any) -> Explained:
    view = a_collection(*vms, **changes)
    return explained_in(view, word, tables, target="a pool", now=view.seen_at, xenios_version="1")


def test_what_no_database_knows_is_said_once() -> None:
    explained = looked("web-1", a_vm(uuid_of(1), name="web-1"))
    assert explained.without == WITHOUT_DATABASE
    assert [e.rule for e in explained.explanations] == ["touch.alien", "adopt.nothing-against"]
    text = render_explained_text(explained, width=200, colour=False)
    assert text.count(WITHOUT_DATABASE) == 1
    assert "could not be read" not in text.partition("\n\n")[0]


def test_a_mark_of_anybody_is_somebody_elses() -> None:
    explained = looked(uuid_of(1), our_vm())
    assert [e.rule for e in explained.explanations] == [
        "touch.another-installations",
        "adopt.another-installations",
    ]


def test_every_reason_of_the_report_is_here_too() -> None:
    vm = a_vm(uuid_of(1), name="i-2-3-VM")
    explained = looked("i-2-3-VM", vm, hosts=(a_host(live=Answer.NO),))
    adopt = explained.explanations[1]
    assert [reason.rule for reason in adopt.reasons] == ["adopt.host-not-live", "adopt.managed-by-another"]
    assert "host-1" in adopt.because


def test_a_look_that_is_not_complete_says_so() -> None:
    failure = ReadFailure(what="hosts", because="no", remedy="look")
    explained = looked(uuid_of(1), a_vm(uuid_of(1)), failures=(failure,))
    assert (explained.status, explained.failures) == ("partial", 1)
    assert "1 thing could not be read" in render_explained_text(explained, width=200, colour=False)


def test_whatever_a_hypervisor_keeps_among_its_vms_can_be_asked_about() -> None:
    for kind in VmKind:
        explained = looked("it", a_vm(uuid_of(1), name="it", kind=kind))
        assert explained.explanations[0].about == ("VM it" if kind is VmKind.MACHINE else f"{kind} it")


def test_a_vm_without_a_name_or_uuid_can_be_named_by_the_other() -> None:
    nameless = looked(uuid_of(1).upper(), a_vm(uuid_of(1), name=" "))
    assert nameless.explanations[0].about == "VM (no name)"
    assert looked("web", a_vm("", name="web")).explanations[1].rule == "adopt.uuid-not-unique"


def test_a_uuid_that_two_have_explains_both() -> None:
    explained = looked(uuid_of(1), a_vm(uuid_of(1), name="a"), a_vm(uuid_of(1), name="b"))
    assert [e.about for e in explained.explanations] == ["VM a", "VM a", "VM b", "VM b"]
    assert explained.explanations[1].rule == "adopt.uuid-not-unique"


def test_a_name_of_several_is_answered_by_their_uuids() -> None:
    vms = [a_vm(uuid_of(number), name="web") for number in range(30)]
    with pytest.raises(XeniosError, match="30 VMs are called 'web'") as caught:
        looked("web", *vms)
    assert uuid_of(0) in caught.value.remedy
    assert "and 10 more" in caught.value.remedy


@pytest.mark.parametrize(
    ("word", "suggested"),
    [
        ("web-prod-1", "'web-prod-01'"),
        ("WEB-PROD-01", "'web-prod-01'"),
        ("prod", "'web-prod-01'"),
        (uuid_of(1)[:8], uuid_of(1)),
        ("quite another", "xenios inspect lists them"),
        ("x" * 100_000, "xenios inspect lists them"),
    ],
)
def test_a_word_that_names_nothing_is_answered_by_what_is_near(word: str, suggested: str) -> None:
    with pytest.raises(XeniosError, match="no VM has the name or uuid") as caught:
        looked(word, a_vm(uuid_of(1), name="web-prod-01"), a_vm(uuid_of(2), name="\x1b" * 50))
    assert suggested in caught.value.remedy


def test_the_json_is_as_its_schema_says() -> None:
    explained = looked(
        "web-1", a_vm(uuid_of(1), name="web-1"), tables=("touch", "adopt", "release", "changed")
    )
    plain = json.loads(render_explanation_json(explained))
    jsonschema.Draft202012Validator(json_schema_of_explanations()).validate(plain)
    assert plain["schema"] == "xenios.explain/1"
    assert plain["explanations"][0]["schema"] == "xenios.explanation/1"
