"""Which code answers which call, and what that code is given.

Operations say `@implements("VM.start")`; everything that follows from the fields of a class is in `generic.py`;
both are found here by the name that came over the wire. Parameters are checked against the data model before any
code sees them, so that an operation is written as a plain function of plain values.

Effects: none
"""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from xenios.simulator.api_error import ApiError
from xenios.simulator.coerce import coerce
from xenios.simulator.facts.datamodel import FieldType, Parameter, load_datamodel
from xenios.simulator.sessions import Session

if TYPE_CHECKING:
    from xenios.simulator.pool import SimulatedPool

Implementation = Callable[..., Any]
Decorated = TypeVar("Decorated", bound=Implementation)
ASYNC_PREFIX = "Async."
# Messages whose names promise that nothing changes; the others count as writes unless they say otherwise.
_READING = (
    "get",
    "compute_",
    "assert_",
    "is_",
    "has_",
    "list_",
    "query_",
    "maximise_memory",
    "retrieve_",
    "ha_compute_",
    "ha_failover_plan_exists",
    "check_",
    "crl_list",
    "certificate_list",
    "dmesg",
    "probe",
)


@dataclass(slots=True)
class Call:
    """One call while it is being answered."""

    pool: "SimulatedPool"
    method: str
    """Without `Async.`: `VM.start`."""
    session: Session | None
    """None for the few calls that need none."""
    task: str
    """The ref of this call's own task; empty for reads, which have none."""
    host: str
    """The ref of the host that received the call."""

    async def sleep(self, seconds: float) -> None:
        """Take the time that this work takes, times the pool's speed. Raises TASK_CANCELLED [task]."""
        self.check_cancelled()
        duration = seconds * self.pool.speed
        if duration > 0:
            cancelled = self.pool.tasks.cancelled(self.task)
            awake = self.pool.clock.call_later(duration, cancelled.set)
            try:
                await cancelled.wait()
            finally:
                awake()
                cancelled.clear()
            self.check_cancelled()

    def check_cancelled(self) -> None:
        """Raises TASK_CANCELLED [task] when somebody has cancelled this call's task."""
        if self.pool.tasks.is_cancelling(self.task):
            raise ApiError("TASK_CANCELLED", self.task)

    def progress(self, fraction: float) -> None:
        """Tell how far this call's task is, 0 to 1."""
        self.pool.tasks.set_progress(self.task, fraction)


@dataclass(frozen=True, slots=True)
class Method:
    """A call that the pool knows."""

    name: str
    params: tuple[Parameter, ...]
    result: FieldType | None
    """None where nothing is returned."""
    run: Implementation
    """A function or coroutine function of a Call and the parameters."""
    asynchronous: bool = False
    """Whether `Async.` may stand before it."""
    reads: bool = True
    """Whether it changes nothing: no task, no line in the journal."""
    needs_session: bool = True
    waits: bool = False
    """Whether `run` is a coroutine function."""

    @property
    def class_name(self) -> str:
        """The class before the dot."""
        return self.name.partition(".")[0]

    def bind(self, params: Sequence[Any]) -> list[Any]:
        """The parameters as their declared types, session excluded.

        Raises MESSAGE_PARAMETER_COUNT_MISMATCH and the errors of `coerce`.
        """
        self.check_count(len(params))
        return [coerce(value, declared.type) for value, declared in zip(params, self.params, strict=False)]

    def check_count(self, received: int) -> None:
        """Raises MESSAGE_PARAMETER_COUNT_MISMATCH [method, expected, received], not counting the session."""
        expected = len(self.params)
        needed = sum(1 for param in self.params if not param.has_default)
        if not needed <= received <= expected:
            raise ApiError("MESSAGE_PARAMETER_COUNT_MISMATCH", self.name, str(expected), str(received))


@dataclass(frozen=True, slots=True)
class _Implemented:
    run: Implementation
    reads: bool | None
    needs_session: bool
    params: tuple[Parameter, ...] | None
    result: FieldType | None


IMPLEMENTED: dict[str, _Implemented] = {}
"""Full name -> the operation that answers; filled by importing the modules with operations."""


def implements(
    method: str,
    *,
    reads: bool | None = None,
    needs_session: bool = True,
    params: tuple[Parameter, ...] | None = None,
    result: FieldType | None = None,
) -> Callable[[Decorated], Decorated]:
    """Mark a function or coroutine function of (call, parameters…) as what answers `method`, `VM.start`.

    `reads` tells whether it changes nothing (default: what its name promises). `params` and `result` are for calls
    that the data model does not describe; parameters with a default may be left out by clients, and the function's
    signature must then have that default.
    """

    def register(function: Decorated) -> Decorated:
        if method in IMPLEMENTED:
            raise ValueError(f"{method} is implemented twice")
        IMPLEMENTED[method] = _Implemented(function, reads, needs_session, params, result)
        return function

    return register


def reads_by_name(method: str) -> bool:
    """Whether the name of a message promises that it changes nothing."""
    return method.partition(".")[2].startswith(_READING)


def implemented_method(name: str, made: Method | None) -> Method | None:
    """The operation behind a name; None when nobody wrote it.

    Its parameters are those that it names itself, or the data model's, or those of the call `made` from a field.
    """
    found = IMPLEMENTED.get(name)
    if found is None:
        return None
    message = load_datamodel().messages.get(name)
    described = message or made
    if found.params is None and described is None:
        raise ValueError(f"{name} is not in the data model: @implements needs its params")
    params = found.params
    result = found.result
    if described is not None:
        params = described.params if params is None else params
        result = described.result if result is None else result
    return Method(
        name,
        params or (),
        result,
        found.run,
        asynchronous=described is not None and described.asynchronous,
        reads=reads_by_name(name) if found.reads is None else found.reads,
        needs_session=found.needs_session,
        waits=inspect.iscoroutinefunction(found.run),
    )


async def run_method(method: Method, call: Call, params: Sequence[Any]) -> Any:
    """Run what answers a call, whether it waits or not."""
    result = method.run(call, *params)
    if asyncio.iscoroutine(result):
        return await result
    return result
