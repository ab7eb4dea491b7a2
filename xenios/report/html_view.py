"""What the HTML page shows, gathered and counted, so that its templates only have to lay it out.

Foreign text passes through here as it is; the template engine escapes every text that it prints (render_html.py).

Effects: none
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xenios.decide.adopt import MAY_WE_ADOPT
from xenios.decide.findings import KINDS, STORAGE_NEARLY_FULL_PER_CENT
from xenios.decide.precedent import POLICY_TITLES, Harm, Precedent
from xenios.model.decision import Finding, Refusal, Severity
from xenios.model.inventory import Answer, CapabilityAnswer, DiskKind, Host, Network, PowerState, Storage
from xenios.model.room import HostRoom, sum_if_known
from xenios.report.schema import Report, Summary, TargetReport, VmReport
from xenios.report.words import HARM_WORDS, adoption_words, bytes_text, plural

_KIND_BY_CODE = {kind.code: kind for kind in KINDS}
_RULE_BY_ID = {rule.id: rule for rule in MAY_WE_ADOPT.rows}
_SEVERITIES = tuple(Severity)
_HARMS = (Harm.RECORD_DESTROYED, Harm.ON_CHANGE, Harm.DRIVE_REMOVED, Harm.NONE)
_ADOPTION = (
    ("yes", "yes"),
    ("ask the operator", "ask"),
    ("not now", "wait"),
    ("no", "no"),
)
"""As the report says it, and the CSS class."""
_THINGS = ("VM", "host", "storage", "pool")
"""What a finding's subject begins with (decide/findings.py)."""
_ADOPTION_CLASS = dict(_ADOPTION)
_LISTS = (
    ("passthrough", "Host devices", "No devices of the host"),
    ("busy", "Under way on it", "nothing under way on it"),
    ("blocked_operations", "Blocked operations", "no blocked operations"),
    ("tags", "Tags", "no tags"),
    ("annotation_keys", "Annotation keys", "no annotations"),
)
"""Lists of a VM: the field, its title, and how to say that it is empty."""
_PARTS = (
    ("disks", "", "no disks"),
    ("nics", "", "no network cards"),
    ("snapshots", "", "no snapshots"),
)
_HARM_CLASS = {
    Harm.RECORD_DESTROYED: "gone",
    Harm.ON_CHANGE: "risk",
    Harm.DRIVE_REMOVED: "risk",
    Harm.NONE: "safe",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class VmRow:
    """One line of a table of VMs."""

    vm: VmReport
    anchor: str
    disk_count: int
    disk_bytes: int | None
    """None: there are none, or not every size was told."""
    addresses: tuple[str, ...]
    adoption_css: str
    gravest: Severity | None
    finding_rank: int
    """To sort by: graver findings first, then more of them."""
    harm_css: str
    harm_words: str
    preferred_host_name: str
    lists: tuple[tuple[str, tuple[str, ...]], ...]
    lacks: str
    """What there is none of, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Something said about one subject, with the place on the page where that subject is, if there is one."""

    name: str
    anchor: str | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingGroup:
    """All findings of one code."""

    code: str
    severity: Severity
    meaning: str
    remedy: str
    count_words: str
    affected: tuple[Named, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalGroup:
    """All VMs that one rule keeps from being adopted."""

    rule: str
    css: str
    outcome: str
    why: str
    remedy: str
    affected: tuple[Named, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What another manager would do to some of the VMs, and by which of its rules."""

    precedent: Precedent
    css: str
    affected: tuple[Named, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What another manager would do to the pool."""

    manager: str
    lost_at_once: int
    lost_later: int
    drives_lost: int
    left_alone: int
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A part of a bar, in per cent of its width."""

    css: str
    start: str
    width: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A bar with its parts, an optional line for the limit and one for what is measured, and the same in words."""

    segments: tuple[Segment, ...]
    limit: str | None
    measured: str | None
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomRow:
    """Room of one host."""

    room: HostRoom
    host_name: str
    takes_vms: bool
    bar: Bar | None
    short_bytes: int | None
    """How much more its VMs may want than there is; None: it is not over-promised, or not known to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRow:
    """One host."""

    host: Host
    is_master: bool
    vms: int
    vms_running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageRow:
    """One storage."""

    storage: Storage
    bar: Bar | None
    used_per_cent: int | None
    nearly_full: bool
    attached: str
    detached: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRow:
    """One network and how many VMs have a NIC on it."""

    network: Network
    vms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityRow:
    """An answer about a capability, and who gave the same one."""

    answer: CapabilityAnswer
    given_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetView:
    """One target as the page shows it."""

    report: TargetReport
    anchor: str
    title: str
    power_words: str
    adoption: tuple[tuple[str, int, str], ...]
    """CSS class, number of VMs, and the rest of the sentence."""
    adoption_bar: Bar | None
    managers: tuple[tuple[str, int], ...]
    hosts_taking_vms: int
    may_start_anywhere_bytes: int | None
    may_start_anywhere_vms: int
    severities: tuple[tuple[Severity, int], ...]
    comparison: Comparison | None
    finding_groups: tuple[FindingGroup, ...]
    refusal_groups: tuple[RefusalGroup, ...]
    rooms: tuple[RoomRow, ...]
    hosts: tuple[HostRow, ...]
    storages: tuple[StorageRow, ...]
    networks: tuple[NetworkRow, ...]
    capabilities: tuple[CapabilityRow, ...]
    vms: tuple[VmRow, ...]
    templates: tuple[VmRow, ...]
    snapshots: tuple[VmRow, ...]
    control_domains: tuple[VmRow, ...]
    storage_by_uuid: Mapping[str, Storage]


def views_of(report: Report) -> tuple[TargetView, ...]:
    """One view per target, in the order of the report."""
    return tuple(
        _target_view(f"t{number}", target, report) for number, target in enumerate(report.targets, 1)
    )


def _target_view(anchor: str, target: TargetReport, report: Report) -> TargetView:
    hosts = {host.uuid: host for host in target.hosts}
    vms = _vm_rows(f"{anchor}-vm", target.vms, hosts)
    summary = target.summary
    anchors = _anchor_by_uuid(vms)
    anywhere_bytes, anywhere_vms = _may_start_anywhere(target)
    return TargetView(
        report=target,
        anchor=anchor,
        title=target.pool.name if target.pool is not None and target.pool.name.strip() else target.target,
        power_words=_power_words(summary),
        adoption=_adoption(summary),
        adoption_bar=_adoption_bar(summary),
        managers=tuple(Counter(summary.by_manager).most_common()) if summary is not None else (),
        hosts_taking_vms=sum(Answer.NO not in (host.live, host.enabled) for host in target.hosts),
        may_start_anywhere_bytes=anywhere_bytes,
        may_start_anywhere_vms=anywhere_vms,
        severities=_severities(target.findings),
        comparison=_comparison(report.compare, vms),
        finding_groups=_finding_groups(target.findings, anchors),
        refusal_groups=_refusal_groups(vms),
        rooms=tuple(_room_row(room, hosts) for room in target.rooms),
        hosts=_host_rows(target),
        storages=_storage_rows(target.storages, hosts),
        networks=_network_rows(target),
        capabilities=_capability_rows(target),
        vms=vms,
        templates=_vm_rows(f"{anchor}-template", target.templates, hosts),
        snapshots=_vm_rows(f"{anchor}-snapshot", target.snapshots, hosts),
        control_domains=_vm_rows(f"{anchor}-control", target.control_domains, hosts),
        storage_by_uuid={storage.uuid: storage for storage in target.storages},
    )


# --- in sentences ----------------------------------------------------------------------------------------------------


def _power_words(summary: Summary | None) -> str:
    """Running first, then the other states as the model orders them."""
    counts = summary.by_power_state if summary is not None else {}
    return ", ".join(
        f"{counts[state.value]} {state.value}" for state in PowerState if counts.get(state.value)
    )


def _adoption(summary: Summary | None) -> tuple[tuple[str, int, str], ...]:
    counts = summary.by_adoption if summary is not None else {}
    return tuple(
        (css, counts[word], adoption_words(word, counts[word])) for word, css in _ADOPTION if counts.get(word)
    )


def _may_start_anywhere(target: TargetReport) -> tuple[int | None, int]:
    """What may start by itself and is bound to no host: the pool's sum without what its hosts have."""
    if target.summary is None:
        return 0, 0
    in_all = target.summary.memory_bytes_may_start
    on_hosts = sum_if_known(room.bytes_may_start for room in target.rooms)
    in_bytes = in_all - on_hosts if in_all is not None and on_hosts is not None else None
    return in_bytes, target.summary.vms_may_start - sum(room.vms_may_start for room in target.rooms)


def _severities(findings: Sequence[Finding]) -> tuple[tuple[Severity, int], ...]:
    counts = Counter(finding.severity for finding in findings)
    return tuple((severity, counts[severity]) for severity in _SEVERITIES if counts[severity])


# --- VMs -------------------------------------------------------------------------------------------------------------


def _vm_rows(prefix: str, vms: Iterable[VmReport], hosts: Mapping[str, Host]) -> tuple[VmRow, ...]:
    return tuple(_vm_row(f"{prefix}{number}", vm, hosts) for number, vm in enumerate(vms, 1))


def _vm_row(anchor: str, vm: VmReport, hosts: Mapping[str, Host]) -> VmRow:
    disks = [disk for disk in vm.disks if disk.kind in (DiskKind.DISK, DiskKind.PASSTHROUGH)]
    sizes = [disk.size_bytes for disk in disks if disk.size_bytes is not None]
    gravest = min((finding.severity for finding in vm.findings), key=_SEVERITIES.index, default=None)
    rank = (len(_SEVERITIES) - _SEVERITIES.index(gravest)) * 1000 if gravest is not None else 0
    harm = vm.precedent.harm if vm.precedent is not None else Harm.NONE
    preferred = hosts.get(vm.preferred_host_uuid or "")
    return VmRow(
        vm=vm,
        anchor=anchor,
        disk_count=len(disks),
        disk_bytes=sum(sizes) if sizes and len(sizes) == len(disks) else None,
        addresses=tuple(dict.fromkeys(address for nic in vm.nics for address in nic.addresses)),
        adoption_css=_ADOPTION_CLASS.get(vm.may_be_adopted, "no"),
        gravest=gravest,
        finding_rank=rank + len(vm.findings),
        harm_css=_HARM_CLASS[harm],
        harm_words=HARM_WORDS[harm],
        preferred_host_name=preferred.name if preferred is not None else vm.preferred_host_uuid or "",
        lists=tuple((title, getattr(vm, field)) for field, title, _ in _LISTS),
        lacks=_lacks(vm),
    )


def _lacks(vm: VmReport) -> str:
    if not vm.definition_read:
        return ""  # what was not read is not missing
    words = [lack for field, _, lack in (*_LISTS, *_PARTS) if not getattr(vm, field)]
    return f"{' · '.join(words)}." if words else ""


def _anchor_by_uuid(rows: Iterable[VmRow]) -> dict[str, str]:
    """Where each VM is on the page. A uuid that two VMs have leads nowhere: the page cannot say which is meant."""
    times = Counter(row.vm.uuid for row in rows)
    return {row.vm.uuid: row.anchor for row in rows if row.vm.uuid and times[row.vm.uuid] == 1}


def _finding_groups(findings: Iterable[Finding], anchors: Mapping[str, str]) -> tuple[FindingGroup, ...]:
    by_code: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_code[finding.code].append(finding)
    order = {kind.code: place for place, kind in enumerate(KINDS)}
    groups = [
        FindingGroup(
            code=code,
            severity=found[0].severity,
            meaning=_KIND_BY_CODE[code].meaning if code in _KIND_BY_CODE else "",
            remedy=found[0].remedy,
            count_words=_count_words(found),
            affected=tuple(
                Named(name=_subject(each), anchor=anchors.get(each.subject_uuid), detail=each.detail)
                for each in found
            ),
        )
        for code, found in by_code.items()
    ]
    groups.sort(key=lambda group: (_SEVERITIES.index(group.severity), order.get(group.code, len(order))))
    return tuple(groups)


def _subject(finding: Finding) -> str:
    return (
        finding.subject if finding.subject.strip() not in _THINGS else f"{finding.subject.strip()} (no name)"
    )


def _count_words(found: Sequence[Finding]) -> str:
    """How many things are affected, which may be fewer than the findings: 2 VMs (3 findings)."""
    things = {finding.subject.split(" ")[0] for finding in found}
    thing = things.pop()
    subjects = len({(finding.subject_uuid, finding.subject) for finding in found})
    words = plural(subjects, thing if not things and thing in _THINGS else "subject")
    return words if subjects == len(found) else f"{words} ({plural(len(found), 'finding')})"


def _refusal_groups(rows: Iterable[VmRow]) -> tuple[RefusalGroup, ...]:
    by_rule: dict[str, list[tuple[VmRow, Refusal]]] = defaultdict(list)
    for row in rows:
        for refusal in row.vm.refusals:
            by_rule[refusal.rule].append((row, refusal))
    order = {rule: place for place, rule in enumerate(_RULE_BY_ID)}
    return tuple(
        RefusalGroup(
            rule=rule,
            css={"ask the operator": "ask", "wait": "wait"}.get(refused[0][1].verdict.value, "no"),
            outcome={"ask the operator": "your word is needed", "wait": "not now"}.get(
                refused[0][1].verdict.value, "not at all"
            ),
            why=_RULE_BY_ID[rule].why if rule in _RULE_BY_ID else "",
            remedy=refused[0][1].remedy,
            affected=tuple(
                Named(name=row.vm.name, anchor=row.anchor, detail=refusal.because) for row, refusal in refused
            ),
        )
        for rule, refused in sorted(by_rule.items(), key=lambda item: order.get(item[0], len(order)))
    )


def _comparison(policy: str | None, rows: Sequence[VmRow]) -> Comparison | None:
    compared = [(row, row.vm.precedent) for row in rows if row.vm.precedent is not None]
    if policy is None or not compared:
        return None
    by_outcome: dict[Precedent, list[VmRow]] = defaultdict(list)
    for row, precedent in compared:
        by_outcome[precedent].append(row)
    counts = Counter(precedent.harm for _, precedent in compared)
    ordered = sorted(by_outcome.items(), key=lambda item: (_HARMS.index(item[0].harm), -len(item[1])))
    return Comparison(
        manager=POLICY_TITLES.get(policy, policy),
        lost_at_once=counts[Harm.RECORD_DESTROYED],
        lost_later=counts[Harm.ON_CHANGE],
        drives_lost=counts[Harm.DRIVE_REMOVED],
        left_alone=counts[Harm.NONE],
        outcomes=tuple(
            Outcome(
                precedent=precedent,
                css=_HARM_CLASS[precedent.harm],
                affected=tuple(Named(name=row.vm.name, anchor=row.anchor, detail="") for row in affected),
            )
            for precedent, affected in ordered
        ),
    )


# --- hosts and their room --------------------------------------------------------------------------------------------


def _bar(
    parts: Iterable[tuple[str, int]], scale: int, words: str, limit: int | None, measured: int | None
) -> Bar:
    segments = []
    start = 0
    for css, size in parts:
        if size > 0:
            segments.append(Segment(css=css, start=_per_cent(start, scale), width=_per_cent(size, scale)))
            start += size
    return Bar(
        segments=tuple(segments),
        limit=_per_cent(limit, scale) if limit is not None else None,
        measured=_per_cent(measured, scale) if measured is not None else None,
        words=words,
    )


def _per_cent(part: int, whole: int) -> str:
    hundredths = min(
        10_000, max(0, 10_000 * part // whole)
    )  # whole numbers: a hostile size must not overflow a float
    return f"{hundredths / 100:.2f}%"


def _adoption_bar(summary: Summary | None) -> Bar | None:
    parts = [(css, count) for css, count, _ in _adoption(summary)]
    total = sum(count for _, count in parts)
    words = "; ".join(f"{count} {rest}" for _, count, rest in _adoption(summary))
    return _bar(parts, total, words, None, None) if total else None


def _room_row(room: HostRoom, hosts: Mapping[str, Host]) -> RoomRow:
    host = hosts.get(room.host_uuid)
    short = (
        -room.bytes_free_declared
        if room.bytes_free_declared is not None and room.bytes_free_declared < 0
        else None
    )
    return RoomRow(
        room=room,
        host_name=host.name if host is not None else room.host_uuid,
        takes_vms=host is not None and Answer.NO not in (host.live, host.enabled),
        bar=_room_bar(room, short),
        short_bytes=short,
    )


def _room_bar(room: HostRoom, short_bytes: int | None) -> Bar | None:
    """Overhead, declared and free against the host's memory; what is promised beyond it stands out past the limit."""
    total = room.bytes_total
    if not total:
        return None
    overhead = room.bytes_overhead or 0
    beyond = short_bytes or 0
    declared = max(0, room.bytes_declared - beyond)
    free = max(0, total - overhead - declared)
    may_start = room.bytes_may_start or 0  # what is not told has no length; the words say so
    may_start_within = min(may_start, free)
    words = f"{bytes_text(room.bytes_overhead)} overhead, {bytes_text(room.bytes_declared)} declared"
    if room.bytes_may_start is None:
        words += ", not told how much may start"
    elif may_start:
        words += f", {bytes_text(may_start)} may start"
    words += (
        f", over-promised by {bytes_text(beyond)}" if beyond else f", {bytes_text(free)} free by declaration"
    )
    measured = total - room.bytes_free_measured if room.bytes_free_measured is not None else None
    return _bar(
        (
            ("overhead", overhead),
            ("declared", declared),
            ("start", may_start_within),
            ("free", free - may_start_within),
            ("beyond", beyond + may_start - may_start_within),
        ),
        total + beyond + may_start - may_start_within,
        f"{words}; of {bytes_text(total)}",
        total if beyond or may_start > may_start_within else None,
        measured,
    )


def _host_rows(target: TargetReport) -> tuple[HostRow, ...]:
    vms: Counter[str | None] = Counter(vm.host_uuid for vm in target.vms)
    running = Counter(vm.host_uuid for vm in target.vms if vm.power_state is PowerState.RUNNING)
    master = target.pool.master_uuid if target.pool is not None and len(target.hosts) > 1 else None
    return tuple(
        HostRow(host=host, is_master=host.uuid == master, vms=vms[host.uuid], vms_running=running[host.uuid])
        for host in target.hosts
    )


# --- storages, networks, capabilities --------------------------------------------------------------------------------


def _storage_rows(storages: Iterable[Storage], hosts: Mapping[str, Host]) -> tuple[StorageRow, ...]:
    """What holds disks first."""
    ordered = sorted(
        storages, key=lambda storage: (storage.content != "disks", storage.name.casefold(), storage.uuid)
    )
    return tuple(_storage_row(storage, hosts) for storage in ordered)


def _storage_row(storage: Storage, hosts: Mapping[str, Host]) -> StorageRow:
    attached = [uuid for uuid in storage.host_uuids if uuid in hosts]
    everywhere = len(attached) == len(hosts) > 1
    share = None
    nearly_full = False
    bar = None
    if storage.size_bytes and storage.used_bytes is not None:
        share = (100 * storage.used_bytes + storage.size_bytes // 2) // storage.size_bytes
        limit = STORAGE_NEARLY_FULL_PER_CENT * storage.size_bytes
        nearly_full = 100 * storage.used_bytes > limit and storage.content == "disks"
        words = f"{bytes_text(storage.used_bytes)} used of {bytes_text(storage.size_bytes)}"
        parts = (
            ("full" if nearly_full else "used", storage.used_bytes),
            ("free", storage.size_bytes - storage.used_bytes),
        )
        bar = _bar(parts, max(storage.size_bytes, storage.used_bytes), words, None, None)
    return StorageRow(
        storage=storage,
        bar=bar,
        used_per_cent=share,
        nearly_full=nearly_full,
        attached=f"all {len(hosts)} hosts"
        if everywhere
        else ", ".join(hosts[uuid].name for uuid in attached),
        detached=tuple(hosts[uuid].name if uuid in hosts else uuid for uuid in storage.detached_host_uuids),
    )


def _network_rows(target: TargetReport) -> tuple[NetworkRow, ...]:
    vms = Counter(
        uuid for vm in target.vms for uuid in {nic.network_uuid for nic in vm.nics} if uuid is not None
    )
    ordered = sorted(target.networks, key=lambda network: (network.name.casefold(), network.uuid))
    return tuple(NetworkRow(network=network, vms=vms[network.uuid]) for network in ordered)


def _capability_rows(target: TargetReport) -> tuple[CapabilityRow, ...]:
    """What the source answers, then what the hosts answer, the same answers of several hosts in one row."""
    rows = [CapabilityRow(answer=answer, given_by="the source") for answer in target.capabilities]
    by_answer: dict[CapabilityAnswer, list[str]] = defaultdict(list)
    for host in target.hosts:
        for answer in host.capabilities:
            by_answer[answer].append(host.name)
    for answer, names in by_answer.items():
        everyone = len(names) == len(target.hosts) > 1
        given_by = f"all {plural(len(names), 'host')}" if everyone else ", ".join(names)
        rows.append(CapabilityRow(answer=answer, given_by=given_by))
    return tuple(rows)
