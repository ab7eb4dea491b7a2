"""What a VM may take: memory limits, VCPUs, protection by HA, and what it is forbidden to be done to.

Setters look like plain writes and are operations: most need a halted VM, all keep memory_overhead right, and some
change `allowed_operations`. Source: xapi's xapi_vm.ml and message_forwarding.ml.

Effects: none
"""

from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import Call, implements
from xenios.simulator.verbs.current_operations import operation, refresh
from xenios.simulator.verbs.lifecycle import HALTED, RUNNING, bad_power_state
from xenios.simulator.verbs.placement import (
    APPROXIMATE_VCPUS,
    free_memory_bytes,
    largest_static_max_bytes,
    limits_are_in_order,
    memory_overhead_bytes,
)

HA_PRIORITIES = ("restart", "best-effort", "")
_VCPU_RULE = "VCPU values must satisfy: 0 < VCPUs_at_startup ≤ VCPUs_max"


# ---- memory ----


@implements("VM.set_memory_limits")
async def vm_set_memory_limits(
    call: Call, vm: str, static_min: int, static_max: int, dynamic_min: int, dynamic_max: int
) -> None:
    """Set all four limits of a halted VM at once."""
    async with operation(call, "VM", vm, "changing_memory_limits"):
        _set_memory(call, vm, static_min, static_max, dynamic_min, dynamic_max)


@implements("VM.set_memory")
async def vm_set_memory(call: Call, vm: str, value: int) -> None:
    """Give a halted VM exactly so much memory."""
    async with operation(call, "VM", vm, "changing_memory_limits"):
        static_min = call.pool.tables.get("VM", vm)["memory_static_min"]
        _set_memory(call, vm, static_min, value, value, value)


@implements("VM.set_memory_static_range")
async def vm_set_memory_static_range(call: Call, vm: str, low: int, high: int) -> None:
    """Set what bounds the dynamic range of a halted VM."""
    async with operation(call, "VM", vm, "changing_static_range"):
        record = call.pool.tables.get("VM", vm)
        _set_memory(call, vm, low, high, record["memory_dynamic_min"], record["memory_dynamic_max"])


@implements("VM.set_memory_static_max")
async def vm_set_memory_static_max(call: Call, vm: str, value: int) -> None:
    """Set the upper bound of the dynamic range of a halted VM."""
    async with operation(call, "VM", vm, "changing_static_range"):
        record = call.pool.tables.get("VM", vm)
        limits = (record["memory_dynamic_min"], record["memory_dynamic_max"])
        _set_memory(call, vm, record["memory_static_min"], value, *limits)


@implements("VM.set_memory_static_min")
async def vm_set_memory_static_min(call: Call, vm: str, value: int) -> None:
    """Set the lower bound of the dynamic range of a halted VM."""
    async with operation(call, "VM", vm, "changing_static_range"):
        record = call.pool.tables.get("VM", vm)
        limits = (record["memory_dynamic_min"], record["memory_dynamic_max"])
        _set_memory(call, vm, value, record["memory_static_max"], *limits)


@implements("VM.set_memory_dynamic_range")
async def vm_set_memory_dynamic_range(call: Call, vm: str, low: int, high: int) -> None:
    """Set between what the VM's memory may move; of a running VM its host must have the room.

    Raises HOST_NOT_ENOUGH_FREE_MEMORY [needed, available], which here alone are KiB.
    """
    async with operation(call, "VM", vm, "changing_dynamic_range"):
        _set_dynamic_range(call, vm, low, high)


@implements("VM.set_memory_dynamic_max")
async def vm_set_memory_dynamic_max(call: Call, vm: str, value: int) -> None:
    """Set the upper end of the range in which the VM's memory may move."""
    async with operation(call, "VM", vm, "changing_dynamic_range"):
        _set_dynamic_range(call, vm, call.pool.tables.get("VM", vm)["memory_dynamic_min"], value)


@implements("VM.set_memory_dynamic_min")
async def vm_set_memory_dynamic_min(call: Call, vm: str, value: int) -> None:
    """Set the lower end of the range in which the VM's memory may move."""
    async with operation(call, "VM", vm, "changing_dynamic_range"):
        _set_dynamic_range(call, vm, value, call.pool.tables.get("VM", vm)["memory_dynamic_max"])


@implements("VM.set_memory_target_live")
async def vm_set_memory_target_live(call: Call, vm: str, target: int) -> None:
    """Move a VM's memory to this size and keep it there; an older name for a dynamic range without width."""
    async with operation(call, "VM", vm, "changing_dynamic_range"):
        _set_dynamic_range(call, vm, target, target)


