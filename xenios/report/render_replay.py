"""Renders played stories: what each manager did, side by side, as tables for a terminal or as JSON.

The order is that of the questions: what happened, why, how did every VM end, who knows how much room there is, and
who harmed whom. Everything is said in words; colours only repeat them.

Effects: none
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from xenios.decide.precedent.policy import Deed
from xenios.model.inventory import HypervisorKind
from xenios.replay.script import Seat
from xenios.replay.told import (
    SCHEMA,
    Cell,
    Happened,
    Harm,
    PolicyVerdict,
    Replay,
    RoomEnd,
    Row,
    RowKind,
    Told,
    VmEnd,
)
from xenios.report.terminal import drawn
from xenios.report.words import NOT_TOLD, bytes_text, plural, shown

_HAPPENS = "What happens"
_WORDS_COLUMNS, _POLICY_COLUMNS = 36, 20
"""What the first columns need at least, and then each policy."""
_LEGEND = "✗ a VM harmed that was not to be touched; ≠ wrong in its books only; [n] the reason, below."
_SIGN = {Harm.ALIEN: "✗ ", Harm.OWN: "✗ ", Harm.MISTAKEN: "≠ ", Harm.NONE: ""}
_STYLE = {Harm.ALIEN: "bold red", Harm.OWN: "red", Harm.MISTAKEN: "yellow", Harm.NONE: ""}
_DEED_WORDS = {Deed.NOTHING: "left alone"}
_HARM_WORDS = {
    Harm.ALIEN: "harmed",
    Harm.OWN: "harmed",
    Harm.MISTAKEN: "mistaken for stopped",
    Harm.NONE: "",
}
_KIND_WORDS = {HypervisorKind.XENSERVER: "XenServer", HypervisorKind.KVM: "KVM"}


def render_replay_json(replay: Replay) -> str:
    """The replay as JSON text, indented, with a line end. Escapes every character that could steer a terminal."""
    text = json.dumps(msgspec.to_builtins(replay), indent=2, ensure_ascii=True)
    return text.replace("\x7f", "\\u007f") + "\n"


def json_schema_of_replays() -> dict[str, Any]:
    """The JSON Schema of what `xenios replay --json` prints."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Xenios replay ({SCHEMA})",
        **msgspec.json.schema(Replay),
    }


def render_replay(replay: Replay, *, width: int, colour: bool) -> str:
    """The replay as text of at most `width` columns, with ANSI colours or without."""
    return drawn(lambda console: _print_stories(console, replay), width=width, colour=colour)


def _print_stories(console: Console, replay: Replay) -> None:
    for number, told in enumerate(replay.stories):
        if number:
            console.print()
        _print_story(console, told)


def time_of(seconds: int) -> str:
    """Hours and minutes since the story began, with seconds where there are any."""
    hours, rest = divmod(seconds, 3_600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}" if seconds else f"{hours:02}:{minutes:02}"


def _print_story(console: Console, told: Told) -> None:
    console.print(Text(f"{shown(told.name)}: {shown(told.title)}", style="bold"))
    for line in told.about:
        console.print(Padding(Text(shown(line)), (0, 0, 0, 2)))
    kind = f"{_KIND_WORDS.get(told.kind, told.kind.value)} {shown(told.version)}".strip()
    hosts = ", ".join(f"{shown(room.host)} {bytes_text(room.bytes_total)}" for room in told.rooms)
    console.print(Text(f"  {kind}; {hosts}; a round every {told.round_seconds} s", style="dim"))
    reasons: dict[tuple[str, str], int] = {}
    groups = _side_by_side(told.policies, console.width)
    for policies in groups:
        console.print()
        console.print(_happenings(told, policies, reasons))
    console.print(Text(_LEGEND, style="dim"))
    _print_reasons(console, reasons)
    for title, table_of in (
        ("How every VM ended", _vm_table),
        ("Room: what the VMs take on each host, and what the manager counts", _room_table),
    ):
        console.print()
        console.print(Text(title, style="bold"))
        for policies in groups:
            console.print(table_of(told, policies))
    console.print()
    console.print(Text("Verdict", style="bold"))
    for verdict in told.verdicts:
        console.print(Padding(_verdict_text(verdict), (0, 0, 0, 2)))


# --- what happened -------------------------------------------------------------------------------------------------


