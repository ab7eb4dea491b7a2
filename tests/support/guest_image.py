"""A whole guest in one boot sector, so that a test VM is up in a tenth of a second and needs no download.

The source is `guest_image.S` beside this file; the bytes are shipped here, because a test machine need not
have an assembler. On the PC machine type (i440fx) the guest says UP on COM1, obeys the ACPI power button,
and obeys the one-letter commands below, the first of which may be written into the image.

Effects: files that the caller names
"""

from __future__ import annotations

import base64
from enum import Enum
from pathlib import Path

UP = "XENIOS GUEST UP"
DOWN = "XENIOS GUEST DOWN"
WRITTEN = "WRITTEN"
NOT_WRITTEN = "NOT WRITTEN"

SECTOR_BYTES = 512
FIRST_COMMAND_OFFSET = 508
SIZE_BYTES_MIN = 1 << 20  # the BIOS refuses a disk smaller than one cylinder

CODE = base64.b64decode(
    "/DHAjtiOwI7QvAB8iBbyfLoCBrgAAe++pHzoewCg/H3oNAD79LoABu2pAAF0CO/2BvN8AXQRuv0D7KgBdOW6+APs6BIA69y+tnzo"
    "SwC6BAa4ACDv9Ov9PHF07DxpdQbGBvN8AcM8Y3UHugUFsAHuwzxydQe6+QywBu7DPHd1GLRDMMCKFvJ8vuJ8zRO+ynxzA77UfOgB"
    "AMO6+AOshMB0A+7r+MNYRU5JT1MgR1VFU1QgVVANCgBYRU5JT1MgR1VFU1QgRE9XTg0KAFdSSVRURU4NCgBOT1QgV1JJVFRFTg0K"
    "ABAAAQAAfAAAAAY="
)


class Command(Enum):
    """What the guest does when it reads this letter on COM1, or finds it in its image when it starts."""

    NONE = "\0"
    CRASH = "c"  # reports a panic; the domain needs <panic model='isa'/>
    IGNORE_POWER_BUTTON = "i"
    POWER_OFF = "q"
    RESET = "r"
    WRITE = "w"  # writes one sector of the boot disk, 768 KiB into it


def boot_sector(first: Command = Command.NONE) -> bytes:
    """The 512 bytes of the guest, with the command that it obeys as soon as it is up."""
    return CODE.ljust(FIRST_COMMAND_OFFSET, b"\0") + first.value.encode("ascii") + b"\0\x55\xaa"


def write_disk(path: Path, first: Command = Command.NONE, size_bytes: int = SIZE_BYTES_MIN) -> None:
    """Write a raw, sparse disk image that boots into the guest."""
    if size_bytes < SIZE_BYTES_MIN:
        raise ValueError(f"a disk of {size_bytes} bytes does not boot; the least is {SIZE_BYTES_MIN}")
    with open(path, "wb") as image:
        image.write(boot_sector(first))
        image.truncate(size_bytes)


def write_iso(path: Path, label: str = "XENIOS") -> None:
    """Write an (empty, not bootable) ISO 9660 image: only the descriptor by which tools know the format."""
    descriptor = b"\x01CD001\x01\0" + b" " * 32 + label.encode("ascii").ljust(32)
    with open(path, "wb") as image:
        image.write(bytes(32768) + descriptor.ljust(2048, b"\0") + b"\xffCD001\x01")
        image.truncate(64 * 1024)
