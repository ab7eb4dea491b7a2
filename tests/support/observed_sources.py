"""Every kind of source that an observer may look at, for the contract that all of them are held to.

Each is a real one or a simulator that other tests hold to the real one. A source says what its guests are called as
somebody other than Xenios tells it, and where somebody can act on it beside us, in which steps.

Effects: reads hypervisors (private ones), starts them; acts on those that are its own
"""

from __future__ import annotations

import asyncio
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support import guest_image
from tests.support.fixtures import require_private_hosts
from tests.support.kvm_host import PrivateHost
from tests.support.resident_xml import render_domain, render_file_disk
from tests.support.served_pool import serving
from xenios import app
from xenios.drivers.base import Observer
from xenios.drivers.xenserver.target import Secret
from xenios.drivers.xenserver.transport import Transport
from xenios.model.inventory import PowerState
from xenios.simulator.clock import WallClock
from xenios.simulator.database_load import load_database
from xenios.simulator.pool import SimulatedPool
from xenios.simulator.population.populate import populate
from xenios.simulator.serving.in_process import InProcessTransport

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "xenios" / "simulator" / "examples" / "pool-in-use.db"
REAL_DATABASE = ROOT / "tests" / "fixtures" / "xapi" / "state.db"
TIMEOUT_SECONDS = 60.0
FAKE = (
    "<domain type='test'><name>acted</name><uuid>{uuid}</uuid><memory unit='MiB'>8</memory>"
    "<os><type>hvm</type></os></domain>"
)
ACTED_UUID = "4b8c7a10-0000-4000-8000-00000000aced"


@dataclass(frozen=True, slots=True)
class Act:
    """One step of somebody who acts beside us, and what becomes of the VM whose uuid it returns (None: it is gone)."""

    what: str
    do: Callable[[], Awaitable[str]]
    becomes: PowerState | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A target, and what is known of it otherwise."""

    target: str
    names: Callable[[], Awaitable[dict[str, str]]]
    """The names of all guests by uuid."""
    acts: tuple[Act, ...] = ()
    """Empty: nobody may act on it, or nobody can."""
    writes_of_ours: Callable[[], list[str]] = list
    """What we wrote to it, in its own words."""
    transport: Transport | None = None
    access: app.Access = field(default_factory=app.Access)

    @asynccontextmanager
    async def observer(self) -> AsyncIterator[Observer]:
        """An observer, opened as the command line opens it; closed twice at the end."""
        async with app.Connections(self.access, self.transport) as connections:
            observer = await app.driver_for(self.target).open(self.target, TIMEOUT_SECONDS, connections)
            try:
                yield observer
            finally:
                await observer.close()
                await observer.close()


Maker = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Source]]

# --- libvirt -------------------------------------------------------------------------------------------------


async def _virsh(uri: str, *words: str) -> str:
    command = ["virsh", "--quiet", "--connect", uri, *words]
    done = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, timeout=60, check=True
    )
    return str(done.stdout)


def _names_by_virsh(uri: str) -> Callable[[], Awaitable[dict[str, str]]]:
    async def ask() -> dict[str, str]:
        text = await _virsh(uri, "list", "--all", "--uuid", "--name")
        pairs = (line.split(" ", 1) for line in text.split("\n") if line.strip())
        return {uuid: name.strip(" ") for uuid, name in pairs}

    return ask


def _acts_of_virsh(uri: str, definition: Path) -> tuple[Act, ...]:
    def by(*words: str) -> Callable[[], Awaitable[str]]:
        async def act() -> str:
            await _virsh(uri, *words)
            return ACTED_UUID

        return act

    return (
        Act("define", by("define", str(definition)), PowerState.HALTED),
        Act("start", by("start", ACTED_UUID), PowerState.RUNNING),
        Act("suspend", by("suspend", ACTED_UUID), PowerState.PAUSED),
        Act("resume", by("resume", ACTED_UUID), PowerState.RUNNING),
        Act("destroy", by("destroy", ACTED_UUID), PowerState.HALTED),
        Act("undefine", by("undefine", ACTED_UUID), None),
    )


@asynccontextmanager
async def libvirt_in_process(_: pytest.FixtureRequest) -> AsyncIterator[Source]:
    """libvirt's fake driver in this process; the administrator's connection shares the fake host with ours."""
    libvirt = pytest.importorskip("libvirt")
    libvirt.registerErrorHandler(lambda *_: None, None)
    administrator = libvirt.open("test:///default")

    def by(act: Callable[[Any], Any]) -> Callable[[], Awaitable[str]]:
        async def do() -> str:
            act(administrator)
            return ACTED_UUID

        return do

    def acted(connection: Any) -> Any:
        return connection.lookupByUUIDString(ACTED_UUID)

    async def names() -> dict[str, str]:
        return {"6695eb01-f6a4-8304-79aa-97f2502e193f": "test"}

    try:
        yield Source(
            target="test:///default",
            names=names,
            acts=(
                Act("define", by(lambda c: c.defineXML(FAKE.format(uuid=ACTED_UUID))), PowerState.HALTED),
                Act("create", by(lambda c: acted(c).create()), PowerState.RUNNING),
                Act("suspend", by(lambda c: acted(c).suspend()), PowerState.PAUSED),
                Act("destroy", by(lambda c: acted(c).destroy()), PowerState.HALTED),
                Act("undefine", by(lambda c: acted(c).undefine()), None),
            ),
        )
    finally:
        administrator.close()


@asynccontextmanager
async def libvirt_behind_a_daemon(request: pytest.FixtureRequest) -> AsyncIterator[Source]:
    """libvirt's fake driver in a daemon, on which virsh acts."""
    uri = request.getfixturevalue("libvirt_test_daemon")()
    definition = request.getfixturevalue("tmp_path_factory").mktemp("acted") / "acted.xml"
    definition.write_text(FAKE.format(uuid=ACTED_UUID))
    yield Source(target=uri, names=_names_by_virsh(uri), acts=_acts_of_virsh(uri, definition))


