"""Does the report on a terminal say what the source tells, where things lie, and the same words as the page?

Effects: reads files
"""

import asyncio
import re

import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from tests.support.database_files import EXAMPLE
from tests.support.inventory import a_collection, a_disk, a_host, a_pool, a_vm
from xenios.decide.precedent import CLOUDSTACK_4_0_2, POLICIES, Harm
from xenios.drivers.base import Depth
from xenios.drivers.xenserver.offline import DatabaseObserver
from xenios.model.inventory import Answer, Capability, CapabilityAnswer, DiskKind, Sharing
from xenios.report.build import report_on
from xenios.report.html_view import views_of
from xenios.report.render_html import render_html
from xenios.report.render_text import SUBJECTS_SHOWN_MAX, render_text
from xenios.report.schema import Report, TargetReport
from xenios.report.words import ADOPTION_WORDS, HARM_WORDS, adoption_words, shown


async def _example() -> TargetReport:
    observer = DatabaseObserver(EXAMPLE, 60)
    collection = await observer.observe(Depth.REPORT)
    return report_on(str(EXAMPLE), collection, observer.capabilities, CLOUDSTACK_4_0_2)


@pytest.fixture(scope="module")
def example() -> TargetReport:
    return asyncio.run(_example())


def report_of(target: TargetReport, compare: str | None = CLOUDSTACK_4_0_2) -> Report:
    return Report(xenios_version="0", made_at=0, complete=True, compare=compare, targets=(target,))


def text_of(target: TargetReport, *, width: int = 200, details: bool = False) -> str:
    return render_text(report_of(target), width=width, colour=False, details=details)


def made_up(*vms: object, **changes: object) -> TargetReport:
    return report_on("target", a_collection(*vms, **changes), (), CLOUDSTACK_4_0_2)  # type: ignore[arg-type]


def section(text: str, title: str) -> str:
    """The lines from one that begins with `title` up to the next empty one."""
    return re.split(r"\n\n", text[text.index(f"\n{title}") + 1 :], maxsplit=1)[0]


# --- what the source tells -------------------------------------------------------------------------------------------


def test_the_headline_names_what_the_source_cannot_tell(example: TargetReport) -> None:
    told = {answer.capability.value: answer.answer for answer in example.capabilities}
    line = next(
        line for line in text_of(example).splitlines() if line.startswith("Not told by this source: ")
    )
    names = line.removeprefix("Not told by this source: ").partition(" (")[0].split(", ")
    assert names == [name for name, answer in told.items() if answer is Answer.NO]
    assert names


def test_a_source_that_tells_all_is_not_said_to_lack_anything() -> None:
    told = (CapabilityAnswer(capability=Capability.EVENTS, answer=Answer.YES, how="it answered"),)
    assert "Not told by" not in text_of(report_on("target", a_collection(a_vm()), told, None))


def test_details_give_every_capability_of_the_source_and_of_each_host(example: TargetReport) -> None:
    text = text_of(example, details=True)
    assert "Not told by this source" not in text
    capabilities = section(text, "Capabilities")
    answers = [*example.capabilities, *(answer for host in example.hosts for answer in host.capabilities)]
    for answer in answers:
        row = rf"{answer.capability.value} +{answer.answer.value} +{re.escape(shown(answer.how))}"
        assert re.search(row, capabilities), answer
    assert "the source" in capabilities
    assert any(host.capabilities for host in example.hosts)


def test_hosts_that_answer_differently_are_named() -> None:
    def can(answer: Answer) -> tuple[CapabilityAnswer, ...]:
        return (CapabilityAnswer(capability=Capability.UEFI, answer=answer, how="asked"),)

    hosts = (
        a_host("host-1", capabilities=can(Answer.YES)),
        a_host("host-2", capabilities=can(Answer.NO)),
        a_host("host-3", capabilities=can(Answer.YES)),
    )
    capabilities = section(text_of(made_up(a_vm(), hosts=hosts), details=True), "Capabilities")
    assert re.search(r"host-1, host-3 +uefi +yes +asked", capabilities)
    assert re.search(r"host-2 +uefi +no +asked", capabilities)


def test_details_name_the_storage_of_a_disk(example: TargetReport) -> None:
    text = text_of(example, details=True, width=400)
    names = {storage.uuid: storage.name for storage in example.storages}
    disks = [disk for vm in example.vms for disk in vm.disks if disk.where and disk.storage_uuid in names]
    assert disks
    for disk in disks:
        line = next(line for line in text.splitlines() if disk.where in line and line.startswith("  disk"))
        assert f"in storage {shown(names[disk.storage_uuid or ''])}" in line


def test_a_storage_that_was_not_read_goes_by_its_uuid() -> None:
    vm = a_vm(disks=(a_disk("volume", storage_uuid="storage-9"),))
    assert "in storage storage-9" in text_of(made_up(vm), details=True)


def test_the_table_of_room_says_where_its_figures_come_from(example: TargetReport) -> None:
    (source,) = {room.measured_source for room in example.rooms}
    room = section(text_of(example, width=400), "Room: memory")
    assert room.count(source) == 1
    for column in ("Declared: ", "Worst: ", "May start: ", "Drift: "):
        assert column in room


# --- sentences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ADOPTION_WORDS)
def test_one_is_singular_and_more_are_plural(word: str) -> None:
    one, many = ADOPTION_WORDS[word]
    assert adoption_words(word, 1) == one
    assert adoption_words(word, 2) == adoption_words(word, 0) == many


def test_one_vm_may_be_adopted_as_it_is() -> None:
    assert "  1 may be adopted as it is.\n" in text_of(made_up(a_vm()))
    assert "  2 may be adopted as they are.\n" in text_of(made_up(a_vm(), a_vm("vm-2")))


