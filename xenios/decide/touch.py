"""May we touch a VM, to bring it to what was asked for it? From top to bottom; the first row that holds decides.

A VM is ours by two keys: our record of it, and our mark on it, which names this installation and this very VM. Read
the table as a list of reasons to keep our hands off. LEAVE_ALONE: nothing is done, and nothing needs to be. WAIT:
nothing is done now; a later look may tell more. ASK_OPERATOR: nothing is done until a person says what. ACT: what was
asked is brought about. One row only acts, and it is reached when none of the reasons above it holds: the VM is ours,
was seen just now in a complete view, nobody works on it, nothing brakes, and what was asked is not so. The last row
catches what nobody thought of. Of a VM that is not seen now, what was last seen of it counts, or nothing is known.

Effects: none
"""

from xenios.decide.facts import (
    Elsewhere,
    Facts,
    Freeze,
    OwnerSeen,
    PowerSeen,
    Quiet,
    WishAge,
    Wished,
    WishedPlace,
    Work,
)
from xenios.decide.ownership import MarkSeen
from xenios.decide.presence import Sighting
from xenios.decide.rules import Part, Rule, Table, nobody_thought_of_it
from xenios.model.collection import Quality
from xenios.model.decision import Verdict
from xenios.model.inventory import VmKind
from xenios.model.record import Custody, DriftPolicy

_OURS = frozenset({Custody.CREATED, Custody.ADOPTED})
_NOT_OURS = frozenset({Custody.UNMANAGED, Custody.RELEASED})
_RUNS = frozenset({PowerSeen.RUNNING, PowerSeen.ASLEEP})
_ASKED = frozenset({Wished.ON, Wished.OFF, Wished.GONE})


def _is_elsewhere(f: Facts) -> bool:
    """Whether it runs on another host than was asked. What is off is nowhere."""
    return f.place is WishedPlace.ELSEWHERE and f.power not in (PowerSeen.HALTED, PowerSeen.SUSPENDED)


def _is_ours_and_free(f: Facts) -> bool:
    """What the rows above the one that acts come to, said in the affirmative.

    So a value that a later version adds, and for which somebody forgets a row, is left alone and does not act.
    """
    return (
        f.kind is VmKind.MACHINE
        and f.custody in _OURS
        and f.mark is MarkSeen.OURS
        and f.sighting is Sighting.FRESH
        and f.elsewhere is Elsewhere.NOT_SEEN
        and f.quality is Quality.COMPLETE
        and f.freeze is Freeze.NONE
        and f.quiet is Quiet.OVER
        and f.work is Work.IDLE
    )


