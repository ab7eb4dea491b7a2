"""Is the page well-formed, complete, self-contained, and deaf to whatever strangers call their VMs?

Effects: none
"""

import base64
import functools
import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import anyio
import msgspec
import pytest
from lxml import etree, html

from xenios.decide.precedent import CLOUDSTACK_4_0_2, CLOUDSTACK_4_22, POLICIES, POLICY_TITLES
from xenios.drivers.base import Depth
from xenios.drivers.xenserver.offline import DatabaseObserver
from xenios.errors import TargetUnreadable
from xenios.model.collection import Collection, ReadFailure
from xenios.model.decision import Finding, Severity
from xenios.model.inventory import (
    Answer,
    Cpu,
    Disk,
    DiskKind,
    Host,
    HypervisorKind,
    Memory,
    Network,
    Nic,
    Pool,
    PowerState,
    Sharing,
    Snapshot,
    Storage,
    Vm,
    VmKind,
)
from xenios.report.build import report_on, report_on_unreadable
from xenios.report.render_html import FAILURES_SHOWN_MAX, NAME_LENGTH_MAX, render_html
from xenios.report.schema import Report, TargetReport
from xenios.report.words import shown

EXAMPLE = Path(__file__).parents[2] / "xenios/simulator/examples/pool-in-use.db"
VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
GIB = 2**30
EVIL = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style></script></title><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt; &amp; &#60;",
    "https://example.invalid/x",
    "javascript:alert(1)",
    "\x1b[2J\x1b]0;title\x07",
    "\u202egnp.exe\u2066\u2069",
    "\x00\x9b\r\n\t\x7f",
    "\ud800 half a surrogate",
    "]]> --> <!--",
    "日本語 עברית العربية",
    "x" * 3000,
)


# ---- the page, taken apart ----


