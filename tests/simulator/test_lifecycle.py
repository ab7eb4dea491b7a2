"""Does a VM admit and refuse what a real one does, with the same code, for the same reason, in the same order?

Effects: reads files
"""

import json
from pathlib import Path
from typing import Any

import pytest

from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import NULL, Record, Records, load_datamodel
from xenios.simulator.tables import Tables
from xenios.simulator.verbs.current_operations import refusal_of
from xenios.simulator.verbs.device_lifecycle import (
    vbd_operations_allowed,
    vdi_operations_allowed,
    vif_operations_allowed,
)
from xenios.simulator.verbs.host_lifecycle import host_operations_allowed
from xenios.simulator.verbs.lifecycle import (
    POWER_STATES,
    may_run_beside,
    refusal_of_vm,
    vm_operations_allowed,
)

ROOT = Path(__file__).parent.parent.parent
STATES = ("Halted", "Paused", "Running", "Suspended")
VM = "OpaqueRef:the-vm"

# The table of the reference, as it stands there: which operations each set of states admits.
ADMITTED = {
    "Halted": "start start_on provision make_into_template changing_NVRAM changing_shadow_memory create_vtpm"
    " changing_VCPUs changing_static_range changing_memory_limits clone copy",
    "Halted Running": "changing_dynamic_range",
    "Running": "clean_shutdown clean_reboot pause suspend pool_migrate send_trigger send_sysrq call_plugin"
    " changing_VCPUs_live sysprep changing_memory_live awaiting_memory_live changing_shadow_memory_live"
    " data_source_op snapshot_with_quiesce",
    "Paused": "unpause",
    "Suspended": "resume resume_on csvm",
    "Paused Running": "hard_reboot",
    "Paused Running Suspended": "hard_shutdown shutdown checkpoint get_boot_record",
    "Halted Suspended": "destroy export create_template",
    "Halted Running Suspended": "migrate_send",
    "Halted Paused Running Suspended": "snapshot revert reverting metadata_export power_state_reset"
    " assert_operation_valid update_allowed_operations query_services",
    "": "import",
}
MATRIX = [
    (operation, state, state in states.split())
    for states, operations in ADMITTED.items()
    for operation in operations.split()
    for state in STATES
]


def tables_with(vm: Record | None = None, **others: Any) -> Tables:
    """A VM with tools and nothing else that matters."""
    facts = load_datamodel()
    record = facts.default_record("VM")
    record |= {"metrics": "OpaqueRef:m", "guest_metrics": "OpaqueRef:g", "domain_type": "hvm", **(vm or {})}
    metrics = facts.default_record("VM_metrics") | {"current_domain_type": "hvm"}
    guest = facts.default_record("VM_guest_metrics")
    guest["other"] = {f"feature-{name}": "1" for name in ("shutdown", "reboot", "poweroff", "suspend")}
    records: Records = {
        "VM": {VM: record},
        "VM_metrics": {"OpaqueRef:m": metrics | others.get("metrics", {})},
        "VM_guest_metrics": {"OpaqueRef:g": guest | others.get("guest", {})},
        "pool": {"OpaqueRef:p": facts.default_record("pool") | others.get("pool", {})},
    }
    return Tables(records)


def refusal(operation: str, vm: Record | None = None, *, strict: bool = True, **others: Any) -> list[str]:
    found = refusal_of_vm(tables_with(vm, **others), VM, operation, strict=strict)
    return [] if found is None else found.description


TEMPLATES_ADMIT = {
    *("changing_dynamic_range", "changing_static_range", "changing_memory_limits"),
    *("changing_shadow_memory", "changing_VCPUs", "changing_NVRAM"),
    *("clone", "copy", "export", "metadata_export", "provision"),
}


# ---- power states ----


def test_every_operation_of_the_data_model_is_in_the_table() -> None:
    assert {operation for operation, _, _ in MATRIX} == set(load_datamodel().enums["vm_operations"])
    assert set(POWER_STATES) == set(load_datamodel().enums["vm_operations"])


