"""One turn of a CloudStack: from a view and its books to outcomes and new books, step by step.

A Turn lives for one call and is seen by nobody else; what goes in and what comes out never changes. It holds what is
there as the turn goes on, because a command meets what the one before it has left: a record that a first StopCommand
destroyed is not there for the second.

Effects: none
"""

from collections.abc import Iterable

from msgspec.structs import replace

from xenios.decide.precedent.books import PING_INTERVAL, Books, Row
from xenios.decide.precedent.commands import Answered, Manner, Started, start, stop
from xenios.decide.precedent.policy import Deed, Outcome, Reaction
from xenios.decide.precedent.reports_4_0 import Reports, Seen
from xenios.decide.precedent.states import State
from xenios.model.collection import Collection
from xenios.model.inventory import Answer, Host, PowerState, Vm, VmKind

PING_TIMEOUT = PING_INTERVAL * 5 // 2
"""`ping.timeout` 2.5 times `ping.interval`: a host that is silent for longer is looked into."""
_REALLY_STOPPED = (Deed.RECORD_DESTROYED, Deed.STOPPED)


class Turn:
    """What one turn knows and has done so far."""

    def __init__(self, books: Books, manner: Manner, view: Collection | None, now: int) -> None:
        self.books = books
        self.manner = manner
        self.view = view
        self.now = now
        self.rows = dict(books.rows)
        self.pool_cache = dict(books.pool_cache)
        self.host_caches = dict(books.host_caches)
        self.silent_since = dict(books.silent_since)
        self.hosts = dict(books.hosts)
        self.live_hosts = (
            {host.uuid: host for host in view.hosts if host.live is not Answer.NO} if view else {}
        )
        self.outcomes: list[Outcome] = []
        self._to_restart: list[tuple[int, str]] = []
        self._there: dict[str, dict[str, Vm]] = {}
        # An empty or failed answer is not what the next command meets: that is what was there before. A pool that
        # really lost its last VM looks the same; who plays the outcomes finds that the VM is gone.
        shown = view is not None and any(vm.kind is VmKind.MACHINE for vm in view.vms)
        self._put(view.vms if view is not None and shown else books.seen)

    def _put(self, vms: Iterable[Vm]) -> None:
        for vm in vms:
            self._there.setdefault(vm.name, {})[vm.uuid] = vm

    # --- what is there -----------------------------------------------------------------------------------------------

    def labelled(self, name: str) -> tuple[Vm, ...]:
        """All VMs of the pool with this name, of every kind."""
        return tuple(self._there.get(name, {}).values())

    def everything(self) -> tuple[Vm, ...]:
        """All VMs that are there now, with what this turn has done to them."""
        return tuple(vm for vms in self._there.values() for vm in vms.values())

    def answers(self, host_uuid: str | None) -> bool:
        """Whether a command reaches this host. What was not asked for may well answer the next time."""
        return host_uuid in self.hosts and (self.view is None or host_uuid in self.live_hosts)

    def put(self, vm: Vm) -> None:
        """A VM is now like this."""
        self._put((vm,))

    def remove(self, vm: Vm) -> None:
        """A VM's record is gone."""
        self._there.get(vm.name, {}).pop(vm.uuid, None)

    # --- what is done ------------------------------------------------------------------------------------------------

    def tell(
        self,
        deed: Deed,
        rule: str,
        words: str,
        name: str,
        *,
        vm_uuid: str | None,
        host_uuid: str | None = None,
    ) -> None:
        """Notes an outcome."""
        self.outcomes.append(
            Outcome(vm_uuid=vm_uuid, name=name, deed=deed, rule=rule, words=words, host_uuid=host_uuid)
        )

    def tell_row(self, row: Row, deed: Deed, rule: str, words: str) -> None:
        """Notes an outcome that is about the books."""
        self.tell(deed, rule, words, row.name, vm_uuid=row.vm_uuid)

    def send_stop(
        self, name: str, host_uuid: str | None, rule: str, *, check_before_cleanup: bool = False
    ) -> bool:
        """Sends a StopCommand and notes what it does. False: it failed."""
        if host_uuid is None or host_uuid not in self.hosts:
            return True  # skipped: there is no host in the database to send it to
        if not self.answers(host_uuid):
            self.tell(Deed.STOP_FAILED, rule, "StopCommand: its host does not answer", name, vm_uuid=None)
            return False
        answered = stop(
            self.manner, self.labelled(name), name, host_uuid, check_before_cleanup=check_before_cleanup
        )
        self._apply_stop(answered)
        self._note_in_cache(name, host_uuid, answered)
        if answered.deed is not Deed.NOTHING and answered.vm is not None:
            self.tell(answered.deed, rule, answered.words, name, vm_uuid=answered.vm.uuid)
        return answered.succeeded

    def _apply_stop(self, answered: Answered) -> None:
        if answered.vm is None:
            return
        if answered.deed is Deed.RECORD_DESTROYED:
            self.remove(answered.vm)
        elif answered.deed is Deed.STOPPED:
            self.put(
                replace(
                    answered.vm,
                    power_state=PowerState.HALTED,
                    preferred_host_uuid=answered.vm.host_uuid,
                    host_uuid=None,
                )
            )

    def _note_in_cache(self, name: str, host_uuid: str, answered: Answered) -> None:
        """What a StopCommand leaves in the agent's cache: off, not there, or as it was when it failed."""
        cache = self.pool_cache if self.manner.xenserver else dict(self.host_caches.get(host_uuid, {}))
        if answered.vm is None and answered.succeeded:
            cache.pop(name, None)
        elif answered.succeeded:
            cache[name] = Seen(host_uuid, State.STOPPED)
        if not self.manner.xenserver:
            self.host_caches[host_uuid] = cache

    def set_row(self, row: Row, **changes: object) -> Row:
        """Writes to the database."""
        changed = replace(row, updated_at=self.now, **changes)
        self.rows[row.id] = changed
        return changed

    def mark_stopped(self, row: Row) -> Row:
        """The state Stopped: on no host, and the last host remembered."""
        return self.set_row(
            row,
            state=State.STOPPED,
            host_uuid=None,
            last_host_uuid=row.host_uuid if row.host_uuid is not None else row.last_host_uuid,
        )

    def advance_stop(self, row: Row, rule: str) -> bool:
        """advanceStop by force: a StopCommand, and Stopped in the database whatever it came to."""
        row = self.rows[row.id]
        before = len(self.outcomes)
        stopped = self.send_stop(row.name, row.host_uuid, rule)
        if row.state is not State.STOPPED:
            self.mark_stopped(row)
            if not any(outcome.deed in _REALLY_STOPPED for outcome in self.outcomes[before:]):
                self.tell_row(row, Deed.MARKED_STOPPED, rule, "Stopped in its database")
        return stopped

    def restart_later(self, row: Row, rule: str) -> None:
        """Leaves a work item for high availability, which is done when everything else of this turn is."""
        if row.ha:
            self._to_restart.append((row.id, rule))

    def high_availability(self) -> None:
        """Does the work that is left for high availability."""
        for row_id, rule in self._to_restart:
            row = self.rows[row_id]
            host_uuid = self._host_to_start_on(row)
            if row.state is not State.STOPPED or host_uuid is None:
                continue
            was_stopped = self._stop_that_belongs_to(row)
            vm_uuid = was_stopped.vm_uuid if was_stopped is not None else row.vm_uuid
            started = self.start(row, host_uuid, rule)
            if started.succeeded:
                words = "started anew by high availability; if it still runs, it now runs twice"
                if was_stopped is not None:
                    self.outcomes.remove(was_stopped)
                    words = f"{was_stopped.words}; then started anew by high availability"
                self.tell(Deed.RESTARTED, rule, words, row.name, vm_uuid=vm_uuid, host_uuid=host_uuid)
        self._to_restart.clear()

    def _stop_that_belongs_to(self, row: Row) -> Outcome | None:
        """What this turn has told of the stop of a VM that is started again: it becomes one outcome with the start."""
        told = [
            outcome
            for outcome in self.outcomes
            if outcome.name == row.name and outcome.deed in (*_REALLY_STOPPED, Deed.MARKED_STOPPED)
        ]
        return next(
            (outcome for outcome in told if outcome.vm_uuid == row.vm_uuid), told[0] if told else None
        )

    def _host_to_start_on(self, row: Row) -> str | None:
        """The last host if it is there, else the first that is."""
        candidates = [row.last_host_uuid, *(self.live_hosts if self.view is not None else self.hosts)]
        return next((uuid for uuid in candidates if uuid is not None and self.answers(uuid)), None)

    def start(self, row: Row, host_uuid: str, rule: str) -> Started:
        """Sends a StartCommand, and notes what it does to others and in the books; not the start itself."""
        started = start(self.manner, self.labelled(row.name), row.name, host_uuid)
        for vm in started.destroyed:
            self.remove(vm)
            if vm.uuid != row.vm_uuid:
                words = "StartCommand for this name destroys every halted VM that has it; only the disks stay"
                self.tell(Deed.RECORD_DESTROYED, f"{rule}: StartCommand", words, vm.name, vm_uuid=vm.uuid)
        if not started.succeeded:
            self.tell_row(row, Deed.START_FAILED, rule, started.words)
            return started
        if started.taken_over is not None:
            vm = started.taken_over
            host_uuid = vm.host_uuid or host_uuid
            self.tell(Deed.MARKED_RUNNING, rule, started.words, row.name, vm_uuid=vm.uuid)
        self.set_row(row, state=State.RUNNING, host_uuid=host_uuid, last_host_uuid=host_uuid)
        self._cache_running(row.name, host_uuid)
        return started

    def _cache_running(self, name: str, host_uuid: str) -> None:
        if self.manner.xenserver:
            self.pool_cache[name] = Seen(host_uuid, State.RUNNING)
        else:
            self.host_caches[host_uuid] = {
                **self.host_caches.get(host_uuid, {}),
                name: Seen(host_uuid, State.RUNNING),
            }

    # --- beginning and end -------------------------------------------------------------------------------------------

    def add_hosts(self) -> None:
        """addHost: all hosts of the pool at once."""
        if self.view is not None:
            self.hosts |= {host.uuid: host.name for host in self.view.hosts}

    def watch_for_silence(self) -> None:
        """Hosts that have been silent for too long are told to the operator, once."""
        if self.view is None:
            return
        for host in self.view.hosts:
            self._watch_host(host)

    def _watch_host(self, host: Host) -> None:
        if host.uuid not in self.hosts:
            return
        if host.live is not Answer.NO:
            self.silent_since.pop(host.uuid, None)
            return
        since = self.silent_since.setdefault(host.uuid, self.now)
        if since and self.now - since > PING_TIMEOUT:
            self.silent_since[host.uuid] = 0
            words = f"host {host.name} is behind on its ping: it is looked into, which a view cannot show"
            self.tell(Deed.ALERT, "ping timeout", words, host.name, vm_uuid=None)

    def set_pool_cache(self, cache: Reports) -> None:
        """Replaces XenServer's table of last states."""
        self.pool_cache = dict(cache)

    def end(self) -> Reaction[Books]:
        """The books as they are now, and what was done."""
        self.high_availability()
        books = Books(
            rows=self.rows,
            hosts=self.hosts,
            pool_cache=self.pool_cache,
            host_caches=self.host_caches,
            silent_since=self.silent_since,
            pool=self.view.pool if self.view is not None else self.books.pool,
            seen=self.everything(),
        )
        return Reaction(memory=books, outcomes=tuple(self.outcomes))
