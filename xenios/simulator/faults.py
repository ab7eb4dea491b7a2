"""Trouble on order: what goes wrong with which calls, and what happens to the pool at which time.

A client is only as good as its behaviour when things fail, and they fail in few ways: late, with an error, with
nothing, cut in the middle, or never. Each can be ordered for calls by name, host, number, time or chance, from a
script (TOML) or from a test. Chance comes from the pool's seed, so a run can be repeated.

Effects: none
"""

import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from fnmatch import fnmatchcase
from functools import cache
from random import Random
from typing import Any

import msgspec

from xenios.errors import XeniosError
from xenios.simulator.dispatch import ASYNC_PREFIX
from xenios.simulator.generic import method_names

SEE = "docs/simulator.md lists what a script may say"
SECONDS_MAX = 365 * 24 * 3600.0
"""No time in a script is longer: a year is for ever here, and dates must not run over."""
COUNT_MAX = 1_000_000_000
PATTERN_CHARACTERS_MAX = 200
# Answered outside the data model, and so not among the calls that follow from it.
_OF_THE_SYSTEM = ("system.listMethods", "system.isAlive")
_TIMES = frozenset({"at_seconds", "seconds", "from_seconds", "until_seconds", "delay_seconds"})


class CallFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to some calls. Several faults may hit the same call; their effects add up."""

    method: str = "*"
    """A pattern for the names of calls: `VM.start`, `VBD.*`, `*.get_all_records`; with and without `Async.`."""
    host: str = ""
    """Name, address or uuid of the host that receives the call; empty: any."""
    skip: int = 0
    """So many matching calls go well first."""
    times: int | None = None
    """How many calls are hit then; none: all."""
    probability: float = 1.0
    """The share of calls that are hit."""
    from_seconds: float = 0.0
    """Not before so many seconds after the pool's start."""
    until_seconds: float | None = None

    delay_seconds: float = 0.0
    """The call is answered so much later."""
    error: tuple[str, ...] = ()
    """The call does nothing and fails with this code and these parameters."""
    empty: bool = False
    """The call is done, and answered with nothing: no records, no refs, an empty text, zero."""
    cut: bool = False
    """The call does nothing, and its connection is closed."""
    cut_after_bytes: int | None = None
    """The call is done, and its connection is closed after so many bytes of the reply, headers included."""
    hang: bool = False
    """The call does nothing and is never answered."""
    lose_reply: bool = False
    """The call is done and never answered."""

    @property
    def does_nothing(self) -> bool:
        """Whether no effect was named."""
        return not (
            self.delay_seconds
            or self.error
            or self.empty
            or self.cut
            or self.cut_after_bytes is not None
            or self.hang
            or self.lose_reply
        )


class Happening(Enum):
    """What may happen to the whole pool."""

    RESTART = "restart the toolstack"
    SAVE = "save the database"
    ROLL_BACK = "roll back the database"
    DIE = "the host dies"
    RETURN = "the host returns"
    HANG = "the host hangs"
    EMERGENCY = "the host enters emergency mode"
    EMERGENCY_OVER = "the host leaves emergency mode"
    MASTER = "the host becomes master"


NEED_A_HOST = frozenset(Happening) - {Happening.RESTART, Happening.SAVE, Happening.ROLL_BACK}


class Moment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One happening at its time."""

    at_seconds: float
    """After the start of the pool."""
    do: Happening
    host: str = ""
    """Name, address or uuid of the host it happens to."""
    error: tuple[str, ...] = ()
    """In emergency mode: what the host answers; default HOST_IN_EMERGENCY_MODE."""
    seconds: float | None = None
    """How long a restart takes."""


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole script: `[[calls]]` and `[[moments]]`."""

    calls: tuple[CallFault, ...] = ()
    moments: tuple[Moment, ...] = ()


def parse_script(text: str, name: str) -> Script:
    """Read a script; `name` is what errors call it. Raises XeniosError, naming the place and the remedy."""
    try:
        script = msgspec.convert(tomllib.loads(text), Script)
    except tomllib.TOMLDecodeError as error:
        raise XeniosError(f"{name} is not TOML: {error}", remedy=f"mend the line; {SEE}") from None
    except msgspec.ValidationError as error:
        raise XeniosError(f"{name} cannot be used: {error}", remedy=SEE) from None
    except RecursionError:
        raise XeniosError(
            f"{name} cannot be used: it nests lists or tables too deeply", remedy=f"take them apart; {SEE}"
        ) from None
    except (
        ValueError
    ):  # the one that tomllib lets through: Python does not read numbers of thousands of digits
        raise XeniosError(
            f"{name} cannot be used: it has a number with too many digits", remedy=f"shorten it; {SEE}"
        ) from None
    for number, fault in enumerate(script.calls, 1):
        _check_fault(fault, f"{name}, number {number} of [[calls]]")
    for number, moment in enumerate(script.moments, 1):
        _check_moment(moment, f"{name}, number {number} of [[moments]]")
    _check_roll_backs(script, name)
    return script


def _check_fault(fault: CallFault, where: str) -> None:
    if fault.does_nothing:
        raise XeniosError(
            f"{where} says which calls, but not what happens to them",
            remedy="add delay_seconds, error, empty, cut, cut_after_bytes, hang or lose_reply",
        )
    for name in ("skip", "times", "from_seconds", "until_seconds", "delay_seconds", "cut_after_bytes"):
        _check_number(name, getattr(fault, name), where)
    if not 0.0 <= fault.probability <= 1.0:
        raise XeniosError(f"{where}: probability is {fault.probability}", remedy="give a number from 0 to 1")
    _check_method(fault.method, where)


