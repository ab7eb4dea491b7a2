"""Facts: the one place that looks at collections, records and clocks. Everything after it sees enums only.

What a rule may depend on is a field here, and nothing else reaches a rule: no name, no time, no number. So all cases
there are can be written down and looked at. Each fact has a value for "nobody knows", and none for "probably".

Effects: none
"""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from xenios.decide.custody import is_anothers
from xenios.decide.ownership import MarkSeen, mark_seen
from xenios.decide.presence import NOWHERE_KNOWN, Sighting, sightings_in
from xenios.decide.view_history import PoolHistory
from xenios.model.collection import Quality
from xenios.model.inventory import PowerState, Vm, VmKind
from xenios.model.policy import Thresholds
from xenios.model.record import Custody, DriftPolicy, Installation, Record, Wish, WishedPower

SECOND = 1_000_000


class PowerSeen(StrEnum):
    """What the VM is seen to do."""

    RUNNING = "running"
    PAUSED = "paused"
    PAUSED_ON_IO_ERROR = "paused on an I/O error"
    SUSPENDED = "suspended"
    SHUTTING_DOWN = "shutting down"
    ASLEEP = "asleep"
    CRASHED = "crashed"
    HALTED = "halted"
    UNKNOWN = "unknown"
    """Not told, or the VM is not seen at all."""
    UNRECOGNISED = "unrecognised"
    """The hypervisor tells a state that this version has no word for: it is newer than we are."""


_POWER_SEEN = {state: PowerSeen(state.value) for state in PowerState}
ON = frozenset({PowerSeen.RUNNING, PowerSeen.PAUSED, PowerSeen.PAUSED_ON_IO_ERROR, PowerSeen.ASLEEP})
"""States of a VM that is somewhere, and could be somewhere else."""
HOLDS_MEMORY = ON | {PowerSeen.SHUTTING_DOWN, PowerSeen.CRASHED}
"""States of a VM that has not been stopped."""
_KNOWN = frozenset(PowerSeen) - {PowerSeen.UNKNOWN, PowerSeen.UNRECOGNISED}


class Wished(StrEnum):
    """What somebody asked for it."""

    NOTHING = "nothing"
    ON = "on"
    OFF = "off"
    GONE = "gone"


class WishedPlace(StrEnum):
    """Whether it is where somebody asked that it run."""

    ANYWHERE = "anywhere"
    HERE = "here"
    ELSEWHERE = "elsewhere"


class WishAge(StrEnum):
    """Whether the wish was ever met. What differs from a wish that was met once is drift, and somebody else's doing."""

    NEW = "not met yet"
    MET_ONCE = "met before"
    LAPSED = "lapsed"
    """It was not met in time, or was asked before the database was restored. Nobody may want it any more."""


class Work(StrEnum):
    """Who is at work on it."""

    IDLE = "idle"
    OURS = "our own operation"
    ANOTHERS = "another's task"


class Freeze(StrEnum):
    """Whether somebody switched acting off."""

    NONE = "none"
    POOL = "pool"
    INSTALLATION = "installation"


class Quiet(StrEnum):
    """Whether Xenios has looked long enough to act."""

    OVER = "over"
    TOO_EARLY = "too early"
    NO_COMPLETE_VIEW = "no complete view yet"


class Consent(StrEnum):
    """Whether somebody allowed, for one host, what may hurt the aliens on it."""

    NONE = "none"
    GIVEN = "given"
    EXPIRED = "expired"


class OwnerSeen(StrEnum):
    """Whether another control plane has left on the VM that it thinks it its own."""

    NOBODY = "nobody"
    ANOTHER = "another"


class PowerChange(StrEnum):
    """What became of it since our record was written."""

    NONE = "none"
    STARTED = "started"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    """It is, since whenever: its memory is kept, so it is neither on nor stopped."""
    UNKNOWN = "unknown"


class Elsewhere(StrEnum):
    """Whether a VM with its uuid is in another pool too, as that was last seen.

    So it is after a move by hand between libvirt hosts that left the definition behind, and after a restored backup.
    """

    NOT_SEEN = "not seen"
    SEEN = "seen"


class Move(StrEnum):
    """Whether it runs on another host than our record says."""

    NONE = "none"
    MOVED = "moved"


