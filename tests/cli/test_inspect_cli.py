"""The command as a person or a script meets it: exit codes, streams, forms, terminals, interruptions, bad words.

Everything goes through `python -m xenios` in a process of its own. What it looks at here needs no hypervisor: the
shipped example, libvirt's fake driver in its own process, sockets of nobody.

Effects: starts processes of its own; writes into pytest's temporary folders
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support.command import ROOT, command_line, environment, xenios
from tests.support.terminal import Terminal, plain, width
from xenios.decide.precedent import POLICIES, POLICY_TITLES
from xenios.report.render_json import json_schema

EXAMPLE = str(ROOT / "xenios" / "simulator" / "examples" / "pool-in-use.db")
NOWHERE = "qemu:///system?socket=/nowhere/libvirt-sock"

needs_libvirt = pytest.mark.usefixtures("libvirt_python")


@pytest.fixture(scope="session")
def libvirt_python() -> None:
    pytest.importorskip("libvirt")


@pytest.fixture
def silent_socket(tmp_path: Path) -> Iterator[str]:
    """A target that takes connections and never answers."""
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(path))
        door.listen(10)
        yield f"qemu:///system?socket={path}"


def run(command: Sequence[str | bytes], **streams: Any) -> subprocess.CompletedProcess[bytes]:
    """A command whose streams or words are out of the ordinary."""
    return subprocess.run(command, env=environment(), cwd=ROOT, timeout=60, check=False, **streams)


# --- exit codes and streams ---


@pytest.fixture(scope="module")
def example_text() -> str:
    """What a look at the example prints."""
    done = xenios("inspect", EXAMPLE)
    assert (done.code, done.err) == (0, "")
    return done.out


def test_0_when_all_was_read(example_text: str) -> None:
    assert "COMPLETE" in example_text
    assert "Nothing was changed by this look." in example_text


@needs_libvirt
def test_1_when_something_could_not_be_read_and_the_rest_is_there() -> None:
    done = xenios("inspect", EXAMPLE, "/nowhere/state.db", NOWHERE, "test:///default")
    assert (done.code, done.err) == (1, "")
    for target in (EXAMPLE, "/nowhere/state.db", NOWHERE, "test:///default"):
        assert target in done.out
    assert done.out.count("UNREADABLE") == 2
    assert done.out.count("COMPLETE") == 2
    assert done.out.count("    → ") >= 2
    assert "It is NOT complete" in done.out
    assert "Traceback" not in done.said


@needs_libvirt
def test_targets_are_reported_in_the_order_given() -> None:
    targets = ["test:///default", EXAMPLE, "/nowhere/a", EXAMPLE, "/nowhere/b"]
    report = xenios("inspect", "--json", *targets).report()
    assert [target["target"] for target in report["targets"]] == targets


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["inspect"], "TARGET"),
        (["inspect", EXAMPLE, "--compare", "cloudstack-9"], "cloudstack-4.0.2"),
        (["inspect", EXAMPLE, "--compare"], "requires an argument"),
        (["inspect", EXAMPLE, "--timeout", "soon"], "soon"),
        (["inspect", EXAMPLE, "--timeout", "0"], "0.1"),
        (["inspect", EXAMPLE, "--timeout", "-1"], "0.1"),
        (["inspect", EXAMPLE, "--timeout", "nan"], "nan"),
        (["inspect", EXAMPLE, "--timeout", "inf"], "86400"),
        (["inspect", EXAMPLE, "--html", "/"], "directory"),
        (["inspect", EXAMPLE, "--colour"], "--colour"),
        (["inspekt"], "inspekt"),
        (["demo", "more"], "more"),
    ],
    ids=lambda value: " ".join(value).replace(EXAMPLE, "FILE") if isinstance(value, list) else "",
)
def test_2_for_words_that_make_no_sense(words: list[str], said: str) -> None:
    done = xenios(*words)
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "words", [["--help"], ["-h"], ["inspect", "--help"], ["demo", "--help"], ["--version"]]
)
def test_help_is_no_failure(words: list[str]) -> None:
    done = xenios(*words)
    assert (done.code, done.err) == (0, "")
    assert "xenios" in done.out.lower()


def test_help_loads_nothing_that_is_not_needed_for_it() -> None:
    program = (
        "import sys\nfrom xenios.cli.main import main\n"
        "try: main(['--help'])\nexcept SystemExit as end: assert end.code == 0\n"
        "print(*sorted({'rich', 'jinja2', 'msgspec', 'libvirt', 'asyncio'} & set(sys.modules)), file=sys.stderr)"
    )
    done = run([sys.executable, "-c", program], capture_output=True)
    assert (done.returncode, done.stderr.strip()) == (0, b"")
    assert b"inspect" in done.stdout
    assert b"demo" in done.stdout


# --- forms ---


@needs_libvirt
def test_json_keeps_to_its_schema() -> None:
    done = xenios("inspect", "--json", "--compare", "cloudstack-4.0.2", EXAMPLE, "test:///default", NOWHERE)
    assert done.code == 1
    jsonschema.validate(
        done.report(), json_schema(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    assert done.out.isascii()
    assert done.out.endswith("}\n")
    assert done.report()["complete"] is False
    assert done.report()["compare"] == "cloudstack-4.0.2"


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_can_be_compared_with(policy: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = xenios("inspect", "--json", "--compare", policy, "--html", str(page), EXAMPLE)
    assert done.code == 0
    (target,) = done.report()["targets"]
    assert {vm["precedent"]["policy"] for vm in target["vms"]} == {policy}
    assert sum(target["summary"]["by_harm"].values()) == len(target["vms"])
    assert f"{POLICY_TITLES[policy]} would" in page.read_text(encoding="utf-8")
    assert policy in xenios("inspect", "--compare", "nobody", EXAMPLE).err


def test_details_tell_every_disk(example_text: str) -> None:
    report = xenios("inspect", "--json", EXAMPLE).report()["targets"][0]
    long = xenios("inspect", "--details", EXAMPLE).out
    tables = example_text[example_text.index("\nHosts\n") :].rsplit("\n\n", 1)[0]
    assert tables in long
    assert "Capabilities" in long
    for vm in report["vms"]:
        assert vm["uuid"] in long
        for disk in vm["disks"]:
            assert disk["where"] in long


def test_the_page_is_written_beside_the_report(tmp_path: Path, example_text: str) -> None:
    page = tmp_path / "report.html"
    done = xenios("inspect", "--html", str(page), EXAMPLE)
    assert done.code == 0, done.said
    text = page.read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert done.out == example_text
    assert os.listdir(tmp_path) == ["report.html"]  # nothing half-written beside it
    assert page.stat().st_mode & 0o777 == 0o666 & ~umask()


def umask() -> int:
    current = os.umask(0o22)
    os.umask(current)
    return current


@pytest.mark.parametrize("file", ["{tmp}/missing/report.html", "/proc/report.html", "{tmp}/" + "n" * 255])
def test_a_page_that_cannot_be_written_costs_nothing_but_the_page(
    file: str, tmp_path: Path, example_text: str
) -> None:
    done = xenios("inspect", "--html", file.format(tmp=tmp_path), EXAMPLE)
    assert done.code == 1
    assert done.out == example_text
    assert done.err.startswith("Error: cannot write ")
    assert "--html" in done.err
    assert "Traceback" not in done.err
    assert os.listdir(tmp_path) == []


def test_a_page_replaces_an_old_file_but_never_a_device(tmp_path: Path) -> None:
    old = tmp_path / "old.html"
    old.write_text("old")
    assert xenios("inspect", "--html", str(old), EXAMPLE).code == 0
    assert old.read_text() != "old"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with open(tmp_path / "read", "wb") as read, subprocess.Popen(["cat", str(pipe)], stdout=read):
        done = xenios("inspect", "--html", str(pipe), EXAMPLE)
    assert done.code == 0
    assert (tmp_path / "read").read_bytes().startswith(b"<!DOCTYPE html>")
    assert pipe.is_fifo()  # a device or pipe stays one: /dev/stdout, /dev/null
    assert sorted(os.listdir(tmp_path)) == ["old.html", "pipe", "read"]


def test_the_demo_needs_nothing(tmp_path: Path) -> None:
    done = xenios("demo", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert "cloudstack-4.0.2" in done.out
    assert str(tmp_path / "xenios-demo.html") in done.out
    assert (tmp_path / "xenios-demo.html").read_text().startswith("<!DOCTYPE html>")
    other = xenios("demo", "--html", str(tmp_path / "missing" / "page.html"), cwd=tmp_path)
    assert other.code == 1
    assert "Findings" in other.out
    assert "cannot write" in other.err


# --- what reads the output ---


def test_a_reader_that_goes_away_early_is_no_failure() -> None:
    for words in (["inspect", "--details", EXAMPLE], ["inspect", "--json", EXAMPLE]):
        with subprocess.Popen(
            command_line(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), cwd=ROOT
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.read(1)
            process.stdout.close()
            err = process.stderr.read().decode()
            code = process.wait(60)
        assert (code, err) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_under_the_output_is_said() -> None:
    with open("/dev/full", "wb") as full:
        done = run(command_line(["inspect", EXAMPLE]), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert b"cannot write the report: No space left" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["demo", "--html", "/dev/null"]])
def test_a_full_disk_under_any_other_output_is_said_too(words: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = run(command_line(words), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert b"cannot write to standard output: No space left" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
    ],
    ids=lambda env: " ".join(f"{key}={value}" for key, value in env.items()),
)
def test_an_output_without_unicode_gets_escapes(env: dict[str, str]) -> None:
    done = xenios("inspect", "--details", EXAMPLE, env=env)
    assert done.code == 0, done.said
    assert "Traceback" not in done.said
    assert "Findings" in done.out
    assert "\\u2500" in done.out or env != {"PYTHONIOENCODING": "ascii"}


def test_no_colours_where_nobody_sees_them() -> None:
    for env in ({"TERM": "xterm"}, {"FORCE_COLOR": "1"}):
        assert "\x1b" not in xenios("inspect", EXAMPLE, env=env).said


@pytest.mark.parametrize("columns", [80, 140, 200])
def test_lines_without_a_terminal_are_as_wide_as_columns_says(columns: int) -> None:
    done = xenios(
        "inspect", "--details", "--compare", "cloudstack-4.0.2", EXAMPLE, env={"COLUMNS": str(columns)}
    )
    assert max(map(width, done.out.split("\n"))) <= columns
    assert max(map(width, done.out.split("\n"))) > min(columns, 140) - 25  # the room is used


# --- a terminal ---


@pytest.mark.parametrize("columns", [80, 200])
def test_a_terminal_gets_colours_and_lines_that_fit(columns: int) -> None:
    words = ["inspect", "--details", "--compare", "cloudstack-4.0.2", EXAMPLE]
    with Terminal(command_line(words), columns) as terminal:
        assert terminal.wait() == 0
    assert "\x1b[" in terminal.text
    lines = plain(terminal.text).split("\r\n")
    assert max(map(width, lines)) <= columns
    assert "reading, " not in terminal.text or terminal.text.index("reading, ") < terminal.text.index(
        "COMPLETE"
    )


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "TERM=dumb"])
def test_a_terminal_that_wants_no_colours_gets_none(env: dict[str, str]) -> None:
    with Terminal(command_line(["inspect", EXAMPLE]), 120, env) as terminal:
        assert terminal.wait() == 0
    assert re.search(r"\x1b\[[0-9;]*m", terminal.text) is None


@needs_libvirt
@pytest.mark.parametrize("columns", [80, 200])
def test_progress_is_shown_after_a_second_and_gone_at_the_end(columns: int, silent_socket: str) -> None:
    with Terminal(command_line(["inspect", "--timeout", "1.7", silent_socket, EXAMPLE]), columns) as terminal:
        assert terminal.read_until(lambda: "reading, " in terminal.text)
        before_report = len(terminal.screen)
        assert terminal.wait() == 1
    assert before_report == 1  # one row, however long the names of the targets
    assert not [line for line in terminal.screen if line.startswith("reading, ")]
    assert terminal.screen[0] == ""
    assert "UNREADABLE" in terminal.text
    assert "COMPLETE" in terminal.text


@needs_libvirt
def test_no_progress_for_what_is_quick_nor_where_it_cannot_be_taken_back(silent_socket: str) -> None:
    with Terminal(command_line(["inspect", "--timeout", "0.5", silent_socket]), 100) as quick:
        assert quick.wait() == 1
    assert "reading, " not in quick.text
    with Terminal(
        command_line(["inspect", "--timeout", "1.5", silent_socket]), 100, {"TERM": "dumb"}
    ) as dumb:
        assert dumb.wait() == 1
    assert "reading, " not in dumb.text
    assert "\x1b" not in dumb.text


@needs_libvirt
def test_control_c_ends_it_at_once_and_cleanly(silent_socket: str) -> None:
    with Terminal(command_line(["inspect", "--timeout", "600", silent_socket, EXAMPLE]), 100) as terminal:
        assert terminal.read_until(lambda: "reading, " in terminal.text)
        terminal.type(b"\x03")
        assert terminal.wait() == 130
    assert [line.removeprefix("^C") for line in terminal.screen if line] == [
        "Interrupted; nothing was changed."
    ]
    assert "Traceback" not in terminal.text


# --- names that bite ---

NASTY = "\x9b31mred \u202egnp.exe\u2069 \x85next \ufeffbom \u2028line"
"""As far as XML carries it; libvirt takes these as names."""


@pytest.fixture
def nasty_node(tmp_path: Path) -> str:
    """A host of libvirt's fake driver whose guest, network and pool have names that steer a terminal."""
    node = tmp_path / "node.xml"
    node.write_text(
        f"<node><domain type='test'><name>{NASTY}</name><title>{NASTY}</title><memory>8192</memory>"
        f"<os><type>hvm</type></os><devices><disk type='file' device='disk'><source file='/x/{NASTY}'/>"
        f"<target dev='vda'/></disk><interface type='network'><mac address='52:54:00:00:00:01'/>"
        f"<source network='{NASTY}'/></interface></devices></domain>"
        f"<network><name>{NASTY}</name><bridge name='virbr0'/><ip address='10.0.0.1' netmask='255.0.0.0'/></network>"
        f"<pool type='dir'><name>{NASTY}</name><target><path>/x</path></target></pool></node>",
        encoding="utf-8",
    )
    return f"test://{node}"