@pytest.mark.parametrize(("operation", "state", "admitted"), MATRIX)
def test_the_power_state_decides(operation: str, state: str, admitted: bool) -> None:
    answer = refusal(operation, {"power_state": state})
    if admitted:
        assert answer[:1] != ["VM_BAD_POWER_STATE"]
    else:
        code, ref, expected, actual = answer
        wanted = next(states for states, names in ADMITTED.items() if operation in names.split())
        assert (code, ref, actual) == ("VM_BAD_POWER_STATE", VM, state.lower())
        assert sorted(filter(None, expected.split(", "))) == wanted.lower().split()


@pytest.mark.parametrize("operation", ["clone", "copy"])
def test_a_suspended_vm_is_cloned_only_as_a_snapshot_or_where_the_pool_allows_it(operation: str) -> None:
    saved = {"power_state": "Suspended"}
    assert refusal(operation, saved)[0] == "VM_BAD_POWER_STATE"
    assert refusal(operation, {**saved, "is_a_snapshot": True, "is_a_template": True}) == []
    assert refusal(operation, saved, pool={"other_config": {"allow_clone_suspended_vm": "true"}}) == []


@pytest.mark.parametrize("operation", ["changing_VCPUs", "changing_static_range", "changing_memory_limits"])
def test_limits_of_a_control_domain_are_changed_while_it_runs(operation: str) -> None:
    running = {"power_state": "Running", "domid": 3}
    assert refusal(operation, running)[0] == "VM_BAD_POWER_STATE"
    assert refusal(operation, {**running, "is_control_domain": True}) == []


# ---- the order of the checks ----


def test_what_is_blocked_is_refused_before_anything_else() -> None:
    blocked = {"power_state": "Running", "blocked_operations": {"start": "ask the owner"}}
    assert refusal("start", blocked) == ["OPERATION_BLOCKED", VM, "ask the owner"]
    assert refusal("destroy", blocked)[0] == "VM_BAD_POWER_STATE"


def test_a_halted_template_refuses_a_start_as_a_template_and_a_shutdown_by_its_state() -> None:
    template = {"is_a_template": True}
    assert refusal("start", template) == ["VM_IS_TEMPLATE", VM, "start"]
    assert refusal("clean_shutdown", template) == ["VM_BAD_POWER_STATE", VM, "running", "halted"]


def test_the_state_comes_before_what_is_going_on_and_that_before_the_template() -> None:
    busy = {"current_operations": {"OpaqueRef:t": "clone"}, "is_a_template": True}
    assert refusal("start", {**busy, "power_state": "Running"})[0] == "VM_BAD_POWER_STATE"
    assert refusal("start", busy) == ["OTHER_OPERATION_IN_PROGRESS", "VM", VM, "clone", "OpaqueRef:t"]


def test_several_operations_in_progress_are_named_in_braces() -> None:
    busy = {"current_operations": {"OpaqueRef:1": "clone", "OpaqueRef:2": "copy"}}
    expected = ["OTHER_OPERATION_IN_PROGRESS", "VM", VM, "{clone,copy}", "{OpaqueRef:1,OpaqueRef:2}"]
    assert refusal("start", busy) == expected


@pytest.mark.parametrize("operation", load_datamodel().enums["vm_operations"])
def test_a_template_admits_little_and_a_default_one_less(operation: str) -> None:
    for state in STATES:
        if state not in POWER_STATES[operation]:
            continue
        own = refusal(operation, {"power_state": state, "is_a_template": True})
        default = refusal(
            operation,
            {"power_state": state, "is_a_template": True, "other_config": {"default_template": "true"}},
        )
        if operation in ("destroy", "migrate_send"):
            assert own == []
            assert default == ["VM_IS_TEMPLATE", VM, operation]
        elif operation in TEMPLATES_ADMIT:
            assert own == default == []
        else:
            assert own == default == ["VM_IS_TEMPLATE", VM, operation]


