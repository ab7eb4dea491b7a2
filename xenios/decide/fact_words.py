"""Facts in words: what each is called, and what each of its values means, for everything that shows one to a person.

A test holds this against the facts themselves, so that no fact and no value is without words.

Effects: none
"""

from collections.abc import Mapping

import msgspec


class FactWords(msgspec.Struct, frozen=True, kw_only=True):
    """How one fact is said: "label: words of its value"."""

    label: str
    values: Mapping[str, str]


def _said(label: str, **values: str) -> FactWords:
    return FactWords(label=label, values={name.replace("_", " "): words for name, words in values.items()})


_POWER = {
    name: name
    for name in (
        "running",
        "paused",
        "paused on an I/O error",
        "suspended",
        "shutting down",
        "asleep",
        "crashed",
        "halted",
    )
}

FACT_WORDS: Mapping[str, FactWords] = {
    "kind": _said(
        "what it is",
        machine="a machine",
        template="a template",
        snapshot="a snapshot",
        control_domain="a control domain",
    ),
    "custody": _said(
        "our record of it",
        unmanaged="there is none",
        created="it says that we made it",
        adopted="it says that it was given to us",
        released="it says that it was handed back",
    ),
    "mark": FactWords(
        label="its mark",
        values={
            "ours": "ours, and it fits",
            "absent": "there is none",
            "ours, but copied": "ours, and it names another VM",
            "of another record of ours": "ours, and it names another record",
            "of another epoch": "ours, and it is from another time of custody",
            "another installation's": "another installation's",
            "damaged": "damaged",
            "unreadable": "what stands there is no mark",
            "of an unknown version": "of a version that is not known here",
            "not read": "it could not be read",
        },
    ),
    "owner": _said("traces of another owner", nobody="none", another="there are some"),
    "sighting": _said(
        "how it was last seen",
        fresh="in the last view, which is not old",
        stale="in the last view, which is too old",
        host_silent="its host, or its whole pool, does not answer",
        host_gone="the host on which it last ran has left the pool without a word of it",
        not_listed_once="the last view lacks it",
        confirmed_absent="complete views in a row lack it",
        not_known="the last view lacks it, and could not have shown everything",
        no_view_yet="its pool was not seen yet",
        same_uuid_twice="its uuid is there more than once",
        on_two_hosts_at_once="on two hosts at once",
    ),
    "elsewhere": _said("a VM with its uuid in another pool", not_seen="none was seen", seen="there is one"),
    "quality": _said(
        "the view of its pool",
        complete="complete",
        partial="not complete",
        suspicious="not to be believed",
    ),
    "power": FactWords(
        label="what it does",
        values=_POWER | {"unknown": "nobody knows", "unrecognised": "a state that has no word here"},
    ),
    "wished": _said(
        "what was asked of it",
        nothing="nothing",
        on="that it run",
        off="that it be off",
        gone="that it be gone",
    ),
    "wish_age": _said(
        "whether that was ever so",
        not_met_yet="not yet",
        met_before="it was",
        lapsed="it was asked too long ago, or before the database was restored",
    ),
    "place": _said(
        "where it runs",
        anywhere="nobody asked for a place, or it does not run",
        here="where somebody asked",
        elsewhere="not where somebody asked",
    ),
    "drift": _said(
        "what others change", follow="our record follows", restore="is brought back to what was asked"
    ),
    "power_change": _said(
        "since it was recorded",
        none="neither started nor stopped",
        started="it was started",
        stopped="it was stopped",
        suspended="it is suspended",
        unknown="nobody knows",
    ),
    "move": _said("its host since it was recorded", none="the same, as far as it runs", moved="another one"),
    "work": FactWords(
        label="who is at work on it",
        values={
            "idle": "nobody",
            "our own operation": "an operation of ours",
            "another's task": "somebody else",
        },
    ),
    "freeze": _said(
        "whether acting is frozen", none="no", pool="yes, on its pool", installation="yes, everywhere"
    ),
    "quiet": _said(
        "the quiet time after the start",
        over="over",
        too_early="not over",
        no_complete_view_yet="not over: no view was complete yet",
    ),
    "consent": _said(
        "permission to disturb its host", none="nobody gave one", given="given", expired="given, and expired"
    ),
    "identity": _said(
        "its uuid", unique="means this VM alone", not_unique="missing, or there more than once"
    ),
    "host": _said(
        "its host",
        answers="answers",
        silent="does not answer",
        unknown="nobody knows whether it answers",
        none="it is on none",
    ),
    "persistent": _said(
        "its definition, when it stops", yes="stays", no="is gone", unknown="nobody knows whether it stays"
    ),
    "live": _said("whether the host answers", yes="yes", no="no", unknown="nobody knows"),
    "enabled": _said("whether the host takes VMs", yes="yes", no="no", unknown="nobody knows"),
    "room": _said(
        "room on the host",
        enough="enough",
        not_enough_beside_what_is_declared="not enough beside what its VMs may grow to",
        not_enough_as_measured="not enough as the hypervisor measures it",
        not_enough_beside_what_is_promised="not enough beside what is promised",
        unknown="nobody knows how much",
    ),
    "processors": _said(
        "processors of the host", enough="enough", too_few="too few", unknown="nobody knows how many"
    ),
    "storages": _said(
        "storage that it needs",
        reached="the host reaches it",
        not_reached="the host does not reach it",
    ),
    "networks": _said(
        "networks that it needs",
        reached="the host reaches them",
        not_reached="the host does not reach them",
    ),
    "view": _said(
        "the last view of its pool",
        fresh="not old",
        old="too old, or there was none, or the pool does not answer",
        the_host_is_not_in_it="without the host",
    ),
    "aliens": _said("aliens on the host", none="none", some="there are some", unknown="nobody knows"),
}
"""By the name of each fact of any table. A fact that two tables have means the same in both."""


def label_of(fact: str) -> str:
    """What a fact is called; its own name where this version does not know it."""
    words = FACT_WORDS.get(fact)
    return words.label if words is not None else fact


def words_of(fact: str, value: str) -> str:
    """What a value means; the value itself where this version does not know it."""
    words = FACT_WORDS.get(fact)
    return words.values.get(value, value) if words is not None else value
