"""Reads a whole pool over the wire: in one answer that holds everything, or else class by class.

The one answer (snapshot.py) comes whole or not at all. When it does not come, or lacks rows by XAPI's own count, each
class is read by itself: the token for events is taken first, so that no change falls between the reads, and what
changed meanwhile is asked for at the end. A class that fails then is told as a failure and as unread, and the rest
stands. A record with values that XAPI does not write is kept as far as it can be read, and counts as damaged. XAPI's
count of rows tells whether an answer was whole: "no VMs" is believed only when XAPI's count says so too.

Effects: reads hypervisors
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from xenios.drivers.base import Depth, Progress
from xenios.drivers.xenserver.decoding import Decoded, Event, events_from, table_from
from xenios.drivers.xenserver.mirror import WATCHED, RecordEvent
from xenios.drivers.xenserver.pool_errors import AnswerUnreadable, LoginRefused, SessionRenewed
from xenios.drivers.xenserver.records import CLASSES, Record, Records, Ref
from xenios.drivers.xenserver.snapshot import BEGINNING, Snapshot
from xenios.drivers.xenserver.translate import collection_from, micros_of
from xenios.errors import XeniosError
from xenios.model.collection import Collection, ReadFailure
from xenios.model.inventory import Answer, Capability, CapabilityAnswer

T = TypeVar("T")

CLOCK_APART_SECONDS_MAX = 300
"""A host's clock that is further from ours is told, and what it dates is not."""
TIMES_ON_HOST = "times on host"
_TOKEN_CLASSES = ("pool",)
"""There is exactly one pool, so asking for it from the beginning gives one event, at once, and with it a token. That
token may be as old as the last change of the pool's record; what changed since comes once more, which does no harm."""
_GENERATION_DIGITS_MAX = 19
"""XAPI counts in 64 bits."""
_ROUNDS_MAX = 3
_SHARE_FOR_ALL = 0.5
"""What part of the time one answer with everything may take; class by class might still come through after it."""
_SHARE_FOR_RECORDS = 0.8
"""What part of the time the classes may take; the rest is for what changed meanwhile."""
_MEASURED = "host.compute_free_memory"
_TRY_AGAIN = "try again; if it stays so, see /var/log/xensource.log on the pool's master"


class PoolClient(Protocol):
    """What reading a pool needs of a client (client.py)."""

    @property
    def epoch(self) -> int:
        """How many sessions there were."""

    @property
    def encoding(self) -> str:
        """What is spoken, in words."""

    @property
    def timeout_seconds(self) -> float:
        """How long a question may take."""

    async def login(self, progress: Progress = ...) -> None:
        """Makes sure that there is a session; `progress` is told where it is got."""

    async def call(
        self,
        method: str,
        *params: Any,
        result: type[T],
        timeout_seconds: float | None = None,
        epoch: int | None = None,
    ) -> T:
        """Calls a method; raises XeniosError."""

    def remember_members(self, addresses: Iterable[str]) -> None:
        """The pool's hosts."""

    async def logout(self) -> None:
        """Ends the session."""


class EventBatch(msgspec.Struct):
    """What event.from answers."""

    events: list[Event]
    token: str
    valid_ref_counts: dict[str, int] = {}


class Reading(msgspec.Struct, kw_only=True):
    """Everything that was read of a pool, and what was not."""

    began_at: int
    """Microseconds since 1970, by our clock."""
    records: Records
    epoch: int = 0
    """The session in which it was read."""
    token: str = ""
    """Events after this one are not in the records."""
    counts: dict[str, int] = {}
    """XAPI's own count of rows, by lower-case class, at the time of the token."""
    failures: list[ReadFailure] = []
    unread: set[str] = set()
    """Classes of which some or all rows are lacking."""
    damaged: set[Ref] = set()
    free_memory: dict[Ref, int] = {}
    """Free memory as hosts tell it, in bytes."""
    hosts_with_wrong_clock: set[Ref] = set()
    capabilities: tuple[CapabilityAnswer, ...] = ()
    source: str = ""
    """What was read, in words for a person."""


async def take_token(client: PoolClient, *, epoch: int | None, timeout_seconds: float) -> EventBatch:
    """A token, at once: everything that changes from now on comes after it. Raises XeniosError."""
    return await client.call(
        "event.from",
        list(_TOKEN_CLASSES),
        "",
        0.0,
        result=EventBatch,
        epoch=epoch,
        timeout_seconds=timeout_seconds,
    )