@pytest.mark.parametrize("operation", load_datamodel().enums["vm_operations"])
def test_a_snapshot_is_reverted_to_copied_and_destroyed(operation: str) -> None:
    allowed = {"revert", "clone", "copy", "export", "destroy", "hard_shutdown", "metadata_export"}
    for state in POWER_STATES[operation]:
        vm = {"power_state": state, "is_a_template": True, "is_a_snapshot": True}
        expected = [] if operation in allowed else ["VM_IS_SNAPSHOT", VM, operation]
        assert refusal(operation, vm) == expected


def test_only_templates_are_provisioned_and_only_snapshots_reverted_to() -> None:
    assert refusal("provision") == ["PROVISION_ONLY_ALLOWED_ON_TEMPLATE"]
    assert refusal("revert") == ["REVERT_ONLY_ALLOWED_ON_SNAPSHOT"]


MOBILE = ["suspend", "checkpoint", "pool_migrate", "migrate_send"]


@pytest.mark.parametrize("operation", MOBILE)
def test_an_immobile_vm_stays_unless_it_is_forced(operation: str) -> None:
    running = {"power_state": "Running"}
    for field in ("nomigrate", "nested_virt"):
        assert refusal(operation, running, metrics={field: True}) == ["VM_IS_IMMOBILE", VM]
        assert refusal(operation, running, strict=False, metrics={field: True}) == []
    without_metrics = {**running, "metrics": NULL, "platform": {"nested-virt": "true"}}
    assert refusal(operation, without_metrics) == ["VM_IS_IMMOBILE", VM]


def test_nested_virtualisation_fixes_the_dynamic_range() -> None:
    vm = {"power_state": "Running"}
    assert refusal("changing_dynamic_range", vm, metrics={"nested_virt": True}) == [
        "VM_IS_USING_NESTED_VIRT",
        VM,
    ]


def test_a_control_domain_admits_hardly_anything() -> None:
    dom0 = {"power_state": "Running", "is_control_domain": True, "domid": 0}
    assert refusal("pause", dom0) == [
        "OPERATION_NOT_ALLOWED",
        "This operation is not allowed on a control domain",
    ]
    assert refusal("changing_VCPUs", dom0) == [
        "OPERATION_NOT_ALLOWED",
        "This operation is not allowed on dom0",
    ]


@pytest.mark.parametrize("operation", [*MOBILE, "clean_shutdown", "clean_reboot"])
def test_a_running_guest_without_tools_lacks_what_only_tools_can_do(operation: str) -> None:
    running = {"power_state": "Running"}
    assert refusal(operation, running) == []
    assert refusal(operation, {**running, "guest_metrics": NULL}) == ["VM_LACKS_FEATURE", VM]
    assert refusal(operation, {**running, "guest_metrics": NULL}, strict=False) == []
    # A PV guest always can.
    pv = {"current_domain_type": "pv"}
    assert refusal(operation, {**running, "guest_metrics": NULL}, metrics=pv) == []


def test_a_guest_may_say_that_it_cannot_be_suspended() -> None:
    guest = {"other": {"feature-suspend": "1", "data-cant-suspend-reason": "a driver"}}
    for strict in (True, False):
        found = refusal("suspend", {"power_state": "Running"}, strict=strict, guest=guest)
        assert found == ["VM_LACKS_FEATURE", VM]


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("attached_PCIs", "VM_HAS_PCI_ATTACHED"),
        ("VGPUs", "VM_HAS_VGPU"),
        ("VUSBs", "VM_HAS_VUSBS"),
    ],
)
def test_passed_through_hardware_keeps_a_vm_where_it_is(field: str, code: str) -> None:
    vm = {"power_state": "Running", field: ["OpaqueRef:device"]}
    for operation in MOBILE:
        assert refusal(operation, vm) == [code, VM]
    assert refusal("clean_shutdown", vm) == []


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("appliance", "VM_IS_PART_OF_AN_APPLIANCE"),
        ("protection_policy", "VM_ASSIGNED_TO_PROTECTION_POLICY"),
        ("snapshot_schedule", "VM_ASSIGNED_TO_SNAPSHOT_SCHEDULE"),
    ],
)
def test_a_member_of_something_does_not_become_a_template(field: str, code: str) -> None:
    assert refusal("make_into_template", {field: "OpaqueRef:x"}) == [code, VM, "OpaqueRef:x"]