def _check_moment(moment: Moment, where: str) -> None:
    for name in ("at_seconds", "seconds"):
        _check_number(name, getattr(moment, name), where)
    if moment.do in NEED_A_HOST and not moment.host:
        raise XeniosError(
            f"{where}: {moment.do.value!r} needs a host", remedy='add host = "name, address or uuid"'
        )


def _check_number(name: str, value: float | None, where: str) -> None:
    most = SECONDS_MAX if name in _TIMES else COUNT_MAX
    if value is None or 0 <= value <= most:  # no comparison holds for nan
        return
    # Python does not write whole numbers of thousands of digits.
    long = isinstance(value, int) and abs(value) >= 10**20
    told = "has too many digits" if long else f"is {value}"
    meant = f"{most:,.0f}, which is a year" if name in _TIMES else f"{most:,}"
    raise XeniosError(
        f"{where}: {name} {told}", remedy=f"give a number that is not negative, at most {meant}"
    )


def _check_roll_backs(script: Script, name: str) -> None:
    saved = False
    # What happens at the same time happens in the order of the script.
    for number, moment in sorted(enumerate(script.moments, 1), key=lambda entry: entry[1].at_seconds):
        saved = saved or moment.do is Happening.SAVE
        if moment.do is Happening.ROLL_BACK and not saved:
            raise XeniosError(
                f"{name}, number {number} of [[moments]]: {moment.do.value!r} has no saved database to go back to",
                remedy=f'add a moment before it with do = "{Happening.SAVE.value}"',
            )


def _check_method(pattern: str, where: str) -> None:
    if len(pattern) > PATTERN_CHARACTERS_MAX:
        raise XeniosError(
            f"{where}: method has {len(pattern):,} characters",
            remedy=f"give a pattern of at most {PATTERN_CHARACTERS_MAX}, such as VM.start or VBD.*",
        )
    if pattern == "*" or any(fnmatchcase(name, pattern) for name in _names_of_calls()):
        return
    raise XeniosError(
        f"{where}: no call is named {pattern!r}",
        remedy=f"{_meant(pattern)}capital letters count, and * stands for any text; system.listMethods names all calls",
    )


def _meant(pattern: str) -> str:
    """A call that the pattern may have meant, as the beginning of a remedy; empty when none is near."""
    names = {name.lower(): name for name in _names_of_calls()}
    close = get_close_matches(pattern.lower(), names, n=1)
    return f"did you mean {names[close[0]]}? " if close else ""


@cache
def _names_of_calls() -> tuple[str, ...]:
    """All that a call may be made by: VM.start, Async.VM.start, VM_start."""
    names = (*method_names(), *_OF_THE_SYSTEM)
    return (
        *names,
        *(name.replace(".", "_", 1) for name in names),
        *(f"{ASYNC_PREFIX}{name}" for name in names),
    )


@dataclass(slots=True)
class Trouble:
    """What all faults together do to one call."""

    delay_seconds: float = 0.0
    error: tuple[str, ...] = ()
    empty: bool = False
    cut: bool = False
    cut_after_bytes: int | None = None
    hang: bool = False
    lose_reply: bool = False

    def add(self, fault: CallFault) -> None:
        """One more fault hits the same call."""
        self.delay_seconds += fault.delay_seconds
        self.error = self.error or fault.error
        self.empty = self.empty or fault.empty
        self.cut = self.cut or fault.cut
        self.hang = self.hang or fault.hang
        self.lose_reply = self.lose_reply or fault.lose_reply
        if self.cut_after_bytes is None:
            self.cut_after_bytes = fault.cut_after_bytes

    @property
    def takes_time(self) -> bool:
        """Whether the call is not answered at once."""
        return self.delay_seconds > 0 or self.hang or self.lose_reply


NO_TROUBLE = Trouble()


@dataclass(slots=True)
class _Ordered:
    fault: CallFault
    matched: int = 0
    hit: int = 0


@dataclass(slots=True)
class Faults:
    """The faults that are ordered now."""

    random: Random
    elapsed_seconds: Callable[[], float]
    """Seconds since the start of the pool."""
    _ordered: list[_Ordered] = field(default_factory=list)

    def add(self, fault: CallFault | None = None, /, **what: Any) -> Callable[[], None]:
        """Order a fault, given whole or as the fields of CallFault; returns what takes it back."""
        ordered = _Ordered(fault or CallFault(**what))
        self._ordered.append(ordered)

        def take_back() -> None:
            if ordered in self._ordered:
                self._ordered.remove(ordered)

        return take_back

    def clear(self) -> None:
        """Take all of them back."""
        self._ordered.clear()

    def hitting(self, method: str, host_names: tuple[str, ...]) -> Trouble:
        """What happens to a call, which counts as made. `host_names` are all that the host is called by."""
        if not self._ordered:
            return NO_TROUBLE
        trouble = Trouble()
        for ordered in self._ordered:
            fault = ordered.fault
            if fault.host and fault.host not in host_names:
                continue
            names = (method, method.removeprefix("Async."))
            if any(fnmatchcase(name, fault.method) for name in names) and self._hits(ordered):
                trouble.add(fault)
        return trouble

    def _hits(self, ordered: _Ordered) -> bool:
        fault = ordered.fault
        elapsed = self.elapsed_seconds()
        if elapsed < fault.from_seconds or (
            fault.until_seconds is not None and elapsed >= fault.until_seconds
        ):
            return False
        ordered.matched += 1
        if ordered.matched <= fault.skip or (fault.times is not None and ordered.hit >= fault.times):
            return False
        if fault.probability < 1.0 and self.random.random() >= fault.probability:
            return False
        ordered.hit += 1
        return True
