"""Moving running VMs between the hosts of the pool.

The memory is reserved on the target at once and held twice meanwhile; `resident_on` changes only at the end, together
with the domain's number. So a client that looks in between sees the VM where it was. Source: pool_migrate in xapi's
message_forwarding.ml and xapi_vm_migrate.ml.

Effects: none
"""

from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import Call, implements
from xenios.simulator.facts.datamodel import NULL
from xenios.simulator.population.units import GIB
from xenios.simulator.verbs.current_operations import operation
from xenios.simulator.verbs.domains import domain_moved
from xenios.simulator.verbs.host_lifecycle import refusal_of_host, require_answer
from xenios.simulator.verbs.lifecycle import is_true, require_vm
from xenios.simulator.verbs.placement import refusal_to_boot
from xenios.simulator.verbs.telling import host_named, in_steps, tell_of_vm

MOVED_BYTES_PER_SECOND = GIB
MOVE_SECONDS_MIN = 1.0
_STEPS = 10


@implements("VM.pool_migrate")
async def vm_pool_migrate(call: Call, vm: str, host: str, options: dict[str, str]) -> None:
    """Move a running VM to another host of the pool while it goes on running."""
    await move(call, vm, host, forced=is_true(options.get("force")))


@implements("VM.assert_can_migrate")
def vm_assert_can_migrate(
    call: Call,
    vm: str,
    dest: dict[str, str],
    live: bool,
    vdi_map: dict[str, str],
    vif_map: dict[str, str],
    options: dict[str, str],
    vgpu_map: dict[str, str] | None = None,
) -> None:
    """Raise what would keep the VM from being sent to another pool; only this side of the move is looked at."""
    require_vm(call.pool.tables, vm, "migrate_send", strict=not is_true(options.get("force")))


@implements("VM.assert_agile")
def vm_assert_agile(call: Call, vm: str) -> None:
    """Raise what ties the VM to one host: HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED [sr]."""
    tables = call.pool.tables
    for vbd in (tables.find("VBD", ref) for ref in tables.get("VM", vm)["VBDs"]):
        vdi = None if vbd is None or vbd["empty"] else tables.find("VDI", vbd["VDI"])
        sr = None if vdi is None else tables.find("SR", vdi["SR"])
        if vdi is not None and sr is not None and not sr["shared"]:
            raise ApiError("HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED", vdi["SR"])


async def move(call: Call, vm: str, host: str, *, forced: bool = False) -> None:
    """Move a running VM. Raises ApiError with what the VM, the target, or the room there says against it."""
    tables = call.pool.tables
    tables.get("host", host)
    async with operation(call, "VM", vm, "pool_migrate", strict=not forced):
        source = tables.get("VM", vm)["resident_on"]
        require_answer(call.pool, source)
        refusal = refusal_to_move(call, vm, host)
        if refusal is not None:
            raise refusal
        tables.change("VM", vm, scheduled_to_be_resident_on=host)
        try:
            seconds = tables.get("VM", vm)["memory_dynamic_max"] / MOVED_BYTES_PER_SECOND
            await in_steps(call, max(MOVE_SECONDS_MIN, seconds), steps=_STEPS)
            require_answer(call.pool, host)
            domain_moved(call, vm, host)
        finally:
            if tables.find("VM", vm) is not None:
                tables.change("VM", vm, scheduled_to_be_resident_on=NULL)
    way = f"migrated from host: {host_named(call, source)} to host: {host_named(call, host)}"
    tell_of_vm(call, vm, "VM_MIGRATED", way)


def refusal_to_move(call: Call, vm: str, host: str, *, look_at_memory: bool = True) -> ApiError | None:
    """Why a running VM cannot be moved to this host; None if it can."""
    tables = call.pool.tables
    refusal = refusal_of_host(tables, host, "vm_migrate")
    if refusal is not None:
        return refusal
    # Moving to where it is asks for no room: it holds it already.
    elsewhere = tables.get("VM", vm)["resident_on"] != host
    return refusal_to_boot(tables, vm, host, look_at_memory=look_at_memory and elsewhere)
