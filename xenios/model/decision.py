"""Verdicts, refusals and findings: what is said about a VM, always with the rule that says it and what to do next.

Effects: none
"""

from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """What a rule decides. Every verdict but ACT is a reason to keep our hands off."""

    LEAVE_ALONE = "leave alone"
    WAIT = "wait"
    ASK_OPERATOR = "ask the operator"
    ACT = "act"


class Severity(StrEnum):
    """How much a finding matters to whoever takes over the pool."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Manager(StrEnum):
    """Another control plane or tool that has left its traces on a VM."""

    CLOUDSTACK = "CloudStack"
    OPENSTACK_NOVA = "OpenStack Nova"
    OVIRT = "oVirt"
    OPENNEBULA = "OpenNebula"
    KUBEVIRT = "KubeVirt"
    XENIOS = "Xenios"
    CITRIX = "Citrix"
    XEN_ORCHESTRA = "Xen Orchestra"
    XENCENTER = "XenCenter"
    VIRT_MANAGER = "virt-manager"


class ManagerSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A manager and the trace that gave it away."""

    manager: Manager
    evidence: str
    owns: bool
    """True: a control plane that thinks the VM is its own; False: a tool that people worked on it with."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a table says of one VM (or host): the row that decided, and all that it decided by."""

    table: str
    rule: str
    """The rule's id; ids are for ever."""
    verdict: Verdict
    facts: tuple[tuple[str, str], ...]
    """Name and value of each fact, so that the decision can be made again by anybody."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why something may not be done."""

    rule: str
    """The rule's id; ids are for ever."""
    verdict: Verdict
    because: str
    remedy: str


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something about a pool, host, storage or VM that a careful operator would want to know before a takeover."""

    code: str
    """Stable; documented in docs/findings.md."""
    severity: Severity
    subject: str
    """What it is about, in words; "VM web-1"."""
    subject_uuid: str
    detail: str
    remedy: str