@implements("VM.wait_memory_target_live")
def vm_wait_memory_target_live(call: Call, vm: str) -> None:
    """Wait until a VM's memory has moved to its target; here it always has."""
    call.pool.tables.get("VM", vm)


@implements("VM.compute_memory_overhead")
def vm_compute_memory_overhead(call: Call, vm: str) -> int:
    """What the VM would cost a host beyond its own memory."""
    return memory_overhead_bytes(call.pool.tables.get("VM", vm))


@implements("VM.maximise_memory")
def vm_maximise_memory(call: Call, vm: str, total: int, approximate: bool) -> int:
    """The largest memory_static_max with which the VM, its overhead included, takes no more than the total."""
    record = call.pool.tables.get("VM", vm)
    vcpus = APPROXIMATE_VCPUS if approximate else record["VCPUs_max"]
    return largest_static_max_bytes(record, total, vcpus)


@implements("VM.get_cooperative")
def vm_get_cooperative(call: Call, vm: str) -> bool:
    """Whether the guest gives back memory when asked: no guest here refuses."""
    call.pool.tables.get("VM", vm)
    return True


# ---- VCPUs and shadow memory ----


@implements("VM.set_VCPUs_max")
async def vm_set_vcpus_max(call: Call, vm: str, value: int) -> None:
    """Set the number of VCPUs that a halted VM can have. Raises INVALID_VALUE."""
    async with operation(call, "VM", vm, "changing_VCPUs"):
        if value < 1 or value < call.pool.tables.get("VM", vm)["VCPUs_at_startup"]:
            raise ApiError("INVALID_VALUE", _VCPU_RULE, str(value))
        call.pool.tables.change("VM", vm, VCPUs_max=value)
        _renew_overhead(call, vm)


@implements("VM.set_VCPUs_at_startup")
def vm_set_vcpus_at_startup(call: Call, vm: str, value: int) -> None:
    """Set the number of VCPUs that the VM has after its next start. Raises INVALID_VALUE."""
    if not 1 <= value <= call.pool.tables.get("VM", vm)["VCPUs_max"]:
        raise ApiError("INVALID_VALUE", _VCPU_RULE, str(value))
    call.pool.tables.change("VM", vm, VCPUs_at_startup=value)
    _renew_overhead(call, vm)


@implements("VM.set_VCPUs_number_live")
async def vm_set_vcpus_number_live(call: Call, vm: str, nvcpu: int) -> None:
    """Set the number of VCPUs that a running VM has now. Raises INVALID_VALUE."""
    tables = call.pool.tables
    async with operation(call, "VM", vm, "changing_VCPUs_live"):
        record = tables.get("VM", vm)
        if not 1 <= nvcpu <= record["VCPUs_max"]:
            raise ApiError("INVALID_VALUE", _VCPU_RULE, str(nvcpu))
        tables.change("VM_metrics", record["metrics"], VCPUs_number=nvcpu)


@implements("VM.set_HVM_shadow_multiplier")
async def vm_set_hvm_shadow_multiplier(call: Call, vm: str, value: float) -> None:
    """Set how much shadow memory a halted VM gets, as a factor of the usual. Raises INVALID_VALUE."""
    async with operation(call, "VM", vm, "changing_shadow_memory"):
        _set_shadow(call, vm, value)


@implements("VM.set_shadow_multiplier_live")
async def vm_set_shadow_multiplier_live(call: Call, vm: str, multiplier: float) -> None:
    """Set how much shadow memory a running VM has, as a factor of the usual. Raises INVALID_VALUE."""
    async with operation(call, "VM", vm, "changing_shadow_memory_live"):
        _set_shadow(call, vm, multiplier)


# ---- kind of domain ----


@implements("VM.set_domain_type")
def vm_set_domain_type(call: Call, vm: str, value: str) -> None:
    """Set as what kind of domain a halted VM starts; older clients see it in the boot policy."""
    _require_halted(call, vm)
    policy = "BIOS order" if value == "hvm" else ""
    call.pool.tables.change("VM", vm, domain_type=value, HVM_boot_policy=policy)
    _renew_overhead(call, vm)


@implements("VM.set_HVM_boot_policy")
def vm_set_hvm_boot_policy(call: Call, vm: str, value: str) -> None:
    """Set the boot policy of a halted VM, and with it what kind of domain it is."""
    _require_halted(call, vm)
    call.pool.tables.change("VM", vm, HVM_boot_policy=value, domain_type="hvm" if value else "pv")
    _renew_overhead(call, vm)


