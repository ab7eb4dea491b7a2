"""A XenServer pool that lives in memory: it answers the calls of XAPI, and changes like a real one.

Everything outside is given: the records, the clock, the seed of all chance. So the same pool can stand behind a
socket for XenServer's own clients, or be called directly by tests that move its clock. `answer` is for the wire, which
needs the type of the value and the trouble ordered for the connection; `call` gives the value or raises the error.

Effects: none, but for what a script's moment cannot do, which is logged
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any

from xenios.errors import XeniosError
from xenios.simulator.answering import NOBODY, Answer, Answering, ClientInfo
from xenios.simulator.api_error import ApiError, ConnectionCut
from xenios.simulator.clock import SimulatedClock
from xenios.simulator.facts.datamodel import Records
from xenios.simulator.faults import Faults, Happening, Moment, Script
from xenios.simulator.journal import Journal
from xenios.simulator.messages import Messages
from xenios.simulator.old_events import Registrations
from xenios.simulator.operations import IMPORTED
from xenios.simulator.outages import ASSUMED_DEAD_AFTER, EMERGENCY, Outages
from xenios.simulator.sessions import Sessions
from xenios.simulator.tables import Saved, Tables
from xenios.simulator.tasks import Tasks
from xenios.simulator.verbs.current_operations import forget_operations
from xenios.simulator.verbs.guests import Guests

_log = logging.getLogger(__name__)
HOUSEKEEPING_SECONDS = 30.0
RESTART_SECONDS = 3.0


class SimulatedPool:
    """One pool with all its hosts."""

    def __init__(
        self,
        records: Records,
        *,
        clock: SimulatedClock,
        seed: int = 0,
        speed: float = 1.0,
        login_delay_seconds: float = 5.0,
        user: str = "root",
        password: str = "xenios",
        generation: int = 1,
        clock_offset_seconds: float = 0.0,
        script: Script | None = None,
    ) -> None:
        """Take over `records`, which must hold a pool and its master.

        `speed` scales how long operations take, 0 for no time at all; `clock_offset_seconds` is how far the hosts'
        clocks are ahead of the given one. Raises XeniosError when the records are no pool.
        """
        self.clock = clock
        self.random = Random(f"pool {seed}")  # noqa: S311 (believable, not secret)
        self.speed = speed
        self.login_delay_seconds = login_delay_seconds
        self.passwords = {user: password}
        self.clock_offset_seconds = clock_offset_seconds
        records = dict(records)
        messages = records.pop("message", {})
        self.tables = Tables(records, generation, self.random)
        if len(self.tables.rows("pool")) != 1 or self.tables.find("host", self.master()) is None:
            raise XeniosError(
                "these records are no pool: they need one pool object whose master is among the hosts",
                remedy="take a whole dump of a pool's master, as xe pool-dump-database makes it",
            )
        self.sessions = Sessions(self.tables, self.now)
        self.tasks = Tasks(self.tables, self.now)
        self.messages = Messages(messages, self.tables, self.now)
        self.registrations = Registrations(self.tables, self.messages, self.now)
        self.journal = Journal()
        self.guests = Guests()
        self.outages = Outages(clock.now)
        self.outages.dead.update(dict.fromkeys(self._hosts_not_live(), clock.now()))
        self.defects: list[BaseException] = []
        """Exceptions that were no errors of the API: each is a defect of the simulator."""
        self.after_restart: list[Callable[[], None]] = []
        """Called when the toolstack comes up again, to put right what it finds."""
        self.when_cut: list[Callable[[str], None]] = []
        """Called when the connections to a host (its ref; "" for all hosts) are cut, also those at rest."""
        self._script = script or Script()
        self._started = clock.now()
        self.faults = Faults(self.random, self._elapsed_seconds)
        for fault in self._script.calls:
            self.faults.add(fault)
        self._saved: Saved | None = None
        self.answering = Answering(self)
        self._timers: list[Callable[[], None]] = []
        self._implemented = IMPORTED

    def _elapsed_seconds(self) -> float:
        return (self.clock.now() - self._started).total_seconds()

    # ---- what operations ask ----

    def now(self) -> datetime:
        """The time by the hosts' own clocks."""
        return self.clock.now() + timedelta(seconds=self.clock_offset_seconds)

    def new_uuid(self) -> str:
        """A uuid that nothing has yet."""
        return self.tables.new_uuid()

    def pool_ref(self) -> str:
        """The ref of the one pool object."""
        return next(iter(self.tables.rows("pool")))

    def master(self) -> str:
        """The ref of the host that answers for the pool."""
        return str(self.tables.get("pool", self.pool_ref())["master"]) if self.tables.rows("pool") else ""

    def message(self, name: str, cls: str, obj_uuid: str, priority: int, body: str) -> str:
        """Leave a message about an object; returns its ref."""
        return self.messages.create(name, priority, cls, obj_uuid, body)

    def host_is_dead(self, host: str) -> bool:
        """Whether a host has lost power."""
        return host in self.outages.dead

    def names_of_host(self, host: str) -> tuple[str, ...]:
        """All that a host may be called by: ref, uuid, name, hostname and address."""
        record = self.tables.find("host", host)
        if record is None:
            return (host,)
        return (host, record["uuid"], record["name_label"], record["hostname"], record["address"])

    def host_called(self, name: str) -> str:
        """The ref of a host by any of its names. Raises XeniosError when there is none such."""
        for ref in self.tables.rows("host"):
            if name in self.names_of_host(ref):
                return ref
        known = ", ".join(sorted(record["name_label"] for record in self.tables.rows("host").values()))
        raise XeniosError(f"the simulated pool has no host {name!r}", remedy=f"its hosts are {known}")

    # ---- life ----

    def start(self) -> None:
        """Begin housekeeping and the script's moments. Needs a running event loop; end it with `close`.

        Raises XeniosError when the script names a host that is not there.
        """
        for number, fault in enumerate(self._script.calls, 1):
            self._host_in_script(fault.host, f"number {number} of [[calls]]")
        hosts = [
            self._host_in_script(moment.host, f"number {number} of [[moments]]")
            for number, moment in enumerate(self._script.moments, 1)
        ]
        self._started = self.clock.now()
        for moment, host in zip(self._script.moments, hosts, strict=True):
            happen = partial(self._happen, moment, host)
            self._timers.append(self.clock.call_later(moment.at_seconds, happen))
        self._keep_house_later()

    def _host_in_script(self, name: str, where: str) -> str:
        """The ref of the host that a script names; empty when it names none."""
        try:
            return self.host_called(name) if name else ""
        except XeniosError as error:
            raise XeniosError(f"{where} of the script: {error}", remedy=error.remedy) from None

    async def close(self) -> None:
        """End everything that runs; calls under way get no answer."""
        for take_back in self._timers:
            take_back()
        self._timers.clear()
        running = self.answering.running()
        self.answering.cut(lambda _: True)
        await asyncio.gather(*running, return_exceptions=True)

    def _keep_house_later(self) -> None:
        position = len(self._timers)

        def again() -> None:
            self.keep_house()
            self._timers[position] = self.clock.call_later(HOUSEKEEPING_SECONDS, again)

        self._timers.append(self.clock.call_later(HOUSEKEEPING_SECONDS, again))

    def keep_house(self) -> None:
        """What the server does every 30 seconds: sessions, tasks, a heartbeat, and who is alive."""
        self.sessions.collect()
        self.tasks.collect()
        self.registrations.heartbeat(self.pool_ref())
        for host in self.outages.returned:
            self._set_live(host, live=True)
        self.outages.returned.clear()
        for host, died in self.outages.dead.items():
            if self.clock.now() - died >= ASSUMED_DEAD_AFTER:
                self._set_live(host, live=False)

    def _set_live(self, host: str, *, live: bool) -> None:
        known = self.tables.find("host", host)
        if known is not None and self.tables.find("host_metrics", known["metrics"]) is not None:
            self.tables.change("host_metrics", known["metrics"], live=live)

    def _hosts_not_live(self) -> Iterator[str]:
        """Hosts that were silent when the records were made; nothing answers at their addresses here either."""
        for host, record in self.tables.rows("host").items():
            metrics = self.tables.find("host_metrics", record["metrics"])
            if metrics is not None and not metrics["live"] and host != self.master():
                yield host

    def _happen(self, moment: Moment, host: str) -> None:
        """A moment has come. Timers call this, so what cannot be is told where somebody may read it, not raised."""
        try:
            self._let_happen(moment, host)
        except XeniosError as error:
            _log.warning(
                "%r at %g seconds did not happen: %s; %s",
                moment.do.value,
                moment.at_seconds,
                error,
                error.remedy,
            )

    def _let_happen(self, moment: Moment, host: str) -> None:
        if host and self.tables.find("host", host) is None:
            raise XeniosError(
                f"the host {moment.host!r} has left the pool", remedy="name one that stays until then"
            )
        match moment.do:
            case Happening.RESTART:
                self.restart_toolstack(RESTART_SECONDS if moment.seconds is None else moment.seconds)
            case Happening.SAVE:
                self.save_database()
            case Happening.ROLL_BACK:
                self.roll_back_database()
            case Happening.DIE:
                self.kill_host(host)
            case Happening.RETURN:
                self.heal_host(host)
            case Happening.HANG:
                self.hang_host(host)
            case Happening.EMERGENCY:
                self.enter_emergency(host, ApiError(*moment.error) if moment.error else EMERGENCY)
            case Happening.EMERGENCY_OVER:
                self.heal_host(host)
            case Happening.MASTER:
                self.move_master(host)

    # ---- trouble with the whole pool or a host ----

    def restart_toolstack(self, seconds: float = RESTART_SECONDS) -> None:
        """Restart the master's toolstack: connections are cut and refused for so long.

        Sessions, tasks and remembered deletions are lost, and to every old token all objects are new.
        """
        self.answering.cut(lambda _: True)
        self.sessions.restart()
        self.tables.restart()
        self._come_up()
        self.outages.restarting_until = self.clock.now() + timedelta(seconds=seconds)
        self._tell_cut("")

    def save_database(self) -> None:
        """Keep a copy of the database as it is now, for `roll_back_database`."""
        self._saved = self.tables.save()

    def roll_back_database(self, seconds: float = 0.0) -> None:
        """Bring back the copy kept last, with its smaller generation, as a failover to an old copy does.

        Raises XeniosError when none was kept.
        """
        if self._saved is None:
            raise XeniosError(
                "there is no saved database to roll back to", remedy="save it at an earlier moment"
            )
        self.answering.cut(lambda _: True)
        self.sessions.restart()
        self.tables.restore(self._saved)
        self._come_up()
        self.outages.restarting_until = self.clock.now() + timedelta(seconds=seconds)
        self._tell_cut("")

    def _come_up(self) -> None:
        self.tasks.restart()
        self.messages.restore(self.messages.rows)
        forget_operations(self.tables)
        for put_right in self.after_restart:
            put_right()

    def move_master(self, host: str) -> None:
        """Make another host the master; everybody has to log in anew, there."""
        self.tables.change("pool", self.pool_ref(), master=host)
        self.restart_toolstack(0.0)

    def kill_host(self, host: str) -> None:
        """Cut the power of a host: its address is silent, and after ten minutes the pool calls it not live."""
        self.outages.dead.setdefault(host, self.clock.now())
        self.answering.cut(lambda running: running.host == host)
        self._tell_cut(host)
        if host == self.master():
            self.restart_toolstack(0.0)

    def hang_host(self, host: str) -> None:
        """Make a host take calls and never answer, as a supporter without its master does."""
        self.outages.hanging.add(host)

    def enter_emergency(self, host: str, error: ApiError = EMERGENCY) -> None:
        """Let a host answer all calls but a few with this error."""
        self.outages.emergency[host] = error

    def heal_host(self, host: str) -> None:
        """Power, answers and everything else are well again. What hung goes on hanging until its client leaves."""
        self.outages.heal(host)

    def refuses_connections(self, host: str) -> bool:
        """Whether nothing listens at a host's address just now."""
        return self.outages.refuses_connections(host, self.master())

    def _tell_cut(self, host: str) -> None:
        for cut in self.when_cut:
            cut(host)

    # ---- calls ----

    async def call(
        self, host: str, method: str, params: Sequence[Any], *, client: ClientInfo = NOBODY
    ) -> Any:
        """The value that a call returns. `params` begin with the session where the call needs one.

        Raises ApiError, and ConnectionCut when there is no answer.
        """
        answer = await self.answering.answer(host, method, params, client)
        if answer.cut_after_bytes is not None:
            raise ConnectionCut
        if answer.error is not None:
            raise answer.error
        return answer.value

    async def answer(
        self, host: str, method: str, params: Sequence[Any], *, client: ClientInfo = NOBODY
    ) -> Answer:
        """What a host answers to a call, for the wire. Raises ConnectionCut when it does not answer."""
        return await self.answering.answer(host, method, params, client)
