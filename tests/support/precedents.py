"""Plays views to a policy that is compared with: two hosts, rounds of a minute, and what was done in each.

Effects: none
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from tests.support.inventory import a_collection, a_host, a_pool, a_vm
from xenios.decide.precedent.books import Books, Row
from xenios.decide.precedent.cloudstack import CloudStack
from xenios.decide.precedent.policies import policy_named
from xenios.decide.precedent.policy import Deed, Occasion, Outcome, Reaction
from xenios.model.collection import Collection
from xenios.model.inventory import HypervisorKind, PowerState, Vm

MINUTE = 60_000_000
TWO_HOSTS = (a_host("host-1"), a_host("host-2"))


def a_view(*vms: Vm, kind: HypervisorKind = HypervisorKind.XENSERVER, **changes: Any) -> Collection:
    """A pool of two hosts, of a XenServer older than 8 unless told otherwise."""
    version = changes.pop("version", "7.6.0")
    facts: dict[str, Any] = {"hosts": TWO_HOSTS, "pool": a_pool(kind=kind, version=version)}
    return a_collection(*vms, **(facts | changes))


def a_named_vm(name: str, state: PowerState = PowerState.RUNNING, **changes: Any) -> Vm:
    """A VM whose uuid says its name, on the first host if it is on."""
    on = state not in (PowerState.HALTED, PowerState.SUSPENDED)
    facts: dict[str, Any] = {
        "name": name,
        "power_state": state,
        "host_uuid": "host-1" if on else None,
    }
    return a_vm(changes.pop("uuid", f"uuid of {name}"), **(facts | changes))


class Played:
    """One policy with its memory, a minute further at every round."""

    def __init__(self, policy: CloudStack | str, *first: Vm, **changes: Any) -> None:
        """The pool is added while `first` is in it."""
        self.policy = policy_named(policy) if isinstance(policy, str) else policy
        self.memory: Books = self.policy.begin()
        self.now = 0
        self.outcomes: tuple[Outcome, ...] = ()
        self.connects(a_view(*first, **changes))

    def _take(self, reaction: Reaction[Books]) -> list[tuple[Deed, str | None]]:
        self.memory = reaction.memory
        self.outcomes = reaction.outcomes
        return self.deeds

    @property
    def deeds(self) -> list[tuple[Deed, str | None]]:
        """What was done last, and to which VM; alerts left out."""
        return [(told.deed, told.vm_uuid) for told in self.outcomes if told.deed is not Deed.ALERT]

    @property
    def alerts(self) -> int:
        """How often the operator was told something last."""
        return sum(told.deed is Deed.ALERT for told in self.outcomes)

    def connects(self, view: Collection | None) -> list[tuple[Deed, str | None]]:
        """The hosts connect, again or for the first time."""
        return self._take(self.policy.react(self.memory, Occasion.CONNECT, view, self.now))

    def sees(self, *vms: Vm, **changes: Any) -> list[tuple[Deed, str | None]]:
        """The next round."""
        return self.sees_view(a_view(*vms, **changes))

    def sees_view(self, view: Collection | None) -> list[tuple[Deed, str | None]]:
        """The next round, with a view that was made elsewhere, or none."""
        self.now += MINUTE
        return self._take(self.policy.react(self.memory, Occasion.ROUND, view, self.now))

    def makes(self, vm: Vm, *, ha: bool = False) -> Vm:
        """The manager deploys a VM."""
        self.memory = self.policy.created(self.memory, vm, ha=ha, now=self.now)
        return vm

    def stops(self, vm: Vm, *there: Vm, **changes: Any) -> list[tuple[Deed, str | None]]:
        """A user stops a VM of the manager's."""
        return self._take(
            self.policy.asked_to_stop(self.memory, vm, a_view(*(there or (vm,)), **changes), self.now)
        )

    def starts(
        self, vm: Vm, *there: Vm, host: str = "host-1", **changes: Any
    ) -> list[tuple[Deed, str | None]]:
        """A user starts a VM of the manager's."""
        return self._take(
            self.policy.asked_to_start(self.memory, vm, host, a_view(*there, **changes), self.now)
        )

    def row(self, name: str) -> Row:
        """The database's row of a name."""
        row = self.memory.row_of_name(name)
        if row is None:
            raise KeyError(name)
        return row

    def with_row(self, name: str, **changes: Any) -> Row:
        """Changes a row by hand."""
        row = replace(self.row(name), **changes)
        self.memory = replace(self.memory, rows={**self.memory.rows, row.id: row})
        return row


def uuids(outcomes: Iterable[tuple[Deed, str | None]], deed: Deed) -> list[str | None]:
    """The VMs that a deed was done to."""
    return [uuid for done, uuid in outcomes if done is deed]