@needs_libvirt
def test_a_name_cannot_steer_the_terminal(nasty_node: str) -> None:
    for words in (
        ["inspect", nasty_node],
        ["inspect", "--details", "--compare", "cloudstack-4.0.2", nasty_node],
    ):
        with Terminal(command_line(words), 120) as terminal:
            assert terminal.wait() == 0, terminal.text
        assert "\\x9b31mred" in plain(terminal.text)
        assert_plain(plain(terminal.text).replace("\r\n", "\n"))
    report = xenios("inspect", "--json", nasty_node).report()
    assert report["targets"][0]["vms"][0]["name"] == NASTY  # the JSON keeps it, in ASCII escapes
    assert "name-hard-to-show" in {one["code"] for one in report["targets"][0]["findings"]}


@needs_libvirt
def test_nor_can_the_name_of_a_target() -> None:
    esc = "\x1b[2J\x1b]0;owned\x07"
    targets = [f"/nowhere/{esc}", f"qemu:///system?socket=/nowhere/{esc}", f"esx://{esc}"]
    for words in (
        ["inspect", "--html", f"/nowhere/{esc}", *targets],
        ["inspect", "--compare", esc, EXAMPLE],
        ["inspect", "--timeout", esc, EXAMPLE],
        ["inspect", f"--{esc}"],
        [esc],
    ):
        done = xenios(*words)
        assert done.code in (1, 2)
        assert_plain(done.said)
        assert "Traceback" not in done.said


