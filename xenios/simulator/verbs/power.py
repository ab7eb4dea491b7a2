"""Starting, pausing, saving and stopping VMs: each verb with what it asks first, how long it takes, and what it tells.

The checks of a verb come before anything is done, and in XAPI's order; what the records say afterwards is in
`domains.py`. Durations are those measured on a real pool with simulated domains, and longer where a guest must help.
Sources: xapi's message_forwarding.ml, xapi_vm.ml, xapi_xenops.ml.

Effects: none
"""

from collections.abc import Iterator
from contextlib import contextmanager

from xenios.simulator.api_error import ApiError
from xenios.simulator.dispatch import Call, implements
from xenios.simulator.facts.datamodel import NULL, Record
from xenios.simulator.population.units import MIB
from xenios.simulator.verbs.current_operations import (
    marked,
    operation,
    refresh,
    refresh_with_devices,
    refusal_of,
)
from xenios.simulator.verbs.domains import domain_gone, domain_made, domain_rebooted
from xenios.simulator.verbs.host_lifecycle import is_live, refusal_of_host, require_answer
from xenios.simulator.verbs.lifecycle import PAUSED, RUNNING, SUSPENDED, guest_helps, require_vm
from xenios.simulator.verbs.placement import (
    choose_host,
    domain_type_of,
    memory_overhead_bytes,
    possible_hosts,
    refusal_to_boot,
)
from xenios.simulator.verbs.telling import host_named, in_steps, tell_of_vm

START_SECONDS = 0.15
HARD_SHUTDOWN_SECONDS = 0.04
PAUSE_SECONDS = 0.02
GUEST_SHUTDOWN_SECONDS = 2.0
GUEST_REBOOT_SECONDS = 3.0
SAVE_SECONDS = 1.0


# ---- up ----


@implements("VM.start")
async def vm_start(call: Call, vm: str, start_paused: bool, force: bool) -> None:
    """Start the VM on a host of the server's choice."""
    async with operation(call, "VM", vm, "start"):
        with _devices_attaching(call, vm):
            _prepare(call, vm)
            host = choose_host(call.pool.tables, vm, call.pool.random)
            await _boot(call, vm, host, paused=start_paused)
    tell_of_vm(call, vm, "VM_STARTED", f"started on host: {host_named(call, host)}")


@implements("VM.start_on")
async def vm_start_on(call: Call, vm: str, host: str, start_paused: bool, force: bool) -> None:
    """Start the VM on this host, or say why not."""
    async with operation(call, "VM", vm, "start_on"):
        with _devices_attaching(call, vm):
            _prepare(call, vm)
            _require_host(call, vm, host, "vm_start")
            await _boot(call, vm, host, paused=start_paused)
    tell_of_vm(call, vm, "VM_STARTED", f"started on host: {host_named(call, host)}")


@implements("VM.resume")
async def vm_resume(call: Call, vm: str, start_paused: bool, force: bool) -> None:
    """Restore a saved VM on a host of the server's choice."""
    async with operation(call, "VM", vm, "resume"):
        with _devices_attaching(call, vm):
            host = choose_host(call.pool.tables, vm, call.pool.random)
            await _restore(call, vm, host, paused=start_paused)
    tell_of_vm(call, vm, "VM_RESUMED", f"resumed on host: {host_named(call, host)}")


@implements("VM.resume_on")
async def vm_resume_on(call: Call, vm: str, host: str, start_paused: bool, force: bool) -> None:
    """Restore a saved VM on this host, or say why not."""
    async with operation(call, "VM", vm, "resume_on"):
        with _devices_attaching(call, vm):
            _require_host(call, vm, host, "vm_resume")
            await _restore(call, vm, host, paused=start_paused)
    tell_of_vm(call, vm, "VM_RESUMED", f"resumed on host: {host_named(call, host)}")