def _side_by_side(policies: tuple[str, ...], width: int) -> list[tuple[str, ...]]:
    """As many policies beside each other as the width can bear, and the others in tables below."""
    fit = max(1, (width - _WORDS_COLUMNS) // _POLICY_COLUMNS)
    tables = max(1, -(-len(policies) // fit))
    each = -(-len(policies) // tables)
    return [policies[start : start + each] for start in range(0, len(policies), max(1, each))]


def _table(policies: Sequence[str], *columns: str) -> Table:
    """An empty table: some columns, then one for each policy, all of these of the same width."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        happens = column == _HAPPENS
        table.add_column(column, overflow="fold", no_wrap=column == "Time", ratio=1 if happens else None)
    for policy in policies:
        long = len(policy) > _POLICY_COLUMNS
        header = "-\n".join(policy.rsplit("-", 1)) if long else policy
        table.add_column(header, overflow="fold", ratio=1)
    table.expand = True
    return table


def _happenings(told: Told, policies: Sequence[str], reasons: dict[tuple[str, str], int]) -> Table:
    table = _table(policies, "Time", _HAPPENS)
    for row in told.rows:
        cells = [_cell_text(row, cell, reasons) for cell in row.cells if cell.policy in policies]
        if row.kind is RowKind.ROUND and all(
            not cell.happened for cell in row.cells if cell.policy in policies
        ):
            continue
        words = Text(shown(row.words), style="" if row.kind is RowKind.LINE else "dim")
        table.add_row(time_of(row.at_seconds), words, *cells)
    return table


def _cell_text(row: Row, cell: Cell, reasons: dict[tuple[str, str], int]) -> Text:
    lines = [_happened_text(happened, row.at_seconds, reasons) for happened in cell.happened]
    if cell.refused:
        lines.insert(0, Text(f"({shown(cell.refused)})", style="dim"))
    return (
        Text("\n").join(lines) if lines else Text(NOT_TOLD if row.kind is RowKind.ROUND else "", style="dim")
    )


def _happened_text(happened: Happened, at_seconds: int, reasons: dict[tuple[str, str], int]) -> Text:
    number = reasons.setdefault((happened.rule, happened.words), len(reasons) + 1)
    who = "second: " if happened.seat is Seat.SECOND else ""
    vm = shown(happened.vm or happened.name)
    deed = _DEED_WORDS.get(happened.deed, happened.deed.value)
    again = ""
    if happened.times > 1:
        again = f", again until {time_of(happened.last_seconds)}"
    said = f"{_SIGN[happened.harm]}{who}{f'{vm}: ' if vm else ''}{deed}{again} [{number}]"
    return Text(said, style=_STYLE[happened.harm])


def _print_reasons(console: Console, reasons: dict[tuple[str, str], int]) -> None:
    if not reasons:
        return
    console.print()
    console.print(Text("Why", style="bold"))
    for (rule, words), number in reasons.items():
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(width=len(str(len(reasons))) + 4, justify="right")
        table.add_column(overflow="fold")
        table.add_row(f"[{number}]", Text(f"{shown(rule)}: {shown(words)}"))
        console.print(table)


# --- how it ended --------------------------------------------------------------------------------------------------


def _vm_table(told: Told, policies: Sequence[str]) -> Table:
    table = _table(policies, "VM", "Made by")
    for row in told.vms:
        named = shown(row.vm) if row.name == row.vm else f"{shown(row.vm)} ({shown(row.name)})"
        by_policy = {end.policy: end for end in row.ends}
        table.add_row(named, row.made_by, *(_end_text(by_policy.get(policy)) for policy in policies))
    return table


def _end_text(end: VmEnd | None) -> Text:
    if end is None:
        return Text("never made", style="dim")
    place = f" on {shown(end.host)}" if end.host is not None else ""
    said = f"{end.power_state.value}{place}" if end.exists else "its record is gone"
    if end.harm is not Harm.NONE:
        said = f"{_SIGN[end.harm]}{said}; {_HARM_WORDS[end.harm]}"
    if end.believed:
        said += f"; believed: {shown(end.believed)}"
    return Text(said, style=_STYLE[end.harm])


def _room_table(told: Told, policies: Sequence[str]) -> Table:
    table = _table(policies, "Host", "Total")
    for room in told.rooms:
        cells = []
        for policy in policies:
            ends = [end for end in room.ends if end.policy == policy]
            cells.append(Text("\n").join(_room_text(end) for end in ends) if ends else Text(NOT_TOLD))
        table.add_row(shown(room.host), bytes_text(room.bytes_total), *cells)
    return table


def _room_text(end: RoomEnd) -> Text:
    who = "second: " if end.seat is Seat.SECOND else ""
    taken = bytes_text(end.bytes_taken)
    if end.bytes_drift is None:
        return Text(f"{who}{taken}; it does not know", style="yellow")
    if end.bytes_drift == 0:
        return Text(f"{who}{taken}; right", style="green")
    more = "too little" if end.bytes_drift > 0 else "too much"
    return Text(
        f"{who}{taken}; counts {bytes_text(end.bytes_taken_believed)}: {bytes_text(abs(end.bytes_drift))} {more}",
        style="red",
    )


def _verdict_text(verdict: PolicyVerdict) -> Text:
    text = Text(f"{verdict.policy}: ", style="bold")
    good = not (verdict.aliens_harmed or verdict.own_harmed or verdict.mistaken)
    text.append(verdict_words(verdict), style="green" if good and room_is_right(verdict) else "red")
    return text


def verdict_words(verdict: PolicyVerdict) -> str:
    """One sentence: whom it harmed, and what it believes of the room."""
    said = []
    for vms, words in (
        (verdict.aliens_harmed, "that {were} not its own"),
        (verdict.own_harmed, "of its own that nobody had asked it to touch"),
    ):
        if vms:
            were = words.format(were="was" if len(vms) == 1 else "were")
            said.append(f"{plural(len(vms), 'VM')} {were} ({_names(vms)})")
    words = f"harmed {' and '.join(said)}" if said else "harmed nobody"
    if verdict.records_destroyed:
        words += f"; records gone: {_names(verdict.records_destroyed)}"
    if verdict.started_again:
        words += f"; started by itself what was off: {_names(verdict.started_again)}"
    if verdict.mistaken:
        words += f"; took for stopped what ran: {_names(verdict.mistaken)}"
    return f"{words}; {_room_words(verdict)}"


def room_is_right(verdict: PolicyVerdict) -> bool:
    """Whether it knows exactly what is free."""
    return verdict.room_known and not (verdict.bytes_promised_too_much or verdict.bytes_promised_too_little)


def _room_words(verdict: PolicyVerdict) -> str:
    if room_is_right(verdict):
        return "room is right"
    said = []
    if verdict.bytes_promised_too_much:
        said.append(f"would promise {bytes_text(verdict.bytes_promised_too_much)} that are taken")
    if verdict.bytes_promised_too_little:
        said.append(f"counts {bytes_text(verdict.bytes_promised_too_little)} that nobody takes")
    if not verdict.room_known:
        said.append("of some room it says that it does not know")
    return ", ".join(said)


def _names(vms: Sequence[str]) -> str:
    return ", ".join(map(shown, vms))
