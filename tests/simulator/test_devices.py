"""Do disks, drives and interfaces come, go and refuse as on a real pool?

Effects: reads files
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.administrator import Administrator, administered
from xenios.simulator.facts.datamodel import NULL, Records
from xenios.simulator.population.units import GIB
from xenios.simulator.verbs.devices import mac_from_seed

ROOT = Path(__file__).parent.parent.parent


def vbd_of(admin: Administrator, vm: str) -> str:
    return str(admin.vm(vm)["VBDs"][0])


def vif_of(admin: Administrator, vm: str) -> str:
    return str(admin.vm(vm)["VIFs"][0])


def iso_of(admin: Administrator) -> str:
    return next(ref for ref, vdi in admin.rows("VDI").items() if admin.get("SR", vdi["SR"])["type"] == "iso")


# ---- VBD ----


async def test_a_device_number_is_taken_once_and_found_when_asked_for() -> None:
    async with administered() as admin:
        vm = await admin.make()
        vdi = await admin.make_disk()
        assert await admin.call("VM.get_allowed_VBD_devices", vm) == [str(number) for number in range(1, 16)]
        record = {"vm": vm, "vdi": vdi}
        with pytest.raises(Exception, match="DEVICE_ALREADY_EXISTS"):
            await admin.attach(**record, device="0")
        with pytest.raises(Exception, match="INVALID_DEVICE"):
            await admin.attach(**record, device="first")
        vbd = await admin.attach(**record, device="autodetect")
        assert admin.get("VBD", vbd)["userdevice"] == "1"
        assert admin.get("VDI", vdi)["VBDs"] == [vbd]
        assert vbd in admin.vm(vm)["VBDs"]


async def test_what_may_not_be_connected_is_refused() -> None:
    async with administered() as admin:
        vm = await admin.make()
        protected = await admin.make_disk(read_only=True)
        for device, vdi, values, code in (
            ("1", NULL, {}, "VBD_NOT_REMOVABLE_MEDIA"),
            ("1", "OpaqueRef:gone", {"empty": False}, "HANDLE_INVALID"),
            ("1", protected, {}, "VDI_READONLY"),
            ("1", iso_of(admin), {"type": "CD", "mode": "RW"}, "VBD_CDS_MUST_BE_READONLY"),
            ("1", protected, {"mode": "RO"}, "DISK_VBD_MUST_BE_READWRITE_FOR_HVM"),
        ):
            with pytest.raises(Exception, match=code):
                await admin.attach(vm, vdi, device, **values)


async def test_a_disk_is_plugged_and_unplugged_while_the_vm_runs() -> None:
    async with administered() as admin:
        vm = await admin.make("Running")
        vdi = await admin.make_disk()
        vbd = await admin.attach(vm, vdi, "1")
        assert admin.get("VBD", vbd)["currently_attached"] is False
        assert await admin.refused("VBD.unplug", vbd) == ["DEVICE_ALREADY_DETACHED", vbd]
        await admin.call("VBD.plug", vbd)
        assert (admin.get("VBD", vbd)["currently_attached"], admin.get("VBD", vbd)["device"]) == (
            True,
            "xvdb",
        )
        assert await admin.refused("VBD.plug", vbd) == ["DEVICE_ALREADY_ATTACHED", vbd]
        assert await admin.refused("VDI.destroy", vdi) == ["VDI_IN_USE", vdi, "destroy"]
        assert "unplug" in admin.get("VBD", vbd)["allowed_operations"]
        code, reason = await admin.refused("VBD.destroy", vbd)
        assert code == "OPERATION_NOT_ALLOWED"
        assert "still attached" in reason
        await admin.call("VBD.unplug", vbd)
        await admin.call("VBD.destroy", vbd)
        assert vdi in admin.rows("VDI")
        assert "destroy" in admin.get("VDI", vdi)["allowed_operations"]
        await admin.call("VDI.destroy", vdi)


@pytest.mark.parametrize("state", ["Halted", "Suspended", "Paused"])
@pytest.mark.parametrize("verb", ["plug", "unplug"])
async def test_plugging_needs_a_running_vm(state: str, verb: str) -> None:
    async with administered() as admin:
        vm = await admin.make(state)
        for class_name, ref in (("VBD", vbd_of(admin, vm)), ("VIF", vif_of(admin, vm))):
            refused = await admin.refused(f"{class_name}.{verb}", ref)
            assert refused == ["VM_BAD_POWER_STATE", vm, "Running", state]


async def test_a_guest_without_tools_is_not_plugged_into() -> None:
    async with administered() as admin:
        vm = await admin.make("Running", tools=False)
        vbd = await admin.attach(vm, await admin.make_disk(), "1")
        assert await admin.refused("VBD.plug", vbd) == ["VM_MISSING_PV_DRIVERS", vm]
        assert await admin.refused("VIF.unplug", vif_of(admin, vm)) == ["VM_MISSING_PV_DRIVERS", vm]


async def test_a_boot_disk_may_be_fixed_to_its_vm() -> None:
    async with administered() as admin:
        vm = await admin.make()
        vbd = await admin.attach(vm, await admin.make_disk(), "1", unpluggable=False)
        await admin.call("VM.start", vm, False, False)
        assert await admin.refused("VBD.unplug", vbd) == ["VBD_NOT_UNPLUGGABLE", vbd]


async def test_discs_are_inserted_into_drives_and_ejected() -> None:
    async with administered() as admin:
        vm = await admin.make("Running")
        iso = iso_of(admin)
        drive = await admin.attach(vm, NULL, "3", type="CD", mode="RO")
        assert await admin.refused("VBD.eject", drive) == ["VBD_IS_EMPTY", drive]
        await admin.call("VBD.insert", drive, iso)
        assert (admin.get("VBD", drive)["VDI"], admin.get("VBD", drive)["empty"]) == (iso, False)
        assert await admin.refused("VBD.insert", drive, iso) == ["VBD_NOT_EMPTY", drive]
        await admin.call("VBD.eject", drive)
        assert (admin.get("VBD", drive)["VDI"], admin.get("VBD", drive)["empty"]) == (NULL, True)
        disk = vbd_of(admin, vm)
        assert await admin.refused("VBD.eject", disk) == ["VBD_NOT_REMOVABLE_MEDIA", disk]
        refused = await admin.refused("VBD.plug", drive)
        assert refused[0] == "OPERATION_NOT_ALLOWED"


async def test_a_disk_in_use_is_not_attached_a_second_time() -> None:
    async with administered() as admin:
        first, second = await admin.make("Running"), await admin.make("Running")
        shared = admin.get("VBD", vbd_of(admin, first))["VDI"]
        vbd = await admin.attach(second, shared, "1")
        assert await admin.refused("VBD.plug", vbd) == ["VDI_IN_USE", shared, "plug"]
        assert await admin.refused("VBD.assert_attachable", vbd) == ["VDI_IN_USE", shared, "attach"]
        await admin.call("VM.hard_shutdown", first)
        await admin.call("VBD.plug", vbd)


# ---- VIF ----


async def test_an_interface_gets_an_address_from_the_seed_or_the_one_it_was_given() -> None:
    async with administered() as admin:
        vm = await admin.make(other_config={"mac_seed": "s"})
        first = admin.get("VIF", vif_of(admin, vm))
        assert (first["MAC"], first["MAC_autogenerated"]) == (mac_from_seed("s", 0), True)
        given = admin.get("VIF", await admin.wire(vm, "1", MAC="0A:00:00:00:00:01"))
        assert (given["MAC"], given["MAC_autogenerated"]) == ("0A:00:00:00:00:01", False)
        assert await admin.call("VM.get_allowed_VIF_devices", vm) == ["2", "3", "4", "5", "6"]


async def test_interfaces_that_cannot_be_are_refused() -> None:
    async with administered() as admin:
        vm = await admin.make()
        for device, values, expected in (
            ("0", {}, ["DEVICE_ALREADY_EXISTS", "0"]),
            ("eth0", {}, ["INVALID_DEVICE", "eth0"]),
            ("1", {"MAC": "not one"}, ["MAC_INVALID", "not one"]),
            ("1", {"network": "OpaqueRef:gone"}, ["HANDLE_INVALID", "network", "OpaqueRef:gone"]),
            ("1", {"VM": "OpaqueRef:gone"}, ["HANDLE_INVALID", "VM", "OpaqueRef:gone"]),
        ):
            record = {
                "device": device,
                "network": admin.network(),
                "VM": vm,
                "MAC": "",
                "MTU": 1500,
                "other_config": {},
                "qos_algorithm_type": "",
                "qos_algorithm_params": {},
                **values,
            }
            assert await admin.refused("VIF.create", record) == expected


async def test_no_size_of_packets_means_that_of_the_network() -> None:
    async with administered() as admin:
        vm = await admin.make()
        admin.set("network", admin.network(), MTU=9000)
        assert admin.get("VIF", await admin.wire(vm, "1", MTU=0))["MTU"] == 9000


async def test_an_interface_is_plugged_moved_and_removed() -> None:
    async with administered() as admin:
        vm = await admin.make("Running")
        vif = vif_of(admin, vm)
        assert (await admin.refused("VIF.destroy", vif))[0] == "OPERATION_NOT_ALLOWED"
        other = next(ref for ref, row in admin.rows("network").items() if not row["PIFs"])
        await admin.call("VIF.move", vif, other)
        assert admin.get("VIF", vif)["network"] == other
        assert vif in admin.get("network", other)["VIFs"]
        await admin.call("VIF.unplug", vif)
        assert admin.get("VIF", vif)["allowed_operations"] == ["attach", "plug"]
        await admin.call("VIF.plug", vif)
        await admin.call("VIF.unplug", vif)
        await admin.call("VIF.destroy", vif)
        assert admin.vm(vm)["VIFs"] == []


def test_addresses_are_made_as_a_real_server_made_them() -> None:
    real: Records = json.loads((ROOT / "tests/fixtures/xapi/records.json").read_text(encoding="utf-8"))
    for vif in real["VIF"].values():
        seed = real["VM"][vif["VM"]]["other_config"]["mac_seed"]
        assert mac_from_seed(seed, int(vif["device"])) == vif["MAC"]
    assert len(real["VIF"]) >= 5


# ---- VDI, SR ----


async def test_disks_take_room_and_give_it_back() -> None:
    async with administered() as admin:
        for kind, taken in (("nfs", None), ("lvmoiscsi", 10 * GIB)):
            sr = admin.sr(kind)
            before = admin.get("SR", sr)
            vdi = await admin.make_disk(SR=sr)
            after = admin.get("SR", sr)
            assert vdi in after["VDIs"]
            assert after["virtual_allocation"] - before["virtual_allocation"] == 10 * GIB
            used = after["physical_utilisation"] - before["physical_utilisation"]
            assert used == (admin.get("VDI", vdi)["physical_utilisation"] if taken is None else taken)
            assert taken is not None or used < GIB
            await admin.call("VDI.destroy", vdi)
            assert admin.get("SR", sr)["physical_utilisation"] == before["physical_utilisation"]
            assert admin.get("SR", sr)["VDIs"] == before["VDIs"]


async def test_full_storage_takes_no_disk() -> None:
    async with administered() as admin:
        sr = admin.sr("lvmoiscsi")
        admin.set("SR", sr, physical_size=admin.get("SR", sr)["physical_utilisation"] + GIB)
        with pytest.raises(Exception, match="SR_FULL") as refused:
            await admin.make_disk(SR=sr)
        assert refused.value.params == (str(10 * GIB), str(GIB))  # type: ignore[attr-defined]


async def test_storage_that_nobody_is_connected_to_takes_no_disk() -> None:
    async with administered() as admin:
        sr = admin.sr()
        await admin.call("SR.scan", sr)
        for pbd in admin.get("SR", sr)["PBDs"]:
            await admin.call("PBD.unplug", pbd)
        assert await admin.refused("SR.scan", sr) == ["SR_HAS_NO_PBDS", sr]
        with pytest.raises(Exception, match="SR_HAS_NO_PBDS"):
            await admin.make_disk()


async def test_storage_in_use_stays_connected() -> None:
    async with administered() as admin:
        vm = await admin.make("Running")
        vdi, host = admin.get("VBD", vbd_of(admin, vm))["VDI"], admin.vm(vm)["resident_on"]
        pbds = admin.get("SR", admin.get("VDI", vdi)["SR"])["PBDs"]
        pbd = next(ref for ref in pbds if admin.get("PBD", ref)["host"] == host)
        assert await admin.refused("PBD.unplug", pbd) == ["VDI_IN_USE", vdi, "detach"]


async def test_a_disk_is_cloned_kept_copied_and_grown() -> None:
    async with administered() as admin:
        vdi = await admin.make_disk(tags=["t"], other_config={"k": "v"})
        clone = admin.get("VDI", await admin.call("VDI.clone", vdi))
        assert (clone["tags"], clone["other_config"]["k"], clone["is_a_snapshot"]) == (["t"], "v", False)
        snapshot = admin.get("VDI", await admin.call("VDI.snapshot", vdi))
        assert (snapshot["snapshot_of"], snapshot["is_a_snapshot"]) == (vdi, True)
        copy = admin.get("VDI", await admin.call("VDI.copy", vdi, admin.sr("lvmoiscsi")))
        assert copy["SR"] == admin.sr("lvmoiscsi")
        await admin.call("VDI.resize", vdi, 20 * GIB)
        assert admin.get("VDI", vdi)["virtual_size"] == 20 * GIB
        assert await admin.refused("VDI.resize", vdi, GIB) == ["VDI_TOO_SMALL", vdi, str(20 * GIB)]


async def test_a_disk_takes_its_connections_with_it() -> None:
    async with administered() as admin:
        vm = await admin.make()
        vbd = vbd_of(admin, vm)
        await admin.call("VDI.destroy", admin.get("VBD", vbd)["VDI"])
        assert admin.vm(vm)["VBDs"] == []


# ---- networks ----


async def test_networks_are_made_and_removed_when_nothing_is_connected() -> None:
    async with administered() as admin:
        vm = await admin.make()
        record = {"name_label": "private", "other_config": {}, "MTU": 1500}
        network = await admin.call("network.create", record)
        assert admin.get("network", network)["name_label"] == "private"
        bridges = [row["bridge"] for row in admin.rows("network").values()]
        assert len(set(bridges)) == len(bridges)
        taken = admin.get("network", network)["bridge"]
        refused = await admin.refused("network.create", {**record, "bridge": taken})
        assert refused == ["BRIDGE_NAME_EXISTS", taken]
        vif = await admin.wire(vm, "1", network=network)
        await admin.call("VM.start", vm, False, False)
        assert await admin.refused("network.destroy", network) == ["NETWORK_CONTAINS_VIF", vif]
        await admin.call("VM.hard_shutdown", vm)
        await admin.call("VIF.destroy", vif)
        await admin.call("network.destroy", network)
        assert (await admin.refused("network.destroy", admin.network()))[0] == "NETWORK_CONTAINS_VIF"