def test_nor_can_it_from_the_progress_line() -> None:
    program = (
        "import sys\nfrom xenios.cli.progress import ProgressLine\n"
        "with ProgressLine() as line:\n"
        "    line.tell('\\x1b[31m\\u202e服务器' * 30, 'reading \\x9b7m')\n"
        "    sys.stdin.readline()\n"
    )
    with Terminal([sys.executable, "-c", program], 81) as terminal:
        assert terminal.read_until(lambda: terminal.text.count("reading, ") > 1)
        assert [width(line) for line in terminal.screen] in (
            [77],
            [76],
        )  # one row, though its letters are wide
        terminal.type(b"\n")
        assert terminal.wait() == 0
    assert "\\x1b[31m\\u202e服务器" in terminal.text


def assert_plain(text: str) -> None:
    """No character that steers or hides, but line ends."""
    strange = {character for character in text if character != "\n" and (not character.isprintable())}
    assert strange == set()


def test_a_target_that_is_not_unicode_is_no_defect() -> None:
    done = run([*command_line(["inspect"]), b"/nowhere/\xff\xfe.db"], capture_output=True)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"\\udcff" in done.stdout
    again = run([*command_line(["inspect", "--json"]), b"/nowhere/\xff\xfe.db"], capture_output=True)
    assert again.returncode == 1
    assert json.loads(again.stdout)["complete"] is False


