"""The way of one call through a simulated pool: from a name and parameters to a value, an error, or no answer.

The order of the refusals is XAPI's: a host in emergency mode, a supporter that names its master, the number of
parameters, the session, the types of the parameters, and then whatever the operation says itself. Work that was
begun goes on when the client goes away; a restart of the toolstack ends it.

Effects: none
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xenios.simulator.api_error import ApiError, ConnectionCut
from xenios.simulator.coerce import coerce, internal_error
from xenios.simulator.dispatch import ASYNC_PREFIX, Call, Method, run_method
from xenios.simulator.facts.datamodel import FieldType, Kind, load_datamodel
from xenios.simulator.faults import Trouble
from xenios.simulator.generic import find_method, method_names
from xenios.simulator.journal import SUCCESS, Entry, redacted
from xenios.simulator.serving.wire_xml import encode_value
from xenios.simulator.sessions import Session

if TYPE_CHECKING:
    from xenios.simulator.pool import SimulatedPool

_log = logging.getLogger(__name__)
_TASK = FieldType(Kind.REF, "task")
_SESSION = FieldType(Kind.REF, "session")
_LOGIN = "session.login_with_password"
_NAMES_OF_CALLS = "system.listMethods"
_ALIVE = "system.isAlive"
# A session that is good for one host may not ask for the pool's data.
_LOCAL_CALLS = frozenset({"session.local_logout", "host.is_in_emergency_mode", "pool.is_slave"})


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Who calls, as far as the connection tells."""

    address: str = ""
    user_agent: str = ""


NOBODY = ClientInfo()


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back over the wire."""

    value: Any = None
    type: FieldType | None = None
    """The declared type of the value; None where nothing is returned."""
    error: ApiError | None = None
    cut_after_bytes: int | None = None
    """The connection ends after so many bytes of the reply."""
    bare: bool = False
    """system.listMethods and system.isAlive answer without the envelope of success."""


@dataclass(slots=True)
class _Running:
    host: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A call whose name was understood."""

    called: str
    name: str
    asynchronous: bool
    method: Method | None


