"""A pool's records as they are now, kept small, and brought up to date by events.

The few records that many VMs share (hosts, storages, networks) are kept as they are. Of each VM everything that belongs
to it alone is packed into one piece of bytes: the VM, its metrics, disks, images and network cards. An event unpacks
only the VMs that it concerns, so what it costs depends on them and not on the pool. Which VM a part belongs to is found
in a sorted index of hashes, which is a hint: the unpacked VM says whether it is so.

Images without a VM, and whatever came before the VM it belongs to, wait among the loose parts.

Effects: none
"""

from __future__ import annotations

import zlib
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec.structs import astuple

from xenios.drivers.bulk import collecting_seldom
from xenios.drivers.xenserver.records import (
    CLASSES,
    NULL_REF,
    HostRecord,
    NetworkRecord,
    PifRecord,
    PoolRecord,
    Record,
    Records,
    Ref,
    SrRecord,
    VbdRecord,
    VifRecord,
    VmRecord,
)

RecordT = TypeVar("RecordT", bound=Record)
CardT = TypeVar("CardT", VbdRecord, VifRecord)

SHARED = ("pool", "host", "host_metrics", "SR", "PBD", "network", "PIF")
"""Classes whose records belong to no VM."""
PARTS = ("VM_metrics", "VM_guest_metrics", "VBD", "VDI", "VIF")
"""Classes whose records belong to VMs."""
WATCHED = (*SHARED, "VM", *PARTS)
"""The classes that a mirror follows; `host_cpu` never changes while a host runs."""
_HASH_BITS = (1 << 64) - 1
_NO_REFS = {NULL_REF, ""}


