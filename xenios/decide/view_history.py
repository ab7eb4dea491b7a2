"""What the views of one pool come to: whether the last one may be trusted, and who was missing in how many of them.

A view is complete, partial, or suspicious: it is whole and still not to be believed, because it is of another pool, has
lost too many VMs at once, or comes from a clock that jumped. Suspicion stays until an operator agrees with what is seen
or several complete views in a row agree with each other.

Effects: none
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from xenios.model.collection import Collection, Quality
from xenios.model.inventory import Answer, PowerState, Vm, VmKind
from xenios.model.policy import Thresholds

SECOND = 1_000_000


class Suspicion(StrEnum):
    """Why a view is not believed."""

    ANOTHER_POOL = "it is a view of another pool"
    VMS_LOST = "it has lost too many VMs at once"
    ALL_LOST = "it shows none of the VMs that were there"
    """However often it is said again: only an operator, or a VM that is seen, ends it."""
    NOT_AGREED_YET = "it was suspicious a moment ago, and too few views have agreed with each other since"
    CLOCK_WENT_BACK = "it is dated before the view that came before it"
    CLOCK_AHEAD = "it is dated from the future"


class PoolHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The views of one pool, as far as decisions depend on them. Begins empty with each start of Xenios."""

    pool_uuid: str
    quality: Quality = Quality.PARTIAL
    """That of the last view, and what is left of suspicion; partial while there was none."""
    suspicions: tuple[Suspicion, ...] = ()
    """Why it is suspicious."""
    seen_at: int | None = None
    """When the last view began, or when the pool last confirmed it by its events; microseconds since 1970."""
    first_complete_at: int | None = None
    silent_since: int | None = None
    """Set while the pool does not answer."""
    listed: frozenset[str] = frozenset()
    """Uuids of all VMs in the last view, templates and the like included."""
    machines: frozenset[str] = frozenset()
    """Those of machines proper. Templates do not vanish, and would hide it when all machines do."""
    expected: frozenset[str] = frozenset()
    """Machines of the last view that could show them all, and those met since in views that could not."""
    twice: frozenset[str] = frozenset()
    """Uuids that several VMs of the last view have."""
    on_two_hosts: frozenset[str] = frozenset()
    """Those of them that run on different hosts."""
    hosts_answering: frozenset[str] = frozenset()
    hosts_silent: frozenset[str] = frozenset()
    """Hosts of the last view that are not known to answer."""
    last_on: dict[str, str] = {}
    """By uuid, the host on which a VM was last seen to hold memory, until that host itself says that it does not."""
    views_that_count: int = 0
    """Views so far from which a VM could be missed: complete, believed, and every host answered."""
    row_began: int = 0
    """How many of them there were when the present row of them, without another view in between, began."""
    last_listed: dict[str, int] = {}
    """By uuid, how many of them there had been when the VM was last listed."""
    all_lost: bool = False
    """A view that should have shown machines showed none, and since then nobody agreed and none was seen."""
    agreeing_views: int = 0
    """While suspicious: how many views in a row agreed with each other."""

    def views_without(self, uuid: str) -> int:
        """In how many views in a row, up to the last one, the VM was missing where it would have been seen."""
        return self.views_that_count - max(self.last_listed.get(uuid, 0), self.row_began)


def is_fresh(history: PoolHistory, now: int, thresholds: Thresholds) -> bool:
    """Whether the last view shows what is: it is young, not from the future, and the pool still answers."""
    if history.seen_at is None or history.silent_since is not None:
        return False
    age = now - history.seen_at
    return -thresholds.clock_jump_seconds_max * SECOND <= age <= thresholds.fresh_seconds * SECOND


def after_view(history: PoolHistory, view: Collection, now: int, thresholds: Thresholds) -> PoolHistory:
    """The history with one more view of the pool."""
    suspicions = _suspicions(history, view, now, thresholds)
    agreeing = _agreeing(history, view, suspicions, thresholds)
    doubted = bool(suspicions) or (
        history.quality is Quality.SUSPICIOUS and agreeing < thresholds.views_to_trust_again
    )
    quality = Quality.SUSPICIOUS if doubted else _quality_of(view)
    answering = frozenset(host.uuid for host in view.hosts if host.live is Answer.YES)
    counts = quality is Quality.COMPLETE and len(answering) == len(view.hosts) > 0
    number = history.views_that_count + counts
    listed, machines = frozenset(vm.uuid for vm in view.vms), _machines(view)
    twice = _twice(view.vms) if len(listed) < len(view.vms) else frozenset()
    return replace(
        history,
        quality=quality,
        suspicions=(suspicions or (Suspicion.NOT_AGREED_YET,)) if doubted else (),
        seen_at=view.seen_at,
        first_complete_at=view.seen_at
        if history.first_complete_at is None and quality is Quality.COMPLETE
        else history.first_complete_at,
        silent_since=None,
        listed=listed,
        machines=machines,
        expected=machines if view.all_vms_seen else history.expected | machines,
        twice=twice,
        on_two_hosts=_on_two_hosts(view.vms, twice),
        hosts_answering=answering,
        hosts_silent=frozenset(host.uuid for host in view.hosts) - answering,
        last_on=_last_on(history, view, answering),
        views_that_count=number,
        row_began=history.row_began if counts else number,
        last_listed=_still_of_use(history, number, thresholds) | dict.fromkeys(listed, number),
        all_lost=not machines and (history.all_lost or Suspicion.ALL_LOST in suspicions),
        agreeing_views=agreeing if doubted else 0,
    )


