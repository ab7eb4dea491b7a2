"""What was done to a simulated pool: one entry for each call that is no plain read.

It is how tests and rehearsals know that looking wrote nothing, and who wrote what else. Logging in and out is kept as
well, but is no write. Passwords never get in.

Effects: none
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from xenios.simulator.facts.datamodel import Parameter
from xenios.simulator.population.book import stamp

REDACTED = "(not kept)"
PENDING = "pending"
SUCCESS = "success"
_SECRET_PARAMETERS = ("pwd", "password", "passwd", "secret", "private")
_NO_WRITES = ("session.",)


@dataclass(slots=True)
class Entry:
    """One call."""

    at: datetime
    host: str
    """The uuid of the host that received it."""
    user: str
    originator: str
    client: str
    """The address that the call came from; empty within a process."""
    method: str
    """As it was called, `Async.` included."""
    params: list[Any]
    """Without the session; without passwords."""
    outcome: str = PENDING
    """`pending`, `success`, or the code of an error."""

    @property
    def is_write(self) -> bool:
        """Whether it may have changed anything but the caller's own session."""
        name = self.method.removeprefix("Async.")
        return not name.startswith(_NO_WRITES) or "other_config" in name

    def as_json(self) -> str:
        """One line for a file."""
        line = {
            "at": stamp(self.at),
            "host": self.host,
            "user": self.user,
            "originator": self.originator,
            "client": self.client,
            "method": self.method,
            "params": self.params,
            "outcome": self.outcome,
        }
        return json.dumps(line, ensure_ascii=False)


@dataclass(slots=True)
class Journal:
    """All entries in the order in which the calls came in."""

    entries: list[Entry] = field(default_factory=list)
    sink: Callable[[Entry], None] | None = None
    """Given each entry once its outcome is known."""

    def add(self, entry: Entry) -> Entry:
        """Keep an entry; its outcome comes with `finish`."""
        self.entries.append(entry)
        return entry

    def finish(self, entry: Entry, outcome: str) -> None:
        """Note how a call ended."""
        entry.outcome = outcome
        if self.sink is not None:
            self.sink(entry)

    def writes(self) -> list[Entry]:
        """What may have changed the pool: without logins, logouts and waiting for events. Refused calls count."""
        return [entry for entry in self.entries if entry.is_write]

    def clear(self) -> None:
        """Forget everything so far."""
        self.entries.clear()


def redacted(params: Sequence[Any], declared: Sequence[Parameter]) -> list[Any]:
    """The parameters of a call without what must not be kept."""
    names = [param.name for param in declared] + [""] * len(params)
    return [
        REDACTED if _is_secret(name) else _without_secrets(value)
        for name, value in zip(names, params, strict=False)
    ]


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET_PARAMETERS)


def _without_secrets(value: Any) -> Any:
    match value:
        case Mapping():
            return {
                key: REDACTED if _is_secret(str(key)) else _without_secrets(item)
                for key, item in value.items()
            }
        case list() | tuple():
            return [_without_secrets(item) for item in value]
        case _:
            return value