class RecordEvent(msgspec.Struct, frozen=True, gc=False):
    """One object as it is now; without a record it is deleted."""

    class_name: str
    ref: Ref
    record: Record | None


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch of events came to."""

    vms: tuple[Ref, ...]
    """VMs that are different now in something that is read."""
    gone: dict[Ref, str]
    """Deleted VMs, with their uuids."""
    shared: frozenset[str]
    """Classes among SHARED that are different now."""
    everything: str
    """Why every VM may read differently now, in words; empty: they do not."""


class VmParts:
    """One VM unpacked: its record, and by class the records that belong to it."""

    __slots__ = ("parts", "ref", "vm")

    def __init__(self, ref: Ref) -> None:
        self.ref = ref
        self.vm: VmRecord | None = None
        self.parts: dict[str, dict[Ref, Record]] = {name: {} for name in PARTS}

    def wanted(self, name: str) -> set[Ref]:
        """References to records of a class that the VM makes, whether they are there or not."""
        vm = self.vm
        if vm is None:
            return set()
        match name:
            case "VM_metrics":
                found = {vm.metrics}
            case "VM_guest_metrics":
                found = {vm.guest_metrics}
            case "VDI":
                found = {vbd.VDI for vbd in self.parts["VBD"].values() if isinstance(vbd, VbdRecord)}
                found.add(vm.suspend_VDI)
            case _:
                return set(self.parts[name])
        return found - _NO_REFS

    def index_keys(self) -> set[int]:
        """What it is found by in the index."""
        vm = self.vm
        if vm is None:
            return set()
        refs = {vm.metrics, vm.guest_metrics, vm.suspend_VDI, *self.parts["VBD"], *self.parts["VIF"]}
        refs.update(vbd.VDI for vbd in self.parts["VBD"].values() if isinstance(vbd, VbdRecord))
        refs -= _NO_REFS
        keys = {hash(ref) & _HASH_BITS for ref in refs}
        if vm.snapshot_of not in _NO_REFS:
            keys.add(_snapshot_key(vm.snapshot_of))
        return keys


class PoolMirror:
    """The records of one pool; `apply` brings them up to date."""

    def __init__(self, records: Records) -> None:
        """Takes over the records: the caller lets go of them."""
        self.shared = Records(**{name: getattr(records, name) for name in (*SHARED, "host_cpu")})
        self._packing = _Packing()
        self._numbers: dict[Ref, int] = {}
        self._refs: list[Ref | None] = []
        self._packed: list[bytes] = []
        self._index = _Index()
        self._loose: dict[str, dict[Ref, bytes]] = {name: {} for name in PARTS}
        self._counts = {name: len(getattr(records, name)) for name in PARTS}
        with collecting_seldom():
            self._fill(records)

    # --- filling and reading out ---------------------------------------------------------------------------------

    def _fill(self, records: Records) -> None:
        cards = {name: _by_vm(getattr(records, name)) for name in ("VBD", "VIF")}
        owned: set[Ref] = set()
        found: list[tuple[int, int]] = []
        for number, (ref, vm) in enumerate(records.VM.items()):
            machine = VmParts(ref)
            machine.vm = vm
            vbds = cards["VBD"].get(ref, {})
            images = {vbd.VDI for vbd in vbds.values() if isinstance(vbd, VbdRecord)} | {vm.suspend_VDI}
            machine.parts = {
                "VM_metrics": _only(records.VM_metrics, (vm.metrics,)),
                "VM_guest_metrics": _only(records.VM_guest_metrics, (vm.guest_metrics,)),
                "VBD": vbds,
                "VDI": _only(records.VDI, images),
                "VIF": cards["VIF"].get(ref, {}),
            }
            owned.update(*machine.parts.values())
            self._numbers[ref] = number
            self._refs.append(ref)
            self._packed.append(self._packing.of_vm(machine))
            found += [(key, number) for key in machine.index_keys()]
        self._index.fill(found)
        for name in PARTS:
            self._loose[name] = {
                ref: self._packing.of_part(record)
                for ref, record in getattr(records, name).items()
                if ref not in owned
            }

    def counts(self) -> dict[str, int]:
        """Rows by class, under the lower-case names of XAPI's valid_ref_counts."""
        shared = {name.lower(): len(getattr(self.shared, name)) for name in SHARED}
        parts = {name.lower(): count for name, count in self._counts.items()}
        return shared | parts | {"vm": len(self._numbers)}

    def records(self) -> Records:
        """Everything, unpacked."""
        return self.records_of(self._numbers, loose=True)

    def records_of(self, refs: Iterable[Ref], *, loose: bool = False) -> Records:
        """What is needed to translate these VMs: their own records, those they refer to, and their snapshots."""
        records = Records(
            **{name: {} for name in ("VM", *PARTS)},
            **{name: getattr(self.shared, name) for name in (*SHARED, "host_cpu")},
        )
        for ref in refs:
            machine = self._unpacked(ref)
            if machine is None or machine.vm is None:
                continue
            for name in PARTS:
                getattr(records, name).update(machine.parts[name])
            records.VM[ref] = machine.vm
        if loose:
            for name in PARTS:
                unpack = self._packing.part
                getattr(records, name).update(
                    {ref: unpack(name, packed) for ref, packed in self._loose[name].items()}
                )
            return records
        self._add_relatives(records)
        self._leave_only_what_is_meant(records)
        return records

    def _add_relatives(self, records: Records) -> None:
        """The records of snapshots and of what snapshots are of; the parts of these are not needed."""
        for ref, vm in [*records.VM.items()]:
            relatives = {self._refs[number] for number in self._index.numbers(_snapshot_key(ref))}
            for relative in (relatives | {vm.snapshot_of}) - records.VM.keys():
                machine = self._unpacked(relative) if relative else None
                if machine is not None and machine.vm is not None:
                    records.VM[machine.ref] = machine.vm

    def _leave_only_what_is_meant(self, records: Records) -> None:
        """Shared records that none of the VMs refers to cost time to translate, and change nothing about them."""
        hosts = {ref for vm in records.VM.values() for ref in (vm.resident_on, vm.affinity)}
        storages = {vdi.SR for vdi in records.VDI.values()}
        networks = {vif.network for vif in records.VIF.values()}
        records.host = _only(records.host, hosts)
        records.SR = _only(records.SR, storages)
        records.network = _only(records.network, networks)
        records.PBD = {}
        records.host_cpu = {}
        records.PIF = {ref: pif for ref, pif in records.PIF.items() if pif.network in networks}

    # --- events --------------------------------------------------------------------------------------------------

    def apply(self, events: Sequence[RecordEvent]) -> Applied:
        """Brings the mirror up to date. Events may come twice and in any order; deleted things may be unknown."""
        batch = _Batch(self)
        shared: set[str] = set()
        everything = ""
        for event in events:
            if event.class_name in SHARED:
                why = self._apply_shared(event, shared)
                everything = everything or why
            elif event.class_name == "VM":
                batch.apply_vm(event)
        for event in events:
            if event.class_name in PARTS:
                batch.apply_part(event)
        changed = batch.settle()
        return Applied(
            vms=tuple(changed),
            gone=batch.gone,
            shared=frozenset(shared),
            everything=everything,
        )

    def _apply_shared(self, event: RecordEvent, changed: set[str]) -> str:
        table: dict[Ref, Record] = getattr(self.shared, event.class_name)
        before = table.get(event.ref)
        if event.record is None:
            if before is None:
                return ""
            del table[event.ref]
        elif before == event.record:
            return ""
        else:
            table[event.ref] = event.record
        changed.add(event.class_name)
        # What is new is in no VM yet but in those of these events; only an interface may bring its network a VLAN.
        may_be_shown = before is not None or event.class_name == "PIF"
        if may_be_shown and _shown_in_vms(before) != _shown_in_vms(event.record):
            return f"a {event.class_name} is different, which VMs show"
        return ""

    def _unpacked(self, ref: Ref) -> VmParts | None:
        number = self._numbers.get(ref)
        return None if number is None else self._packing.vm(ref, self._packed[number])


