"""Who is logged in to a simulated pool, for how long, and who has to go when there are too many.

Sessions live in memory only. They end by logging out, after a day without a call, by a restart of the toolstack,
and, which surprises clients, when too many others of their kind are open: the least recently active go first. All of
that happens at the collection every 30 seconds, and never to a session in the middle of a call.

Effects: none
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import NULL
from xenios.simulator.population.book import stamp
from xenios.simulator.tables import Tables

IDLE_HOURS_MAX = 24
SESSIONS_MAX = 500
"""For each originator of root, and for each other user."""
ANONYMOUS_SESSIONS_MAX = 400
"""For all sessions of root together that name no originator."""
ACTIVITY_NOTED_EVERY = timedelta(minutes=10)
SUPERUSERS = ("root", "")


@dataclass(slots=True, eq=False)
class Session:
    """One login. Its record, but for local ones, is a row of the tables like any other."""

    ref: str
    user: str
    originator: str
    host: str
    """The ref of the host that was logged in to."""
    local: bool = False
    """Good for this one host only, and for the few calls it answers without the pool's database."""
    busy: int = 0
    """How many calls of it are being answered."""
    last_active: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    """Noted every ten minutes at most, so it may be older than the last call."""
    when_closed: list[Callable[[], None]] = field(default_factory=list)
    """Called once when it ends: a blocked event.from must hear of it."""

    @property
    def kind(self) -> tuple[str, str]:
        """Sessions of the same kind compete for the same number of places."""
        return ("root", self.originator) if self.user in SUPERUSERS else ("user", self.user)

    @property
    def places(self) -> int:
        """How many sessions of its kind may be open."""
        return ANONYMOUS_SESSIONS_MAX if self.kind == ("root", "") else SESSIONS_MAX


class Sessions:
    """All sessions of a pool."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        """`now` gives the time of the pool."""
        self._tables = tables
        self._now = now
        self._open: dict[str, Session] = {}
        self._local: dict[str, Session] = {}

    def open(self, user: str, originator: str, host: str) -> Session:
        """Log in, credentials having been checked."""
        now = self._now()
        ref = self._tables.create(
            "session",
            {
                "this_host": host,
                "this_user": NULL,
                "last_active": stamp(now),
                "pool": False,
                "is_local_superuser": user in SUPERUSERS,
                "subject": NULL,
                "validation_time": stamp(now),
                "auth_user_name": user,
                "originator": originator,
            },
        )
        session = Session(ref, user, originator, host, last_active=now)
        self._open[ref] = session
        return session

    def open_local(self, user: str, host: str) -> Session:
        """Log in to one host alone, as one does when its pool cannot be reached."""
        ref = f"OpaqueRef:{self._tables.new_uuid()}"
        session = Session(ref, user, "", host, local=True, last_active=self._now())
        self._local[ref] = session
        return session

    def find(self, ref: str) -> Session | None:
        """The open session behind a ref, local ones included."""
        return self._open.get(ref) or self._local.get(ref)

    def get(self, ref: str) -> Session:
        """The open session behind a ref. Raises SESSION_INVALID [ref]."""
        session = self.find(ref)
        if session is None:
            raise ApiError("SESSION_INVALID", ref)
        return session

    def note_activity(self, session: Session) -> None:
        """A call came in."""
        now = self._now()
        if now - session.last_active >= ACTIVITY_NOTED_EVERY:
            session.last_active = now
            if not session.local:
                self._tables.change("session", session.ref, last_active=stamp(now))

    def close(self, session: Session) -> None:
        """Log out; whoever waits on the session's behalf hears of it."""
        self._local.pop(session.ref, None)
        if self._open.pop(session.ref, None) is not None and self._tables.find("session", session.ref):
            self._tables.delete("session", session.ref)
        waiting, session.when_closed = session.when_closed, []
        for tell in waiting:
            tell()

    def collect(self) -> None:
        """End what is idle for too long, then the least recently active of every kind that has too many."""
        oldest = self._now() - timedelta(hours=IDLE_HOURS_MAX)
        for session in [*self._open.values(), *self._local.values()]:
            if session.last_active <= oldest and not session.busy:
                self.close(session)
        kinds: dict[tuple[str, str], list[Session]] = {}
        for session in self._open.values():
            kinds.setdefault(session.kind, []).append(session)
        for sessions in kinds.values():
            excess = len(sessions) - sessions[0].places
            if excess > 0:
                # Equally active ones go in the order of their logins: sorting keeps it.
                idle = sorted((s for s in sessions if not s.busy), key=lambda s: s.last_active)
                for session in idle[:excess]:
                    self.close(session)

    def restart(self) -> None:
        """Forget all of them, as a restart of the toolstack does."""
        for session in [*self._open.values(), *self._local.values()]:
            self.close(session)

    def __len__(self) -> int:
        return len(self._open)
