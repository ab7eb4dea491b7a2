"""What is known of a pool while it is followed: turns a batch of events into an update, VM by VM.

Only the VMs that a batch concerns are unpacked and translated (mirror.py); the sums over all VMs that a host's free
memory needs are kept up to date (residents.py). An event that changes nothing that is read gives no update.

Effects: none
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from xenios.drivers.xenserver.decoding import Decoded
from xenios.drivers.xenserver.mirror import WATCHED, Applied, PoolMirror, RecordEvent
from xenios.drivers.xenserver.reading import Reading, miscounted, native_version_of, without_wrong_times
from xenios.drivers.xenserver.records import Records, Ref
from xenios.drivers.xenserver.residents import Residents
from xenios.drivers.xenserver.translate import collection_from
from xenios.model.collection import Collection
from xenios.model.inventory import Host, Network, Storage, Vm
from xenios.model.update import Update, UpdateSource

SurroundingT = TypeVar("SurroundingT", Host, Storage, Network)

_BECAUSE = "event.from"


class PoolView:
    """One pool as it was last read, and what events said since."""

    def __init__(self, reading: Reading, collection: Collection) -> None:
        """Takes over the reading: its records are packed and let go."""
        self._unread = frozenset(reading.unread)
        self._damaged = set(reading.damaged)
        self._wrong_clocks = frozenset(reading.hosts_with_wrong_clock)
        self._source = reading.source
        self._residents = Residents()
        for (ref, record), vm in zip(reading.records.VM.items(), collection.vms, strict=True):
            self._residents.count(ref, record, vm)
        self._mirror = PoolMirror(reading.records)
        self._pool = collection.pool
        self._hosts: dict[str, Host] = {}
        self._storages: dict[str, Storage] = {}
        self._networks: dict[str, Network] = {}
        self._different(self._translated(self._mirror.shared, 0), self._mirror.shared)

    @property
    def vms(self) -> int:
        """How many VMs there are, of every kind."""
        return self._mirror.counts()["vm"]

    def miscounted(self, counted: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """Classes of which there are more or fewer rows here than XAPI counts; of those that were read."""
        there = self._mirror.counts()
        rows = {name: there[name.lower()] for name in WATCHED if name not in self._unread}
        return miscounted(rows, counted)

    def apply(
        self, events: Sequence[RecordEvent], wrong: Mapping[str, Decoded], seen_at: int
    ) -> Update | None:
        """Takes the events in; None when nothing that is read is different."""
        self._damaged -= {event.ref for event in events}
        for decoded in wrong.values():
            self._damaged |= decoded.damaged
        failures = tuple(failure for decoded in wrong.values() for failure in decoded.failures)
        applied = self._mirror.apply(events)
        vms, filled = self._vms(applied, seen_at)
        around = self._around(applied, filled, seen_at)
        if not (vms or applied.gone or failures or any(around.values())):
            return None
        return Update(
            seen_at=seen_at,
            source=UpdateSource.EVENT,
            because=applied.everything or _BECAUSE,
            vms=vms,
            vms_gone=tuple(applied.gone.values()),
            failures=failures,
            **around,
        )

    # --- VMs -------------------------------------------------------------------------------------------------

    def _vms(self, applied: Applied, seen_at: int) -> tuple[tuple[Vm, ...], set[Ref]]:
        """The VMs concerned, translated, and the hosts whose memory they take."""
        hosts: set[Ref] = set()
        for ref in applied.gone:
            hosts |= self._residents.forget(ref)
        if applied.everything:
            records = self._mirror.records()
            concerned = set(records.VM)
        elif applied.vms:
            records = self._mirror.records_of(applied.vms)
            concerned = set(applied.vms)
        else:
            return (), hosts
        found = []
        translated = self._translated(records, seen_at).vms
        for (ref, record), vm in zip(records.VM.items(), translated, strict=True):
            if ref in concerned:
                found.append(vm)
                hosts |= self._residents.count(ref, record, vm)
        return tuple(found), hosts

    def _translated(self, records: Records, seen_at: int) -> Collection:
        return collection_from(
            without_wrong_times(records, self._wrong_clocks),
            seen_at=seen_at,
            source=self._source,
            native_version=native_version_of(self._mirror.shared),
            damaged=self._damaged,
            unread=self._unread,
        )

    # --- what is around them -------------------------------------------------------------------------------------

    def _around(self, applied: Applied, filled: set[Ref], seen_at: int) -> dict[str, Any]:
        """Fields of the update for hosts, storages, networks and the pool: those that are different now."""
        shared = self._mirror.shared
        if applied.shared:
            return self._different(self._translated(shared, seen_at), shared, complete=True)
        hosts = {ref: shared.host[ref] for ref in filled if ref in shared.host}
        if not hosts:
            return {}
        few = Records(
            pool=shared.pool, host=hosts, host_metrics=shared.host_metrics, host_cpu=shared.host_cpu
        )
        return {"hosts": self._different(self._translated(few, seen_at), few)["hosts"]}

    def _different(self, seen: Collection, records: Records, *, complete: bool = False) -> dict[str, Any]:
        hosts = seen.hosts
        if "VM" not in self._unread:
            pairs = zip(records.host, hosts, strict=True)
            hosts = tuple(self._residents.with_free_memory(ref, host) for ref, host in pairs)
        found: dict[str, Any] = {
            "hosts": _news(self._hosts, hosts),
            "storages": _news(self._storages, seen.storages),
            "networks": _news(self._networks, seen.networks),
        }
        if complete:
            found["hosts_gone"] = _gone(self._hosts, hosts)
            found["storages_gone"] = _gone(self._storages, seen.storages)
            found["networks_gone"] = _gone(self._networks, seen.networks)
            found["pool"] = seen.pool if seen.pool.uuid and seen.pool != self._pool else None
            self._pool = seen.pool if seen.pool.uuid else self._pool
        return found


def _news(known: dict[str, SurroundingT], seen: Iterable[SurroundingT]) -> tuple[SurroundingT, ...]:
    """What is not as it was known; it is known now."""
    news = tuple(thing for thing in seen if known.get(thing.uuid) != thing)
    known.update((thing.uuid, thing) for thing in news)
    return news


def _gone(known: dict[str, SurroundingT], seen: Iterable[SurroundingT]) -> tuple[str, ...]:
    gone = known.keys() - {thing.uuid for thing in seen}
    for uuid in gone:
        del known[uuid]
    return tuple(sorted(gone))