def _shown_in_vms(record: Record | None) -> object:
    """What a VM's own description shows of a shared record."""
    match record:
        case None:
            return None
        case PoolRecord():
            return (record.other_config or {}).get("auto_poweron")
        case SrRecord():
            return record.type, record.shared
        case NetworkRecord():
            return record.name_label, record.bridge
        case PifRecord():
            return (record.network, record.VLAN) if record.VLAN is not None and record.VLAN >= 0 else None
        case HostRecord():
            return record.uuid
        case _:
            return None


class _Batch:
    """The VMs that a batch of events concerns, unpacked once."""

    def __init__(self, mirror: PoolMirror) -> None:
        self._mirror = mirror
        self._open: dict[Ref, VmParts] = {}
        self._keys_before: dict[Ref, set[int]] = {}
        self._relatives: set[Ref] = set()
        self._made_loose: set[tuple[str, Ref]] = set()
        self._new_owners: dict[Ref, set[Ref]] = defaultdict(set)
        """By part, the VMs that the index does not know as its owners yet."""
        self.gone: dict[Ref, str] = {}

    def apply_vm(self, event: RecordEvent) -> None:
        vm_ref = event.ref
        machine = self._opened(vm_ref)
        if isinstance(event.record, VmRecord):
            if machine.vm is None:
                self._note_snapshots_of(vm_ref)
                self._take_in_cards(machine)
            if machine.vm is None or _as_snapshot(machine.vm) != _as_snapshot(event.record):
                self._relatives |= {event.record.snapshot_of} | (
                    {machine.vm.snapshot_of} if machine.vm else set()
                )
            machine.vm = vm = event.record
            for part in (vm.metrics, vm.guest_metrics, vm.suspend_VDI):
                self._new_owners[part].add(vm_ref)
        elif machine.vm is not None:
            self._note_snapshots_of(vm_ref)
            self._relatives.add(machine.vm.snapshot_of)
            self.gone[vm_ref] = machine.vm.uuid
            machine.vm = None

    def apply_part(self, event: RecordEvent) -> None:
        name, ref, record = event.class_name, event.ref, event.record
        mirror = self._mirror
        owners = self._owners(name, ref)
        known = ref in mirror._loose[name] or any(ref in owner.parts[name] for owner in owners)
        mirror._counts[name] += (record is not None) - known
        if record is None:
            mirror._loose[name].pop(ref, None)
            for owner in owners:
                owner.parts[name].pop(ref, None)
            return
        if isinstance(record, VbdRecord | VifRecord):
            if record.VM in mirror._numbers or record.VM in self._open:
                self._opened(record.VM).parts[name][ref] = record
                self._new_owners[ref].add(record.VM)
            if isinstance(record, VbdRecord):
                self._new_owners[record.VDI].add(record.VM)
        for owner in owners:
            if isinstance(record, VbdRecord | VifRecord) and owner.ref != record.VM:
                owner.parts[name].pop(ref, None)
            else:
                owner.parts[name][ref] = record
        self._put_loose(name, ref, record)

    def settle(self) -> list[Ref]:
        """Gives every VM the parts that it refers to, packs what is different, and says which VMs read differently."""
        mirror = self._mirror
        for machine in self._open.values():
            for name in PARTS:
                wanted = machine.wanted(name)
                for ref in machine.parts[name].keys() - wanted:
                    self._put_loose(name, ref, machine.parts[name].pop(ref))
        for machine in [*self._open.values()]:
            for name in PARTS:
                for ref in machine.wanted(name) - machine.parts[name].keys():
                    record = self._found(name, ref)
                    if record is not None:
                        machine.parts[name][ref] = record
        changed = [machine.ref for machine in [*self._open.values()] if self._pack(machine)]
        for name, ref in self._made_loose:
            if self._owners(name, ref):
                mirror._loose[name].pop(ref, None)
        changed += [ref for ref in self._relatives if ref in mirror._numbers and ref not in changed]
        return changed

    def _pack(self, machine: VmParts) -> bool:
        """Puts a VM back; False when it is as it was or gone."""
        mirror = self._mirror
        number = mirror._numbers.get(machine.ref)
        before = self._keys_before[machine.ref]
        if machine.vm is None:
            if number is not None:
                mirror._index.move(number, before, set())
                del mirror._numbers[machine.ref]
                mirror._refs[number] = None
                mirror._packed[number] = b""
            return False
        packed = mirror._packing.of_vm(machine)
        if number is None:
            number = len(mirror._refs)
            mirror._numbers[machine.ref] = number
            mirror._refs.append(machine.ref)
            mirror._packed.append(packed)
        elif mirror._packed[number] == packed:
            return False
        mirror._packed[number] = packed
        mirror._index.move(number, before, machine.index_keys())
        return True

    def _opened(self, ref: Ref) -> VmParts:
        machine = self._open.get(ref)
        if machine is None:
            machine = self._mirror._unpacked(ref) or VmParts(ref)
            self._open[ref] = machine
            self._keys_before[ref] = machine.index_keys()
        return machine

    def _owners(self, name: str, ref: Ref) -> list[VmParts]:
        """The VMs that a part belongs to, or would if it were there; unpacked."""
        hinted = {self._mirror._refs[number] for number in self._mirror._index.numbers(_key(ref))}
        hinted |= self._new_owners.get(ref, set())
        owners = [self._opened(owner) for owner in hinted if owner is not None]
        return [machine for machine in owners if ref in machine.wanted(name) or ref in machine.parts[name]]

    def _found(self, name: str, ref: Ref) -> Record | None:
        packed = self._mirror._loose[name].get(ref)
        if packed is not None:
            self._made_loose.add((name, ref))
            return self._mirror._packing.part(name, packed)
        for owner in self._owners(name, ref):
            if ref in owner.parts[name]:
                return owner.parts[name][ref]
        return None

    def _put_loose(self, name: str, ref: Ref, record: Record) -> None:
        self._mirror._loose[name][ref] = self._mirror._packing.of_part(record)
        self._made_loose.add((name, ref))

    def _take_in_cards(self, machine: VmParts) -> None:
        """Disks and network cards that came before their VM; usually there are none."""
        for name in ("VBD", "VIF"):
            for ref in self._mirror._loose[name]:
                card = self._found(name, ref)
                if isinstance(card, VbdRecord | VifRecord) and machine.ref == card.VM:
                    machine.parts[name][ref] = card
                    self._new_owners[ref].add(machine.ref)
                    if isinstance(card, VbdRecord):
                        self._new_owners[card.VDI].add(machine.ref)

    def _note_snapshots_of(self, ref: Ref) -> None:
        """Snapshots of a VM that comes or goes: where they come from reads differently now."""
        mirror = self._mirror
        numbers = mirror._index.numbers(_snapshot_key(ref))
        self._relatives |= {found for number in numbers if (found := mirror._refs[number]) is not None}


