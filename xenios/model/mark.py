"""Our mark on a VM: one line of text under a key of our own, which every tool of the hypervisor shows and can remove.

    xenios/1 installation=<uuid> vm=<uuid> epoch=<n> of=<the hypervisor's own uuid of the VM> sum=<8 hex digits>

It names the very VM that it is on, because clones, snapshots, copies and imports carry it along and get another uuid.
The sum finds damage, not forgery: who may write on a VM may also destroy it. On XenServer the key is one of
other_config; on libvirt the text is that of a metadata element.

Effects: none
"""

import re
import zlib
from enum import StrEnum

import msgspec

KEY_ON_XENSERVER = "xenios.mark"
NAMESPACE_ON_LIBVIRT = "urn:xenios:mark"
ELEMENT_ON_LIBVIRT = "mark"

CHARACTERS_MAX = 256
"""No mark of any version will be longer."""
VERSION = "xenios/1"
_ANY_VERSION = re.compile(r"xenios/[1-9][0-9]{0,4} [\x20-\x7e]+", re.ASCII)
_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_MARK = re.compile(
    rf"xenios/1 installation=({_UUID}) vm=({_UUID}) epoch=([1-9][0-9]{{0,8}}) of=({_UUID}) sum=([0-9a-f]{{8}})",
    re.ASCII,
)


class Mark(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a mark says."""

    installation: str
    vm_id: str
    epoch: int
    native_uuid: str


class MarkTrouble(StrEnum):
    """Why a text is no mark that we can go by."""

    DAMAGED = "damaged"
    """It has the form of a mark, and its sum is wrong."""
    UNKNOWN_VERSION = "unknown version"
    UNREADABLE = "unreadable"


def text_of(mark: Mark) -> str:
    """The mark as it is written. Raises ValueError for ids that are no uuids in lower case and epochs below 1."""
    text = (
        f"{VERSION} installation={mark.installation} vm={mark.vm_id} epoch={mark.epoch} of={mark.native_uuid}"
    )
    whole = f"{text} sum={_sum(text)}"
    if _MARK.fullmatch(whole) is None:
        raise ValueError(f"{mark} cannot be written as a mark")
    return whole


def is_written(text: str, installation: str, vm_id: str, epoch: int, native_uuid: str) -> bool:
    """Whether the text is exactly the mark that says this: what `mark_in` finds out by taking it apart."""
    said = f"{VERSION} installation={installation} vm={vm_id} epoch={epoch} of={native_uuid}"
    return text == f"{said} sum={_sum(said)}"


def mark_in(text: str) -> Mark | MarkTrouble:
    """What a text under our key says. It may be anything, of any length, written by anybody."""
    found = _MARK.fullmatch(text) if len(text) <= CHARACTERS_MAX else None
    if found is None:
        known = text.startswith(VERSION + " ")
        if not known and len(text) <= CHARACTERS_MAX and _ANY_VERSION.fullmatch(text):
            return MarkTrouble.UNKNOWN_VERSION
        return MarkTrouble.UNREADABLE
    installation, vm_id, epoch, native_uuid, checksum = found.groups()
    if checksum != _sum(text[: -len(" sum=01234567")]):
        return MarkTrouble.DAMAGED
    return Mark(installation=installation, vm_id=vm_id, epoch=int(epoch), native_uuid=native_uuid)


def _sum(text: str) -> str:
    return "%08x" % zlib.crc32(text.encode())  # noqa: UP031 - half the time of an f-string