class Balance(HTMLParser):
    """Collects tags that are not closed in order, and all attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.faults.append(f"<{tag}> has an attribute twice: {names}")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.faults.append(f"</{tag}> closes {self.open[-3:]} at {self.getpos()}")
        else:
            self.open.pop()


def balance_of(page: str) -> Balance:
    parser = Balance()
    parser.feed(page)
    parser.close()
    return parser


def tree_of(page: str) -> html.HtmlElement:
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True)
    tree: html.HtmlElement = etree.fromstring(page.encode(), parser)
    return tree


def text_of(element: html.HtmlElement) -> str:
    return " ".join(str(element.text_content()).split())


def columns(tree: html.HtmlElement) -> list[str]:
    return [text_of(head) for head in tree.xpath("//table[contains(@class, 'machines')]/thead/tr/th")]


# ---- reports to show ----


@functools.cache
def example() -> tuple[Collection, DatabaseObserver]:
    observer = DatabaseObserver(EXAMPLE, 60)
    return anyio.run(observer.observe, Depth.REPORT), observer


def example_target(compare: str | None = CLOUDSTACK_4_0_2) -> TargetReport:
    collection, observer = example()
    return report_on("pool-in-use.db", collection, observer.capabilities, compare)


def report_of(*targets: TargetReport, compare: str | None = CLOUDSTACK_4_0_2) -> Report:
    complete = all(target.status == "complete" for target in targets)
    return Report(
        xenios_version="0.1.0",
        made_at=1_780_000_000_000_000,
        complete=complete,
        compare=compare,
        targets=targets,
    )


@pytest.fixture(scope="module")
def page() -> str:
    return render_html(report_of(example_target()))


@pytest.fixture(scope="module")
def tree(page: str) -> html.HtmlElement:
    return tree_of(page)


def small(**changes: object) -> Collection:
    """A pool of one host and nothing else."""
    host = Host(
        uuid="host-1",
        name="alone",
        cpu=Cpu(count=8),
        memory_bytes_total=16 * GIB,
        memory_bytes_free=None,
        memory_bytes_overhead=GIB,
    )
    pool = Pool(uuid="pool-1", name="small", kind=HypervisorKind.KVM)
    base = Collection(
        seen_at=1_780_000_000_000_000,
        source="made up",
        pool=pool,
        hosts=(host,),
        storages=(),
        networks=(),
        vms=(),
    )
    return msgspec.structs.replace(base, **changes)  # type: ignore[arg-type]


def rendered(collection: Collection, compare: str | None = None) -> str:
    return render_html(report_of(report_on("a target", collection, (), compare), compare=compare))


def a_vm(name: str, number: int = 1, **more: object) -> Vm:
    fields: dict[str, object] = {
        "power_state": PowerState.RUNNING,
        "memory": Memory(bytes_max=GIB),
        "host_uuid": "host-1",
    }
    return Vm(uuid=f"00000000-0000-4000-8000-{number:012d}", name=name, **(fields | more))  # type: ignore[arg-type]


# ---- form ----


def test_every_tag_is_closed_in_order(page: str) -> None:
    parser = balance_of(page)
    assert parser.faults == []
    assert parser.open == []


def test_ids_are_unique_and_every_link_leads_to_one(tree: html.HtmlElement) -> None:
    ids = tree.xpath("//@id")
    assert len(ids) == len(set(ids))
    links = tree.xpath("//a/@href")
    assert links
    assert {link for link in links if link[0] != "#" or link[1:] not in ids} == set()
    assert {label for label in tree.xpath("//@aria-labelledby") if label not in ids} == set()


def test_every_table_can_be_read_aloud(tree: html.HtmlElement) -> None:
    for table in tree.xpath("//table"):
        assert table.xpath("./caption"), html.tostring(table)[:200]
        assert table.xpath("./thead/tr/th")
        assert all(head.get("scope") for head in table.iter("th"))
        width = len(table.xpath("./thead/tr/th"))
        for row in table.xpath("./tbody/tr"):
            assert sum(int(cell.get("colspan", "1")) for cell in row) == width
    assert tree.get("lang") == "en"
    levels = [int(head.tag[1]) for head in tree.xpath("//h1|//h2|//h3|//h4")]
    assert levels.count(1) == 1
    assert all(svg.get("role") == "img" and svg.get("aria-label") for svg in tree.xpath("//svg"))


def test_nothing_comes_from_elsewhere(page: str) -> None:
    parser = balance_of(page)
    assert parser.tags.isdisjoint(
        {"link", "img", "iframe", "object", "embed", "base", "form", "image", "use", "video"}
    )
    for tag, name, value in parser.attributes:
        assert name not in ("src", "srcset", "action", "style", "xlink:href", "background", "poster"), (
            tag,
            name,
        )
        assert not name.startswith("on"), (tag, name)
        if name == "href":
            assert value is not None
            assert value.startswith("#")
    style = page[page.index("<style>") : page.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "http" not in style


def test_the_policy_allows_this_style_and_this_script_only(page: str, tree: html.HtmlElement) -> None:
    (policy,) = tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (body,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


# ---- what it says ----


def test_every_vm_is_there_with_all_details(page: str, tree: html.HtmlElement) -> None:
    target = example_target()
    for vm in (*target.vms, *target.templates, *target.snapshots, *target.control_domains):
        assert page.count(vm.uuid) >= 2, vm.name  # in its row and in its details
    rows = tree.xpath("//table[contains(@class, 'machines')]/tbody")
    assert len(rows) == len(target.vms) == 40
    for row, vm in zip(rows, target.vms, strict=True):
        text = text_of(row)
        assert vm.power_state.value in text
        assert vm.may_be_adopted in text
        words = [nic.mac for nic in vm.nics] + [disk.where for disk in vm.disks]
        words += [address for nic in vm.nics for address in nic.addresses]
        words += (
            [snapshot.uuid for snapshot in vm.snapshots] + list(vm.annotation_keys) + list(vm.passthrough)
        )
        words += [refusal.rule for refusal in vm.refusals] + [finding.code for finding in vm.findings]
        words += [refusal.remedy for refusal in vm.refusals] + [finding.remedy for finding in vm.findings]
        words += [shown(seen.evidence) for seen in vm.managers] + list(vm.blocked_operations) + list(vm.tags)
        assert vm.precedent is not None
        words += [vm.precedent.at_connect, vm.precedent.later, vm.precedent.rule]
        missing = [word for word in words if " ".join(word.split()) not in text]
        assert missing == [], vm.name


def test_hosts_storages_networks_findings_and_capabilities_are_there(page: str) -> None:
    target = example_target()
    text = text_of(tree_of(page))
    uuids = [each.uuid for group in (target.hosts, target.storages, target.networks) for each in group]
    assert [uuid for uuid in uuids if uuid not in text] == []
    assert [finding.code for finding in target.findings if finding.code not in text] == []
    assert [answer.how for answer in target.capabilities if answer.how not in text] == []
    assert "takes no VMs now" in text
    assert "detached: xcp-a02" in text


def test_the_pool_in_a_sentence(tree: html.HtmlElement) -> None:
    (say,) = tree.xpath("//p[@class='say']")
    assert text_of(say) == (
        "40 VMs: 29 running, 1 paused, 1 suspended, 9 halted. 30 may be adopted as they are, "
        "4 need a word from you first, 6 cannot be adopted now. Nothing was changed by this look."
    )


def test_findings_come_gravest_first(tree: html.HtmlElement) -> None:
    groups = tree.xpath(
        "//h3[text()='Findings']/following-sibling::ol/li//span[contains(@class, 's ')]/text()"
    )
    order = [severity.value for severity in Severity]
    assert groups == sorted(groups, key=order.index)
    assert groups[0] == "critical"


def test_the_comparison_is_there_only_when_asked_for(page: str, tree: html.HtmlElement) -> None:
    (strike,) = tree.xpath("//p[@class='strike']")
    assert (
        text_of(strike)
        == "It would destroy 1 VM at once and 39 more after somebody starts, moves or stops them."
    )
    assert columns(tree)[-1] == "CloudStack 4.0.2 would"
    without = render_html(report_of(example_target(None), compare=None))
    assert columns(tree_of(without)) == columns(tree)[:-1]
    assert "CloudStack 4.0.2" not in without
    assert "compared" not in without[without.index("</style>") : without.index("<script>")]
    assert balance_of(without).faults == []


def test_a_comparison_that_harms_nothing_says_so() -> None:
    page = rendered(small(vms=(a_vm("one", 1), a_vm("two", 2))), CLOUDSTACK_4_0_2)
    assert "It would leave all 2 VMs alone." in text_of(tree_of(page))


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_is_called_by_its_title(policy: str) -> None:
    page = render_html(report_of(example_target(policy), compare=policy))
    tree = tree_of(page)
    title = POLICY_TITLES[policy]
    assert columns(tree)[-1] == f"{title} would"
    shown_titles = {text_of(head) for head in tree.xpath("//h3[contains(@id, '-compare')]")}
    assert shown_titles == {f"If {title} were connected to this pool"}
    others = "|".join(map(re.escape, set(POLICY_TITLES.values()) - {title}))
    assert not re.search(rf"({others})(?! with the patch|[.\w])", text_of(tree.xpath("//body")[0]))
    assert balance_of(page).faults == []


def test_a_comparison_that_costs_only_drives_says_so() -> None:
    drive = Disk(device="3", kind=DiskKind.CDROM, where="")
    pool = Pool(uuid="pool-1", name="small", kind=HypervisorKind.XENSERVER, version="8.3.0")
    collection = small(pool=pool, vms=(a_vm("r-one", 1, disks=(drive,)), a_vm("two", 2)))
    page = rendered(collection, CLOUDSTACK_4_22)
    text = text_of(tree_of(page))
    assert "It would remove a CD drive from 1 VM. It would spare 1 VM." in text
    assert "remove a drive" in text
    assert balance_of(page).faults == []


# ---- what could not be read ----


def failures(count: int) -> tuple[ReadFailure, ...]:
    return tuple(
        ReadFailure(what=f"disk <{number}>", because="it <b>vanished</b>", remedy=f"look again {number}")
        for number in range(count)
    )


def test_a_complete_view_says_so_and_has_no_banner(tree: html.HtmlElement) -> None:
    assert tree.xpath("//*[@class='banner']") == []
    assert "The view is complete" in text_of(tree)


@pytest.mark.parametrize("count", [1, FAILURES_SHOWN_MAX, FAILURES_SHOWN_MAX + 5])
def test_a_partial_view_is_loud_and_names_every_failure(count: int) -> None:
    page = rendered(small(failures=failures(count)))
    (banner,) = tree_of(page).xpath("//section[@class='banner']")
    text = text_of(banner)
    assert "This view is not complete" in text
    assert "The view is complete" not in page
    for failure in failures(count):
        assert f"{failure.what}: {failure.because}" in text
        assert failure.remedy in text
    assert ("and 5 more" in text) == (count > FAILURES_SHOWN_MAX)
    assert balance_of(page).faults == []


def test_an_unreadable_target_is_not_shown_as_empty() -> None:
    error = TargetUnreadable("cannot reach <host> \x1b[31m", remedy="look at its cables")
    page = render_html(report_of(report_on_unreadable("qemu+ssh://host/system", error)))
    text = text_of(tree_of(page))
    assert "Nothing could be read here" in text
    assert "cannot reach <host> \\x1b[31m" in text
    assert "look at its cables" in text
    assert "No VMs" not in text
    assert balance_of(page).faults == []


def test_one_bad_target_does_not_spoil_the_others() -> None:
    error = TargetUnreadable("no answer", remedy="try again")
    good, bad = example_target(), report_on_unreadable("file-b", error)
    partial = report_on("file-c", small(failures=failures(1)), (), CLOUDSTACK_4_0_2)
    page = render_html(report_of(good, bad, partial))
    tree = tree_of(page)
    contents = tree.xpath("//nav//tbody/tr")
    assert [text_of(row[2]) for row in contents] == ["complete", "unreadable", "partial"]
    assert [text_of(row[3]) for row in contents] == ["40", "–", "0"]
    assert "This report is not complete." in text_of(tree)
    assert len(tree.xpath("//article")) == 3
    test_ids_are_unique_and_every_link_leads_to_one(tree)
    test_every_table_can_be_read_aloud(tree)


def test_what_was_not_read_of_a_vm_is_not_called_missing() -> None:
    vm = a_vm("half", definition_read=False, memory=Memory(bytes_max=None), vcpus=None)
    page = rendered(small(vms=(vm,), failures=failures(1)))
    (row,) = tree_of(page).xpath("//table[contains(@class, 'machines')]/tbody")
    assert "definition not read" in text_of(row)
    assert "no disks" not in text_of(row)
    assert "no NIC" not in text_of(row)
    assert "none" not in text_of(row[0])[: text_of(row[0]).index("nobody")]


# ---- empty states ----


def test_an_empty_pool_says_so_in_words() -> None:
    text = text_of(tree_of(rendered(small(hosts=()), CLOUDSTACK_4_0_2)))
    for words in (
        "No VMs are here.",
        "No findings.",
        "No hosts were seen.",
        "No storages were seen.",
        "No networks were seen.",
        "No templates.",
        "No snapshots.",
        "No control domains.",
        "No hosts, so no room is known.",
        "Nothing was changed by this look.",
    ):
        assert words in text
    assert "It would" not in text


def test_a_report_without_targets() -> None:
    assert "No target was given" in render_html(report_of())


def test_a_vm_of_which_nothing_is_told() -> None:
    page = rendered(
        small(vms=(a_vm("", memory=Memory(bytes_max=None), power_state=PowerState.UNKNOWN, host_uuid=None),))
    )
    (row,) = tree_of(page).xpath("//table[contains(@class, 'machines')]/tbody")
    assert text_of(row[0][0]) == "(no name)"
    assert [text_of(cell) for cell in row[0]][1:5] == ["unknown", "–", "–", "–"]


# ---- room ----


def test_an_over_promised_host_is_seen_and_said() -> None:
    vms = tuple(a_vm(f"vm-{number}", number, memory=Memory(bytes_max=6 * GIB)) for number in range(3))
    tree = tree_of(rendered(small(vms=vms)))
    (row,) = tree.xpath("//table[contains(@class, 'room')]/tbody/tr")
    assert "over-promised by 3 GiB" in text_of(row)
    (bar,) = row.xpath(".//svg")
    assert "over-promised by 3 GiB" in bar.get("aria-label")
    assert bar.xpath("./rect[@class='beyond']")
    widths = [float(width.removesuffix("%")) for width in bar.xpath("./rect/@width")[0:]]
    assert sum(widths) == pytest.approx(100, abs=0.1)


@pytest.mark.parametrize("host", ["h1", None])
def test_what_may_start_and_is_not_told_is_not_zero(host: str | None) -> None:
    hosts = tuple(
        Host(
            uuid=uuid,
            name=uuid,
            cpu=Cpu(count=8),
            memory_bytes_total=64 * GIB,
            memory_bytes_free=32 * GIB,
            memory_bytes_overhead=GIB,
        )
        for uuid in ("h1", "h2")
    )
    suspended = a_vm(
        "s", power_state=PowerState.SUSPENDED, host_uuid=host, memory=Memory(bytes_max=None), vcpus=None
    )
    page = rendered(small(hosts=hosts, vms=(suspended,)))
    words = "not told how much may start" if host else "an amount that is not told"
    assert words in page
    assert "0 B may start" not in page


def test_a_host_of_which_no_memory_is_told_has_no_bar() -> None:
    host = msgspec.structs.replace(small().hosts[0], memory_bytes_total=None, memory_bytes_overhead=None)
    (row,) = tree_of(rendered(small(hosts=(host,)))).xpath("//table[contains(@class, 'room')]/tbody/tr")
    assert row.xpath(".//svg") == []
    assert "0 B" not in text_of(row[2])


# ---- strangers' words ----


def evil_collection(text: str) -> Collection:
    """A pool in which every text that a stranger can choose is `text`."""
    base = small()
    vm = a_vm(
        text,
        power_reason=text,
        virtualisation=text,
        disks=(
            Disk(
                device=text,
                kind=DiskKind.DISK,
                where=text,
                identity="i",
                name=text,
                format=text,
                backing=(text,),
            ),
        ),
        nics=(Nic(device=text, mac=text, network_name=text, bridge=text, addresses=(text, "10.0.0.1")),),
        snapshots=(Snapshot(uuid=text, name=text),),
        passthrough=(text,),
        high_availability=text,
        busy=(text,),
        blocked_operations=(text,),
        annotations={text: text, "xo:" + text: text},
        tags=(text,),
        preferred_host_uuid=text,
    )
    return msgspec.structs.replace(
        base,
        source=text,
        pool=msgspec.structs.replace(
            base.pool, uuid=text, name=text, product=text, version=text, native_version=text
        ),
        hosts=(
            msgspec.structs.replace(
                base.hosts[0], name=text, address=text, product=text, memory_free_source=text
            ),
        ),
        storages=(
            Storage(
                uuid=text,
                name=text,
                type=text,
                sharing=Sharing.UNKNOWN,
                where=text,
                size_bytes=1,
                used_bytes=9,
                detached_host_uuids=(text,),
            ),
        ),
        networks=(Network(uuid=text, name=text, bridge=text, type=text),),
        vms=(vm, msgspec.structs.replace(vm, uuid=text, kind=VmKind.TEMPLATE)),
        failures=(ReadFailure(what=text, because=text, remedy=text),),
    )


@functools.cache
def shape(text: str) -> tuple[tuple[str, ...], str]:
    """The page's elements in order, and its text."""
    page = rendered(evil_collection(text), CLOUDSTACK_4_0_2)
    tree = tree_of(page)
    return tuple(str(element.tag) for element in tree.iter()), page


