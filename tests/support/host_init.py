"""The first process (PID 1) of a private host: builds its house, runs its libvirtd, buries its dead.

Started by `PrivateHost` through `unshare` with fresh mount, network, host name and process namespaces; it
is a script of the standard library only and never imported by a test.

Three duties, each with a reason:
* It puts the host's own folders over the machine's /etc/libvirt, /run and /var/{lib,cache,log}, so that the
  private libvirtd finds nothing of the machine's libvirt and leaves nothing behind. All mounts end with the
  namespace.
* It reaps every orphan at once. QEMU makes itself a child of PID 1, and libvirt calls a guest alive until
  PID 1 has reaped it: a slow reaper makes each stop of a guest cost seconds.
* It listens on its standard input, a pipe that only the test process holds open. A line `start` starts
  libvirtd (again). The end of the pipe means that the test process is gone, however it went: everything is
  killed and the folder removed.

Effects: writes hypervisors (its own private one only), files below its own folder, mounts in its own
namespace
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

DAEMON = "/usr/sbin/libvirtd"
COVERED = {"etc": "/etc/libvirt", "lib": "/var/lib", "cache": "/var/cache", "log": "/var/log"}
QEMU_USER = "libvirt-qemu"
QEMU_GROUPS = ("libvirt-qemu", "kvm")


def mount(*options: str) -> None:
    """Mount something in this namespace, or end with the reason in the log."""
    subprocess.run(["mount", *options], check=True)


def known(lookup: Callable[[str], object], name: str) -> bool:
    """Tell whether the user or group exists on this machine."""
    try:
        lookup(name)
    except KeyError:
        return False
    return True


def cover_file(folder: Path, name: str, added: list[str]) -> None:
    """Put a copy of /etc/NAME with added lines over the machine's file, here only."""
    original = Path("/etc", name)
    if not added or not original.exists():
        return
    copy = folder / name
    copy.write_text(original.read_text().rstrip("\n") + "\n" + "\n".join(added) + "\n")
    mount("--bind", str(copy), str(original))


def build_house(folder: Path, name: str) -> None:
    """Cover every place that libvirtd reads or writes with a folder of this host."""
    subprocess.run(["hostname", name], check=True)
    cover_file(folder, "hosts", [f"127.0.1.1 {name}"])
    # libvirtd reads the default user and group first and ends when they are missing, even if its settings
    # name others.
    missing_user = not known(pwd.getpwnam, QEMU_USER)
    cover_file(folder, "passwd", [f"{QEMU_USER}:x:0:0::/:/bin/false"] if missing_user else [])
    cover_file(folder, "group", [f"{g}:x:0:" for g in QEMU_GROUPS if not known(grp.getgrnam, g)])
    for part, place in COVERED.items():
        mount("--bind", str(folder / part), place)
    mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/run")
    for part in ("libvirt", "lock"):
        Path("/run", part).mkdir()
    mount("--bind", str(folder / "run"), "/run/libvirt")
    mount("-t", "sysfs", "sysfs", "/sys")  # the network interfaces of this namespace, not the machine's
    if Path("/dev/kvm").exists():
        # A KVM that opens is not yet a KVM that works (nested, containers), so guests here are always
        # emulated. The cover is a read-only file: if root could write it, libvirt would doubt its cache and
        # probe QEMU at every start.
        mount("--bind", str(folder / "no-kvm"), "/dev/kvm")
        mount("-o", "remount,bind,ro", "/dev/kvm")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def start_daemon(folder: Path) -> int:
    """Start libvirtd and note its process id (as seen in here) in `daemon.pid`."""
    with open(folder / "libvirtd.log", "ab") as log, open(os.devnull, "rb") as nothing:
        daemon = subprocess.Popen(  # its own session: a signal to the terminal of the tests must not reach it
            [DAEMON, "-f", "/etc/libvirt/libvirtd.conf", "-p", "/run/libvirt/libvirtd.pid"],
            stdin=nothing,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    note = folder / "daemon.pid.new"
    note.write_text(str(daemon.pid))
    note.rename(folder / "daemon.pid")
    return daemon.pid


def reap(folder: Path, daemon: int) -> None:
    """Bury every dead child. For the daemon change its note: so the tests learn of its death."""
    while True:
        try:
            dead, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if dead == 0:
            return
        if dead == daemon:
            with contextlib.suppress(FileNotFoundError):
                (folder / "daemon.pid").rename(folder / "daemon.dead")


def leave_nothing(folder: Path) -> None:
    """End every other process of this host, then remove its folder: nobody else is left to do it."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.kill(-1, signal.SIGKILL)  # every process of this PID namespace but this one
    while True:
        try:
            os.wait()
        except ChildProcessError:
            break
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        place = line.split()[4]
        if place.startswith(f"{folder}/"):
            subprocess.run(["umount", "-l", place], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def main(folder: Path, name: str) -> None:
    """Serve until the pipe ends or somebody kills this process."""
    build_house(folder, name)
    wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    daemon = 0
    while True:
        ready, _, _ = select.select([0, wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 4096)
            reap(folder, daemon)
        if 0 in ready:
            words = os.read(0, 4096).split()
            if not words:
                leave_nothing(folder)
                return
            if b"start" in words:
                daemon = start_daemon(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
