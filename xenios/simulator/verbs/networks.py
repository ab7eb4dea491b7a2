"""Networks made and removed.

A network made by a client has no interface of any host in it: VMs on one host reach each other through it, and nobody
else. Source: xapi's xapi_network.ml.

Effects: none
"""

from xenios.simulator.api_error import ApiError
from xenios.simulator.coerce import SET_BY_THE_CREATOR
from xenios.simulator.dispatch import Call, implements
from xenios.simulator.facts.datamodel import Record, load_datamodel


@implements("network.create")
def network_create(call: Call, args: Record) -> str:
    """Make a network; without a name for its bridge it gets the next free one, xapi0 and so on."""
    tables = call.pool.tables
    fields = load_datamodel().classes["network"].fields
    values = {name: value for name, value in args.items() if fields[name].qualifier in SET_BY_THE_CREATOR}
    bridges = {network["bridge"] for network in tables.rows("network").values()}
    if not values.get("bridge"):
        values["bridge"] = next(
            name for number in range(len(bridges) + 1) if (name := f"xapi{number}") not in bridges
        )
    elif values["bridge"] in bridges:
        raise ApiError("BRIDGE_NAME_EXISTS", values["bridge"])
    return tables.create("network", values)


@implements("network.destroy")
def network_destroy(call: Call, network: str) -> None:
    """Remove a network that nothing is connected to. Raises NETWORK_CONTAINS_VIF, NETWORK_CONTAINS_PIF."""
    record = call.pool.tables.get("network", network)
    if record["VIFs"]:
        raise ApiError("NETWORK_CONTAINS_VIF", _listed(record["VIFs"]))
    if record["PIFs"]:
        raise ApiError("NETWORK_CONTAINS_PIF", _listed(record["PIFs"]))
    call.pool.tables.delete("network", network)


def _listed(refs: list[str]) -> str:
    return "; ".join(refs)
