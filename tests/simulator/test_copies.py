"""Does a copy carry what a real one carries, and no more? What a mark on a VM proves hangs on this.

Effects: reads files
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.administrator import Administrator, administered, vm_settings
from tests.support.simulated import NOW
from xenios.simulator.facts.datamodel import NULL, Records
from xenios.simulator.population.book import stamp
from xenios.simulator.population.units import GIB
from xenios.simulator.verbs.devices import mac_from_seed
from xenios.simulator.verbs.snapshot_metadata import fields_from, metadata_of

ROOT = Path(__file__).parent.parent.parent
MARKS = {
    "other_config": {"ours.owner": "us", "mac_seed": "7d1f", "folder": "/a"},
    "tags": ["ours", "other's"],
    "xenstore_data": {"vm-data/a": "1"},
}


async def make_marked(admin: Administrator, state: str = "Halted") -> str:
    vm = await admin.make(state, name_label="original", **MARKS)
    await admin.call("VM.add_to_blocked_operations", vm, "destroy", "ask us")
    return vm


def disk_of(admin: Administrator, vm: str) -> str:
    vbds = [admin.get("VBD", ref) for ref in admin.vm(vm)["VBDs"]]
    return str(next(vbd["VDI"] for vbd in vbds if vbd["type"] == "Disk"))


def macs(admin: Administrator, vm: str) -> list[str]:
    return [admin.get("VIF", ref)["MAC"] for ref in admin.vm(vm)["VIFs"]]


# ---- the table of marks ----


@pytest.mark.parametrize("verb", ["clone", "copy"])
async def test_a_clone_carries_every_mark_but_what_is_blocked(verb: str) -> None:
    async with administered() as admin:
        vm = await make_marked(admin)
        made = await admin.call(f"VM.{verb}", vm, "twin", *([NULL] if verb == "copy" else []))
        source, copy = admin.vm(vm), admin.vm(made)
        assert copy["uuid"] != source["uuid"]
        assert copy["name_label"] == "twin"
        assert copy["tags"] == source["tags"]
        assert copy["xenstore_data"] == source["xenstore_data"]
        assert copy["blocked_operations"] == {}
        assert {**copy["other_config"], "mac_seed": "7d1f"} == source["other_config"]
        assert copy["other_config"]["mac_seed"] != "7d1f"
        assert copy["is_a_template"] is False
        assert (copy["parent"], copy["snapshot_of"]) == (NULL, NULL)
        assert copy["generation_id"] != source["generation_id"]
        assert macs(admin, made) == [mac_from_seed(copy["other_config"]["mac_seed"], 0)]
        assert macs(admin, made) != macs(admin, vm)
        assert "start" in copy["allowed_operations"]


async def test_a_snapshot_carries_every_mark_and_the_mac_addresses() -> None:
    async with administered() as admin:
        vm = await make_marked(admin)
        made = await admin.call("VM.snapshot", vm, "before")
        source, snapshot = admin.vm(vm), admin.vm(made)
        assert snapshot["name_label"] == "before"
        assert snapshot["other_config"] == source["other_config"]
        assert snapshot["tags"] == source["tags"]
        assert snapshot["xenstore_data"] == source["xenstore_data"]
        assert snapshot["blocked_operations"] == {}
        assert (snapshot["is_a_snapshot"], snapshot["is_a_template"]) == (True, True)
        assert snapshot["snapshot_of"] == vm
        assert snapshot["snapshot_time"] == stamp(NOW)
        assert snapshot["snapshot_info"] == {
            "disk-snapshot-type": "crash_consistent",
            "power-state-at-snapshot": "Halted",
        }
        assert source["parent"] == made
        assert source["snapshots"] == [made]
        assert macs(admin, made) == macs(admin, vm)
        disk = admin.get("VDI", disk_of(admin, made))
        assert (disk["is_a_snapshot"], disk["snapshot_of"]) == (True, disk_of(admin, vm))


async def test_going_back_brings_the_name_and_the_marks_back_and_keeps_uuid_and_tags() -> None:
    async with administered() as admin:
        vm = await make_marked(admin)
        before = admin.vm(vm)
        snapshot = await admin.call("VM.snapshot", vm, "before")
        await admin.call("VM.set_name_label", vm, "renamed")
        await admin.call("VM.set_other_config", vm, {"theirs": "1"})
        await admin.call("VM.set_tags", vm, ["new"])
        await admin.call("VM.set_xenstore_data", vm, {})
        await admin.call("VM.set_affinity", vm, admin.master)
        await admin.call("VM.set_blocked_operations", vm, {})
        await admin.call("VM.set_memory_limits", vm, GIB, 2 * GIB, GIB, 2 * GIB)
        await admin.call("VM.revert", snapshot)
        after = admin.vm(vm)
        assert after["uuid"] == before["uuid"]
        assert after["name_label"] == "original"
        assert after["other_config"] == before["other_config"]
        assert after["xenstore_data"] == before["xenstore_data"]
        assert after["blocked_operations"] == {"destroy": "ask us"}
        assert after["memory_static_max"] == GIB
        assert after["tags"] == ["new"]
        assert after["affinity"] == admin.master
        assert (after["is_a_snapshot"], after["is_a_template"]) == (False, False)
        assert after["snapshot_of"] == NULL
        assert after["parent"] == snapshot
        assert "destroy" not in after["allowed_operations"]
        names = [row["name"] for row in admin.simulated.pool.messages.rows.values()]
        assert names[-2:] == ["VM_SNAPSHOTTED", "VM_SNAPSHOT_REVERTED"]


async def test_going_back_replaces_disks_and_stops_a_running_vm() -> None:
    async with administered() as admin:
        vm = await admin.make("Running")
        old, mac = disk_of(admin, vm), macs(admin, vm)
        snapshot = await admin.call("VM.snapshot", vm, "before")
        added = await admin.make_disk()
        await admin.call("VM.hard_shutdown", vm)
        await admin.attach(vm, added, "1")
        await admin.call("VM.start", vm, False, False)
        await admin.call("VM.revert", snapshot)
        record = admin.vm(vm)
        assert record["power_state"] == "Halted"
        assert old not in admin.rows("VDI")
        # A disk that the snapshot does not know is left alone, unattached.
        assert admin.get("VDI", added)["VBDs"] == []
        assert macs(admin, vm) == mac
        kept = admin.get("VDI", disk_of(admin, snapshot))
        assert kept["snapshot_of"] == disk_of(admin, vm)
        await admin.call("VM.start", vm, False, False)


async def test_there_is_no_way_back_for_a_vm_that_is_gone() -> None:
    async with administered() as admin:
        vm = await admin.make()
        snapshot = await admin.call("VM.snapshot", vm, "before")
        await admin.call("VM.destroy", vm)
        assert admin.vm(snapshot)["snapshot_of"] == vm
        assert await admin.refused("VM.revert", snapshot) == ["VM_REVERT_FAILED", vm, snapshot]


# ---- what happens to disks ----


async def test_copies_have_disks_of_their_own_and_share_what_is_in_the_drive() -> None:
    async with administered() as admin:
        vm = await admin.make()
        iso = next(
            ref for ref, vdi in admin.rows("VDI").items() if admin.get("SR", vdi["SR"])["type"] == "iso"
        )
        await admin.attach(vm, iso, "3", type="CD", mode="RO")
        made = await admin.call("VM.clone", vm, "twin")
        vbds = {vbd["userdevice"]: vbd for vbd in (admin.get("VBD", ref) for ref in admin.vm(made)["VBDs"])}
        assert vbds["3"]["VDI"] == iso
        assert vbds["0"]["VDI"] != disk_of(admin, vm)
        assert vbds["0"]["other_config"] == {"owner": ""}
        assert "owner" not in vbds["3"]["other_config"]
        source, copy = admin.get("VDI", disk_of(admin, vm)), admin.get("VDI", vbds["0"]["VDI"])
        assert copy["virtual_size"] == source["virtual_size"]
        assert "content_id" in copy["other_config"]


async def test_disks_named_are_left_out_of_a_snapshot() -> None:
    async with administered() as admin:
        vm = await admin.make()
        second = await admin.make_disk()
        await admin.attach(vm, second, "1")
        snapshot = await admin.call("VM.snapshot", vm, "before", [second])
        assert len(admin.vm(snapshot)["VBDs"]) == 1


async def test_a_copy_goes_to_the_storage_that_was_asked_for() -> None:
    async with administered() as admin:
        vm = await admin.make()
        target = admin.sr("lvmoiscsi")
        made = await admin.call("VM.copy", vm, "copy", target)
        assert admin.get("VDI", disk_of(admin, made))["SR"] == target
        refused = await admin.refused("VM.copy", vm, "copy", "OpaqueRef:none")
        assert refused == ["HANDLE_INVALID", "SR", "OpaqueRef:none"]


async def test_a_copy_that_finds_no_room_leaves_nothing_behind() -> None:
    async with administered() as admin:
        vm = await admin.make()
        sr = admin.sr("lvmoiscsi")
        admin.set("SR", sr, physical_size=admin.get("SR", sr)["physical_utilisation"] + GIB)
        second = await admin.make_disk()
        await admin.attach(vm, second, "1")
        before = {name: set(admin.rows(name)) for name in ("VM", "VDI", "VBD", "VIF", "VM_metrics")}
        assert (await admin.refused("VM.copy", vm, "copy", sr))[0] == "SR_FULL"
        assert {name: set(admin.rows(name)) for name in before} == before
        assert "clone" in admin.vm(vm)["allowed_operations"]


async def test_destroying_a_vm_leaves_its_disks_and_snapshots() -> None:
    async with administered() as admin:
        vm = await admin.make("Suspended")
        disk, image = disk_of(admin, vm), admin.vm(vm)["suspend_VDI"]
        first = await admin.call("VM.snapshot", vm, "first")
        second = await admin.call("VM.snapshot", vm, "second")
        record = admin.vm(vm)
        await admin.call("VM.destroy", vm)
        for class_name, ref in (("VDI", disk), ("VDI", image), ("VM", first), ("VM", second)):
            assert ref in admin.rows(class_name)
        gone = [*record["VBDs"], *record["VIFs"], record["metrics"], record["guest_metrics"], vm]
        for class_name in ("VM", "VBD", "VIF", "VM_metrics", "VM_guest_metrics"):
            assert not set(gone) & set(admin.rows(class_name))
        assert admin.vm(second)["snapshot_of"] == vm
        assert admin.get("VDI", disk)["VBDs"] == []
        assert "destroy" in admin.get("VDI", disk)["allowed_operations"]


async def test_children_of_a_destroyed_snapshot_hang_from_its_parent() -> None:
    async with administered() as admin:
        vm = await admin.make()
        first = await admin.call("VM.snapshot", vm, "first")
        second = await admin.call("VM.snapshot", vm, "second")
        assert (admin.vm(vm)["parent"], admin.vm(second)["parent"]) == (second, first)
        await admin.call("VM.destroy", second)
        assert admin.vm(vm)["parent"] == first
        assert admin.vm(first)["children"] == [vm]


# ---- templates ----


async def test_a_copy_of_a_template_is_a_template_that_remembers_its_source() -> None:
    async with administered() as admin:
        template = next(ref for ref, vm in admin.rows("VM").items() if vm["is_default_template"])
        made = await admin.call("VM.clone", template, "mine")
        source, copy = admin.vm(template), admin.vm(made)
        assert (copy["is_a_template"], copy["is_default_template"]) == (True, False)
        assert "default_template" not in copy["other_config"]
        assert copy["other_config"]["base_template_name"] == source["name_label"]
        assert await admin.refused("VM.destroy", template) == ["VM_CANNOT_DELETE_DEFAULT_TEMPLATE"]
        await admin.call("VM.destroy", made)


async def test_a_template_becomes_a_vm_with_the_disks_it_describes() -> None:
    async with administered() as admin:
        template = next(ref for ref, vm in admin.rows("VM").items() if vm["is_default_template"])
        vm = await admin.call("VM.clone", template, "mine")
        uuid = admin.get("SR", admin.sr())["uuid"]
        disks = admin.vm(vm)["other_config"]["disks"].replace('sr=""', f'sr="{uuid}"')
        await admin.call("VM.remove_from_other_config", vm, "disks")
        await admin.call("VM.add_to_other_config", vm, "disks", disks)
        await admin.call("VM.provision", vm)
        record = admin.vm(vm)
        assert record["is_a_template"] is False
        assert "disks" not in record["other_config"]
        assert admin.get("VM_metrics", record["metrics"])["install_time"] == stamp(NOW)
        disk = admin.get("VDI", disk_of(admin, vm))
        assert (disk["name_label"], disk["name_description"]) == ("0", "Created by template provisioner")
        assert (disk["virtual_size"], disk["type"], disk["SR"]) == (10 * GIB, "system", admin.sr())
        # As on a real pool, the list is worked out anew only by the next operation.
        assert "provision" in record["allowed_operations"]
        assert "start" not in record["allowed_operations"]
        await admin.call("VM.start", vm, False, False)
        assert await admin.refused("VM.provision", vm) == ["VM_BAD_POWER_STATE", vm, "halted", "running"]


async def test_provisioning_without_a_repository_leaves_a_vm_that_is_no_template() -> None:
    async with administered() as admin:
        template = next(ref for ref, vm in admin.rows("VM").items() if vm["is_default_template"])
        vm = await admin.call("VM.clone", template, "mine")
        assert await admin.refused("VM.provision", vm) == ["UUID_INVALID", "sr", ""]
        assert admin.vm(vm)["is_a_template"] is False
        assert "disks" in admin.vm(vm)["other_config"]
        assert admin.vm(vm)["VBDs"] == []
        assert await admin.refused("VM.provision", vm) == ["PROVISION_ONLY_ALLOWED_ON_TEMPLATE"]
        await admin.call("VM.set_is_a_template", vm, True)
        assert admin.vm(vm)["is_a_template"] is True


async def test_disks_that_are_no_xml_are_an_error_of_the_server() -> None:
    async with administered() as admin:
        vm = await admin.make_template(other_config={"disks": "<provision"})
        assert (await admin.refused("VM.provision", vm))[0] == "INTERNAL_ERROR"


async def test_turning_into_a_template_is_an_operation_and_back_is_none() -> None:
    async with administered() as admin:
        vm = await admin.make("Running")
        refused = await admin.refused("VM.set_is_a_template", vm, True)
        assert refused == ["VM_BAD_POWER_STATE", vm, "halted", "running"]
        await admin.call("VM.set_is_a_template", vm, False)
        await admin.call("VM.hard_shutdown", vm)
        await admin.call("VM.set_is_a_template", vm, True)
        as_template = admin.vm(vm)["allowed_operations"]
        assert "provision" in as_template
        await admin.call("VM.set_is_a_template", vm, False)
        assert admin.vm(vm)["allowed_operations"] == as_template


# ---- creating ----


async def test_a_creator_is_not_listened_to_in_everything() -> None:
    async with administered() as admin:
        vm = await admin.call(
            "VM.create",
            vm_settings(
                uuid="not mine",
                power_state="Running",
                blocked_operations={"start": "no"},
                is_a_snapshot=True,
                snapshot_of="OpaqueRef:x",
                is_control_domain=True,
                resident_on=admin.master,
                domid=7,
                unheard_of=1,
                memory_dynamic_min=5 * GIB,
            ),
        )
        record = admin.vm(vm)
        assert record["uuid"] != "not mine"
        assert (record["power_state"], record["domid"], record["resident_on"]) == ("Halted", -1, NULL)
        assert record["blocked_operations"] == {}
        assert (record["is_a_snapshot"], record["snapshot_of"], record["is_control_domain"]) == (
            False,
            NULL,
            False,
        )
        assert record["other_config"]["mac_seed"]
        assert record["metrics"] in admin.rows("VM_metrics")
        assert record["memory_overhead"] > 0
        assert "start" in record["allowed_operations"]
        # What makes no sense is found out at the start.
        assert (await admin.refused("VM.assert_can_boot_here", vm, admin.master))[0] == (
            "MEMORY_CONSTRAINT_VIOLATION"
        )


async def test_a_seed_for_mac_addresses_is_kept() -> None:
    async with administered() as admin:
        vm = await admin.make(other_config={"mac_seed": "abc"})
        assert admin.vm(vm)["other_config"] == {"mac_seed": "abc"}


async def test_a_vm_may_be_created_suspended_but_in_no_other_state() -> None:
    async with administered() as admin:
        for state, expected in (("Suspended", "Suspended"), ("Paused", "Halted")):
            vm = await admin.call("VM.create", vm_settings(power_state=state))
            assert admin.vm(vm)["power_state"] == expected


@pytest.mark.parametrize("missing", ["platform", "memory_static_max", "affinity", "PV_args"])
async def test_a_creator_must_say_what_has_no_default(missing: str) -> None:
    async with administered() as admin:
        settings = vm_settings()
        del settings[missing]
        code, text = await admin.refused("VM.create", settings)
        assert (code, text) == (
            "INTERNAL_ERROR",
            f'Server_helpers.Dispatcher_FieldNotFound("{missing}")',
        )


# ---- checkpoints, and what a snapshot remembers ----


@pytest.mark.parametrize("state", ["Running", "Suspended"])
async def test_a_checkpoint_has_the_memory_and_the_vm_goes_on(state: str) -> None:
    async with administered() as admin:
        vm = await admin.make(state)
        host = admin.vm(vm)["resident_on"]
        made = await admin.call("VM.checkpoint", vm, "with memory")
        kept = admin.vm(made)
        assert kept["power_state"] == "Suspended"
        assert admin.get("VDI", kept["suspend_VDI"])["type"] == "suspend"
        assert kept["snapshot_info"]["power-state-at-snapshot"] == state
        assert admin.vm(vm)["power_state"] == state
        assert admin.vm(vm)["resident_on"] == host
        assert admin.vm(vm)["suspend_VDI"] != kept["suspend_VDI"]
        await admin.call("VM.revert", made)
        assert admin.vm(vm)["power_state"] == "Suspended"
        await admin.call("VM.resume", vm, False, False)


async def test_a_checkpoint_of_a_paused_vm_has_no_memory() -> None:
    async with administered() as admin:
        vm = await admin.make("Paused")
        domid = admin.vm(vm)["domid"]
        kept = admin.vm(await admin.call("VM.checkpoint", vm, "without"))
        assert (kept["power_state"], kept["suspend_VDI"]) == ("Halted", NULL)
        assert (admin.vm(vm)["power_state"], admin.vm(vm)["domid"]) == ("Paused", domid)


async def test_what_ha_protects_is_not_destroyed() -> None:
    async with administered() as admin:
        vm = await admin.make("Suspended")
        admin.set("VM", vm, ha_always_run=True, ha_restart_priority="restart")
        admin.set("pool", admin.simulated.pool.pool_ref(), ha_enabled=True)
        assert await admin.refused("VM.destroy", vm) == ["VM_IS_PROTECTED", vm]
        admin.set("pool", admin.simulated.pool.pool_ref(), ha_enabled=False)
        await admin.call("VM.destroy", vm)


async def test_a_snapshot_of_a_suspended_vm_has_no_memory_and_a_clone_of_a_checkpoint_has() -> None:
    async with administered() as admin:
        vm = await admin.make("Suspended")
        snapshot = await admin.call("VM.snapshot", vm, "no memory")
        assert (admin.vm(snapshot)["power_state"], admin.vm(snapshot)["suspend_VDI"]) == ("Halted", NULL)
        checkpoint = await admin.call("VM.checkpoint", vm, "with memory")
        clone = await admin.call("VM.clone", checkpoint, "twin")
        assert admin.vm(clone)["power_state"] == "Suspended"
        assert admin.vm(clone)["suspend_VDI"] not in (NULL, admin.vm(checkpoint)["suspend_VDI"])


def test_what_a_snapshot_remembers_is_written_as_a_real_server_writes_it() -> None:
    real: Records = json.loads((ROOT / "tests/fixtures/xapi/records.json").read_text(encoding="utf-8"))
    compared = 0
    for ref, snapshot in real["VM"].items():
        if not snapshot["is_a_snapshot"]:
            continue
        compared += 1
        text = snapshot["snapshot_metadata"]
        fields = fields_from(text)
        vm = real["VM"][snapshot["snapshot_of"]]
        assert fields["uuid"] == vm["uuid"]
        assert fields["other_config"] == snapshot["other_config"]
        assert fields["memory_static_max"] == vm["memory_static_max"]
        # Read and written again, every character is where it was.
        assert metadata_of(snapshot["snapshot_of"], fields) == text, ref
    assert compared >= 3


@pytest.mark.parametrize("text", ["", "(", "(('a'", "('a' 'b')", "(('memory__static_max' 'much'))"])
def test_what_cannot_be_read_back_is_left_out(text: str) -> None:
    assert fields_from(text) == {}
