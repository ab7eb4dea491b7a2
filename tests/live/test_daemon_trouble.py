"""A daemon that is not there, hangs, dies or lies: what was read stays, what was not is said, and the command ends.

Trouble comes at a chosen point and not after a chosen time: the command sends the signal itself, at a message of its
own progress. Every message is tried, so no point between two reads is left out.

Effects: writes hypervisors (private ones only); starts and signals processes of its own
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import guest_image
from tests.support.command import ROOT, Finished, Signal, xenios
from tests.support.fixtures import KvmHost, render_node, require_private_hosts
from tests.support.kvm_host import PrivateHost, wait_until
from tests.support.resident_xml import (
    render_domain,
    render_file_disk,
    render_network,
    render_nic,
    render_pool,
    render_serial,
)
from xenios.app import inspect_targets
from xenios.drivers.base import Depth
from xenios.drivers.kvm.observe import KvmObserver
from xenios.model.collection import Collection, Quality
from xenios.model.inventory import PowerState
from xenios.report.schema import TargetReport

pytestmark = pytest.mark.live

EXAMPLE = str(ROOT / "xenios" / "simulator" / "examples" / "pool-in-use.db")
MANY_DOMAINS = 600
SECONDS_FROZEN = 1.0
"""The time limit of a look that will not be answered."""
SECONDS_A_LITTLE = 5.0
"""How much longer the whole command may take: starting Python, drawing the report, leaving, on a busy machine."""
GUEST, HALTED, PASSING = "steady", "resting", "passing"


@pytest.fixture(scope="module")
def host() -> Iterator[PrivateHost]:
    """A host of this file's own, whose daemon may be frozen and killed: three guests, a pool, a network."""
    require_private_hosts()
    with PrivateHost("kvm-trouble") as host:
        for number, name in enumerate((GUEST, HALTED, PASSING)):
            guest_image.write_disk(host.images / f"{name}.raw")
            devices = (
                render_file_disk(host.images / f"{name}.raw")
                + render_nic("network", "inner", f"52:54:00:00:01:0{number}")
                + render_serial(host.serials / f"{name}.log")
            )
            uuid = f"5d1c7a10-0000-4000-8000-00000000000{number}"
            (host.folder / f"{name}.xml").write_text(render_domain(name, uuid, devices))
        (host.folder / "pool.xml").write_text(render_pool("pool", host.images))
        (host.folder / "net.xml").write_text(render_network("inner", "<bridge name='virbr-in'/>"))
        (host.folder / "many.xml").write_text(render_node(MANY_DOMAINS))
        host.virsh_all(
            [
                ("pool-define", str(host.folder / "pool.xml")),
                ("pool-start", "pool"),
                ("net-define", str(host.folder / "net.xml")),
                ("net-start", "inner"),
                ("define", str(host.folder / f"{GUEST}.xml")),
                ("define", str(host.folder / f"{HALTED}.xml")),
                ("start", GUEST),
            ]
        )
        yield host
        host.close()
        assert host.leftovers() == []


@pytest.fixture
def thawed(host: PrivateHost) -> Iterator[PrivateHost]:
    """The host, whose daemon answers again afterwards whatever a test did to it."""
    yield host
    if host.daemon_pid is None:
        host.start_daemon()
    host.thaw_daemon()


def daemon_pid(host: PrivateHost) -> int:
    pid = host.daemon_pid
    assert pid is not None
    return pid


def assert_said_and_ended(done: Finished, target: str, *, seconds_max: float) -> dict[str, Any]:
    """What holds for every trouble: an ending in time, exit 1, target and remedy named, the rest of the report."""
    assert done.code == 1, done.said
    assert "Traceback" not in done.said
    assert "defect of Xenios" not in done.said
    assert "Exception ignored" not in done.said
    assert done.seconds < seconds_max + SECONDS_A_LITTLE, done.said
    report = done.report()
    assert report["complete"] is False
    troubled, fine = report["targets"]
    assert troubled["target"] == target
    assert troubled["failures"], "nothing is said of what could not be read"
    for failure in troubled["failures"]:
        assert failure["what"]
        assert failure["because"]
        assert failure["remedy"]
    assert fine["status"] == "complete"
    assert len(fine["vms"]) >= 30
    return dict(troubled)


def inspect_beside_example(target: str, *, timeout: float = SECONDS_FROZEN, **how: Any) -> dict[str, Any]:
    done = xenios("inspect", "--json", "--timeout", str(timeout), target, EXAMPLE, **how)
    return assert_said_and_ended(done, target, seconds_max=timeout)


