"""The fixtures that hand private hosts to tests. A pytest plugin, named in `tests/conftest.py`.

A machine that cannot run private hosts (no root, packages missing) skips these tests and says why. Where
skipping would hide that nothing was tested (CI, or XENIOS_REQUIRE_LIVE=1) they fail instead.

Effects: writes hypervisors (private ones only), through `PrivateHost`
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from tests.support import kvm_host as private_hosts
from tests.support.kvm_host import PrivateHost
from tests.support.outside_view import differences, fingerprint
from tests.support.residents import Residents, populate

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})


@dataclass(frozen=True, slots=True)
class KvmHost:
    """A populated private host and who lives on it. For tests that only read: all tests share it."""

    host: PrivateHost
    residents: Residents

    @property
    def uri(self) -> str:
        """Its libvirt URI."""
        return self.host.uri

    @property
    def uri_read_only(self) -> str:
        """Its libvirt URI by the read-only socket."""
        return self.host.uri_read_only


@functools.cache
def _reason_not_possible() -> str | None:
    return private_hosts.reason_not_possible()


def require_private_hosts() -> None:
    """Skip the test when this machine cannot run private hosts; fail it where skipping is not allowed."""
    reason = _reason_not_possible()
    if reason is None:
        return
    for switch in ("XENIOS_REQUIRE_LIVE", "CI"):
        if os.environ.get(switch, "").lower() in TRUE_WORDS:
            pytest.fail(
                f"{reason}; tests on real hypervisors may not be skipped because {switch} is set",
                pytrace=False,
            )
    pytest.skip(reason)


def _closed_and_gone(host: PrivateHost) -> None:
    """Close the host and fail the run if any trace of it is left."""
    host.close()
    leftovers = host.leftovers()
    if leftovers:
        pytest.fail("a private host left behind: " + "; ".join(leftovers), pytrace=False)


@pytest.fixture(scope="session")
def kvm_host() -> Iterator[KvmHost]:
    """A private host with every kind of resident, for tests that only read (checked at the end)."""
    require_private_hosts()
    with PrivateHost("kvm-shared") as host:
        residents = populate(host)
        before = fingerprint(host)
        yield KvmHost(host, residents)
        changes = differences(before, fingerprint(host))
        if changes:
            pytest.fail(
                "a test wrote to the host that tests may only read:\n" + "\n".join(changes), pytrace=False
            )
        _closed_and_gone(host)


@pytest.fixture
def own_kvm_host() -> Iterator[PrivateHost]:
    """An empty private host for one test, which may do with it what it likes."""
    require_private_hosts()
    with PrivateHost("kvm-own") as host:
        yield host
        _closed_and_gone(host)


@pytest.fixture(scope="session")
def libvirt_test_daemon() -> Iterator[Callable[..., str]]:
    """A maker of URIs of libvirt's fake driver behind a real daemon: `libvirt_test_daemon(domains=2000)`.

    Without a number it is the driver's `default` host, shared by every connection open at the time. With a
    number it is a host with so many domains, every second one running, that each connection reads anew and
    has for itself.
    """
    require_private_hosts()
    with PrivateHost("kvm-fake") as host:

        def uri(domains: int | None = None, *, read_only: bool = False) -> str:
            node = None if domains is None else _node_file(host, domains)
            return host.test_driver_uri(node, read_only=read_only)

        yield uri
        _closed_and_gone(host)


def _node_file(host: PrivateHost, domains: int) -> Path:
    path = host.folder / f"node-{domains}.xml"
    if not path.exists():
        path.write_text(render_node(domains))
    return path


def render_node(domains: int) -> str:
    """A host for libvirt's fake driver with so many small domains; the odd ones are shut off."""
    parts = [
        "<node><cpu><mhz>2400</mhz><model>x86_64</model><active>64</active><nodes>2</nodes><sockets>1</sockets>",
        "<cores>16</cores><threads>2</threads></cpu><memory>1073741824</memory>",
    ]
    for number in range(domains):
        name = escape(f"guest-{number:05d}")
        mac = ":".join(f"{byte:02x}" for byte in (0x5254_0100_0000 + number).to_bytes(6, "big"))
        running = 1 if number % 2 == 0 else 5
        parts.append(
            f"<domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'><name>{name}</name>"
            f"<uuid>00000000-0000-4000-8000-{number:012x}</uuid><memory unit='MiB'>512</memory><vcpu>1</vcpu>"
            "<os><type arch='x86_64'>hvm</type></os>"
            "<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
            f"<source file='/guests/{name}.qcow2'/><target dev='vda' bus='virtio'/></disk>"
            f"<interface type='bridge'><mac address='{mac}'/><source bridge='br0'/>"
            "<model type='virtio'/></interface></devices>"
            f"<test:runstate>{running}</test:runstate></domain>"
        )
    return "\n".join([*parts, "</node>\n"])