class _Packing:
    """Packs records without the names of their fields: a tuple of values is a third of the size."""

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder().decode
        self._make = {name: _maker(CLASSES[name]) for name in ("VM", *PARTS)}

    def of_vm(self, machine: VmParts) -> bytes:
        """A VM with its parts, compressed. Equal VMs give equal bytes."""
        if machine.vm is None:
            return b""
        parts = [{ref: astuple(table[ref]) for ref in sorted(table)} for table in machine.parts.values()]
        return zlib.compress(self._encode((astuple(machine.vm), parts)), level=1, wbits=-15)

    def vm(self, ref: Ref, packed: bytes) -> VmParts:
        """The reverse of `of_vm`."""
        vm, parts = self._decode(zlib.decompress(packed, wbits=-15))
        machine = VmParts(ref)
        machine.vm = self._make["VM"](vm)
        for name, table in zip(PARTS, parts, strict=True):
            make = self._make[name]
            machine.parts[name] = {part: make(values) for part, values in table.items()}
        return machine

    def of_part(self, record: Record) -> bytes:
        """A record on its own."""
        return self._encode(astuple(record))

    def part(self, name: str, packed: bytes) -> Record:
        """The reverse of `of_part`."""
        record: Record = self._make[name](self._decode(packed))
        return record


