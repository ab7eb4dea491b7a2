"""Why would a VM not be touched, and may it be adopted? Answers from one look, before there is any database.

Without a database nothing is recorded as ours, and there is no installation whose marks could be told from others'.
Everything else is as it is for a Xenios that runs: the same facts, the same tables.

Effects: none
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

import msgspec

from xenios.decide.adopt import MAY_WE_ADOPT, adoption_facts
from xenios.decide.custody import managers_seen
from xenios.decide.details import details_of
from xenios.decide.explain import Explanation, explanation_of_decision
from xenios.decide.facts import facts_about
from xenios.decide.tables import TABLES
from xenios.decide.view_history import PoolHistory, after_view
from xenios.errors import XeniosError
from xenios.model.collection import Collection
from xenios.model.inventory import Vm
from xenios.model.policy import Thresholds
from xenios.model.record import Installation
from xenios.report.words import plural

SCHEMA = "xenios.explain/1"
ASKED_WITHOUT_A_WORD = ("touch", "adopt")
ABOUT_ONE_VM = ("touch", "adopt", "release", "changed")
"""Tables that can be asked about a VM by itself."""
WITHOUT_DATABASE = (
    "This looks without a database: no VM is ours yet, and every mark counts as another installation's. "
    "Whether a VM may be adopted is told as of this view, however old it is."
)
NO_INSTALLATION = ""
"""An id that no mark can name."""
SUGGESTED_MAX = 5
LISTED_MAX = 20
NAMES_COMPARED_MAX = 5_000
"""To compare names for likeness takes its time; in a greater pool only parts of names are looked for."""
NAME_LENGTH_MAX = 100


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Explanations of what was seen in one look at a target: what `xenios explain` prints."""

    schema: str = SCHEMA
    xenios_version: str
    target: str
    source: str
    seen_at: int
    status: str
    """Whether the look was complete; "partial" when something could not be read."""
    failures: int
    """How many things could not be read."""
    without: str
    """What these explanations do not know, in a sentence."""
    explanations: tuple[Explanation, ...]


def explained_in(
    collection: Collection, word: str, tables: Sequence[str], *, target: str, now: int, xenios_version: str
) -> Explained:
    """What each table says of the VM that the word names. Raises XeniosError when it names none, or several."""
    vms = found_in(collection, word)
    history = after_view(PoolHistory(pool_uuid=collection.pool.uuid), collection, now, Thresholds())
    return Explained(
        xenios_version=xenios_version,
        target=target,
        source=collection.source,
        seen_at=collection.seen_at,
        status=collection.quality.value,
        failures=len(collection.failures),
        without=WITHOUT_DATABASE,
        explanations=tuple(
            explanation for vm in vms for explanation in _explanations(collection, vm, tables, history, now)
        ),
    )


def _explanations(
    collection: Collection, vm: Vm, tables: Sequence[str], history: PoolHistory, now: int
) -> Iterator[Explanation]:
    host = next((host for host in collection.hosts if host.uuid == vm.host_uuid), None)
    host = host if vm.host_uuid else None  # a damaged host may have the uuid ""
    managers = managers_seen(vm)
    details = details_of(vm, host, managers, history.suspicions)
    alone = Counter(other.uuid for other in collection.vms)[vm.uuid] == 1
    # Whoever asks has just begun to look.
    nobody = Installation(id=NO_INSTALLATION, started_at=now)
    for name in tables:
        if name == MAY_WE_ADOPT.name:
            decision = MAY_WE_ADOPT.decide(
                adoption_facts(
                    vm,
                    managers,
                    host,
                    uuid_is_unique=bool(vm.uuid) and alone,
                    installation_id=NO_INSTALLATION,
                    quality=history.quality,
                )
            )
        else:
            decision = TABLES[name].decide(facts_about(vm, None, history, nobody, now, Thresholds()))
        yield explanation_of_decision(
            decision,
            about=f"{_KIND_WORDS.get(vm.kind, vm.kind)} {vm.name if vm.name.strip() else '(no name)'}",
            about_uuid=vm.uuid,
            details=details,
        )


_KIND_WORDS = {"machine": "VM"}


# --- which VM is meant -----------------------------------------------------------------------------------------------


def found_in(collection: Collection, word: str) -> tuple[Vm, ...]:
    """The VM with this uuid, or the one with this name. Several only where several have the same uuid."""
    uuid = word.strip().casefold()
    if by_uuid := tuple(vm for vm in collection.vms if vm.uuid.casefold() == uuid and uuid):
        return by_uuid
    by_name = tuple(vm for vm in collection.vms if vm.name == word)
    if len(by_name) == 1:
        return by_name
    if by_name:
        listed = "; ".join(_told(vm) for vm in by_name[:LISTED_MAX])
        more = f"; and {len(by_name) - LISTED_MAX} more" if len(by_name) > LISTED_MAX else ""
        raise XeniosError(
            f"{len(by_name)} VMs are called {word!r}", remedy=f"give the uuid of the one: {listed}{more}"
        )
    lacking = " that could be read" if collection.failures else ""
    raise XeniosError(
        f"no VM{lacking} has the name or uuid {word!r}, of {plural(len(collection.vms), 'VM')} there",
        remedy=_suggestion(collection.vms, word),
    )


def _told(vm: Vm) -> str:
    return f"{vm.uuid or '(no uuid)'} ({_KIND_WORDS.get(vm.kind, vm.kind)}, {vm.power_state})"


def _suggestion(vms: Sequence[Vm], word: str) -> str:
    near = [f"{name!r}" for name in _near((vm.name for vm in vms if vm.name.strip()), word)]
    near += [vm.uuid for vm in vms if len(word) >= 4 and vm.uuid.startswith(word.casefold())]
    if near:
        return f"did you mean {' or '.join(near[:SUGGESTED_MAX])}?"
    return "xenios inspect lists them, with --json their uuids too"


def _near(names: Iterable[str], word: str) -> list[str]:
    """Names that contain the word or are much like it, the likest first."""
    sought = word.strip().casefold()[:NAME_LENGTH_MAX]
    known = {name.casefold(): name for name in sorted(set(names)) if len(name) <= NAME_LENGTH_MAX}
    alike = get_close_matches(sought, known, n=SUGGESTED_MAX) if len(known) <= NAMES_COMPARED_MAX else []
    holding = [name for name in known if len(sought) >= 3 and sought in name]
    return [known[name] for name in dict.fromkeys((*alike, *holding))][:SUGGESTED_MAX]
