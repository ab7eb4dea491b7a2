"""A private libvirt/QEMU host: a whole hypervisor of its own for one test or a whole run, up in a moment.

Real libvirt and real QEMU tell the truth where a fake would repeat our own beliefs, and a test that kills a
daemon or fills a host must not meet the machine's own libvirt. So each `PrivateHost` has its own mount,
network, host name and process namespaces, its own libvirtd, and keeps all of its state in one short folder
below /tmp (the path of a UNIX socket may have 107 bytes). Guests are emulated (`<domain type='qemu'>`):
/dev/kvm is hidden from it.

Nothing stays behind: the host's first process (`host_init.py`) is PID 1 of the process namespace, so
killing that one process, by its id, ends every guest and daemon, and the mounts and links end with their
namespaces. It also holds a pipe to the process that made the host, so a test run that is killed with
SIGKILL takes its hosts and their folders with it. `leftovers()` looks for traces and names them.

    with PrivateHost() as host:
        print(host.uri, host.virsh("list", "--all"))

Effects: writes hypervisors (the private one only), starts and ends processes of its own, files in its own
folder
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

DAEMON = Path("/usr/sbin/libvirtd")
PROGRAMS = (
    "virsh",
    "qemu-system-x86_64",
    "qemu-img",
    "unshare",
    "nsenter",
    "mount",
    "umount",
    "ip",
    "hostname",
)
NETWORK_PROGRAMS = ("dnsmasq", "iptables")  # libvirt's own networks need them
DRIVERS = ("qemu", "storage", "network")
DRIVER_FOLDERS = ("lib*/*/libvirt/connection-driver", "lib*/libvirt/connection-driver")
FOLDERS = Path("/tmp")
HOST_UUID_NAMESPACE = uuid.UUID("6f9c9f0e-6a1d-4a52-9f6e-7a1f7f4b5c10")
START_SECONDS_MAX = 60.0
STEP_SECONDS_MAX = 30.0
COMMAND_SECONDS_MAX = 120.0
COMMANDS_AT_ONCE_MAX = 400  # one argument of a program may have 128 KiB
CAP_SYS_ADMIN = 21
CAP_NET_ADMIN = 12

QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
stdio_handler = "file"
namespaces = []
cgroup_controllers = []
"""

