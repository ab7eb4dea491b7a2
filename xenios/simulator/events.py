"""event.from of a simulated pool: what changed since a token, told at once or as soon as something does.

The server looks, and when there is nothing to tell it waits to be woken; between two looks lie 50 ms, so that many
changes become one reply. What a reply holds, and what it leaves out, follows from `Tables.since`. A call that waits
costs nothing until something changes in a class that it asked for.

Effects: none
"""

import asyncio
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import Call, implements
from xenios.simulator.facts.datamodel import FieldType, Kind, load_datamodel
from xenios.simulator.messages import News
from xenios.simulator.tables import Delta

BATCH_SECONDS = 0.05
"""Before the first look and between looks; a call about tasks alone has its first look at once."""
TIMEOUT_SECONDS_MAX = 24 * 3600.0
"""What a negative timeout means, or one that is no number."""

_TOKEN = re.compile(r"(\d{20}),(\d{20})")
_TASKS_ONLY = frozenset({"task"})
BATCH = FieldType(Kind.RECORD, "event batch")
"""The type of an event.from reply, which is none of the data model's."""


@dataclass(slots=True)
class Subscription:
    """What a client wants to hear of: everything, classes, single objects. Class names are in lower case."""

    everything: bool = False
    classes: set[str] = field(default_factory=set)
    objects: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def parse(cls, patterns: Iterable[str]) -> "Subscription":
        """From `*`, `vm`, `VM`, `vm/OpaqueRef:…`. Raises EVENT_SUBSCRIPTION_PARSE_FAILURE [pattern]."""
        subscription = cls()
        for pattern in patterns:
            class_name, slash, ref = pattern.partition("/")
            if not class_name or (slash and not ref):
                raise ApiError("EVENT_SUBSCRIPTION_PARSE_FAILURE", pattern)
            if pattern == "*":
                subscription.everything = True
            elif slash:
                subscription.objects.setdefault(class_name.lower(), set()).add(ref)
            else:
                subscription.classes.add(class_name.lower())
        return subscription

    def tables(self) -> list[str]:
        """The tables with events that could have something to tell."""
        return [
            name
            for name, api_class in load_datamodel().classes.items()
            if api_class.events and name != "message" and self._concerns(name.lower())
        ]

    @property
    def messages(self) -> bool:
        """Whether messages are wanted."""
        return self._concerns("message")

    @property
    def tasks_only(self) -> bool:
        """Whether nothing but tasks is wanted."""
        return not self.everything and {*self.classes, *self.objects} == _TASKS_ONLY

    def wants(self, class_name: str, ref: str) -> bool:
        """Whether an object is wanted; its class is named as the tables name it."""
        lower = class_name.lower()
        return self.everything or lower in self.classes or ref in self.objects.get(lower, ())

    def _concerns(self, lower: str) -> bool:
        return self.everything or lower in self.classes or lower in self.objects


def parse_token(token: str) -> tuple[int, int]:
    """The generations of the tables and of the messages. Raises EVENT_FROM_TOKEN_PARSE_FAILURE [token]."""
    if token == "":
        return 0, 0
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise ApiError("EVENT_FROM_TOKEN_PARSE_FAILURE", token)
    return int(found[1]), int(found[2])


def token_of(generation: int, messages: int) -> str:
    """A token as clients get it."""
    return f"{generation:020d},{messages:020d}"


def seconds_to_wait(timeout: float) -> float:
    """What a timeout means: negative, endless or no number at all is a day."""
    if math.isnan(timeout) or not 0 <= timeout <= TIMEOUT_SECONDS_MAX:
        return TIMEOUT_SECONDS_MAX
    return timeout