# --- nobody there, or not libvirtd ---


NOBODY_THERE = [
    ("qemu:///system?socket=/nowhere/libvirt-sock", "No such file", "libvirtd runs"),
    ("qemu+unix:///system?socket=/etc/passwd", "Connection refused", "libvirtd runs"),
    ("qemu+tcp://no-such-host.invalid/system", "no-such-host.invalid", "host's name"),
    ("qemu+tcp://127.0.0.1:1/system", "Connection refused", "libvirtd runs"),
    ("qemu+tls://127.0.0.1:1/system", "certificate", "certificates in /etc/pki"),
    # What ssh says comes too late for libvirt at times.
    ("qemu+ssh://127.0.0.1:1/system", "127.0.0.1:1", "sshd runs"),
    ("qemu+ssh://no-such-host.invalid/system", "no-such-host.invalid", "host's name"),
    ("qemu+foo:///system", "transport", "word after the +"),
    ("qemu+ext:///system?command=/nowhere/ssh", "cannot connect", "that"),  # what libvirt says of it varies
    ("test:////nowhere/node.xml", "nowhere/node.xml", "file that the URI names"),
    ("esx://no-such-host.invalid/", "no-such-host.invalid", "host's name"),
    ("https://127.0.0.1:1/", "no target that Xenios knows", "qemu:///system"),
]


@pytest.fixture(scope="module")
def unreadable() -> dict[str, dict[str, Any]]:
    """All of these targets in one look, by target: none of them spoils another."""
    done = xenios("inspect", "--json", "--timeout", "10", *(target for target, _, _ in NOBODY_THERE), EXAMPLE)
    assert done.code == 1
    assert "Traceback" not in done.said
    assert done.seconds < 10 + SECONDS_A_LITTLE
    *troubled, fine = done.report()["targets"]
    assert fine["status"] == "complete"
    return {target["target"]: target for target in troubled}


@pytest.mark.parametrize(("target", "because", "remedy"), NOBODY_THERE)
def test_nobody_there(unreadable: dict[str, dict[str, Any]], target: str, because: str, remedy: str) -> None:
    assert unreadable[target]["status"] == "unreadable"
    (failure,) = unreadable[target]["failures"]
    assert because in failure["because"]
    assert remedy in failure["remedy"]


def test_ssh_that_is_not_installed(tmp_path: Path) -> None:
    troubled = inspect_beside_example("qemu+ssh://127.0.0.1/system", timeout=10, env={"PATH": str(tmp_path)})
    assert "install" in troubled["failures"][0]["remedy"]


def test_a_password_in_a_target_is_never_shown() -> None:
    targets = (
        "qemu+ssh://root:geheim@127.0.0.1:1/system",
        "qemu+ssh://root:ge@heim@127.0.0.1:1/system",
        "qemu+tcp://root:geheim@127.0.0.1:1/system",
        "foo://root:geheim@127.0.0.1/",
    )
    done = xenios("inspect", "--details", "--timeout", "10", *targets)
    assert done.code == 1
    assert done.out.count("UNREADABLE") == len(targets)
    assert "root@127.0.0.1" in done.out
    assert "heim" not in done.said


@contextlib.contextmanager
def listening(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """A UNIX socket that takes every connection, does `answer` with it and keeps it open until the end."""
    with contextlib.ExitStack() as held, socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen(50)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    guest = held.enter_context(door.accept()[0])
                    with contextlib.suppress(OSError):
                        answer(guest)

        thread = threading.Thread(target=serve, name="not libvirtd", daemon=True)
        thread.start()
        yield
        door.shutdown(socket.SHUT_RDWR)
        thread.join()


NOT_LIBVIRTD: dict[str, Callable[[socket.socket], None]] = {
    "never answers": lambda guest: None,
    "closes at once": lambda guest: guest.close(),
    "answers in another language": lambda guest: guest.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50),
    "answers with zeros": lambda guest: guest.sendall(bytes(4096)),
    "promises a packet that does not come": lambda guest: guest.sendall(b"\0\0\x10\0" + bytes(20)),
}


