"""The private hosts themselves: they come up, hold the residents they promise, leave nothing behind.

Every other live test believes the harness, so the harness is tested first.

Effects: writes hypervisors (private ones only)
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import fixtures, guest_image
from tests.support import kvm_host as private_hosts
from tests.support.fixtures import KvmHost, render_node, require_private_hosts
from tests.support.kvm_host import HostError, PrivateHost, traces_of, wait_until
from tests.support.outside_view import differences, fingerprint
from tests.support.resident_guests import POOL, java_name_uuid
from tests.support.resident_xml import (
    render_domain,
    render_file_disk,
    render_network,
    render_pool,
    render_serial,
)
from tests.support.residents import state_of

pytestmark = pytest.mark.live

ROOT = Path(__file__).resolve().parents[2]
GUEST_UUID = "7d1f2f60-6c0c-4f0e-9f53-2a40f2a0c001"


def start_guest(host: PrivateHost, name: str = "guest") -> Path:
    """Start one guest, wait until it says that it is up, and return the file that keeps what it says."""
    disk, log, definition = (
        host.images / f"{name}.raw",
        host.serials / f"{name}.log",
        host.folder / f"{name}.xml",
    )
    guest_image.write_disk(disk)
    definition.write_text(render_domain(name, GUEST_UUID, render_file_disk(disk) + render_serial(log)))
    host.virsh_all([("define", str(definition)), ("start", name)])
    wait_until(lambda: log.exists() and guest_image.UP in log.read_text(), "the guest to say that it is up")
    return log


# --- the host ---


def test_a_host_comes_up_with_its_own_name_uuid_and_network(own_kvm_host: PrivateHost) -> None:
    assert own_kvm_host.virsh("uri").strip() == own_kvm_host.uri
    assert own_kvm_host.virsh("hostname").strip() == own_kvm_host.name
    assert f"<uuid>{own_kvm_host.host_uuid}</uuid>" in own_kvm_host.virsh("capabilities")
    assert own_kvm_host.virsh("list", "--all").strip() == ""
    assert own_kvm_host.run("ls", "/sys/class/net").stdout.split() == ["lo"]
    assert len(str(own_kvm_host.socket_read_only)) < 60


def test_a_guest_is_emulated_and_obeys_the_power_button(own_kvm_host: PrivateHost) -> None:
    assert "<domain type='kvm'" not in own_kvm_host.virsh("capabilities")
    log = start_guest(own_kvm_host)
    own_kvm_host.virsh("shutdown", "guest")
    wait_until(lambda: state_of(own_kvm_host, "guest") == "shut off (shutdown)", "the guest to shut down")
    assert guest_image.DOWN in log.read_text()


def test_the_read_only_socket_refuses_to_write(kvm_host: KvmHost) -> None:
    command = ["virsh", "--readonly", "--connect", kvm_host.uri_read_only]
    guest = kvm_host.residents["raw"]
    refused = subprocess.run(
        [*command, "destroy", guest.uuid], capture_output=True, text=True, timeout=30, check=False
    )
    assert refused.returncode == 1
    assert "read only access" in refused.stderr or "forbidden" in refused.stderr
    allowed = subprocess.run(
        [*command, "domstate", guest.uuid], capture_output=True, text=True, timeout=30, check=False
    )
    assert allowed.stdout.strip() == "running"


def test_guests_live_on_when_the_daemon_is_killed_and_started_again(own_kvm_host: PrivateHost) -> None:
    start_guest(own_kvm_host)
    before = own_kvm_host.virsh("domid", "guest"), len(own_kvm_host.processes())
    own_kvm_host.kill_daemon()
    assert own_kvm_host.daemon_pid is None
    with pytest.raises(HostError):
        own_kvm_host.virsh("list")
    with pytest.raises(HostError, match="no libvirtd now"):
        own_kvm_host.freeze_daemon()
    own_kvm_host.start_daemon()
    assert state_of(own_kvm_host, "guest").startswith("running")
    assert (own_kvm_host.virsh("domid", "guest"), len(own_kvm_host.processes())) == before
    with pytest.raises(HostError, match="runs already"):
        own_kvm_host.start_daemon()


def test_a_frozen_daemon_answers_nobody_until_it_is_thawed(own_kvm_host: PrivateHost) -> None:
    own_kvm_host.freeze_daemon()
    with pytest.raises(subprocess.TimeoutExpired):
        own_kvm_host.virsh("list", seconds_max=0.5)
    own_kvm_host.thaw_daemon()
    assert own_kvm_host.virsh("list").strip() == ""


def test_two_hosts_know_nothing_of_each_other(own_kvm_host: PrivateHost) -> None:
    start_guest(own_kvm_host)
    with PrivateHost("kvm-other") as other:
        assert other.host_uuid != own_kvm_host.host_uuid
        assert other.virsh("list", "--all").strip() == ""
    assert other.leftovers() == []
    assert state_of(own_kvm_host, "guest") == "running (booted)"


# --- nothing stays behind ---


def test_a_closed_host_leaves_nothing(own_kvm_host: PrivateHost) -> None:
    start_guest(own_kvm_host)
    own_kvm_host.run("ip", "link", "add", "br-left", "type", "bridge")
    assert len(own_kvm_host.processes()) >= 3
    assert any(
        "qemu-system" in trace for trace in own_kvm_host.leftovers()
    )  # the check sees what there is to see
    own_kvm_host.close()
    assert own_kvm_host.leftovers() == []
    own_kvm_host.close()


def test_one_kill_of_the_first_process_ends_all_of_a_host(own_kvm_host: PrivateHost) -> None:
    start_guest(own_kvm_host)
    os.kill(own_kvm_host.init_pid, signal.SIGKILL)
    folder = own_kvm_host.folder
    wait_until(lambda: not any("process" in trace for trace in traces_of(folder)), "every process to be gone")
    assert [trace.partition(":")[0] for trace in traces_of(folder)] == [f"folder {folder}"]


def test_a_host_ends_with_the_process_that_made_it_even_by_sigkill(own_kvm_host: PrivateHost) -> None:
    assert own_kvm_host.daemon_pid is not None  # another host of the same machine, which must live on
    program = (
        "import sys\nfrom tests.support.kvm_host import PrivateHost\n"
        "from tests.live.test_private_host import start_guest\n"
        "host = PrivateHost('kvm-orphan'); host.start(); start_guest(host)\n"
        "host.run('mount', '-t', 'tmpfs', 'tmpfs', str(host.serials))\n"
        "print(host.folder, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as maker:
        assert maker.stdout is not None
        folder = Path(maker.stdout.readline().strip())
        assert folder.name.startswith("xh-")
        assert any("qemu-system" in trace for trace in traces_of(folder))
        maker.kill()
    wait_until(lambda: traces_of(folder) == [], f"every trace of {folder} to be gone")
    assert own_kvm_host.virsh("list").strip() == ""


def test_a_host_that_cannot_start_says_why_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_hosts, "LIBVIRTD_CONF", 'listen_tcp = "not a number"\n')
    host = PrivateHost("kvm-broken")
    with pytest.raises(HostError, match="listen_tcp"):
        host.start()
    assert host.leftovers() == []


def test_a_machine_without_libvirtd_gets_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_hosts, "DAEMON", Path("/nowhere/libvirtd"))
    reason = private_hosts.reason_not_possible()
    assert reason is not None
    assert "apt-get install libvirt-daemon" in reason


def test_where_private_hosts_cannot_run_tests_are_skipped_but_never_in_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fixtures, "_reason_not_possible", lambda: "no root")
    for switch in ("XENIOS_REQUIRE_LIVE", "CI"):
        monkeypatch.delenv(switch, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no root"):
        require_private_hosts()
    for switch, value in (("XENIOS_REQUIRE_LIVE", "1"), ("CI", "true")):
        with monkeypatch.context() as patch:
            patch.setenv(switch, value)
            with pytest.raises(pytest.fail.Exception, match="no root"):
                require_private_hosts()


# --- the residents ---


def test_every_resident_is_in_the_state_its_owner_left_it_in(kvm_host: KvmHost) -> None:
    seen = fingerprint(kvm_host.host)
    assert set(seen["domains"].split()) == kvm_host.residents.uuids
    for guest in kvm_host.residents:
        assert seen[f"domain {guest.uuid} state"] == f"{guest.state} ({guest.reason})", guest.kind
        assert (guest.uuid in seen["domains that are persistent"]) == guest.persistent, guest.kind
        assert (guest.uuid in seen["domains that start with the host"]) == guest.autostart, guest.kind
        assert (guest.uuid in seen["domains with a managed save"]) == guest.managed_save, guest.kind
        assert (guest.uuid in seen["domains with snapshots"]) == bool(guest.snapshots), guest.kind
    build_box = kvm_host.residents["snapshots"]
    assert set(seen[f"domain {build_box.uuid} snapshots"].split()) == set(build_box.snapshots)
    named = set(kvm_host.host.virsh("list", "--all", "--name").strip("\n").split("\n"))
    assert named == kvm_host.residents.names


def test_pools_and_networks_are_as_promised(kvm_host: KvmHost) -> None:
    host, residents = kvm_host.host, kvm_host.residents
    for name, active in residents.pools.items():
        assert ("running" if active else "inactive") in host.virsh("pool-info", name)
    for name, active in residents.networks.items():
        assert (
            f"{'yes' if active else 'no'}" in host.virsh("net-info", name).split("Active:")[1].split("\n")[0]
        )
    assert residents.bridge in host.run("ls", "/sys/class/net").stdout.split()


def test_troubles_are_real(kvm_host: KvmHost) -> None:
    host, residents = kvm_host.host, kvm_host.residents
    assert "no space" in host.virsh("domblkerror", residents["io-error"].uuid)
    chain = host.run("qemu-img", "info", "-U", "--backing-chain", str(host.images / "web.qcow2")).stdout
    assert str(host.images / "base.qcow2") in chain
    for top in ("gone-top.qcow2", "gone-unseen-top.qcow2"):
        with pytest.raises(HostError, match="No such file"):
            host.run("qemu-img", "info", "--backing-chain", str(host.images / top))
    volumes = host.virsh("vol-list", POOL)
    assert "gone.qcow2" not in volumes
    assert "gone-unseen.qcow2" in volumes  # libvirt believes in it until the pool is refreshed
    assert not (host.images / "lost.raw").exists()


def test_the_uuid_of_a_cloudstack_guest_is_javas_hash_of_its_name() -> None:
    assert java_name_uuid("hello") == "5d41402a-bc4b-3a76-b971-9d911017c592"


# --- the view from outside ---


def test_a_fingerprint_is_the_same_when_nothing_was_written(kvm_host: KvmHost) -> None:
    assert differences(fingerprint(kvm_host.host), fingerprint(kvm_host.host)) == []


@pytest.fixture(scope="module")
def changed_host() -> Iterator[PrivateHost]:
    """A host with one guest, pool and network, for tests that change them and look whether it shows."""
    require_private_hosts()
    with PrivateHost("kvm-changed") as host:
        start_guest(host)
        (host.folder / "pool.xml").write_text(render_pool("pool", host.images))
        (host.folder / "net.xml").write_text(
            render_network("net", "<forward mode='bridge'/><bridge name='br0'/>")
        )
        files = str(host.folder / "pool.xml"), str(host.folder / "net.xml")
        host.virsh_all([("pool-define", files[0]), ("pool-start", "pool"), ("net-define", files[1])])
        yield host


@pytest.mark.parametrize(
    "write",
    [
        ("autostart", "guest"),
        ("suspend", "guest"),
        ("desc", "guest", "--config", "a word"),
        ("desc", "guest", "--live", "a word"),
        ("metadata", "guest", "--config", "--uri", "urn:x", "--key", "x", "--set", "<mark/>"),
        ("snapshot-create-as", "guest", "one", "--disk-only", "--diskspec", "vda,file={images}/snap.qcow2"),
        ("define", "{folder}/guest.xml"),
        ("pool-refresh", "pool"),
        ("net-autostart", "net"),
    ],
    ids=lambda write: " ".join(write[:3]),
)
def test_a_fingerprint_shows_every_kind_of_write(changed_host: PrivateHost, write: tuple[str, ...]) -> None:
    before = fingerprint(changed_host)
    changed_host.virsh(
        *(word.format(images=changed_host.images, folder=changed_host.folder) for word in write)
    )
    assert differences(before, fingerprint(changed_host)) != []


# --- libvirt's fake driver ---


def test_the_fake_driver_serves_many_domains(libvirt_test_daemon: Callable[..., str]) -> None:
    uri = libvirt_test_daemon(domains=2000)
    for command in (
        ["virsh", "-c", uri],
        ["virsh", "-r", "-c", libvirt_test_daemon(domains=2000, read_only=True)],
    ):
        listed = subprocess.run(
            [*command, "-q", "list", "--all"], capture_output=True, text=True, timeout=60, check=True
        ).stdout.splitlines()
        assert len(listed) == 2000
        assert sum("running" in line for line in listed) == 1000
    assert (
        "test"
        in subprocess.run(
            ["virsh", "-q", "-c", libvirt_test_daemon(), "list"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        ).stdout
    )
    assert render_node(3).count("<domain ") == 3


# --- the guest ---


@pytest.mark.skipif(
    not (shutil.which("as") and shutil.which("ld")), reason="as and ld are missing (binutils)"
)
def test_the_shipped_bytes_of_the_guest_are_those_of_its_source(tmp_path: Path) -> None:
    source = ROOT / "tests" / "support" / "guest_image.S"
    for command in (
        ["as", "--32", "-o", "guest.o", str(source)],
        [
            "ld",
            "-m",
            "elf_i386",
            "-Ttext",
            "0x7c00",
            "-e",
            "start",
            "--oformat",
            "binary",
            "-o",
            "guest.bin",
            "guest.o",
        ],
    ):
        subprocess.run(command, cwd=tmp_path, timeout=30, check=True)
    assert (tmp_path / "guest.bin").read_bytes() == guest_image.boot_sector()
