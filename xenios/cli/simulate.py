"""`xenios simulate`: a pool that is not there, served as a real one, to try things on.

Effects: listens on this machine; reads the files it is given; writes a journal where the user says
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import ipaddress
import math
import os
import shlex
import signal
import ssl
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import quote

import click

from xenios.cli.event_loop import run
from xenios.errors import XeniosError

if TYPE_CHECKING:
    from xenios.simulator.facts.datamodel import Records
    from xenios.simulator.journal import Entry
    from xenios.simulator.pool import SimulatedPool
    from xenios.simulator.serving.served import ServedPool

PASSWORD = "xenios"
INPUT_BYTES_MAX = 1 << 20
"""What a script or a certificate may have; the longest that anybody writes is far below."""
_OF_A_MADE_POOL = {"hosts": "--hosts", "vms": "--vms"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wishes:
    """What the user asked for."""

    hosts: int
    vms: int
    seed: int
    database: Path | None
    listen: tuple[str, int]
    user: str
    password: str
    login_delay_seconds: float
    speed: float
    script: Path | None
    journal: Path | None
    certificate: Path | None
    key: Path | None
    without_jsonrpc: bool


def _place(_context: click.Context, _parameter: click.Parameter, text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise click.BadParameter(
            f"{text!r} is no ADDRESS:PORT, such as 127.0.0.1:8080 (port 0: any free one)."
        )
    host = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(host)), int(port)
    except ValueError:
        raise click.BadParameter(f"{host!r} is no IP address.") from None


def _seconds(_context: click.Context, _parameter: click.Parameter, seconds: float) -> float:
    if not math.isfinite(seconds):  # no range check notices it
        raise click.BadParameter(f"{seconds} is no number to reckon with.")
    return seconds


def _user(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    if not name or not name.isprintable():
        raise click.BadParameter(f"{name!r} is no name that somebody could log in with, such as root.")
    return name


@click.command(epilog="Exit status: 0 ended by Ctrl-C or SIGTERM, 1 it could not be served, 2 wrong usage.")
@click.argument("kind", type=click.Choice(["xenserver"]))
@click.option("--hosts", type=int, default=3, show_default=True, help="How many hosts a made pool has.")
@click.option("--vms", type=int, default=40, show_default=True, help="How many VMs a made pool has.")
@click.option("--seed", type=int, default=1, show_default=True, help="Chance: equal seeds, equal pools.")
@click.option(
    "--database",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Serve a copy of a real pool instead: the output of xe pool-dump-database. The file is only read.",
)
@click.option(
    "--listen",
    default="127.0.0.1:0",
    show_default=True,
    metavar="ADDRESS:PORT",
    callback=_place,
    help="Where the master listens; the other hosts listen at the next addresses, with the same port. Port 0: any.",
)
@click.option("--user", default="root", show_default=True, callback=_user, help="Who may log in.")
@click.option(
    "--password",
    default=PASSWORD,
    show_default=True,
    help="With this. Not a secret: nothing here is worth one.",
)
@click.option(
    "--login-delay",
    "login_delay_seconds",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    callback=_seconds,
    metavar="SECONDS",
    help="How long the answer to a wrong password takes.",
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    callback=_seconds,
    metavar="FACTOR",
    help="How long operations take, times the usual; 0: no time at all.",
)
@click.option(
    "--script", type=click.Path(path_type=Path), metavar="FILE", help="Play the faults in this file."
)
@click.option(
    "--journal",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Append every call that is no mere read to this file, one line of JSON each.",
)
@click.option(
    "--certificate", type=click.Path(path_type=Path), metavar="FILE", help="Serve HTTPS with this one (PEM)."
)
@click.option("--key", type=click.Path(path_type=Path), metavar="FILE", help="Its private key, if not in it.")
@click.option("--without-jsonrpc", is_flag=True, help="Know XML-RPC only, as releases before 7.3 do.")
@click.pass_context
def simulate(context: click.Context, /, kind: str, **options: Any) -> int:
    """Serve a simulated XenServer pool until Ctrl-C, for rehearsals: nothing real is behind it.

    The pool is made up (a pool in use, with all that makes takeovers hard) or a copy of a real one (--database). It
    speaks the XenServer API, so xenios, XenServer's own clients and scripts work with it as with a real pool.
    """
    given = {name for name in _OF_A_MADE_POOL if _was_given(context, name)}
    if options["database"] is not None and given:
        names = " and ".join(sorted(_OF_A_MADE_POOL[name] for name in given))
        raise click.UsageError(f"{names} cannot be had with --database: the file says what there is.")
    if options["key"] is not None and options["certificate"] is None:
        raise click.UsageError("--key needs --certificate.")
    run(_serve(_Wishes(**options)))
    return 0


def _was_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT


async def _serve(wishes: _Wishes) -> None:
    from xenios.simulator.clock import WallClock
    from xenios.simulator.faults import parse_script
    from xenios.simulator.pool import SimulatedPool
    from xenios.simulator.serving.served import ServedPool, addresses_from, bind, hosts_in_order

    script = parse_script(_text_of(wishes.script), str(wishes.script)) if wishes.script else None
    certificate = _certificate(wishes)
    clock = WallClock()
    records, generation, about = await _records(wishes, clock)
    hosts = hosts_in_order(records)
    addresses = addresses_from(wishes.listen[0], len(hosts))
    if wishes.database is None:
        for host, address in zip(hosts, addresses, strict=False):
            records["host"][host]["address"] = address
    pool = SimulatedPool(
        records,
        clock=clock,
        seed=wishes.seed,
        speed=wishes.speed,
        login_delay_seconds=wishes.login_delay_seconds,
        user=wishes.user,
        password=wishes.password,
        generation=generation,
        script=script,
    )
    over = asyncio.Event()
    with _journal(wishes.journal, pool, over):
        sockets = bind(addresses, wishes.listen[1])
        served = ServedPool(pool, certificate, wishes.without_jsonrpc)
        try:
            served.start(dict(zip(hosts, sockets, strict=False)))
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, over.set)
            gc.freeze()  # the pool is there to stay: looking through all of it again and again delays answers
            _introduce(wishes, served, hosts, about)
            await over.wait()
        finally:
            await served.close()
            for bound in sockets:
                bound.close()


async def _records(wishes: _Wishes, clock: Any) -> tuple[Records, int, str]:
    """What to serve, the generation of its database, and what it is in words."""
    if wishes.database is not None:
        from xenios.simulator.database_load import load_database

        loaded = await load_database(wishes.database)
        return loaded.records, loaded.generation, f"a copy of the pool in {wishes.database}"
    from xenios.simulator.population.populate import populate
    from xenios.simulator.verbs.at_rest import work_out_allowed_operations

    try:
        made = work_out_allowed_operations(populate(wishes.seed, wishes.hosts, wishes.vms, clock.now()))
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    return made, 1, f"a made pool in use, seed {wishes.seed}"


def _introduce(wishes: _Wishes, served: ServedPool, hosts: list[str], about: str) -> None:
    """Says where it is, in a line that scripts can read, and how to look at it."""
    pool = served.pool
    vms = sum(not (vm["is_a_template"] or vm["is_control_domain"]) for vm in pool.tables.rows("VM").values())
    silent = [host for host in served.addresses if pool.refuses_connections(host)]
    master, *others = [served.url(host) for host in served.addresses if host not in silent]
    scheme = "xenserver+http" if wishes.certificate is None else "xenserver"
    target = f"{scheme}://{quote(wishes.user, safe='')}@{master.partition('://')[2]}"
    look = ["xenios", "inspect", target]
    if wishes.certificate is not None:
        look += ["--fingerprint", _fingerprint(wishes.certificate)]
    password = f"password {PASSWORD}" if wishes.password == PASSWORD else "the password you gave"
    lines = [
        f"{about}: {len(hosts)} {'host' if len(hosts) == 1 else 'hosts'}, {vms} VMs",
        f"listening on {', '.join([f'{master} (master)', *others])}",
        f"log in as {wishes.user}, {password}",
        f"look at it: {'XENIOS_PASSWORD=' + PASSWORD + ' ' if wishes.password == PASSWORD else ''}{shlex.join(look)}",
    ]
    if silent:
        names = ", ".join(pool.tables.get("host", host)["name_label"] for host in silent)
        lines.append(f"not listening, for the pool has lost sight of them: {names}")
    if unserved := len(hosts) - len(served.addresses):
        lines.append(
            f"not served: {unserved} of the hosts; only loopback addresses, such as 127.0.0.1, come in rows"
        )
    with contextlib.suppress(OSError):  # who started us may not care to read
        click.echo("\n".join([*lines, "Ctrl-C ends it"]))
        sys.stdout.flush()


# --- files -----------------------------------------------------------------------------------------------------------


def _text_of(path: Path) -> str:
    try:
        return _bytes_of(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise XeniosError(f"{path} is no text", remedy="give a script in TOML, in UTF-8") from error


def _bytes_of(path: Path) -> bytes:
    """All of a regular file of a reasonable size. A pipe might never end, and a device has no end."""
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise XeniosError(
                    f"{path} is not a regular file", remedy="write it to a file, and give the path of that"
                )
            data = file.read(INPUT_BYTES_MAX + 1)
    except OSError as error:
        raise XeniosError(
            f"cannot read {path}: {error.strerror or error}", remedy="check the path and that you may read it"
        ) from error
    if len(data) > INPUT_BYTES_MAX:
        raise XeniosError(f"{path} has more than {INPUT_BYTES_MAX:,} bytes", remedy="give a shorter file")
    return data


def _open_without_waiting(path: str, flags: int) -> int:
    # Without waiting: a named pipe would wait for a writer for ever.
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _certificate(wishes: _Wishes) -> ssl.SSLContext | None:
    if wishes.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for path in filter(None, (wishes.certificate, wishes.key)):
        _bytes_of(path)  # OpenSSL does not say which one is missing
    try:
        # No password: OpenSSL would ask for it at the terminal.
        context.load_cert_chain(wishes.certificate, wishes.key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise XeniosError(
            f"cannot use the certificate {wishes.certificate}: {getattr(error, 'reason', None) or error}",
            remedy="give a certificate and its key in PEM, without a passphrase, that belong together",
        ) from error
    return context


def _fingerprint(certificate: Path) -> str:
    """SHA-256 of the first certificate of the file, as AA:BB:…"""
    text = certificate.read_text(encoding="ascii", errors="replace")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    first = begin + text.partition(begin)[2].partition(end)[0] + end
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).digest().hex(":").upper()


@contextlib.contextmanager
def _journal(path: Path | None, pool: SimulatedPool, over: asyncio.Event) -> Iterator[None]:
    """Appends the pool's journal to the file. When that fails, the simulation ends: nobody should trust the file."""
    if path is None:
        yield
        return
    failed: list[OSError] = []
    try:
        file: TextIO = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
    except OSError as error:
        raise _journal_trouble(path, error) from error

    def keep(entry: Entry) -> None:
        try:
            file.write(f"{entry.as_json()}\n")
        except OSError as error:
            failed.append(error)
            over.set()

    pool.journal.sink = keep
    try:
        yield
    finally:
        pool.journal.sink = None
        with contextlib.suppress(OSError):
            file.close()
    if failed:
        raise _journal_trouble(path, failed[0])


def _journal_trouble(path: Path, error: OSError) -> XeniosError:
    return XeniosError(
        f"cannot write the journal {path}: {error.strerror or error}",
        remedy="give --journal a file that you may write, on a disk with room",
    )
