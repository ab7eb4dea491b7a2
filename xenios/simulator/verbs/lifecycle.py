"""Which operations a VM admits: the verbs by power state, and the checks in the order in which XAPI makes them.

A client sees the order: a halted template answers VM_IS_TEMPLATE to `start`, but VM_BAD_POWER_STATE to
`clean_shutdown`, since the power state is looked at first. The same checks give `allowed_operations`, so the two
cannot disagree. Source: check_operation_error in xapi's xapi_vm_lifecycle.ml.

Effects: none
"""

from collections.abc import Iterable, Iterator, Mapping

from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import Record, load_datamodel
from xenios.simulator.tables import Tables

HALTED, PAUSED, RUNNING, SUSPENDED = "Halted", "Paused", "Running", "Suspended"
_ALL = (HALTED, PAUSED, SUSPENDED, RUNNING)
_UP_OR_SUSPENDED = (PAUSED, SUSPENDED, RUNNING)

POWER_STATES: Mapping[str, tuple[str, ...]] = {
    "import": (),
    "changing_VCPUs": (HALTED,),
    "changing_static_range": (HALTED,),
    "changing_memory_limits": (HALTED,),
    "changing_shadow_memory": (HALTED,),
    "changing_NVRAM": (HALTED,),
    "make_into_template": (HALTED,),
    "provision": (HALTED,),
    "start": (HALTED,),
    "start_on": (HALTED,),
    "create_vtpm": (HALTED,),
    "unpause": (PAUSED,),
    "csvm": (SUSPENDED,),
    "resume": (SUSPENDED,),
    "resume_on": (SUSPENDED,),
    "awaiting_memory_live": (RUNNING,),
    "call_plugin": (RUNNING,),
    "changing_VCPUs_live": (RUNNING,),
    "changing_memory_live": (RUNNING,),
    "changing_shadow_memory_live": (RUNNING,),
    "clean_reboot": (RUNNING,),
    "clean_shutdown": (RUNNING,),
    "data_source_op": (RUNNING,),
    "pause": (RUNNING,),
    "pool_migrate": (RUNNING,),
    "send_sysrq": (RUNNING,),
    "send_trigger": (RUNNING,),
    "snapshot_with_quiesce": (RUNNING,),
    "suspend": (RUNNING,),
    "sysprep": (RUNNING,),
    "changing_dynamic_range": (HALTED, RUNNING),
    "clone": (HALTED,),
    "copy": (HALTED,),
    "create_template": (HALTED, SUSPENDED),
    "destroy": (HALTED, SUSPENDED),
    "export": (HALTED, SUSPENDED),
    "hard_reboot": (PAUSED, RUNNING),
    "checkpoint": _UP_OR_SUSPENDED,
    "get_boot_record": _UP_OR_SUSPENDED,
    "hard_shutdown": _UP_OR_SUSPENDED,
    "shutdown": _UP_OR_SUSPENDED,
    "migrate_send": (HALTED, SUSPENDED, RUNNING),
    "assert_operation_valid": _ALL,
    "metadata_export": _ALL,
    "power_state_reset": _ALL,
    "query_services": _ALL,
    "revert": _ALL,
    "reverting": _ALL,
    "snapshot": _ALL,
    "update_allowed_operations": _ALL,
}
"""For each operation the states it may begin in. A few VMs have more: see `states_for`."""

