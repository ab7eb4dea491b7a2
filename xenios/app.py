"""The composition root: the only module that names concrete parts, and the one that drivers are registered in.

A target is claimed by the first driver whose pattern fits; targets are read at once and cannot spoil each other.

Effects: reads hypervisors
"""

from __future__ import annotations

import asyncio
import os
import re
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from xenios import __version__
from xenios.clock import now_micros
from xenios.drivers.base import Depth, Observer
from xenios.drivers.xenserver.target import Secret, is_xenserver, parse_target
from xenios.drivers.xenserver.tls import Trust
from xenios.drivers.xenserver.transport import Transport
from xenios.errors import TargetSilent, TargetUnreadable, XeniosError
from xenios.model.collection import Collection
from xenios.model.inventory import CapabilityAnswer
from xenios.report.build import report_on, report_on_unreadable
from xenios.report.schema import Report, TargetReport

TARGETS_AT_ONCE = 16
_SECRET_IN_URI = re.compile(r"(//[^:?#]*?):[^?#]*@")
"""From the first colon of the user's part to its last @: users of a domain have an @ too, and passwords anything."""
_SECRET_IN_POOL = re.compile(r"(//[^:]*?):.*@", re.DOTALL)
"""The same for a XenServer pool, whose name has no query or fragment that could hold an @."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to get into XenServer pools: what the user gave beside the targets."""

    password_for: Callable[[str], Secret | None] = lambda target: None
    """The password for a target, as it was given."""
    trust: Trust = field(default_factory=Trust)
    purpose: str = "inspect"
    """Which of our commands asks; pools count our sessions by it."""


class Connections:
    """What all targets of one run share: one transport with its connections and TLS context. Close it at the end."""

    def __init__(self, access: Access | None = None, transport: Transport | None = None) -> None:
        """`transport`: instead of real connections, for a pool that is simulated in this process."""
        self.access = access or Access()
        self._transport = transport

    @property
    def transport(self) -> Transport:
        """Made when the first target needs it: HTTP takes a fifth of a second to import."""
        if self._transport is None:
            from xenios.drivers.xenserver.client import HttpTransport

            self._transport = HttpTransport(self.access.trust)
        return self._transport

    async def __aenter__(self) -> Connections:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._transport is not None:
            await self._transport.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """One way to look at a hypervisor: which targets it reads, and how it opens them."""

    name: str
    target_pattern: re.Pattern[str]
    open: Callable[[str, float, Connections], Awaitable[Observer]]
    """Raises XeniosError. The seconds bound every answer; the observer may wait with connecting until it is asked."""


async def _open_libvirt(target: str, timeout_seconds: float, _: Connections) -> Observer:
    from xenios.drivers.kvm.observe import KvmObserver

    return await KvmObserver.open(target, timeout_seconds, name=without_secrets(target))


async def _open_pool(target: str, timeout_seconds: float, connections: Connections) -> Observer:
    from xenios.drivers.xenserver.observe import PoolObserver
    from xenios.drivers.xenserver.session import READ_METHODS, XapiClient

    parsed = parse_target(target)
    access = connections.access
    password = access.password_for(target)
    if password is None:
        raise TargetUnreadable(
            f"there is no password for {parsed.user} at {parsed.address}",
            remedy="set XENIOS_PASSWORD, give --password-file FILE, or run it at a terminal to be asked for it",
        )
    client = XapiClient(
        parsed,
        password,
        connections.transport,
        methods=READ_METHODS,
        timeout_seconds=timeout_seconds,
        purpose=access.purpose,
    )
    how = access.trust.words if parsed.address.secure else "plain HTTP, NOT encrypted"
    return PoolObserver(client, name=without_secrets(target), connection=how)


async def _open_database(target: str, timeout_seconds: float, _: Connections) -> Observer:
    from xenios.drivers.xenserver.offline import DatabaseObserver

    return DatabaseObserver(Path(target), timeout_seconds)


DRIVERS = (
    Driver(
        name="libvirt",
        # Which of them there are, libvirt knows best; these are never its.
        target_pattern=re.compile(
            r"(?!(?:https?|file|(?i:xenserver(?:\+http)?))://)[A-Za-z][A-Za-z0-9+.-]*://.*", re.DOTALL
        ),
        open=_open_libvirt,
    ),
    Driver(
        name="XenServer pool",
        target_pattern=re.compile(r"xenserver(?:\+http)?://.*", re.DOTALL | re.IGNORECASE),
        open=_open_pool,
    ),
    Driver(
        name="XenServer database",
        target_pattern=re.compile(r"(?![A-Za-z0-9+.-]+://).+", re.DOTALL),
        open=_open_database,
    ),
)


