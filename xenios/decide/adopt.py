"""May a VM be adopted? Unlike other tables this one gives every reason against, so that all can be put right at once.

Effects: none
"""

from collections.abc import Collection as Many
from dataclasses import dataclass

from xenios.decide.rules import Rule
from xenios.model.decision import ManagerSeen, Refusal, Verdict
from xenios.model.inventory import Answer, Host, PowerState, Vm, VmKind


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptionFacts:
    """What adoption depends on."""

    vm: Vm
    owners: tuple[ManagerSeen, ...]
    """Managers seen that think the VM is theirs; tools that people use are not among them."""
    host: Host | None
    uuid_is_unique: bool

    @property
    def owner_names(self) -> str:
        """The owners in words, with the evidence."""
        return " and ".join(f"{owner.manager} ({owner.evidence})" for owner in self.owners)


MAY_WE_ADOPT: tuple[Rule[AdoptionFacts], ...] = (
    Rule(
        id="adopt.control-domain",
        when=lambda f: f.vm.kind is VmKind.CONTROL_DOMAIN,
        verdict=Verdict.LEAVE_ALONE,
        because="it is a control domain: the hypervisor itself runs in it",
        why="A control domain is part of its host. Stopping or moving it takes the host with it.",
        remedy="nothing to do",
    ),
    Rule(
        id="adopt.snapshot",
        when=lambda f: f.vm.kind is VmKind.SNAPSHOT,
        verdict=Verdict.LEAVE_ALONE,
        because="it is a snapshot, not a machine",
        why="Snapshots belong to the VM they were taken of and go with it.",
        remedy="adopt the VM it was taken of",
    ),
    Rule(
        id="adopt.template",
        when=lambda f: f.vm.kind is VmKind.TEMPLATE,
        verdict=Verdict.LEAVE_ALONE,
        because="it is a template, not a machine",
        why="A template cannot run. It can be deployed from without being ours.",
        remedy="deploy from it instead of adopting it",
    ),
    Rule(
        id="adopt.uuid-not-unique",
        when=lambda f: not f.uuid_is_unique,
        verdict=Verdict.LEAVE_ALONE,
        because="its uuid is missing or is there more than once, so nobody can say which VM is meant",
        why="The mark of an adopted VM names the hypervisor's own uuid. Without a unique one it proves nothing.",
        remedy="find out with the hypervisor's own tools how this came to be",
    ),
    Rule(
        id="adopt.definition-unread",
        when=lambda f: not f.vm.definition_read,
        verdict=Verdict.WAIT,
        because="its definition could not be read",
        why="Less knowledge never means more action.",
        remedy="put right what kept it from being read (see the failures), then inspect again",
    ),
    Rule(
        id="adopt.power-unknown",
        when=lambda f: f.vm.power_state is PowerState.UNKNOWN,
        verdict=Verdict.WAIT,
        because="its power state is unknown",
        why="Unknown is not halted.",
        remedy="inspect again; ask the hypervisor's own tools what the VM does",
    ),
    Rule(
        id="adopt.host-not-live",
        when=lambda f: f.host is not None and f.host.live is Answer.NO,
        verdict=Verdict.WAIT,
        because=lambda f: (
            f"its host {f.host.name if f.host else ''} does not answer, so its state is only remembered"
        ),
        why="What a dead host's VMs do is not known until the host is back or declared dead.",
        remedy="bring the host back, or let the pool take its VMs over, then inspect again",
    ),
    Rule(
        id="adopt.host-unknown",
        when=lambda f: _is_somewhere(f.vm) and (f.host is None or f.host.live is Answer.UNKNOWN),
        verdict=Verdict.WAIT,
        because="nothing is known of its host, or not whether that answers, so its state may only be remembered",
        why="To know less than that a host is dead is no reason to do more.",
        remedy="put right what kept the host from being seen (see the failures), then inspect again",
    ),
    Rule(
        id="adopt.transient",
        when=lambda f: f.vm.persistent is Answer.NO,
        verdict=Verdict.LEAVE_ALONE,
        because="it is transient: when it stops, its definition is gone, and our mark with it",
        why="libvirt keeps no definition of a transient domain. Whoever created it expects to create it again.",
        remedy="make it permanent (virsh dumpxml, virsh define) when nobody else manages it",
    ),
    Rule(
        id="adopt.managed-by-another",
        when=lambda f: bool(f.owners),
        verdict=Verdict.ASK_OPERATOR,
        because=lambda f: f"it looks managed by {f.owner_names}",
        why="Two control planes on one VM undo each other's work. A trace is no proof, so a person decides.",
        remedy="take it out of that manager's hands first, or say that the trace is stale when adopting",
    ),
    Rule(
        id="adopt.busy",
        when=lambda f: bool(f.vm.busy),
        verdict=Verdict.WAIT,
        because=lambda f: f"the hypervisor is at work on it: {', '.join(f.vm.busy)}",
        why="What it will be when that is over is not known yet.",
        remedy="wait until that is over",
    ),
)
"""Every row that matches is a reason. No row: it may be adopted, and adopting changes nothing but our mark."""


def _is_somewhere(vm: Vm) -> bool:
    """Whether it is on a host, or must be on one to be in its state."""
    return vm.host_uuid is not None or vm.holds_memory


def refusals_to_adopt(
    vm: Vm, managers: Many[ManagerSeen], host: Host | None, *, uuid_is_unique: bool
) -> tuple[Refusal, ...]:
    """All reasons against adopting the VM; empty: it may be adopted."""
    facts = AdoptionFacts(
        vm=vm, owners=tuple(seen for seen in managers if seen.owns), host=host, uuid_is_unique=uuid_is_unique
    )
    return tuple(rule.refusal(facts) for rule in MAY_WE_ADOPT if rule.when(facts))
