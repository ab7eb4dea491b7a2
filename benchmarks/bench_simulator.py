"""What the simulated XenServer pool itself costs: 100 hosts with 10,000 VMs in memory, and a large answer.

    python -m benchmarks.bench_simulator

Effects: starts and ends simulated pools
"""

from __future__ import annotations

import http.client
import json
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.simulated_pools import PASSWORD, serving

ROUNDS = 15


def main() -> int:
    """Measures and prints."""
    with serving(hosts=100, vms=10_000) as large:
        before = _resident_mib(large.pid)
        count, seconds = _answer_seconds(large.ports[0], rounds=3)
        print(f"100 hosts, 10,000 VMs: {before:.0f} MiB resident  (claim: under 1,024),")
        print(
            f"  {_resident_mib(large.pid):.0f} MiB after {count} records were asked for; answered in {seconds:.0f} ms"
        )
    with serving(hosts=16, vms=1_000) as pool:
        count, seconds = _answer_seconds(pool.ports[0], rounds=ROUNDS)
        print(
            f"VM.get_all_records of {count} VMs, templates and snapshots: median {seconds:.0f} ms  (claim: under 100)"
        )
    return 0


def _answer_seconds(port: int, rounds: int) -> tuple[int, float]:
    """How many records there were, and the median time in milliseconds from the question to the last byte."""
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def call(method: str, *params: str) -> bytes:
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, "id": 1})
        connection.request("POST", "/jsonrpc", body)
        return connection.getresponse().read()

    session: Any = json.loads(call("session.login_with_password", "root", PASSWORD))["result"]
    times: list[float] = []
    answer = b""
    for _ in range(rounds):
        began = time.perf_counter()
        answer = call("VM.get_all_records", session)
        times.append((time.perf_counter() - began) * 1000)
    connection.close()
    return len(json.loads(answer)["result"]), statistics.median(times)


def _resident_mib(pid: int) -> float:
    resident = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"))
    return int(resident[1]) / 1024 if resident else 0.0


if __name__ == "__main__":
    sys.exit(main())
