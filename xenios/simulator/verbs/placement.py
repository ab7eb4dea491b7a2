"""Where a VM may run: the checks in XAPI's order, the memory that is free by its reckoning, and the choice of a host.

The reckoning is XAPI's own: a host gives away its memory less what each VM on it, or on its way to it, has been
promised at least. Halted and suspended VMs count nothing. Sources: xapi's memory_check.ml, assert_can_boot_here and
choose_host_for_vm in xapi_vm_helpers.ml.

Effects: none
"""

from collections.abc import Iterator, Mapping
from random import Random

from xenios.drivers.xenserver.memory import overhead_bytes
from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import NULL, Record
from xenios.simulator.population.units import MIB
from xenios.simulator.tables import Tables
from xenios.simulator.verbs.host_lifecycle import is_live
from xenios.simulator.verbs.lifecycle import SUSPENDED, is_true

APPROXIMATE_VCPUS = 64
"""How many VCPUs `maximise_memory` assumes when asked for an approximation."""


def memory_overhead_bytes(vm: Record) -> int:
    """What the VM costs a host beyond its own memory, for its settings as they are now."""
    return overhead_bytes(
        domain_type_of(vm), vm["memory_static_max"], vm["VCPUs_max"], vm["HVM_shadow_multiplier"]
    )


def domain_type_of(vm: Record) -> str:
    """The kind of domain that the VM starts as; older clients say it by the boot policy only."""
    if vm["domain_type"] != "unspecified":
        return str(vm["domain_type"])
    return "hvm" if vm["HVM_boot_policy"] else "pv"


def needed_bytes(vm: Record) -> int:
    """The memory that must be free on a host for the VM to start there."""
    least = "memory_static_max" if domain_type_of(vm) == "pv_in_pvh" else "memory_dynamic_min"
    return int(vm[least]) + memory_overhead_bytes(vm)


def free_memory_by_host(tables: Tables) -> dict[str, int]:
    """The free memory of every host, in bytes: what its total leaves once itself and its VMs have been given theirs.

    Whoever is on a host counts there, and whoever is on its way to it too; a VM that is both counts twice, as it does
    in XAPI. One look at all VMs is enough for all hosts.
    """
    held = dict.fromkeys(tables.rows("host"), 0)
    for vm in tables.rows("VM").values():
        for host in (vm["resident_on"], vm["scheduled_to_be_resident_on"]):
            if host in held:
                held[host] += vm["memory_dynamic_min"] + vm["memory_overhead"]
    free = {}
    for host, record in tables.rows("host").items():
        metrics = tables.find("host_metrics", record["metrics"])
        total = 0 if metrics is None else metrics["memory_total"]
        free[host] = max(0, total - record["memory_overhead"] - held[host])
    return free


def free_memory_bytes(tables: Tables, host: str) -> int:
    """host.compute_free_memory. Raises ApiError HANDLE_INVALID for a host that is not there."""
    tables.get("host", host)
    return free_memory_by_host(tables)[host]