OWNERSHIP: Part[Facts] = Part(
    question="Is it ours?",
    reads=("kind", "custody", "mark", "owner"),
    rows=(
        Rule(
            id="touch.control-domain",
            when=lambda f: f.kind is VmKind.CONTROL_DOMAIN,
            verdict=Verdict.LEAVE_ALONE,
            because="it is a control domain: the hypervisor itself runs in it",
            why="Whatever is done to a control domain is done to its host and to every VM on it.",
            remedy="nothing to do",
        ),
        Rule(
            id="touch.snapshot",
            when=lambda f: f.kind is VmKind.SNAPSHOT,
            verdict=Verdict.LEAVE_ALONE,
            because="it is a snapshot, not a machine",
            why="A snapshot carries the mark of the VM that it was taken of, and is still not that VM.",
            remedy="nothing to do",
        ),
        Rule(
            id="touch.template",
            when=lambda f: f.kind is VmKind.TEMPLATE,
            verdict=Verdict.LEAVE_ALONE,
            because="it is a template, not a machine",
            why="A VM of ours that somebody made a template is there to be deployed from, not to be started.",
            remedy="forget our record of it, if there is one",
        ),
        Rule(
            id="touch.another-installations",
            when=lambda f: f.mark is MarkSeen.ANOTHERS and f.custody in _NOT_OURS,
            verdict=Verdict.LEAVE_ALONE,
            because="it belongs to another installation of Xenios ({installation})",
            why="Two installations may share a pool. Each knows its own VMs by its own marks.",
            remedy="nothing to do; the other installation answers for it",
        ),
        Rule(
            id="touch.mark-taken-over",
            when=lambda f: f.mark is MarkSeen.ANOTHERS,
            verdict=Verdict.ASK_OPERATOR,
            because="our record says that it is ours, and its mark that it is another installation's ({installation})",
            why="Whoever wrote the mark last may think the VM its own. Two owners undo each other's work.",
            remedy="find out who answers for it, then forget our record or adopt it again",
        ),
        Rule(
            id="touch.copy",
            when=lambda f: f.mark is MarkSeen.COPIED and f.custody in _NOT_OURS,
            verdict=Verdict.LEAVE_ALONE,
            because="it is a copy of a VM of ours: its mark names another VM",
            why="Clones, copies and imports carry the mark along. Who made the copy owns it.",
            remedy="adopt it if it shall be ours",
        ),
        Rule(
            id="touch.mark-of-another-vm",
            when=lambda f: f.mark is MarkSeen.COPIED,
            verdict=Verdict.ASK_OPERATOR,
            because="we have a record of it, and its mark names another VM",
            why="Somebody wrote over the mark, or the record is wrong. One key does not open.",
            remedy="compare both with the hypervisor's own tools, then forget our record or adopt the VM again",
        ),
        Rule(
            id="touch.mark-damaged",
            when=lambda f: f.mark is MarkSeen.DAMAGED,
            verdict=Verdict.ASK_OPERATOR,
            because="its mark is damaged: the sum in it is wrong",
            why="A mark that was cut or edited proves nothing, whatever can still be read of it.",
            remedy="adopt it again if it is ours, or remove the mark with the hypervisor's own tools",
        ),
        Rule(
            id="touch.mark-unreadable",
            when=lambda f: f.mark is MarkSeen.UNREADABLE,
            verdict=Verdict.ASK_OPERATOR,
            because="what stands under our key is no mark",
            why="Anybody who may edit the VM can write there. What cannot be read whole is not read at all.",
            remedy="look who wrote it, and remove it with the hypervisor's own tools",
        ),
        Rule(
            id="touch.mark-of-unknown-version",
            when=lambda f: f.mark is MarkSeen.UNKNOWN_VERSION,
            verdict=Verdict.ASK_OPERATOR,
            because="its mark is of a version that this Xenios does not know",
            why="A newer Xenios may have written it. What its marks mean is not guessed.",
            remedy="bring this installation up to date",
        ),
        Rule(
            id="touch.mark-without-record",
            when=lambda f: (
                f.mark in (MarkSeen.OURS, MarkSeen.OTHER_RECORD, MarkSeen.OTHER_EPOCH)
                and f.custody is Custody.UNMANAGED
            ),
            verdict=Verdict.ASK_OPERATOR,
            because="it carries our mark, and we have no record of it",
            why="An older copy of the database was restored; or the VM was moved here by hand from another pool.",
            remedy="adopt it, which writes the record again; or remove the mark to let it go",
        ),
        Rule(
            id="touch.released-but-marked",
            when=lambda f: (
                f.custody is Custody.RELEASED
                and f.mark in (MarkSeen.OURS, MarkSeen.OTHER_RECORD, MarkSeen.OTHER_EPOCH)
            ),
            verdict=Verdict.ASK_OPERATOR,
            because="it was handed back, and carries our mark again",
            why="A snapshot or copy from the time when it was ours brought the mark back. It stays handed back.",
            remedy="release it once more, which removes the mark; or adopt it",
        ),
        Rule(
            id="touch.released",
            when=lambda f: f.custody is Custody.RELEASED,
            verdict=Verdict.LEAVE_ALONE,
            because="it was handed back and is not ours any more",
            why="Released is released, whatever was wished before.",
            remedy="adopt it if it shall be ours again",
        ),
        Rule(
            id="touch.managed-by-another",
            when=lambda f: f.custody is Custody.UNMANAGED and f.owner is OwnerSeen.ANOTHER,
            verdict=Verdict.LEAVE_ALONE,
            because="it is not ours, and looks managed by {owners}",
            why="Another control plane left its traces on it. They prove nothing, but they have a name.",
            remedy="nothing to do",
        ),
        Rule(
            id="touch.alien-not-read",
            when=lambda f: f.custody is Custody.UNMANAGED and f.mark is MarkSeen.NOT_READ,
            verdict=Verdict.LEAVE_ALONE,
            because="we have no record of it, and its definition could not be read",
            why="Whether it carries a mark is not known; without a record it would not be ours with one either.",
            remedy="put right what kept its definition from being read",
        ),
        Rule(
            id="touch.alien",
            when=lambda f: f.custody is Custody.UNMANAGED,
            verdict=Verdict.LEAVE_ALONE,
            because="it is not ours: there is no record of it and no mark on it (traces of others on it: {managers})",
            why="An alien is left exactly as it is, in every state. To act on it one must adopt it first.",
            remedy="adopt it if it shall be ours",
        ),
        Rule(
            id="touch.record-without-mark",
            when=lambda f: f.mark is MarkSeen.ABSENT,
            verdict=Verdict.ASK_OPERATOR,
            because="we have a record of it, and it carries no mark",
            why="Somebody removed the mark, or reverted to a snapshot from before it was ours. One key does not open.",
            remedy="adopt it again, which begins without wishes; or forget our record",
        ),
        Rule(
            id="touch.mark-of-another-record",
            when=lambda f: f.mark is MarkSeen.OTHER_RECORD,
            verdict=Verdict.ASK_OPERATOR,
            because="its mark is ours and names another record than the one we have",
            why="The record or the mark is older than the other. Which of them is right, a person must say.",
            remedy="adopt it again, which begins without wishes; or forget our record",
        ),
        Rule(
            id="touch.mark-of-another-epoch",
            when=lambda f: f.mark is MarkSeen.OTHER_EPOCH,
            verdict=Verdict.ASK_OPERATOR,
            because="its mark is from another time of custody than our record",
            why="An old snapshot was reverted to, or an old database restored. One of the two knows less.",
            remedy="adopt it again, which begins without wishes; or forget our record",
        ),
    ),
)

