"""Is compareState the reference's table, cell by cell?

The table is written down here a second time, in another form: the rules before it as plain conditions, and the cells
as a grid of words. Every combination of the agent's state, the database's state, full or delta, tracking or not, host
and outstanding work is compared.

Effects: none
"""

from itertools import product

import pytest

from xenios.decide.precedent.compare_state import (
    COMPARE_STATE,
    Case,
    Compared,
    Effect,
    Where,
    compare_state,
)
from xenios.decide.precedent.states import AGENT_STATES, State

# What the agent says, and below each state of the database what follows. The last column stands for Destroyed,
# Expunging, Error, Unknown and Shutdowned.
GRID = """
agent       | Starting         | Running          | Stopping            | Stopped | gone
Running     | finish-if-full   | rule-5           | ha-stop             | -       | -
Stopped     | ha-restart stop  | ha-restart stop  | ha-force-stop stop  | rule-5  | stop
Shutdowned  | advance-stop     | advance-stop     | advance-stop        | stop    | stop
Starting    | rule-5           | -                | -                   | -       | -
Stopping    | -                | -                | rule-5              | -       | -
Unknown     | -                | -                | -                   | -       | -
Migrating   | -                | -                | -                   | -       | -
"""
WORDS = {
    "finish": Effect.FINISH_START,
    "ha-stop": Effect.HA_STOP,
    "ha-force-stop": Effect.HA_FORCE_STOP,
    "ha-restart": Effect.HA_RESTART,
    "advance-stop": Effect.ADVANCE_STOP,
    "stop": Effect.STOP_COMMAND,
}
GONE = ("Destroyed", "Expunging", "Error", "Unknown", "Shutdowned")


def cells() -> dict[tuple[str, str], str]:
    head, *lines = [[part.strip() for part in line.split("|")] for line in GRID.strip().splitlines()]
    found = {}
    for agent, *words in lines:
        for server, word in zip(head[1:], words, strict=True):
            for each in GONE if server == "gone" else (server,):
                found[agent, each] = word
    return found


CELLS = cells()


def expected(
    agent: str, server: str, where: str, *, full: bool, track: bool, work: bool
) -> tuple[Effect, ...]:
    """The reference, in its order, by the letter."""
    effects: list[Effect] = []
    elsewhere = where in ("another host", "no host")
    if agent == "Error":  # rule 0
        effects.append(Effect.ALERT_STORAGE)
        agent = "Stopped"
    if track and server == "Starting" and where == "another host":  # rule 1
        return tuple(effects)
    moved = False
    if track and elsewhere and not work and server == "Running":  # rule 2, legal from Running only
        effects.append(Effect.REPORT_MIGRATED)
        moved = True
    if server == "Migrating":  # rule 3
        return tuple(effects)
    if track and server == "Running" and elsewhere and not moved:  # rule 4
        effects.append(Effect.REPORT_MIGRATED)
    if agent == server:  # rule 5
        effects.append(Effect.REPORT_RUNNING if agent == "Running" else Effect.STOP_COMMAND)
        return tuple(effects)
    for word in CELLS[agent, server].split():  # rule 6
        if word == "finish-if-full":
            word = "finish" if full else "-"
        if word != "-":
            effects.append(WORDS[word])
    return tuple(effects)


ALL = list(product(AGENT_STATES, State, Where, (True, False), (True, False), (True, False)))


@pytest.mark.parametrize("agent", AGENT_STATES)
@pytest.mark.parametrize("server", State)
def test_every_cell(agent: State, server: State) -> None:
    for where, full, track, work in product(Where, (True, False), (True, False), (True, False)):
        found = compare_state(
            Case(agent=agent, server=server, where=where, full=full, track=track, work_is_migrating=work)
        )
        wanted = expected(agent.value, server.value, where.value, full=full, track=track, work=work)
        assert found.effects == wanted, (agent, server, where, full, track, work)


def test_the_grid_has_every_cell_and_says_rule_5_where_both_agree() -> None:
    for agent, server in product(AGENT_STATES, State):
        if server is not State.MIGRATING and agent is not State.ERROR:
            word = CELLS[agent.value, server.value]
            # Unknown and Shutdowned may agree too; they stand in a column that the reference does not split.
            assert (word == "rule-5") is (agent is server and server.value not in GONE)


def case(index: int) -> Case:
    agent, server, where, full, track, work = ALL[index]
    return Case(agent=agent, server=server, where=where, full=full, track=track, work_is_migrating=work)


def test_no_row_can_be_removed_unnoticed() -> None:
    before = [compare_state(case(index)).effects for index in range(len(ALL))]
    silent = []
    for number, row in enumerate(COMPARE_STATE):
        rest = COMPARE_STATE[:number] + COMPARE_STATE[number + 1 :]
        after = [compare_state(case(index), rest).effects for index in range(len(ALL))]
        if after == before:
            silent.append(row.rule)
    # The transition of rule 2 is legal from Running only, and there rule 4 does the same. The other two say that
    # nothing follows, which is also what follows when no row matches.
    assert silent == ["2", "6, Running", "6, on its way"]


def test_every_row_decides_something() -> None:
    told = {(found.rule, found.why) for found in (compare_state(case(index)) for index in range(len(ALL)))}
    assert {(row.rule, row.why) for row in COMPARE_STATE if not row.goes_on} == told


def test_a_state_that_no_agent_reports_has_no_effect() -> None:
    for agent in (State.DESTROYED, State.EXPUNGING):
        found = compare_state(
            Case(agent=agent, server=State.RUNNING, where=Where.SAME, full=True, track=True)
        )
        assert found == Compared(effects=(), rule="none", why="no agent reports this")


def test_one_report_is_enough_to_stop_and_restart() -> None:
    for full, track in product((True, False), (True, False)):
        found = compare_state(
            Case(agent=State.STOPPED, server=State.RUNNING, where=Where.SAME, full=full, track=track)
        )
        assert found.effects == (Effect.HA_RESTART, Effect.STOP_COMMAND)
