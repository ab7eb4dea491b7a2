"""What does it mean for our record that a VM is not as it was recorded? It follows, waits, tells, or is to be restored.

No row here lets anything be done to the VM: where the wish is to be restored, MAY_WE_TOUCH decides whether it may.

Effects: none
"""

from xenios.decide.facts import Elsewhere, Facts, Move, PowerChange, WishAge, Wished, WishedPlace, Work
from xenios.decide.ownership import MarkSeen
from xenios.decide.presence import Sighting
from xenios.decide.rules import Part, Rule, Table, nobody_thought_of_it
from xenios.model.collection import Quality
from xenios.model.decision import Verdict
from xenios.model.record import Custody, DriftPolicy

IS_IT_OURS: Part[Facts] = Part(
    question="Is it ours, and still there, and only there?",
    reads=("custody", "sighting", "wished", "elsewhere"),
    rows=(
        Rule(
            id="changed.not-ours",
            when=lambda f: f.custody not in (Custody.CREATED, Custody.ADOPTED),
            verdict=Verdict.LEAVE_ALONE,
            because="it is not ours; what others do with their VMs is seen and not recorded as a wish",
            why="The change is told, and counts for room.",
            remedy="nothing to do",
        ),
        Rule(
            id="changed.gone-as-asked",
            when=lambda f: f.sighting is Sighting.CONFIRMED_ABSENT and f.wished is Wished.GONE,
            verdict=Verdict.LEAVE_ALONE,
            because="it is gone, as was asked: our record of it is closed",
            why="The wish is met, by whomever. Should a copy with the same uuid come back, nobody asked that it go.",
            remedy="nothing to do",
        ),
        Rule(
            id="changed.gone",
            when=lambda f: f.sighting is Sighting.CONFIRMED_ABSENT,
            verdict=Verdict.ASK_OPERATOR,
            because="it is gone: complete views in a row lack it",
            why="An absence is reported. The record stays, for somebody may want it back.",
            remedy="forget our record, or restore it from its capsule or a backup",
        ),
        Rule(
            id="changed.seen-in-another-pool",
            when=lambda f: f.elsewhere is Elsewhere.SEEN,
            verdict=Verdict.ASK_OPERATOR,
            because="a VM with its uuid is in another pool, too: it may have been moved there",
            why="A moved VM is never called stopped.",
            remedy="find out which of them is meant; remove or forget the other",
        ),
    ),
)

IS_IT_SO: Part[Facts] = Part(
    question="Is it so?",
    reads=("mark", "sighting", "quality", "work"),
    rows=(
        Rule(
            id="changed.contradictory",
            when=lambda f: f.sighting in (Sighting.ON_TWO_HOSTS, Sighting.TWICE),
            verdict=Verdict.ASK_OPERATOR,
            because="the view says two things of it",
            why="Which of them to follow, a person must say.",
            remedy="look at it with the hypervisor's own tools now",
        ),
        Rule(
            id="changed.unknown",
            when=lambda f: f.sighting is not Sighting.FRESH,
            verdict=Verdict.WAIT,
            because="it is not seen now; what was recorded stays, with its age",
            why="Unknown is never stopped, and silence is never absence.",
            remedy="wait for a view that shows it",
        ),
        Rule(
            id="changed.view-suspicious",
            when=lambda f: f.quality is Quality.SUSPICIOUS,
            verdict=Verdict.WAIT,
            because="the view of its pool is not to be believed: {suspicions}",
            why="A record follows nothing that may be taken back in a minute.",
            remedy="look at the pool with its own tools, and agree if it is so; or wait until several views agree",
        ),
        Rule(
            id="changed.mark-not-read",
            when=lambda f: f.mark is MarkSeen.NOT_READ,
            verdict=Verdict.WAIT,
            because="its definition could not be read, so nobody knows whether it carries our mark",
            why="Whether this is the VM that was recorded is open, and the next view may tell.",
            remedy="put right what kept its definition from being read",
        ),
        Rule(
            id="changed.keys-do-not-fit",
            when=lambda f: f.mark is not MarkSeen.OURS,
            verdict=Verdict.ASK_OPERATOR,
            because="its mark and our record do not fit together",
            why="Whether this is the VM that was recorded is open, so its changes are nobody's.",
            remedy="see what MAY_WE_TOUCH says of it",
        ),
        Rule(
            id="changed.our-own-doing",
            when=lambda f: f.work is Work.OURS,
            verdict=Verdict.WAIT,
            because="an operation of ours is under way on it and records what comes of it",
            why="What we do ourselves is no drift.",
            remedy="wait until it is over",
        ),
        Rule(
            id="changed.in-anothers-hands",
            when=lambda f: f.work is Work.ANOTHERS,
            verdict=Verdict.WAIT,
            because="somebody else is at work on it: {busy}",
            why="What it will be when that is over is not known yet.",
            remedy="wait until that is over",
        ),
    ),
)

