"""Whether two looks at the same thing agree: what one says and the other does not.

Effects: none
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct

MOVING = {"memory_bytes_free", "memory_free_source", "memory_bytes_overhead", "used_bytes"}
"""Figures that change by themselves while nobody does anything, and how they were got: a thorough look may ask more."""
MOVING_MEMORY = {"bytes_actual", "bytes_resident", "bytes_overhead", "overhead_source"}


def differing(less: Any, more: Any, where: str) -> list[str]:
    """Where `less` says something that `more` does not say: an untold value in `less` differs from nothing."""
    name = where.rpartition(".")[2]
    if name in MOVING | MOVING_MEMORY | {"seen_at"}:
        return []
    if isinstance(less, Struct) and type(less) is type(more):
        return [
            found
            for field in less.__struct_fields__
            for found in differing(getattr(less, field), getattr(more, field), f"{where}.{field}")
        ]
    if is_untold(less):
        return []
    if isinstance(less, tuple) and isinstance(more, tuple) and len(less) == len(more):
        return [
            found
            for number, (one, other) in enumerate(zip(less, more, strict=True))
            for found in differing(one, other, f"{where}[{number}]")
        ]
    return [] if less == more else [f"{where}: {less!r}, then {more!r}"]


def is_untold(value: Any) -> bool:
    return value in (None, "", ()) or (isinstance(value, Enum) and value.value == "unknown")
