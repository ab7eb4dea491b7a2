"""Does a pool that is kept packed and followed by events stay what the records say, VM by VM?

Effects: none
"""

from __future__ import annotations

import gc
import tracemalloc
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.support.simulated import NOW
from xenios.drivers.xenserver.mirror import PARTS, SHARED, WATCHED, PoolMirror, RecordEvent
from xenios.drivers.xenserver.reading import apply_to_records
from xenios.drivers.xenserver.records import CLASSES, NULL_REF, Record, Records, Ref
from xenios.drivers.xenserver.translate import collection_from
from xenios.model.inventory import Vm
from xenios.simulator.population.populate import populate

MADE = msgspec.json.encode(populate(3, 3, 14, NOW))


def records() -> Records:
    return msgspec.json.decode(MADE, type=Records)


def copied(records: Records) -> Records:
    """The mirror takes over what it is given."""
    return Records(**{name: dict(getattr(records, name)) for name in Records.__struct_fields__})


def translated(records: Records) -> dict[Ref, Vm]:
    vms = collection_from(records, seen_at=0, source="", native_version="").vms
    found = dict(zip(records.VM, vms, strict=True))
    # In which order a VM's snapshots, or disks with one device, are listed depends on the order of all records.
    lists = ("snapshots", "disks", "nics", "dangling")
    return {
        ref: replace(vm, **{name: tuple(sorted(getattr(vm, name), key=repr)) for name in lists})
        for ref, vm in found.items()
    }


class Chaos:
    """Somebody who changes records as no XAPI ever would, so that whatever XAPI does is among it."""

    def __init__(self, random: Random, records: Records) -> None:
        self.random = random
        self.records = records
        self.made = 0

    def event(self) -> RecordEvent:
        name = self.random.choice(WATCHED)
        table = getattr(self.records, name)
        deed = self.random.random()
        if deed < 0.2 and table:
            return RecordEvent(name, self.random.choice([*table]), None)
        if deed < 0.25:
            return RecordEvent(name, "OpaqueRef:never-heard-of", None)
        if deed < 0.45 or not table:
            self.made += 1
            record = self.random.choice([*table.values()]) if table else CLASSES[name]()
            record = self.changed(replace(record, uuid=f"made-{self.made}"))
            return RecordEvent(name, f"OpaqueRef:made-{self.made}", record)
        ref = self.random.choice([*table])
        return RecordEvent(name, ref, self.changed(table[ref]))

    def changed(self, record: Record) -> Record:
        """A record with some of its fields as another record of its class has them, or with another reference."""
        fields = self.random.sample(record.__struct_fields__, self.random.randint(0, 3))
        return replace(record, **{name: self.value(record, name) for name in fields if name != "uuid"})

    def value(self, record: Record, name: str) -> Any:
        targets = {
            "VM": "VM",
            "VDI": "VDI",
            "SR": "SR",
            "network": "network",
            "host": "host",
            "snapshot_of": "VM",
            "suspend_VDI": "VDI",
            "resident_on": "host",
            "affinity": "host",
            "metrics": "VM_metrics",
            "guest_metrics": "VM_guest_metrics",
        }
        if name in targets:
            return self.random.choice([NULL_REF, "OpaqueRef:dangling", *getattr(self.records, targets[name])])
        alike = getattr(self.records, class_of(record)).values()
        return getattr(self.random.choice([record, *alike]), name)


def class_of(record: Record) -> str:
    return next(name for name, kind in CLASSES.items() if type(record) is kind)


def test_a_mirror_gives_back_what_it_was_given() -> None:
    mirror = PoolMirror(copied(records()))
    given_back = mirror.records()
    for name in WATCHED:
        assert getattr(given_back, name) == getattr(records(), name), name
    assert mirror.counts() == {name.lower(): len(getattr(records(), name)) for name in WATCHED}


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_events_in_any_order_keep_it_what_the_records_say(seed: int) -> None:
    random = Random(seed)
    known = records()
    mirror = PoolMirror(copied(known))
    chaos = Chaos(random, known)
    before = translated(known)
    for _ in range(12):
        events: dict[tuple[str, Ref], RecordEvent] = {}
        for _ in range(random.choice([1, 1, 2, 5, 20])):
            event = chaos.event()
            events[event.class_name, event.ref] = event
        batch = [*events.values()]
        random.shuffle(batch)
        if random.random() < 0.2:
            batch *= 2  # told twice
        uuids = {ref: vm.uuid for ref, vm in known.VM.items()}
        apply_to_records(known, batch)
        applied = mirror.apply(batch)
        mirrored, after = mirror.records(), translated(known)

        for name in WATCHED:
            assert getattr(mirrored, name) == getattr(known, name), name
        assert mirror.counts() == {name.lower(): len(getattr(known, name)) for name in WATCHED}
        assert applied.gone == {ref: uuid for ref, uuid in uuids.items() if ref not in known.VM}
        different = {ref for ref, vm in after.items() if before.get(ref) != vm}
        if not applied.everything:
            assert different <= set(applied.vms)
        few = translated(mirror.records_of(applied.vms))
        assert {ref: few[ref] for ref in applied.vms} == {ref: after[ref] for ref in applied.vms}
        before = after


@pytest.mark.parametrize("name", [*SHARED, "VM", *PARTS])
def test_what_comes_as_it_was_is_no_change(name: str) -> None:
    mirror = PoolMirror(copied(records()))
    events = [RecordEvent(name, ref, record) for ref, record in getattr(records(), name).items()]
    assert events
    applied = mirror.apply(events)
    assert (applied.vms, applied.gone, applied.shared, applied.everything) == ((), {}, frozenset(), "")


def test_an_image_may_wait_for_its_vm_and_outlive_it() -> None:
    mirror = PoolMirror(copied(records()))
    [ref, vm], *_ = records().VM.items()
    vm = replace(vm, uuid="new", snapshot_of=NULL_REF, suspend_VDI=NULL_REF)
    image = next(iter(records().VDI.values()))
    disk = next(vbd for vbd in records().VBD.values() if vbd.type == "Disk")
    assert not mirror.apply([RecordEvent("VDI", "OpaqueRef:image", image)]).vms
    assert not mirror.apply(
        [RecordEvent("VBD", "OpaqueRef:disk", replace(disk, VM="OpaqueRef:new", VDI="OpaqueRef:image"))]
    ).vms
    assert mirror.apply([RecordEvent("VM", "OpaqueRef:new", vm)]).vms == ("OpaqueRef:new",)
    found = mirror.records_of(["OpaqueRef:new"])
    assert [*found.VDI] == ["OpaqueRef:image"]
    assert mirror.apply([RecordEvent("VM", "OpaqueRef:new", None)]).gone == {"OpaqueRef:new": "new"}
    assert "OpaqueRef:image" in mirror.records().VDI
    assert ref in mirror.records().VM


def test_a_vm_takes_less_than_two_kibibytes() -> None:
    made = msgspec.json.encode({**populate(1, 4, 400, NOW), "host_cpu": {}})
    vms = 400
    PoolMirror(msgspec.json.decode(made, type=Records))  # whatever is made once, is made
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        mirror = PoolMirror(msgspec.json.decode(made, type=Records))
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert mirror.counts()["vm"] > vms
    assert (after - before) / vms < 2048
