"""Hosts and the pool: taking a host out of use and back, emptying it, its room, and who is master.

A disabled host takes no new VMs and keeps those it has; `evacuate` disables it first and then moves them away one by
one. Source: xapi's xapi_host.ml and xapi_host_helpers.ml.

Effects: none
"""

from xenios.drivers.xenserver.memory import MIB
from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import Call, implements
from xenios.simulator.facts.datamodel import NULL
from xenios.simulator.population.book import stamp
from xenios.simulator.verbs.current_operations import operation, refresh
from xenios.simulator.verbs.host_lifecycle import require_answer
from xenios.simulator.verbs.lifecycle import refusal_of_vm
from xenios.simulator.verbs.moves import move, refusal_to_move
from xenios.simulator.verbs.placement import free_memory_by_host, free_memory_bytes, needed_bytes

SWITCH_SECONDS = 0.05
MASTER_SECONDS = 2.0


@implements("host.disable")
async def host_disable(call: Call, host: str, auto_enable: bool = True) -> None:
    """Let no VM start or arrive on the host; those there stay. No record shows `auto_enable`."""
    require_answer(call.pool, host)
    await call.sleep(SWITCH_SECONDS)
    _set_enabled(call, host, enabled=False)


@implements("host.enable")
async def host_enable(call: Call, host: str) -> None:
    """Let VMs start and arrive on the host again."""
    require_answer(call.pool, host)
    async with operation(call, "host", host, "enable"):
        await call.sleep(SWITCH_SECONDS)
        _set_enabled(call, host, enabled=True)


@implements("host.evacuate")
async def host_evacuate(call: Call, host: str, network: str = NULL, evacuate_batch_size: int = 0) -> None:
    """Disable the host and move all its VMs away. Stops at the first that cannot be moved; the host stays disabled."""
    tables = call.pool.tables
    plan = _plan(call, host)
    for outcome in plan.values():
        if isinstance(outcome, ApiError):
            raise outcome
    async with operation(call, "host", host, "evacuate"):
        _set_enabled(call, host, enabled=False)
        for done, (vm, target) in enumerate(plan.items()):
            record = tables.find("VM", vm)
            if isinstance(target, str) and record is not None and record["resident_on"] == host:
                await move(call, vm, target)
            call.progress(done / len(plan))


@implements("host.assert_can_evacuate")
def host_assert_can_evacuate(call: Call, host: str) -> None:
    """Raise CANNOT_EVACUATE_HOST with every error, `CODE,param|CODE,param`, if a VM cannot be moved away."""
    outcomes = _plan(call, host).values()
    errors = [",".join(outcome.description) for outcome in outcomes if isinstance(outcome, ApiError)]
    if errors:
        raise ApiError("CANNOT_EVACUATE_HOST", "|".join(errors))


@implements("host.get_vms_which_prevent_evacuation")
def host_get_vms_which_prevent_evacuation(call: Call, host: str) -> dict[str, list[str]]:
    """{VM: [code, parameters…]} of each that cannot be moved away."""
    plan = _plan(call, host)
    return {vm: outcome.description for vm, outcome in plan.items() if isinstance(outcome, ApiError)}


@implements("host.get_uncooperative_resident_VMs")
def host_get_uncooperative_resident_vms(call: Call, host: str) -> list[str]:
    """The VMs that do not give back memory when asked: there are none here."""
    call.pool.tables.get("host", host)
    return []


@implements("host.compute_free_memory")
def host_compute_free_memory(call: Call, host: str) -> int:
    """The memory that is neither the host's own nor promised to a VM."""
    return free_memory_bytes(call.pool.tables, host)


@implements("host.compute_memory_overhead")
def host_compute_memory_overhead(call: Call, host: str) -> int:
    """The memory that the hypervisor keeps for itself."""
    return int(call.pool.tables.get("host", host)["memory_overhead"]) // MIB * MIB


@implements("host.get_servertime")
def host_get_servertime(call: Call, host: str) -> str:
    """The host's clock, in UTC."""
    call.pool.tables.get("host", host)
    return stamp(call.pool.now())