@implements("VM.unpause")
async def vm_unpause(call: Call, vm: str) -> None:
    """Let a paused VM go on."""
    async with operation(call, "VM", vm, "unpause"):
        _require_resident_host(call, vm)
        await call.sleep(PAUSE_SECONDS)
        _set_state(call, vm, RUNNING)
    tell_of_vm(call, vm, "VM_UNPAUSED", "unpaused")


# ---- held ----


@implements("VM.pause")
async def vm_pause(call: Call, vm: str) -> None:
    """Stop the VM's processors and keep its memory where it is."""
    async with operation(call, "VM", vm, "pause"):
        _require_resident_host(call, vm)
        await call.sleep(PAUSE_SECONDS)
        _set_state(call, vm, PAUSED)
    tell_of_vm(call, vm, "VM_PAUSED", "paused")


@implements("VM.suspend")
async def vm_suspend(call: Call, vm: str) -> None:
    """Save the VM's memory to storage and free its host."""
    async with operation(call, "VM", vm, "suspend"):
        _require_resident_host(call, vm)
        await save_memory(call, vm)
        call.pool.tables.change("VM", vm, ha_always_run=False)
    tell_of_vm(call, vm, "VM_SUSPENDED", "suspended")


# ---- down ----


@implements("VM.clean_shutdown")
async def vm_clean_shutdown(call: Call, vm: str) -> None:
    """Ask the guest to shut down, and wait until it has."""
    async with operation(call, "VM", vm, "clean_shutdown"):
        _require_resident_host(call, vm)
        await _guest_shuts_down(call, vm)
    tell_of_vm(call, vm, "VM_SHUTDOWN", "shutdown cleanly")


@implements("VM.hard_shutdown")
async def vm_hard_shutdown(call: Call, vm: str) -> None:
    """Take the power away; of a saved VM, throw its memory away."""
    async with operation(call, "VM", vm, "hard_shutdown"):
        await _power_off(call, vm)
    tell_of_vm(call, vm, "VM_SHUTDOWN", "shutdown forcibly")


@implements("VM.shutdown")
async def vm_shutdown(call: Call, vm: str) -> None:
    """Ask the guest to shut down, and take the power away if it cannot."""
    async with operation(call, "VM", vm, "shutdown"):
        if guest_helps(call.pool.tables, vm, "clean_shutdown"):
            await _guest_shuts_down(call, vm)
            how = "cleanly"
        else:
            await _power_off(call, vm)
            how = "forcibly"
    tell_of_vm(call, vm, "VM_SHUTDOWN", f"shutdown {how}")


@implements("VM.clean_reboot")
async def vm_clean_reboot(call: Call, vm: str) -> None:
    """Ask the guest to reboot."""
    async with operation(call, "VM", vm, "clean_reboot"):
        _require_resident_host(call, vm)
        await in_steps(call, GUEST_REBOOT_SECONDS)
        domain_rebooted(call, vm)
    tell_of_vm(call, vm, "VM_REBOOTED", "rebooted cleanly")


@implements("VM.hard_reboot")
async def vm_hard_reboot(call: Call, vm: str) -> None:
    """Take the power away and start again where the VM was."""
    async with operation(call, "VM", vm, "hard_reboot"):
        _require_resident_host(call, vm)
        await call.sleep(START_SECONDS)
        domain_rebooted(call, vm)
    tell_of_vm(call, vm, "VM_REBOOTED", "rebooted forcibly")


@implements("VM.power_state_reset")
def vm_power_state_reset(call: Call, vm: str) -> None:
    """Write down that the VM is halted, without touching any host: for a host that is lost.

    Refused while the host it is recorded on answers: the domain would go on unseen.
    """
    tables = call.pool.tables
    record = tables.get("VM", vm)
    if record["is_control_domain"]:
        raise ApiError("CANNOT_RESET_CONTROL_DOMAIN", vm)
    host = tables.find("host", record["resident_on"])
    if record["power_state"] in (RUNNING, PAUSED) and host is not None and is_live(tables, host):
        if record["resident_on"] == call.pool.master():
            raise ApiError("DOMAIN_EXISTS", vm, str(record["domid"]))
        raise ApiError("HOST_IS_LIVE", record["resident_on"])
    tables.change("VM", vm, current_operations={})
    domain_gone(call, vm)


