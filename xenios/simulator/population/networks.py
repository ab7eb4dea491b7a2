"""Which networks the simulated pool has: plain, VLAN, storage and internal, with their interfaces.

Effects: none
"""

from dataclasses import dataclass

from xenios.simulator.facts.datamodel import NULL
from xenios.simulator.population.book import Book
from xenios.simulator.population.hosts import HostPlace, HostState, Site, Wire


@dataclass(frozen=True, slots=True)
class _Card:
    """A network card that every host has, and the network on it."""

    device: str
    key: str
    label: str
    mtu: int
    host_prefix: str


_CARDS = (
    _Card("eth0", "management", "Pool-wide network associated with eth0", 1500, "10.20"),
    _Card("eth1", "trunk", "Guest trunk", 1500, ""),
    _Card("eth2", "storage", "Storage", 9000, "10.21"),
)
_VLANS = (("servers", "Servers", 110), ("desktops", "Desktops", 120), ("dmz", "DMZ", 130))


def add_networks(book: Book, site: Site) -> None:
    """All networks, and on every host an interface for each that leaves the host."""
    networks: dict[str, str] = {}
    for number, card in enumerate(_CARDS):
        networks[card.key] = book.add(
            "network",
            name_label=card.label,
            bridge=f"xenbr{number}",
            MTU=card.mtu,
            managed=True,
            default_locking_mode="unlocked",
            other_config={},
        )
    for number, (key, label, tag) in enumerate(_VLANS):
        networks[key] = book.add(
            "network",
            name_label=label,
            name_description=f"VLAN {tag}",
            bridge=f"xapi{number + 1}",
            MTU=1500,
            managed=True,
            default_locking_mode="unlocked",
        )
    networks["internal"] = book.add(
        "network",
        name_label="Cluster heartbeat",
        name_description="Internal, leaves no host",
        bridge="xapi0",
        MTU=1500,
        managed=True,
        default_locking_mode="unlocked",
    )
    book.add(
        "network",
        name_label="Host internal management network",
        name_description="Network on which guests will be assigned a private link-local IP address",
        bridge="xenapi",
        MTU=1500,
        managed=True,
        default_locking_mode="unlocked",
        other_config={
            "is_guest_installer_network": "true",
            "is_host_internal_management_network": "true",
            "ip_begin": "169.254.0.1",
            "ip_end": "169.254.255.254",
            "netmask": "255.255.0.0",
        },
    )
    for place in site.hosts:
        _add_interfaces(book, place, networks)
    prefixes = {"servers": "10.110", "desktops": "10.120", "dmz": "10.130", "management": "10.20"}
    site.wires = {key: Wire(ref, prefixes.get(key, "")) for key, ref in networks.items()}


def _add_interfaces(book: Book, place: HostPlace, networks: dict[str, str]) -> None:
    carrier = place.state is not HostState.NOT_LIVE
    trunk = NULL
    for card in _CARDS:
        metrics = _metrics(book, carrier=carrier)
        address = card.host_prefix + place.address.removeprefix("10.20") if card.host_prefix else ""
        pif = book.add(
            "PIF",
            device=card.device,
            network=networks[card.key],
            host=place.ref,
            MAC=book.mac(),
            MTU=card.mtu,
            VLAN=-1,
            metrics=metrics,
            physical=True,
            management=card.key == "management",
            ip_configuration_mode="Static" if address else "None",
            IP=address,
            netmask="255.255.248.0" if address else "",
            gateway="10.20.7.254" if card.key == "management" else "",
            DNS="10.110.0.53,10.110.0.54" if card.key == "management" else "",
            VLAN_master_of=NULL,
            bond_slave_of=NULL,
            disallow_unplug=card.key == "management",
            properties={"gro": "on"},
        )
        if card.key == "trunk":
            trunk = pif
    for key, _, tag in _VLANS:
        _add_vlan(book, place, networks[key], trunk, tag, carrier=carrier)


def _add_vlan(book: Book, place: HostPlace, network: str, trunk: str, tag: int, *, carrier: bool) -> None:
    below = book.get("PIF", trunk)
    pif = book.add(
        "PIF",
        device=below["device"],
        network=network,
        host=place.ref,
        MAC=below["MAC"],
        MTU=1500,
        VLAN=tag,
        metrics=_metrics(book, carrier=carrier),
        physical=False,
        bond_slave_of=NULL,
    )
    book.get("PIF", pif)["VLAN_master_of"] = book.add("VLAN", tagged_PIF=trunk, untagged_PIF=pif, tag=tag)


def _metrics(book: Book, *, carrier: bool) -> str:
    return book.add(
        "PIF_metrics",
        carrier=carrier,
        vendor_id="8086",
        vendor_name="Intel Corporation",
        device_id="1572",
        device_name="Ethernet Controller X710 for 10GbE SFP+",
        speed=10000 if carrier else 0,
        duplex=carrier,
        pci_bus_path="0000:18:00.0",
        last_updated=book.ago(minutes=1),
    )