@implements("host.get_server_localtime")
def host_get_server_localtime(call: Call, host: str) -> str:
    """The host's clock in its own time zone, which is UTC here."""
    return host_get_servertime(call, host)


@implements("host.sync_data")
def host_sync_data(call: Call, host: str) -> None:
    """Copy the host's data to others; nothing is kept elsewhere here."""
    call.pool.tables.get("host", host)


@implements("host.restart_agent")
def host_restart_agent(call: Call, host: str) -> None:
    """Restart the toolstack of a host; of the master this loses sessions and tasks."""
    require_answer(call.pool, host)
    if host == call.pool.master():
        call.pool.restart_toolstack()


@implements("pool.designate_new_master")
async def pool_designate_new_master(call: Call, host: str) -> None:
    """Make another host the master. Every session ends, and clients must go there. Nothing for the master itself."""
    require_answer(call.pool, host)
    if not call.pool.tables.get("host", host)["enabled"]:
        raise ApiError("HOST_DISABLED", host)
    if host != call.pool.master():
        await call.sleep(MASTER_SECONDS)
        call.pool.move_master(host)


@implements("pool.emergency_transition_to_master")
def pool_emergency_transition_to_master(call: Call) -> None:
    """Make the host that is called the master, without asking the old one: for a master that is lost."""
    call.pool.heal_host(call.host)
    if call.host != call.pool.master():
        call.pool.move_master(call.host)


@implements("pool.emergency_reset_master")
def pool_emergency_reset_master(call: Call, master_address: str) -> None:
    """Tell a supporter where its master is. Raises CANNOT_CONTACT_HOST [address] when no master answers there."""
    master = call.pool.tables.get("host", call.pool.master())
    if master["address"] != master_address:
        raise ApiError("CANNOT_CONTACT_HOST", master_address)
    call.pool.heal_host(call.host)


@implements("pool.recover_slaves")
def pool_recover_slaves(call: Call) -> list[str]:
    """Tell every supporter who the master is; returns those that heard it."""
    master = call.pool.master()
    heard = [
        ref for ref in call.pool.tables.rows("host") if ref != master and not call.pool.host_is_dead(ref)
    ]
    for host in heard:
        call.pool.heal_host(host)
    return heard


@implements("pool.sync_database")
def pool_sync_database(call: Call) -> None:
    """Write the database to all hosts; it is in one place only here."""


def _set_enabled(call: Call, host: str, *, enabled: bool) -> None:
    call.pool.tables.change("host", host, enabled=enabled)
    refresh(call.pool.tables, "host", host)


def _plan(call: Call, host: str) -> dict[str, str | ApiError]:
    """For each VM on the host the host it goes to, or what keeps it: the largest first, each where most is free."""
    tables = call.pool.tables
    residents = [
        vm for vm in tables.get("host", host)["resident_VMs"] if not tables.get("VM", vm)["is_control_domain"]
    ]
    free = {other: room for other, room in free_memory_by_host(tables).items() if other != host}
    plan: dict[str, str | ApiError] = {}
    for vm in sorted(residents, key=lambda ref: needed_bytes(tables.get("VM", ref)), reverse=True):
        plan[vm] = _way_out(call, vm, free)
    return plan


def _way_out(call: Call, vm: str, free: dict[str, int]) -> str | ApiError:
    refusal = refusal_of_vm(call.pool.tables, vm, "pool_migrate")
    if refusal is not None:
        return refusal
    needed = needed_bytes(call.pool.tables.get("VM", vm))
    reasons: list[ApiError] = []
    fitting = 0
    for other in sorted(free, key=lambda ref: free[ref], reverse=True):
        reason = refusal_to_move(call, vm, other, look_at_memory=False)
        if reason is not None:
            reasons.append(reason)
        elif needed <= free[other]:
            free[other] -= needed
            return other
        else:
            fitting = max(fitting, free[other])
    if len(reasons) < len(free):
        return ApiError("HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(fitting))
    return reasons[0] if reasons else ApiError("NO_HOSTS_AVAILABLE")
