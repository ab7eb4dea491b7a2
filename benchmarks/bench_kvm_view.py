"""A full view of a libvirt host with 2,000 guests against plain libvirt-python.

    python -m benchmarks.bench_kvm_view

The host is libvirt's test driver behind a private libvirtd of its own, so that every question really crosses a socket.
Peers: one bare getAllDomainStats and the XML of every guest one after another, and the loop that scripts use (name,
state, info and XML of each guest, one call each). Both throw the answers away; the view makes them a Collection.

Effects: starts and ends a private libvirtd
"""

from __future__ import annotations

import asyncio
import sys

import libvirt

from benchmarks.side_by_side import measure, ratio_line, time_line
from tests.support.kvm_host import PrivateHost, reason_not_possible
from xenios.drivers.base import Depth
from xenios.drivers.kvm.observe import KvmObserver

GUESTS = 2_000
ROUNDS = 7

_GUEST = """<domain type='test'><name>guest-{n}</name><memory unit='MiB'>512</memory><vcpu>2</vcpu>
<os><type arch='i686'>hvm</type><boot dev='hd'/></os><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
<source file='/guests/{n}.qcow2'/><target dev='vda'/></disk>
<interface type='network'><mac address='52:54:00:{a:02x}:{b:02x}:01'/><source network='default'/></interface>
</devices></domain>"""


def main() -> int:
    """Measures and prints; 1 when this machine cannot run a private host."""
    if (reason := reason_not_possible()) is not None:
        print(f"not measured: {reason}", file=sys.stderr)
        return 1
    libvirt.registerErrorHandler(lambda *_: None, None)
    with PrivateHost("bench") as host:
        uri = host.test_driver_uri()
        keeper = libvirt.open(uri)  # the fake host lives as long as a connection is open
        for number in range(GUESTS):
            domain = keeper.defineXML(_GUEST.format(n=number, a=number >> 8, b=number & 255))
            if number % 2:
                domain.create()
        _measure(uri)
        keeper.close()
    return 0


def _measure(uri: str) -> None:
    plain = libvirt.openReadOnly(uri)

    def bare() -> None:
        for domain, _ in plain.getAllDomainStats(0, 0):
            domain.XMLDesc(0)

    def script_loop() -> None:
        for domain in plain.listAllDomains():
            domain.name()
            domain.state()
            domain.info()
            domain.XMLDesc(0)

    with asyncio.Runner() as runner:
        observer = runner.run(KvmObserver.open(uri, timeout_seconds=600))
        seconds = measure(
            {
                "full view": lambda: runner.run(observer.observe(Depth.FULL)),
                "bare stats and XML": bare,
                "script's loop": script_loop,
                "view for a report": lambda: runner.run(observer.observe(Depth.REPORT)),
            },
            ROUNDS,
        )
        runner.run(observer.close())
    print(f"{GUESTS} guests, medians of {ROUNDS} rounds:")
    for name, values in seconds.items():
        print(time_line(name, values))
    view = seconds["full view"]
    print(ratio_line("full view / bare stats and XML", view, seconds["bare stats and XML"], "at most 3"))
    print(ratio_line("script's loop / full view", seconds["script's loop"], view, "at least 3"))


if __name__ == "__main__":
    sys.exit(main())