PRESENCE: Part[Facts] = Part(
    question="Is it still there, and only there?",
    reads=("sighting", "wished", "elsewhere"),
    rows=(
        Rule(
            id="touch.gone-as-asked",
            when=lambda f: f.sighting is Sighting.CONFIRMED_ABSENT and f.wished is Wished.GONE,
            verdict=Verdict.LEAVE_ALONE,
            because="it is gone, as was asked",
            why="A second pass after success does nothing.",
            remedy="nothing to do",
        ),
        Rule(
            id="touch.gone",
            when=lambda f: f.sighting is Sighting.CONFIRMED_ABSENT,
            verdict=Verdict.ASK_OPERATOR,
            because="it is gone: complete views in a row lack it",
            why="Somebody deleted it. Nothing is made again that somebody deleted, unless a person says so.",
            remedy="forget our record, or restore it from its capsule or a backup",
        ),
        Rule(
            id="touch.seen-in-another-pool",
            when=lambda f: f.elsewhere is Elsewhere.SEEN,
            verdict=Verdict.ASK_OPERATOR,
            because="a VM with its uuid is in another pool, too",
            why="It was moved there by hand, or restored there from a backup. Started here, it might run twice.",
            remedy="find out which of them is meant; remove or forget the other",
        ),
    ),
)

