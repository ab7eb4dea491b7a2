"""What is told of a pool whose last VM is really gone, which to a policy looks like an empty answer?

Effects: none
"""

from xenios.decide.precedent.cloudstack_4_0 import CLOUDSTACK_4_0_2, CLOUDSTACK_4_0_2_PATCHED
from xenios.decide.precedent.cloudstack_4_22 import CLOUDSTACK_4_22
from xenios.decide.precedent.policy import Deed
from xenios.replay.contestants import contestants
from xenios.replay.parse import parse_story
from xenios.replay.play import play
from xenios.replay.told import Harm

POLICIES = (CLOUDSTACK_4_0_2, CLOUDSTACK_4_0_2_PATCHED, CLOUDSTACK_4_22)
EMPTIED = """\
pool xenserver 6.2
host h1 64 GiB
vm a 1 GiB running on h1
00:00 manager connects
00:01 administrator shuts down a
00:01 administrator deletes a
00:03 end
"""


def test_a_stop_for_a_vm_that_is_gone_finds_nothing_and_harms_nobody() -> None:
    story = play(parse_story(EMPTIED, "s"), contestants(POLICIES))
    done = [
        (cell.policy, told.deed, told.harm)
        for row in story.rows
        for cell in row.cells
        for told in cell.happened
        if told.deed is not Deed.ALERT
    ]
    assert [(policy, deed) for policy, deed, _ in done] == [(CLOUDSTACK_4_0_2, Deed.STOP_FAILED)]
    assert {harm for *_, harm in done} == {Harm.NONE}
