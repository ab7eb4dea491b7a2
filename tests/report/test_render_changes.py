"""Is each change one plain line, whatever stands in names, and does the JSON keep its promise?

Effects: reads files
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.inventory import GIB, a_disk, a_vm
from xenios.decide.vm_differences import differences_between_vms
from xenios.model.inventory import DiskKind, Guest, Memory, Nic, PowerState, Snapshot, ToolsState
from xenios.model.update import Change, ChangeKind, FieldChange, Thing, UpdateSource
from xenios.report.render_changes import json_schema_of_changes, render_change, render_change_json

NOON = 1_790_000_000_123_456
NAMES = {"host-1": "alpha", "host-2": "beta", "network-1": "lan", "storage-1": "nfs"}


def a_change(kind: ChangeKind = ChangeKind.CHANGED, **changes: Any) -> Change:
    facts: dict[str, Any] = {
        "seen_at": NOON,
        "source": UpdateSource.EVENT,
        "because": "event.from",
        "thing": Thing.VM,
        "uuid": "uuid-1",
        "name": "web",
    }
    return Change(kind=kind, **(facts | changes))


def line(change: Change, **how: Any) -> str:
    return render_change(change, **({"target": "", "told_at": NOON + 3_000} | how))


def said(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What a line says of two sightings of one VM."""
    fields = differences_between_vms(a_vm(**before), a_vm(**after), lambda uuid: NAMES.get(uuid, ""))
    return line(a_change(fields=fields)).partition("(uuid-1): ")[2].rstrip("\n")


def test_a_line_tells_time_age_source_thing_and_difference() -> None:
    fields = (FieldChange(field="power_state", before="running", after="halted"),)
    assert line(a_change(fields=fields)) == (
        "2026-09-21T14:13:20.123Z  3 ms ago, event            VM web (uuid-1): running → halted\n"
    )


def test_the_target_is_told_where_there_are_several() -> None:
    assert " test:///default: VM web (uuid-1) is gone" in line(
        a_change(ChangeKind.GONE), target="test:///default"
    )


def test_a_target_that_was_not_read_is_named_once() -> None:
    unread = a_change(ChangeKind.NOT_READ, thing=Thing.PART, uuid="", name="nix.db", because="empty")
    assert line(unread, target="nix.db").endswith("  nix.db: could not be read: empty\n")
    assert line(unread, target="b.db").endswith("  b.db: nix.db could not be read: empty\n")


