"""Which differences between two sightings of one VM are worth telling.

Disks and NICs are matched by their device first and by their image or address second, so that a disk that got another
device is one change and not two.

Effects: none
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from msgspec.structs import replace

from xenios.model.inventory import Answer, Disk, Memory, Nic, PowerState, ToolsState, Vm
from xenios.model.update import FieldChange

NameOf = Callable[[str], str]
"""The name of the host, storage or network with a uuid; empty when it is not known."""
DeviceT = TypeVar("DeviceT", Disk, Nic)
Value = str | int | bool | tuple[str, ...] | None

FIELDS_OF_A_NEW_VM = frozenset({"host_uuid", "vcpus", "memory.bytes_max", "snapshot_of_uuid"})
"""What is told of a VM that appears; the rest is in the report."""

_ALWAYS_TOLD = ("name", "kind", "power_state", "power_reason", "paused_on_io_error", "host_uuid")
"""What is known of a VM even when its definition could not be read."""
_DEFINED = (
    "preferred_host_uuid",
    "virtualisation",
    "passthrough",
    "autostart",
    "high_availability",
    "persistent",
    "snapshot_of_uuid",
    "blocked_operations",
    "dangling",
)
_MEMORY = ("bytes_max", "bytes_dynamic_max", "bytes_dynamic_min", "bytes_static_min")
_DISK = (
    "kind",
    "where",
    "name",
    "size_bytes",
    "format",
    "storage_uuid",
    "shareable",
    "read_only",
    "presence",
)
_NIC = ("mac", "network_uuid", "network_name", "bridge", "vlan", "addresses", "connected")
_UUIDS = frozenset({"host_uuid", "preferred_host_uuid", "storage_uuid", "network_uuid"})
_A_VALUE, _ANOTHER_VALUE = "a value", "another value"
_UNKNOWN = {Answer.UNKNOWN, ToolsState.UNKNOWN}


def differences_between_vms(old: Vm, new: Vm, name_of: NameOf) -> tuple[FieldChange, ...]:
    """The differences worth telling, the gravest first. What is not told by `new` is no difference."""
    found = list(_different(old, new, _ALWAYS_TOLD, name_of))
    if old.definition_read and new.definition_read:
        found += _vcpus(old, new)
        found += _different(old.memory, new.memory, _MEMORY, name_of, prefix="memory.", none_is_unread=True)
        found += _different(old, new, _DEFINED, name_of)
        found += _disks(old, new, name_of)
        found += _nics(old, new, name_of)
        found += _items("snapshots", _snapshots(old), _snapshots(new))
        found += _items("tags", dict.fromkeys(old.tags, _A_VALUE), dict.fromkeys(new.tags, _A_VALUE))
        found += _items("annotations", old.annotations, new.annotations, secret=True)
        found += _guest(old, new)
    elif old.definition_read != new.definition_read:
        found.append(
            FieldChange(field="definition_read", before=old.definition_read, after=new.definition_read)
        )
    return tuple(found)


def known_after(old: Vm, new: Vm) -> Vm:
    """What to compare the next sighting with: of what was not read this time, the last that was."""
    if new.definition_read:
        return replace(new, memory=_memory_after(old.memory, new.memory), vcpus=new.vcpus or old.vcpus)
    if not old.definition_read:
        return new
    told = {field: getattr(new, field) for field in _ALWAYS_TOLD}
    return replace(old, **told, definition_read=False)


def _memory_after(old: Memory, new: Memory) -> Memory:
    kept = {field: getattr(old, field) for field in _MEMORY if getattr(new, field) is None}
    return replace(new, **kept) if kept else new


def _same_state_of_power(old: Vm, new: Vm) -> bool:
    return old.holds_memory == new.holds_memory and PowerState.UNKNOWN not in (
        old.power_state,
        new.power_state,
    )


def _different(
    old: object,
    new: object,
    fields: Iterable[str],
    name_of: NameOf,
    *,
    prefix: str = "",
    item: str = "",
    none_is_unread: bool = False,
) -> Iterable[FieldChange]:
    for field in fields:
        before, after = getattr(old, field), getattr(new, field)
        if before == after or (none_is_unread and after is None):
            continue
        named = field in _UUIDS
        yield FieldChange(
            field=prefix + field,
            item=item,
            before=before,
            after=after,
            before_name=name_of(before) if named and before else "",
            after_name=name_of(after) if named and after else "",
        )


def _vcpus(old: Vm, new: Vm) -> Iterable[FieldChange]:
    """What a VM has while it runs may differ from what it starts with; that is no change of the VM."""
    fields = ("vcpus", "vcpus_max") if _same_state_of_power(old, new) else ("vcpus_max",)
    yield from _different(old, new, fields, lambda _: "", none_is_unread=True)


def _guest(old: Vm, new: Vm) -> Iterable[FieldChange]:
    """The guest tells while it runs; that it tells nothing while it is off or starts is no news."""
    tools = (old.guest.tools, new.guest.tools)
    if ToolsState.UNKNOWN not in tools and tools[0] is not tools[1]:
        yield FieldChange(field="guest.tools", before=tools[0].value, after=tools[1].value)
    for field in ("os", "tools_version", "hostname"):
        before, after = getattr(old.guest, field), getattr(new.guest, field)
        if before and after and before != after:
            yield FieldChange(field=f"guest.{field}", before=before, after=after)
    if (
        old.started_at
        and new.started_at
        and old.started_at != new.started_at
        and _same_state_of_power(old, new)
    ):
        yield FieldChange(field="started_at", before=old.started_at, after=new.started_at)


def _snapshots(vm: Vm) -> dict[str, str]:
    return {snapshot.uuid: snapshot.name for snapshot in vm.snapshots}


def _items(
    field: str, old: Mapping[str, str], new: Mapping[str, str], *, secret: bool = False
) -> Iterable[FieldChange]:
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if secret:
            after = None if after is None else (_A_VALUE if before is None else _ANOTHER_VALUE)
            before = None if before is None else _A_VALUE
        yield FieldChange(field=field, item=key, before=before, after=after)


def _disks(old: Vm, new: Vm, name_of: NameOf) -> Iterable[FieldChange]:
    same = _same_state_of_power(old, new)
    for before, after in _matched(old.disks, new.disks):
        if before is not None and after is not None:
            if same:  # some releases name the device only while the VM runs
                yield from _different(
                    before, after, ("device",), name_of, prefix="disks.", item=before.device
                )
            yield from _told(before, after, _DISK, name_of, prefix="disks.")
        elif after is not None:
            yield FieldChange(field="disks", item=after.device, after=after.where)
            fields = ("kind", "name", "size_bytes", "storage_uuid", "read_only")
            yield from _of_new(after, fields, name_of, prefix="disks.")
        elif before is not None:
            yield FieldChange(field="disks", item=before.device, before=before.where)


def _nics(old: Vm, new: Vm, name_of: NameOf) -> Iterable[FieldChange]:
    same = _same_state_of_power(old, new)
    # Off, nothing is connected and no guest tells an address: that follows from the power state, which is told.
    fields = _NIC if same else tuple(field for field in _NIC if field not in ("addresses", "connected"))
    for before, after in _matched(old.nics, new.nics):
        if before is not None and after is not None:
            yield from _told(before, after, fields, name_of, prefix="nics.")
        elif after is not None:
            yield FieldChange(field="nics", item=after.device, after=after.mac)
            yield from _of_new(after, ("network_uuid", "network_name", "vlan"), name_of, prefix="nics.")
        elif before is not None:
            yield FieldChange(field="nics", item=before.device, before=before.mac)


def _told(
    before: DeviceT, after: DeviceT, fields: Iterable[str], name_of: NameOf, *, prefix: str
) -> Iterable[FieldChange]:
    """Differences of a device, but for what `after` does not know."""
    known = [field for field in fields if getattr(after, field) not in _UNKNOWN]
    return _different(before, after, known, name_of, prefix=prefix, item=after.device)


def _of_new(
    device: Disk | Nic, fields: Iterable[str], name_of: NameOf, *, prefix: str
) -> Iterable[FieldChange]:
    for field in fields:
        value = getattr(device, field)
        if value:
            name = name_of(value) if field in _UUIDS else ""
            yield FieldChange(field=prefix + field, item=device.device, after=value, after_name=name)


def _matched(
    old: Sequence[DeviceT], new: Sequence[DeviceT]
) -> Iterable[tuple[DeviceT | None, DeviceT | None]]:
    """Pairs of what is the same device, then what was taken out, then what is new."""
    olds: dict[str, DeviceT] = {device.device: device for device in old}
    news: dict[str, DeviceT] = {device.device: device for device in new}
    pairs = [(olds.pop(name), news.pop(name)) for name in [*olds] if name in news]
    by_identity = {_identity(device): name for name, device in news.items() if _identity(device)}
    for name, device in [*olds.items()]:
        other = by_identity.pop(_identity(device), None)
        if other is not None:
            pairs.append((olds.pop(name), news.pop(other)))
    # Drives with nothing in them have no identity; where their names change with the power state, their order tells.
    for name, device in [*olds.items()]:
        alike = (
            other for other, found in news.items() if _kind(found) == _kind(device) and not _identity(found)
        )
        if not _identity(device) and (match := next(alike, None)) is not None:
            pairs.append((olds.pop(name), news.pop(match)))
    yield from pairs
    yield from ((device, None) for device in olds.values())
    yield from ((None, device) for device in news.values())


def _kind(device: Disk | Nic) -> object:
    return device.kind if isinstance(device, Disk) else Nic


def _identity(device: Disk | Nic) -> str:
    return device.identity if isinstance(device, Disk) else device.mac
