"""Who can be played to: every policy by its name, with what is peculiar to the VMs that it makes.

Effects: none
"""

from collections.abc import Iterable
from typing import Any

from msgspec.structs import replace

from xenios.decide.precedent.cloudstack_4_22 import CLOUDSTACK_4_22
from xenios.decide.precedent.java_text import name_uuid
from xenios.decide.precedent.policies import PRECEDENTS
from xenios.decide.precedent.policy import Outcome, Policy
from xenios.model.collection import Collection
from xenios.model.inventory import Vm
from xenios.replay.column import Contestant
from xenios.replay.ours import XENIOS, Ours
from xenios.replay.script import Seat
from xenios.replay.world import POOL_UUID, World, WorldVm

POLICY_NAMES = (*(policy.name for policy in PRECEDENTS), XENIOS)
"""Every policy, in the order of their columns."""


def contestants(names: Iterable[str]) -> tuple[Contestant, ...]:
    """The policies of these names. Raises KeyError for one that is not known."""
    known = {policy.name: _precedent(policy) for policy in PRECEDENTS}
    known[XENIOS] = _ours()
    return tuple(known[name] for name in names)


def _precedent(policy: Policy[Any]) -> Contestant:
    """A manager that knows its VMs by name alone; two installations of it differ in their databases only."""
    return Contestant(name=policy.name, seats=dict.fromkeys(Seat, policy), born=_named)


def _named(policy: Policy[Any], world: World, vm: WorldVm) -> WorldVm:
    """On KVM, CloudStack computes the uuid of a domain from its name; later versions make transient domains."""
    if not world.kvm:
        return vm
    return replace(vm, uuid=name_uuid(vm.name), persistent=policy.name != CLOUDSTACK_4_22)


def _ours() -> Contestant:
    seats = {seat: Ours(POOL_UUID, seat) for seat in Seat}
    return Contestant(
        name=XENIOS,
        seats=dict(seats),
        born=_marked,
        known_as={ours.installation_id: f"the {seat.value}'s" for seat, ours in seats.items()},
        deploys_by_starting=False,
        told_when_a_host_is_back=False,
        finds_a_host=True,
        refuses=_refuses,
    )


def _marked(policy: Policy[Any], _: World, vm: WorldVm) -> WorldVm:
    """Xenios writes its mark on what it makes."""
    return replace(vm, mark=policy.mark_for(vm.uuid)) if isinstance(policy, Ours) else vm


def _refuses(policy: Policy[Any], memory: Any, vm: Vm, view: Collection, now: int) -> Outcome | None:
    """Xenios makes no VM where it could not start it."""
    return policy.refusal_to_deploy(memory, vm, view, now) if isinstance(policy, Ours) else None
