"""Details that decisions are told with: names and figures, which no rule ever sees.

Effects: none
"""

from collections.abc import Iterable, Mapping

from xenios.decide.custody import managers_seen
from xenios.model.decision import Manager, ManagerSeen
from xenios.model.inventory import Host, Vm
from xenios.model.mark import Mark, mark_in

DETAILS = {
    "owners": "who else manages it, with the evidence",
    "managers": "whose traces are on it, tools that people use included",
    "host": "the name of its host",
    "busy": "the hypervisor's operations under way on it",
    "installation": "the id of the installation that its mark names",
    "suspicions": "why the view of its pool is not believed",
}
"""What the `because` of a rule may name in braces."""


def details_of(
    vm: Vm | None,
    host: Host | None,
    managers: Iterable[ManagerSeen] | None = None,
    suspicions: Iterable[str] = (),
) -> Mapping[str, str]:
    """The details of one VM. `managers`: as `managers_seen` finds them, when the caller knows them already."""
    if managers is None:
        managers = managers_seen(vm) if vm is not None else ()
    managers = tuple(managers)
    mark = mark_in(vm.mark) if vm is not None else None
    told = {
        "owners": _named(other_owners(managers)),
        "managers": _named(managers) or "nobody",
        "host": host.name if host is not None else "",
        "busy": ", ".join(vm.busy) if vm is not None else "",
        "installation": mark.installation if isinstance(mark, Mark) else "",
        "suspicions": "; ".join(suspicions),
    }
    return {name: text for name, text in told.items() if text}


def other_owners(managers: Iterable[ManagerSeen]) -> tuple[ManagerSeen, ...]:
    """The control planes among them that think the VM their own. Of a Xenios, ours or another, its mark says more."""
    return tuple(seen for seen in managers if seen.owns and seen.manager is not Manager.XENIOS)


def _named(managers: Iterable[ManagerSeen]) -> str:
    return " and ".join(f"{seen.manager} ({seen.evidence})" for seen in managers)
