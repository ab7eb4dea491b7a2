"""HandlePowerStateReport of 4.22: what follows when a power report and the database's state meet, as a table.

Effects: none
"""

from dataclasses import dataclass
from enum import StrEnum

from xenios.decide.precedent.states import PowerReport, State


class Course(StrEnum):
    """What is done."""

    FOLLOW_ON = "FollowAgentPowerOnReport: Running on the reporting host"
    FOLLOW_ON_ALERT = "FollowAgentPowerOnReport: Running on the reporting host, and an alert"
    OFF_PATH = "off path, with the event VM.STOP"
    OFF_PATH_SILENT = "off path, without the event"
    HA_OR_OFF_PATH = "restart by high availability if it is on, else off path"
    LOG = "log only"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerRow:
    """One row of the table: what follows from each of the three reports."""

    server: frozenset[State]
    on: Course
    off: Course
    missing: Course
    why: str


POWER_TABLE = (
    PowerRow(
        server=frozenset({State.STARTING}),
        on=Course.FOLLOW_ON_ALERT,
        off=Course.OFF_PATH,
        missing=Course.OFF_PATH,
        why="nobody's job is at it any more",
    ),
    PowerRow(
        server=frozenset({State.RUNNING}),
        on=Course.FOLLOW_ON,
        off=Course.HA_OR_OFF_PATH,
        missing=Course.HA_OR_OFF_PATH,
        why="it should run; if it does so elsewhere, that is taken over in silence",
    ),
    PowerRow(
        server=frozenset({State.STOPPING}),
        on=Course.FOLLOW_ON_ALERT,
        off=Course.OFF_PATH,
        missing=Course.OFF_PATH,
        why="nobody's job is at it any more",
    ),
    PowerRow(
        server=frozenset({State.STOPPED}),
        on=Course.FOLLOW_ON_ALERT,
        off=Course.OFF_PATH,
        missing=Course.OFF_PATH,
        why="started behind its back, which is taken over",
    ),
    PowerRow(
        server=frozenset({State.MIGRATING}),
        on=Course.FOLLOW_ON,
        off=Course.OFF_PATH_SILENT,
        missing=Course.NOTHING,  # not scanned for missing VMs
        why="its migration has ended, one way or the other",
    ),
    PowerRow(
        server=frozenset({State.DESTROYED, State.EXPUNGING}),
        on=Course.LOG,
        off=Course.NOTHING,
        missing=Course.NOTHING,
        why="a zombie runs on",
    ),
    PowerRow(
        server=frozenset({State.ERROR, State.UNKNOWN, State.SHUTDOWNED}),
        on=Course.LOG,
        off=Course.LOG,
        missing=Course.LOG,
        why="no transition leaves this state",
    ),
)

_COURSES = {
    (server, report): course
    for row in POWER_TABLE
    for server in row.server
    for report, course in (
        (PowerReport.ON, row.on),
        (PowerReport.OFF, row.off),
        (PowerReport.MISSING, row.missing),
    )
}


def handle_power_report(server: State, report: PowerReport) -> Course:
    """What follows from a report. A report that does not know the power state changes nothing."""
    return _COURSES.get((server, report), Course.NOTHING)