def generation_of(token: str) -> int:
    """The database's generation that a token stands for; −1 for a token of another form."""
    first = token.partition(",")[0]
    return int(first) if first.isdecimal() and len(first) <= _GENERATION_DIGITS_MAX else -1


async def read_pool(
    client: PoolClient,
    depth: Depth,
    began_at: int,
    ends_at: float,
    progress: Progress,
    connection: str = "",
) -> Reading:
    """Reads a pool in one session, until `ends_at` by the event loop's time.

    Raises SessionRenewed when the session ended meanwhile, caused by the first error if there was one before; and
    XeniosError when nothing at all could be read.
    """
    reader = _Reader(client, progress, Reading(began_at=began_at, records=Records()), ends_at)
    try:
        reading = await reader.read(depth)
    except SessionRenewed as renewed:
        raise renewed from reader.first_error
    reading.source = f"XAPI by {client.encoding}{', ' if connection else ''}{connection}, read only"
    return reading


class _Reader:
    """One reading on its way."""

    def __init__(self, client: PoolClient, progress: Progress, reading: Reading, ends_at: float) -> None:
        self._client = client
        self._progress = progress
        self.reading = reading
        self._ends_at = ends_at
        self.first_error: XeniosError | None = None

    async def read(self, depth: Depth) -> Reading:
        reading, client = self.reading, self._client
        await client.login(self._progress)
        reading.epoch = client.epoch
        self._progress("records")
        if not await self._read_at_once():
            await self._read_class_by_class()
        if any(not host.cpu_info for host in reading.records.host.values()):
            await self._read_classes(["host_cpu"])
        self._doubt_what_is_impossible()
        client.remember_members(host.address for host in reading.records.host.values())
        if depth is Depth.REPORT:
            self._progress("hosts")
            await self._ask_hosts()
        self._answer_capabilities(depth)
        return reading

    # --- one question ----------------------------------------------------------------------------------------

    async def _ask(self, method: str, *params: Any, result: type[T], share: float = 1.0) -> T:
        left = self._ends_at - asyncio.get_running_loop().time()
        left -= self._client.timeout_seconds * (1.0 - share)
        return await self._client.call(
            method, *params, result=result, epoch=self.reading.epoch, timeout_seconds=max(0.0, left)
        )

    def _failed(self, what: str, error: XeniosError, *, subject_uuid: str | None = None) -> None:
        """Notes a failure; what ends the whole reading is raised."""
        if isinstance(error, SessionRenewed | LoginRefused):
            raise error
        self.first_error = self.first_error or error
        self.reading.failures.append(
            ReadFailure(what=what, because=str(error), remedy=error.remedy, subject_uuid=subject_uuid)
        )

    # --- everything at once ----------------------------------------------------------------------------------

    async def _read_at_once(self) -> bool:
        """Whether one answer held the whole pool."""
        try:
            try:
                snapshot = await self._ask_from_beginning(Snapshot)
                records = snapshot.records()
                wrong: dict[str, Decoded] = {}
            except AnswerUnreadable:
                # Perhaps only some of its records are damaged: once more, and each by itself.
                batch = await self._ask_from_beginning(EventBatch)
                snapshot, records = Snapshot([], batch.token, batch.valid_ref_counts), Records()
                events, wrong = events_from(batch.events)
                apply_to_records(records, events)
        except XeniosError as error:
            if isinstance(error, SessionRenewed | LoginRefused):
                raise
            return False  # why, the classes will say, if it is for them as well
        reading = self.reading
        there = {name: len(getattr(records, name)) for name in WATCHED if name not in wrong}
        if miscounted(there, snapshot.valid_ref_counts) or not (records.pool and records.host and records.VM):
            return False
        reading.records, reading.token, reading.counts = records, snapshot.token, snapshot.valid_ref_counts
        for name, part in wrong.items():
            self._note_damage(name, part)
        return True

    async def _ask_from_beginning(self, result: type[T]) -> T:
        classes = [name.lower() for name in WATCHED]
        return await self._ask("event.from", classes, BEGINNING, 0.0, result=result, share=_SHARE_FOR_ALL)

    # --- class by class --------------------------------------------------------------------------------------

    async def _read_class_by_class(self) -> None:
        await self._start_events()
        await self._read_classes(WATCHED)
        if len(self.reading.unread) == len(WATCHED) and self.first_error is not None:
            raise self.first_error
        await self._catch_up()

    async def _read_classes(self, names: Iterable[str]) -> None:
        await _all_of(self._read_class(name) for name in names)

    async def _read_class(self, name: str) -> None:
        method, kind = f"{name}.get_all_records", CLASSES[name]
        try:
            try:
                table = await self._ask(method, result=dict[Ref, kind], share=_SHARE_FOR_RECORDS)  # type: ignore[valid-type]
                decoded = Decoded(table=table)
            except AnswerUnreadable:
                # Perhaps only some of its records are damaged: once more, and each by itself.
                raw = await self._ask(method, result=dict[Ref, msgspec.Raw], share=_SHARE_FOR_RECORDS)
                decoded = table_from(name, raw)
        except XeniosError as error:
            self._failed(f"{name} records", error)
            self.reading.unread.add(name)
            return
        setattr(self.reading.records, name, decoded.table)
        self._note_damage(name, decoded)

    def _note_damage(self, name: str, decoded: Decoded) -> None:
        self.reading.damaged |= decoded.damaged
        self.reading.failures += decoded.failures
        if decoded.unreadable:
            self.reading.unread.add(name)

    # --- events ----------------------------------------------------------------------------------------------

    async def _start_events(self) -> None:
        try:
            self.reading.token = (await self._ask_token()).token
        except XeniosError as error:
            if isinstance(error, SessionRenewed | LoginRefused):
                raise
            self.first_error = error

    async def _ask_token(self) -> EventBatch:
        left = self._ends_at - asyncio.get_running_loop().time()
        return await take_token(self._client, epoch=self.reading.epoch, timeout_seconds=left / 2)

    async def _catch_up(self) -> None:
        """Applies what happened during the reads, and compares the numbers of rows with XAPI's own."""
        reading = self.reading
        if not reading.token:
            if self.first_error is not None:
                self._failed("changes during the reading", self.first_error)
            return
        try:
            for attempt in range(_ROUNDS_MAX):
                batch = await self._ask(
                    "event.from", [name.lower() for name in WATCHED], reading.token, 0.0, result=EventBatch
                )
                reading.token, reading.counts = batch.token, batch.valid_ref_counts
                self._apply(batch)
                differing = self._miscounted()
                if not differing:
                    return
                if attempt == 1:
                    await self._read_classes(differing)
            for name, (there, counted) in self._miscounted().items():
                reading.unread.add(name)
                because = f"{there} came, and XAPI counts {counted}"
                reading.failures.append(
                    ReadFailure(what=f"{name} records", because=because, remedy=_TRY_AGAIN)
                )
        except XeniosError as error:
            self._failed("changes during the reading", error)

    def _apply(self, batch: EventBatch) -> None:
        events, decoded = events_from(batch.events)
        apply_to_records(self.reading.records, events)
        self.reading.damaged -= {event.ref for event in events}
        for name, part in decoded.items():
            self._note_damage(name, part)

    def _miscounted(self) -> dict[str, tuple[int, int]]:
        records = self.reading.records
        there = {name: len(getattr(records, name)) for name in WATCHED if name not in self.reading.unread}
        return miscounted(there, self.reading.counts)

    def _doubt_what_is_impossible(self) -> None:
        """Every host has a control domain among the VMs, and every pool has a record: an empty answer is no answer."""
        records, unread = self.reading.records, self.reading.unread
        for name in ("pool", "host", "VM"):
            if name not in unread and not getattr(records, name):
                unread.add(name)
                because = f"no {name} came, and there is no pool without one"
                self.reading.failures.append(
                    ReadFailure(what=f"{name} records", because=because, remedy=_TRY_AGAIN)
                )
        for name in ("VBD", "VIF"):
            if any(not device.VM for device in getattr(records, name).values()):
                unread.add(name)
                because = "some do not tell whose they are"
                self.reading.failures.append(
                    ReadFailure(what=f"{name} records", because=because, remedy=_TRY_AGAIN)
                )

    # --- hosts -----------------------------------------------------------------------------------------------

    async def _ask_hosts(self) -> None:
        await _all_of(self._ask_host(ref) for ref in self.reading.records.host)

    async def _ask_host(self, ref: Ref) -> None:
        reading = self.reading
        host = reading.records.host[ref]
        name = host.name_label or host.hostname
        try:
            reading.free_memory[ref] = await self._ask(_MEASURED, ref, result=int)
        except XeniosError as error:
            self._failed(f"free memory of host {name}", error, subject_uuid=host.uuid)
        metrics = reading.records.host_metrics.get(host.metrics)
        if metrics is not None and metrics.live:
            await self._compare_clock(ref, name, host.uuid)

    async def _compare_clock(self, ref: Ref, name: str, uuid: str) -> None:
        """Asked of a host itself. When it does not tell, nothing is said about its clock."""
        began = asyncio.get_running_loop().time()
        try:
            told = micros_of(await self._ask("host.get_servertime", ref, result=str))
        except XeniosError as error:
            if isinstance(error, SessionRenewed | LoginRefused):
                raise
            return
        ours = self.reading.began_at // 1_000_000
        took = asyncio.get_running_loop().time() - began
        if told is None or abs(ahead := told // 1_000_000 - ours) <= CLOCK_APART_SECONDS_MAX + took:
            return
        self.reading.hosts_with_wrong_clock.add(ref)
        hours, minutes = divmod(abs(ahead) // 60, 60)
        apart = f"{hours} h {minutes} min " + ("ahead of" if ahead > 0 else "behind")
        self.reading.failures.append(
            ReadFailure(
                what=f"{TIMES_ON_HOST} {name}",
                because=f"its clock is {apart} ours, so since when its VMs run is not told",
                remedy="set the clock of the host (or of this machine) by NTP",
                subject_uuid=uuid,
            )
        )

    def _answer_capabilities(self, depth: Depth) -> None:
        reading = self.reading

        def rows_of(name: str) -> Answer:
            if getattr(reading.records, name):
                return Answer.YES
            return Answer.UNKNOWN if name in reading.unread else Answer.NO

        measured = Answer.YES if reading.free_memory else Answer.UNKNOWN
        told = [
            (Capability.EVENTS, Answer.YES if reading.token else Answer.UNKNOWN, "event.from"),
            (Capability.FREE_MEMORY, measured, _MEASURED if depth is Depth.REPORT else "not asked yet"),
            (Capability.STORAGE, rows_of("SR"), "SR.get_all_records"),
            (Capability.NETWORKS, rows_of("network"), "network.get_all_records"),
            (Capability.GUEST_ADDRESSES, rows_of("VM_guest_metrics"), "VM_guest_metrics.get_all_records"),
            (Capability.GUEST_UPTIME, rows_of("VM_metrics"), "VM_metrics.get_all_records"),
        ]
        reading.capabilities = tuple(
            CapabilityAnswer(capability=capability, answer=answer, how=how)
            for capability, answer, how in told
        )


async def _all_of(questions: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Asks everything at once; the first that raises ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            for question in questions:
                group.create_task(question)
    except BaseExceptionGroup as raised:
        raise raised.exceptions[0] from None


# --- pure -------------------------------------------------------------------------------------------------------------


def apply_to_records(records: Records, events: Iterable[RecordEvent]) -> None:
    """Brings records up to date."""
    for event in events:
        table: dict[Ref, Record] = getattr(records, event.class_name)
        if event.record is None:
            table.pop(event.ref, None)
        else:
            table[event.ref] = event.record


def miscounted(there: Mapping[str, int], counted: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Classes of which we have another number of rows than XAPI: ours and XAPI's. What it does not count is not."""
    return {
        name: (rows, counted[name.lower()])
        for name, rows in there.items()
        if counted.get(name.lower(), rows) != rows
    }


def collection_of(reading: Reading) -> Collection:
    """The pool as it was read."""
    records = without_wrong_times(reading.records, reading.hosts_with_wrong_clock)
    collection = collection_from(
        records,
        seen_at=reading.began_at,
        source=reading.source,
        native_version=native_version_of(records),
        failures=reading.failures,
        damaged=reading.damaged,
        unread=reading.unread,
    )
    if not reading.free_memory:
        return collection
    hosts = (
        replace(host, memory_bytes_free=reading.free_memory[ref], memory_free_source=_MEASURED)
        if ref in reading.free_memory
        else host
        for ref, host in zip(records.host, collection.hosts, strict=True)
    )
    return replace(collection, hosts=tuple(hosts))


def native_version_of(records: Records) -> str:
    """The version of XAPI that the master runs."""
    pool = next(iter(records.pool.values()), None)
    master = records.host.get(pool.master) if pool is not None else None
    version = master.software_version.get("xapi", "") if master is not None else ""
    return f"XAPI {version}".strip()


def without_wrong_times(records: Records, hosts: set[Ref] | frozenset[Ref]) -> Records:
    """Records without the times that hosts with a wrong clock wrote: no uptime is computed from them."""
    if not hosts:
        return records
    dated = {vm.metrics for vm in records.VM.values() if vm.resident_on in hosts}
    metrics = {
        ref: replace(record, start_time="") if ref in dated else record
        for ref, record in records.VM_metrics.items()
    }
    return replace(records, VM_metrics=metrics)