def test_sockets_of_others_than_libvirtd(tmp_path: Path) -> None:
    with contextlib.ExitStack() as open_doors:
        targets = []
        for number, answer in enumerate(NOT_LIBVIRTD.values()):
            open_doors.enter_context(listening(tmp_path / str(number), answer))
            targets.append(f"qemu:///system?socket={tmp_path / str(number)}")
        done = xenios("inspect", "--json", "--timeout", str(SECONDS_FROZEN), *targets, EXAMPLE)
    assert done.code == 1
    assert "Traceback" not in done.said
    assert done.seconds < SECONDS_FROZEN + SECONDS_A_LITTLE
    *troubled, fine = done.report()["targets"]
    assert fine["status"] == "complete"
    for what, target in zip(NOT_LIBVIRTD, troubled, strict=True):
        assert target["status"] == "unreadable", what
        assert "libvirtd" in target["failures"][0]["remedy"], what


# --- not allowed, not installed ---


def test_a_socket_that_the_user_may_not_use(host: PrivateHost) -> None:
    """The socket for everybody is open to everybody, and a look needs no more."""
    done = xenios("inspect", "--json", host.uri, host.uri_read_only, unprivileged=True)
    assert done.code == 1, done.said
    assert "Traceback" not in done.said
    refused, allowed = done.report()["targets"]
    assert refused["status"] == "unreadable"
    assert "Permission denied" in refused["failures"][0]["because"]
    assert "group" in refused["failures"][0]["remedy"]
    assert allowed["status"] == "complete"
    assert {vm["name"] for vm in allowed["vms"]} == {GUEST, HALTED}


def test_libvirt_python_that_is_not_installed(tmp_path: Path) -> None:
    """Everything else goes on: a database file needs no libvirt."""
    (tmp_path / "libvirt.py").write_text("raise ImportError('No module named libvirt')\n")
    done = xenios("inspect", "--json", "qemu:///system", EXAMPLE, env={"PYTHONPATH": f"{tmp_path}:{ROOT}"})
    troubled = assert_said_and_ended(done, "qemu:///system", seconds_max=30)
    assert "libvirt-python" in troubled["failures"][0]["because"]
    assert "xenios[kvm]" in troubled["failures"][0]["remedy"]


# --- a daemon that hangs ---


def test_a_daemon_that_hangs_before_the_look(thawed: PrivateHost) -> None:
    thawed.freeze_daemon()
    troubled = inspect_beside_example(thawed.uri)
    assert troubled["status"] == "unreadable"
    assert "did not answer within 1 s" in troubled["failures"][0]["because"]
    assert "restarted" in troubled["failures"][0]["remedy"]


def messages_of_progress(uri: str, depth: Depth = Depth.REPORT) -> list[str]:
    """What a look at this target tells of its progress, as the command counts the messages."""

    async def look() -> list[str]:
        told = ["connecting"]
        observer = await KvmObserver.open(uri, 60)
        await observer.observe(depth, told.append)
        await observer.close()
        return told

    return asyncio.run(look())


MESSAGES_MIN = 6
SECONDS_FROZEN_INSIDE = 0.6


def assert_nothing_invented(seen: TargetReport) -> None:
    """What was not read is not told: no state that nobody saw, no figure and no yes for a guest that was not read."""
    known = {GUEST: PowerState.RUNNING, HALTED: PowerState.HALTED}
    for vm in seen.vms:
        assert vm.power_state is known[vm.name]
        if not vm.definition_read:
            assert vm.memory.bytes_max is None
            assert vm.may_be_adopted == "not now"


@pytest.mark.parametrize("way", ["freeze", "kill"])
def test_a_daemon_that_hangs_or_dies_at_any_point_of_a_look(thawed: PrivateHost, way: str) -> None:
    messages = messages_of_progress(thawed.uri)
    assert len(messages) >= MESSAGES_MIN
    guests_seen = []
    for number, message in enumerate(messages):
        told = iter(range(len(messages) + 1))

        def strike(_: str, doing: str, told: Iterator[int] = told, number: int = number) -> None:
            if doing and next(told) == number:
                thawed.freeze_daemon() if way == "freeze" else thawed.kill_daemon()

        report = asyncio.run(
            inspect_targets(
                [thawed.uri], compare=None, timeout_seconds=SECONDS_FROZEN_INSIDE, progress=strike
            )
        )
        thawed.thaw_daemon() if way == "freeze" else thawed.start_daemon()
        (seen,) = report.targets
        assert not report.complete
        assert seen.status == ("unreadable" if number < 2 else "partial"), message
        assert_nothing_invented(seen)
        assert seen.failures[0].remedy
        assert seen.failures[0].because.count(thawed.uri) <= 1
        if way == "freeze":
            assert "within 0.6 s" in seen.failures[0].because, message
        guests_seen.append(len(seen.vms))
    assert guests_seen == sorted(guests_seen)
    assert guests_seen[-1] == 2  # what was read before stays