@pytest.mark.parametrize(
    ("name", "product", "version", "headline"),
    [
        ("", "", "", "target  pool without a name"),
        (" ", "XCP-ng", "8.3", "target  pool without a name: XCP-ng 8.3"),
        ("blue", "", "", "target  pool blue"),
        ("blue", "XCP-ng", "", "target  pool blue: XCP-ng"),
    ],
)
def test_the_headline_has_no_colon_with_nothing_behind(
    name: str, product: str, version: str, headline: str
) -> None:
    pool = replace(a_pool(), name=name, product=product, version=version)
    assert text_of(made_up(a_vm(), pool=pool)).splitlines()[1] == headline


def test_the_comparison_says_how_many_would_be_spared(example: TargetReport) -> None:
    assert "it would spare none." in text_of(example)
    assert example.summary is not None
    assert Harm.NONE not in example.summary.by_harm


@pytest.mark.parametrize(
    ("by_harm", "said"),
    [
        (
            {"record destroyed": 1, "on change": 2, "drive removed": 3, "none": 4},
            "x would destroy 1 VM as soon as it connects and 2 more after their first change (their records; the disks "
            "stay) and remove a CD drive from 3 VMs; it would spare 4.",
        ),
        ({"drive removed": 1}, "x would remove a CD drive from 1 VM; it would spare none."),
        ({"none": 7}, "x would destroy no VM; it would spare 7."),
    ],
)
def test_the_comparison_in_a_sentence(by_harm: dict[str, int], said: str) -> None:
    target = made_up(a_vm())
    assert target.summary is not None
    target = replace(target, summary=replace(target.summary, by_harm=by_harm))
    assert said in render_text(report_of(target, "x"), width=400, colour=False)


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_is_named_by_its_own_name(policy: str) -> None:
    target = report_on("target", a_collection(a_vm(), a_vm("r", name="r-4-VM")), (), policy)
    text = render_text(report_of(target, policy), width=400, colour=False, details=True)
    assert f"compared with what {policy} would do" in text
    assert f"{policy}, at connect: " in text
    others = sorted(set(POLICIES) - {policy}, key=len)
    assert not re.search(rf"({'|'.join(map(re.escape, others))})(?![-.\w])", text)


# --- tables and findings in little room ------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_table_of_vms_fits_and_tells_the_memory(example: TargetReport, width: int) -> None:
    text = text_of(example, width=width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    header = section(text, "VMs (").splitlines()[1]
    for column in ("Name", "Power", "Memory", "Adopt", "Findings", "Compared"):
        assert column in header.split(), (width, header)
    assert ("Disks" in header) == (width == 140)


def test_the_widest_table_of_vms_has_all_columns_and_the_narrowest_what_matters(
    example: TargetReport,
) -> None:
    wide = section(text_of(example, width=200), "VMs (").splitlines()[1]
    assert all(column in wide for column in ("Host", "vCPU", "Memory", "Disks", "Managed by"))
    narrow = section(text_of(example, width=60), "VMs (").splitlines()[1].split()
    assert [
        column for column in narrow if column in ("Name", "Power", "Adopt", "Findings", "Compared")
    ] == narrow


def test_what_only_informs_is_grouped_by_vm() -> None:
    def unknown(device: str) -> object:
        return a_disk(f"{device} of it", device=device, sharing=Sharing.UNKNOWN, kind=DiskKind.DISK)

    vms = [a_vm("vm-00", disks=(unknown("xvda"), unknown("xvdb")))]
    vms += [
        a_vm(f"vm-{number:02}", disks=(a_disk(f"d{number}", sharing=Sharing.UNKNOWN),))
        for number in range(1, SUBJECTS_SHOWN_MAX + 3)
    ]
    target = made_up(*vms)
    found = [finding for finding in target.findings if finding.code == "disk-place-unknown"]
    assert len(found) == len(vms) + 1
    lines = text_of(target, width=1000).splitlines()
    start = next(number for number, line in enumerate(lines) if f"disk-place-unknown ({len(found)})" in line)
    names, remedy = lines[start + 1 : start + 3]
    assert names.strip().startswith("VM name of vm-00 (2), VM name of vm-01, ")
    assert names.count("VM ") == SUBJECTS_SHOWN_MAX
    assert names.endswith(", … and 3 more (--json or --html has all)")
    assert remedy.strip().startswith("→")


def test_one_finding_that_informs_keeps_its_detail(example: TargetReport) -> None:
    (blocked,) = [finding for finding in example.findings if finding.code == "operations-blocked"]
    assert f"{shown(blocked.subject)}: {shown(blocked.detail)}" in text_of(example)


# --- one word per thing ----------------------------------------------------------------------------------------------


def test_the_terminal_and_the_page_say_the_same(example: TargetReport) -> None:
    text = text_of(example, width=400)
    (view,) = views_of(report_of(example))
    assert view.adoption
    for _, count, words in view.adoption:
        assert f"{count} {words}" in text
    vms = section(text, "VMs (")
    for row in view.vms:
        assert row.harm_words in HARM_WORDS.values()
        assert row.harm_words in vms


def test_a_sum_that_may_lack_vms_is_told_as_a_lower_bound() -> None:
    """Of a pool whose VMs could not be read, nothing is declared that anybody knows of: that is not nothing."""
    collection = replace(a_collection(), all_vms_seen=False)
    report = report_of(report_on("test", collection, (), None), None)
    assert "at least 0 B" in render_text(report, width=200, colour=False)
    assert "at least: not all VMs could be read" in render_html(report)
    whole = report_of(report_on("test", a_collection(), (), None), None)
    assert "at least" not in render_text(whole, width=200, colour=False) + render_html(whole)