@asynccontextmanager
async def libvirt_with_many_domains(request: pytest.FixtureRequest) -> AsyncIterator[Source]:
    """300 domains, which each connection has for itself, by the read-only socket."""
    uri = request.getfixturevalue("libvirt_test_daemon")(domains=300, read_only=True)
    yield Source(target=uri, names=_names_by_virsh(f"{uri}"))


def qemu_that_is_only_read(*, read_only: bool) -> Maker:
    """The host with every kind of resident, on which nobody may act."""

    @asynccontextmanager
    async def make(request: pytest.FixtureRequest) -> AsyncIterator[Source]:
        host = request.getfixturevalue("kvm_host")
        uri = host.uri_read_only if read_only else host.uri
        yield Source(target=uri, names=_names_by_virsh(host.uri))

    return make


@asynccontextmanager
async def qemu_on_which_virsh_acts(_: pytest.FixtureRequest) -> AsyncIterator[Source]:
    """A host of its own with a real guest."""
    require_private_hosts()
    with PrivateHost("kvm-acted") as host:
        disk = host.images / "acted.raw"
        guest_image.write_disk(disk)
        definition = host.folder / "acted.xml"
        definition.write_text(render_domain("acted", ACTED_UUID, render_file_disk(disk)))
        yield Source(
            target=host.uri, names=_names_by_virsh(host.uri), acts=_acts_of_virsh(host.uri, definition)
        )


# --- XenServer -----------------------------------------------------------------------------------------------

Call = Callable[..., Awaitable[Any]]


def _acts_of_administrator(pool: SimulatedPool, call: Call) -> tuple[Act, ...]:
    """`call` is a call of the API on behalf of an administrator."""
    refs: list[str] = []

    async def uuid() -> str:
        return str(await call("VM.get_uuid", refs[0]))

    async def clone() -> str:
        original = next(
            ref
            for ref, vm in pool.tables.rows("VM").items()
            if vm["power_state"] == "Halted"
            and {"clone", "start"} <= set(vm["allowed_operations"])
            and not vm["is_a_template"]
        )
        refs.append(await call("VM.clone", original, "acted"))
        return await uuid()

    def by(method: str, *params: Any) -> Callable[[], Awaitable[str]]:
        async def act() -> str:
            await call(method, refs[0], *params)
            return await uuid()

        return act

    async def destroy() -> str:
        told = await uuid()
        await call("VM.destroy", refs[0])
        return told

    return (
        Act("clone", clone, PowerState.HALTED),
        Act("start", by("VM.start", False, False), PowerState.RUNNING),
        Act("pause", by("VM.pause"), PowerState.PAUSED),
        Act("unpause", by("VM.unpause"), PowerState.RUNNING),
        Act("shut down", by("VM.hard_shutdown"), PowerState.HALTED),
        Act("destroy", destroy, None),
    )


def _names_in(pool: SimulatedPool) -> Callable[[], Awaitable[dict[str, str]]]:
    async def read() -> dict[str, str]:
        return {vm["uuid"]: vm["name_label"] for vm in pool.tables.rows("VM").values()}

    return read


def _writes_of_ours(pool: SimulatedPool) -> Callable[[], list[str]]:
    def read() -> list[str]:
        return [entry.method for entry in pool.journal.writes() if entry.originator != "an administrator"]

    return read


_ACCESS = app.Access(password_for=lambda target: Secret("xenios"))


