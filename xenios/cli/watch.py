"""`xenios inspect --watch`: stays on, and prints each change of the targets as it happens.

Targets are followed at once and cannot spoil each other: one that cannot be read is told, and the others go on. Ctrl-C
and SIGTERM end it in order, with the sessions logged out.

Effects: reads hypervisors; writes changes to standard output
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import traceback
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any

import click

from xenios.app import TARGETS_AT_ONCE, Access, Connections, driver_for, without_secrets
from xenios.cli import output
from xenios.cli.event_loop import run
from xenios.cli.output import ReaderGone
from xenios.clock import now_micros
from xenios.decide.changes import Known
from xenios.errors import TargetSilent, TargetUnreadable, XeniosError
from xenios.model.update import Change, ChangeKind, Thing, UpdateSource
from xenios.report.render_changes import render_change, render_change_json

Tell = Callable[[str, Change], None]
"""Is told a target and a change of it."""


def watch(targets: Sequence[str], *, as_json: bool, timeout_seconds: float, access: Access) -> int:
    """Follows the targets until Ctrl-C. The exit status: 0, or 1 when some target could not be followed, or not on.

    Raises XeniosError when what changed cannot be written.
    """
    several = len(set(targets)) > 1
    unread: set[str] = set()

    def tell(target: str, change: Change) -> None:
        if _is_of_the_whole(change, target):
            unread.add(target)
        if as_json:
            _print(render_change_json(change, target=target, told_at=now_micros()))
        else:
            _print(render_change(change, target=target if several else "", told_at=now_micros()))

    try:
        run(_until_told_to_end(follow(targets, timeout_seconds=timeout_seconds, access=access, tell=tell)))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("Stopped; nothing was changed by looking on.", err=True)
        return 1 if unread else 0
    except ReaderGone as gone:
        if gone.trouble is not None:
            raise gone.trouble from gone
        return 1 if unread else 0
    return 1


async def _until_told_to_end(work: Coroutine[Any, Any, None]) -> None:
    """SIGTERM ends it like Ctrl-C: a service manager's stop should leave no session behind."""
    this, loop = asyncio.current_task(), asyncio.get_running_loop()
    if this is not None:
        loop.add_signal_handler(signal.SIGTERM, this.cancel)
    try:
        await work
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def follow(
    targets: Sequence[str],
    *,
    timeout_seconds: float,
    access: Access | None = None,
    tell: Tell,
    connections: Connections | None = None,
) -> None:
    """Tells the changes of all targets; ends when none is left, or with what `tell` raises.

    `connections`: instead of real ones, for pools that are simulated in this process.
    """
    places = asyncio.Semaphore(TARGETS_AT_ONCE)
    async with connections or Connections(access) as shared:
        followed = [
            asyncio.create_task(_follow(target, timeout_seconds, shared, places, tell))
            for target in dict.fromkeys(targets)
        ]
        try:
            await asyncio.gather(*followed)
        finally:
            for task in followed:
                task.cancel()
            await asyncio.gather(*followed, return_exceptions=True)


async def _follow(
    target: str, timeout_seconds: float, connections: Connections, places: asyncio.Semaphore, tell: Tell
) -> None:
    name = without_secrets(target)
    try:
        await _follow_while_readable(target, name, timeout_seconds, connections, places, tell)
    except ReaderGone:
        raise
    except XeniosError as error:
        tell(name, _unreadable(name, error))
    except TimeoutError:
        silent = TargetSilent(
            f"no answer within {timeout_seconds:g} s", remedy="give it longer with --timeout"
        )
        tell(name, _unreadable(name, silent))
    except Exception as error:  # noqa: BLE001 - a defect in following one target must not end the others
        if os.environ.get("XENIOS_DEBUG"):
            traceback.print_exc()
        defect = TargetUnreadable(
            f"a defect of Xenios: {type(error).__name__}: {error}",
            remedy="run it again with XENIOS_DEBUG=1 and report what it prints",
        )
        tell(name, _unreadable(name, defect))


async def _follow_while_readable(
    target: str,
    name: str,
    timeout_seconds: float,
    connections: Connections,
    places: asyncio.Semaphore,
    tell: Tell,
) -> None:
    known = Known()
    async with contextlib.AsyncExitStack() as stack:
        async with places:  # only so many first views at once
            observer = await driver_for(target).open(target, timeout_seconds, connections)
            stack.push_async_callback(observer.close)
            updates = await stack.enter_async_context(aclosing(observer.watch()))
            for change in known.learn(await anext(updates)):
                tell(name, change)
        async for update in updates:
            for change in known.learn(update):
                tell(name, change)


def _unreadable(name: str, error: XeniosError) -> Change:
    return Change(
        seen_at=now_micros(),
        source=UpdateSource.VIEW,
        because=str(error),
        kind=ChangeKind.NOT_READ,
        thing=Thing.PART,
        name=name,
        remedy=error.remedy,
    )


def _is_of_the_whole(change: Change, target: str) -> bool:
    """Whether it tells what `_unreadable` does: that nothing is heard of this target, or nothing more."""
    return change.kind is ChangeKind.NOT_READ and change.thing is Thing.PART and change.name == target


def _print(line: str) -> None:
    output.write(line, what="what changed", command="xenios inspect --watch")
