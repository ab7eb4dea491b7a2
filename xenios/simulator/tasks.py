"""The tasks of a simulated pool: how far a call is, how it ended, and how soon nobody can ask any more.

A finished task is deleted after 65 minutes, or at the next collection when there are more than 200: on a busy pool
a client that asks late finds HANDLE_INVALID and knows nothing about its call. That has to be lived with, so it is
played here.

Effects: none
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import NULL, Record
from xenios.simulator.population.book import stamp
from xenios.simulator.tables import Tables

FINISHED_MINUTES_MAX = 65
TASKS_MAX = 200
UNFINISHED = ("pending", "cancelling")


class Tasks:
    """All tasks of a pool."""

    def __init__(self, tables: Tables, now: Callable[[], datetime]) -> None:
        """`now` gives the time of the pool."""
        self._tables = tables
        self._now = now
        self._finished: dict[str, datetime] = {}
        self._doomed: set[str] = set()
        self._cancelled: dict[str, asyncio.Event] = {}

    def create(self, label: str, description: str, host: str, *, cancellable: bool) -> str:
        """A new pending task; returns its ref."""
        return self._tables.create(
            "task",
            {
                "name_label": label,
                "name_description": description,
                "created": stamp(self._now()),
                "status": "pending",
                "resident_on": host,
                "progress": 0.0,
                "type": "<none/>",
                "subtask_of": NULL,
                "allowed_operations": ["cancel"] if cancellable else [],
                "backtrace": "()",
            },
        )

    def find(self, ref: str) -> Record | None:
        """The record of a task, or None when it is gone."""
        return self._tables.find("task", ref)

    def set_progress(self, ref: str, fraction: float) -> None:
        """Tell how far a task is, 0 to 1."""
        if self._is_unfinished(ref):
            self._tables.change("task", ref, progress=fraction)

    def succeed(self, ref: str, result: str) -> None:
        """The call returned; `result` is its value as XML-RPC text. The status changes last."""
        if self._is_unfinished(ref):
            now = self._now()
            self._tables.change("task", ref, progress=1.0)
            self._tables.change("task", ref, finished=stamp(now))
            self._tables.change("task", ref, result=result)
            self._finish(ref, now, "success")

    def fail(self, ref: str, error: ApiError) -> None:
        """The call failed, or was cancelled."""
        if self._is_unfinished(ref):
            now = self._now()
            cancelled = error.code == "TASK_CANCELLED"
            self._tables.change("task", ref, progress=1.0)
            self._tables.change("task", ref, finished=stamp(now), error_info=error.description, result="")
            self._finish(ref, now, "cancelled" if cancelled else "failure")

    def _finish(self, ref: str, now: datetime, status: str) -> None:
        self._tables.change("task", ref, status=status, allowed_operations=[], current_operations={})
        self._finished[ref] = now
        self._cancelled.pop(ref, None)

    def set_status(self, ref: str, status: str) -> None:
        """A client says how the task that it made itself stands."""
        self._tables.change("task", ref, status=status)
        if status in UNFINISHED:
            self._finished.pop(ref, None)
        else:
            self._finished[ref] = self._now()
            self._tables.change("task", ref, finished=stamp(self._now()), allowed_operations=[])

    def cancel(self, ref: str, by: str) -> None:
        """Ask the call to stop; it does so where it next takes time. `by` is the ref of the asking call's task.

        Raises HANDLE_INVALID, and OPERATION_NOT_ALLOWED for a task that cannot be cancelled.
        """
        task = self._tables.get("task", ref)
        if "cancel" not in task["allowed_operations"]:
            raise ApiError("OPERATION_NOT_ALLOWED", f"task {task['uuid']} cannot be cancelled")
        self._tables.change(
            "task", ref, status="cancelling", current_operations={by: "cancel"}, allowed_operations=[]
        )
        self.cancelled(ref).set()

    def cancelled(self, ref: str) -> asyncio.Event:
        """What is set when a task is asked to stop."""
        return self._cancelled.setdefault(ref, asyncio.Event()) if ref else asyncio.Event()

    def is_cancelling(self, ref: str) -> bool:
        """Whether somebody asked a task to stop and it has not yet."""
        task = self.find(ref)
        return task is not None and task["status"] == "cancelling"

    def destroy(self, ref: str) -> None:
        """Delete a finished task; an unfinished one goes when it is done. Raises HANDLE_INVALID."""
        if self._tables.get("task", ref)["status"] in UNFINISHED:
            self._doomed.add(ref)
        else:
            self._delete(ref)

    def end(self, ref: str) -> None:
        """Delete the task of a call that was waited for, whatever its status."""
        if self.find(ref) is not None:
            self._delete(ref)

    def collect(self) -> None:
        """Delete what nobody wants, what is old, and the oldest finished ones where there are too many."""
        oldest = self._now() - timedelta(minutes=FINISHED_MINUTES_MAX)
        for ref, finished in sorted(self._finished.items(), key=lambda item: item[1]):
            too_many = len(self._tables.rows("task")) > TASKS_MAX
            if too_many or finished <= oldest or ref in self._doomed:
                self.end(ref)
                self._finished.pop(ref, None)

    def restart(self) -> None:
        """Forget all of them; the rows are gone already."""
        self._finished.clear()
        self._doomed.clear()
        self._cancelled.clear()

    def _is_unfinished(self, ref: str) -> bool:
        task = self.find(ref)
        return task is not None and task["status"] in UNFINISHED

    def _delete(self, ref: str) -> None:
        self._tables.delete("task", ref)
        self._finished.pop(ref, None)
        self._doomed.discard(ref)
        self._cancelled.pop(ref, None)
