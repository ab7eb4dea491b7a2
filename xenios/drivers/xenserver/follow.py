"""Follows a pool by its events, and reads it whole again whenever events alone might not tell the truth.

event.from tells states, not a log: what happened and was undone between two answers is not told, and deletions that
are long past are forgotten without a word. So after each answer the numbers of rows are compared with XAPI's own, and
when they disagree the pool is read whole. So it is in every new session: a XAPI that restarted forgot all deletions,
and one whose database was set back (no session outlives that) would let a token of ours wait for its own past.

While the pool does not answer, nothing that was known is taken back; it is said since when nothing is known. A pool
with another uuid at the same address is another pool: that is told, and nothing of it is mixed in.

Source: ocaml/xapi/xapi_event.ml; measurements in docs/benchmarks.md.

Effects: reads hypervisors
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec.structs import replace

from xenios.drivers.base import Depth
from xenios.drivers.bulk import collecting_seldom
from xenios.drivers.xenserver.decoding import events_from
from xenios.drivers.xenserver.mirror import WATCHED
from xenios.drivers.xenserver.pool_errors import ApiError, LoginRefused, SessionRenewed
from xenios.drivers.xenserver.pool_view import PoolView
from xenios.drivers.xenserver.reading import (
    TIMES_ON_HOST,
    EventBatch,
    PoolClient,
    Reading,
    collection_of,
    generation_of,
)
from xenios.drivers.xenserver.records import PoolRecord, Ref
from xenios.drivers.xenserver.session import backoff_seconds
from xenios.errors import XeniosError
from xenios.model.collection import Collection, ReadFailure
from xenios.model.update import Update, UpdateSource

EVENT_SECONDS_MIN, EVENT_SECONDS_MAX = 45.0, 60.0
"""How long one event.from waits: stunnel and NAT cut what is idle longer, and a negative timeout would be a day."""
VIEW_SECONDS_MIN, VIEW_SECONDS_MAX = 240.0, 360.0
"""How often the pool is read whole although nothing suggests it."""
VIEWS_PER_LOOK_AT_CLOCKS = 12
UNREAD_SECONDS = 30.0
"""How soon it is read again when something could not be read."""
REFUSED_SECONDS = 600.0
"""How long a login that was refused is not repeated: more attempts could lock the account."""
_POINTLESS_MAX = 5
_WENT_BACK = "the pool's database went back to an older state"
_SHARE_LOST_MAX = 0.5
_VMS_LOST_MIN = 5
_CLASSES = [name.lower() for name in WATCHED]


class Time(Protocol):
    """What following needs to know of time and chance (live.py)."""

    @property
    def now(self) -> Callable[[], int]:
        """Microseconds since 1970 (UTC)."""

    @property
    def monotonic(self) -> Callable[[], float]:
        """Seconds since whenever."""

    @property
    def sleep(self) -> Callable[[float], Awaitable[object]]:
        """Waits so many seconds."""

    @property
    def chance(self) -> Callable[[], float]:
        """From 0 to 1."""


class Follower:
    """One watch of one pool. `step` waits for the next thing to tell."""

    def __init__(self, client: PoolClient, read: Callable[[Depth], Awaitable[Reading]], time: Time) -> None:
        self._client = client
        self._read = read
        self._time = time
        self._pool: PoolView | None = None
        self._to_be_kept: tuple[Reading, Collection] | None = None
        """A reading that was told and is not packed away yet."""
        self._pool_uuid = ""
        self._vms_known = 0
        self._token = ""
        self._epoch = 0
        self._next_view_at = 0.0
        self._read_because = "first view"
        """Why the pool is to be read whole now; empty: it is not."""
        self._heard_at = 0
        """When the pool last answered."""
        self._silent = False
        self._pointless = 0
        """How often in a row events were answered early, and with none."""
        self._attempts = 0
        """How often in a row it failed."""
        self._without_events = 0
        """How often in a row a view was good and the events after it were not. Views alone must not hide that, or a
        pool that answers everything but event.from would be read whole several times a second, for ever."""
        self._refused = False
        self._views = 0
        self._wrong_clocks: tuple[set[Ref], list[ReadFailure]] = (set(), [])

    async def step(self) -> Sequence[Update]:
        """Waits for one answer, and tells what it says. Raises XeniosError only while there was no view yet."""
        told: list[Update] = []
        try:
            if self._attempts or (self._read_because and self._without_events > 1):
                await self._time.sleep(self._pause_seconds)
            if self._read_because:
                told.append(await self._view(self._read_because))
            elif self._time.monotonic() >= self._next_view_at:
                told.append(await self._view("a regular look", routine=True))
            else:
                await self._events(told)
        except SessionRenewed:
            self._without_events += 1
            self._read_because = "logged in again"
        except XeniosError as error:
            if not self._views:
                raise
            told.append(self._failed(error))
        return told

    # --- whole views -----------------------------------------------------------------------------------------

    async def _view(self, because: str, *, routine: bool = False) -> Update:
        reading = await self._read_with_clocks()
        with collecting_seldom():
            collection = collection_of(reading)
        if self._is_another(collection.pool.uuid):
            return self._failed(_another_pool(self._pool_uuid, collection))
        if self._silent or self._attempts:
            routine = False
        self._answered()
        self._read_because = ""
        self._token, self._epoch = reading.token, reading.epoch
        self._pool_uuid = self._pool_uuid or collection.pool.uuid
        self._plan_next_view(soon=bool(reading.unread))
        collection = self._with_doubts(collection)
        self._vms_known = max(len(collection.vms), self._vms_known if not collection.all_vms_seen else 0)
        self._to_be_kept = (reading, collection)
        self._views += 1
        return Update(
            seen_at=collection.seen_at,
            source=UpdateSource.VIEW,
            because=because,
            routine=routine,
            view=collection,
        )

    async def _read_with_clocks(self) -> Reading:
        """Asks every host itself only in the first view and then about once an hour; what it said holds meanwhile."""
        if self._views % VIEWS_PER_LOOK_AT_CLOCKS == 0:
            reading = await self._read(Depth.REPORT)
            clocks = [failure for failure in reading.failures if failure.what.startswith(TIMES_ON_HOST)]
            self._wrong_clocks = (reading.hosts_with_wrong_clock, clocks)
        else:
            reading = await self._read(Depth.FULL)
            reading.hosts_with_wrong_clock, clocks = self._wrong_clocks
            reading.failures += clocks
        return reading

    def _plan_next_view(self, *, soon: bool) -> None:
        least, most = VIEW_SECONDS_MIN, VIEW_SECONDS_MAX
        seconds = UNREAD_SECONDS if soon else least + (most - least) * self._time.chance()
        self._next_view_at = self._time.monotonic() + seconds

    def _is_another(self, uuid: str) -> bool:
        return bool(self._pool_uuid and uuid and uuid != self._pool_uuid)

    def _with_doubts(self, collection: Collection) -> Collection:
        """A view in which most VMs are lacking is told, and so is that nobody should believe it at once."""
        now, before = len(collection.vms), self._vms_known
        lost = before - now
        if not collection.all_vms_seen or lost < max(_VMS_LOST_MIN, before * _SHARE_LOST_MAX):
            return collection
        doubt = ReadFailure(
            what="VMs",
            because=f"only {now} of {before} VMs known before are listed, by XAPI's own count too",
            remedy="check with xe vm-list whether they were deleted, or the pool's database was restored",
        )
        return replace(collection, failures=(*collection.failures, doubt))

    # --- events ----------------------------------------------------------------------------------------------

    def _kept(self) -> PoolView:
        """The pool as it was last read, packed. Done here, so that whoever was told of the view need not wait."""
        if self._to_be_kept is not None:
            reading, collection = self._to_be_kept
            self._to_be_kept = None
            self._pool = PoolView(reading, collection)
        if self._pool is None:
            raise RuntimeError("events are followed only after a view")
        return self._pool

    async def _events(self, told: list[Update]) -> None:
        pool = self._kept()
        left = self._next_view_at - self._time.monotonic()
        if not self._token:  # without one there are no events: the next view must do
            await self._time.sleep(max(0.0, left))
            return
        longest = EVENT_SECONDS_MIN + (EVENT_SECONDS_MAX - EVENT_SECONDS_MIN) * self._time.chance()
        longest = max(1.0, min(longest, left))
        asked_at = self._time.monotonic()
        batch = await self._ask(longest)
        self._apply(pool, batch, told)
        await self._pause_if_pointless(batch, self._time.monotonic() - asked_at < longest / 2)
        if not self._read_because and pool.miscounted(batch.valid_ref_counts):
            # Something may have happened between the events and the counting; if so, the rest comes at once.
            batch = await self._ask(0.0)
            self._apply(pool, batch, told)
            self._compare_counts(pool, batch)

    async def _pause_if_pointless(self, batch: EventBatch, early: bool) -> None:
        """XAPI may answer early and with nothing; something that always does would be asked without a pause."""
        self._pointless = self._pointless + 1 if early and not batch.events else 0
        if self._pointless > _POINTLESS_MAX:
            await self._time.sleep(backoff_seconds(self._pointless - _POINTLESS_MAX, self._time.chance))

    async def _ask(self, seconds: float) -> EventBatch:
        batch = await self._client.call(
            "event.from",
            _CLASSES,
            self._token,
            seconds,
            result=EventBatch,
            epoch=self._epoch,
            timeout_seconds=seconds + self._client.timeout_seconds,
        )
        self._heard_at = self._time.now()
        return batch

    def _apply(self, pool: PoolView, batch: EventBatch, told: list[Update]) -> None:
        self._attempts = 0
        if generation_of(batch.token) < generation_of(self._token):
            self._without_events += 1
            self._read_because = _WENT_BACK
            return
        self._without_events = 0
        self._token = batch.token
        events, wrong = events_from(batch.events)
        if any(
            self._is_another(event.record.uuid) for event in events if isinstance(event.record, PoolRecord)
        ):
            self._read_because = "the pool's record was replaced"
            return
        update = pool.apply(events, wrong, self._heard_at)
        self._vms_known = pool.vms
        if update is not None:
            told.append(update)

    def _compare_counts(self, pool: PoolView, batch: EventBatch) -> None:
        differing = pool.miscounted(batch.valid_ref_counts)
        if differing and not self._read_because:
            self._read_because = "counts disagree: " + ", ".join(
                f"{there} {name} known, {counted} counted by XAPI"
                for name, (there, counted) in differing.items()
            )

    # --- silence ---------------------------------------------------------------------------------------------

    def _answered(self) -> None:
        self._heard_at = self._time.now()
        self._silent = False
        self._attempts = 0

    @property
    def _pause_seconds(self) -> float:
        if self._refused:
            return REFUSED_SECONDS
        return backoff_seconds(max(self._attempts, self._without_events), self._time.chance)

    def _failed(self, error: XeniosError) -> Update:
        """Nothing is known from now on, and everything that was known stays."""
        self._attempts += 1
        self._without_events += not self._read_because
        self._silent = True
        self._refused = isinstance(error, LoginRefused)
        answered = isinstance(error, ApiError)
        self._read_because = self._read_because or ("events were refused" if answered else "it was silent")
        failure = ReadFailure(what="the pool", because=str(error), remedy=error.remedy)
        return Update(
            seen_at=self._time.now(),
            source=UpdateSource.CONNECTION,
            because=str(error),
            failures=(failure,),
            silent_since=self._heard_at,
        )


def _another_pool(known: str, collection: Collection) -> XeniosError:
    return XeniosError(
        f"another pool answers at this address: {collection.pool.name or 'without a name'} ({collection.pool.uuid}), "
        f"not the one that is watched ({known})",
        remedy="watch the new pool as a target of its own; nothing of it was mixed with what was known",
    )