def test_nothing_begins_during_a_rolling_upgrade() -> None:
    pool = {"other_config": {"rolling_upgrade_in_progress": "true"}}
    assert refusal("start", pool=pool) == ["NOT_SUPPORTED_DURING_UPGRADE"]


def test_a_second_vtpm_is_one_too_many() -> None:
    assert refusal("create_vtpm") == []
    assert refusal("create_vtpm", {"VTPMs": ["OpaqueRef:v"]}) == ["VTPM_MAX_AMOUNT_REACHED", "1"]


# ---- side by side ----


@pytest.mark.parametrize("operation", load_datamodel().enums["vm_operations"])
def test_what_may_begin_beside_what(operation: str) -> None:
    together = [{"clone", "copy", "export"}, {"snapshot", "checkpoint"}, {"get_boot_record"}]
    after = {
        ("snapshot_with_quiesce", "snapshot"),
        ("migrate_send", "metadata_export"),
        ("migrate_send", "clean_shutdown"),
        ("migrate_send", "clean_reboot"),
    }
    for going_on in load_datamodel().enums["vm_operations"]:
        if operation == "hard_shutdown":
            expected = going_on != "hard_shutdown"
        elif operation == "hard_reboot":
            expected = going_on not in ("hard_shutdown", "hard_reboot")
        else:
            shared = any({operation, going_on} <= group for group in together)
            expected = shared or (going_on, operation) in after
        assert may_run_beside(operation, [going_on]) is expected, going_on


def test_a_third_may_join_only_if_all_belong_together() -> None:
    assert may_run_beside("export", ["clone", "copy"])
    assert not may_run_beside("export", ["clone", "snapshot"])
    assert not may_run_beside("hard_reboot", ["clean_shutdown", "hard_shutdown"])


# ---- what is allowed ----


@pytest.fixture(scope="module")
def real() -> Records:
    records: Records = json.loads((ROOT / "tests/fixtures/xapi/records.json").read_text(encoding="utf-8"))
    return records


@pytest.mark.parametrize(
    ("class_name", "allowed"),
    [
        ("VBD", vbd_operations_allowed),
        ("VIF", vif_operations_allowed),
        ("VDI", vdi_operations_allowed),
        ("host", host_operations_allowed),
    ],
)
def test_devices_and_hosts_allow_what_a_real_pool_said(real: Records, class_name: str, allowed: Any) -> None:
    tables = Tables(real)
    assert real[class_name]
    for ref, record in real[class_name].items():
        assert allowed(tables, ref) == record["allowed_operations"]


def test_vms_allow_what_a_real_pool_said_in_its_order(real: Records) -> None:
    tables = Tables(real)
    compared = 0
    for ref, vm in real["VM"].items():
        # A VM that was a template when its list was last worked out still shows the template's list.
        stale = "provision" in vm["allowed_operations"] and not vm["is_a_template"]
        if not stale:
            assert vm_operations_allowed(tables, ref) == vm["allowed_operations"], vm["name_label"]
            compared += 1
    assert compared >= 15


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("tools", [True, False])
def test_allowed_is_what_is_not_refused(state: str, tools: bool) -> None:
    tables = tables_with({"power_state": state, **({} if tools else {"guest_metrics": NULL})})
    allowed = vm_operations_allowed(tables, VM)
    for operation in allowed:
        assert refusal_of(tables, "VM", VM, operation) is None
    needs_tools = {*MOBILE, "clean_shutdown", "clean_reboot"}
    if state == "Running":
        assert needs_tools <= set(allowed) if tools else not needs_tools & set(allowed)


def test_what_does_not_exist_is_an_invalid_handle() -> None:
    with pytest.raises(ApiError) as refused:
        refusal_of_vm(tables_with(), "OpaqueRef:gone", "start")
    assert refused.value.description == ["HANDLE_INVALID", "VM", "OpaqueRef:gone"]