_FOR_CONTROL_DOMAINS_UP = frozenset({"changing_VCPUs", "changing_static_range", "changing_memory_limits"})
_TEMPLATE_ADMITS = frozenset(
    {
        "changing_dynamic_range",
        "changing_static_range",
        "changing_memory_limits",
        "changing_shadow_memory",
        "changing_VCPUs",
        "changing_NVRAM",
        "clone",
        "copy",
        "export",
        "metadata_export",
        "provision",
    }
)
_OWN_TEMPLATE_ADMITS = frozenset({"destroy", "migrate_send"})
_SNAPSHOT_ADMITS = frozenset(
    {"revert", "clone", "copy", "export", "destroy", "hard_shutdown", "metadata_export"}
)
_CONTROL_DOMAIN_ADMITS = frozenset(
    {
        "data_source_op",
        "changing_memory_live",
        "awaiting_memory_live",
        "metadata_export",
        "changing_dynamic_range",
        "changing_memory_limits",
        "changing_static_range",
        "start",
        "start_on",
        "changing_VCPUs",
        "destroy",
    }
)
_NEED_MOBILITY = frozenset({"suspend", "checkpoint", "pool_migrate", "migrate_send"})
_SNAPSHOTS_THE_DISKS = frozenset({"checkpoint", "snapshot", "suspend", "snapshot_with_quiesce"})
# Operations that may run beside each other, each set by itself.
_TOGETHER = (
    frozenset({"clone", "copy", "export"}),
    frozenset({"snapshot", "checkpoint"}),
    frozenset({"get_boot_record"}),
)
_MAY_FOLLOW = frozenset(
    {
        ("snapshot_with_quiesce", "snapshot"),
        ("migrate_send", "metadata_export"),
        ("migrate_send", "clean_shutdown"),
        ("migrate_send", "clean_reboot"),
    }
)
_NEVER_LISTED = frozenset(
    {
        "create_template",
        "power_state_reset",
        "csvm",
        "get_boot_record",
        "send_sysrq",
        "send_trigger",
        "query_services",
        "shutdown",
        "call_plugin",
        "changing_memory_live",
        "awaiting_memory_live",
        "changing_memory_limits",
        "changing_shadow_memory_live",
        "changing_VCPUs",
        "assert_operation_valid",
        "data_source_op",
        "update_allowed_operations",
        "import",
        "reverting",
    }
)


def states_for(tables: Tables, vm: Record, operation: str) -> tuple[str, ...]:
    """The states in which this VM may begin the operation."""
    states = POWER_STATES[operation]
    if operation in _FOR_CONTROL_DOMAINS_UP and vm["is_control_domain"]:
        return (*states, RUNNING)
    if operation in ("clone", "copy") and (vm["is_a_snapshot"] or _suspended_may_be_cloned(tables)):
        return (*states, SUSPENDED)
    return states


def refusal_of_vm(tables: Tables, ref: str, operation: str, *, strict: bool = True) -> ApiError | None:
    """Why the VM does not admit the operation now; None if it does.

    `strict` asks also for what only the guest can help with (its tools); XAPI leaves that out when forced.
    Raises ApiError HANDLE_INVALID for a VM that is not there.
    """
    vm = tables.get("VM", ref)
    return next(_refusals(tables, ref, vm, operation, strict=strict), None)


def require_vm(tables: Tables, ref: str, operation: str, *, strict: bool = True) -> None:
    """Raise the ApiError of `refusal_of_vm`, if there is one."""
    refusal = refusal_of_vm(tables, ref, operation, strict=strict)
    if refusal is not None:
        raise refusal


def vm_operations_allowed(tables: Tables, ref: str) -> list[str]:
    """What `allowed_operations` of the VM should say, in XAPI's order."""
    vm = tables.get("VM", ref)
    listed = (name for name in load_datamodel().enums["vm_operations"] if name not in _NEVER_LISTED)
    allowed = [name for name in listed if next(_refusals(tables, ref, vm, name, strict=True), None) is None]
    return allowed[::-1]


def _refusals(tables: Tables, ref: str, vm: Record, operation: str, *, strict: bool) -> Iterator[ApiError]:
    """Every reason against the operation, in the order of the checks; the first one counts."""
    if operation in vm["blocked_operations"]:
        yield ApiError("OPERATION_BLOCKED", ref, vm["blocked_operations"][operation])
    states = states_for(tables, vm, operation)
    if vm["power_state"] not in states:
        yield bad_power_state(ref, states, vm["power_state"], ", ")
    current: Mapping[str, str] = vm["current_operations"]
    if current and not may_run_beside(operation, current.values()):
        yield in_progress("VM", ref, current)
    yield from _refusals_by_kind(ref, vm, operation)
    yield from _refusals_by_mobility(tables, ref, vm, operation, strict=strict)
    yield from _refusals_of_control_domain(vm, operation)
    yield from _refusals_by_guest(tables, ref, vm, operation, strict=strict)
    if operation == "snapshot_with_quiesce":
        yield ApiError("VM_SNAPSHOT_WITH_QUIESCE_NOT_SUPPORTED", ref)
    yield from _refusals_by_disks(tables, vm, operation)
    yield from _refusals_by_hardware(ref, vm, operation)
    yield from _refusals_by_membership(tables, ref, vm, operation)
    if operation == "create_vtpm" and vm["VTPMs"]:
        yield ApiError("VTPM_MAX_AMOUNT_REACHED", str(len(vm["VTPMs"])))