class _Index:
    """Numbers of VMs by 64-bit keys, sorted: 12 bytes an entry, where a dict takes a hundred."""

    def __init__(self) -> None:
        self._keys = array("Q")
        self._numbers = array("I")

    def fill(self, found: list[tuple[int, int]]) -> None:
        """Replaces everything."""
        found.sort()
        self._keys = array("Q", (key for key, _ in found))
        self._numbers = array("I", (number for _, number in found))

    def numbers(self, key: int) -> Iterator[int]:
        """The numbers under a key."""
        place = bisect_left(self._keys, key)
        while place < len(self._keys) and self._keys[place] == key:
            yield self._numbers[place]
            place += 1

    def move(self, number: int, before: set[int], after: set[int]) -> None:
        """Takes a number from the keys that it no longer has to those that it has now."""
        for key in before - after:
            place = bisect_left(self._keys, key)
            while self._numbers[place] != number:
                place += 1
            del self._keys[place], self._numbers[place]
        for key in after - before:
            place = bisect_left(self._keys, key)
            self._keys.insert(place, key)
            self._numbers.insert(place, number)


def _key(ref: Ref) -> int:
    return hash(ref) & _HASH_BITS


def _snapshot_key(ref: Ref) -> int:
    return hash(("snapshots", ref)) & _HASH_BITS


def _maker(kind: type[Record]) -> Callable[[Sequence[Any]], Any]:
    fields = kind.__struct_fields__

    def make(values: Sequence[Any]) -> Record:
        return kind(**dict(zip(fields, values, strict=True)))

    return make


def _as_snapshot(vm: VmRecord) -> tuple[object, ...]:
    """What the VM that it is a snapshot of shows of it."""
    return vm.is_a_snapshot, vm.snapshot_of, vm.uuid, vm.name_label, vm.snapshot_time


def _by_vm(table: Mapping[Ref, CardT]) -> dict[Ref, dict[Ref, Record]]:
    found: dict[Ref, dict[Ref, Record]] = defaultdict(dict)
    for ref, card in table.items():
        found[card.VM][ref] = card
    return found


def _only(table: Mapping[Ref, RecordT], refs: Iterable[Ref]) -> dict[Ref, Any]:
    return {ref: table[ref] for ref in refs if ref in table}
