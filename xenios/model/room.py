"""Room: how much of a host is taken, in three truths, and what a sum over a database would have claimed.

Effects: none
"""

from collections.abc import Iterable

import msgspec


class HostRoom(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of one host, in bytes. None where a term is not known; a sum with an unknown term is unknown too."""

    host_uuid: str
    bytes_total: int | None
    bytes_overhead: int | None
    """What the hypervisor keeps for itself, control domains included."""
    bytes_declared: int
    """What the VMs that occupy memory here may grow to, each with its overhead."""
    vms_declared: int
    vms_not_told: int
    """VMs among them whose memory or power state is not known. Unknown memory makes the declared sum a lower bound; a
    VM in an unknown state is counted as if it ran."""
    all_vms_seen: bool
    """False: VMs may be here that were not read, so the declared sum is a lower bound."""
    bytes_may_start: int | None
    """What the VMs that are off here but may start by themselves (autostart, HA, suspended) would take."""
    vms_may_start: int
    bytes_free_declared: int | None
    """total − overhead − declared; negative when the host is over-promised."""
    bytes_free_measured: int | None
    measured_source: str
    bytes_promised: int
    """Reserved by our own ledger; nothing is ours before the takeover."""
    bytes_free: int | None
    """The worst of the truths that are known."""
    bytes_free_database_only: int | None
    """What a manager would claim that sums only the VMs in its own database, which on the day of takeover is empty."""
    bytes_drift: int | None
    """How much that claim exceeds the truth."""
    vcpus_declared: int | None
    cpus: int | None


class PoolRoom(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of a pool: its hosts, and the VMs that may start on any of them."""

    hosts: tuple[HostRoom, ...]
    bytes_may_start_anywhere: int | None
    vms_may_start_anywhere: int
    all_hosts_seen: bool
    """False: no sum over the hosts is known."""


def sum_if_known(terms: Iterable[int | None]) -> int | None:
    """The sum; None as soon as one term is not known."""
    total = 0
    for term in terms:
        if term is None:
            return None
        total += term
    return total
