"""Marks an object as busy while an operation runs, and makes others wait for their turn as XAPI does.

`current_operations` names the task and the operation; `allowed_operations` is worked out anew when one begins and
when it ends, whichever way it ends. OTHER_OPERATION_IN_PROGRESS is not for the client at first: the server itself
tries again until the other operation is over, for up to two hours. So the second of two starts blocks, and is then
refused because the VM runs. Source: with_vm_operation and retry_with_global_lock in xapi's message_forwarding.ml.

Effects: none
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import Call
from xenios.simulator.facts.datamodel import NULL, load_datamodel
from xenios.simulator.tables import Tables
from xenios.simulator.verbs.device_lifecycle import (
    refusal_of_vbd,
    refusal_of_vdi,
    refusal_of_vif,
    vbd_operations_allowed,
    vdi_operations_allowed,
    vif_operations_allowed,
)
from xenios.simulator.verbs.host_lifecycle import host_operations_allowed, refusal_of_host
from xenios.simulator.verbs.lifecycle import refusal_of_vm, vm_operations_allowed

WAIT_SECONDS_MAX = 7200.0
_FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 20.0

ALLOWED: dict[str, Callable[[Tables, str], list[str]]] = {
    "VM": vm_operations_allowed,
    "VBD": vbd_operations_allowed,
    "VIF": vif_operations_allowed,
    "VDI": vdi_operations_allowed,
    "host": host_operations_allowed,
}
_CANCELLED_BY = {
    "hard_shutdown": frozenset(
        {"clean_shutdown", "clean_reboot", "hard_reboot", "pool_migrate", "call_plugin", "suspend"}
    ),
    "hard_reboot": frozenset({"clean_shutdown", "clean_reboot", "pool_migrate", "call_plugin", "suspend"}),
}


def refresh(tables: Tables, class_name: str, ref: str) -> None:
    """Work out `allowed_operations` of an object anew; nothing if it is gone."""
    if tables.find(class_name, ref) is not None:
        tables.change(class_name, ref, allowed_operations=ALLOWED[class_name](tables, ref))


def refresh_with_devices(tables: Tables, vm: str) -> None:
    """Work out `allowed_operations` of a VM, of its VBDs and VIFs and of the disks behind them anew."""
    record = tables.find("VM", vm)
    if record is None:
        return
    refresh(tables, "VM", vm)
    for vbd in list(record["VBDs"]):
        refresh(tables, "VBD", vbd)
        device = tables.find("VBD", vbd)
        if device is not None:
            refresh(tables, "VDI", device["VDI"])
    for vif in list(record["VIFs"]):
        refresh(tables, "VIF", vif)


def forget_operations(tables: Tables) -> None:
    """Put right what a restarted server finds: nothing is in progress, and no memory is reserved for anybody."""
    for class_name, api_class in load_datamodel().classes.items():
        if "current_operations" not in api_class.fields:
            continue
        busy = [ref for ref, record in tables.rows(class_name).items() if record["current_operations"]]
        for ref in busy:
            tables.change(class_name, ref, current_operations={})
        for ref in busy if class_name in ALLOWED else ():
            refresh(tables, class_name, ref)
    for ref, vm in list(tables.rows("VM").items()):
        if vm["scheduled_to_be_resident_on"] != NULL:
            tables.change("VM", ref, scheduled_to_be_resident_on=NULL)


def refusal_of(
    tables: Tables, class_name: str, ref: str, operation: str, *, strict: bool = True
) -> ApiError | None:
    """Why an object does not admit an operation now; None if it does. Raises ApiError HANDLE_INVALID."""
    match class_name:
        case "VM":
            return refusal_of_vm(tables, ref, operation, strict=strict)
        case "VBD":
            return refusal_of_vbd(tables, ref, operation)
        case "VIF":
            return refusal_of_vif(tables, ref, operation)
        case "VDI":
            return refusal_of_vdi(tables, ref, operation)
        case "host":
            return refusal_of_host(tables, ref, operation)
        case _:
            raise ValueError(f"no operations are known for the class {class_name}")


@asynccontextmanager
async def operation(
    call: Call, class_name: str, ref: str, name: str, *, strict: bool = True
) -> AsyncIterator[None]:
    """Do something that this object must admit, once it is its turn.

    Raises ApiError with the reason why it is not admitted, and OTHER_OPERATION_IN_PROGRESS only when the other
    operation has not ended after two hours.
    """
    await _turn(call, class_name, ref, name, strict=strict)
    with marked(call, class_name, [ref], name):
        _cancel_what_yields(call, class_name, ref, name)
        yield


@contextmanager
def marked(call: Call, class_name: str, refs: Sequence[str], name: str) -> Iterator[None]:
    """Note an operation in `current_operations` of these objects while it runs; asks for no permission."""
    tables = call.pool.tables
    for ref in refs:
        current = tables.get(class_name, ref)["current_operations"]
        tables.change(class_name, ref, current_operations={**current, call.task: name})
        refresh(tables, class_name, ref)
    try:
        yield
    finally:
        for ref in refs:
            record = tables.find(class_name, ref)
            if record is not None:
                current = {
                    task: other for task, other in record["current_operations"].items() if task != call.task
                }
                tables.change(class_name, ref, current_operations=current)
                refresh(tables, class_name, ref)


async def _turn(call: Call, class_name: str, ref: str, name: str, *, strict: bool) -> None:
    waited, pause = 0.0, _FIRST_WAIT_SECONDS
    while True:
        refusal = refusal_of(call.pool.tables, class_name, ref, name, strict=strict)
        if refusal is None:
            return
        if refusal.code != "OTHER_OPERATION_IN_PROGRESS" or waited >= WAIT_SECONDS_MAX:
            raise refusal
        waited += await _until_something_changes(call, class_name, pause)
        pause = min(2 * pause, _LONGEST_WAIT_SECONDS)


async def _until_something_changes(call: Call, class_name: str, seconds_at_most: float) -> float:
    """Wait until an object of the class changes, but not for ever; returns for how many seconds."""
    begun = call.pool.clock.now()
    changed = asyncio.Event()
    forget = call.pool.tables.watch(changed.set, (class_name,))
    news = asyncio.ensure_future(changed.wait())
    pause = asyncio.ensure_future(call.sleep(seconds_at_most))
    try:
        await asyncio.wait({news, pause}, return_when=asyncio.FIRST_COMPLETED)
        if pause.done():
            pause.result()  # it raises when the task was cancelled meanwhile
            return seconds_at_most
        passed = (call.pool.clock.now() - begun).total_seconds()
        return passed / call.pool.speed if call.pool.speed > 0 else 0.0
    finally:
        forget()
        for waiting in (news, pause):
            waiting.cancel()
        await asyncio.gather(news, pause, return_exceptions=True)


def _cancel_what_yields(call: Call, class_name: str, ref: str, name: str) -> None:
    yielding = _CANCELLED_BY.get(name, frozenset[str]()) if class_name == "VM" else frozenset[str]()
    if not yielding:
        return
    for task, other in call.pool.tables.get("VM", ref)["current_operations"].items():
        known = call.pool.tasks.find(task)
        if other in yielding and task != call.task and known is not None and known["status"] == "pending":
            call.pool.tasks.cancel(task, call.task)