def without_secrets(target: str) -> str:
    """A target as it may be shown: a password inside a URI is left out."""
    return (_SECRET_IN_POOL if is_xenserver(target) else _SECRET_IN_URI).sub(r"\1@", target)


def driver_for(target: str) -> Driver:
    """The driver that reads a target. Raises TargetUnreadable when none does."""
    for driver in DRIVERS:
        if driver.target_pattern.fullmatch(target):
            return driver
    raise TargetUnreadable(
        f"{without_secrets(target)} is no target that Xenios knows",
        remedy="give a XenServer pool (xenserver://root@host), a libvirt URI (qemu:///system, "
        "qemu+ssh://root@host/system) or a XenServer database file",
    )


async def inspect_targets(
    targets: Sequence[str],
    *,
    compare: str | None,
    timeout_seconds: float,
    progress: Callable[[str, str], None] = lambda target, doing: None,
    access: Access | None = None,
) -> Report:
    """Looks at every target once, read-only, and reports in the order given. Never raises for what a target does.

    `progress` is told the target and what is being read of it, and nothing when it is done with. `access` opens pools.
    """
    made_at = now_micros()
    places = asyncio.Semaphore(TARGETS_AT_ONCE)

    async def one(target: str, connections: Connections) -> TargetReport:
        async with places:
            try:
                return await _inspect(target, compare, timeout_seconds, progress, connections)
            finally:
                progress(without_secrets(target), "")

    async with Connections(access) as connections:
        reports = await asyncio.gather(*(one(target, connections) for target in targets))
    return Report(
        xenios_version=__version__,
        made_at=made_at,
        complete=all(report.status == "complete" for report in reports),
        compare=compare,
        targets=tuple(reports),
    )


async def _inspect(
    target: str,
    compare: str | None,
    timeout_seconds: float,
    progress: Callable[[str, str], None],
    connections: Connections,
) -> TargetReport:
    name = without_secrets(target)
    try:
        collection, capabilities = await _seen(target, Depth.REPORT, timeout_seconds, progress, connections)
        return report_on(name, collection, capabilities, compare)
    except Exception as error:  # noqa: BLE001 - a defect in reading one target must not cost the report on the others
        return report_on_unreadable(name, _trouble_from(error, timeout_seconds))


async def view_of(
    target: str,
    *,
    timeout_seconds: float,
    progress: Callable[[str, str], None] = lambda target, doing: None,
    access: Access | None = None,
) -> Collection:
    """One view of one target, read-only and without the figures that cost. Raises XeniosError when there is none."""
    async with Connections(access) as connections:
        try:
            return (await _seen(target, Depth.FULL, timeout_seconds, progress, connections))[0]
        except XeniosError:
            raise
        except Exception as error:
            raise _trouble_from(error, timeout_seconds) from error


async def _seen(
    target: str,
    depth: Depth,
    timeout_seconds: float,
    progress: Callable[[str, str], None],
    connections: Connections,
) -> tuple[Collection, tuple[CapabilityAnswer, ...]]:
    name = without_secrets(target)
    progress(name, "connecting")
    observer = await driver_for(target).open(target, timeout_seconds, connections)
    try:
        collection = await observer.observe(depth, lambda doing: progress(name, doing))
        return collection, observer.capabilities
    finally:
        await observer.close()


def _trouble_from(error: Exception, timeout_seconds: float) -> XeniosError:
    """What the user is told of it; a defect of ours too is one line, and says how to see more."""
    if isinstance(error, XeniosError):
        return error
    if isinstance(error, TimeoutError):
        return TargetSilent(f"no answer within {timeout_seconds:g} s", remedy="give it longer with --timeout")
    if os.environ.get("XENIOS_DEBUG"):
        traceback.print_exception(error)
    return TargetUnreadable(
        f"a defect of Xenios: {type(error).__name__}: {error}",
        remedy="run it again with XENIOS_DEBUG=1 and report what it prints",
    )