KNOWLEDGE: Part[Facts] = Part(
    question="Do we know enough of it?",
    reads=("mark", "sighting", "quality", "power"),
    rows=(
        Rule(
            id="touch.on-two-hosts",
            when=lambda f: f.sighting is Sighting.ON_TWO_HOSTS,
            verdict=Verdict.ASK_OPERATOR,
            because="it is seen on two hosts at once",
            why="If it is true, two copies write to the same disks; if not, the view is wrong.",
            remedy="look at both hosts now, and stop the wrong one by hand",
        ),
        Rule(
            id="touch.same-uuid-twice",
            when=lambda f: f.sighting is Sighting.TWICE,
            verdict=Verdict.ASK_OPERATOR,
            because="its uuid is there more than once, so nobody can say which VM is meant",
            why="The mark names a uuid. If two VMs have it, it proves nothing.",
            remedy="find out with the hypervisor's own tools how this came to be",
        ),
        Rule(
            id="touch.no-view-yet",
            when=lambda f: f.sighting is Sighting.NO_VIEW,
            verdict=Verdict.WAIT,
            because="the pool has not been seen yet",
            why="What a database remembers is not what is there.",
            remedy="wait for the first view; if none comes, look at the connection to the pool",
        ),
        Rule(
            id="touch.host-silent",
            when=lambda f: f.sighting is Sighting.HOST_SILENT,
            verdict=Verdict.WAIT,
            because="its host does not answer, so what it does is only remembered",
            why="A host that does not answer may run its VMs all the same.",
            remedy="bring the host back; do not start the VM elsewhere while it may still run there",
        ),
        Rule(
            id="touch.host-gone",
            when=lambda f: f.sighting is Sighting.HOST_GONE,
            verdict=Verdict.ASK_OPERATOR,
            because="the host on which it last ran has left the pool without a word of it",
            why="Taking a host out of a pool does not stop what runs there. Started elsewhere, it would run twice.",
            remedy="make sure that the host is off, and say so",
        ),
        Rule(
            id="touch.not-known-to-be-there",
            when=lambda f: f.sighting is Sighting.NOT_KNOWN,
            verdict=Verdict.WAIT,
            because="the last view lacks it, and could not have shown everything",
            why="Silence is not absence.",
            remedy="put right what kept the view from being complete",
        ),
        Rule(
            id="touch.not-listed-once",
            when=lambda f: f.sighting is Sighting.NOT_LISTED_ONCE,
            verdict=Verdict.WAIT,
            because="the last view, a complete one, lacks it; another must confirm that it is gone",
            why="One answer may be wrong, or older than a move.",
            remedy="wait for the next complete view",
        ),
        Rule(
            id="touch.seen-too-long-ago",
            when=lambda f: f.sighting is Sighting.STALE,
            verdict=Verdict.WAIT,
            because="what is known of it is too old",
            why="What was seen long ago is no ground for acting now.",
            remedy="wait for the next view; if none comes, look at the connection to the pool",
        ),
        Rule(
            id="touch.view-suspicious",
            when=lambda f: f.quality is Quality.SUSPICIOUS,
            verdict=Verdict.ASK_OPERATOR,
            because="the view of its pool is not to be believed: {suspicions}",
            why="A pool that looks quite different from a minute ago is more often misread than changed.",
            remedy="look at the pool with its own tools, and agree if it is so; or wait until several views agree",
        ),
        Rule(
            id="touch.view-partial",
            when=lambda f: f.quality is not Quality.COMPLETE,
            verdict=Verdict.WAIT,
            because="the view of its pool is not complete",
            why="Less knowledge never means more action.",
            remedy="put right what could not be read (see the failures)",
        ),
        Rule(
            id="touch.mark-not-read",
            when=lambda f: f.mark is MarkSeen.NOT_READ,
            verdict=Verdict.WAIT,
            because="its definition could not be read, so nobody knows whether it carries our mark",
            why="One key does not open, and the other was not seen.",
            remedy="put right what kept its definition from being read",
        ),
        Rule(
            id="touch.power-unrecognised",
            when=lambda f: f.power is PowerSeen.UNRECOGNISED,
            verdict=Verdict.WAIT,
            because="the hypervisor tells a state of it that this version has no word for",
            why="A newer hypervisor may know states in which acting does harm.",
            remedy="bring Xenios up to date; until then act with the hypervisor's own tools",
        ),
        Rule(
            id="touch.power-unknown",
            when=lambda f: f.power is PowerSeen.UNKNOWN,
            verdict=Verdict.WAIT,
            because="its power state is unknown",
            why="Unknown is not halted.",
            remedy="ask the hypervisor's own tools what the VM does",
        ),
    ),
)