def after_host_is_off(history: PoolHistory, host_uuid: str) -> PoolHistory:
    """An operator vouches that nothing runs on this host any more: it is off, or was wiped."""
    return replace(
        history, last_on={uuid: host for uuid, host in history.last_on.items() if host != host_uuid}
    )


def after_silence(history: PoolHistory, since: int) -> PoolHistory:
    """The pool did not answer. What was known of it stays, with its age; a row of views ends."""
    return replace(
        history,
        silent_since=history.silent_since if history.silent_since is not None else since,
        row_began=history.views_that_count,
    )


def after_word(history: PoolHistory, at: int) -> PoolHistory:
    """The pool's stream of events told at this moment that all it told before still holds.

    Whoever applied changes to what he holds makes a view of it (`after_view`) before he decides on it: only views say
    which hosts answer and which VMs there are.
    """
    if history.seen_at is None or history.silent_since is not None or at <= history.seen_at:
        return history
    return replace(history, seen_at=at)


def after_consent(history: PoolHistory) -> PoolHistory:
    """An operator looked at what is suspicious and agrees that it is so. The next view is judged against it."""
    if history.quality is not Quality.SUSPICIOUS:
        return history
    return replace(history, quality=Quality.PARTIAL, suspicions=(), all_lost=False, agreeing_views=0)


def _quality_of(view: Collection) -> Quality:
    """A view that may lack hosts or VMs is partial, also where it names nothing that failed."""
    return view.quality if view.all_vms_seen and view.all_hosts_seen else Quality.PARTIAL


def _suspicions(
    history: PoolHistory, view: Collection, now: int, thresholds: Thresholds
) -> tuple[Suspicion, ...]:
    slack = thresholds.clock_jump_seconds_max * SECOND
    found = []
    if view.pool.uuid != history.pool_uuid:
        found.append(Suspicion.ANOTHER_POOL)
    if view.seen_at > now + slack:
        found.append(Suspicion.CLOCK_AHEAD)
    if history.seen_at is not None and view.seen_at < history.seen_at - slack:
        found.append(Suspicion.CLOCK_WENT_BACK)
    return (*found, *_losses(history, view, thresholds))


def _losses(history: PoolHistory, view: Collection, thresholds: Thresholds) -> Iterator[Suspicion]:
    """A view that cannot show every VM may lack any, and says so; it is no lie, and makes no later view less odd."""
    if not view.all_vms_seen:
        return
    machines = _machines(view)
    lost = len(history.expected - machines)
    if not machines and (lost > thresholds.vms_lost_free or history.all_lost):
        yield Suspicion.ALL_LOST
    elif lost > max(thresholds.vms_lost_free, thresholds.vms_lost_share_max * len(history.expected)):
        yield Suspicion.VMS_LOST


def _machines(view: Collection) -> frozenset[str]:
    return frozenset(vm.uuid for vm in view.vms if vm.kind is VmKind.MACHINE)


def _agreeing(
    history: PoolHistory, view: Collection, suspicions: tuple[Suspicion, ...], thresholds: Thresholds
) -> int:
    """How many complete views in a row, this one included, agree with each other."""
    if _quality_of(view) is not Quality.COMPLETE:
        return 0
    differ = len(history.machines ^ _machines(view))
    few = max(thresholds.vms_lost_free, thresholds.vms_lost_share_max * len(history.machines))
    if suspicions or differ > few:
        return 1
    return min(history.agreeing_views + 1, thresholds.views_to_trust_again)


def _last_on(history: PoolHistory, view: Collection, answering: frozenset[str]) -> dict[str, str]:
    """A pool can be told to forget what runs on a host that is silent, and even the host. That stops nothing there."""
    open_ = {uuid: host for uuid, host in history.last_on.items() if host not in answering}
    for vm in view.vms:
        if vm.host_uuid is not None and (vm.holds_memory or vm.power_state is PowerState.UNKNOWN):
            open_[vm.uuid] = vm.host_uuid
    return open_


def _still_of_use(history: PoolHistory, number: int, thresholds: Thresholds) -> dict[str, int]:
    """What says of a missing VM more than that it is missing in the whole row, or in enough of it."""
    return {
        uuid: last
        for uuid, last in history.last_listed.items()
        if last > history.row_began and number - last < thresholds.views_to_confirm_absence
    }


def _twice(vms: Iterable[Vm]) -> frozenset[str]:
    met: set[str] = set()
    return frozenset(vm.uuid for vm in vms if vm.uuid in met or met.add(vm.uuid))  # type: ignore[func-returns-value]


def _on_two_hosts(vms: Iterable[Vm], twice: frozenset[str]) -> frozenset[str]:
    hosts: dict[str, set[str]] = {}
    for vm in vms:
        if vm.uuid in twice and vm.holds_memory and vm.host_uuid is not None:
            hosts.setdefault(vm.uuid, set()).add(vm.host_uuid)
    return frozenset(uuid for uuid, where in hosts.items() if len(where) > 1)
