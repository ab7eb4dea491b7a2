"""Sees a XenServer pool through a copy of its database: an observer of what was true when the file was written.

Effects: reads a file
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from xenios.drivers.base import Depth, Progress, no_progress
from xenios.drivers.bulk import collecting_seldom
from xenios.drivers.xenserver.database import Database, read_database
from xenios.drivers.xenserver.translate import collection_from
from xenios.errors import TargetSilent, XeniosError
from xenios.model.collection import Collection
from xenios.model.inventory import Answer, Capability, CapabilityAnswer
from xenios.model.update import Update

_OFFLINE = "a database file tells what was, not what is"


class DatabaseObserver:
    """Reads one pool's database file; see drivers/base.py for the contract."""

    def __init__(self, path: Path, timeout_seconds: float) -> None:
        self._path = path
        self._timeout_seconds = timeout_seconds
        self._answers: tuple[CapabilityAnswer, ...] = ()

    @property
    def target(self) -> str:
        """The file's path."""
        return str(self._path)

    @property
    def capabilities(self) -> tuple[CapabilityAnswer, ...]:
        """What this file tells; see drivers/base.py."""
        return self._answers

    async def close(self) -> None:
        """Nothing stays open."""

    async def observe(self, depth: Depth, progress: Progress = no_progress) -> Collection:
        """The pool as the file has it; both depths read the same. Raises TargetUnreadable."""
        progress("database file")
        try:
            with collecting_seldom():
                async with asyncio.timeout(self._timeout_seconds):
                    database = await read_database(self._path)
                return self._collection(database)
        except TimeoutError as error:
            raise TargetSilent(
                f"reading {self._path} took longer than {self._timeout_seconds:g} s",
                remedy="give it longer with --timeout, or copy the file to a faster disk",
            ) from error

    def watch(self) -> AsyncGenerator[Update, None]:
        """Raises XeniosError: nothing happens in a file."""
        raise XeniosError(
            "a database file cannot be watched: it tells what was, not what happens",
            remedy="give --watch the pool itself (xenserver://user@host), or leave --watch out",
        )

    def _collection(self, database: Database) -> Collection:
        self._answers = tuple(_answers(database))
        schema = "{}.{}".format(*database.schema) if database.schema else "unknown"
        return collection_from(
            database.records,
            seen_at=database.modified_at,
            source=f"database file, schema {schema}, as of its last change",
            native_version=f"database schema {schema}",
            failures=database.failures,
            damaged=database.damaged,
            unread=database.unread,
        )


def _answers(database: Database) -> list[CapabilityAnswer]:
    def rows_of(name: str) -> Answer:
        if getattr(database.records, name):
            return Answer.YES
        return Answer.UNKNOWN if name in database.unread else Answer.NO

    told = [
        (Capability.STORAGE, rows_of("SR"), "rows of SR"),
        (Capability.NETWORKS, rows_of("network"), "rows of network"),
        (Capability.GUEST_ADDRESSES, rows_of("VM_guest_metrics"), "rows of VM_guest_metrics"),
        (Capability.GUEST_UPTIME, rows_of("VM_metrics"), "rows of VM_metrics"),
        (Capability.FREE_MEMORY, Answer.NO, "computed from the recorded values; " + _OFFLINE),
        (Capability.EVENTS, Answer.NO, _OFFLINE),
    ]
    return [
        CapabilityAnswer(capability=capability, answer=answer, how=how) for capability, answer, how in told
    ]
