"""Renders the changes of a watch: each one line for a person, or one JSON object per line.

The JSON is a contract: docs/change.schema.json is generated from ChangeLine. Within one SCHEMA fields are only added.

Effects: none
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, assert_never

import msgspec

from xenios.model.update import Change, ChangeKind, FieldChange, Thing, UpdateSource
from xenios.report.words import NOT_TOLD, bytes_text, duration_text, plural, shown

SCHEMA = "xenios.change/1"

_NONE = "none"
_SAID_OTHERWISE = {
    "disks.name",
    "nics.network_name",
    "nics.bridge",
}
"""Fields that only repeat another one in a line for a person; the JSON has them."""
_WORDS = {
    "host_uuid": "host",
    "preferred_host_uuid": "preferred host",
    "snapshot_of_uuid": "snapshot of",
    "master_uuid": "master",
    "host_uuids": "attached to",
    "detached_host_uuids": "detached from",
    "memory.bytes_max": "memory",
    "memory.bytes_dynamic_max": "dynamic memory up to",
    "memory.bytes_dynamic_min": "dynamic memory from",
    "memory.bytes_static_min": "static memory from",
    "memory_bytes_total": "memory",
    "size_bytes": "size",
    "vcpus": "vCPUs",
    "vcpus_max": "vCPUs at most",
    "vlan": "VLAN",
    "mtu": "MTU",
    "power_reason": "reason",
    "ha_enabled": "high availability",
    "high_availability": "high availability",
    "guest.os": "guest system",
    "guest.tools": "guest tools",
    "guest.tools_version": "guest tools version",
    "guest.hostname": "guest host name",
    "disks.where": "image",
    "disks.size_bytes": "size",
    "disks.storage_uuid": "storage",
    "nics.mac": "MAC",
    "nics.network_uuid": "network",
    "nics.vlan": "VLAN",
    "dangling": "references that lead nowhere:",
}
_SEVERAL = {"snapshots": "snapshot", "tags": "tag", "annotations": "annotation"}
_DEVICES = {"disks": "disk", "nics": "NIC"}


class ChangeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `xenios inspect --json --watch`. Fields named as in the model mean the same (model/update.py)."""

    schema: str = SCHEMA
    target: str
    told_at: int
    """When the line was printed, in microseconds since 1970 (UTC)."""
    age_microseconds: int
    """How long before that the observer received what it tells."""
    seen_at: int
    source: UpdateSource
    because: str
    kind: ChangeKind
    thing: Thing
    uuid: str
    name: str
    fields: tuple[FieldChange, ...]
    remedy: str


_COPIED = frozenset(ChangeLine.__struct_fields__) & frozenset(Change.__struct_fields__)


def render_change_json(change: Change, *, target: str, told_at: int) -> str:
    """A change as one line of JSON. Escapes every character that could steer a terminal."""
    line = ChangeLine(
        target=target,
        told_at=told_at,
        age_microseconds=_age(change, told_at),
        **{name: getattr(change, name) for name in _COPIED},
    )
    return json.dumps(msgspec.to_builtins(line), ensure_ascii=True).replace("\x7f", "\\u007f") + "\n"


