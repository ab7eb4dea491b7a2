"""compareState of 4.0: what follows when an agent's state and the database's meet. The whole table, as rows in order.

There is no grace period and no second look: one report is enough to stop a VM by force and to start it again.

Effects: none
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from xenios.decide.precedent.states import State


class Effect(StrEnum):
    """What compareState does."""

    ALERT_STORAGE = "alert: stopped due to storage failure"
    REPORT_MIGRATED = "AgentReportMigrated: the host in the database becomes the reporting one"
    REPORT_RUNNING = "AgentReportRunning"
    FINISH_START = "ensureVmRunningContext: AgentReportRunning, and the start is finished"
    HA_STOP = "high availability: scheduleStop (Stop)"
    HA_FORCE_STOP = "high availability: scheduleStop (ForceStop)"
    HA_RESTART = "high availability: scheduleRestart without investigation"
    ADVANCE_STOP = "advanceStop, by force"
    STOP_COMMAND = "StopCommand"


class Where(StrEnum):
    """The host in the database, compared with the one that reports."""

    SAME = "the same host"
    OTHER = "another host"
    NONE = "no host"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything that the table looks at."""

    agent: State
    server: State
    where: Where
    full: bool
    track: bool
    work_is_migrating: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareRow:
    """One row. None: any. A row that goes on adds its effects and leaves the decision to the rows after it."""

    rule: str
    effects: tuple[Effect, ...]
    why: str
    agent: frozenset[State] | None = None
    server: frozenset[State] | None = None
    where: frozenset[Where] | None = None
    full: bool | None = None
    track: bool | None = None
    work_is_migrating: bool | None = None
    states_agree: bool | None = None
    goes_on: bool = False
    agent_becomes: State | None = None
    where_becomes: Where | None = None

    def matches(self, case: Case) -> bool:
        """Whether the row speaks of this case."""
        return (
            (self.agent is None or case.agent in self.agent)
            and (self.server is None or case.server in self.server)
            and (self.where is None or case.where in self.where)
            and (self.full is None or case.full is self.full)
            and (self.track is None or case.track is self.track)
            and (self.work_is_migrating is None or case.work_is_migrating is self.work_is_migrating)
            and (self.states_agree is None or (case.agent is case.server) is self.states_agree)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What the table says: the effects in their order, and the rule that ended it."""

    effects: tuple[Effect, ...]
    rule: str
    why: str


def _states(*states: State) -> frozenset[State]:
    return frozenset(states)


_MOVED = frozenset({Where.OTHER, Where.NONE})
_STOPPED_OR_GONE = _states(
    State.STOPPED, State.DESTROYED, State.EXPUNGING, State.ERROR, State.UNKNOWN, State.SHUTDOWNED
)

COMPARE_STATE = (
    CompareRow(
        rule="0",
        agent=_states(State.ERROR),
        effects=(Effect.ALERT_STORAGE,),
        goes_on=True,
        agent_becomes=State.STOPPED,
        why="the storage monitor killed it, which counts as stopped from here on",
    ),
    CompareRow(
        rule="1",
        track=True,
        server=_states(State.STARTING),
        where=frozenset({Where.OTHER}),
        effects=(),
        why="it is being started on another host than the one that reports",
    ),
    CompareRow(
        rule="2",
        track=True,
        server=_states(State.RUNNING),
        where=_MOVED,
        work_is_migrating=False,
        effects=(Effect.REPORT_MIGRATED,),
        goes_on=True,
        where_becomes=Where.SAME,
        why="it was moved by somebody else; in any state but Running the transition is refused and nothing follows",
    ),
    CompareRow(
        rule="3",
        server=_states(State.MIGRATING),
        effects=(),
        why="a VM that is being migrated is never synced",
    ),
    CompareRow(
        rule="4",
        track=True,
        server=_states(State.RUNNING),
        where=_MOVED,
        effects=(Effect.REPORT_MIGRATED,),
        goes_on=True,
        where_becomes=Where.SAME,
        why="the same once more, whatever work is outstanding",
    ),
    CompareRow(
        rule="5",
        agent=_states(State.RUNNING),
        states_agree=True,
        effects=(Effect.REPORT_RUNNING,),
        why="both say Running",
    ),
    CompareRow(
        rule="5",
        states_agree=True,
        effects=(Effect.STOP_COMMAND,),
        why="both say the same, so a clean-up is sent to be sure",
    ),
    CompareRow(
        rule="6, Running",
        agent=_states(State.RUNNING),
        server=_states(State.STARTING),
        full=True,
        effects=(Effect.FINISH_START,),
        why="it runs, so its start is taken for finished",
    ),
    CompareRow(
        rule="6, Running",
        agent=_states(State.RUNNING),
        server=_states(State.STOPPING),
        effects=(Effect.HA_STOP,),
        why="it runs and is to be stopped",
    ),
    CompareRow(
        rule="6, Running",
        agent=_states(State.RUNNING),
        effects=(),
        why="it runs and is not expected to; only told in the log",
    ),
    CompareRow(
        rule="6, Stopped",
        agent=_states(State.STOPPED),
        server=_states(State.STARTING, State.RUNNING),
        effects=(Effect.HA_RESTART, Effect.STOP_COMMAND),
        why="it is expected to run",
    ),
    CompareRow(
        rule="6, Stopped",
        agent=_states(State.STOPPED),
        server=_states(State.STOPPING),
        effects=(Effect.HA_FORCE_STOP, Effect.STOP_COMMAND),
        why="its stop has ended",
    ),
    CompareRow(
        rule="6, Stopped",
        agent=_states(State.STOPPED),
        server=_STOPPED_OR_GONE,
        effects=(Effect.STOP_COMMAND,),
        why="it is off, and what is left of it is cleaned up",
    ),
    CompareRow(
        rule="6, Shutdowned",
        agent=_states(State.SHUTDOWNED),
        server=_states(State.STARTING, State.RUNNING, State.STOPPING),
        effects=(Effect.ADVANCE_STOP,),
        why="its guest shut itself down",
    ),
    CompareRow(
        rule="6, Shutdowned",
        agent=_states(State.SHUTDOWNED),
        server=_STOPPED_OR_GONE,
        effects=(Effect.STOP_COMMAND,),
        why="it is off, and what is left of it is cleaned up",
    ),
    CompareRow(
        rule="6, on its way",
        agent=_states(State.STARTING, State.STOPPING, State.UNKNOWN, State.MIGRATING),
        effects=(),
        why="an agent that is not sure changes nothing",
    ),
)
"""From top to bottom; the first row that matches and does not go on ends it."""


def compare_state(case: Case, rows: Iterable[CompareRow] = COMPARE_STATE) -> Compared:
    """What follows from one report on one VM of the database. A state that no row knows has no effect."""
    effects: tuple[Effect, ...] = ()
    for row in rows:
        if not row.matches(case):
            continue
        effects += row.effects
        if not row.goes_on:
            return Compared(effects=effects, rule=row.rule, why=row.why)
        case = Case(
            agent=row.agent_becomes or case.agent,
            server=case.server,
            where=row.where_becomes or case.where,
            full=case.full,
            track=case.track,
            work_is_migrating=case.work_is_migrating,
        )
    return Compared(effects=effects, rule="none", why="no agent reports this")