class Answering:
    """The calls of one pool that are being answered."""

    def __init__(self, pool: "SimulatedPool") -> None:
        """Nothing is under way yet."""
        self._pool = pool
        self._running: dict[asyncio.Task[Any], _Running] = {}

    def running(self) -> list[asyncio.Task[Any]]:
        """What is under way and takes time."""
        return list(self._running)

    def cut(self, which: Callable[[_Running], bool]) -> None:
        """End calls under way without an answer."""
        current = asyncio.current_task() if self._running else None
        for task, running in list(self._running.items()):
            if which(running) and task is not current:
                running.cut = True
                task.cancel()

    async def answer(
        self, host: str, method: str, params: Sequence[Any], client: ClientInfo = NOBODY
    ) -> Answer:
        """What a host answers to a call. Raises ConnectionCut when it does not answer.

        Work that was begun goes on when the one who waits for it is cancelled; mere reading does not.
        """
        if self._pool.refuses_connections(host):
            raise ConnectionCut
        trouble = self._pool.faults.hitting(method, self._pool.names_of_host(host))
        if trouble.cut:
            raise ConnectionCut
        wanted = self._understood(method)
        answering = self._answer(host, wanted, params, trouble, client)
        waits = wanted.method is not None and wanted.method.waits and not wanted.asynchronous
        if not (waits or trouble.takes_time or host in self._pool.outages.hanging):
            return await answering
        reads = wanted.method is None or wanted.method.reads
        return await self._attended(answering, host, goes_on=not reads)

    def abandoned_with_client(self, method: str) -> bool:
        """Whether a call ends when its client goes away: waiting for events does, operations do not."""
        wanted = self._understood(method)
        return wanted.method is None or wanted.method.reads

    async def _attended(self, work: Coroutine[Any, Any, Answer], host: str, *, goes_on: bool) -> Answer:
        task, running = self._spawn(work, host)
        try:
            answer = await (asyncio.shield(task) if goes_on else task)
        except asyncio.CancelledError:
            # Either we are cancelled, or the toolstack went away under the call.
            if running.cut:
                raise ConnectionCut from None
            raise
        if running.cut:
            raise ConnectionCut
        return answer

    def _spawn(self, work: Coroutine[Any, Any, Answer], host: str) -> tuple[asyncio.Task[Answer], _Running]:
        running = _Running(host)
        task = asyncio.get_running_loop().create_task(work)
        self._running[task] = running
        task.add_done_callback(self._forget)
        return task, running

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._pool.defects.append(error)

    def _understood(self, called: str) -> _Wanted:
        asynchronous = called.startswith(ASYNC_PREFIX)
        name = called.removeprefix(ASYNC_PREFIX)
        method = find_method(name)
        if method is None and not asynchronous and "." not in name:
            # VM_start is VM.start; classes have underscores too, so the longest one that fits is taken.
            for position in range(len(name) - 1, 0, -1):
                if name[position] == "_":
                    method = find_method(f"{name[:position]}.{name[position + 1 :]}")
                    if method is not None:
                        return _Wanted(called, method.name, asynchronous, method)
        return _Wanted(called, name, asynchronous, method)

    async def _answer(
        self, host: str, wanted: _Wanted, params: Sequence[Any], trouble: Trouble, client: ClientInfo
    ) -> Answer:
        await self._pool.clock.sleep(trouble.delay_seconds)
        if trouble.hang or self._hangs(host, wanted):
            await _for_ever()
        try:
            value, kind_of, bare = await self._value(host, wanted, params, trouble, client)
        except ApiError as error:
            return Answer(error=error, cut_after_bytes=trouble.cut_after_bytes)
        if trouble.lose_reply:
            await _for_ever()
        if trouble.empty:
            value = _empty(value)
        return Answer(value, kind_of, None, trouble.cut_after_bytes, bare)

    def _hangs(self, host: str, wanted: _Wanted) -> bool:
        """A supporter without its master still knows that it is a supporter."""
        if host not in self._pool.outages.hanging:
            return False
        return host == self._pool.master() or not (
            wanted.name == _LOGIN or wanted.name in load_datamodel().emergency_calls
        )

    async def _value(
        self, host: str, wanted: _Wanted, params: Sequence[Any], trouble: Trouble, client: ClientInfo
    ) -> tuple[Any, FieldType | None, bool]:
        if wanted.called == _NAMES_OF_CALLS:
            return method_names(), None, True
        if wanted.called.startswith(_ALIVE):
            return (params[0] if params else ""), None, True
        method = wanted.method
        if method is None:
            raise ApiError("MESSAGE_METHOD_UNKNOWN", wanted.name)
        self._check_host(host, method)
        session, rest = self._session(host, method, params)
        if session is not None:
            self._pool.sessions.note_activity(session)
        entry = self._entry(host, wanted, method, session, rest, client)
        try:
            arguments = self._arguments(wanted, method, rest, trouble)
        except ApiError as error:
            self._finish(entry, error.code)
            raise
        call = Call(self._pool, method.name, session, "", host)
        if wanted.asynchronous:
            return self._begin(call, wanted, method, arguments, entry), _TASK, False
        if method.reads:
            with _Busy(session):
                return await self._run(method, call, arguments), method.result, False
        return await self._done(call, wanted, method, arguments, entry), method.result, False

    def _arguments(
        self, wanted: _Wanted, method: Method, params: Sequence[Any], trouble: Trouble
    ) -> list[Any]:
        if wanted.asynchronous and not _may_be_asynchronous(method):
            raise ApiError("Fault", f"No async mode for this operation (rpc: {method.name})")
        arguments = method.bind(params)
        if trouble.error:
            raise ApiError(*trouble.error)
        return arguments

    def _check_host(self, host: str, method: Method) -> None:
        if method.name in load_datamodel().emergency_calls:
            return
        stashed = self._pool.outages.emergency_of(host)
        if stashed is not None:
            raise stashed
        if method.name == _LOGIN:
            self._check_master(host)

    def _check_master(self, host: str) -> None:
        if host != self._pool.master():
            raise ApiError("HOST_IS_SLAVE", self._pool.tables.get("host", self._pool.master())["address"])

    def _session(
        self, host: str, method: Method, params: Sequence[Any]
    ) -> tuple[Session | None, Sequence[Any]]:
        if not method.needs_session:
            return None, params
        if not params:
            raise ApiError("MESSAGE_PARAMETER_COUNT_MISMATCH", method.name, str(len(method.params)), "-1")
        ref, rest = params[0], params[1:]
        method.check_count(len(rest))
        session = self._pool.sessions.get(coerce(ref, _SESSION))
        if session.local:
            if method.name not in load_datamodel().emergency_calls | _LOCAL_CALLS or session.host != host:
                raise ApiError("SESSION_INVALID", ref)
        else:
            self._check_master(host)
        return session, rest

    def _entry(
        self,
        host: str,
        wanted: _Wanted,
        method: Method,
        session: Session | None,
        params: Sequence[Any],
        client: ClientInfo,
    ) -> Entry | None:
        if method.reads:
            return None
        known = self._pool.tables.find("host", host)
        user = session.user if session is not None else str(params[0]) if params else ""
        originator = session.originator if session is not None else str(params[3]) if len(params) > 3 else ""
        return self._pool.journal.add(
            Entry(
                at=self._pool.now(),
                host=known["uuid"] if known is not None else host,
                user=user,
                originator=originator,
                client=client.address,
                method=wanted.called,
                params=redacted(params, method.params),
            )
        )

    def _finish(self, entry: Entry | None, outcome: str) -> None:
        if entry is not None:
            self._pool.journal.finish(entry, outcome)

    async def _done(
        self,
        call: Call,
        wanted: _Wanted,
        method: Method,
        arguments: Sequence[Any],
        entry: Entry | None,
    ) -> Any:
        """Run a call that its client waits for; its task exists meanwhile."""
        if method.class_name not in load_datamodel().classes_without_async:
            call.task = self._pool.tasks.create(wanted.called, "", call.host, cancellable=True)
        outcome = "lost"
        try:
            with _Busy(call.session):
                value = await self._run(method, call, arguments)
            outcome = SUCCESS
        except ApiError as error:
            outcome = error.code
            raise
        finally:
            self._finish(entry, outcome)
            self._pool.tasks.end(call.task)
        return value

    def _begin(
        self,
        call: Call,
        wanted: _Wanted,
        method: Method,
        arguments: Sequence[Any],
        entry: Entry | None,
    ) -> str:
        """Start a call that runs on as a task; returns the task's ref."""
        call.task = self._pool.tasks.create(wanted.called, "", call.host, cancellable=True)
        if call.session is not None:
            call.session.busy += 1
        self._spawn(self._run_task(call, method, arguments, entry), call.host)
        return call.task

    async def _run_task(
        self, call: Call, method: Method, arguments: Sequence[Any], entry: Entry | None
    ) -> Answer:
        outcome = "lost"
        try:
            value = await self._run(method, call, arguments)
            self._pool.tasks.succeed(call.task, encode_value(value, method.result))
            outcome = SUCCESS
        except ApiError as error:
            self._pool.tasks.fail(call.task, error)
            outcome = error.code
        finally:
            self._finish(entry, outcome)
            if call.session is not None:
                call.session.busy -= 1
        return Answer()

    async def _run(self, method: Method, call: Call, arguments: Sequence[Any]) -> Any:
        try:
            return await run_method(method, call, arguments)
        except ApiError:
            raise
        except Exception as defect:
            _log.exception("a defect of the simulator in %s", method.name)
            self._pool.defects.append(defect)
            raise internal_error(f"{type(defect).__name__}: {defect}") from defect


class _Busy:
    """Keeps a session from being collected in the middle of a call."""

    def __init__(self, session: Session | None) -> None:
        self._session = session

    def __enter__(self) -> None:
        if self._session is not None:
            self._session.busy += 1

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.busy -= 1


def _may_be_asynchronous(method: Method) -> bool:
    return method.asynchronous and method.class_name not in load_datamodel().classes_without_async


async def _for_ever() -> None:
    await asyncio.Event().wait()


def _empty(value: Any) -> Any:
    """Nothing, of the same kind."""
    match value:
        case {"events": _, "token": token, "valid_ref_counts": _}:
            return {"events": [], "token": token, "valid_ref_counts": {}}
        case Mapping():
            return {}
        case list():
            return []
        case str():
            return ""
        case bool():
            return False
        case int() | float():
            return type(value)(0)
        case _:
            return value
