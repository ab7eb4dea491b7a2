"""Does a report say everything of a collection, each thing in its place?

Effects: reads files
"""

import pytest
from msgspec.structs import replace

from tests.support.database_files import EXAMPLE, observed
from tests.support.inventory import a_collection, a_host, a_pool, a_vm
from xenios.decide.precedent import CLOUDSTACK_4_0_2, POLICIES, Harm
from xenios.errors import TargetSilent, TargetUnreadable
from xenios.model.collection import ReadFailure
from xenios.model.inventory import (
    Answer,
    Capability,
    CapabilityAnswer,
    HypervisorKind,
    PowerState,
    VmKind,
)
from xenios.report.build import report_on, report_on_unreadable
from xenios.report.schema import TargetReport

SECOND = 1_000_000


def report(*args: object, **changes: object) -> TargetReport:
    return report_on("target", a_collection(*args, **changes), (), None)  # type: ignore[arg-type]


def test_a_complete_view_is_a_complete_report() -> None:
    told = (CapabilityAnswer(capability=Capability.EVENTS, answer=Answer.NO, how="asked"),)
    collection = a_collection(a_vm())
    found = report_on("target", collection, told, None)
    assert (found.target, found.status, found.failures) == ("target", "complete", ())
    assert found.capabilities == told
    assert found.pool == collection.pool
    assert found.hosts == collection.hosts
    assert found.storages == collection.storages
    assert (found.source, found.seen_at) == (collection.source, collection.seen_at)
    assert [room.host_uuid for room in found.rooms] == ["host-1"]


def test_one_failure_makes_a_report_partial() -> None:
    failure = ReadFailure(what="x", because="y", remedy="z")
    found = report(a_vm(), failures=(failure,))
    assert found.status == "partial"
    assert found.failures == (failure,)
    assert len(found.vms) == 1


@pytest.mark.parametrize("kind", [TargetUnreadable, TargetSilent])
def test_an_unreadable_target_says_why_and_nothing_else(kind: type[TargetUnreadable]) -> None:
    found = report_on_unreadable("target", kind("no route", remedy="ask the network"))
    assert found.status == "unreadable"
    assert [(failure.what, failure.because, failure.remedy) for failure in found.failures] == [
        ("target", "no route", "ask the network")
    ]
    assert found.pool is None
    assert found.summary is None
    assert found.vms == found.hosts == found.findings == ()


def test_kinds_are_kept_apart_and_only_machines_are_counted() -> None:
    found = report(*(a_vm(kind.name, kind=kind) for kind in VmKind))
    for name, kind in (
        ("vms", VmKind.MACHINE),
        ("templates", VmKind.TEMPLATE),
        ("snapshots", VmKind.SNAPSHOT),
        ("control_domains", VmKind.CONTROL_DOMAIN),
    ):
        assert [vm.uuid for vm in getattr(found, name)] == [kind.name]
    assert found.summary is not None
    assert found.summary.vms == 1


def test_vms_come_by_name_whatever_the_order() -> None:
    vms = [a_vm("1", name="b"), a_vm("2", name="A"), a_vm("3", name="a"), a_vm("4", name="")]
    for order in (vms, vms[::-1]):
        assert [vm.uuid for vm in report(*order).vms] == ["4", "2", "3", "1"]


@pytest.mark.parametrize(
    ("started", "uptime"),
    [(None, None), (0, 100), (100 * SECOND, 0), (100 * SECOND + 1, None), (99_500_000, 0), (-SECOND, 101)],
)
def test_uptime(started: int | None, uptime: int | None) -> None:
    assert report(a_vm(started_at=started), seen_at=100 * SECOND).vms[0].uptime_seconds == uptime


def test_annotations_are_told_by_key_only() -> None:
    [vm] = report(a_vm(annotations={"b": "hunter2", "a": "hunter2"})).vms
    assert vm.annotation_keys == ("a", "b")
    assert "hunter2" not in repr(vm)


def test_a_vm_has_its_findings_and_its_host() -> None:
    found = report(a_vm("a", name="i-2-3-VM"), a_vm("b"), a_vm("c", host_uuid="gone"))
    by_uuid = {vm.uuid: vm for vm in found.vms}
    assert [finding.code for finding in by_uuid["a"].findings] == ["name-like-cloudstack"]
    assert by_uuid["b"].findings == ()
    assert by_uuid["a"].host_name == "host-1"
    assert by_uuid["c"].host_name == ""
    assert by_uuid["c"].host_uuid == "gone"


def test_a_host_without_a_uuid_gets_nobodys_vms() -> None:
    found = report(a_vm(power_state=PowerState.HALTED), hosts=(a_host("", name="damaged"),))
    assert found.vms[0].host_name == ""


def test_the_summary_counts() -> None:
    found = report(a_vm("a"), a_vm("b", power_state=PowerState.HALTED), a_vm("c", annotations={"Citrix": ""}))
    summary = found.summary
    assert summary is not None
    assert summary.by_power_state == {"running": 2, "halted": 1}
    assert summary.by_adoption == {"yes": 2, "ask the operator": 1}
    assert summary.by_manager == {"nobody seen": 2, "Citrix": 1}
    assert summary.by_harm == {}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", list(HypervisorKind))
def test_the_comparison_is_made_when_asked_for(kind: HypervisorKind, policy: str) -> None:
    collection = a_collection(a_vm(), pool=a_pool(kind=kind))
    assert report_on("t", collection, (), None).vms[0].precedent is None
    compared = report_on("t", collection, (), policy)
    assert compared.vms[0].precedent is not None
    assert compared.vms[0].precedent.policy == policy
    assert compared.summary is not None
    assert sum(compared.summary.by_harm.values()) == 1


def test_each_vm_gets_its_own_precedent_whatever_the_order() -> None:
    vms = [a_vm("b", name="i-2-3-VM"), a_vm("a", name="web"), a_vm("c", name="A")]
    found = report_on("t", a_collection(*vms), (), CLOUDSTACK_4_0_2)
    harms = {vm.name: vm.precedent.harm for vm in found.vms if vm.precedent is not None}
    assert harms == {"A": Harm.ON_CHANGE, "i-2-3-VM": Harm.RECORD_DESTROYED, "web": Harm.ON_CHANGE}


def test_the_example_adds_up() -> None:
    found = report_on("example", observed(EXAMPLE), (), CLOUDSTACK_4_0_2)
    summary = found.summary
    assert summary is not None
    for counts in (summary.by_power_state, summary.by_adoption, summary.by_manager, summary.by_harm):
        assert sum(counts.values()) == summary.vms == len(found.vms) == 40
    assert sum(summary.by_severity.values()) == len(found.findings)
    told = [finding for vm in found.vms for finding in vm.findings]
    assert sorted(map(repr, told)) == sorted(
        repr(finding) for finding in found.findings if finding.subject.startswith("VM ")
    )


def test_nothing_read_is_not_the_same_as_nothing_there() -> None:
    empty = report()
    assert empty.status == "complete"
    assert empty.summary is not None
    silent = report_on("t", replace(a_collection(), hosts=()), (), None)
    assert silent.rooms == ()
