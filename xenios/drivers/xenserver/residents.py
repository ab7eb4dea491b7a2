"""How much memory the VMs of each host take by XAPI's reckoning, kept up to date VM by VM.

XAPI's host.compute_free_memory sums over all VMs of a host. Doing that for every event would make an event as dear as
the pool is large; here a VM that changed is taken out of the sum and put back in.

Source: ocaml/xapi/memory_check.ml.

Effects: none
"""

from __future__ import annotations

from collections import defaultdict

from msgspec.structs import replace

from xenios.drivers.xenserver.records import NULL_REF, Ref, VmRecord
from xenios.model.inventory import Host, Vm

_SOURCE = "XAPI's compute_free_memory, from the recorded values"


class Residents:
    """Sums over the VMs that are on a host or scheduled to come to it."""

    def __init__(self) -> None:
        self._bytes: dict[Ref, int] = defaultdict(int)
        self._not_told: dict[Ref, int] = defaultdict(int)
        """How many VMs of a host do not tell their memory."""
        self._counted: dict[Ref, tuple[Ref, Ref, int | None]] = {}

    def count(self, ref: Ref, record: VmRecord, vm: Vm) -> set[Ref]:
        """Counts a VM as it is now; returns the hosts whose sum is different."""
        changed = self._count_out(ref)
        least, overhead = vm.memory.bytes_dynamic_min, vm.memory.bytes_overhead
        taken = least + overhead if least is not None and overhead is not None else None
        places = (record.resident_on, record.scheduled_to_be_resident_on)
        if places != (NULL_REF, NULL_REF):
            self._counted[ref] = (*places, taken)
            changed ^= {(place, taken) for place in places}
            for place in places:
                if taken is None:
                    self._not_told[place] += 1
                else:
                    self._bytes[place] += taken
        return {place for place, _ in changed if place != NULL_REF}

    def forget(self, ref: Ref) -> set[Ref]:
        """Counts a VM no more; returns the hosts whose sum is different."""
        return {place for place, _ in self._count_out(ref) if place != NULL_REF}

    def _count_out(self, ref: Ref) -> set[tuple[Ref, int | None]]:
        counted = self._counted.pop(ref, None)
        if counted is None:
            return set()
        *places, taken = counted
        for place in places:
            if taken is None:
                self._not_told[place] -= 1
            else:
                self._bytes[place] -= taken
        return {(place, taken) for place in places}

    def with_free_memory(self, ref: Ref, host: Host) -> Host:
        """A host, translated without its VMs, with the memory that they leave free."""
        total, overhead = host.memory_bytes_total, host.memory_bytes_overhead
        if host.memory_free_source and host.memory_free_source != _SOURCE:
            return host  # it tells a figure of its own
        if total is None or overhead is None or self._not_told.get(ref):
            return replace(host, memory_bytes_free=None, memory_free_source="")
        free = max(0, total - overhead - self._bytes.get(ref, 0))
        return replace(host, memory_bytes_free=free, memory_free_source=_SOURCE)
