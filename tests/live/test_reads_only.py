"""That looking writes nothing (promises 1, 2, 11 and 14), proved by those who are not Xenios: virsh and the files.

Every guest of the populated host, in every power state, has to be the same to the byte before and after, however the
look ends: in any form of report, by either socket, killed in the middle, left hanging by a frozen daemon.

Effects: reads hypervisors (private ones); tries to write to one of its own, which must be refused
"""

from __future__ import annotations

import ast
import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import guest_image
from tests.support.command import ROOT, Signal, xenios
from tests.support.fixtures import KvmHost, require_private_hosts
from tests.support.kvm_host import PrivateHost, wait_until
from tests.support.outside_view import differences, fingerprint
from tests.support.resident_xml import render_domain, render_file_disk, render_network, render_pool
from tests.support.residents import state_of
from xenios.drivers.base import Depth
from xenios.drivers.kvm.observe import KvmObserver

DRIVER = ROOT / "xenios" / "drivers" / "kvm"
GUEST, GUEST_UUID = "quiet", "9b7e1a52-0000-4000-8000-000000000001"

FORMS: dict[str, tuple[str, ...]] = {
    "text": (),
    "details": ("--details",),
    "json": ("--json",),
    "comparison": ("--json", "--compare", "cloudstack-4.0.2"),
    "page": ("--html", "{tmp}/report.html"),
}


# --- from outside ---


@pytest.mark.live
@pytest.mark.parametrize("by", ["read-write socket", "read-only socket"])
def test_no_form_of_the_report_writes_anything(kvm_host: KvmHost, by: str, tmp_path: Path) -> None:
    before = fingerprint(kvm_host.host)
    forms = list(FORMS.values()) if by == "read-write socket" else [FORMS["comparison"]]
    for words in forms:
        uri = kvm_host.uri if by == "read-write socket" else kvm_host.uri_read_only
        done = xenios("inspect", *(word.format(tmp=tmp_path) for word in words), uri)
        assert done.code == 0, done.said
    assert differences(before, fingerprint(kvm_host.host)) == []


@pytest.mark.live
def test_the_fingerprint_covers_every_power_state(kvm_host: KvmHost) -> None:
    """Promise 11: an alien is left as it is, running or halted or anything between; all of them live there."""
    seen = fingerprint(kvm_host.host)
    states = {seen[f"domain {guest.uuid} state"].split(" ")[0] for guest in kvm_host.residents}
    assert states == {"running", "shut", "paused", "crashed"}
    for guest in kvm_host.residents:
        assert seen[f"domain {guest.uuid} live XML"]
        assert seen[f"domain {guest.uuid} inactive XML"]


def progress_of(uri: str) -> int:
    """How many messages of progress a look at this target gives, with the one that the command adds."""

    async def look() -> int:
        told: list[str] = []
        observer = await KvmObserver.open(uri, 60)
        await observer.observe(Depth.REPORT, told.append)
        await observer.close()
        return len(told) + 1

    return asyncio.run(look())


@pytest.mark.live
def test_a_look_that_is_killed_in_the_middle_has_written_nothing(kvm_host: KvmHost) -> None:
    """Killed with SIGKILL at every point of its way."""
    points = progress_of(kvm_host.uri)
    before = fingerprint(kvm_host.host)
    for point in range(points):
        done = xenios("inspect", kvm_host.uri, at_progress=Signal(signal.SIGKILL, after_messages=point))
        assert done.code == -signal.SIGKILL
        assert done.out == ""
    assert differences(before, fingerprint(kvm_host.host)) == []


@pytest.mark.live
def test_a_look_at_a_daemon_that_freezes_has_written_nothing(kvm_host: KvmHost) -> None:
    pid, points = kvm_host.host.daemon_pid, progress_of(kvm_host.uri)
    before = fingerprint(kvm_host.host)
    for point in range(2, points, 3):
        at = Signal(signal.SIGSTOP, after_messages=point, pid=pid)
        try:
            done = xenios("inspect", "--timeout", "0.8", kvm_host.uri, at_progress=at)
        finally:
            kvm_host.host.thaw_daemon()
        assert done.code == 1, done.said
    assert differences(before, fingerprint(kvm_host.host)) == []


@pytest.fixture(scope="module")
def own_host() -> Iterator[PrivateHost]:
    """A host whose daemon may be killed and whose guest may be risked."""
    require_private_hosts()
    with PrivateHost("kvm-quiet") as host:
        guest_image.write_disk(host.images / "quiet.raw")
        for name, text in {
            "guest": render_domain(GUEST, GUEST_UUID, render_file_disk(host.images / "quiet.raw")),
            "pool": render_pool("pool", host.images),
            "net": render_network("net", "<bridge name='virbr-q'/>"),
        }.items():
            (host.folder / f"{name}.xml").write_text(text)
        host.virsh_all(
            [
                ("pool-define", str(host.folder / "pool.xml")),
                ("pool-start", "pool"),
                ("pool-autostart", "pool"),
                ("net-define", str(host.folder / "net.xml")),
                ("net-start", "net"),
                ("define", str(host.folder / "guest.xml")),
                ("start", GUEST),
            ]
        )
        yield host
        host.close()
        assert host.leftovers() == []


