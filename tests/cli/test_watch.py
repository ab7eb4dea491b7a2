"""Does `xenios inspect --watch` print what happens while it happens, and end as it should?

Effects: starts processes of its own, opens sockets on loopback
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import SECONDS_MAX, command_line, environment, xenios
from tests.support.database_files import EXAMPLE
from tests.support.served_pool import Serving, serving
from tests.support.simulated import simulated_pool
from xenios.app import Access, Connections
from xenios.cli.output import ReaderGone
from xenios.cli.watch import follow
from xenios.drivers.xenserver.target import Secret
from xenios.model.update import Change, ChangeKind
from xenios.simulator.serving.in_process import InProcessTransport

PASSWORD = {"XENIOS_PASSWORD": "xenios"}


# --- the command itself ----------------------------------------------------------------------------------------------


@dataclass
class Watching:
    """A command that watches, and what it printed so far."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def until(self, *words: str) -> str:
        """Reads lines until one has all these words. Raises AssertionError when none comes."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(SECONDS_MAX):
                while line := (await self.process.stdout.readline()).decode():
                    self.lines.append(line)
                    if all(word in line for word in words):
                        return line
        except TimeoutError:
            pass
        raise AssertionError(f"no line with {words} among:\n{''.join(self.lines)}")

    async def end(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """Ends it; its exit status and what it wrote to standard error."""
        assert self.process.stderr is not None
        self.process.send_signal(how)
        async with asyncio.timeout(SECONDS_MAX):
            said = (await self.process.stderr.read()).decode()
            return await self.process.wait(), said


@contextlib.asynccontextmanager
async def watching(*words: str) -> AsyncIterator[Watching]:
    """`xenios inspect --watch` with these words; gone afterwards."""
    process = await asyncio.create_subprocess_exec(
        *command_line(["inspect", "--watch", *words]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(PASSWORD),
    )
    try:
        yield Watching(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def target_of(served: Serving) -> str:
    return served.url.replace("http://", "xenserver+http://root@")


def halted(api: Any) -> str:
    """The ref of a VM that can be started."""
    for ref, vm in api.VM.get_all_records().items():
        if vm["power_state"] == "Halted" and not vm["is_a_template"] and "start" in vm["allowed_operations"]:
            return str(ref)
    raise AssertionError("no VM can be started")


def no_writes_of_ours(served: Serving) -> bool:
    entries = served.pool.journal.entries
    assert any(entry.originator.startswith("xenios/") for entry in entries)
    return not [entry for entry in entries if entry.is_write and entry.originator.startswith("xenios/")]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
async def test_it_tells_what_an_administrator_does_until_it_is_ended(how: signal.Signals) -> None:
    async with serving(hosts=2, vms=8) as served, watching(target_of(served)) as watched:
        first = await watched.until("watching")
        assert "8 VMs, 2 hosts" in first
        vm = await served.as_administrator(halted)
        uuid = served.pool.tables.get("VM", vm)["uuid"]
        await served.as_administrator(lambda api: api.VM.start(vm, False, False))
        line = await watched.until(uuid, "halted → running; on host ")
        assert " ms ago, event " in line
        await served.as_administrator(lambda api: api.VM.set_name_label(vm, "evil\u202ename"))
        assert "evil\\u202ename" in await watched.until(uuid, " → ")
        clone = await served.as_administrator(lambda api: api.VM.snapshot(vm, "before"))
        await watched.until("snapshot before", "appeared")
        await served.as_administrator(lambda api: api.VM.destroy(clone))
        await watched.until("snapshot before", "is gone")
        status, said = await watched.end(how)
        assert (status, said) == (0, "Stopped; nothing was changed by looking on.\n")
        assert no_writes_of_ours(served)
        sessions = served.pool.tables.rows("session").values()
        assert not [session for session in sessions if session["originator"].startswith("xenios/")]


async def test_with_json_every_line_is_an_object() -> None:
    async with serving(vms=5) as served, watching("--json", target_of(served)) as watched:
        await watched.until("first view")
        vm = await served.as_administrator(halted)
        await served.as_administrator(lambda api: api.VM.add_tags(vm, "seen"))
        await watched.until('"tags"')
        assert (await watched.end())[0] == 0
    first, *others = [json.loads(line) for line in watched.lines]
    assert {line["schema"] for line in (first, *others)} == {"xenios.change/1"}
    assert {line["target"] for line in (first, *others)} == {target_of(served)}
    assert first["kind"] == "first view"
    assert others[-1]["fields"] == [
        {
            "field": "tags",
            "item": "seen",
            "before": None,
            "after": "a value",
            "before_name": "",
            "after_name": "",
        }
    ]


async def test_a_target_that_cannot_be_read_does_not_end_the_others() -> None:
    bad = ("xenserver+http://root@127.0.0.1:9", str(EXAMPLE), "ftp://nothing")
    async with serving(vms=5) as served, watching(target_of(served), *bad) as watched:
        await watched.until(target_of(served), "watching")
        await served.as_administrator(lambda api: api.VM.add_tags(halted(api), "seen"))
        assert target_of(served) in await watched.until("tag seen added")
        unreadable = [line for line in watched.lines if " could not be read: " in line]
        assert all(any(f" {target}: " in line for line in unreadable) for target in bad)
        assert [line.count(str(EXAMPLE)) for line in unreadable if str(EXAMPLE) in line] == [1]
        assert (await watched.end())[0] == 1


async def test_a_reader_that_goes_away_ends_it() -> None:
    await ended_by_its_reader(unread=(), status=0)


async def test_a_reader_that_goes_away_does_not_hide_what_was_not_read() -> None:
    await ended_by_its_reader(unread=(str(EXAMPLE),), status=1)


async def ended_by_its_reader(*, unread: tuple[str, ...], status: int) -> None:
    async with serving(vms=5) as served, watching(*unread, target_of(served)) as watched:
        await watched.until("watching")
        assert watched.process.stdout is not None
        watched.process.stdout._transport.close()  # type: ignore[attr-defined]
        await served.as_administrator(lambda api: api.VM.add_tags(halted(api), "seen"))
        async with asyncio.timeout(SECONDS_MAX):
            assert await watched.process.wait() == status


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
async def test_a_full_disk_under_the_output_ends_it_and_is_said() -> None:
    async with serving(vms=5) as served:
        # The second target could go on for ever, and nobody would see what it prints.
        words = ["inspect", "--watch", str(EXAMPLE), target_of(served)]
        full = os.open("/dev/full", os.O_WRONLY)
        try:
            process = await asyncio.create_subprocess_exec(
                *command_line(words), env=environment(PASSWORD), stdout=full, stderr=subprocess.PIPE
            )
        finally:
            os.close(full)
        try:
            async with asyncio.timeout(SECONDS_MAX):
                _, said = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert process.returncode == 1
    assert b"cannot write what changed: No space left" in said
    assert b"Traceback" not in said


def test_a_file_cannot_be_watched() -> None:
    done = xenios("inspect", "--watch", str(EXAMPLE))
    assert done.code == 1
    assert "a database file cannot be watched: it tells what was" in done.out
    assert done.out.count(str(EXAMPLE)) == 1
    assert "Traceback" not in done.said


@pytest.mark.parametrize("words", [("--html", "x.html"), ("--compare", "cloudstack-4.0.2"), ("--details",)])
def test_what_belongs_to_a_report_is_refused_beside_it(words: tuple[str, ...]) -> None:
    done = xenios("inspect", "--watch", *words, str(EXAMPLE))
    assert done.code == 2
    assert "--watch prints changes" in done.err


# --- several targets, without processes ------------------------------------------------------------------------------


class Told:
    """What was told, by target."""

    def __init__(self) -> None:
        self.changes: list[tuple[str, Change]] = []
        self.more = asyncio.Event()

    def tell(self, target: str, change: Change) -> None:
        self.changes.append((target, change))
        self.more.set()

    def kinds(self, target: str) -> Iterator[ChangeKind]:
        return (change.kind for told, change in self.changes if told == target)


def access(password: str = "xenios") -> Access:
    return Access(password_for=lambda _: Secret(password))


async def test_targets_are_followed_at_once_and_a_wrong_one_is_told() -> None:
    told = Told()
    async with simulated_pool(vms=5) as simulated:
        address = simulated.pool.tables.get("host", simulated.master)["address"]
        good, bad = f"xenserver://root@{address}", "xenserver://root@10.99.99.99"
        connections = Connections(access(), transport=InProcessTransport(simulated.pool))
        work = asyncio.create_task(
            follow([good, bad, good], timeout_seconds=20, tell=told.tell, connections=connections)
        )
        while len(told.changes) < 2:
            await simulated.clock.advance(0.05)
        work.cancel()
        await simulated.clock.advance(5)
        with pytest.raises(asyncio.CancelledError):
            await work
    assert next(told.kinds(good)) is ChangeKind.FIRST_VIEW
    assert list(told.kinds(bad)) == [ChangeKind.NOT_READ]


async def test_it_ends_when_no_target_is_left() -> None:
    told = Told()
    await follow([str(EXAMPLE), "ftp://x"], timeout_seconds=20, tell=told.tell, access=access())
    assert {change.kind for _, change in told.changes} == {ChangeKind.NOT_READ}
    assert len(told.changes) == 2


async def test_what_stops_the_printing_stops_the_watching() -> None:
    def tell(_: str, __: Change) -> None:
        raise ReaderGone

    with pytest.raises(ReaderGone):
        await follow([str(EXAMPLE)], timeout_seconds=20, tell=tell, access=access())
