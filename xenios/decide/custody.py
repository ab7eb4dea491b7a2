"""Who else manages a VM: recognised by what control planes and tools leave on it, and named with the evidence.

A trace is a hint for people, never proof of anything: who is seen here makes a VM harder to adopt and never easier.
Names are looked at for one purpose only, to warn of CloudStack, which itself knows its VMs by nothing but their names.
What its releases do by them is told in decide/precedent/names.py.

Effects: none
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from xenios.decide.precedent.names import (
    DEFAULT_INSTANCE_NAME,
    has_patch_drive_name,
    is_own_halted_name_4_4,
    is_valid_cloudstack_vm_name,
    is_valid_user_vm_name_4_22,
)
from xenios.model.decision import Manager, ManagerSeen
from xenios.model.inventory import Vm
from xenios.model.mark import KEY_ON_XENSERVER, NAMESPACE_ON_LIBVIRT

CLOUDSTACK_NAME = re.compile(r"i-\+?\d+-\+?\d+-.+|[rsvlb]-\+?\d+-.+", re.DOTALL)
"""User VMs: i-<account>-<id>-<suffix>. Routers, storage and console VMs, load balancers: <letter>-<id>-<suffix>.

Every name that 4.0 reads an id from, or stops for its form, is among them.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRule:
    """One rule by which CloudStack goes by names. Owns: a VM of such a name may be acted on as one of its own."""

    fits: Callable[[str], bool]
    owns: bool
    because: str = ""
    """What stands behind the name in the evidence; empty: the name says it."""


def _has_full_form(name: str) -> bool:
    return CLOUDSTACK_NAME.fullmatch(name) is not None


def _ends_in_instance_name(name: str) -> bool:
    return is_valid_cloudstack_vm_name(name, DEFAULT_INSTANCE_NAME)


NAME_RULES = (
    NameRule(fits=_has_full_form, owns=True),
    NameRule(
        fits=is_own_halted_name_4_4,
        owns=True,
        because="which the clean-up of 4.4 and later takes for its own",
    ),
    NameRule(
        fits=has_patch_drive_name,
        owns=False,
        because="which begins like a system VM's: on XenServer that costs it a CD drive, and nothing more",
    ),
    NameRule(
        fits=is_valid_user_vm_name_4_22,
        owns=False,
        because="which 4.22 counts among the names of user VMs; nothing is done for it alone",
    ),
    NameRule(
        fits=_ends_in_instance_name,
        owns=False,
        because="which ends like CloudStack's own names; nothing is done for it alone",
    ),
)
"""The first that fits is the one that is told: those that may cost a VM most come first."""


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
        if found.manager not in seen or (found.owns and not seen[found.manager].owns):
            seen[found.manager] = found
    return tuple(sorted(seen.values(), key=lambda found: not found.owns))


def _traces(vm: Vm) -> Iterator[ManagerSeen]:
    rule = _name_rule(vm.name)
    if rule is not None:
        words = [f"its name {vm.name!r}", rule.because]
        yield ManagerSeen(manager=Manager.CLOUDSTACK, evidence=", ".join(filter(None, words)), owns=rule.owns)
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
    """Whether a name fits a rule of CloudStack's in any of its releases, with the instance name as it comes.

    A name that fits none is no shelter: 4.0 to 4.3 act on VMs of every name too, and its database may hold any.
    """
    return _name_rule(name) is not None


def _name_rule(name: str) -> NameRule | None:
    return next((rule for rule in NAME_RULES if rule.fits(name)), None) if "-" in name else None