# ---- asking ----


@implements("VM.assert_operation_valid")
def vm_assert_operation_valid(call: Call, vm: str, op: str) -> None:
    """Raise what the operation would be refused with."""
    require_vm(call.pool.tables, vm, op)


@implements("VM.update_allowed_operations")
def vm_update_allowed_operations(call: Call, vm: str) -> None:
    """Work out `allowed_operations` of the VM and its devices anew."""
    call.pool.tables.get("VM", vm)
    refresh_with_devices(call.pool.tables, vm)


@implements("VM.assert_can_boot_here")
def vm_assert_can_boot_here(call: Call, vm: str, host: str) -> None:
    """Raise the first reason why the VM cannot start on this host."""
    refusal = refusal_to_boot(call.pool.tables, vm, host)
    if refusal is not None:
        raise refusal


@implements("VM.get_boot_record")
def vm_get_boot_record(call: Call, vm: str) -> Record:
    """The VM's settings as its domain was made with them: those of now, since none is kept apart."""
    require_vm(call.pool.tables, vm, "get_boot_record")
    return dict(call.pool.tables.get("VM", vm))


@implements("VM.get_possible_hosts")
def vm_get_possible_hosts(call: Call, vm: str) -> list[str]:
    """The hosts on which the VM could start now."""
    return possible_hosts(call.pool.tables, vm)


# ---- steps ----


async def save_memory(call: Call, vm: str) -> None:
    """Write the VM's memory to a new disk and stop its domain. Raises VM_NO_SUSPEND_SR [vm]."""
    tables = call.pool.tables
    record = tables.get("VM", vm)
    sr = _suspend_sr(call, vm)
    size = record["memory_static_max"] * 6 // 5 + 160 * MIB
    image = tables.create(
        "VDI",
        {
            "name_label": "Suspend image",
            "name_description": "Suspend image",
            "SR": sr,
            "virtual_size": size,
            "physical_utilisation": size // 10,
            "type": "suspend",
            "sharable": False,
            "read_only": False,
            "managed": True,
        },
    )
    tables.change("VDI", image, location=tables.get("VDI", image)["uuid"])
    try:
        await in_steps(call, SAVE_SECONDS)
    except ApiError:
        tables.delete("VDI", image)
        raise
    tables.change("VM", vm, suspend_VDI=image)
    domain_gone(call, vm, SUSPENDED)
    refresh(tables, "VDI", image)


async def restore_memory(call: Call, vm: str, host: str, *, paused: bool) -> None:
    """Make the saved VM's domain again on this host, and delete the disk with its memory."""
    await in_steps(call, SAVE_SECONDS)
    _forget_memory(call, vm)
    domain_made(call, vm, host, paused=paused, booted=False)


def _prepare(call: Call, vm: str) -> None:
    """What is settled at every start: the overhead for the settings as they are, and the device model."""
    tables = call.pool.tables
    record = tables.get("VM", vm)
    platform = dict(record["platform"])
    if domain_type_of(record) == "hvm" and "device-model" not in platform:
        uefi = record["HVM_boot_params"].get("firmware") == "uefi"
        platform["device-model"] = "qemu-upstream-uefi" if uefi else "qemu-upstream-compat"
    tables.change("VM", vm, memory_overhead=memory_overhead_bytes(record), platform=platform)


def _require_host(call: Call, vm: str, host: str, host_operation: str) -> None:
    refusal = refusal_of_host(call.pool.tables, host, host_operation)
    refusal = refusal or refusal_to_boot(call.pool.tables, vm, host)
    if refusal is not None:
        raise refusal


