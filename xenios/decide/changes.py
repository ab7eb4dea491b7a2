"""What changed: from what was known and an update to the differences a person would want to be told.

Left out on purpose is what moves by itself (free memory, used bytes) and what merely follows from a change that is
told: a VM that halts loses its guest's addresses too. What was not read is no change: what was known of it stays known.
Values of annotations are other tools' business and may hold secrets, so of them only the key is told.

Effects: none
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from xenios.decide.vm_differences import FIELDS_OF_A_NEW_VM, differences_between_vms, known_after
from xenios.model.collection import Collection, ReadFailure
from xenios.model.inventory import Host, Memory, Network, Pool, Storage, Vm, VmKind
from xenios.model.update import Change, ChangeKind, FieldChange, Thing, Update

SurroundingT = TypeVar("SurroundingT", Host, Storage, Network, Pool)

_THINGS = {
    VmKind.MACHINE: Thing.VM,
    VmKind.TEMPLATE: Thing.TEMPLATE,
    VmKind.SNAPSHOT: Thing.SNAPSHOT,
    VmKind.CONTROL_DOMAIN: Thing.CONTROL_DOMAIN,
}
_HOST_FIELDS = ("name", "address", "product", "version", "memory_bytes_total", "live", "enabled")
_STORAGE_FIELDS = (
    "name",
    "type",
    "sharing",
    "where",
    "size_bytes",
    "active",
    "host_uuids",
    "detached_host_uuids",
)
_NETWORK_FIELDS = ("name", "bridge", "vlan", "mtu", "active")
_POOL_FIELDS = ("name", "product", "version", "master_uuid", "ha_enabled")
_HOST_FIELDS_OF_OTHERS = frozenset({"master_uuid", "host_uuids", "detached_host_uuids"})
"""Fields that hold uuids of hosts."""


class Known:
    """What is known of one target; `learn` adds to it and tells what is different. VMs are kept packed."""

    def __init__(self) -> None:
        self._pool: Pool | None = None
        self._vms: dict[str, bytes] = {}
        self._hosts: dict[str, Host] = {}
        self._storages: dict[str, Storage] = {}
        self._networks: dict[str, Network] = {}
        self._failures: dict[str, ReadFailure] = {}
        self._silent_because: str | None = None
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(Vm)

    def learn(self, update: Update) -> tuple[Change, ...]:
        """The changes that an update comes to, in the order: the connection, what was not read, surroundings, VMs."""
        if update.silent_since is not None:
            return tuple(self._silence(update))
        changes: list[Change] = []
        if self._silent_because is not None:
            self._silent_because = None
            changes.append(self._about_pool(update, ChangeKind.ANSWERS_AGAIN))
        elif update.view is not None and self._pool is not None and not update.routine:
            changes.append(self._about_pool(update, ChangeKind.LOOKED_AGAIN))
        if update.view is not None:
            self._learn_view(update, update.view, changes)
        else:
            self._learn_failures(update, update.failures, changes)
            self._learn_parts(update, changes)
        return tuple(changes)

    # --- silence and failures ------------------------------------------------------------------------------------

    def _silence(self, update: Update) -> Iterable[Change]:
        """Told once, and again when the reason changes. Everything known stays as it is."""
        because = "; ".join(failure.because for failure in update.failures) or update.because
        if because == self._silent_because:
            return
        self._silent_because = because
        since = FieldChange(field="silent_since", after=update.silent_since)
        remedy = update.failures[0].remedy if update.failures else ""
        yield self._about_pool(update, ChangeKind.SILENT, because=because, fields=(since,), remedy=remedy)

    def _about_pool(
        self,
        update: Update,
        kind: ChangeKind,
        *,
        because: str | None = None,
        fields: tuple[FieldChange, ...] = (),
        remedy: str = "",
    ) -> Change:
        return Change(
            seen_at=update.seen_at,
            source=update.source,
            because=update.because if because is None else because,
            kind=kind,
            thing=Thing.POOL,
            uuid=self._pool.uuid if self._pool is not None else "",
            name=self._pool.name if self._pool is not None else "",
            fields=fields,
            remedy=remedy,
        )

    def _learn_failures(
        self,
        update: Update,
        failures: Iterable[ReadFailure],
        changes: list[Change],
        *,
        all_of_them: bool = False,
    ) -> None:
        """Tells a failure once; with `all_of_them`, what failed before and does not now can be read again."""
        now = {failure.what: failure for failure in failures}
        for what, failure in now.items():
            before = self._failures.get(what)
            if before is None or before.because != failure.because:
                changes.append(
                    _about_part(update, ChangeKind.NOT_READ, what, failure.because, failure.remedy)
                )
        if all_of_them:
            changes += [
                _about_part(update, ChangeKind.READ_AGAIN, what, update.because, "")
                for what in self._failures
                if what not in now
            ]
            self._failures = now
        else:
            self._failures |= now

    # --- views and parts -----------------------------------------------------------------------------------------

    def _learn_view(self, update: Update, view: Collection, changes: list[Change]) -> None:
        if self._pool is None:
            self._pool = view.pool
            vms = sum(vm.kind is VmKind.MACHINE for vm in view.vms)
            counts = (
                FieldChange(field="vms", after=vms if view.all_vms_seen else None),
                FieldChange(field="hosts", after=len(view.hosts) if view.all_hosts_seen else None),
            )
            changes.append(self._about_pool(update, ChangeKind.FIRST_VIEW, fields=counts))
            self._learn_failures(update, view.failures, changes, all_of_them=True)
            self._keep(view)
            return
        self._learn_failures(update, view.failures, changes, all_of_them=True)
        self._surroundings(update, changes, view.pool, view.hosts, view.storages, view.networks)
        self._vms_of(update, view.vms, changes)
        self._not_listed(update, view, changes)

    def _learn_parts(self, update: Update, changes: list[Change]) -> None:
        self._surroundings(update, changes, update.pool, update.hosts, update.storages, update.networks)
        self._vms_of(update, update.vms, changes)
        for uuid in update.vms_gone:
            self._lost_vm(update, uuid, ChangeKind.GONE, changes)
        _lost(update, self._hosts, update.hosts_gone, Thing.HOST, ChangeKind.GONE, changes)
        _lost(update, self._storages, update.storages_gone, Thing.STORAGE, ChangeKind.GONE, changes)
        _lost(update, self._networks, update.networks_gone, Thing.NETWORK, ChangeKind.GONE, changes)

    def _keep(self, view: Collection) -> None:
        self._vms = {vm.uuid: self._packed(vm) for vm in view.vms}
        self._hosts = {host.uuid: host for host in view.hosts}
        self._storages = {storage.uuid: storage for storage in view.storages}
        self._networks = {network.uuid: network for network in view.networks}

    def _surroundings(
        self,
        update: Update,
        changes: list[Change],
        pool: Pool | None,
        hosts: Iterable[Host],
        storages: Iterable[Storage],
        networks: Iterable[Network],
    ) -> None:
        hosts = tuple(hosts)
        names = {uuid: host.name for uuid, host in self._hosts.items()} | {h.uuid: h.name for h in hosts}
        if pool is not None and pool.uuid:
            known = {self._pool.uuid: self._pool} if self._pool is not None else {}
            _compared(update, known, (pool,), Thing.POOL, _POOL_FIELDS, names, changes)
            self._pool = pool
        _compared(update, self._hosts, hosts, Thing.HOST, _HOST_FIELDS, names, changes)
        _compared(update, self._storages, storages, Thing.STORAGE, _STORAGE_FIELDS, names, changes)
        _compared(update, self._networks, networks, Thing.NETWORK, _NETWORK_FIELDS, names, changes)

    def _not_listed(self, update: Update, view: Collection, changes: list[Change]) -> None:
        """What a view should have and has not. Of a class that was not read to its end nothing is lacking."""
        kind = ChangeKind.NO_LONGER_LISTED
        if view.all_vms_seen:
            for uuid in sorted(self._vms.keys() - {vm.uuid for vm in view.vms}):
                self._lost_vm(update, uuid, kind, changes)
        if view.all_hosts_seen:
            gone = self._hosts.keys() - {host.uuid for host in view.hosts}
            _lost(update, self._hosts, gone, Thing.HOST, kind, changes)
        if not view.failures:  # no flag says whether storages and networks were read to their end
            gone = self._storages.keys() - {storage.uuid for storage in view.storages}
            _lost(update, self._storages, gone, Thing.STORAGE, kind, changes)
            gone = self._networks.keys() - {network.uuid for network in view.networks}
            _lost(update, self._networks, gone, Thing.NETWORK, kind, changes)

    # --- VMs -----------------------------------------------------------------------------------------------------

    def _vms_of(self, update: Update, vms: Iterable[Vm], changes: list[Change]) -> None:
        for vm in vms:
            packed = self._packed(vm)
            before = self._vms.get(vm.uuid)
            if before == packed:
                continue
            if before is None:
                self._vms[vm.uuid] = packed
                changes.append(self._about_vm(update, vm, ChangeKind.APPEARED, self._of_new(vm)))
                continue
            old = self._unpacked(before)
            fields = differences_between_vms(old, vm, self._name_of)
            kept = known_after(old, vm)
            self._vms[vm.uuid] = packed if kept is vm else self._packed(kept)
            if fields:
                changes.append(self._about_vm(update, vm, ChangeKind.CHANGED, fields))

    def _of_new(self, vm: Vm) -> tuple[FieldChange, ...]:
        nothing = Vm(uuid=vm.uuid, name="", power_state=vm.power_state, memory=Memory(bytes_max=None))
        told = differences_between_vms(nothing, vm, self._name_of)
        state = FieldChange(field="power_state", after=vm.power_state.value)
        return (state, *(field for field in told if field.field in FIELDS_OF_A_NEW_VM))

    def _lost_vm(self, update: Update, uuid: str, kind: ChangeKind, changes: list[Change]) -> None:
        packed = self._vms.pop(uuid, None)
        if packed is not None:
            changes.append(self._about_vm(update, self._unpacked(packed), kind, ()))

    def _packed(self, vm: Vm) -> bytes:
        """A third of its size; a watch of a large pool keeps thousands."""
        return zlib.compress(self._encoder.encode(vm), level=1, wbits=-15)

    def _unpacked(self, packed: bytes) -> Vm:
        return self._decoder.decode(zlib.decompress(packed, wbits=-15))

    def _about_vm(self, update: Update, vm: Vm, kind: ChangeKind, fields: tuple[FieldChange, ...]) -> Change:
        return Change(
            seen_at=update.seen_at,
            source=update.source,
            because=update.because,
            kind=kind,
            thing=_THINGS[vm.kind],
            uuid=vm.uuid,
            name=vm.name,
            fields=fields,
        )

    def _name_of(self, uuid: str) -> str:
        """The name of a host, storage or network."""
        for table in (self._hosts, self._storages, self._networks):
            if uuid in table:
                return table[uuid].name
        return ""


def _about_part(update: Update, kind: ChangeKind, what: str, because: str, remedy: str) -> Change:
    return Change(
        seen_at=update.seen_at,
        source=update.source,
        because=because,
        kind=kind,
        thing=Thing.PART,
        name=what,
        remedy=remedy,
    )


def _about_surrounding(
    update: Update, kind: ChangeKind, thing: Thing, what: SurroundingT, fields: tuple[FieldChange, ...] = ()
) -> Change:
    return Change(
        seen_at=update.seen_at,
        source=update.source,
        because=update.because,
        kind=kind,
        thing=thing,
        uuid=what.uuid,
        name=what.name,
        fields=fields,
    )


def _compared(
    update: Update,
    known: dict[str, SurroundingT],
    seen: Iterable[SurroundingT],
    thing: Thing,
    fields: Iterable[str],
    names: Mapping[str, str],
    changes: list[Change],
) -> None:
    """Compares hosts, storages, networks or the pool with what is known, and makes them known."""
    for new in seen:
        old = known.get(new.uuid)
        known[new.uuid] = new
        if old is None:
            changes.append(_about_surrounding(update, ChangeKind.APPEARED, thing, new))
            continue
        different = tuple(_field_changes(old, new, fields, names))
        if different:
            changes.append(_about_surrounding(update, ChangeKind.CHANGED, thing, new, different))


def _field_changes(
    old: SurroundingT, new: SurroundingT, fields: Iterable[str], names: Mapping[str, str]
) -> Iterable[FieldChange]:
    for field in fields:
        before, after = getattr(old, field), getattr(new, field)
        if before == after or after is None:  # None: not told this time
            continue
        named = field in _HOST_FIELDS_OF_OTHERS
        yield FieldChange(
            field=field,
            before=before,
            after=after,
            before_name=_names(before, names) if named else "",
            after_name=_names(after, names) if named else "",
        )


def _names(uuids: str | tuple[str, ...] | None, names: Mapping[str, str]) -> str:
    several = uuids if isinstance(uuids, tuple) else filter(None, (uuids,))
    return ", ".join(names.get(uuid) or uuid for uuid in several)


def _lost(
    update: Update,
    known: dict[str, SurroundingT],
    uuids: Iterable[str],
    thing: Thing,
    kind: ChangeKind,
    changes: list[Change],
) -> None:
    gone = [known.pop(uuid) for uuid in sorted(uuids) if uuid in known]
    changes += [_about_surrounding(update, kind, thing, what) for what in gone]
