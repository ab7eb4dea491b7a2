"""`xenios demo`: the main job on a simulated XenServer pool in use, needing no hypervisor.

The pool listens on loopback for as long as the command runs. Xenios looks at it as it would at a real one; then an
administrator works on it with XenServer's own client while Xenios watches, and the pool's journal says who wrote.

Effects: serves a simulated pool on loopback; reads it, and changes it as its administrator; writes one HTML page
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import click

from xenios.app import Access, inspect_targets
from xenios.cli.event_loop import run
from xenios.cli.inspect import print_report, write_html
from xenios.cli.watch import follow
from xenios.clock import now_micros
from xenios.decide.precedent import CLOUDSTACK_4_0_2
from xenios.drivers.xenserver.target import Secret
from xenios.model.update import Change, ChangeKind
from xenios.report.render_changes import render_change
from xenios.simulator.clock import WallClock
from xenios.simulator.pool import SimulatedPool
from xenios.simulator.population.populate import populate
from xenios.simulator.serving.served import ServedPool, addresses_from, bind, hosts_in_order
from xenios.simulator.verbs.at_rest import work_out_allowed_operations

HOSTS, VMS, SEED = 3, 40, 1
PASSWORD = "demo"
SPEED = 0.25
"""How long operations of the pool take, as a share of what they take on a real one."""
TOLD_WITHIN_SECONDS = 10.0


@click.command()
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("xenios-demo.html"),
    show_default=True,
    metavar="FILE",
    help="Where to write the page.",
)
def demo(html_file: Path) -> int:
    """Show the main job on a simulated pool in use: inspected, compared, and watched while somebody works on it."""
    return run(_demo(html_file.absolute()))


async def _demo(html_file: Path) -> int:
    async with _simulated_pool() as served:
        target = served.url(served.pool.master()).replace("http://", "xenserver+http://root@")
        click.echo(f"A simulated XenServer pool in use, {HOSTS} hosts and {VMS} VMs, listens at {target}.")
        access = Access(password_for=lambda _: Secret(PASSWORD))
        report = await inspect_targets((target,), compare=CLOUDSTACK_4_0_2, timeout_seconds=30, access=access)
        print_report(report)
        write_html(report, html_file)
        click.echo(f"The same as a page to show around: {html_file}\n")
        watched = await _watch_the_administrator(served, target, access)
        _say_who_wrote(served.pool)
    command = sys.argv[0] if Path(sys.argv[0]).name == "xenios" else "xenios"
    click.echo(
        f"Now your own: {command} inspect xenserver://root@HOST, qemu:///system, or a file from "
        f"xe pool-dump-database.\nOr rehearse: {command} simulate xenserver --database FILE serves a copy of your pool."
    )
    return 0 if report.complete and watched else 1


@contextlib.asynccontextmanager
async def _simulated_pool() -> AsyncIterator[ServedPool]:
    records = work_out_allowed_operations(populate(SEED, HOSTS, VMS, datetime.now(UTC)))
    hosts = hosts_in_order(records)
    sockets = bind(addresses_from("127.0.0.1", len(hosts)), 0)
    for host, bound in zip(hosts, sockets, strict=True):
        records["host"][host]["address"] = bound.getsockname()[0]
    served = ServedPool(
        SimulatedPool(
            records, clock=WallClock(), seed=SEED, speed=SPEED, password=PASSWORD, login_delay_seconds=0
        )
    )
    served.start(dict(zip(hosts, sockets, strict=True)))
    try:
        yield served
    finally:
        await served.close()


# --- watching -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Told:
    """What the watch has told so far; somebody may wait for more about a VM."""

    uuids: set[str] = field(default_factory=set)
    more: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, _: str, change: Change) -> None:
        click.echo("    " + render_change(change, target="", told_at=now_micros()), nl=False)
        self.uuids.add(change.uuid)
        self.more.set()
        if change.kind is ChangeKind.FIRST_VIEW:
            self.ready.set()

    async def about(self, uuid: str) -> bool:
        """Waits until something is told about a VM; False when nothing came in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TOLD_WITHIN_SECONDS):
                while uuid not in self.uuids:
                    self.more.clear()
                    await self.more.wait()
        return uuid in self.uuids


async def _watch_the_administrator(served: ServedPool, target: str, access: Access) -> bool:
    """Whether everything that the administrator did was told."""
    if find_spec("XenAPI") is None:
        click.echo("To see Xenios watch an administrator at work: pip install 'xenios[demo]'.\n")
        return True
    from xenios.cli.demo_administrator import Administrator

    click.echo("Now an administrator works on the pool with XenServer's own client, and Xenios watches it:\n")
    told = _Told()
    watching = asyncio.create_task(follow((target,), timeout_seconds=30, access=access, tell=told.tell))
    everything_told = True
    try:
        async with asyncio.timeout(TOLD_WITHIN_SECONDS):
            await told.ready.wait()
        administrator = await asyncio.to_thread(Administrator, served.url(served.pool.master()), PASSWORD)
        steps = administrator.steps()
        while step := await asyncio.to_thread(next, steps, None):
            doing, work = step
            click.echo(f"  administrator: {doing}")
            told.uuids.clear()
            uuid = await asyncio.to_thread(work)
            everything_told &= await told.about(uuid)
        await asyncio.to_thread(administrator.leave)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    click.echo()
    return everything_told


def _say_who_wrote(pool: SimulatedPool) -> None:
    by_xenios = [entry for entry in pool.journal.writes() if entry.originator.startswith("xenios")]
    by_others = len(pool.journal.writes()) - len(by_xenios)
    click.echo(
        f"The pool's own journal of writes: {by_others} by the administrator, {len(by_xenios)} by Xenios.\n"
    )