@pytest.mark.parametrize("text", EVIL, ids=range(len(EVIL)))
def test_no_foreign_text_becomes_markup(text: str) -> None:
    elements, page = shape(text)
    parser = balance_of(page)
    assert parser.faults == []
    # A name that is hard to show brings a finding of its own.
    assert elements == shape("harmless" if text.isprintable() else "\x01")[0]
    assert [name for _, name, _ in parser.attributes if name.startswith("on")] == []
    assert all(
        value is not None and value.startswith("#") for _, name, value in parser.attributes if name == "href"
    )


@pytest.mark.parametrize("text", EVIL, ids=range(len(EVIL)))
def test_foreign_text_is_shown_whole_and_plainly(text: str) -> None:
    _, page = shape(text)
    assert [character for character in page if character != "\n" and shown(character) != character] == []
    page.encode()  # no surrogate is left
    (name,) = tree_of(page).xpath("//table[contains(@class, 'machines')]/tbody/tr[2]//dl/dd[1]")
    assert name.text_content() == shown(text)


def test_a_long_name_is_cut_in_the_table_only() -> None:
    _, page = shape("x" * 3000)
    (head,) = tree_of(page).xpath("//table[contains(@class, 'machines')]/tbody/tr[1]/th")
    assert text_of(head) == "x" * NAME_LENGTH_MAX + "…"