def json_schema_of_changes() -> dict[str, Any]:
    """The JSON Schema of one line."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Xenios change ({SCHEMA})",
        **msgspec.json.schema(ChangeLine),
    }


def render_change(change: Change, *, target: str, told_at: int) -> str:
    """A change as one line of text: time, age and source, then what is different. `target` is empty if there is one."""
    head = f"{_moment_text(change.seen_at)}  {_age_text(_age(change, told_at))}, {change.source.value}"
    place = f"{shown(target)}: " if target else ""
    remedy = f" (→ {shown(change.remedy)})" if change.remedy else ""
    whole = change.thing is Thing.PART and change.name == target  # it was named before the colon
    said = _predicate(change).lstrip() if whole else _subject(change) + _predicate(change)
    return f"{head:<52} {place}{said}{remedy}\n"


# --- the words of a line ---------------------------------------------------------------------------------------------


def _subject(change: Change) -> str:
    if change.thing is Thing.PART:
        return shown(change.name)
    name = shown(change.name) if change.name.strip() else "without a name"
    return f"{change.thing.value} {name}" + (f" ({shown(change.uuid)})" if change.uuid else "")


def _predicate(change: Change) -> str:
    because = shown(change.because)
    match change.kind:
        case ChangeKind.FIRST_VIEW:
            return f": {', '.join(_counts(change.fields))}; watching"
        case ChangeKind.APPEARED:
            told = "; ".join(_field_texts(change.fields, new=True))
            return f" appeared: {told}" if told else " appeared"
        case ChangeKind.CHANGED:
            return f": {'; '.join(_field_texts(change.fields))}"
        case ChangeKind.GONE:
            return " is gone: the hypervisor deleted it"
        case ChangeKind.NO_LONGER_LISTED:
            return " is no longer listed"
        case ChangeKind.LOOKED_AGAIN:
            return f" was read again: {because}"
        case ChangeKind.SILENT:
            since = next((field.after for field in change.fields if field.field == "silent_since"), None)
            known = f" since {_moment_text(since)}" if isinstance(since, int) else ""
            return f" does not answer{known}, and what it does is unknown: {because}"
        case ChangeKind.ANSWERS_AGAIN:
            return f" answers again: {because}"
        case ChangeKind.NOT_READ:
            return f" could not be read: {because}"
        case ChangeKind.READ_AGAIN:
            return " can be read again"
        case _:
            assert_never(change.kind)


def _counts(fields: Iterable[FieldChange]) -> Iterator[str]:
    for field in fields:
        noun = {"vms": "VM", "hosts": "host"}.get(field.field, field.field)
        unknown = f"an unknown number of {noun}s"
        yield plural(field.after, noun) if isinstance(field.after, int) else unknown


def _field_texts(fields: Sequence[FieldChange], *, new: bool = False) -> Iterator[str]:
    """One piece of text per difference; what is told of one device that came or went is one piece."""
    came: dict[tuple[str, str], list[FieldChange]] = defaultdict(list)
    moved = {
        (field.field, field.item) for field in fields if field.field in _DEVICES and field.before is None
    }
    for field in fields:
        group = (field.field.partition(".")[0], field.item)
        if group in moved and field.field not in _DEVICES:
            came[group].append(field)
    for field in fields:
        group = (field.field.partition(".")[0], field.item)
        if group in moved and field.field not in _DEVICES:
            continue
        if field.field not in _SAID_OTHERWISE:
            yield _field_text(field, came.get(group, ()), new=new)


def _field_text(field: FieldChange, parts: Sequence[FieldChange], *, new: bool) -> str:
    name, item = field.field, shown(field.item)
    before, after = (
        _value_text(field, field.before, field.before_name),
        _value_text(field, field.after, field.after_name),
    )
    group, _, part = name.partition(".")
    if name in _DEVICES:
        return _device_text(field, parts)
    if name in _SEVERAL:
        return _item_text(field)
    if name == "power_state":
        return after if field.before is None else f"{before} → {after}"
    if name == "host_uuid" and None in (field.before, field.after):
        return f"on host {after}" if field.before is None else f"leaves host {before}"
    if name == "paused_on_io_error":
        return "paused on an I/O error" if field.after else "no longer paused on an I/O error"
    if name == "definition_read":
        return "definition read again" if field.after else "definition could not be read"
    if name == "started_at" and isinstance(field.after, int):
        return f"restarted at {_moment_text(field.after)}"
    word = _WORDS.get(name) or (part if group in _DEVICES else name).replace("_", " ")
    whose = f"{_DEVICES[group]} {item} " if group in _DEVICES else ""
    return f"{whose}{word} {after}" if new else f"{whose}{word} {before} → {after}"


def _device_text(field: FieldChange, parts: Sequence[FieldChange]) -> str:
    """A disk or NIC that came or went."""
    facts = {part.field.partition(".")[2]: part for part in parts}
    kind = facts.pop("kind", None)
    noun = _DEVICES[field.field]
    if kind is not None and isinstance(kind.after, str):
        noun = shown(kind.after)
    if field.after is None:
        where = f" ({shown(str(field.before))})" if field.before else ""
        return f"{noun} {shown(field.item)} removed{where}"
    told = [shown(str(field.after))] if field.after else []
    told += [
        f"{_WORDS.get(part.field) or name.replace('_', ' ')} {_value_text(part, part.after, part.after_name)}"
        for name, part in facts.items()
        if part.field not in _SAID_OTHERWISE
    ]
    return f"{noun} {shown(field.item)} added" + (f" ({', '.join(told)})" if told else "")


def _item_text(field: FieldChange) -> str:
    noun = _SEVERAL[field.field]
    if noun == "snapshot":  # its item is a uuid, its value the name
        before, after = field.before, field.after
        if before is not None and after is not None:
            return f"snapshot {shown(str(before))} is now named {shown(str(after))}"
        return f"snapshot {shown(str(after or before))} {'removed' if after is None else 'added'}"
    if field.before is not None and field.after is not None:
        return f"{noun} {shown(field.item)} changed"
    return f"{noun} {shown(field.item)} {'removed' if field.after is None else 'added'}"


def _value_text(field: FieldChange, value: Any, name: str) -> str:
    if name:
        return shown(name)
    if value is None or value in ("", ()):
        return NOT_TOLD if "bytes" in field.field else _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return bytes_text(value) if "bytes" in field.field else str(value)
    if isinstance(value, tuple):
        return ", ".join(shown(part) for part in value)
    return shown(str(value))


# --- times -----------------------------------------------------------------------------------------------------------


def _age(change: Change, told_at: int) -> int:
    """Never below zero, whatever the clock does."""
    return max(0, told_at - change.seen_at)


def _age_text(micros: int) -> str:
    if micros < 1_000_000:
        return f"{micros // 1000} ms ago"
    if micros < 60_000_000:
        return f"{micros / 1_000_000:.1f} s ago"
    return f"{duration_text(micros // 1_000_000)} ago"


def _moment_text(micros: int) -> str:
    """A moment in UTC to the millisecond, in the form that sorts."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    except OverflowError:
        return f"{micros} µs from 1970"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
