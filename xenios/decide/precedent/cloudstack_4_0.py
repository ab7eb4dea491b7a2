"""CloudStack 4.0.2 as a policy, and the same with a patch of one line: deltaSync asks the name before it stops.

Effects: none
"""

from dataclasses import dataclass

from xenios.decide.precedent.books import Books
from xenios.decide.precedent.cleanups import (
    RULE_HALTED_4_0,
    clean_up_halted,
    destroy_patch_drives,
    takes_any_name,
)
from xenios.decide.precedent.cloudstack import CloudStack
from xenios.decide.precedent.commands import Manner, manner_4_0
from xenios.decide.precedent.names import is_valid_user_vm_name_4_0
from xenios.decide.precedent.policy import Occasion, Reaction
from xenios.decide.precedent.reports_4_0 import changes_since, list_on_kvm, list_on_xenserver
from xenios.decide.precedent.sync_4_0 import (
    RULE_DELTA_UNKNOWN,
    RULE_DELTA_UNKNOWN_PATCHED,
    delta_host_sync,
    delta_sync,
    full_host_sync,
    full_sync,
)
from xenios.decide.precedent.turn import Turn
from xenios.model.collection import Collection
from xenios.model.inventory import Pool

CLOUDSTACK_4_0_2 = "cloudstack-4.0.2"
CLOUDSTACK_4_0_2_PATCHED = "cloudstack-4.0.2-patched"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudStack402(CloudStack):
    """4.0.2, as it was released or with the patch."""

    name: str = CLOUDSTACK_4_0_2
    title: str = "CloudStack 4.0.2"
    patched: bool = False

    def manner(self, pool: Pool) -> Manner:
        """Every halted record is destroyed, on every XenServer."""
        return manner_4_0(pool)

    def react(self, memory: Books, occasion: Occasion, view: Collection | None, now: int) -> Reaction[Books]:
        """A full sync at connect, a delta every minute."""
        turn = self.turn(memory, view, now)
        if occasion is Occasion.CONNECT:
            turn.add_hosts()
        if turn.manner.xenserver:
            self._on_xenserver(turn, occasion)
        else:
            self._on_kvm(turn, occasion)
        turn.watch_for_silence()
        return turn.end()

    def _on_xenserver(self, turn: Turn, occasion: Occasion) -> None:
        view = turn.view
        if view is None:
            return  # two tries failed: no sync this time
        seen = list_on_xenserver(view.vms)
        master_answers = view.pool.master_uuid is None or turn.answers(view.pool.master_uuid)
        if occasion is Occasion.CONNECT:
            if master_answers:
                turn.set_pool_cache(seen)
                full_sync(turn, seen, self.instance)
            clean_up_halted(turn, RULE_HALTED_4_0, takes_any_name)
            destroy_patch_drives(turn)
        elif master_answers:
            cache, changes = changes_since(turn.pool_cache, seen)
            turn.set_pool_cache(cache)
            if self.patched:
                delta_sync(
                    turn, changes, self.instance, is_valid_user_vm_name_4_0, RULE_DELTA_UNKNOWN_PATCHED
                )
            else:
                delta_sync(turn, changes, self.instance, takes_any_name, RULE_DELTA_UNKNOWN)

    def _on_kvm(self, turn: Turn, occasion: Occasion) -> None:
        for host_uuid in tuple(turn.hosts):
            if not turn.answers(host_uuid):
                continue
            # A connection to libvirt that fails gives an empty list, as if every VM were gone.
            seen = list_on_kvm(turn.view.vms, host_uuid) if turn.view is not None else {}
            before = turn.host_caches.get(host_uuid, {}) if occasion is Occasion.ROUND else {}
            cache, changes = changes_since(before, seen)
            turn.host_caches[host_uuid] = cache
            if occasion is Occasion.CONNECT:
                full_host_sync(turn, host_uuid, changes, self.instance)
            else:
                delta_host_sync(turn, host_uuid, changes, self.instance)
