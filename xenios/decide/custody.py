"""Who else manages a VM: recognised by what control planes and tools leave on it, and named with the evidence.

A trace is a hint for people, never proof of anything: who is seen here makes a VM harder to adopt and never easier.
Names are looked at for one purpose only, to warn of CloudStack, which itself knows its VMs by nothing but their names.

Effects: none
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from xenios.model.decision import Manager, ManagerSeen
from xenios.model.inventory import Vm
from xenios.model.mark import KEY_ON_XENSERVER, NAMESPACE_ON_LIBVIRT

CLOUDSTACK_NAME = re.compile(r"i-\+?\d+-\+?\d+-.+|[rsvlb]-\+?\d+-.+", re.DOTALL)
"""User VMs: i-<account>-<id>-<suffix>. Routers, storage and console VMs, load balancers: <letter>-<id>-<suffix>."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """How a manager is recognised: an annotation key (a prefix), and for some a word in its value."""

    manager: Manager
    owns: bool
    key_prefix: str
    value_part: str = ""


TRACES = (
    Trace(manager=Manager.OPENSTACK_NOVA, owns=True, key_prefix="http://openstack.org/xmlns/libvirt/nova/"),
    Trace(
        manager=Manager.OPENSTACK_NOVA,
        owns=True,
        key_prefix="smbios:manufacturer",
        value_part="OpenStack Foundation",
    ),
    Trace(manager=Manager.OVIRT, owns=True, key_prefix="http://ovirt.org/vm/"),
    Trace(manager=Manager.OPENNEBULA, owns=True, key_prefix="http://opennebula.org/xmlns/libvirt/"),
    Trace(manager=Manager.KUBEVIRT, owns=True, key_prefix="http://kubevirt.io"),
    Trace(manager=Manager.CLOUDSTACK, owns=True, key_prefix="smbios:product", value_part="CloudStack"),
    Trace(manager=Manager.XENIOS, owns=True, key_prefix=KEY_ON_XENSERVER),
    Trace(manager=Manager.XENIOS, owns=True, key_prefix=NAMESPACE_ON_LIBVIRT),
    Trace(manager=Manager.CITRIX, owns=True, key_prefix="Citrix"),
    Trace(manager=Manager.CITRIX, owns=True, key_prefix="XenDesktop"),
    Trace(manager=Manager.XEN_ORCHESTRA, owns=False, key_prefix="xo:"),
    Trace(manager=Manager.XENCENTER, owns=False, key_prefix="XenCenter"),
    Trace(manager=Manager.XENCENTER, owns=False, key_prefix="folder"),
    Trace(manager=Manager.VIRT_MANAGER, owns=False, key_prefix="http://libosinfo.org/xmlns/libvirt/domain/"),
)
"""Annotation keys are other_config keys on XenServer; metadata namespaces and SMBIOS entries on libvirt."""


def managers_seen(vm: Vm) -> tuple[ManagerSeen, ...]:
    """Everyone who left a trace on the VM, owners first; empty when nobody is seen."""
    seen: dict[Manager, ManagerSeen] = {}
    for found in _traces(vm):
        seen.setdefault(found.manager, found)
    return tuple(sorted(seen.values(), key=lambda found: not found.owns))


def _traces(vm: Vm) -> Iterator[ManagerSeen]:
    if looks_like_cloudstack(vm.name):
        yield ManagerSeen(manager=Manager.CLOUDSTACK, evidence=f"its name {vm.name!r}", owns=True)
    for trace in TRACES:
        for key, value in vm.annotations.items():
            if key.startswith(trace.key_prefix) and trace.value_part in value:
                evidence = f"{key} = {trace.value_part}" if trace.value_part else key
                yield ManagerSeen(manager=trace.manager, evidence=evidence, owns=trace.owns)


_OTHERS = tuple(trace for trace in TRACES if trace.owns and trace.manager is not Manager.XENIOS)
_OTHERS_KEYS = tuple(trace.key_prefix for trace in _OTHERS)


def is_anothers(vm: Vm) -> bool:
    """Whether another control plane has left on the VM that it thinks it its own.

    Its name is not looked at, and what another Xenios thinks, its mark says (decide/ownership.py).
    """
    for key, value in vm.annotations.items():
        if key.startswith(_OTHERS_KEYS) and any(
            key.startswith(trace.key_prefix) and trace.value_part in value for trace in _OTHERS
        ):
            return True
    return False


def looks_like_cloudstack(name: str) -> bool:
    """Whether CloudStack could take a VM of this name for one of its own, in any of its releases."""
    return CLOUDSTACK_NAME.fullmatch(name) is not None
