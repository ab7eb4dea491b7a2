"""Do the tables of a simulated pool remember, fold and forget changes as XAPI's database does?

Effects: none
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import NULL, Records, load_datamodel
from xenios.simulator.tables import DELETIONS_KEPT, DELETIONS_MAX, Delta, Tables, storable


def everything(class_name: str, ref: str) -> bool:
    return True


def refs(changes: list[Any]) -> list[str]:
    return [change.ref for change in changes]


def told(delta: Delta) -> tuple[list[str], list[str], list[str]]:
    return refs(delta.added), refs(delta.modified), refs(delta.deleted)


@pytest.fixture
def tables() -> Tables:
    return Tables({}, generation=10)


# ---- rows ----


def test_a_new_row_has_every_field_a_uuid_and_a_ref(tables: Tables) -> None:
    ref = tables.create("VM", {"name_label": "web"})
    record = tables.get("VM", ref)
    assert record.keys() == load_datamodel().classes["VM"].fields.keys()
    assert (record["name_label"], record["power_state"], record["affinity"]) == ("web", "Halted", NULL)
    assert ref.startswith("OpaqueRef:")
    assert len(record["uuid"]) == 36
    assert dict(tables.rows("VM")) == {ref: record}


def test_the_same_seed_makes_the_same_ids() -> None:
    first, second = (Tables({}).create("VM", {}) for _ in range(2))
    assert first == second


def test_unknown_fields_and_rows_are_refused(tables: Tables) -> None:
    ref = tables.create("VM", {})
    with pytest.raises(KeyError, match="colour"):
        tables.create("VM", {"colour": "red"})
    with pytest.raises(KeyError, match="colour"):
        tables.change("VM", ref, colour="red")
    for act in (tables.get, tables.touch, tables.delete, tables.change):
        with pytest.raises(ApiError) as refused:
            act("VM", "OpaqueRef:nope")
        assert refused.value.description == ["HANDLE_INVALID", "VM", "OpaqueRef:nope"]
    assert tables.find("VM", "OpaqueRef:nope") is None
    assert tables.find("no class", ref) is None
    assert dict(tables.rows("no class")) == {}


def test_a_write_of_equal_values_is_none(tables: Tables) -> None:
    ref = tables.create("VM", {"name_label": "web"})
    before = tables.generation
    tables.change("VM", ref, name_label="web", tags=[])
    assert tables.generation == before
    tables.change("VM", ref, name_label="web", tags=["new"])
    assert tables.generation == before + 1


def test_rows_are_counted_in_all_tables_under_lower_case_names(tables: Tables) -> None:
    tables.create("VM", {})
    tables.create("VM", {})
    tables.create("VM_metrics", {})
    counts = tables.counts()
    assert set(counts) == {name.lower() for name in load_datamodel().tables}
    assert (counts["vm"], counts["vm_metrics"], counts["bond"], counts["message"]) == (2, 1, 0, 0)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("v\x01rest", "v"),
        ("tab\tand\r\nlines", "tab\tand\r\nlines"),
        (["a\x00b", "c"], ["a", "c"]),
        ({"k\x02": "v\x03w"}, {"k": "v"}),
        ("😀 ütf", "😀 ütf"),
        (5, 5),
        (True, True),
    ],
)
def test_strings_end_where_xml_does(value: Any, kept: Any, tables: Tables) -> None:
    assert storable(value) == kept


def test_what_is_written_is_kept_as_xml_can_hold_it(tables: Tables) -> None:
    ref = tables.create("VM", {"name_label": "a\x01b"})
    assert tables.get("VM", ref)["name_label"] == "a"
    tables.change("VM", ref, other_config={"key": "v\x08"})
    assert tables.get("VM", ref)["other_config"] == {"key": "v"}


# ---- relations ----


def test_the_many_side_follows_and_counts_as_changed(tables: Tables) -> None:
    first, second = tables.create("VM", {}), tables.create("VM", {})
    start = tables.generation
    vbd = tables.create("VBD", {"VM": first})
    assert tables.get("VM", first)["VBDs"] == [vbd]
    assert told(tables.since(start, everything)) == ([vbd], [first], [])

    start = tables.generation
    tables.change("VBD", vbd, VM=second)
    assert (tables.get("VM", first)["VBDs"], tables.get("VM", second)["VBDs"]) == ([], [vbd])
    assert sorted(refs(tables.since(start, everything).modified)) == sorted([first, second, vbd])

    tables.delete("VBD", vbd)
    assert tables.get("VM", second)["VBDs"] == []


def test_a_ref_to_a_deleted_row_dangles(tables: Tables) -> None:
    vm = tables.create("VM", {})
    snapshot = tables.create("VM", {"snapshot_of": vm})
    assert tables.get("VM", vm)["snapshots"] == [snapshot]
    tables.delete("VM", vm)
    assert tables.get("VM", snapshot)["snapshot_of"] == vm
    tables.delete("VM", snapshot)


def test_a_record_copied_is_not_changed_later(tables: Tables) -> None:
    vm = tables.create("VM", {})
    copy = dict(tables.get("VM", vm))
    tables.create("VBD", {"VM": vm})
    tables.change("VM", vm, tags=["new"])
    assert (copy["VBDs"], copy["tags"]) == ([], [])


# ---- what changed ----


def test_changes_are_folded(tables: Tables) -> None:
    old = tables.create("VM", {})
    gone = tables.create("VM", {})
    start = tables.generation
    new = tables.create("VM", {})
    tables.change("VM", new, name_label="1")
    tables.change("VM", old, name_label="1")
    tables.change("VM", old, name_label="2")
    brief = tables.create("VM", {})
    tables.delete("VM", brief)
    tables.change("VM", gone, name_label="about to go")
    tables.delete("VM", gone)
    delta = tables.since(start, everything)
    assert told(delta) == ([new], [old], [gone])
    assert delta.newest == tables.generation
    assert not tables.since(tables.generation, everything)


def test_only_what_is_wanted_is_told_and_moves_the_token(tables: Tables) -> None:
    vm, start = tables.create("VM", {}), tables.generation
    tables.create("network", {})
    delta = tables.since(start, lambda class_name, _: class_name == "VM")
    assert told(delta) == ([], [], [])
    assert delta.newest == start
    tables.touch("VM", vm)
    assert told(tables.since(start, lambda _, ref: ref == vm)) == ([], [vm], [])
    assert told(tables.since(start, everything, ["network"]))[1] == []


def test_classes_without_events_are_never_told(tables: Tables) -> None:
    tables.create("session", {})
    assert told(tables.since(0, everything)) == ([], [], [])
    assert tables.counts()["session"] == 1


def test_rows_from_the_start_are_new_to_older_tokens_only() -> None:
    record = load_datamodel().default_record("VM")
    tables = Tables({"VM": {"OpaqueRef:1": record}}, generation=10)
    assert told(tables.since(0, everything)) == (["OpaqueRef:1"], [], [])
    assert told(tables.since(10, everything)) == ([], [], [])
    tables.touch("VM", "OpaqueRef:1")
    assert told(tables.since(10, everything)) == ([], ["OpaqueRef:1"], [])
    assert told(tables.since(9, everything)) == (["OpaqueRef:1"], [], [])


def test_old_deletions_are_forgotten_without_a_word(tables: Tables) -> None:
    rows = [tables.create("VM", {}) for _ in range(800)]
    start = tables.generation
    remembered = []
    for ref in rows:
        tables.delete("VM", ref)
        remembered.append(len(tables.since(start, everything).deleted))
    assert max(remembered) == DELETIONS_MAX - 1 == 511
    assert min(remembered[DELETIONS_MAX:]) == DELETIONS_KEPT == 256
    told_last = refs(tables.since(start, everything).deleted)
    assert set(told_last) == set(rows[-len(told_last) :])
    assert tables.counts()["vm"] == 0


def test_a_restart_makes_everything_new_and_forgets_the_rest(tables: Tables) -> None:
    kept, gone = tables.create("VM", {}), tables.create("VM", {})
    tables.create("session", {})
    tables.create("task", {})
    token = tables.generation
    tables.delete("VM", gone)
    tables.restart()
    assert told(tables.since(token, everything)) == ([kept], [], [])
    assert (tables.counts()["session"], tables.counts()["task"]) == (0, 0)


def test_a_rolled_back_database_is_silent_to_newer_tokens(tables: Tables) -> None:
    kept = tables.create("VM", {"name_label": "as it was"})
    saved = tables.save()
    later = tables.create("VM", {})
    tables.change("VM", kept, name_label="as it became")
    token = tables.generation
    for _ in range(2):
        tables.restore(saved)
        assert tables.generation < token
        assert tables.get("VM", kept)["name_label"] == "as it was"
        assert tables.find("VM", later) is None
        tables.change("VM", kept, name_label="changed again")
        assert not tables.since(token, everything)


def test_watchers_hear_of_their_classes_only(tables: Tables) -> None:
    heard: list[str] = []
    end_all = tables.watch(lambda: heard.append("all"))
    end_vms = tables.watch(lambda: heard.append("VM"), ["VM"])
    network = tables.create("network", {})
    assert heard == ["all"]
    vm = tables.create("VM", {})
    assert heard == ["all", "all", "VM"]
    end_all()
    tables.create("VBD", {"VM": vm})
    assert heard[3:] == ["VM"]
    end_vms()
    tables.delete("network", network)
    assert len(heard) == 4


# ---- a client that follows ----

Step = tuple[str, int, str]
steps = st.lists(
    st.tuples(
        st.sampled_from(["create", "create", "change", "change", "delete", "look", "restart", "link"]),
        st.integers(0, 50),
        st.text(max_size=3),
    ),
    max_size=60,
)


def follow(cache: Records, delta: Delta, tables: Tables) -> None:
    for change in [*delta.added, *delta.modified]:
        rows = cache.setdefault(change.class_name, {})
        rows[change.ref] = dict(tables.get(change.class_name, change.ref))
    for change in delta.deleted:
        cache.get(change.class_name, {}).pop(change.ref, None)


def change_something(tables: Tables, step: Step) -> None:
    verb, number, text = step
    vms = list(tables.rows("VM"))
    if verb == "create" or not vms:
        tables.create("VM", {"name_label": text})
        return
    vm = vms[number % len(vms)]
    match verb:
        case "change":
            tables.change("VM", vm, name_label=text)
        case "delete":
            tables.delete("VM", vm)
        case "link":
            tables.create("VBD", {"VM": vm})
        case "restart":
            tables.restart()
        case _:
            pass


@settings(max_examples=200, deadline=None)
@given(steps)
def test_following_from_any_token_ends_with_the_truth_unless_counts_disagree(script: list[Step]) -> None:
    tables = Tables({}, generation=1)
    cache: Records = {}
    token = 0
    for step in script:
        change_something(tables, step)
        if step[0] == "look":
            delta = tables.since(token, everything)
            follow(cache, delta, tables)
            token = delta.newest
    follow(cache, tables.since(token, everything), tables)
    for class_name in ("VM", "VBD"):
        truth = dict(tables.rows(class_name))
        known = cache.get(class_name, {})
        if len(known) == len(truth):
            assert known == truth
        else:
            # Only a restart loses anything, and what it loses are deletions.
            assert any(verb == "restart" for verb, _, _ in script)
            assert {ref: known[ref] for ref in truth} == truth
