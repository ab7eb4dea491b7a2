"""CloudStack 4.22 as a policy: it follows power reports, and cleans up by names when a XenServer host connects.

Effects: none
"""

from dataclasses import dataclass

from xenios.decide.precedent.books import Books
from xenios.decide.precedent.cleanups import RULE_HALTED_4_4, clean_up_halted, destroy_patch_drives
from xenios.decide.precedent.cloudstack import CloudStack
from xenios.decide.precedent.commands import Manner, manner_4_22
from xenios.decide.precedent.names import is_own_halted_name_4_4
from xenios.decide.precedent.policy import Occasion, Reaction
from xenios.decide.precedent.sync_4_22 import reset_tracking, sync_host
from xenios.model.collection import Collection
from xenios.model.inventory import Pool

CLOUDSTACK_4_22 = "cloudstack-4.22"


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudStack422(CloudStack):
    """4.22."""

    name: str = CLOUDSTACK_4_22
    title: str = "CloudStack 4.22"
    stops_unknown_vms: bool = False

    def manner(self, pool: Pool) -> Manner:
        """Whether halted records are destroyed hangs on the version of XenServer."""
        return manner_4_22(pool)

    def react(self, memory: Books, occasion: Occasion, view: Collection | None, now: int) -> Reaction[Books]:
        """Clean-ups at connect, one ping of every host each minute."""
        turn = self.turn(memory, view, now)
        if occasion is Occasion.CONNECT:
            turn.add_hosts()
            reset_tracking(turn)
            if turn.manner.xenserver and view is not None:
                if turn.manner.destroys_halted:
                    clean_up_halted(turn, RULE_HALTED_4_4, is_own_halted_name_4_4)
                destroy_patch_drives(turn)
        else:
            for host_uuid in tuple(turn.hosts):
                if turn.answers(host_uuid):
                    sync_host(turn, host_uuid)
        turn.watch_for_silence()
        return turn.end()