BRAKES: Part[Facts] = Part(
    question="Is anything in the way?",
    reads=("freeze", "quiet", "work"),
    rows=(
        Rule(
            id="touch.frozen",
            when=lambda f: f.freeze is Freeze.INSTALLATION,
            verdict=Verdict.WAIT,
            because="this installation is frozen: it looks and does not act",
            why="One switch stops all acting.",
            remedy="end the freeze when its reason is gone",
        ),
        Rule(
            id="touch.pool-frozen",
            when=lambda f: f.freeze is not Freeze.NONE,
            verdict=Verdict.WAIT,
            because="its pool is frozen: it is looked at and not acted on",
            why="One switch stops all acting on a pool.",
            remedy="end the freeze when its reason is gone",
        ),
        Rule(
            id="touch.no-complete-view-yet",
            when=lambda f: f.quiet is Quiet.NO_COMPLETE_VIEW,
            verdict=Verdict.WAIT,
            because="there was no complete view of its pool since Xenios started",
            why="A control plane that has just started knows the past only.",
            remedy="wait for the first complete view",
        ),
        Rule(
            id="touch.quiet-time",
            when=lambda f: f.quiet is not Quiet.OVER,
            verdict=Verdict.WAIT,
            because="Xenios started only a moment ago",
            why="What went on while nobody looked shows itself in the first minutes.",
            remedy="wait until the quiet time is over",
        ),
        Rule(
            id="touch.our-own-work",
            when=lambda f: f.work is Work.OURS,
            verdict=Verdict.WAIT,
            because="an operation of ours is under way on it",
            why="One operation at a time; it will look for itself what is left to do.",
            remedy="wait until it is over, or cancel it",
        ),
        Rule(
            id="touch.anothers-work",
            when=lambda f: f.work is not Work.IDLE,
            verdict=Verdict.WAIT,
            because="somebody else is at work on it: {busy}",
            why="What it will be when that is over is not known yet.",
            remedy="wait until that is over",
        ),
    ),
)

