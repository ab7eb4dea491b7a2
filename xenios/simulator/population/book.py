"""The book in which a simulated pool is written down while it is made.

Every part of a population adds whole records here; ids, MACs and times come from one seeded source, so the
same seed gives the same pool. Only the "one" side of a relation is set while building; `link` derives the
other side at the end, so that the two cannot disagree.

Effects: none
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from xenios.simulator.facts.datamodel import Record, Records, load_datamodel

Choice = TypeVar("Choice")
_DEVICES = frozenset({"VBD", "VIF"})


def stamp(moment: datetime) -> str:
    """A moment as XAPI writes it: 20260821T02:00:23Z."""
    return moment.strftime("%Y%m%dT%H:%M:%SZ")


class Book:
    """The records so far, and the source of everything that looks random."""

    def __init__(self, seed: int, now: datetime) -> None:
        """Start an empty book; `now` is the time at which the pool is looked at."""
        self.random = Random(seed)  # noqa: S311 (believable, not secret)
        self.now = now
        self._facts = load_datamodel()
        kept = (name for name, api_class in self._facts.classes.items() if api_class.persistent)
        self.records: Records = {name: {} for name in kept}
        self._devices: dict[tuple[str, str], list[str]] = {}

    def uuid(self) -> str:
        """A new uuid."""
        return str(UUID(int=self.random.getrandbits(128), version=4))

    def ref(self) -> str:
        """A new ref; nothing stands behind it yet."""
        return f"OpaqueRef:{self.uuid()}"

    def mac(self) -> str:
        """A new locally administered MAC address, as XAPI makes them."""
        octets = [self.random.randrange(256) for _ in range(6)]
        octets[0] = (octets[0] & 0xFC) | 0x02
        return ":".join(f"{octet:02x}" for octet in octets)

    def ago(self, *, days: float = 0.0, minutes: float = 0.0) -> str:
        """A moment before now, in XAPI's spelling."""
        return stamp(self.now - timedelta(days=days, minutes=minutes))

    def some_days_ago(self, most: int) -> str:
        """A moment between an hour and `most` days before now."""
        return self.ago(minutes=self.random.randrange(60, most * 24 * 60))

    def pick(self, choices: Sequence[Choice]) -> Choice:
        """One of the choices."""
        return choices[self.random.randrange(len(choices))]

    def add(self, class_name: str, /, **values: Any) -> str:
        """Add a record with these values, defaults for all else; returns its ref."""
        record = self._facts.default_record(class_name)
        if unknown := values.keys() - record.keys():
            raise KeyError(f"{class_name} has no field {', '.join(sorted(unknown))}")
        record["uuid"] = self.uuid()
        record.update(values)
        ref = self.ref()
        self.records[class_name][ref] = record
        if class_name in _DEVICES:
            self._devices.setdefault((class_name, record["VM"]), []).append(ref)
        return ref

    def devices(self, class_name: str, vm: str) -> list[str]:
        """The refs of the VBDs or VIFs that a VM has been given so far."""
        return list(self._devices.get((class_name, vm), ()))

    def get(self, class_name: str, ref: str) -> Record:
        """The record behind a ref."""
        return self.records[class_name][ref]

    def link(self) -> None:
        """Fill in the "many" side of every relation from the "one" side; dangling refs are left alone."""
        for relation in self._facts.relations:
            targets = self.records[relation.many_class]
            for record in targets.values():
                record[relation.many_field] = []
            for ref, record in self.records[relation.one_class].items():
                target = targets.get(record[relation.one_field])
                if target is not None:
                    target[relation.many_field].append(ref)
