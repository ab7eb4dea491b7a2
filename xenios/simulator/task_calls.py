"""The calls about tasks: making one for work of one's own, cancelling, and deleting.

Effects: none
"""

from xenios.simulator.dispatch import Call, implements


@implements("task.create", reads=False)
def task_create(call: Call, label: str, description: str) -> str:
    """A task for work that the client does itself."""
    return call.pool.tasks.create(label, description, call.host, cancellable=True)


@implements("task.destroy", reads=False)
def task_destroy(call: Call, ref: str) -> None:
    """Delete a finished task; an unfinished one goes once it is done."""
    call.pool.tasks.destroy(ref)


@implements("task.cancel", reads=False)
def task_cancel(call: Call, ref: str) -> None:
    """Ask a task to stop."""
    call.pool.tasks.cancel(ref, call.task)


@implements("task.set_status", reads=False)
def task_set_status(call: Call, ref: str, value: str) -> None:
    """Say how the client's own work stands."""
    call.pool.tasks.set_status(ref, value)