WISH: Part[Facts] = Part(
    question="Is what was asked not so?",
    reads=(
        "kind",
        "custody",
        "mark",
        "sighting",
        "elsewhere",
        "quality",
        "freeze",
        "quiet",
        "work",
        "power",
        "wished",
        "wish_age",
        "place",
        "drift",
    ),
    rows=(
        Rule(
            id="touch.nothing-asked",
            when=lambda f: f.wished is Wished.NOTHING and not _is_elsewhere(f),
            verdict=Verdict.LEAVE_ALONE,
            because="nobody asked anything of it",
            why="Adoption starts with no wishes, so adopting changes nothing.",
            remedy="nothing to do",
        ),
        Rule(
            id="touch.adopted-shall-go",
            when=lambda f: f.wished is Wished.GONE and f.custody is not Custody.CREATED,
            verdict=Verdict.ASK_OPERATOR,
            because="it shall be destroyed, and was there before it was ours",
            why="What we did not make is not ours to destroy by a wish; whoever wants that says so for this very VM.",
            remedy="take the wish back; or release it as it is; or destroy it by a request that names its disks",
        ),
        Rule(
            id="touch.shutting-down",
            when=lambda f: f.power is PowerSeen.SHUTTING_DOWN,
            verdict=Verdict.WAIT,
            because="it is shutting down",
            why="What it will be in a moment is not known yet.",
            remedy="wait until it is off",
        ),
        Rule(
            id="touch.crashed",
            when=lambda f: f.power is PowerSeen.CRASHED,
            verdict=Verdict.ASK_OPERATOR,
            because="it has crashed",
            why="Its memory may be the only trace of why. Starting it again throws that away.",
            remedy="save a dump if you want one, then power it off and start it",
        ),
        Rule(
            id="touch.paused-on-io-error",
            when=lambda f: f.power is PowerSeen.PAUSED_ON_IO_ERROR,
            verdict=Verdict.ASK_OPERATOR,
            because="it is paused on an I/O error",
            why="Its memory holds what it could not write. Whatever ends it loses that.",
            remedy="mend the storage, then resume it",
        ),
        Rule(
            id="touch.paused",
            when=lambda f: f.power is PowerSeen.PAUSED,
            verdict=Verdict.ASK_OPERATOR,
            because="somebody paused it",
            why="A pause is somebody's intent in the middle of something, also where we follow what others do.",
            remedy="find out who paused it, and resume it by hand when the reason is gone",
        ),
        Rule(
            id="touch.suspended",
            when=lambda f: f.power is PowerSeen.SUSPENDED,
            verdict=Verdict.ASK_OPERATOR,
            because="it is suspended: its memory is kept on disk",
            why="To start it afresh or to power it off throws that memory away.",
            remedy="resume it, or say that its memory may be lost",
        ),
        Rule(
            id="touch.as-wished",
            when=lambda f: (
                (f.wished is Wished.ON and f.power in _RUNS and not _is_elsewhere(f))
                or (f.wished is Wished.OFF and f.power is PowerSeen.HALTED)
            ),
            verdict=Verdict.LEAVE_ALONE,
            because="it is as was asked",
            why="A second pass after success does nothing.",
            remedy="nothing to do",
        ),
        Rule(
            id="touch.wish-lapsed",
            when=lambda f: f.wish_age is WishAge.LAPSED,
            verdict=Verdict.ASK_OPERATOR,
            because="what was asked of it was not met in time, or was asked before the database was restored",
            why="Who asked may have helped himself since, or have taken it back. An old wish is no order.",
            remedy="ask for it again, or take it back",
        ),
        Rule(
            id="touch.drift-followed",
            when=lambda f: f.wish_age is WishAge.MET_ONCE and f.drift is DriftPolicy.FOLLOW,
            verdict=Verdict.LEAVE_ALONE,
            because="somebody changed it at the hypervisor, and we follow: what was asked before is void",
            why="Who works at the hypervisor has a reason. Our record gives up the wish; the VM stays as it is.",
            remedy="ask for it again, and set its drift policy to restore if it shall be kept so",
        ),
        Rule(
            id="touch.asleep",
            when=lambda f: f.power is PowerSeen.ASLEEP,
            verdict=Verdict.ASK_OPERATOR,
            because="the guest sleeps, so it cannot be asked to shut down, and cannot be moved",
            why="To wake it or to power it off is a choice for somebody who knows the guest.",
            remedy="wake it, or power it off by hand",
        ),
        Rule(
            id="touch.act",
            when=lambda f: (
                _is_ours_and_free(f)
                and f.power in (PowerSeen.RUNNING, PowerSeen.HALTED)
                and (f.wished in _ASKED or (f.wished is Wished.NOTHING and _is_elsewhere(f)))
                and (
                    f.wish_age is WishAge.NEW
                    or (f.wish_age is WishAge.MET_ONCE and f.drift is DriftPolicy.RESTORE)
                )
            ),
            verdict=Verdict.ACT,
            because="it is ours, seen just now, nothing is in the way, and what was asked is not so",
            why="Every row above is a reason against; none of them held.",
            remedy="nothing to do",
        ),
        nobody_thought_of_it("touch"),
    ),
)

MAY_WE_TOUCH: Table[Facts] = Table(
    name="touch",
    question="May we touch a VM?",
    about="The first row that matches decides. One row acts; it is reached when no reason above it holds.",
    facts=Facts,
    parts=(OWNERSHIP, PRESENCE, KNOWLEDGE, BRAKES, WISH),
)
