"""What a watch saw last: enough to translate one guest without reading the rest, and to see what no event told.

Effects: none
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from xenios.drivers.kvm.domain import power_state_of, reason_of
from xenios.drivers.kvm.host import NativeHost, bridges_in_use
from xenios.drivers.kvm.view import Domain, View
from xenios.model.collection import Collection
from xenios.model.inventory import Answer, Network, PowerState, Storage, Vm

PortgroupVlans = dict[tuple[str, str], int | None]


class LastSeen:
    """The guests, networks and storages of one host as they were last seen; the objects are those that were told."""

    def __init__(self) -> None:
        self.vms: dict[str, Vm] = {}
        self.storages: dict[str, Storage] = {}
        self.networks: dict[str, Network] = {}
        """libvirt's own; bridges that guests are plugged into directly are counted apart."""
        self._native_host = NativeHost()
        self._portgroup_vlans: PortgroupVlans = {}
        self._surroundings_known = False
        self._bridges: Counter[str] = Counter()

    def replace_by(self, view: View, collection: Collection) -> None:
        """Forgets everything for a new full view. Guests that it could not list stay known."""
        self._native_host = view.native_host
        self.storages = {storage.uuid: storage for storage in view.storages}
        self.networks = {network.uuid: network for network in view.networks}
        self._portgroup_vlans = dict(view.portgroup_vlans)
        self._surroundings_known = view.surroundings_known
        if view.guests_listed:
            self.vms = {vm.uuid: vm for vm in collection.vms}
        self._bridges = Counter(bridge for vm in self.vms.values() for bridge in _bridges_of(vm))

    def lend_surroundings(self, view: View) -> View:
        """Gives a view of a few guests what their definitions refer to."""
        view.native_host = self._native_host
        view.storages = list(self.storages.values())
        view.networks = list(self.networks.values())
        view.portgroup_vlans = self._portgroup_vlans
        view.surroundings_known = self._surroundings_known
        return view

    # --- guests ------------------------------------------------------------------------------------------------------

    def keep_vm(self, vm: Vm) -> list[Network]:
        """Notes a guest as it is now; returns bridges that nobody was plugged into before."""
        known = self.vms.get(vm.uuid)
        before = _bridges_of(known) if known is not None else set()
        self._bridges += Counter(_bridges_of(vm))
        self._bridges -= Counter(before)
        self.vms[vm.uuid] = vm
        fresh = {bridge for bridge in _bridges_of(vm) - before if self._bridges[bridge] == 1}
        return [network for network in bridges_in_use([vm]) if network.uuid in fresh]

    def forget_vm(self, uuid: str) -> bool:
        """Notes that a guest is gone; says whether it was known."""
        known = self.vms.pop(uuid, None)
        if known is not None:
            self._bridges -= Counter(_bridges_of(known))
        return known is not None

    def untold(self, domains: Iterable[Domain]) -> list[str]:
        """Uuids of the guests that are not as they were last seen: new, different, no longer listed or never read.

        `domains` are all guests of the host, with their states and flags.
        """
        listed = {domain.uuid: domain for domain in domains}
        differing = [
            uuid
            for uuid, domain in listed.items()
            if (vm := self.vms.get(uuid)) is None or not vm.definition_read or _differs(vm, domain)
        ]
        return differing + [uuid for uuid in self.vms if uuid not in listed]

    # --- what they refer to ------------------------------------------------------------------------------------------

    def keep_storage(self, storage: Storage) -> list[str]:
        """Notes a storage as it is now; returns the guests whose translation may differ by that."""
        known = self.storages.get(storage.uuid)
        self.storages[storage.uuid] = storage
        if known is not None and _place_of(known) == _place_of(storage):
            return []
        return self._users_of_storages([storage] if known is None else [known, storage])

    def forget_storage(self, uuid: str) -> list[str] | None:
        """Notes that a storage is gone; returns the guests whose translation may differ. None: it was not known."""
        known = self.storages.pop(uuid, None)
        return None if known is None else self._users_of_storages([known])

    def keep_network(self, network: Network, vlans: PortgroupVlans) -> list[str]:
        """Notes a network as it is now; returns the guests whose translation may differ by that."""
        known = self.networks.get(network.uuid)
        before = self._vlans_of(network.name if known is None else known.name)
        self.networks[network.uuid] = network
        if known is not None and _way_of(known) == _way_of(network) and before == vlans:
            return []
        for key in before:
            del self._portgroup_vlans[key]
        self._portgroup_vlans |= vlans
        return self._users_of_networks({network.name} | ({known.name} if known is not None else set()))

    def forget_network(self, uuid: str) -> list[str] | None:
        """Notes that a network is gone; returns the guests whose translation may differ. None: it was not known."""
        known = self.networks.pop(uuid, None)
        if known is None:
            return None
        for key in self._vlans_of(known.name):
            del self._portgroup_vlans[key]
        return self._users_of_networks({known.name})

    def _vlans_of(self, network: str) -> PortgroupVlans:
        return {key: vlan for key, vlan in self._portgroup_vlans.items() if key[0] == network}

    def _users_of_networks(self, names: set[str]) -> list[str]:
        return [vm.uuid for vm in self.vms.values() if any(nic.network_name in names for nic in vm.nics)]

    def _users_of_storages(self, storages: list[Storage]) -> list[str]:
        def uses(vm: Vm) -> bool:
            for storage in storages:
                folder = storage.where.rstrip("/") + "/"
                missing = f"storage pool {storage.name} of a disk"
                if missing in vm.dangling or any(
                    disk.storage_uuid == storage.uuid
                    or disk.where.startswith((folder, f"volume {storage.name}/"))
                    for disk in vm.disks
                ):
                    return True
            return False

        return [vm.uuid for vm in self.vms.values() if uses(vm)]


def _differs(vm: Vm, domain: Domain) -> bool:
    state, reason = int(domain.stats.get("state.state", -1)), int(domain.stats.get("state.reason", 0))
    power_state = power_state_of(state, domain.managed_save)
    flags = ((domain.autostart, vm.autostart), (domain.persistent, vm.persistent))
    return (
        vm.name != domain.name
        or (power_state is not PowerState.UNKNOWN and power_state is not vm.power_state)
        or reason_of(state, reason) != vm.power_reason
        or any(told is not Answer.UNKNOWN and told is not known for told, known in flags)
        or domain.has_snapshots != bool(vm.snapshots)
    )


def _bridges_of(vm: Vm) -> set[str]:
    """Uuids of the bridges that it is plugged into directly."""
    return {
        nic.network_uuid for nic in vm.nics if nic.network_uuid and nic.network_uuid.startswith("bridge:")
    }


def _place_of(storage: Storage) -> tuple[object, ...]:
    """What of a storage shows in the guests whose disks it holds."""
    return storage.uuid, storage.name, storage.where, storage.sharing


def _way_of(network: Network) -> tuple[object, ...]:
    """What of a network shows in the guests that are plugged into it."""
    return network.uuid, network.name, network.bridge, network.vlan