def without_room(text: str) -> str:
    """A pool's XML without the room on its file system, at which libvirtd looks whenever it starts."""
    return "\n".join(
        line for line in text.split("\n") if "<allocation " not in line and "<available " not in line
    )


@pytest.mark.live
def test_a_look_during_which_the_daemon_is_killed_has_written_nothing(own_host: PrivateHost) -> None:
    """Promise 2: a hypervisor that fails in the middle stops nothing. Compared with a restart that nobody looked at."""

    def restarted(during: Callable[[], None]) -> dict[str, str]:
        during()
        wait_until(lambda: own_host.daemon_pid is None, "the death of libvirtd")
        own_host.start_daemon()
        return {key: without_room(text) for key, text in fingerprint(own_host).items()}

    def look_and_kill() -> None:
        at = Signal(signal.SIGKILL, after_messages=progress_of(own_host.uri) // 2, pid=own_host.daemon_pid)
        done = xenios("inspect", own_host.uri, at_progress=at)
        assert done.code == 1, done.said

    unseen = restarted(own_host.kill_daemon)
    seen = restarted(look_and_kill)
    assert differences(unseen, seen) == []
    assert state_of(own_host, GUEST) == "running (booted)"


# --- by libvirt itself ---

Write = Callable[[Any, Any], object]
"""Takes libvirt's module and our connection, and tries to change something."""

WRITES: dict[str, Write] = {
    "shut down": lambda lv, c: c.lookupByName(GUEST).shutdown(),
    "destroy": lambda lv, c: c.lookupByName(GUEST).destroy(),
    "reboot": lambda lv, c: c.lookupByName(GUEST).reboot(),
    "suspend": lambda lv, c: c.lookupByName(GUEST).suspend(),
    "resume": lambda lv, c: c.lookupByName(GUEST).resume(),
    "save": lambda lv, c: c.lookupByName(GUEST).managedSave(),
    "start": lambda lv, c: c.lookupByName(GUEST).create(),
    "undefine": lambda lv, c: c.lookupByName(GUEST).undefine(),
    "define": lambda lv, c: c.defineXML(c.lookupByName(GUEST).XMLDesc(0)),
    "tag": lambda lv, c: c.lookupByName(GUEST).setMetadata(
        lv.VIR_DOMAIN_METADATA_ELEMENT, "<mark/>", "x", "urn:x", lv.VIR_DOMAIN_AFFECT_LIVE
    ),
    "describe": lambda lv, c: c.lookupByName(GUEST).setMetadata(
        lv.VIR_DOMAIN_METADATA_TITLE, "ours", None, None, lv.VIR_DOMAIN_AFFECT_CONFIG
    ),
    "autostart": lambda lv, c: c.lookupByName(GUEST).setAutostart(1),
    "memory": lambda lv, c: c.lookupByName(GUEST).setMemory(8192),
    "snapshot": lambda lv, c: c.lookupByName(GUEST).snapshotCreateXML("<domainsnapshot/>"),
    "read its secrets": lambda lv, c: c.lookupByName(GUEST).XMLDesc(lv.VIR_DOMAIN_XML_SECURE),
    "refresh a pool": lambda lv, c: c.storagePoolLookupByName("pool").refresh(),
    "stop a pool": lambda lv, c: c.storagePoolLookupByName("pool").destroy(),
    "make a volume": lambda lv, c: c.storagePoolLookupByName("pool").createXML(
        "<volume><name>v</name><capacity>1</capacity></volume>"
    ),
    "delete a volume": lambda lv, c: (
        c.storagePoolLookupByName("pool").storageVolLookupByName("quiet.raw").delete()
    ),
    "make a network": lambda lv, c: c.networkCreateXML("<network><name>n</name></network>"),
    "stop a network": lambda lv, c: c.networkLookupByName("net").destroy(),
    "suspend the host": lambda lv, c: c.suspendForDuration(lv.VIR_NODE_SUSPEND_TARGET_MEM, 60),
}


@pytest.mark.live
@pytest.mark.parametrize("socket", ["read-write socket", "read-only socket"])
def test_our_own_connection_may_write_nothing(own_host: PrivateHost, socket: str) -> None:
    """The connection that the observer uses, taken from it, refuses whatever one tries."""
    libvirt = pytest.importorskip("libvirt")
    before = fingerprint(own_host)
    allowed = []

    async def attempt() -> None:
        uri = own_host.uri if socket == "read-write socket" else own_host.uri_read_only
        observer = await KvmObserver.open(uri, 60)
        try:
            connection = observer._line.client.connection
            for name, write in WRITES.items():
                try:
                    write(libvirt, connection)
                except libvirt.libvirtError as error:
                    if error.get_error_code() != libvirt.VIR_ERR_OPERATION_DENIED:
                        allowed.append(f"{name}: {error}")
                else:
                    allowed.append(name)
        finally:
            await observer.close()

    asyncio.run(attempt())
    assert allowed == []
    assert differences(before, fingerprint(own_host)) == []


@pytest.mark.live
def test_the_daemon_refuses_too_and_not_only_the_library(own_host: PrivateHost) -> None:
    """On the read-only socket, from a connection that does not say that it only reads."""
    libvirt = pytest.importorskip("libvirt")
    libvirt.registerErrorHandler(lambda *_: None, None)
    connection = libvirt.open(own_host.uri_read_only)
    try:
        for write in (
            WRITES["destroy"],
            WRITES["undefine"],
            WRITES["refresh a pool"],
            WRITES["stop a network"],
        ):
            with pytest.raises(libvirt.libvirtError) as refused:
                write(libvirt, connection)
            assert refused.value.get_error_code() == libvirt.VIR_ERR_OPERATION_DENIED
    finally:
        connection.close()
    assert state_of(own_host, GUEST) == "running (booted)"


# --- by reading the code ---

READING = frozenset(
    {
        "DHCPLeases", "UUIDString", "XMLDesc", "autostart", "blockInfo", "close", "domainEventDeregisterAny",
        "domainEventRegisterAny", "domainListGetStats",
        "getAllDomainStats", "getCapabilities", "getFreeMemory", "getHostname", "getInfo", "getLibVersion",
        "getMemoryStats", "getName", "getType", "getVersion", "getXMLDesc", "hasManagedSaveImage", "isActive",
        "isAlive", "isPersistent", "jobInfo", "listAllDomains", "listAllNetworks", "listAllSnapshots",
        "listAllStoragePools", "lookupByUUIDString", "name", "networkEventDeregisterAny",
        "networkEventRegisterAny", "networkLookupByUUIDString", "registerCloseCallback", "setKeepAlive", "snapshotNum",
        "storagePoolEventDeregisterAny", "storagePoolEventRegisterAny", "storagePoolLookupByName",
        "storagePoolLookupByUUIDString", "storageVolLookupByName", "storageVolLookupByPath", "unregisterCloseCallback",
    }
)  # fmt: skip
"""Methods of libvirt's objects that the driver may call: they read, or keep our own connection."""

FIELDS = frozenset({"hostname"})
"""Fields of our own that are called like methods of libvirt; nobody may call them."""

OPENING = frozenset({"open", "openAuth", "openReadOnly"})
CLASSES = (
    "virConnect", "virDomain", "virDomainCheckpoint", "virDomainSnapshot", "virInterface", "virNWFilter",
    "virNWFilterBinding", "virNetwork", "virNetworkPort", "virNodeDevice", "virSecret", "virStoragePool",
    "virStorageVol", "virStream",
)  # fmt: skip


def attributes_used(*, called: bool = False) -> dict[str, set[str]]:
    """Every attribute name in the driver's code (or only those that are called), with the places."""
    found: dict[str, set[str]] = {}
    for file in sorted(DRIVER.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
        if called:
            nodes = [node.func for node in nodes if isinstance(node, ast.Call)]
        for node in nodes:
            if isinstance(node, ast.Attribute):
                found.setdefault(node.attr, set()).add(f"{file.name}:{node.lineno}")
    return found


def test_the_driver_opens_nothing_but_read_only_connections() -> None:
    opened = {name: places for name, places in attributes_used().items() if name in OPENING}
    assert set(opened) == {"open", "openReadOnly"}
    own = {name: places for name, places in opened.items() if name == "open"}
    for places in own.values():  # KvmObserver.open calls LibvirtClient.open, and nobody else's
        for place in places:
            file, _, line = place.partition(":")
            assert "LibvirtClient.open(" in (DRIVER / file).read_text().splitlines()[int(line) - 1]
    for source in DRIVER.rglob("*.py"):
        text = source.read_text(encoding="utf-8")
        assert 'getattr(libvirt, "open' not in text
        assert "exec(" not in text
        assert "subprocess" not in text


def test_the_driver_calls_only_methods_that_read() -> None:
    """A name that libvirt's objects have and that is not on the list of readers must be looked at by a person."""
    libvirt = pytest.importorskip("libvirt")
    methods = {
        name
        for kind in CLASSES
        if hasattr(libvirt, kind)
        for name in vars(getattr(libvirt, kind))
        if not name.startswith("_")
    }
    assert methods >= READING
    assert {"shutdown", "destroy", "setMetadata", "createXML", "refresh", "undefine"} <= methods - READING
    forbidden = methods - READING
    assert {name: places for name, places in attributes_used().items() if name in forbidden - FIELDS} == {}
    assert {name: places for name, places in attributes_used(called=True).items() if name in forbidden} == {}


def test_only_the_client_imports_libvirt() -> None:
    for file in (ROOT / "xenios").rglob("*.py"):
        imports = [
            node
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import)
            and any(name.name.split(".")[0] in ("libvirt", "libvirtmod", "libvirtaio") for name in node.names)
        ]
        assert not imports or file == DRIVER / "client.py", file