@pytest.mark.parametrize(
    ("micros", "age"),
    [(-5, "0 ms"), (999_999, "999 ms"), (1_500_000, "1.5 s"), (3_600_000_000, "1 h 0 min")],
)
def test_ages_are_told_in_fitting_units_and_never_negative(micros: int, age: str) -> None:
    assert f"  {age} ago, event" in line(a_change(ChangeKind.GONE), told_at=NOON + micros)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({}, {"power_state": PowerState.HALTED}, "running → halted; leaves host alpha"),
        ({"power_state": PowerState.HALTED}, {}, "halted → running; on host alpha"),
        ({}, {"host_uuid": "host-2"}, "host alpha → beta"),
        ({}, {"name": "other"}, "name name of vm-1 → other"),
        ({}, {"vcpus": 4}, "vCPUs 2 → 4"),
        ({"memory": Memory(bytes_max=GIB)}, {"memory": Memory(bytes_max=2 * GIB)}, "memory 1 GiB → 2 GiB"),
        ({}, {"tags": ("a",)}, "tag a added"),
        ({"tags": ("a",)}, {}, "tag a removed"),
        ({"annotations": {"k": "secret"}}, {"annotations": {"k": "other"}}, "annotation k changed"),
        ({}, {"snapshots": (Snapshot(uuid="s", name="before"),)}, "snapshot before added"),
        (
            {"snapshots": (Snapshot(uuid="s", name="a"),)},
            {"snapshots": (Snapshot(uuid="s", name="b"),)},
            "snapshot a is now named b",
        ),
        ({}, {"high_availability": "restart"}, "high availability none → restart"),
        (
            {"guest": Guest(tools=ToolsState.ABSENT)},
            {"guest": Guest(tools=ToolsState.WORKING)},
            "guest tools absent → working",
        ),
        ({}, {"paused_on_io_error": True}, "paused on an I/O error"),
        ({}, {"definition_read": False}, "definition could not be read"),
        ({"started_at": 1}, {"started_at": NOON}, "restarted at 2026-09-21T14:13:20.123Z"),
        ({}, {"blocked_operations": ("destroy", "start")}, "blocked operations none → destroy, start"),
        (
            {"disks": ()},
            {"disks": (a_disk("u", storage_uuid="storage-1"),)},
            "disk xvda added (u, size 10 GiB, storage nfs)",
        ),
        ({"disks": (a_disk("u"),)}, {"disks": ()}, "disk xvda removed (u)"),
        (
            {"disks": (a_disk("", kind=DiskKind.CDROM, device="xvdd", presence="unknown"),)},
            {"disks": (a_disk("iso", kind=DiskKind.CDROM, device="xvdd", presence="unknown"),)},
            "disk xvdd image none → iso",
        ),
        (
            {"disks": (a_disk("u"),)},
            {"disks": (a_disk("u", size_bytes=20 * GIB),)},
            "disk xvda size 10 GiB → 20 GiB",
        ),
        (
            {"nics": ()},
            {"nics": (Nic(device="0", mac="aa", network_uuid="network-1", network_name="lan"),)},
            "NIC 0 added (aa, network lan)",
        ),
        (
            {"nics": (Nic(device="0", mac="aa"),)},
            {"nics": (Nic(device="0", mac="aa", addresses=("10.0.0.5", "fe80::1")),)},
            "NIC 0 addresses none → 10.0.0.5, fe80::1",
        ),
    ],
)
def test_differences_are_told_in_words(before: dict[str, Any], after: dict[str, Any], text: str) -> None:
    assert said(before, after) == text


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            a_change(ChangeKind.FIRST_VIEW, thing=Thing.POOL, fields=(FieldChange(field="vms", after=1),)),
            "pool web (uuid-1): 1 VM; watching",
        ),
        (
            a_change(ChangeKind.FIRST_VIEW, thing=Thing.POOL, fields=(FieldChange(field="vms"),)),
            "an unknown number of VMs",
        ),
        (a_change(ChangeKind.NO_LONGER_LISTED), "VM web (uuid-1) is no longer listed"),
        (a_change(ChangeKind.LOOKED_AGAIN, because="logged in again"), "was read again: logged in again"),
        (
            a_change(
                ChangeKind.SILENT,
                because="refused",
                remedy="wait",
                fields=(FieldChange(field="silent_since", after=NOON),),
            ),
            "does not answer since 2026-09-21T14:13:20.123Z, and what it does is unknown: refused (→ wait)",
        ),
        (a_change(ChangeKind.ANSWERS_AGAIN), "answers again: event.from"),
        (
            a_change(ChangeKind.NOT_READ, thing=Thing.PART, uuid="", name="VDI records", because="refused"),
            "  VDI records could not be read: refused",
        ),
        (
            a_change(ChangeKind.NOT_READ, thing=Thing.PART, uuid="", name="nix.db", because="empty"),
            "  nix.db could not be read: empty",
        ),
        (a_change(ChangeKind.READ_AGAIN, thing=Thing.PART, uuid="", name="VDI records"), "can be read again"),
        (a_change(ChangeKind.GONE, name=" "), "VM without a name (uuid-1) is gone"),
        (a_change(ChangeKind.APPEARED), "VM web (uuid-1) appeared\n"),
    ],
)
def test_every_kind_of_change_has_its_words(change: Change, text: str) -> None:
    assert text in line(change)


TEXT = st.text(alphabet=st.sampled_from("a\x1b[31m\n\r\t\x00\x7f\u202e\u2066é😀'\"\\"), max_size=12)
VALUES = st.one_of(
    st.none(), TEXT, st.booleans(), st.integers(-(2**70), 2**70), st.lists(TEXT, max_size=3).map(tuple)
)
FIELD_NAMES = (
    *("name", "power_state", "host_uuid", "memory.bytes_max", "guest.os", "dangling"),
    *("disks", "disks.where", "nics", "tags", "snapshots", "annotations"),
    *("started_at", "silent_since", "vms", "of tomorrow"),
)
FIELDS = st.builds(
    FieldChange,
    field=st.sampled_from(FIELD_NAMES),
    item=TEXT,
    before=VALUES,
    after=VALUES,
    before_name=TEXT,
    after_name=TEXT,
)
CHANGES = st.builds(
    Change,
    seen_at=st.integers(-(2**63), 2**63 - 1),
    source=st.sampled_from(UpdateSource),
    because=TEXT,
    kind=st.sampled_from(ChangeKind),
    thing=st.sampled_from(Thing),
    uuid=TEXT,
    name=TEXT,
    fields=st.lists(FIELDS, max_size=4).map(tuple),
    remedy=TEXT,
)


@given(CHANGES, TEXT)
def test_whatever_stands_in_a_change_it_is_one_line_that_steers_nothing(change: Change, target: str) -> None:
    for text in (
        render_change(change, target=target, told_at=NOON),
        render_change_json(change, target=target, told_at=NOON),
    ):
        assert text.endswith("\n")
        assert text[:-1].isprintable()
        assert "\u202e" not in text


@given(CHANGES)
def test_every_line_of_json_is_what_the_schema_says(change: Change) -> None:
    told = json.loads(render_change_json(change, target="xenserver://root@host", told_at=NOON))
    jsonschema.validate(told, json_schema_of_changes())
    assert told["schema"] == "xenios.change/1"
    assert told["age_microseconds"] == max(0, NOON - change.seen_at)


def test_the_published_schema_is_the_one_of_the_code() -> None:
    published = Path(__file__).parents[2] / "docs" / "change.schema.json"
    assert json.loads(published.read_text(encoding="utf-8")) == json_schema_of_changes()