LIBVIRTD_CONF = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_ro_perms = "0777"
unix_sock_rw_perms = "0700"
host_uuid = "{host_uuid}"
log_outputs = "3:stderr"
max_clients = 500
max_anonymous_clients = 500
"""


class HostError(RuntimeError):
    """A private host could not do what the test asked; the text says what and shows the end of its log."""


def reason_not_possible() -> str | None:
    """Say why this machine cannot run a private host, or None when it can. Starts one short-lived process."""
    if sys.platform != "linux":
        return f"private KVM hosts need Linux, this is {sys.platform}"
    if not DAEMON.exists():
        return f"{DAEMON} is missing (Debian, Ubuntu: apt-get install libvirt-daemon)"
    missing = [name for name in (*PROGRAMS, *NETWORK_PROGRAMS) if _which(name) is None]
    if missing:
        return (
            f"missing programs: {', '.join(missing)} (Debian, Ubuntu: apt-get install libvirt-clients "
            "qemu-system-x86 qemu-utils dnsmasq-base iptables iproute2 util-linux hostname)"
        )
    files = {file.name for folder in DRIVER_FOLDERS for file in Path("/usr").glob(f"{folder}/*.so")}
    absent = [name for name in DRIVERS if f"libvirt_driver_{name}.so" not in files]
    if absent:
        return f"libvirtd has no driver for: {', '.join(absent)} (Debian, Ubuntu: libvirt-daemon-driver-…)"
    held = _capabilities()
    for number, name in ((CAP_SYS_ADMIN, "CAP_SYS_ADMIN"), (CAP_NET_ADMIN, "CAP_NET_ADMIN")):
        if not held >> number & 1:
            return f"private KVM hosts need root: this process has no {name}"
    if os.geteuid() != 0:
        return "private KVM hosts need root"
    trial = subprocess.run(
        [*_unshare_command(), "true"],
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if trial.returncode != 0:
        return f"this machine refuses new namespaces: {trial.stderr.strip()}"
    return None


def wait_until(
    condition: Callable[[], bool],
    what: str,
    seconds_max: float = STEP_SECONDS_MAX,
    pause_seconds: float = 0.01,
) -> None:
    """Wait until the condition holds; raise `HostError` naming it when the deadline passes first."""
    deadline = time.monotonic() + seconds_max
    while not condition():
        if time.monotonic() > deadline:
            raise HostError(f"waited {seconds_max:.0f} s in vain for: {what}")
        time.sleep(pause_seconds)


class PrivateHost:
    """One private hypervisor. A context manager; `start()` and `close()` do the same by hand."""

    def __init__(self, name: str = "kvm-a") -> None:
        self.name = name
        self.host_uuid = str(uuid.uuid5(HOST_UUID_NAMESPACE, name))
        self.folder = Path()
        self._unshare: subprocess.Popen[bytes] | None = None
        self._init_pid = 0
        self._init_pidfd = -1
        self._lifeline = -1
        self._links_before: frozenset[str] = frozenset()
        self._own_links: frozenset[str] = frozenset()
        self._closing = threading.Lock()

    def __enter__(self) -> PrivateHost:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- where it is ---

    @property
    def socket(self) -> Path:
        """The read-write socket of its libvirtd, reachable from every process of root on this machine."""
        return self.folder / "run" / "libvirt-sock"

    @property
    def socket_read_only(self) -> Path:
        """The read-only socket of its libvirtd, reachable by everybody on this machine."""
        return self.folder / "run" / "libvirt-sock-ro"

    @property
    def uri(self) -> str:
        """The libvirt URI of the QEMU driver."""
        return f"qemu:///system?socket={self.socket}"

    @property
    def uri_read_only(self) -> str:
        """The same by the socket that refuses writing (open it with VIR_CONNECT_RO)."""
        return f"qemu:///system?socket={self.socket_read_only}"

    def test_driver_uri(self, node: Path | None = None, *, read_only: bool = False) -> str:
        """The URI of libvirt's fake driver in this daemon, over real RPC: `default`, or a node XML file.

        `default` is one fake host shared by every connection that is open at the time; a file is read anew
        by every connection and private to it.
        """
        socket = self.socket_read_only if read_only else self.socket
        return f"test+unix://{node if node is not None else '/default'}?socket={socket}"

    @property
    def images(self) -> Path:
        """A folder for disk images, of the same path inside and outside."""
        return self.folder / "images"

    @property
    def serials(self) -> Path:
        """A folder for what guests say on their serial lines."""
        return self.folder / "serials"

    @property
    def init_pid(self) -> int:
        """The process id of its first process, as seen from outside. Killing it ends the host."""
        if not self._init_pid:
            raise HostError(f"private host {self.name} is not running")
        return self._init_pid

    @property
    def daemon_pid(self) -> int | None:
        """The process id of its libvirtd as seen from outside, None while there is none."""
        try:
            inner = int((self.folder / "daemon.pid").read_text())
        except (FileNotFoundError, ValueError):
            return None
        return self.processes().get(inner)

    # --- life and death ---

    def start(self) -> None:
        """Start the host and wait until its libvirtd answers."""
        reason = reason_not_possible()
        if reason is not None:
            raise HostError(reason)
        self._links_before = _links()
        self.folder = Path(tempfile.mkdtemp(prefix="xh-", dir=FOLDERS))
        try:
            self._prepare_folder()
            self._launch()
            self.start_daemon()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill its first process, wait until all of it is gone, remove its folder. Repeatable."""
        with self._closing:
            if self._init_pidfd >= 0:
                with contextlib.suppress(HostError, OSError, subprocess.SubprocessError):
                    self._own_links = frozenset(self.run("ls", "/sys/class/net").stdout.split())
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._init_pidfd, signal.SIGKILL)
                os.close(self._init_pidfd)
                self._init_pidfd = -1
            if self._unshare is not None:
                if not self._init_pid:
                    self._unshare.kill()  # with --kill-child: its child goes too
                self._unshare.wait(STEP_SECONDS_MAX)  # the kernel has then ended the whole process namespace
                self._unshare = None
            if self._lifeline >= 0:
                os.close(self._lifeline)
                self._lifeline = -1
            self._init_pid = 0
            if self.folder != Path() and self.folder.exists():
                shutil.rmtree(self.folder)

    def leftovers(self) -> list[str]:
        """Name everything that a closed host left on this machine; an empty list proves it left nothing."""
        found = traces_of(self.folder)
        new_links = _links() - self._links_before
        found += [f"network link {link}" for link in sorted(new_links & (self._own_links - {"lo"}))]
        return found

    # --- its daemon ---

    def start_daemon(self) -> None:
        """Start libvirtd (at first or after `kill_daemon`) and wait until it answers."""
        if self.daemon_pid is not None:
            raise HostError(f"libvirtd of private host {self.name} runs already")
        dead = self.folder / "daemon.dead"
        for old in (self.socket, self.socket_read_only, dead):
            old.unlink(missing_ok=True)
        os.write(self._lifeline, b"start\n")
        wait_until(
            lambda: dead.exists() or self._init_ended() or self._answers(),
            f"an answer of libvirtd on private host {self.name}",
            START_SECONDS_MAX,
            0.02,
        )
        if dead.exists() or self._init_ended():
            raise HostError(f"private host {self.name} ended at its start:\n{self.log_tail()}")

    def kill_daemon(self) -> None:
        """Kill libvirtd with SIGKILL and wait until it is dead. Guests live on."""
        self._signal_daemon(signal.SIGKILL)
        wait_until(lambda: not (self.folder / "daemon.pid").exists(), "the death of libvirtd")

    def freeze_daemon(self) -> None:
        """Stop libvirtd (SIGSTOP): it still accepts connections, and answers none."""
        pid = self._signal_daemon(signal.SIGSTOP)
        wait_until(lambda: _status(pid).get("State", "T")[0] in "Tt", "libvirtd to stand still")

    def thaw_daemon(self) -> None:
        """Let a frozen libvirtd go on (SIGCONT) and wait until it answers."""
        self._signal_daemon(signal.SIGCONT)
        wait_until(self._answers, "an answer of the thawed libvirtd", STEP_SECONDS_MAX, 0.02)

    def log_tail(self, lines: int = 20) -> str:
        """The last lines that the host and its libvirtd wrote."""
        try:
            text = (self.folder / "libvirtd.log").read_text(errors="replace")
        except FileNotFoundError:
            return "(no log)"
        return "\n".join(text.splitlines()[-lines:])

    # --- acting inside it ---

    def run(self, *argv: str, seconds_max: float = COMMAND_SECONDS_MAX) -> subprocess.CompletedProcess[str]:
        """Run a command inside the host's namespaces; raise `HostError` with what it said when it fails."""
        inside = ["nsenter", "-t", str(self.init_pid), "-m", "-n", "-u", "-p", "--", *argv]
        return _checked(inside, seconds_max)

    def virsh(self, *args: str, seconds_max: float = COMMAND_SECONDS_MAX) -> str:
        """Run virsh against this host, from outside, and return what it printed."""
        return _checked(["virsh", "--quiet", "--connect", self.uri, *args], seconds_max).stdout

    def virsh_all(self, commands: Sequence[Sequence[str]], seconds_max: float = COMMAND_SECONDS_MAX) -> str:
        """Run many virsh commands over one connection, in order: several times faster than one by one.

        virsh tries them all, whatever becomes of one; the error of any raises `HostError`.
        """
        said = ""
        for first in range(0, len(commands), COMMANDS_AT_ONCE_MAX):
            batch = commands[first : first + COMMANDS_AT_ONCE_MAX]
            line = "; ".join(" ".join(_quoted(word) for word in command) for command in batch)
            done = _checked(["virsh", "--quiet", "--connect", self.uri, line], seconds_max)
            if "error:" in done.stderr:  # the exit code is that of the last command only
                raise HostError(f"virsh on private host {self.name}: {done.stderr.strip()}")
            said += done.stdout
        return said

    def processes(self) -> dict[int, int]:
        """Every process of the host: its id inside, and its id as seen from outside."""
        found = {}
        for pid in _pids():
            inner = _status(pid).get("NSpid", "").split()
            if len(inner) > 1 and _namespace(pid) == self._pid_namespace():
                found[int(inner[-1])] = pid
        return found

    # --- the inside of the outside ---

    def _prepare_folder(self) -> None:
        self.folder.chmod(0o711)
        for part in ("etc", "run", "lib/libvirt", "cache/libvirt", "log/libvirt", "images", "serials"):
            (self.folder / part).mkdir(parents=True)
        (self.folder / "etc" / "qemu.conf").write_text(QEMU_CONF)
        (self.folder / "etc" / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(host_uuid=self.host_uuid))
        (self.folder / "no-kvm").touch()

    def _launch(self) -> None:
        script = Path(__file__).with_name("host_init.py")
        command = [*_unshare_command(), sys.executable, "-I", "-S", str(script), str(self.folder), self.name]
        read_end, self._lifeline = os.pipe2(os.O_CLOEXEC)
        try:
            with open(self.folder / "libvirtd.log", "ab") as log:
                self._unshare = subprocess.Popen(
                    command,
                    stdin=read_end,
                    stdout=log,
                    stderr=log,
                    env=_environment(),
                    start_new_session=True,
                    cwd="/",
                )
        finally:
            os.close(read_end)
        wait_until(lambda: self._found_init() or self._init_ended(), "the first process of the host")
        if self._init_ended():
            raise HostError(f"private host {self.name} did not start:\n{self.log_tail()}")

    def _found_init(self) -> bool:
        assert self._unshare is not None
        for pid in _pids():
            status = _status(pid)
            if status.get("PPid") == str(self._unshare.pid) and len(status.get("NSpid", "").split()) > 1:
                self._init_pid, self._init_pidfd = pid, os.pidfd_open(pid)
                return True
        return False

    def _init_ended(self) -> bool:
        return self._unshare is None or self._unshare.poll() is not None

    def _pid_namespace(self) -> str:
        return _namespace(self.init_pid)

    def _answers(self) -> bool:
        if not self.socket.exists() or not self.socket_read_only.exists():
            return False
        try:
            self.virsh("uri", seconds_max=STEP_SECONDS_MAX)
        except (HostError, subprocess.SubprocessError):
            return False
        return True

    def _signal_daemon(self, number: signal.Signals) -> int:
        pid = self.daemon_pid
        if pid is None:
            raise HostError(f"private host {self.name} has no libvirtd now")
        os.kill(pid, number)
        return pid