def _require_resident_host(call: Call, vm: str) -> None:
    """What is done to a domain is done on its host; a host that is lost cannot do it."""
    host = call.pool.tables.get("VM", vm)["resident_on"]
    if host != NULL:
        require_answer(call.pool, host)


async def _boot(call: Call, vm: str, host: str, *, paused: bool) -> None:
    tables = call.pool.tables
    if tables.get("VM", vm)["ha_restart_priority"] == "restart":
        tables.change("VM", vm, ha_always_run=True)
    with _memory_reserved(call, vm, host):
        require_answer(call.pool, host)
        await call.sleep(START_SECONDS)
        domain_made(call, vm, host, paused=paused, booted=True)


async def _restore(call: Call, vm: str, host: str, *, paused: bool) -> None:
    tables = call.pool.tables
    if tables.find("VDI", tables.get("VM", vm)["suspend_VDI"]) is None:
        raise ApiError("VM_HAS_NO_SUSPEND_VDI", vm)
    with _memory_reserved(call, vm, host):
        require_answer(call.pool, host)
        await restore_memory(call, vm, host, paused=paused)


@contextmanager
def _memory_reserved(call: Call, vm: str, host: str) -> Iterator[None]:
    """Hold the VM's memory on the host while it is on its way there."""
    tables = call.pool.tables
    tables.change("VM", vm, scheduled_to_be_resident_on=host)
    try:
        yield
    finally:
        if tables.find("VM", vm) is not None:
            tables.change("VM", vm, scheduled_to_be_resident_on=NULL)


@contextmanager
def _devices_attaching(call: Call, vm: str) -> Iterator[None]:
    """Mark the VM's devices; raises what one of them cannot be attached for, such as VDI_IN_USE."""
    tables = call.pool.tables
    record = tables.get("VM", vm)
    vbds, vifs = list(record["VBDs"]), list(record["VIFs"])
    for class_name, refs in (("VBD", vbds), ("VIF", vifs)):
        for ref in refs:
            refusal = refusal_of(tables, class_name, ref, "attach")
            if refusal is not None:
                raise refusal
    try:
        with marked(call, "VBD", vbds, "attach"), marked(call, "VIF", vifs, "attach"):
            yield
    finally:
        refresh_with_devices(tables, vm)


async def _guest_shuts_down(call: Call, vm: str) -> None:
    call.pool.tables.change("VM", vm, ha_always_run=False)
    await in_steps(call, GUEST_SHUTDOWN_SECONDS)
    domain_gone(call, vm)


async def _power_off(call: Call, vm: str) -> None:
    call.pool.tables.change("VM", vm, ha_always_run=False)
    _require_resident_host(call, vm)
    await call.sleep(HARD_SHUTDOWN_SECONDS)
    _forget_memory(call, vm)
    domain_gone(call, vm)


def _forget_memory(call: Call, vm: str) -> None:
    """Delete the disk with a saved VM's memory, if there is one."""
    tables = call.pool.tables
    image = tables.get("VM", vm)["suspend_VDI"]
    tables.change("VM", vm, suspend_VDI=NULL)
    if tables.find("VDI", image) is not None:
        tables.delete("VDI", image)


def _set_state(call: Call, vm: str, state: str) -> None:
    call.pool.tables.change("VM", vm, power_state=state)
    refresh_with_devices(call.pool.tables, vm)


def _suspend_sr(call: Call, vm: str) -> str:
    """Where memory is saved: the VM's own choice, then the pool's, then the host's. Raises VM_NO_SUSPEND_SR [vm]."""
    tables = call.pool.tables
    record = tables.get("VM", vm)
    host = tables.get("host", record["resident_on"])
    pools = tables.rows("pool").values()
    wishes = [
        record["suspend_SR"],
        *(pool["suspend_image_SR"] for pool in pools),
        host["suspend_image_sr"],
    ]
    for sr in wishes:
        if tables.find("SR", sr) is not None:
            return str(sr)
    raise ApiError("VM_NO_SUSPEND_SR", vm)