@pytest.mark.parametrize(
    "target",
    [
        "qemu+ssh://root:s3cret@no-such-host.invalid/system",
        "qemu+ssh://me@corp:s3cret@no-such-host.invalid/system",
        "qemu+ssh://root:s3cr/et:s3cret@no-such-host.invalid/system",
        "qemu+ssh://:s3cret@no-such-host.invalid/system?name=x@y",
    ],
)
def test_a_password_in_a_target_is_shown_nowhere(target: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = xenios("inspect", "--html", str(page), target)
    assert done.code == 1
    for said in (done.said, page.read_text("utf-8"), xenios("inspect", "--json", target).said):
        assert "s3cr" not in said
        assert "no-such-host.invalid" in said


@pytest.mark.parametrize("target", ["", "  "])
def test_an_empty_target_is_wrong_usage(target: str) -> None:
    done = xenios("inspect", EXAMPLE, target)
    assert done.code == 2
    assert "empty target" in done.said


def test_closed_outputs_are_no_defect() -> None:
    command = f'exec "{sys.executable}" -m xenios inspect "{EXAMPLE}"'
    without_out = subprocess.run(
        ["sh", "-c", command + " >&-"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert without_out.returncode == 1
    assert "standard output is closed" in without_out.stderr
    assert "Traceback" not in without_out.stderr
    without_errors = subprocess.run(
        ["sh", "-c", command + " 2>&-"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert without_errors.returncode == 0
    assert "Nothing was changed" in without_errors.stdout


@pytest.mark.parametrize("words", [["inspect", EXAMPLE], ["inspect", "test:///default"], ["--help"]])
def test_a_closed_input_is_no_defect(words: list[str]) -> None:
    """Whatever is opened next would get its number, and libuv ends the process when that is closed."""
    if words[-1].startswith("test:"):
        pytest.importorskip("libvirt")
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -m xenios "$@" <&-', sys.executable, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_a_page_goes_through_a_link_and_not_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to(tmp_path / "real.html")
    done = xenios("inspect", EXAMPLE, "--html", str(tmp_path / "link.html"))
    assert done.code == 0, done.said
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "real.html").read_text().startswith("<!DOCTYPE html>")


def test_a_page_wants_a_file() -> None:
    done = xenios("inspect", EXAMPLE, "--html", "-")
    assert done.code == 2
    assert "give it a name" in done.said