@implements("VM.set_NVRAM")
async def vm_set_nvram(call: Call, vm: str, value: dict[str, str]) -> None:
    """Replace what the firmware of a halted VM has stored."""
    async with operation(call, "VM", vm, "changing_NVRAM"):
        call.pool.tables.change("VM", vm, NVRAM=value)


# ---- protection and prohibition ----


@implements("VM.set_ha_restart_priority")
def vm_set_ha_restart_priority(call: Call, vm: str, value: str) -> None:
    """Say whether HA starts the VM again elsewhere when its host is lost. Raises INVALID_VALUE."""
    if value not in HA_PRIORITIES:
        raise ApiError("INVALID_VALUE", "ha_restart_priority", value)
    state = call.pool.tables.get("VM", vm)["power_state"]
    call.pool.tables.change("VM", vm, ha_restart_priority=value)
    if state == RUNNING:
        call.pool.tables.change("VM", vm, ha_always_run=value == "restart")
    refresh(call.pool.tables, "VM", vm)


@implements("VM.set_ha_always_run")
def vm_set_ha_always_run(call: Call, vm: str, value: bool) -> None:
    """Say whether HA keeps the VM running; the server sets this itself when VMs start and stop."""
    call.pool.tables.change("VM", vm, ha_always_run=value)
    refresh(call.pool.tables, "VM", vm)


@implements("VM.set_blocked_operations")
def vm_set_blocked_operations(call: Call, vm: str, value: dict[str, str]) -> None:
    """Forbid operations on the VM, each with the text that its refusal gives."""
    call.pool.tables.change("VM", vm, blocked_operations=value)
    refresh(call.pool.tables, "VM", vm)


@implements("VM.add_to_blocked_operations")
def vm_add_to_blocked_operations(call: Call, vm: str, key: str, value: str) -> None:
    """Forbid one operation more. Raises MAP_DUPLICATE_KEY for one that is forbidden already."""
    blocked = call.pool.tables.get("VM", vm)["blocked_operations"]
    if key in blocked:
        raise ApiError("MAP_DUPLICATE_KEY", "VM", "blocked_operations", vm, key)
    vm_set_blocked_operations(call, vm, {**blocked, key: value})


@implements("VM.remove_from_blocked_operations")
def vm_remove_from_blocked_operations(call: Call, vm: str, key: str) -> None:
    """Allow an operation again; nothing if it was not forbidden."""
    blocked = call.pool.tables.get("VM", vm)["blocked_operations"]
    vm_set_blocked_operations(call, vm, {name: text for name, text in blocked.items() if name != key})


# ---- steps ----


def _set_memory(
    call: Call, vm: str, static_min: int, static_max: int, dynamic_min: int, dynamic_max: int
) -> None:
    limits = {
        "memory_static_min": static_min,
        "memory_static_max": static_max,
        "memory_dynamic_min": dynamic_min,
        "memory_dynamic_max": dynamic_max,
    }
    if static_min < 0 or not limits_are_in_order(limits):
        raise ApiError("MEMORY_CONSTRAINT_VIOLATION_ORDER")
    call.pool.tables.change("VM", vm, **limits)
    _renew_overhead(call, vm)


def _set_dynamic_range(call: Call, vm: str, low: int, high: int) -> None:
    tables = call.pool.tables
    record = tables.get("VM", vm)
    up = record["power_state"] == RUNNING
    if up:
        more = low - record["memory_dynamic_min"]
        free = free_memory_bytes(tables, record["resident_on"])
        if more > free:
            raise ApiError("HOST_NOT_ENOUGH_FREE_MEMORY", str(more // 1024), str(free // 1024))
    _set_memory(call, vm, record["memory_static_min"], record["memory_static_max"], low, high)
    if up:
        tables.change("VM", vm, memory_target=low)
        if tables.find("VM_metrics", record["metrics"]) is not None:
            tables.change("VM_metrics", record["metrics"], memory_actual=low)


def _set_shadow(call: Call, vm: str, value: float) -> None:
    if not value >= 1.0:
        raise ApiError("INVALID_VALUE", "multiplier", f"{value:.16g}")
    call.pool.tables.change("VM", vm, HVM_shadow_multiplier=value)
    _renew_overhead(call, vm)


def _renew_overhead(call: Call, vm: str) -> None:
    tables = call.pool.tables
    tables.change("VM", vm, memory_overhead=memory_overhead_bytes(tables.get("VM", vm)))


def _require_halted(call: Call, vm: str) -> None:
    state = call.pool.tables.get("VM", vm)["power_state"]
    if state != HALTED:
        raise bad_power_state(vm, (HALTED,), state, ";")