class Facts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that decisions about one VM may depend on."""

    kind: VmKind
    custody: Custody
    mark: MarkSeen
    owner: OwnerSeen
    sighting: Sighting
    elsewhere: Elsewhere
    quality: Quality
    power: PowerSeen
    wished: Wished
    wish_age: WishAge
    place: WishedPlace
    drift: DriftPolicy
    power_change: PowerChange
    move: Move
    work: Work
    freeze: Freeze
    quiet: Quiet
    consent: Consent
    """That for the host on which it is."""


# A member of an enum is slow to get at through its class (Python 3.11), and facts are made 100,000 times a second.
_NOBODY, _ANOTHER = OwnerSeen
_NOTHING, _GONE = Wished.NOTHING, Wished.GONE
_NEW, _MET_ONCE, _LAPSED = WishAge
_NOT_SEEN, _SEEN = Elsewhere
_ANYWHERE, _HERE, _ELSEWHERE = WishedPlace
_SAME_POWER, _STARTED, _STOPPED, _IS_SUSPENDED, _UNKNOWN_POWER = PowerChange
_SUSPENDED = PowerSeen.SUSPENDED
_NOT_MOVED, _MOVED = Move
_IDLE, _OURS, _ANOTHERS = Work
_NOT_FROZEN, _POOL_FROZEN, _FROZEN = Freeze
_QUIET_OVER, _TOO_EARLY, _NO_COMPLETE_VIEW = Quiet
_NO_CONSENT, _GIVEN, _EXPIRED = Consent
_UNSEEN, _UNRECOGNISED = PowerSeen.UNKNOWN, PowerSeen.UNRECOGNISED
_PAUSED, _PAUSED_ON_IO_ERROR = PowerState.PAUSED, PowerSeen.PAUSED_ON_IO_ERROR
_MACHINE = VmKind.MACHINE
_WISHED = {WishedPower.NONE: _NOTHING, WishedPower.ON: Wished.ON, WishedPower.OFF: Wished.OFF}
_NO_RECORD = Record(vm_id="", pool_uuid="", native_uuid="", custody=Custody.UNMANAGED, epoch=0)
"""What is recorded of a VM that is not: nothing wished, nothing known from before."""
_NO_WISH = _NO_RECORD.wish


def facts_about(
    vm: Vm | None,
    record: Record | None,
    history: PoolHistory,
    installation: Installation,
    now: int,
    thresholds: Thresholds,
    elsewhere: frozenset[str] = frozenset(),
) -> Facts:
    """The facts about one VM of the pool whose history this is.

    `vm`: as it was last seen; None when it is known by its record only. `now`: microseconds since 1970. `elsewhere`:
    uuids of the VMs of all other pools, as they were last seen.
    Raises ValueError when these do not belong together: whoever calls has mixed up VMs, and nothing may come of that.
    """
    return facts_in(history, installation, now, thresholds, elsewhere)(vm, record)


def facts_in(
    history: PoolHistory,
    installation: Installation,
    now: int,
    thresholds: Thresholds,
    elsewhere: frozenset[str] = frozenset(),
) -> Callable[[Vm | None, Record | None], Facts]:
    """`facts_about` for one VM of this pool after the other: what is alike for all of them is looked at once."""
    sighting_of = sightings_in(history, now, thresholds)
    pool_uuid, quality, consents = history.pool_uuid, history.quality, installation.consents
    freeze, quiet = freeze_of(installation, pool_uuid), quiet_time(installation, history, now, thresholds)
    wishes_since = _wishes_since(installation, now, thresholds)
    latest = now + thresholds.clock_jump_seconds_max * SECOND

    def about(vm: Vm | None, record: Record | None) -> Facts:
        uuid = _uuid_of(vm, record, pool_uuid)
        host_uuid = vm.host_uuid if vm is not None else None
        own = record if record is not None else _NO_RECORD
        where = _host_to_ask(vm, own, history) if vm is not None and host_uuid is None else host_uuid
        power = power_seen(vm)
        is_on = power in ON
        wish = own.wish
        return Facts(
            kind=vm.kind if vm is not None else _MACHINE,
            custody=own.custody,
            mark=mark_seen(vm, record, installation.id),
            owner=_ANOTHER if vm is not None and is_anothers(vm) else _NOBODY,
            sighting=sighting_of(uuid, where),
            elsewhere=_SEEN if elsewhere and uuid in elsewhere else _NOT_SEEN,
            quality=quality,
            power=power,
            wished=_GONE if wish.gone else _WISHED[wish.power],
            wish_age=_NEW if wish is _NO_WISH else _wish_age(wish, wishes_since, latest),
            place=_ANYWHERE if wish.host_uuid is None or not is_on else _place(wish.host_uuid, host_uuid),
            drift=own.drift,
            power_change=_power_change(own.was_on, power),
            move=_move(own.host_uuid, host_uuid) if is_on else _NOT_MOVED,
            work=work_on(vm, record),
            freeze=freeze,
            quiet=quiet,
            consent=_NO_CONSENT if not consents else consent_for(host_uuid, installation, now),
        )

    return about


def consent_for(host_uuid: str | None, installation: Installation, now: int) -> Consent:
    """Whether what may hurt aliens on this host is allowed now."""
    until = installation.consents.get(host_uuid) if host_uuid is not None else None
    if until is None:
        return _NO_CONSENT
    return _GIVEN if now < until else _EXPIRED


def _uuid_of(vm: Vm | None, record: Record | None, pool_uuid: str) -> str:
    if record is not None and record.pool_uuid != pool_uuid:
        raise ValueError(f"the record {record.vm_id} is of pool {record.pool_uuid}, not of {pool_uuid}")
    if vm is None:
        if record is None:
            raise ValueError("there are no facts about a VM that is neither seen nor recorded")
        return record.native_uuid
    if record is not None and record.native_uuid != vm.uuid:
        raise ValueError(f"the record {record.vm_id} is of VM {record.native_uuid}, not of {vm.uuid}")
    return vm.uuid


def _host_to_ask(vm: Vm, record: Record, history: PoolHistory) -> str | None:
    """The host whose silence leaves open what a VM does that is told to be on none; None: there is no such host.

    A VM that is told to be off, and was on when its host fell silent, may still run there: a pool can be told to forget
    that, and the host too. To start it elsewhere would be to run it twice.
    """
    if vm.holds_memory:
        return NOWHERE_KNOWN
    if vm.uuid in history.last_on:
        return history.last_on[vm.uuid]
    return record.host_uuid if record.was_on else None


def _wishes_since(installation: Installation, now: int, thresholds: Thresholds) -> tuple[int, int]:
    """From when on a wish counts that was not met yet, and one that was."""
    restored_at = installation.restored_at if installation.restored_at is not None else -1
    return max(now - thresholds.wish_seconds_max * SECOND, restored_at + 1), restored_at + 1


def _wish_age(wish: Wish, since: tuple[int, int], latest: int) -> WishAge:
    unmet_since, met_since = since
    asked_at = wish.asked_at
    if (
        asked_at is None
        or asked_at > latest
        or asked_at < (unmet_since if wish.met_at is None else met_since)
    ):
        return _LAPSED
    return _NEW if wish.met_at is None else _MET_ONCE


def power_seen(vm: Vm | None) -> PowerSeen:
    """What a VM is seen to do; unknown when it is not seen."""
    if vm is None:
        return _UNSEEN
    if not vm.power_recognised:
        return _UNRECOGNISED
    if vm.paused_on_io_error and vm.power_state is _PAUSED:
        return _PAUSED_ON_IO_ERROR
    return _POWER_SEEN[vm.power_state]


def _place(wished_uuid: str, host_uuid: str | None) -> WishedPlace:
    return _HERE if wished_uuid == host_uuid else _ELSEWHERE


def _move(recorded_uuid: str | None, host_uuid: str | None) -> Move:
    known = recorded_uuid is not None and host_uuid is not None
    return _MOVED if known and recorded_uuid != host_uuid else _NOT_MOVED


def _power_change(was_on: bool | None, power: PowerSeen) -> PowerChange:
    if power not in _KNOWN:
        return _UNKNOWN_POWER
    if power is _SUSPENDED:
        return _IS_SUSPENDED
    if was_on is None or was_on == (power in HOLDS_MEMORY):
        return _SAME_POWER
    return _STOPPED if was_on else _STARTED


def work_on(vm: Vm | None, record: Record | None) -> Work:
    """Who is at work on a VM."""
    if record is not None and record.operation is not None:
        return _OURS
    return _ANOTHERS if vm is not None and vm.busy else _IDLE


def freeze_of(installation: Installation, pool_uuid: str) -> Freeze:
    """Whether acting on this pool is switched off."""
    if installation.frozen:
        return _FROZEN
    return _POOL_FROZEN if pool_uuid in installation.frozen_pools else _NOT_FROZEN


def quiet_time(installation: Installation, history: PoolHistory, now: int, thresholds: Thresholds) -> Quiet:
    """Whether Xenios has looked at this pool long enough to act."""
    if history.first_complete_at is None:
        return _NO_COMPLETE_VIEW
    early = now - installation.started_at < thresholds.quiet_seconds * SECOND
    return _TOO_EARLY if early else _QUIET_OVER
