"""What operations tell while they run and when they are done: progress, and messages worded as the real server's.

Effects: none
"""

from xenios.simulator.dispatch import Call

_PRIORITY = 5


def tell_of_vm(call: Call, vm: str, name: str, what: str) -> None:
    """Leave a message about a VM, such as VM_STARTED; nothing if the VM is gone."""
    record = call.pool.tables.find("VM", vm)
    if record is not None:
        body = f"VM '{record['name_label']}' (uuid: {record['uuid']}) {what}"
        call.pool.message(name, "VM", record["uuid"], _PRIORITY, body)


def host_named(call: Call, host: str) -> str:
    """A host as messages name it."""
    record = call.pool.tables.get("host", host)
    return f"{record['name_label']} (uuid: {record['uuid']})"


async def in_steps(
    call: Call, seconds: float, *, steps: int = 4, begin: float = 0.0, end: float = 0.9
) -> None:
    """Take this long, telling on the way how far the task is. Raises ApiError TASK_CANCELLED."""
    for step in range(1, steps + 1):
        await call.sleep(seconds / steps)
        call.progress(begin + (end - begin) * step / steps)
