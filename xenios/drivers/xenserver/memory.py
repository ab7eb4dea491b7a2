"""What a VM costs a host beyond its own memory, by XAPI's own formula (ocaml/xapi-idl/memory/memory.ml).

Room must count what the hypervisor counts. Newer databases record the figure; for older ones, and for the simulated
pool, it is computed here: in MiB, shadow pages by VCPUs and size, one for the emulator, and a shim for PV inside PVH.

Effects: none
"""

from math import ceil

MIB = 1024 * 1024
_PAGES_PER_MIB = 256


def overhead_bytes(
    domain_type: str, static_max_bytes: int, vcpus_max: int, shadow_multiplier: float = 1.0
) -> int:
    """VM.memory_overhead for these settings."""
    size_mib = ceil(static_max_bytes / MIB)
    shadow_pages = 256 * vcpus_max + 2 * size_mib
    shadow_mib = max(1, int(shadow_multiplier * ceil(shadow_pages / _PAGES_PER_MIB)))
    per_vcpu_mib = ceil(38 * vcpus_max / _PAGES_PER_MIB)
    internal_mib = 0 if domain_type == "pv" else 1
    shim_mib = 23 + size_mib // 90 if domain_type == "pv_in_pvh" else 0
    return (internal_mib + 1 + shadow_mib + per_vcpu_mib + shim_mib) * MIB
