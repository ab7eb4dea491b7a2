"""What `allowed_operations` says in a made pool before anybody has touched it.

A real server works it out at its start and after each operation. A pool that was made with less exact lists would
correct them one by one, as its objects are touched, and clients would see changes that nobody made. The records of a
real database are left alone: what they say was worked out by a real server.

Effects: none
"""

from xenios.simulator.facts.datamodel import Record, Records
from xenios.simulator.tables import Tables
from xenios.simulator.verbs.current_operations import ALLOWED

# The order in which a real pool lists what is allowed. With HA on, ha_disable takes the place of ha_enable.
_POOL_OPERATIONS = (
    "ha_enable",
    "cluster_create",
    "designate_new_master",
    "tls_verification_enable",
    "configure_repositories",
    "sync_updates",
    "sync_bundle",
    "apply_updates",
    "cert_refresh",
    "exchange_certificates_on_join",
    "exchange_ca_certificates_on_join",
    "copy_primary_host_certs",
    "eject",
    "get_updates",
    "exchange_crls_on_join",
)


def work_out_allowed_operations(records: Records) -> Records:
    """Write into the records of a made pool which operations its objects admit; returns the same records."""
    tables = Tables(records)
    for class_name, allowed in ALLOWED.items():
        for ref, record in records.get(class_name, {}).items():
            record["allowed_operations"] = allowed(tables, ref)
    for pool in records.get("pool", {}).values():
        pool["allowed_operations"] = _pool_operations_allowed(pool)
    return records


def _pool_operations_allowed(pool: Record) -> list[str]:
    enabled = pool["ha_enabled"]
    return ["ha_disable" if enabled and name == "ha_enable" else name for name in _POOL_OPERATIONS]
