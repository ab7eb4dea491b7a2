"""What a line of a story may say: one form per row, and how a line is matched with them.

A form is the words of a line. A word in capitals stands for something that the story names: VM one that is there, NEW
one that comes, HOST, NAME, SAVE; CLAUSES at the end for what may be said of a new VM.

Effects: none
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from xenios.replay.script import Act, Seat

SLOTS = frozenset({"VM", "NEW", "HOST", "NAME", "SAVE", "CLAUSES"})
SLOT_WORDS = {
    "VM": "a VM of the story",
    "NEW": "what the story shall call the new VM",
    "HOST": "a host",
    "NAME": "a name",
    "SAVE": "what the saved database shall be called",
    "CLAUSES": "what the VM is like",
}


@dataclass(frozen=True, slots=True)
class Form:
    """One way to say something."""

    words: tuple[str, ...]
    act: Act
    seat: Seat | None = None


class Mismatch(Exception):
    """No form fits. `says` what is wrong, `remedy` what would be right."""

    def __init__(self, says: str, remedy: str) -> None:
        super().__init__(says)
        self.says = says
        self.remedy = remedy


_SAID: tuple[tuple[str, Act], ...] = (
    ("administrator creates NEW CLAUSES", Act.CREATE),
    ("administrator starts VM", Act.START),
    ("administrator starts VM on HOST", Act.START),
    ("administrator shuts down VM", Act.SHUT_DOWN),
    ("administrator pauses VM", Act.PAUSE),
    ("administrator unpauses VM", Act.UNPAUSE),
    ("administrator suspends VM", Act.SUSPEND),
    ("administrator resumes VM", Act.RESUME),
    ("administrator resumes VM on HOST", Act.RESUME),
    ("administrator moves VM to HOST", Act.MOVE),
    ("administrator clones VM as NEW CLAUSES", Act.CLONE),
    ("administrator snapshots VM as NAME", Act.SNAPSHOT),
    ("administrator reverts VM to NAME", Act.REVERT),
    ("administrator renames VM to NAME", Act.RENAME),
    ("administrator deletes VM", Act.DELETE),
    ("guest VM shuts down", Act.GUEST_SHUTS_DOWN),
    ("guest VM crashes", Act.GUEST_CRASHES),
    ("hypervisor answers nothing", Act.ANSWER_NOTHING),
    ("hypervisor fails", Act.FAIL),
    ("hypervisor answers again", Act.ANSWER_AGAIN),
    ("host HOST falls silent", Act.HOST_SILENT),
    ("host HOST comes back", Act.HOST_BACK),
    ("end", Act.END),
)
_SAID_OF_MANAGERS: tuple[tuple[str, Act], ...] = (
    ("connects", Act.CONNECT),
    ("restarts", Act.RESTART),
    ("deploys NEW CLAUSES", Act.DEPLOY),
    ("is asked to stop VM", Act.ASK_TO_STOP),
    ("is asked to start VM", Act.ASK_TO_START),
    ("is asked to start VM on HOST", Act.ASK_TO_START),
    ("saves its database", Act.SAVE),
    ("saves its database as SAVE", Act.SAVE),
    ("restores its database", Act.RESTORE),
    ("restores its database from SAVE", Act.RESTORE),
)
FORMS: tuple[Form, ...] = (
    *(Form(tuple(said.split()), act) for said, act in _SAID),
    *(
        Form((*seat.value.split(), *said.split()), act, seat)
        for seat in Seat
        for said, act in _SAID_OF_MANAGERS
    ),
)
"""Every form. None is the beginning of another but where a clause may follow."""


def match(words: tuple[str, ...]) -> tuple[Form, Mapping[str, str], tuple[str, ...]]:
    """The form of a line, what stands in its slots, and the clauses. Raises Mismatch."""
    candidates = FORMS
    for place, word in enumerate(words):
        clauses = [form for form in candidates if form.words[place : place + 1] == ("CLAUSES",)]
        if clauses:
            return clauses[0], _slots(clauses[0], words), words[place:]
        fitting = [form for form in candidates if len(form.words) > place and form.words[place] == word]
        fitting = fitting or [
            form for form in candidates if len(form.words) > place and form.words[place] in SLOTS
        ]
        if not fitting:
            raise _mismatch(words, place, candidates)
        candidates = tuple(fitting)
    for form in candidates:
        if len(form.words) == len(words) or form.words[len(words) :] == ("CLAUSES",):
            return form, _slots(form, words), ()
    expected = expected_at(candidates, len(words))
    said = " ".join(words)
    raise Mismatch(f"{said!r} says too little", f"go on with {listed(expected)}")


def expected_at(forms: Iterable[Form], place: int) -> tuple[str, ...]:
    """What may stand there, in the order of the forms."""
    nexts = (form.words[place] for form in forms if len(form.words) > place)
    return tuple(dict.fromkeys(SLOT_WORDS.get(word, repr(word)) for word in nexts))


def near(word: str, known: Iterable[str]) -> str:
    """ "did you mean …? " when something known is much like the word, else nothing."""
    close = get_close_matches(word[:100], [name for name in known if len(name) <= 200], n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}? " if close else ""


def listed(words: Iterable[str]) -> str:
    """Words with commas and an "or" before the last."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _slots(form: Form, words: tuple[str, ...]) -> Mapping[str, str]:
    return {
        slot: word
        for slot, word in zip(form.words, words, strict=False)
        if slot in SLOTS and slot != "CLAUSES"
    }


def _mismatch(words: tuple[str, ...], place: int, candidates: tuple[Form, ...]) -> Mismatch:
    expected = expected_at(candidates, place)
    before = f"after {' '.join(words[:place])!r}" if place else "at the beginning"
    if not expected:
        return Mismatch(
            f"{words[place]!r} is too much {before}", "take it away, or put it on a line of its own"
        )
    literal = [form.words[place] for form in candidates if len(form.words) > place]
    hint = near(words[place], [word for word in literal if word not in SLOTS])
    return Mismatch(
        f"{words[place]!r} means nothing {before}",
        f"{hint}there may stand {listed(expected)}",
    )


def forms_in_words() -> Iterator[str]:
    """Every form as a line of text, for pages and tests."""
    for form in FORMS:
        yield " ".join(form.words)
