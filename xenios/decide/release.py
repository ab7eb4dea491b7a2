"""May a VM be handed back? Releasing takes our mark off it, changes nothing else, and makes it an alien again.

Effects: none
"""

from xenios.decide.facts import Facts, Freeze, Work
from xenios.decide.ownership import MarkSeen
from xenios.decide.presence import Sighting
from xenios.decide.rules import Part, Rule, Table, nobody_thought_of_it
from xenios.model.collection import Quality
from xenios.model.decision import Verdict
from xenios.model.inventory import VmKind
from xenios.model.record import Custody

IS_THERE_ANYTHING: Part[Facts] = Part(
    question="Is there anything of ours to take back?",
    reads=("kind", "custody", "mark"),
    rows=(
        Rule(
            id="release.no-machine",
            when=lambda f: f.kind is not VmKind.MACHINE,
            verdict=Verdict.ASK_OPERATOR,
            because="it is no machine: a mark on it came with a copy, or it was made into something else",
            why="Only machines are taken into custody, so only machines are handed back.",
            remedy="forget our record if there is one; the mark goes with the hypervisor's own tools",
        ),
        Rule(
            id="release.another-installations",
            when=lambda f: f.mark is MarkSeen.ANOTHERS,
            verdict=Verdict.LEAVE_ALONE,
            because="its mark is another installation's ({installation})",
            why="A mark is removed by whoever set it. Without it the other installation would let go of its VM.",
            remedy="release it there; here, forget our record if there is one",
        ),
        Rule(
            id="release.not-ours",
            when=lambda f: f.custody is Custody.UNMANAGED and f.mark is not MarkSeen.OURS,
            verdict=Verdict.LEAVE_ALONE,
            because="it is not ours",
            why="What was never taken cannot be handed back.",
            remedy="nothing to do",
        ),
        Rule(
            id="release.done",
            when=lambda f: f.custody is Custody.RELEASED and f.mark is MarkSeen.ABSENT,
            verdict=Verdict.LEAVE_ALONE,
            because="it was handed back already",
            why="A second release finds nothing to do.",
            remedy="nothing to do",
        ),
        Rule(
            id="release.copy",
            when=lambda f: f.mark is MarkSeen.COPIED,
            verdict=Verdict.ASK_OPERATOR,
            because="its mark names another VM, so it was copied here or written over",
            why="On a copy the mark tells where it comes from. Whose it is must be known before it is wiped.",
            remedy="remove the mark with the hypervisor's own tools; forget our record if there is one",
        ),
        Rule(
            id="release.mark-not-ours-to-read",
            when=lambda f: f.mark in (MarkSeen.DAMAGED, MarkSeen.UNREADABLE, MarkSeen.UNKNOWN_VERSION),
            verdict=Verdict.ASK_OPERATOR,
            because="what stands under our key is not a mark that we can read",
            why="Nobody knows whose it is.",
            remedy="look who wrote it, and remove it with the hypervisor's own tools; then forget our record",
        ),
        Rule(
            id="release.no-mark",
            when=lambda f: f.mark is MarkSeen.ABSENT,
            verdict=Verdict.ASK_OPERATOR,
            because="it carries no mark, so only our record is left",
            why="There is nothing to take off the VM.",
            remedy="forget our record",
        ),
    ),
)

CAN_IT_BE_NOW: Part[Facts] = Part(
    question="Can it be taken off now?",
    reads=("kind", "mark", "sighting", "quality", "freeze", "work"),
    rows=(
        Rule(
            id="release.frozen",
            when=lambda f: f.freeze is not Freeze.NONE,
            verdict=Verdict.WAIT,
            because="acting is frozen, on its pool or everywhere",
            why="Taking a mark off is acting, too.",
            remedy="end the freeze when its reason is gone",
        ),
        Rule(
            id="release.gone",
            when=lambda f: f.sighting is Sighting.CONFIRMED_ABSENT,
            verdict=Verdict.ASK_OPERATOR,
            because="it is gone: complete views in a row lack it",
            why="There is nothing to take the mark off.",
            remedy="forget our record",
        ),
        Rule(
            id="release.doubled",
            when=lambda f: f.sighting in (Sighting.TWICE, Sighting.ON_TWO_HOSTS),
            verdict=Verdict.ASK_OPERATOR,
            because="its uuid is there more than once, so nobody can say which VM is meant",
            why="The mark might be taken off the wrong one.",
            remedy="find out with the hypervisor's own tools how this came to be",
        ),
        Rule(
            id="release.not-seen",
            when=lambda f: f.sighting is not Sighting.FRESH or f.mark is MarkSeen.NOT_READ,
            verdict=Verdict.WAIT,
            because="it is not seen well enough now",
            why="The mark is taken off what is there, and that is to be seen.",
            remedy="wait for a view that shows it",
        ),
        Rule(
            id="release.view-suspicious",
            when=lambda f: f.quality is Quality.SUSPICIOUS,
            verdict=Verdict.WAIT,
            because="the view of its pool is not to be believed: {suspicions}",
            why="It may be a view of a copy of the pool, in which every uuid and every mark is the same.",
            remedy="look at the pool with its own tools, and agree if it is so; or wait until several views agree",
        ),
        Rule(
            id="release.our-own-work",
            when=lambda f: f.work is Work.OURS,
            verdict=Verdict.WAIT,
            because="an operation of ours is under way on it",
            why="A VM is handed back whole, not in the middle of something.",
            remedy="wait until it is over, or cancel it",
        ),
        Rule(
            id="release.anothers-work",
            when=lambda f: f.work is Work.ANOTHERS,
            verdict=Verdict.WAIT,
            because="somebody else is at work on it: {busy}",
            why="A hypervisor may refuse or undo changes in the middle of a task.",
            remedy="wait until that is over",
        ),
        Rule(
            id="release.act",
            when=lambda f: (
                f.kind is VmKind.MACHINE
                and f.mark in (MarkSeen.OURS, MarkSeen.OTHER_EPOCH, MarkSeen.OTHER_RECORD)
                and f.sighting is Sighting.FRESH
                and f.quality in (Quality.COMPLETE, Quality.PARTIAL)
                and f.freeze is Freeze.NONE
                and f.work is Work.IDLE
            ),
            verdict=Verdict.ACT,
            because="it carries our mark, which is all that is taken off",
            why="Whoever gave us a VM gets it back when he asks, exactly as it is.",
            remedy="nothing to do",
        ),
        nobody_thought_of_it("release"),
    ),
)

MAY_WE_RELEASE: Table[Facts] = Table(
    name="release",
    question="May a VM be handed back?",
    about="The first row that matches decides. Freeze and views matter because taking a mark off is a write; what the "
    "VM does and what was wished of it do not.",
    facts=Facts,
    parts=(IS_THERE_ANYTHING, CAN_IT_BE_NOW),
)