class _Alarm:
    """Sleeping until something rings; ringing in between is not lost."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    def reset(self) -> None:
        self._rung.clear()

    async def wait(self) -> None:
        await self._rung.wait()


class _Waiting:
    """One event.from call from its first look to its reply."""

    def __init__(self, call: Call, subscription: Subscription, token: str) -> None:
        self._call = call
        self._subscription = subscription
        self._tables = subscription.tables()
        # The token's generations stay; how far was looked is apart, so that no look repeats another one's work.
        self._token, self._message_token = parse_token(token)
        self._looked = self._token

    async def reply(self, seconds: float) -> dict[str, Any]:
        """The reply, as soon as there is something to tell or the time is over."""
        pool, session = self._call.pool, self._call.session
        alarm = _Alarm()
        undo: list[Callable[[], None]] = [pool.tables.watch(alarm.ring, self._tables)]
        if self._subscription.messages:
            undo.append(pool.messages.watchers.add(alarm.ring))
        if session is not None:
            session.when_closed.append(alarm.ring)
        try:
            return await self._reply(seconds, alarm, undo)
        finally:
            for each in undo:
                each()
            if session is not None and alarm.ring in session.when_closed:
                session.when_closed.remove(alarm.ring)

    async def _reply(self, seconds: float, alarm: _Alarm, undo: list[Callable[[], None]]) -> dict[str, Any]:
        clock = self._call.pool.clock
        started = clock.now()
        if not self._subscription.tasks_only:
            await clock.sleep(BATCH_SECONDS)
        over = False

        def time_is_over() -> None:
            nonlocal over
            over = True
            alarm.ring()

        left = seconds - (clock.now() - started).total_seconds()
        if left > 0:
            undo.append(clock.call_later(left, time_is_over))
        else:
            over = True
        while True:
            self._check_session()
            alarm.reset()
            looked_at = clock.now()
            delta, news = self._look()
            if delta or news.added or news.deleted or over:
                return self._told(delta, news)
            await alarm.wait()
            self._check_session()
            await clock.sleep(BATCH_SECONDS - (clock.now() - looked_at).total_seconds())

    def _check_session(self) -> None:
        session = self._call.session
        if session is not None:
            self._call.pool.sessions.get(session.ref)

    def _look(self) -> tuple[Delta, News]:
        pool = self._call.pool
        delta = pool.tables.since(self._looked, self._subscription.wants, self._tables)
        self._looked = max(self._looked, pool.tables.generation)
        news = News([], [], 0)
        if self._subscription.messages:
            news = pool.messages.since(self._message_token)
            if not self._subscription.everything and "message" not in self._subscription.classes:
                wanted = self._subscription.objects["message"]
                news = News(
                    [ref for ref in news.added if ref in wanted],
                    [ref for ref in news.deleted if ref in wanted],
                    news.newest,
                )
        return delta, news

    def _told(self, delta: Delta, news: News) -> dict[str, Any]:
        pool = self._call.pool
        events = [_event("message", "add", ref, 0, pool.messages.rows[ref]) for ref in news.added]
        events += [_event("message", "del", ref, 0, None) for ref in news.deleted]
        rows = {name: (name.lower(), pool.tables.rows(name)) for name in self._tables}
        for operation, changes in (("add", delta.added), ("mod", delta.modified)):
            for change in changes:
                lower, records = rows[change.class_name]
                events.append(_event(lower, operation, change.ref, change.generation, records[change.ref]))
        events += [
            _event(change.class_name.lower(), "del", change.ref, change.generation, None)
            for change in delta.deleted
        ]
        newest = delta.newest if delta else self._token
        newest_message = max(self._message_token, news.newest) if self._subscription.messages else 0
        return {
            "events": events,
            "valid_ref_counts": pool.tables.counts(),
            "token": token_of(newest, newest_message),
        }


def _event(
    class_name: str, operation: str, ref: str, generation: int, snapshot: dict[str, Any] | None
) -> dict[str, Any]:
    event: dict[str, Any] = {
        "id": str(generation),
        "timestamp": "0.0",
        "class": class_name,
        "operation": operation,
        "ref": ref,
    }
    if snapshot is not None:
        event["snapshot"] = snapshot
    return event


@implements("event.from", reads=True, result=BATCH)
async def event_from(call: Call, classes: list[str], token: str, seconds: float) -> dict[str, Any]:
    """What changed since a token; waits for a change as long as the timeout says."""
    waiting = _Waiting(call, Subscription.parse(classes), token)
    return await waiting.reply(seconds_to_wait(seconds))


@implements("event.inject", reads=False)
def event_inject(call: Call, class_name: str, ref: str) -> str:
    """Make an event for an object as it is; returns a token from just before it."""
    before = call.pool.tables.generation
    call.pool.tables.touch(class_name, ref)
    return token_of(before, 0)


@implements("event.get_current_id")
def event_get_current_id(call: Call) -> int:
    """The generation of the last change."""
    return call.pool.tables.generation