@asynccontextmanager
async def simulator_in_process(_: pytest.FixtureRequest) -> AsyncIterator[Source]:
    """A pool in use without a socket between it and us."""
    records = populate(7, 3, 40, datetime.now(UTC))
    async with _in_process(SimulatedPool(records, clock=WallClock(), speed=0.0)) as source:
        yield source


@asynccontextmanager
async def simulator_of_a_real_pool(_: pytest.FixtureRequest) -> AsyncIterator[Source]:
    """The database of a real pool, served without a socket; nobody can act on it, since its host is long gone."""
    loaded = await load_database(REAL_DATABASE)
    pool = SimulatedPool(loaded.records, clock=WallClock(), speed=0.0, generation=loaded.generation)
    async with _in_process(pool, acted_on=False) as source:
        yield source


@asynccontextmanager
async def _in_process(pool: SimulatedPool, *, acted_on: bool = True) -> AsyncIterator[Source]:
    pool.start()
    try:
        session = await pool.call(
            pool.master(), "session.login_with_password", ["root", "xenios", "1.0", "an administrator"]
        )

        async def call(method: str, *params: Any) -> Any:
            return await pool.call(pool.master(), method, [session, *params])

        address = pool.tables.get("host", pool.master())["address"]
        yield Source(
            target=f"xenserver://root@{address}",
            names=_names_in(pool),
            acts=_acts_of_administrator(pool, call) if acted_on else (),
            writes_of_ours=_writes_of_ours(pool),
            transport=InProcessTransport(pool),
            access=_ACCESS,
        )
    finally:
        await pool.close()
    assert pool.defects == []


@asynccontextmanager
async def simulator_over_http(_: pytest.FixtureRequest) -> AsyncIterator[Source]:
    """A pool in use over HTTP on loopback, on which XenServer's own client acts."""
    async with serving(3, 40) as served:

        async def call(method: str, *params: Any) -> Any:
            def ask(api: Any) -> Any:
                for part in method.split("."):
                    api = getattr(api, part)
                return api(*params)

            return await served.as_administrator(ask)

        async def names() -> dict[str, str]:
            records = await call("VM.get_all_records")
            return {vm["uuid"]: vm["name_label"] for vm in records.values()}

        address, port = served.place()
        yield Source(
            target=f"xenserver+http://root@{address}:{port}",
            names=names,
            acts=_acts_of_administrator(served.pool, call),
            writes_of_ours=_writes_of_ours(served.pool),
            access=_ACCESS,
        )


# --- database files ------------------------------------------------------------------------------------------


def database(path: Path) -> Maker:
    """A database file."""

    @asynccontextmanager
    async def make(_: pytest.FixtureRequest) -> AsyncIterator[Source]:
        async def names() -> dict[str, str]:
            return names_in_database(path)

        yield Source(target=str(path), names=names)

    return make


def names_in_database(path: Path) -> dict[str, str]:
    """Names as the file has them: XAPI protects white space in values with per cent signs."""
    meant = {"%.": " ", "%_": "  ", "%t": "\t", "%n": "\n", "%r": "\r", "%%": "%"}

    def plain(text: str) -> str:
        parts = iter(text)
        return "".join(meant[c + next(parts)] if c == "%" else c for c in parts)

    rows = ET.parse(path).getroot().iterfind("table[@name='VM']/row")
    return {
        row.get("uuid", "") or row.get("_uuid", ""): plain(
            row.get("name__label") or row.get("name_label") or ""
        )
        for row in rows
    }


# --- all of them ---------------------------------------------------------------------------------------------

LIVE: dict[str, Maker] = {
    "libvirt behind a daemon": libvirt_behind_a_daemon,
    "libvirt with 300 domains": libvirt_with_many_domains,
    "QEMU by the read-write socket": qemu_that_is_only_read(read_only=False),
    "QEMU by the read-only socket": qemu_that_is_only_read(read_only=True),
    "QEMU on which virsh acts": qemu_on_which_virsh_acts,
}
"""These need private hypervisors."""
SIMULATED: dict[str, Maker] = {
    "libvirt in this process": libvirt_in_process,
    "simulator in this process": simulator_in_process,
    "simulator over HTTP": simulator_over_http,
    "simulator of a real pool": simulator_of_a_real_pool,
}
FILES: dict[str, Maker] = {
    "example database": database(EXAMPLE),
    "real database": database(REAL_DATABASE),
}


def parameters(*kinds: dict[str, Maker]) -> list[Any]:
    """Sources as parameters of a fixture."""
    return [
        pytest.param(make, id=name, marks=[pytest.mark.live] if name in LIVE else [])
        for kind in kinds
        for name, make in kind.items()
    ]