def test_a_uuid_that_two_vms_have_is_no_link() -> None:
    page = rendered(small(vms=(a_vm("one"), a_vm("other"))))
    affected = tree_of(page).xpath("//ol//code[text()='uuid-not-unique']/ancestor::li//ul/li")
    assert len(affected) == 2
    assert all(not item.xpath(".//a") for item in affected)


# ---- everything the report has ----


def texts_in(value: object) -> Iterator[str]:
    """Every word of a report that a reader could miss on the page."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in HIDDEN:
                yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, str) and len(value) > 3:
        yield value


HIDDEN = frozenset(
    {
        "identity",  # made from `where`
        "host_uuid", "host_uuids", "preferred_host_uuid", "detached_host_uuids", "master_uuid",  # shown by name
        "storage_uuid", "network_uuid", "subject_uuid", "presence", "backing_presence",
        "by_power_state", "by_adoption", "by_severity", "by_manager", "by_harm", "policy", "compare",
        "harm",  # in other words
        "vendor",
    }
)  # fmt: skip


def test_no_text_of_the_report_is_left_out(page: str) -> None:
    page_text = text_of(tree_of(page))
    # What a template's refusals and precedent say is the same for all of its kind, and is said once in words.
    plain = msgspec.to_builtins(report_of(example_target()))
    for kind in ("templates", "snapshots", "control_domains"):
        for vm in plain["targets"][0][kind]:
            vm["refusals"], vm["precedent"], vm["may_be_adopted"] = [], None, ""
    missing = {text for text in texts_in(plain) if " ".join(shown(text).split()) not in page_text}
    assert missing == set()


def test_a_finding_of_a_later_version_is_shown() -> None:
    finding = Finding(
        code="new-kind",
        severity=Severity.INFO,
        subject="thing x",
        subject_uuid="u",
        detail="so it is",
        remedy="wait",
    )
    target = msgspec.structs.replace(example_target(), findings=(finding,))
    text = text_of(tree_of(render_html(report_of(target))))
    assert "new-kind" in text
    assert "thing x: so it is" in text


def test_a_storage_that_is_nearly_full_is_said_in_words() -> None:
    storage = Storage(
        uuid="s",
        name="tight",
        type="dir",
        sharing=Sharing.LOCAL,
        size_bytes=100,
        used_bytes=95,
        active=Answer.NO,
    )
    (row,) = tree_of(rendered(small(storages=(storage,)))).xpath("//h3[text()='Storages']/..//tbody/tr")
    assert "95 %" in text_of(row)
    assert "not active" in text_of(row)
    assert row.xpath(".//span[@class='bad']")


def test_absurd_sizes_do_not_break_the_page() -> None:
    huge = 2**2000
    host = msgspec.structs.replace(small().hosts[0], memory_bytes_total=1, memory_bytes_free=huge)
    storage = Storage(
        uuid="s",
        name="odd",
        type="dir",
        sharing=Sharing.LOCAL,
        size_bytes=1,
        used_bytes=huge,
        content="images",
    )
    page = rendered(
        small(hosts=(host,), storages=(storage,), vms=(a_vm("odd", memory=Memory(bytes_max=2**900)),))
    )
    assert balance_of(page).faults == []