def test_guests_that_could_not_be_listed_are_not_called_absent(thawed: PrivateHost) -> None:
    messages = messages_of_progress(thawed.uri)
    at = Signal(signal.SIGSTOP, after_messages=messages.index("guests"), pid=daemon_pid(thawed))
    done = xenios("inspect", "--timeout", str(SECONDS_FROZEN), thawed.uri, at_progress=at)
    assert "PARTIAL" in done.out
    assert "list of guests" in done.out
    assert "No VMs." not in done.out
    assert "NOT complete" in done.out


def test_a_daemon_that_hangs_among_many_definitions(thawed: PrivateHost) -> None:
    uri = thawed.test_driver_uri(thawed.folder / "many.xml")
    messages = messages_of_progress(uri, Depth.FULL)
    middle = [number for number, words in enumerate(messages) if words.startswith("guests ")][1]
    at = Signal(signal.SIGSTOP, after_messages=middle, pid=daemon_pid(thawed))
    done = xenios("inspect", "--json", "--timeout", "1.5", uri, EXAMPLE, at_progress=at)
    troubled = assert_said_and_ended(done, uri, seconds_max=1.5)
    read = [vm for vm in troubled["vms"] if vm["definition_read"]]
    assert len(troubled["vms"]) == MANY_DOMAINS
    assert 0 < len(read) < MANY_DOMAINS
    assert len(troubled["failures"]) == 1  # one line says it, not one per guest
    assert "everything after it" in troubled["failures"][0]["what"]
    assert all(vm["power_state"] in ("running", "halted") for vm in troubled["vms"])


