"""Two keys, and nothing else: what a mark proves, whatever stands in it, and that a name is never asked.

Effects: reads files
"""

import ast
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace

import xenios.decide.facts
import xenios.decide.ownership
import xenios.decide.touch
from tests.support.decisions import THEM, US, a_record, facts_of, marked, our_vm, uuid_of
from tests.support.inventory import a_vm
from xenios.decide.ownership import MarkSeen, mark_of, mark_seen
from xenios.model.mark import CHARACTERS_MAX, Mark, MarkTrouble, mark_in, text_of
from xenios.model.record import Custody

uuids = st.uuids().map(str)
marks = st.builds(Mark, installation=uuids, vm_id=uuids, epoch=st.integers(1, 999_999_999), native_uuid=uuids)
A_MARK = Mark(installation=US, vm_id=uuid_of(1), epoch=1, native_uuid=uuid_of(2))


# --- the text --------------------------------------------------------------------------------------------------------


@given(marks)
def test_what_is_written_is_read(mark: Mark) -> None:
    text = text_of(mark)
    assert mark_in(text) == mark
    assert len(text) <= CHARACTERS_MAX
    assert text.isascii()
    assert text.isprintable()


@given(marks, st.data())
def test_no_change_of_one_character_is_read_as_a_mark(mark: Mark, data: st.DataObject) -> None:
    text = text_of(mark)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters().filter(lambda letter: letter != text[place]))
    for changed in (text[:place] + other + text[place + 1 :], text[:place] + text[place + 1 :], text[:place]):
        assert isinstance(mark_in(changed), MarkTrouble)


@given(
    st.text()
    | st.text(alphabet="xenios/12 =-sum0af\n\x00").map("xenios/".__add__)
    | st.text().map("xenios/1 ".__add__)
)
@example("\ud800")
@example("xenios/1 " + "\x00" * 300)
def test_any_text_is_read_without_raising(text: str) -> None:
    found = mark_in(text)
    if isinstance(found, Mark):
        assert text_of(found) == text
    seen = mark_seen(a_vm(uuid_of(1), mark=text), None, US)
    assert (seen is MarkSeen.ABSENT) == (text == "")
    assert seen is not MarkSeen.OURS


@pytest.mark.parametrize(
    "text",
    [
        "x" * 1_000_000,
        "xenios/1 " * 120_000,
        text_of(A_MARK) * 6_000,
        "xenios/2 " + "é" * 1_000_000,
        "\n" * 1_000_000,
    ],
    ids=["letters", "versions", "marks", "accents", "breaks"],
)
def test_a_huge_text_is_refused_by_its_length(text: str) -> None:
    """Not by reading it: to read it so often would take minutes."""
    for _ in range(10_000):
        assert mark_in(text) is MarkTrouble.UNREADABLE


@pytest.mark.parametrize(
    "wrong",
    [
        {"installation": US.upper()},
        {"installation": ""},
        {"vm_id": "vm 1"},
        {"native_uuid": uuid_of(1) + "\n"},
        {"native_uuid": "{" + uuid_of(1) + "}"},
        {"native_uuid": uuid_of(1).replace("-", "")},
        {"native_uuid": uuid_of(1).replace("1", "١")},
        {"vm_id": "é" * 36},
        {"epoch": 0},
        {"epoch": -1},
        {"epoch": 1_000_000_000},
        {"epoch": 1.5},
        {
            "installation": f"{US} vm={uuid_of(9)} epoch=1 of={uuid_of(2)} sum=00000000\nxenios/1 installation={US}"
        },
    ],
)
def test_what_cannot_be_read_again_is_not_written(wrong: dict[str, str | int]) -> None:
    with pytest.raises(ValueError, match=r"cannot be written|codec"):
        text_of(replace(A_MARK, **wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "trouble"),
    [
        ("xenios/2 anything", MarkTrouble.UNKNOWN_VERSION),
        ("xenios/10 anything", MarkTrouble.UNKNOWN_VERSION),
        ("xenios/12345 anything", MarkTrouble.UNKNOWN_VERSION),
        ("xenios/123456 anything", MarkTrouble.UNREADABLE),
        ("xenios/01 anything", MarkTrouble.UNREADABLE),
        ("xenios/0 anything", MarkTrouble.UNREADABLE),
        ("xenios/-1 anything", MarkTrouble.UNREADABLE),
        ("xenios/2", MarkTrouble.UNREADABLE),
        ("xenios/1 anything", MarkTrouble.UNREADABLE),
        ("Xenios/2 anything", MarkTrouble.UNREADABLE),
        ("xenios/² anything", MarkTrouble.UNREADABLE),
    ],
)
def test_versions(text: str, trouble: MarkTrouble) -> None:
    assert mark_in(text) is trouble