def largest_static_max_bytes(vm: Record, total_bytes: int, vcpus: int) -> int:
    """VM.maximise_memory: the largest whole number of MiB that fits into the total together with its overhead."""
    low, high = 0, max(0, total_bytes // MIB)
    while low < high:
        middle = (low + high + 1) // 2
        cost = overhead_bytes(domain_type_of(vm), middle * MIB, vcpus, vm["HVM_shadow_multiplier"])
        if middle * MIB + cost <= total_bytes:
            low = middle
        else:
            high = middle - 1
    return low * MIB


def refusal_to_boot(
    tables: Tables,
    vm: str,
    host: str,
    *,
    look_at_memory: bool = True,
    free: Mapping[str, int] | None = None,
) -> ApiError | None:
    """Why the VM cannot run on this host; None if it can. `free` spares reckoning the free memory anew.

    Raises ApiError HANDLE_INVALID.
    """
    record, place = tables.get("VM", vm), tables.get("host", host)
    for reason in _refusals(tables, vm, record, host, place):
        return reason
    if look_at_memory:
        needed = needed_bytes(record)
        room = free_memory_bytes(tables, host) if free is None else free[host]
        if needed > room:
            return ApiError("HOST_NOT_ENOUGH_FREE_MEMORY", str(needed), str(room))
    processors = int(place["cpu_info"].get("cpu_count", "0"))
    if record["VCPUs_max"] > processors and not is_true(record["platform"].get("vcpu-unrestricted")):
        return ApiError("HOST_NOT_ENOUGH_PCPUS", str(record["VCPUs_max"]), str(processors))
    return None


def possible_hosts(tables: Tables, vm: str) -> list[str]:
    """The hosts on which the VM could start now."""
    tables.get("VM", vm)
    free = free_memory_by_host(tables)
    return [host for host in free if refusal_to_boot(tables, vm, host, free=free) is None]


def choose_host(tables: Tables, vm: str, random: Random) -> str:
    """The host that VM.start takes: the preferred one if it will do, else one by chance, the emptier the likelier.

    Raises ApiError NO_HOSTS_AVAILABLE when there is none, whatever the reason was.
    """
    free = free_memory_by_host(tables)
    hosts = [host for host in free if refusal_to_boot(tables, vm, host, free=free) is None]
    if not hosts:
        raise ApiError("NO_HOSTS_AVAILABLE")
    preferred = tables.get("VM", vm)["affinity"]
    if preferred in hosts:
        return str(preferred)
    # The master answers for all, so it is given VMs last.
    masters = {pool["master"] for pool in tables.rows("pool").values()}
    others = [host for host in hosts if host not in masters] or hosts
    needed = needed_bytes(tables.get("VM", vm))
    surplus = [1.0 + free[host] - needed for host in others]
    return random.choices(others, surplus)[0]


def _refusals(tables: Tables, vm: str, record: Record, host: str, place: Record) -> Iterator[ApiError]:
    yield from _refusals_by_settings(record)
    if not is_live(tables, place):
        yield ApiError("HOST_NOT_LIVE")
    if not place["enabled"]:
        yield ApiError("HOST_DISABLED", host)
    wanted, offered = record["hardware_platform_version"], place["virtual_hardware_platform_versions"]
    if wanted not in offered:
        yield ApiError(
            "VM_HOST_INCOMPATIBLE_VIRTUAL_HARDWARE_PLATFORM_VERSION",
            host,
            "[" + "; ".join(str(version) for version in offered) + "]",
            vm,
            str(wanted),
        )
    yield from _refusals_by_processor(vm, record, host, place)
    for vbd in (tables.find("VBD", ref) for ref in record["VBDs"]):
        vdi = None if vbd is None or vbd["empty"] else tables.find("VDI", vbd["VDI"])
        if vdi is not None and not sr_is_seen(tables, vdi["SR"], host):
            yield ApiError("VM_REQUIRES_SR", vm, vdi["SR"])
    for vif in (tables.find("VIF", ref) for ref in record["VIFs"]):
        if vif is not None and not network_is_seen(tables, vif["network"], host):
            yield ApiError("VM_REQUIRES_NETWORK", vm, vif["network"])
    capable = any("hvm" in capability for capability in place["capabilities"])
    if domain_type_of(record) == "hvm" and place["capabilities"] and not capable:
        yield ApiError("VM_HVM_REQUIRED", vm)


def _refusals_by_settings(record: Record) -> Iterator[ApiError]:
    most, at_startup = record["VCPUs_max"], record["VCPUs_at_startup"]
    if most < 1:
        yield ApiError("INVALID_VALUE", "VCPUs_max", str(most))
    if not 1 <= at_startup <= most:
        yield ApiError("INVALID_VALUE", "VCPUs_at_startup", str(at_startup))
    if not limits_are_in_order(record):
        yield ApiError(
            "MEMORY_CONSTRAINT_VIOLATION",
            "Memory limits must satisfy: static_min <= dynamic_min <= dynamic_max <= static_max",
        )


def limits_are_in_order(vm: Record) -> bool:
    """Whether static_min <= dynamic_min <= dynamic_max <= static_max."""
    names = ("memory_static_min", "memory_dynamic_min", "memory_dynamic_max", "memory_static_max")
    limits = [vm[name] for name in names]
    return limits == sorted(limits)


def _refusals_by_processor(vm: str, record: Record, host: str, place: Record) -> Iterator[ApiError]:
    """Memory that was saved on one maker's processor cannot go on on another's."""
    booted_on = record["last_boot_CPU_flags"].get("vendor")
    if record["power_state"] == SUSPENDED and booted_on and booted_on != place["cpu_info"].get("vendor"):
        yield ApiError(
            "VM_INCOMPATIBLE_WITH_THIS_HOST",
            vm,
            host,
            "VM last booted on a host which had a CPU from a different vendor.",
        )


def sr_is_seen(tables: Tables, sr: str, host: str) -> bool:
    """Whether the host is connected to the storage repository."""
    record = tables.find("SR", sr)
    pbds = [] if record is None else [tables.find("PBD", ref) for ref in record["PBDs"]]
    return any(pbd is not None and pbd["host"] == host and pbd["currently_attached"] for pbd in pbds)


def network_is_seen(tables: Tables, network: str, host: str) -> bool:
    """Whether the host has a way into the network; one without any interface exists wherever it is needed."""
    record = tables.find("network", network)
    if network == NULL or record is None:
        return False
    pifs = [pif for pif in (tables.find("PIF", ref) for ref in record["PIFs"]) if pif is not None]
    return not pifs or any(pif["host"] == host and pif["currently_attached"] for pif in pifs)