def test_a_frozen_guest_process_spoils_only_its_own_figures(thawed: PrivateHost) -> None:
    """A QEMU that hangs (on dead storage, say) keeps libvirtd waiting: definitions and states are told all the same."""
    qemu = [
        pid
        for pid in thawed.processes().values()
        if b"qemu-system" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert len(qemu) == 1
    os.kill(qemu[0], signal.SIGSTOP)
    try:
        troubled = inspect_beside_example(thawed.uri, timeout=1.2)
    finally:
        os.kill(qemu[0], signal.SIGCONT)
    assert troubled["status"] == "partial"
    assert {vm["name"]: vm["power_state"] for vm in troubled["vms"]} == {GUEST: "running", HALTED: "halted"}
    assert all(vm["definition_read"] for vm in troubled["vms"])
    assert "figures of guests" in troubled["failures"][0]["what"]
    wait_until(lambda: "cpu" in thawed.virsh("domstats", GUEST), "libvirtd to be done with the frozen guest")


def test_the_keepalive_notices_before_a_long_time_limit(
    thawed: PrivateHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xenios.drivers.kvm.client.KEEPALIVE_INTERVAL_SECONDS", 1)
    monkeypatch.setattr("xenios.drivers.kvm.client.KEEPALIVE_COUNT", 1)

    async def look() -> Collection:
        observer = await KvmObserver.open(thawed.uri, 60)

        def freeze(doing: str) -> None:
            if doing == "guests":
                thawed.freeze_daemon()

        try:
            return await asyncio.wait_for(observer.observe(Depth.REPORT, freeze), 15)
        finally:
            await asyncio.wait_for(observer.close(), 5)

    view = asyncio.run(look())
    assert view.quality is Quality.PARTIAL
    assert "keepalive" in view.failures[0].because or "connection was lost" in view.failures[0].because


# --- guests that go while one looks ---


def look_while(host: PrivateHost, at: str, do: Callable[[], object]) -> Collection:
    """A look during which something happens at a message of progress."""

    async def look() -> Collection:
        observer = await KvmObserver.open(host.uri, 30)
        happened: list[str] = []

        def happen(doing: str) -> None:
            if doing.startswith(at) and not happened:
                happened.append(doing)
                do()

        try:
            view = await observer.observe(Depth.REPORT, happen)
        finally:
            await observer.close()
        assert happened
        return view

    return asyncio.run(look())


@pytest.fixture
def passing(thawed: PrivateHost) -> Iterator[PrivateHost]:
    """The host with a third guest, transient and running, that a test may take away."""
    thawed.virsh("create", str(thawed.folder / f"{PASSING}.xml"))
    yield thawed
    if PASSING in thawed.virsh("list", "--all", "--name"):
        thawed.virsh("destroy", PASSING)


def test_a_guest_that_vanishes_before_its_definition_is_read(passing: PrivateHost) -> None:
    view = look_while(passing, "guests 0", lambda: passing.virsh("destroy", PASSING))
    assert [vm.name for vm in view.vms] == [HALTED, GUEST]
    assert view.quality is Quality.PARTIAL
    (failure,) = view.failures
    assert PASSING in failure.what
    assert "vanished" in failure.because


def test_a_guest_that_vanishes_before_its_figures_are_read(passing: PrivateHost) -> None:
    view = look_while(passing, "disks and figures", lambda: passing.virsh("destroy", PASSING))
    assert {vm.name for vm in view.vms} == {HALTED, GUEST, PASSING}
    seen = {vm.name: vm for vm in view.vms}
    assert seen[GUEST].memory.bytes_resident
    assert seen[PASSING].power_state is PowerState.RUNNING  # as it was when the list was read
    assert seen[PASSING].memory.bytes_resident is None


def test_a_guest_that_is_undefined_while_one_looks(thawed: PrivateHost) -> None:
    view = look_while(thawed, "guests 0", lambda: thawed.virsh("undefine", HALTED))
    thawed.virsh("define", str(thawed.folder / f"{HALTED}.xml"))
    assert [vm.name for vm in view.vms] == [GUEST]
    assert any(HALTED in failure.what and "vanished" in failure.because for failure in view.failures)


def test_a_pool_and_a_network_that_stop_while_one_looks(thawed: PrivateHost) -> None:
    def stop() -> None:
        thawed.virsh_all([("pool-destroy", "pool"), ("net-destroy", "inner")])

    try:
        view = look_while(thawed, "disks and figures", stop)
    finally:
        thawed.virsh_all([("pool-start", "pool"), ("net-start", "inner")])
    assert {vm.name for vm in view.vms} == {HALTED, GUEST}
    sizes = {vm.name: vm.disks[0].size_bytes for vm in view.vms}
    assert sizes == {GUEST: guest_image.SIZE_BYTES_MIN, HALTED: guest_image.SIZE_BYTES_MIN}


# --- the populated host ---


def test_a_hanging_daemon_of_a_full_host_harms_nobody_and_hides_nobody(kvm_host: KvmHost) -> None:
    uri = kvm_host.uri_read_only
    last = len(messages_of_progress(uri)) - 1
    pid = daemon_pid(kvm_host.host)
    try:
        troubled = inspect_beside_example(
            uri, at_progress=Signal(signal.SIGSTOP, after_messages=last, pid=pid)
        )
    finally:
        kvm_host.host.thaw_daemon()
    assert {vm["uuid"] for vm in troubled["vms"]} == kvm_host.residents.uuids
    assert troubled["status"] == "partial"


def test_a_name_that_is_no_text_costs_one_image_and_not_the_report(own_kvm_host: PrivateHost) -> None:
    """Whoever makes an image chooses the name of the image below it; libvirt passes it on as it is."""
    folder = os.fsencode(own_kvm_host.images)
    Path(own_kvm_host.images).mkdir(exist_ok=True)
    base, top = folder + b"/b\xff\xfe.qcow2", folder + b"/top.qcow2"
    subprocess.run([b"qemu-img", b"create", b"-q", b"-f", b"qcow2", base, b"1M"], check=True)
    subprocess.run(
        [b"qemu-img", b"create", b"-q", b"-f", b"qcow2", b"-b", base, b"-F", b"qcow2", top], check=True
    )
    own_kvm_host.virsh("pool-create-as", "vms", "dir", "--target", os.fsdecode(folder))
    definition = Path(own_kvm_host.folder) / "guest.xml"
    definition.write_text(
        "<domain type='qemu'><name>tenant</name><memory unit='MiB'>16</memory>"
        "<os><type arch='x86_64'>hvm</type></os><devices><disk type='file'><driver type='qcow2'/>"
        f"<source file='{os.fsdecode(top)}'/><target dev='vda'/></disk></devices></domain>"
    )
    own_kvm_host.virsh("define", str(definition))
    done = xenios("inspect", "--json", own_kvm_host.uri)
    (seen,) = done.report()["targets"]
    assert "defect" not in done.out
    assert [vm["name"] for vm in seen["vms"]] == ["tenant"]
    assert seen["status"] == "partial"
    assert any("no text in UTF-8" in failure["because"] for failure in seen["failures"])
