"""Is a VM ours? Two keys say so, and both must fit: our record, and our mark on the VM that names its own uuid.

A name is never one of them. Every way in which the keys do not fit is a value of its own, and none of them is OURS.

Effects: none
"""

from enum import StrEnum

from xenios.model.inventory import Vm
from xenios.model.mark import Mark, MarkTrouble, is_written, mark_in
from xenios.model.record import Record


class MarkSeen(StrEnum):
    """What the mark on a VM proves."""

    OURS = "ours"
    """It names this installation and this very VM; and, when there is a record, that record in its present epoch."""
    ABSENT = "absent"
    COPIED = "ours, but copied"
    """It names this installation and another VM: a clone, snapshot, copy or import carried it here."""
    OTHER_RECORD = "of another record of ours"
    OTHER_EPOCH = "of another epoch"
    """An old one, brought back by reverting to a snapshot or by restoring a copy; or the record is the old one."""
    ANOTHERS = "another installation's"
    DAMAGED = "damaged"
    UNREADABLE = "unreadable"
    UNKNOWN_VERSION = "of an unknown version"
    NOT_READ = "not read"
    """The VM is not seen, or its definition could not be read."""


_OURS, _ABSENT = (
    MarkSeen.OURS,
    MarkSeen.ABSENT,
)  # a member of an enum is slow to get at; these are got 100,000 times
_TROUBLE = {
    MarkTrouble.DAMAGED: MarkSeen.DAMAGED,
    MarkTrouble.UNKNOWN_VERSION: MarkSeen.UNKNOWN_VERSION,
    MarkTrouble.UNREADABLE: MarkSeen.UNREADABLE,
}


def mark_seen(vm: Vm | None, record: Record | None, installation_id: str) -> MarkSeen:
    """What the mark on the VM proves, beside our record of it."""
    if vm is None or not vm.definition_read:
        return MarkSeen.NOT_READ
    text = vm.mark
    if not text:
        return _ABSENT
    if record is not None and is_written(text, installation_id, record.vm_id, record.epoch, vm.uuid):
        return _OURS  # so it is nearly always; whatever else the text is, taking it apart will tell
    mark = mark_in(text)
    if not isinstance(mark, Mark):
        return _TROUBLE[mark]
    if mark.installation != installation_id:
        return MarkSeen.ANOTHERS
    if mark.native_uuid != vm.uuid:
        return MarkSeen.COPIED
    if record is None:
        return MarkSeen.OURS
    if mark.vm_id != record.vm_id:
        return MarkSeen.OTHER_RECORD
    return MarkSeen.OURS if mark.epoch == record.epoch else MarkSeen.OTHER_EPOCH


def mark_of(record: Record, installation_id: str) -> Mark:
    """The mark that the VM of this record must carry."""
    return Mark(
        installation=installation_id, vm_id=record.vm_id, epoch=record.epoch, native_uuid=record.native_uuid
    )
