"""What every version of CloudStack has in common as a policy: its books, and what its users ask of it.

Effects: none
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from xenios.decide.precedent.books import Books, Row
from xenios.decide.precedent.claimed_room import claimed_room
from xenios.decide.precedent.commands import Manner
from xenios.decide.precedent.names import DEFAULT_INSTANCE_NAME, VmType, id_of_own_name_4_0
from xenios.decide.precedent.policy import ClaimedRoom, Deed, Occasion, Reaction
from xenios.decide.precedent.reports_4_0 import Seen
from xenios.decide.precedent.states import PowerReport, State
from xenios.decide.precedent.turn import Turn
from xenios.model.collection import Collection
from xenios.model.inventory import HypervisorKind, Pool, Vm

_NO_POOL = Pool(uuid="", name="", kind=HypervisorKind.OTHER)
RULE_ASKED = "at a user's request"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudStack(ABC):
    """A CloudStack, without the sync that sets its versions apart."""

    name: str
    title: str
    """How it is called in a sentence."""
    stops_unknown_vms: bool = True
    """Whether its sync ever stops a VM that is not in its database."""
    instance: str = DEFAULT_INSTANCE_NAME

    def begin(self) -> Books:
        """An empty database."""
        return Books()

    @abstractmethod
    def manner(self, pool: Pool) -> Manner:
        """How this version does things on a pool."""

    @abstractmethod
    def react(self, memory: Books, occasion: Occasion, view: Collection | None, now: int) -> Reaction[Books]:
        """The sync of this version."""

    def turn(self, memory: Books, view: Collection | None, now: int) -> Turn:
        """A turn on this view. Without one, the pool is the one that was seen last."""
        pool = view.pool if view is not None else memory.pool or _NO_POOL
        return Turn(memory, self.manner(pool), view, now)

    # --- what its users ask of it ------------------------------------------------------------------------------------

    def created(self, memory: Books, vm: Vm, *, ha: bool, now: int) -> Books:
        """A VM that it deployed: in its database, and in the caches of its agents as after a StartCommand."""
        known = id_of_own_name_4_0(vm.name, self.instance)
        row_id = known[1] if known is not None and known[1] not in memory.rows else _next_id(memory)
        on = vm.holds_memory
        host_uuid = vm.host_uuid if vm.host_uuid is not None else vm.preferred_host_uuid
        row = Row(
            id=row_id,
            name=vm.name,
            type=known[0] if known is not None else VmType.USER,
            state=State.RUNNING if on else State.STOPPED,
            host_uuid=host_uuid if on else None,
            last_host_uuid=host_uuid,
            ha=ha,
            bytes_memory=vm.memory.bytes_max,
            updated_at=now,
            power=PowerReport.ON if on else PowerReport.OFF,
            power_host_uuid=host_uuid if on else None,
            power_at=now,
            vm_uuid=vm.uuid,
        )
        books = replace(
            memory,
            rows={**memory.rows, row_id: row},
            seen=(*(seen for seen in memory.seen if seen.uuid != vm.uuid), vm),
        )
        if not on or host_uuid is None:
            return books
        cached = {vm.name: Seen(host_uuid, State.RUNNING)}
        return replace(
            books,
            pool_cache={**memory.pool_cache, **cached},
            host_caches={
                **memory.host_caches,
                host_uuid: {**memory.host_caches.get(host_uuid, {}), **cached},
            },
        )

    def asked_to_stop(self, memory: Books, vm: Vm, view: Collection, now: int) -> Reaction[Books]:
        """A StopCommand. If it fails, the VM is Running again in the database."""
        turn = self.turn(memory, view, now)
        row = memory.row_of_name(vm.name)
        if row is None:
            turn.tell(Deed.NOTHING, RULE_ASKED, "it does not know this VM", vm.name, vm_uuid=vm.uuid)
        elif row.host_uuid is not None and turn.send_stop(row.name, row.host_uuid, RULE_ASKED):
            turn.mark_stopped(row)
        return turn.end()

    def asked_to_start(
        self, memory: Books, vm: Vm, host_uuid: str, view: Collection, now: int
    ) -> Reaction[Books]:
        """A StartCommand, which clears away what has the same name."""
        turn = self.turn(memory, view, now)
        row = memory.row_of_name(vm.name)
        if row is None:
            turn.tell(Deed.NOTHING, RULE_ASKED, "it does not know this VM", vm.name, vm_uuid=vm.uuid)
            return turn.end()
        if row.state is not State.STOPPED:
            words = f"refused: it is {row.state} in its database"
            turn.tell(Deed.NOTHING, RULE_ASKED, words, vm.name, vm_uuid=vm.uuid)
            return turn.end()
        started = turn.start(row, host_uuid, RULE_ASKED)
        if started.succeeded and started.taken_over is None:
            turn.tell(
                Deed.STARTED, RULE_ASKED, started.words, vm.name, vm_uuid=row.vm_uuid, host_uuid=host_uuid
            )
        return turn.end()

    def restored(self, old: Books, now: int) -> Books:
        """The old database. The agents' caches are empty: the server restarts, and its agents connect anew."""
        del now
        return replace(old, pool_cache={}, host_caches={}, silent_since={})

    # --- what it believes --------------------------------------------------------------------------------------------

    def room(self, memory: Books, view: Collection) -> Mapping[str, ClaimedRoom]:
        """A sum over its own database."""
        return claimed_room(memory, view)

    def belief(self, memory: Books, vm: Vm) -> str:
        """Its database's state for the VM's name."""
        return memory.belief(vm.name)


def _next_id(books: Books) -> int:
    return max(books.rows, default=0) + 1