WHAT_FOLLOWS: Part[Facts] = Part(
    question="What follows from it?",
    reads=("power_change", "move", "wished", "wish_age", "place", "drift"),
    rows=(
        Rule(
            id="changed.power-unknown",
            when=lambda f: f.power_change is PowerChange.UNKNOWN,
            verdict=Verdict.WAIT,
            because="what it does now is unknown; what was recorded stays",
            why="Unknown is not halted.",
            remedy="ask the hypervisor's own tools what the VM does",
        ),
        Rule(
            id="changed.suspended",
            when=lambda f: f.power_change is PowerChange.SUSPENDED,
            verdict=Verdict.LEAVE_ALONE,
            because="it is suspended: its memory is kept, and so is what was asked of it",
            why="Suspended is neither on nor stopped. Whoever suspended it means to go on.",
            remedy="resume it, or say that its memory may be lost",
        ),
        Rule(
            id="changed.drift-to-restore",
            when=lambda f: (
                f.drift is DriftPolicy.RESTORE
                and f.wish_age is WishAge.MET_ONCE
                and (
                    (f.power_change is PowerChange.STOPPED and f.wished is Wished.ON)
                    or (f.power_change is PowerChange.STARTED and f.wished is Wished.OFF)
                    or (f.move is Move.MOVED and f.place is WishedPlace.ELSEWHERE)
                )
            ),
            verdict=Verdict.LEAVE_ALONE,
            because="somebody changed it, and it shall be kept as asked: the wish stays",
            why="With the policy restore the wish outlives the change; whether it may be acted on is asked apart.",
            remedy="set its drift policy to follow if the change was meant",
        ),
        Rule(
            id="changed.as-asked",
            when=lambda f: (
                (f.power_change is PowerChange.STARTED and f.wished is Wished.ON)
                or (f.power_change is PowerChange.STOPPED and f.wished in (Wished.OFF, Wished.GONE))
                or (
                    f.power_change is PowerChange.NONE
                    and f.move is Move.MOVED
                    and f.place is WishedPlace.HERE
                )
            ),
            verdict=Verdict.LEAVE_ALONE,
            because="it has become as was asked",
            why="The wish is met, by whomever.",
            remedy="nothing to do",
        ),
        Rule(
            id="changed.followed-stop",
            when=lambda f: f.power_change is PowerChange.STOPPED,
            verdict=Verdict.LEAVE_ALONE,
            because="somebody stopped it; our record follows, and a wish that it run is taken back",
            why="Who stops a VM at the hypervisor or from inside wants it off. It is not started behind his back.",
            remedy="start it, or set its drift policy to restore",
        ),
        Rule(
            id="changed.followed-start",
            when=lambda f: f.power_change is PowerChange.STARTED,
            verdict=Verdict.LEAVE_ALONE,
            because="somebody started it; our record follows, and a wish that it be off is taken back",
            why="Who starts a VM at the hypervisor wants it on. It is not stopped behind his back.",
            remedy="stop it, or set its drift policy to restore",
        ),
        Rule(
            id="changed.followed-move",
            when=lambda f: f.move is Move.MOVED,
            verdict=Verdict.LEAVE_ALONE,
            because="somebody moved it to another host; our record follows",
            why="A moved VM is the same VM: it is never called stopped, and never started twice.",
            remedy="nothing to do",
        ),
        Rule(
            id="changed.nothing",
            when=lambda f: f.power_change is PowerChange.NONE and f.move is Move.NONE,
            verdict=Verdict.LEAVE_ALONE,
            because="it is as it was recorded",
            why="Most views change nothing.",
            remedy="nothing to do",
        ),
        nobody_thought_of_it("changed"),
    ),
)

WHAT_CHANGED: Table[Facts] = Table(
    name="changed",
    question="What does a change mean for our record?",
    about="The first row that matches decides. None acts on the VM: `changed.drift-to-restore` keeps the wish, and "
    "MAY_WE_TOUCH decides whether it may be fulfilled.",
    facts=Facts,
    parts=(IS_IT_OURS, IS_IT_SO, WHAT_FOLLOWS),
)
