"""Reading a story: from text to data, or to one exact complaint.

Stories come from strangers as well, so everything has a limit, and whatever is wrong is said with file, line and
remedy; rubbish never ends in a traceback.

Effects: none
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from xenios.errors import XeniosError
from xenios.model.inventory import HypervisorKind, PowerState
from xenios.replay.grammar import FORMS, Mismatch, listed, match, near
from xenios.replay.script import Act, HostSpec, Line, Seat, Story, VmSpec

CHARACTERS_MAX = 200_000
LINES_MAX = 2_000
LINE_CHARACTERS_MAX = 400
HOSTS_MAX = 64
VMS_MAX = 500
MEMORY_BYTES_MAX = 64 * 1024**4
SPAN_SECONDS_MAX = 8 * 86_400
ROUNDS_MAX = 20_000
LOOKS_MAX = 150_000
"""Rounds times VMs and hosts: so many looks at one of them a story may ask of each policy."""
ROUNDS_AFTER_THE_LAST_LINE = 5
SEE = "docs/replay.md lists what a story may say"

_TIME = re.compile(r"(\d{1,3}):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,3})?", re.ASCII)
_WORD = re.compile(r'"([^"]*)"|(#.*)|([^\s"]+)|(")')
_UNITS = {"MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_KINDS = {"xenserver": HypervisorKind.XENSERVER, "kvm": HypervisorKind.KVM}
_STATES = {state.value: state for state in (PowerState.RUNNING, PowerState.PAUSED, PowerState.HALTED)} | {
    "suspended": PowerState.SUSPENDED
}
_DECLARATIONS = ("story", "about", "pool", "round", "host", "vm")
_BEGINNINGS = tuple(dict.fromkeys(form.words[0] for form in FORMS))
_CLAUSES = (*_STATES, "on", "prefers", "called", "ha")


@dataclass(slots=True)
class _Reading:
    """What has been read so far."""

    file: str
    number: int = 0
    title: str = ""
    about: list[str] = field(default_factory=list)
    kind: HypervisorKind | None = None
    version: str = ""
    round_seconds: int | None = None
    hosts: dict[str, HostSpec] = field(default_factory=dict)
    vms: dict[str, VmSpec] = field(default_factory=dict)
    later_vms: set[str] = field(default_factory=set)
    lines: list[Line] = field(default_factory=list)
    snapshots: set[tuple[str, str]] = field(default_factory=set)
    connected: set[Seat] = field(default_factory=set)
    deployed: dict[str, Seat] = field(default_factory=dict)
    saves: set[tuple[Seat, str]] = field(default_factory=set)

    def wrong(self, says: str, remedy: str) -> XeniosError:
        return XeniosError(f"{self.file}, line {self.number}: {says}", remedy=remedy)

    @property
    def known_vms(self) -> list[str]:
        return [*self.vms, *sorted(self.later_vms)]


def parse_story(text: str, file: str) -> Story:
    """Reads a story; `file` is what errors call it. Raises XeniosError with the line and the remedy."""
    if len(text) > CHARACTERS_MAX:
        raise XeniosError(
            f"{file} has more than {CHARACTERS_MAX:,} characters", remedy="tell a shorter story, or several"
        )
    lines = text.split("\n")
    if len(lines) > LINES_MAX:
        raise XeniosError(
            f"{file} has more than {LINES_MAX:,} lines", remedy="tell a shorter story, or several"
        )
    reading = _Reading(file)
    for number, line in enumerate(lines, 1):
        reading.number = number
        _read_line(reading, line.removesuffix("\r"))
    return _whole(reading)


def _read_line(reading: _Reading, line: str) -> None:
    if len(line) > LINE_CHARACTERS_MAX:
        raise reading.wrong(f"the line has {len(line)} characters", f"at most {LINE_CHARACTERS_MAX} are read")
    bad = next((character for character in line if not character.isprintable() and character != "\t"), None)
    if bad is not None:
        raise reading.wrong(f"the character U+{ord(bad):04X} cannot be seen", "take it away")
    first = line.strip().partition(" ")[0]
    if first in ("story", "about"):  # prose, in which nothing has a meaning
        _read_prose(reading, first, line.strip().removeprefix(first).strip())
        return
    words = _words(reading, line)
    if not words:
        return
    if _TIME.fullmatch(words[0]) or words[0][:1].isdecimal():
        _read_happening(reading, words, line)
    elif words[0] in _DECLARATIONS:
        _read_declaration(reading, words)
    else:
        raise _unknown_beginning(reading, words[0])


def _unknown_beginning(reading: _Reading, word: str) -> XeniosError:
    if word in _BEGINNINGS:
        return reading.wrong(
            f"{word!r} does something, but the line does not say when",
            f"begin it with a time: 00:05 {word} …",
        )
    return reading.wrong(
        f"a line cannot begin with {word!r}",
        f"{near(word, _DECLARATIONS)}it begins with {listed(_DECLARATIONS)}, with a time such as 00:05, or with #",
    )


def _words(reading: _Reading, text: str) -> tuple[str, ...]:
    words = []
    for quoted, remark, plain, stray in (found.groups() for found in _WORD.finditer(text)):
        if remark:
            break
        if stray:
            raise reading.wrong('a quotation mark (") without its partner', 'write "web 1" with both')
        if plain is None and not quoted.strip():
            raise reading.wrong('"" names nothing', "write a name between the quotation marks")
        words.append(plain if plain is not None else quoted)
    return tuple(words)


# --- what there is -------------------------------------------------------------------------------------------------


def _read_prose(reading: _Reading, word: str, text: str) -> None:
    if not text:
        raise reading.wrong(
            f"{word!r} is followed by nothing", f"write a sentence: {word} An administrator …"
        )
    if word == "about":
        reading.about.append(text)
    elif reading.title:
        raise reading.wrong("the story has two titles", "put more words into lines that begin with 'about'")
    else:
        reading.title = text


def _read_declaration(reading: _Reading, words: tuple[str, ...]) -> None:
    if reading.lines:
        raise reading.wrong(
            f"{words[0]!r} comes after something has happened",
            "say what there is before the first time; VMs that come later are created or deployed",
        )
    {"pool": _read_pool, "round": _read_round, "host": _read_host, "vm": _read_vm}[words[0]](reading, words)


def _read_pool(reading: _Reading, words: tuple[str, ...]) -> None:
    if reading.kind is not None:
        raise reading.wrong("the story has two pools", "keep one line that begins with 'pool'")
    if reading.hosts:
        raise reading.wrong(
            "the pool comes after its hosts", "put the line that begins with 'pool' above them"
        )
    if len(words) not in (2, 3) or words[1] not in _KINDS:
        hint = near(words[1], _KINDS) if len(words) > 1 else ""
        raise reading.wrong(
            f"no pool can be made of {' '.join(words)!r}", f"{hint}write: pool xenserver 6.2, or: pool kvm"
        )
    if len(words) == 3 and not re.fullmatch(r"\d{1,4}(\.\d{1,4}){0,3}", words[2], re.ASCII):
        raise reading.wrong(f"{words[2]!r} is no version", "write numbers: pool xenserver 8.2")
    reading.kind = _KINDS[words[1]]
    reading.version = words[2] if len(words) == 3 else ""


def _read_round(reading: _Reading, words: tuple[str, ...]) -> None:
    right = "write: round every 60 s"
    if reading.round_seconds is not None:
        raise reading.wrong("rounds are set twice", "keep one line that begins with 'round'")
    if len(words) != 4 or words[1] != "every" or words[3] != "s" or not words[2].isascii():
        raise reading.wrong(f"{' '.join(words)!r} does not say how often managers look", right)
    if not words[2].isdecimal() or len(words[2]) > 5 or not 1 <= int(words[2]) <= 3_600:
        raise reading.wrong(f"{words[2]!r} is no number of seconds from 1 to 3600", right)
    reading.round_seconds = int(words[2])


def _read_host(reading: _Reading, words: tuple[str, ...]) -> None:
    right = "write: host h1 64 GiB, or: host h1 64 GiB keeps 2 GiB"
    if len(words) < 2:
        raise reading.wrong("the host has no name", right)
    name = _new_name(reading, words[1], reading.hosts, "host")
    if len(reading.hosts) >= HOSTS_MAX:
        raise reading.wrong(f"there are more than {HOSTS_MAX} hosts", "tell it with fewer")
    memory, rest = _size(reading, words[2:], right)
    overhead = 0
    if rest:
        if rest[0] != "keeps":
            raise reading.wrong(f"{rest[0]!r} means nothing of a host", f"{near(rest[0], ['keeps'])}{right}")
        overhead, rest = _size(reading, rest[1:], right)
    if rest:
        raise reading.wrong(f"{rest[0]!r} is too much", right)
    if overhead >= memory:
        raise reading.wrong("the host keeps all its memory for itself", right)
    reading.hosts[name] = HostSpec(name=name, memory_bytes=memory, overhead_bytes=overhead)


def _read_vm(reading: _Reading, words: tuple[str, ...]) -> None:
    if len(words) < 2:
        raise reading.wrong("the VM has no name", "write: vm web 4 GiB running on h1")
    vm = _vm(reading, words[1], words[2:])
    reading.vms[vm.handle] = vm


def _new_name(reading: _Reading, name: str, known: Collection[str], thing: str) -> str:
    if name in known:
        raise reading.wrong(
            f"there is a {thing} {name!r} already",
            f"call it something else; another {thing} of the same name on the hypervisor is a VM with: called {name}"
            if thing == "VM"
            else "call it something else",
        )
    return name


def _size(reading: _Reading, words: tuple[str, ...], right: str) -> tuple[int, tuple[str, ...]]:
    if len(words) < 2 or not _NUMBER.fullmatch(words[0]) or words[1] not in _UNITS:
        said = " ".join(words[:2])
        hint = near(words[1], _UNITS) if len(words) > 1 and words[1] not in _UNITS else ""
        raise reading.wrong(
            f"{said!r} is no size" if said else "a size is missing", f"{hint}{right} (MiB, GiB or TiB)"
        )
    size = round(float(words[0]) * _UNITS[words[1]])
    if not 0 < size <= MEMORY_BYTES_MAX:
        raise reading.wrong(f"{words[0]} {words[1]} is not a size from 1 byte to 64 TiB", right)
    return size, words[2:]


def _vm(reading: _Reading, handle: str, clauses: tuple[str, ...], like: VmSpec | None = None) -> VmSpec:
    """A VM from what is said of it; a copy is like another one where nothing is said."""
    right = "write: 4 GiB running on h1, or: 4 GiB halted prefers h1, with called NAME or ha if need be"
    _new_name(reading, handle, reading.known_vms, "VM")
    if len(reading.vms) + len(reading.later_vms) >= VMS_MAX:
        raise reading.wrong(f"there are more than {VMS_MAX} VMs", "tell it with fewer")
    memory, rest = (like.memory_bytes, clauses) if like is not None else _size(reading, clauses, right)
    said: dict[str, str] = {}
    while rest:
        word, rest = rest[0], rest[1:]
        kind = "state" if word in _STATES else word
        if word not in _CLAUSES:
            raise reading.wrong(f"{word!r} means nothing of a VM", f"{near(word, _CLAUSES)}{right}")
        if kind in said:
            raise reading.wrong(f"{word!r} comes after its {kind} was said", "say each thing once")
        if word in ("on", "prefers", "called"):
            if not rest:
                raise reading.wrong(f"nothing follows {word!r}", right)
            said[kind], rest = rest[0], rest[1:]
            if word != "called":
                _known_host(reading, said[kind])
        else:
            said[kind] = word
    return _vm_of(reading, handle, memory, said, copy=like is not None)


def _vm_of(reading: _Reading, handle: str, memory: int, said: Mapping[str, str], *, copy: bool) -> VmSpec:
    state = (
        _STATES[said["state"]]
        if "state" in said
        else PowerState.RUNNING
        if "on" in said
        else PowerState.HALTED
    )
    on, kvm = said.get("on"), reading.kind is HypervisorKind.KVM
    if state in (PowerState.RUNNING, PowerState.PAUSED) and on is None:
        raise reading.wrong(
            f"a {state} VM is on a host", f"write: {state} on {next(iter(reading.hosts), 'h1')}"
        )
    if on is not None and state in (PowerState.HALTED, PowerState.SUSPENDED) and not kvm:
        raise reading.wrong(f"a {state} VM of a XenServer pool is on no host", f"write: {state} prefers {on}")
    if on is None and kvm and not copy:
        raise reading.wrong(
            "on KVM, each VM is defined on a host", f"write: {state} on {next(iter(reading.hosts), 'h1')}"
        )
    return VmSpec(
        handle=handle,
        name=said.get("called", handle),
        memory_bytes=memory,
        power_state=state,
        host=on,
        prefers=said.get("prefers"),
        high_availability="ha" in said,
    )


def _known_host(reading: _Reading, name: str) -> str:
    if name not in reading.hosts:
        known = listed(map(repr, reading.hosts)) if reading.hosts else "none yet: write host h1 64 GiB before"
        raise reading.wrong(f"there is no host {name!r}", f"{near(name, reading.hosts)}hosts are {known}")
    return name


# --- what happens --------------------------------------------------------------------------------------------------


def _read_happening(reading: _Reading, words: tuple[str, ...], line: str) -> None:
    found = _TIME.fullmatch(words[0])
    if found is None:
        raise reading.wrong(
            f"{words[0]!r} is no time",
            "times are hours:minutes or hours:minutes:seconds, such as 00:05 or 01:30:30",
        )
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    at = hours * 3_600 + minutes * 60 + seconds
    if at > SPAN_SECONDS_MAX:
        raise reading.wrong(f"{words[0]} is more than 8 days", "tell a shorter story")
    if reading.lines and at < reading.lines[-1].at_seconds:
        raise reading.wrong(
            f"{words[0]} is before the line above", "put the lines in the order of their times"
        )
    if reading.lines and reading.lines[-1].act is Act.END:
        raise reading.wrong("something happens after the end", "put the line with 'end' last")
    if not reading.hosts:
        raise reading.wrong("something happens and there is no host", "write before it: host h1 64 GiB")
    if len(words) == 1:
        raise reading.wrong(
            "a time, and nothing happens", f"{words[0]} administrator …, or {words[0]} manager …"
        )
    try:
        form, slots, clauses = match(words[1:])
    except Mismatch as mismatch:
        raise reading.wrong(mismatch.says, mismatch.remedy) from None
    said = " ".join(f'"{word}"' if re.search(r"[\s#]", word) else word for word in words[1:])
    happening = Line(number=reading.number, at_seconds=at, act=form.act, words=said, seat=form.seat)
    reading.lines.append(_with_slots(reading, happening, slots, clauses))


def _with_slots(reading: _Reading, line: Line, slot: Mapping[str, str], clauses: tuple[str, ...]) -> Line:
    changes: dict[str, Any] = {}
    if "VM" in slot:
        changes["vm"] = _known_vm(reading, slot["VM"])
    if "HOST" in slot:
        changes["host"] = _known_host(reading, slot["HOST"])
    if "NEW" in slot:
        changes["new_vm"] = _coming_vm(reading, line, slot, clauses)
    changes["name"] = slot.get("NAME") or slot.get("SAVE", "")
    _check(reading, line, slot)
    return replace(line, **changes)


def _coming_vm(reading: _Reading, line: Line, slot: Mapping[str, str], clauses: tuple[str, ...]) -> VmSpec:
    like = None
    if line.act is Act.CLONE:
        like = VmSpec(handle="", name="", memory_bytes=1, power_state=PowerState.HALTED)
    vm = _vm(reading, slot["NEW"], clauses, like)
    if line.act is Act.DEPLOY and vm.power_state is not PowerState.RUNNING:
        raise reading.wrong("a manager deploys VMs that run", "write: 4 GiB running on h1")
    reading.later_vms.add(vm.handle)
    if line.act is Act.DEPLOY and line.seat is not None:
        reading.deployed[vm.handle] = line.seat
    return vm


def _known_vm(reading: _Reading, handle: str) -> str:
    known = reading.known_vms
    if handle not in known:
        names = listed([repr(name) for name in known[:12]]) if known else "none yet"
        raise reading.wrong(f"there is no VM {handle!r} by then", f"{near(handle, known)}VMs are {names}")
    return handle


def _check(reading: _Reading, line: Line, slot: Mapping[str, str]) -> None:
    """Whether what the line needs has been before it."""
    seat = line.seat
    if line.act is Act.CONNECT and seat is not None:
        if seat in reading.connected:
            raise reading.wrong(f"the {seat} is connected already", f"write: {seat} restarts")
        reading.connected.add(seat)
    elif seat is not None and seat not in reading.connected:
        raise reading.wrong(
            f"the {seat} does something before it is there", f"write before it: {seat} connects"
        )
    if line.act in (Act.ASK_TO_STOP, Act.ASK_TO_START) and reading.deployed.get(slot["VM"]) is not seat:
        raise reading.wrong(
            f"{slot['VM']!r} is no VM of the {seat}", "only what it deployed itself can be asked of it"
        )
    if line.act is Act.SNAPSHOT:
        reading.snapshots.add((slot["VM"], slot["NAME"]))
    if line.act is Act.REVERT and (slot["VM"], slot["NAME"]) not in reading.snapshots:
        raise reading.wrong(
            f"{slot['VM']!r} has no snapshot {slot['NAME']!r} by then",
            f"write before it: administrator snapshots {slot['VM']} as {slot['NAME']}",
        )
    if line.act is Act.SAVE and seat is not None:
        reading.saves.add((seat, slot.get("SAVE", "")))
    if line.act is Act.RESTORE and seat is not None and (seat, slot.get("SAVE", "")) not in reading.saves:
        named = f" as {slot['SAVE']}" if "SAVE" in slot else ""
        raise reading.wrong(
            "no such database was saved", f"write before it: {seat} saves its database{named}"
        )


def _whole(reading: _Reading) -> Story:
    if not reading.hosts or not reading.lines:
        missing = "host" if not reading.hosts else "line with a time"
        raise XeniosError(
            f"{reading.file} has no {missing}",
            remedy=f"a story needs hosts and something that happens; {SEE}",
        )
    every = reading.round_seconds or 60
    last = reading.lines[-1]
    end = last.at_seconds if last.act is Act.END else last.at_seconds + ROUNDS_AFTER_THE_LAST_LINE * every
    rounds, vms = end // every, len(reading.vms) + len(reading.later_vms)
    if rounds > ROUNDS_MAX or rounds * (vms + len(reading.hosts)) > LOOKS_MAX:
        raise XeniosError(
            f"{reading.file} takes {rounds:,} rounds with {vms} VMs: too many",
            remedy=f"at most {ROUNDS_MAX:,} rounds and {LOOKS_MAX:,} looks at a VM or host are played; "
            "make rounds rarer, or the story shorter",
        )
    return Story(
        name=reading.file,
        title=reading.title or reading.file,
        about=tuple(reading.about),
        kind=reading.kind or HypervisorKind.XENSERVER,
        version=reading.version,
        round_seconds=every,
        hosts=tuple(reading.hosts.values()),
        vms=tuple(reading.vms.values()),
        lines=tuple(line for line in reading.lines if line.act is not Act.END),
        end_seconds=end,
    )
