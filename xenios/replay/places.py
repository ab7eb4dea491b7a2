"""Where a VM of ours may start: the table that decides it for real pools, asked of the hosts that a view shows.

Effects: none
"""

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from xenios.decide.details import details_of
from xenios.decide.facts import freeze_of
from xenios.decide.placement import MAY_RUN_HERE, Wanted, placement_facts
from xenios.decide.room import room_of, wanted_bytes
from xenios.decide.view_history import PoolHistory
from xenios.model.collection import Collection
from xenios.model.decision import Refusal, Verdict
from xenios.model.inventory import Vm
from xenios.model.record import Installation


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A host that will do, or why none does."""

    host_uuid: str | None
    refusals: tuple[Refusal, ...] = ()


def place_to_start(
    vm: Vm,
    asked_host_uuid: str,
    view: Collection,
    history: PoolHistory,
    installation: Installation,
    promised: Mapping[str, int],
) -> Place:
    """The host on which the VM may start. Where somebody asked for one, that or none.

    `promised`: bytes that starts in the same pass have taken on each host, which the view does not show yet.
    """
    if asked_host_uuid and vm.host_uuid not in (None, asked_host_uuid):
        return Place(host_uuid=None, refusals=(_defined_elsewhere(vm, view),))
    wanted = asked_host_uuid or vm.host_uuid
    hosts = sorted(view.hosts, key=lambda host: host.uuid != vm.preferred_host_uuid)
    against: list[Refusal] = []
    for host in hosts:
        if wanted and host.uuid != wanted:
            continue
        refusals = _refusals(vm, host.uuid, view, history, installation, promised)
        if not refusals:
            return Place(host_uuid=host.uuid)
        if wanted or len(hosts) == 1:
            return Place(host_uuid=None, refusals=refusals)
        against += [replace(refusal, because=f"{host.name}: {refusal.because}") for refusal in refusals]
    return Place(host_uuid=None, refusals=tuple(against) or (_NO_SUCH_HOST,))


def _refusals(
    vm: Vm,
    host_uuid: str,
    view: Collection,
    history: PoolHistory,
    installation: Installation,
    promised: Mapping[str, int],
) -> tuple[Refusal, ...]:
    """What is against this host first of all. The disks and networks of a story are reached from everywhere."""
    (host,) = (host for host in view.hosts if host.uuid == host_uuid)
    (room,) = (room for room in room_of(view).hosts if room.host_uuid == host_uuid)
    room = replace(room, bytes_promised=room.bytes_promised + promised.get(host_uuid, 0))
    bytes_wanted = wanted_bytes(vm)
    facts = placement_facts(
        Wanted(memory_bytes=bytes_wanted or 0, vcpus=vm.vcpus or 0),
        host,
        room if bytes_wanted is not None else None,
        view,
        history.quality,
        freeze_of(installation, history.pool_uuid),
    )
    suspicions = [suspicion.value for suspicion in history.suspicions]
    return MAY_RUN_HERE.refusals(facts, details_of(vm, host, suspicions=suspicions))[:1]


def _defined_elsewhere(vm: Vm, view: Collection) -> Refusal:
    name = next((host.name for host in view.hosts if host.uuid == vm.host_uuid), "")
    return Refusal(
        rule="here.defined-elsewhere",
        verdict=Verdict.LEAVE_ALONE,
        because=f"it is defined on {name or 'another host'}, and starts nowhere else",
        remedy="start it there, or move it first",
    )


_NO_SUCH_HOST = Refusal(
    rule="here.no-such-host",
    verdict=Verdict.WAIT,
    because="the view shows no host on which it could start",
    remedy="wait for a view that shows one",
)