def bad_power_state(ref: str, expected: Iterable[str], actual: str, joint: str) -> ApiError:
    """VM_BAD_POWER_STATE; `joint` is ", " in the check of operations and ";" in the older assertions."""
    return ApiError(
        "VM_BAD_POWER_STATE", ref, joint.join(state.lower() for state in expected), actual.lower()
    )


def in_progress(class_name: str, ref: str, current: Mapping[str, str]) -> ApiError:
    """OTHER_OPERATION_IN_PROGRESS, naming one operation and its task, or all of them in braces."""
    operations, tasks = list(current.values()), list(current)
    if len(current) == 1:
        return ApiError("OTHER_OPERATION_IN_PROGRESS", class_name, ref, operations[0], tasks[0])
    return ApiError(
        "OTHER_OPERATION_IN_PROGRESS",
        class_name,
        ref,
        "{" + ",".join(operations) + "}",
        "{" + ",".join(tasks) + "}",
    )


def may_run_beside(operation: str, current: Iterable[str]) -> bool:
    """Whether a VM may begin the operation while these are going on."""
    going_on = list(current)
    match operation:
        case "hard_shutdown":
            return operation not in going_on
        case "hard_reboot":
            return not {"hard_shutdown", "hard_reboot"} & set(going_on)
        case _:
            if len(going_on) == 1 and (going_on[0], operation) in _MAY_FOLLOW:
                return True
            return any(operation in together and together.issuperset(going_on) for together in _TOGETHER)


def is_default_template(vm: Record) -> bool:
    """Whether it is one of the templates that come with the product."""
    return vm["is_default_template"] or is_true(vm["other_config"].get("default_template"))


def is_true(text: str | None) -> bool:
    """A truth value as XAPI reads it out of a map: 1 or true."""
    return text is not None and (text == "1" or text.lower() == "true")


def guest_helps(tables: Tables, ref: str, operation: str) -> bool:
    """Whether the guest of a VM that is up would do its part of the operation, as guests with tools do."""
    vm = tables.get("VM", ref)
    refused = next(_refusals_by_guest(tables, ref, vm, operation, strict=True), None) is not None
    return vm["power_state"] == RUNNING and not refused


def _refusals_by_kind(ref: str, vm: Record, operation: str) -> Iterator[ApiError]:
    if vm["is_a_snapshot"]:
        if operation not in _SNAPSHOT_ADMITS:
            yield ApiError("VM_IS_SNAPSHOT", ref, operation)
    elif vm["is_a_template"]:
        own = operation in _OWN_TEMPLATE_ADMITS and not is_default_template(vm)
        if operation not in _TEMPLATE_ADMITS and not own:
            yield ApiError("VM_IS_TEMPLATE", ref, operation)
    if operation == "provision" and not vm["is_a_template"]:
        yield ApiError("PROVISION_ONLY_ALLOWED_ON_TEMPLATE")
    if operation == "revert" and not vm["is_a_snapshot"]:
        yield ApiError("REVERT_ONLY_ALLOWED_ON_SNAPSHOT")


def _refusals_by_mobility(
    tables: Tables, ref: str, vm: Record, operation: str, *, strict: bool
) -> Iterator[ApiError]:
    if not strict or operation not in (*_NEED_MOBILITY, "changing_dynamic_range"):
        return
    # What holds for the domain was kept in the metrics when it was made; without one the settings speak.
    metrics = tables.find("VM_metrics", vm["metrics"])
    if metrics is None:
        fixed, nested = is_true(vm["platform"].get("nomigrate")), is_true(vm["platform"].get("nested-virt"))
    else:
        fixed, nested = metrics["nomigrate"], metrics["nested_virt"]
    if operation == "changing_dynamic_range":
        if nested:
            yield ApiError("VM_IS_USING_NESTED_VIRT", ref)
    elif fixed or nested:
        yield ApiError("VM_IS_IMMOBILE", ref)