def traces_of(folder: Path) -> list[str]:
    """Name the processes, mounts and files on this machine that belong to the host of this folder.

    The folder's name is random, so nobody else's process can be taken for the host's. Every process of the
    host has the folder among its mounts, whatever it did to its command line.
    """
    mark = str(folder).encode()
    found = []
    for pid in _pids():
        if pid == os.getpid():
            continue
        with contextlib.suppress(OSError):
            mounts = Path(f"/proc/{pid}/mountinfo").read_bytes()
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if mark in mounts or mark in command:
                found.append(
                    f"process {pid}: {command.replace(bytes(1), b' ').decode(errors='replace').strip()}"
                )
    if mark in Path("/proc/self/mountinfo").read_bytes():
        found.append(f"a mount below {folder}")
    if folder.exists():
        found.append(f"folder {folder}: {', '.join(sorted(p.name for p in folder.iterdir()))}")
    return found


def _unshare_command() -> list[str]:
    own = ["--mount", "--net", "--uts", "--pid", "--mount-proc", "--propagation", "private"]
    return ["unshare", *own, "--fork", "--kill-child"]


def _environment() -> dict[str, str]:
    """The caller's environment, with the C language (texts are compared) and the sbin folders."""
    path = os.environ.get("PATH", "")
    return {
        **os.environ,
        "LC_ALL": "C.UTF-8",
        "PATH": f"{path}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin",
    }


def _which(program: str) -> str | None:
    return shutil.which(program, path=_environment()["PATH"])


def _checked(command: list[str], seconds_max: float) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds_max,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.strip() or done.stdout.strip()
        raise HostError(f"{' '.join(command)[:2000]} ended with {done.returncode}: {said}")
    return done


def _quoted(word: str) -> str:
    """Quote a word for virsh's own command language."""
    return "'" + word.replace("'", "'\\''") + "'"


def _capabilities() -> int:
    return int(_status(os.getpid()).get("CapEff", "0"), 16)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _status(pid: int) -> dict[str, str]:
    """The fields of /proc/PID/status, none when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _namespace(pid: int | None = None) -> str:
    """The PID namespace of a process (this one by default), empty when it is gone."""
    try:
        return os.readlink(f"/proc/{pid or 'self'}/ns/pid")
    except OSError:
        return ""


def _links() -> frozenset[str]:
    return frozenset(os.listdir("/sys/class/net"))
