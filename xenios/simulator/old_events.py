"""The old event interface: register, next, unregister. Official clients' scripts and desktop consoles still use it.

Unlike event.from it is a log. From its registration on, a session has a queue with every change of the classes it
named, one event for each and the object as it was then; `event.next` takes all of them, and waits while there are
none. A client that takes nothing while more than 10 MB arrive is told EVENTS_LOST, and goes on from there. Every 30
seconds the server tells of the pool, whether it changed or not, so that a blocked client sees that it is still there.

Effects: none
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import Call, implements
from xenios.simulator.events import Subscription
from xenios.simulator.facts.datamodel import FieldType, Kind, Record
from xenios.simulator.messages import Messages
from xenios.simulator.serving.wire_xml import encode_value
from xenios.simulator.sessions import Session
from xenios.simulator.tables import Tables

QUEUE_BYTES_MAX = 10 * 1024 * 1024
"""By the size of the snapshots in XML."""
Event = dict[str, Any]


class _Registration:
    """What one session wants to hear of, and what it has not been told yet."""

    def __init__(self, tables: Tables, messages: Messages, now: Callable[[], datetime]) -> None:
        self.patterns: list[str] = []
        self.news = asyncio.Event()
        self.lost = False
        self._subscription = Subscription()
        self._classes: list[str] = []
        self._tables = tables
        self._messages = messages
        self._now = now
        self._looked = tables.generation
        self._queue: deque[tuple[Event, int]] = deque()
        self._size = 0
        self._undo: tuple[Callable[[], None], ...] = ()

    def want(self, patterns: list[str]) -> None:
        """Hear of these from now on."""
        self._subscription = Subscription.parse(patterns)
        self.patterns = patterns
        self.end()
        self._looked = self._tables.generation
        self._classes = self._subscription.tables()
        self._undo = (
            self._tables.watch(self._look, self._classes),
            self._messages.watchers.add(self._look_at_messages),
        )

    def end(self) -> None:
        """Hear of nothing any more, and let whoever waits see it."""
        for each in self._undo:
            each()
        self._undo = ()
        self.news.set()

    def take(self) -> list[Event]:
        """All that is queued. Raises EVENTS_LOST when it is not all that happened."""
        events = [event for event, _ in self._queue]
        self._queue.clear()
        self._size = 0
        lost, self.lost = self.lost, False
        if lost:
            raise ApiError("EVENTS_LOST")
        self.news.clear()
        return events

    def heartbeat(self, pool: str) -> None:
        """Tell of the pool, as it is."""
        if self._subscription.wants("pool", pool):
            self._add("pool", "mod", pool, self._tables.generation, self._tables.get("pool", pool))

    def _look(self) -> None:
        """Called after each change, so that nothing is folded."""
        delta = self._tables.since(self._looked, self._subscription.wants, self._classes)
        self._looked = self._tables.generation
        for operation, changes in (("add", delta.added), ("mod", delta.modified), ("del", delta.deleted)):
            for change in changes:
                record = self._tables.find(change.class_name, change.ref)
                self._add(change.class_name, operation, change.ref, change.generation, record)

    def _look_at_messages(self) -> None:
        news = self._messages.since(self._looked)
        self._looked = self._tables.generation
        for operation, refs in (("add", news.added), ("del", news.deleted)):
            for ref in refs:
                if self._subscription.wants("message", ref):
                    self._add("message", operation, ref, news.newest, self._messages.rows.get(ref))

    def _add(self, class_name: str, operation: str, ref: str, generation: int, record: Record | None) -> None:
        event: Event = {
            "id": str(generation),
            "timestamp": _seconds(self._now()),
            "class": class_name.lower(),
            "operation": operation,
            "ref": ref,
        }
        size = len(ref)
        if record is not None:
            event["snapshot"] = dict(record)
            size += len(encode_value(record, FieldType(Kind.RECORD, class_name)))
        self._queue.append((event, size))
        self._size += size
        while self._size > QUEUE_BYTES_MAX:
            _, forgotten = self._queue.popleft()
            self._size -= forgotten
            self.lost = True
        self.news.set()


class Registrations:
    """The sessions that use the old interface."""

    def __init__(self, tables: Tables, messages: Messages, now: Callable[[], datetime]) -> None:
        """`now` gives the time of the pool."""
        self._tables = tables
        self._messages = messages
        self._now = now
        self._by_session: dict[str, _Registration] = {}

    def register(self, session: Session, patterns: Sequence[str]) -> None:
        """Let a session hear of these as well. Raises EVENT_SUBSCRIPTION_PARSE_FAILURE [pattern]."""
        Subscription.parse(patterns)
        known = self._by_session.get(session.ref)
        if known is None:
            known = self._by_session[session.ref] = _Registration(self._tables, self._messages, self._now)
            session.when_closed.append(partial(self._forget, session.ref))
        known.want([*known.patterns, *map(_normal, patterns)])

    def unregister(self, session: Session, patterns: Sequence[str]) -> None:
        """Let a session hear of these no more. Raises SESSION_NOT_REGISTERED [session]."""
        known = self.get(session)
        Subscription.parse(patterns)
        unwanted = set(map(_normal, patterns))
        left = [pattern for pattern in known.patterns if pattern not in unwanted]
        if left:
            known.want(left)
        else:
            self._forget(session.ref)

    def get(self, session: Session) -> _Registration:
        """What a session has registered for. Raises SESSION_NOT_REGISTERED [session]."""
        known = self._by_session.get(session.ref)
        if known is None:
            raise ApiError("SESSION_NOT_REGISTERED", session.ref)
        return known

    def heartbeat(self, pool: str) -> None:
        """Tell everybody who wants to hear of the pool that it is there."""
        for known in self._by_session.values():
            known.heartbeat(pool)

    def _forget(self, session: str) -> None:
        known = self._by_session.pop(session, None)
        if known is not None:
            known.end()


def _normal(pattern: str) -> str:
    """Two patterns that mean the same look the same: the class is in lower case."""
    class_name, slash, ref = pattern.partition("/")
    return f"{class_name.lower()}{slash}{ref}"


def _seconds(moment: datetime) -> str:
    """Since 1970, as OCaml prints a float: `1787292000.5`, `1787292000.`."""
    text = format(moment.timestamp(), ".12g")
    return text if "." in text else f"{text}."


# ---- calls ----


def _session_of(call: Call) -> Session:
    if call.session is None:
        raise ApiError("SESSION_INVALID", "")
    return call.session


@implements("event.register", reads=True)
def event_register(call: Call, classes: list[str]) -> None:
    """Begin to hear of these classes with event.next."""
    call.pool.registrations.register(_session_of(call), classes)


@implements("event.unregister", reads=True)
def event_unregister(call: Call, classes: list[str]) -> None:
    """Hear of these classes no more. Raises SESSION_NOT_REGISTERED [session]."""
    call.pool.registrations.unregister(_session_of(call), classes)


@implements("event.next", reads=True)
async def event_next(call: Call) -> list[Event]:
    """What happened since the last time; waits while there is nothing.

    Raises SESSION_NOT_REGISTERED [session], EVENTS_LOST when more was queued than is kept, and SESSION_INVALID
    when the session ends meanwhile.
    """
    session = _session_of(call)
    while True:
        call.pool.sessions.get(session.ref)
        known = call.pool.registrations.get(session)
        events = known.take()
        if events:
            return events
        await known.news.wait()