def _refusals_of_control_domain(vm: Record, operation: str) -> Iterator[ApiError]:
    if not vm["is_control_domain"]:
        return
    if operation in ("changing_VCPUs", "destroy") and vm["domid"] == 0:
        yield ApiError("OPERATION_NOT_ALLOWED", "This operation is not allowed on dom0")
    if operation not in _CONTROL_DOMAIN_ADMITS:
        yield ApiError("OPERATION_NOT_ALLOWED", "This operation is not allowed on a control domain")


def _refusals_by_guest(
    tables: Tables, ref: str, vm: Record, operation: str, *, strict: bool
) -> Iterator[ApiError]:
    """Guests without tools do not shut themselves down, nor do they suspend; PV guests always can."""
    if vm["power_state"] != RUNNING:
        return
    metrics = tables.find("VM_metrics", vm["metrics"])
    if metrics is not None and metrics["current_domain_type"] in ("pv", "pv_in_pvh", "pvh"):
        return

    def lacks(*features: str) -> bool:
        return all(_feature(tables, vm, feature) != "1" for feature in features)

    match operation:
        case "clean_shutdown":
            refused = strict and lacks("feature-shutdown", "feature-poweroff")
        case "clean_reboot":
            refused = strict and lacks("feature-shutdown", "feature-reboot")
        case "suspend" | "checkpoint" | "pool_migrate" | "migrate_send":
            unfit = _feature(tables, vm, "data-cant-suspend-reason") is not None
            refused = unfit or (strict and lacks("feature-suspend"))
        case _:
            refused = False
    if refused:
        yield ApiError("VM_LACKS_FEATURE", ref)


def _refusals_by_disks(tables: Tables, vm: Record, operation: str) -> Iterator[ApiError]:
    if operation not in _SNAPSHOTS_THE_DISKS and operation != "pool_migrate":
        return
    for vbd in (tables.find("VBD", one) for one in vm["VBDs"]):
        vdi = None if vbd is None else tables.find("VDI", vbd["VDI"])
        if vdi is None or vdi["sm_config"].get("on_boot") != "reset":
            continue
        if operation != "pool_migrate" or is_true(vdi["sm_config"].get("caching")):
            yield ApiError("VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION")


def _refusals_by_hardware(ref: str, vm: Record, operation: str) -> Iterator[ApiError]:
    if vm["attached_PCIs"] and operation in _NEED_MOBILITY:
        yield ApiError("VM_HAS_PCI_ATTACHED", ref)
    state = vm["power_state"]
    at_rest = (operation, state) in (("migrate_send", HALTED), ("checkpoint", SUSPENDED))
    if vm["VGPUs"] and operation in _NEED_MOBILITY and not at_rest:
        yield ApiError("VM_HAS_VGPU", ref)
    if vm["VUSBs"] and operation in {*_NEED_MOBILITY, "snapshot"}:
        yield ApiError("VM_HAS_VUSBS", ref)


def _refusals_by_membership(tables: Tables, ref: str, vm: Record, operation: str) -> Iterator[ApiError]:
    if operation == "make_into_template":
        for code, field in (
            ("VM_IS_PART_OF_AN_APPLIANCE", "appliance"),
            ("VM_ASSIGNED_TO_PROTECTION_POLICY", "protection_policy"),
            ("VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE", "snapshot_schedule"),
        ):
            # These classes are not simulated; a loaded database may still name their objects.
            if vm[field] not in ("", "OpaqueRef:NULL"):
                yield ApiError(code, ref, vm[field])
    if operation == "query_services" and not is_true(vm["other_config"].get("is_system_domain")):
        yield ApiError("NOT_SYSTEM_DOMAIN", ref)
    if _rolling_upgrade(tables):
        yield ApiError("NOT_SUPPORTED_DURING_UPGRADE")


def _feature(tables: Tables, vm: Record, name: str) -> str | None:
    guest = tables.find("VM_guest_metrics", vm["guest_metrics"])
    value: str | None = None if guest is None else guest["other"].get(name)
    return value


def _pool_setting(tables: Tables, key: str) -> bool:
    return any(key in pool["other_config"] for pool in tables.rows("pool").values())


def _suspended_may_be_cloned(tables: Tables) -> bool:
    pools = tables.rows("pool").values()
    return any(is_true(pool["other_config"].get("allow_clone_suspended_vm")) for pool in pools)


def _rolling_upgrade(tables: Tables) -> bool:
    return _pool_setting(tables, "rolling_upgrade_in_progress")
