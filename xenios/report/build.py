"""Builds the report of one target from its collection: everything decided, nothing rendered.

Effects: none
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping

from xenios.decide.adopt import refusals_to_adopt
from xenios.decide.custody import managers_seen
from xenios.decide.findings import findings_in
from xenios.decide.precedent import Precedent, precedents_of
from xenios.decide.room import room_of
from xenios.errors import XeniosError
from xenios.model.collection import Collection, ReadFailure
from xenios.model.decision import Finding, Refusal, Verdict
from xenios.model.inventory import Answer, CapabilityAnswer, Host, Vm, VmKind
from xenios.model.room import HostRoom, PoolRoom, sum_if_known
from xenios.report.schema import Summary, TargetReport, VmReport

_COPIED = frozenset(VmReport.__struct_fields__) & frozenset(Vm.__struct_fields__)
_NOBODY = "nobody seen"


def report_on(
    target: str, collection: Collection, capabilities: tuple[CapabilityAnswer, ...], compare: str | None
) -> TargetReport:
    """The report on a target that was read, wholly or in part."""
    room = room_of(collection)
    findings = findings_in(collection, room)
    vms = _vm_reports(collection, findings, compare)

    def of_kind(kind: VmKind) -> tuple[VmReport, ...]:
        return tuple(vm for vm in vms if vm.kind is kind)

    machines = of_kind(VmKind.MACHINE)
    return TargetReport(
        target=target,
        status=collection.quality.value,
        source=collection.source,
        seen_at=collection.seen_at,
        failures=collection.failures,
        capabilities=capabilities,
        pool=collection.pool,
        summary=_summary(machines, findings, room, collection.hosts),
        hosts=collection.hosts,
        rooms=room.hosts,
        storages=collection.storages,
        networks=collection.networks,
        vms=machines,
        templates=of_kind(VmKind.TEMPLATE),
        snapshots=of_kind(VmKind.SNAPSHOT),
        control_domains=of_kind(VmKind.CONTROL_DOMAIN),
        findings=findings,
    )


def report_on_unreadable(target: str, error: XeniosError) -> TargetReport:
    """The report on a target of which nothing could be read."""
    failure = ReadFailure(what=target, because=str(error), remedy=error.remedy)
    return TargetReport(target=target, status="unreadable", failures=(failure,))


def _vm_reports(collection: Collection, findings: Iterable[Finding], compare: str | None) -> list[VmReport]:
    hosts = {host.uuid: host for host in collection.hosts}
    uuids = Counter(vm.uuid for vm in collection.vms)
    findings_by_uuid: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        findings_by_uuid[finding.subject_uuid].append(finding)
    precedents = precedents_of(compare, collection) if compare else (None,) * len(collection.vms)
    return [
        _vm_report(
            vm,
            hosts,
            tuple(findings_by_uuid.get(vm.uuid, ())),
            uuid_is_unique=bool(vm.uuid) and uuids[vm.uuid] == 1,
            collection=collection,
            precedent=precedent,
        )
        for vm, precedent in sorted(
            zip(collection.vms, precedents, strict=True),
            key=lambda pair: (pair[0].name.casefold(), pair[0].name, pair[0].uuid),
        )
    ]


def _vm_report(
    vm: Vm,
    hosts: Mapping[str, Host],
    findings: tuple[Finding, ...],
    *,
    uuid_is_unique: bool,
    collection: Collection,
    precedent: Precedent | None,
) -> VmReport:
    host = hosts.get(vm.host_uuid) if vm.host_uuid else None  # a damaged host may have the uuid ""
    managers = managers_seen(vm)
    refusals = refusals_to_adopt(vm, managers, host, uuid_is_unique=uuid_is_unique)
    return VmReport(
        **{name: getattr(vm, name) for name in _COPIED},
        host_name=host.name if host is not None else "",
        uptime_seconds=_uptime_seconds(vm, collection.seen_at),
        annotation_keys=tuple(sorted(vm.annotations)),
        managers=managers,
        may_be_adopted=_adoption(refusals),
        refusals=refusals,
        findings=findings,
        precedent=precedent,
    )


def _uptime_seconds(vm: Vm, seen_at: int) -> int | None:
    if vm.started_at is None or vm.started_at > seen_at:
        return None  # a clock that is wrong tells no uptime
    return (seen_at - vm.started_at) // 1_000_000


def _adoption(refusals: Iterable[Refusal]) -> str:
    """The gravest of the verdicts in words."""
    verdicts = {refusal.verdict for refusal in refusals}
    if Verdict.LEAVE_ALONE in verdicts:
        return "no"
    if Verdict.WAIT in verdicts:
        return "not now"
    return "ask the operator" if Verdict.ASK_OPERATOR in verdicts else "yes"


def _summary(
    machines: tuple[VmReport, ...], findings: tuple[Finding, ...], room: PoolRoom, hosts: Iterable[Host]
) -> Summary:
    uuids = {host.host_uuid for host in room.hosts}
    takers = {host.uuid for host in hosts if Answer.NO not in (host.live, host.enabled)}
    managers = Counter(
        ", ".join(str(seen.manager) for seen in vm.managers) if vm.managers else _NOBODY for vm in machines
    )

    def summed(size: Callable[[HostRoom], int | None], among: Container[str] = uuids) -> int | None:
        if not room.hosts or not room.all_hosts_seen:
            return None
        return sum_if_known(size(host) for host in room.hosts if host.host_uuid in among)

    may_start = (room.bytes_may_start_anywhere, *(host.bytes_may_start for host in room.hosts))
    return Summary(
        vms=len(machines),
        by_power_state=dict(Counter(vm.power_state.value for vm in machines)),
        by_adoption=dict(Counter(vm.may_be_adopted for vm in machines)),
        by_severity=dict(Counter(finding.severity.value for finding in findings)),
        by_manager=dict(managers),
        by_harm=dict(Counter(vm.precedent.harm.value for vm in machines if vm.precedent is not None)),
        memory_bytes_total=summed(lambda host: host.bytes_total),
        memory_bytes_free=summed(lambda host: host.bytes_free, takers),
        memory_bytes_drift=summed(lambda host: host.bytes_drift),
        memory_bytes_may_start=sum_if_known(may_start),
        vms_may_start=room.vms_may_start_anywhere + sum(host.vms_may_start for host in room.hosts),
    )