def test_the_form_of_a_mark_is_for_ever() -> None:
    """Marks are on VMs. A version that reads them otherwise would let go of every VM, or take one that is not ours."""
    text = (
        "xenios/1 installation=aaaaaaaa-0000-4000-8000-000000000001 vm=00000001-1111-4111-8111-111111111111 "
        "epoch=1 of=00000002-1111-4111-8111-111111111111 sum=61a7919e"
    )
    assert text_of(A_MARK) == text
    assert mark_in(text) == A_MARK


# --- two keys --------------------------------------------------------------------------------------------------------

VM = our_vm(1)
RECORD = a_record(VM.uuid)


def test_ours_is_what_has_both_keys() -> None:
    assert mark_seen(VM, RECORD, US) is MarkSeen.OURS
    assert mark_seen(None, RECORD, US) is MarkSeen.NOT_READ
    assert mark_seen(replace(VM, definition_read=False), RECORD, US) is MarkSeen.NOT_READ
    assert mark_seen(replace(VM, mark=""), RECORD, US) is MarkSeen.ABSENT
    assert mark_seen(replace(VM, uuid=uuid_of(2)), RECORD, US) is MarkSeen.COPIED
    assert mark_seen(VM, RECORD, THEM) is MarkSeen.ANOTHERS
    assert mark_seen(VM, replace(RECORD, vm_id=uuid_of(8)), US) is MarkSeen.OTHER_RECORD
    assert mark_seen(VM, replace(RECORD, epoch=2), US) is MarkSeen.OTHER_EPOCH
    assert mark_seen(VM, None, US) is MarkSeen.OURS
    assert facts_of(VM).custody is Custody.UNMANAGED, "a mark alone makes no custody"


def test_another_installations_mark_is_told_even_where_it_was_copied() -> None:
    theirs = marked(a_vm(uuid_of(1)), a_record(uuid_of(2)), THEM)
    assert mark_seen(theirs, RECORD, US) is MarkSeen.ANOTHERS


@given(marks, uuids, uuids, st.integers(1, 3), uuids)
def test_a_mark_opens_only_where_everything_fits(
    mark: Mark, native_uuid: str, vm_id: str, epoch: int, installation_id: str
) -> None:
    vm = a_vm(native_uuid, mark=text_of(mark))
    record = a_record(native_uuid, vm_id=vm_id, epoch=epoch)
    fits = mark == mark_of(record, installation_id)
    assert (mark_seen(vm, record, installation_id) is MarkSeen.OURS) == fits
    own = replace(vm, mark=text_of(mark_of(record, installation_id)))
    assert mark_seen(own, record, installation_id) is MarkSeen.OURS


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [xenios.decide.ownership, xenios.decide.touch, xenios.decide.facts])
def test_the_code_asks_no_name(module: object) -> None:
    """`.name` of an enum's member, a function or a class is no name of a VM; there is none of these either."""
    path = Path(str(module.__file__))  # type: ignore[attr-defined]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    asked = [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "name"
    ]
    assert asked == [], f"{path.name} reads a name"
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "getattr"]


@given(
    st.text(max_size=20) | st.sampled_from(["i-2-3-VM", "r-4-VM", "v-1-VM", "xenios", VM.uuid, RECORD.vm_id])
)
def test_no_name_changes_a_fact(name: str) -> None:
    for vm, record in (
        (VM, RECORD),
        (VM, None),
        (a_vm(uuid_of(3)), None),
        (replace(VM, uuid=uuid_of(4)), None),
    ):
        assert facts_of(replace(vm, name=name), record) == facts_of(vm, record)
