"""The command as a person or a script meets it: exit codes, streams, complaints, stories by name and by path.

Effects: starts processes of its own; writes into pytest's temporary folders
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from tests.support.command import ROOT, environment, xenios
from tests.support.golden import check_golden
from xenios.cli.replay import shipped_stories
from xenios.report.render_replay import json_schema_of_replays

STORY = "host h1 64 GiB\nvm web 8 GiB running on h1\n00:00 manager connects\n"


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "mine.story"
    path.write_text(STORY, encoding="utf-8")
    return path


def test_0_and_the_golden_text_for_a_story_by_name() -> None:
    done = xenios("replay", "founding", env={"COLUMNS": "160"})
    assert (done.code, done.err) == (0, "")
    check_golden("replay/founding.txt", done.out)


def test_several_scripts_and_few_policies(story: Path) -> None:
    done = xenios("replay", str(story), "moved", "--policies", "xenios, cloudstack-4.22,xenios")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("\nVerdict\n") == 2
    assert "cloudstack-4.0.2" not in done.out
    header = next(line for line in done.out.splitlines() if line.startswith("Time"))
    assert header.split()[-2:] == ["xenios", "cloudstack-4.22"]


def test_json() -> None:
    done = xenios("replay", "founding", "moved-kvm", "--json")
    assert (done.code, done.err) == (0, "")
    replay = json.loads(done.out)
    jsonschema.validate(replay, json_schema_of_replays())
    assert replay["schema"] == "xenios.replay/1"
    assert [told["name"] for told in replay["stories"]] == ["founding", "moved-kvm"]
    assert xenios("replay", "founding", "moved-kvm", "--json").out == done.out, (
        "the same story, the same words"
    )


def test_the_list_names_every_story() -> None:
    done = xenios("replay", "--list")
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == list(shipped_stories())


def test_the_list_as_json() -> None:
    done = xenios("replay", "--list", "--json")
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert told["schema"] == "xenios.replay-list/1"
    assert [story["name"] for story in told["stories"]] == list(shipped_stories())
    assert {story["kind"] for story in told["stories"]} == {"xenserver", "kvm"}
    assert all(story["title"] and story["about"] for story in told["stories"])


def test_2_and_the_list_without_a_script() -> None:
    done = xenios("replay")
    assert (done.code, done.out) == (2, "")
    assert "founding" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("founding", "--policies", "cloudstack-4.0.3"), "did you mean 'cloudstack-4.0.2'?"),
        (("founding", "--policies", ","), "names no policy"),
        (("--list", "founding"), "takes no scripts"),
        (("",), "names no script"),
        (("founding", " "), "names no script"),
        (("-",), "not read from standard input"),
        (("founding", "--colour"), "No such option"),
    ],
)
def test_2_for_wrong_words(words: tuple[str, ...], says: str) -> None:
    done = xenios("replay", *words)
    assert (done.code, done.out) == (2, "")
    assert says in " ".join(done.err.split())


def test_1_for_a_script_that_is_wrong(story: Path) -> None:
    story.write_text(STORY + "00:05 administrator strats web\n", encoding="utf-8")
    done = xenios("replay", "founding", str(story))
    assert (done.code, done.out) == (1, "")
    first, remedy = done.err.splitlines()
    assert first == f"Error: {story}, line 4: 'strats' means nothing after 'administrator'"
    assert remedy.startswith("  did you mean 'starts'? there may stand 'creates', ")


@pytest.mark.parametrize(
    ("name", "says", "remedy"),
    [
        ("fuonding", "no file 'fuonding' and no story", "did you mean 'founding'?"),
        ("/nowhere/x.story", "no file '/nowhere/x.story'", "--list"),
        ("/", "/ is a directory", "write it to a file"),
        ("/dev/null", "/dev/null is not a regular file", "write it to a file"),
        ("a" * 5_000, "cannot read", "may read"),
    ],
)
def test_1_for_a_script_that_is_not_there(name: str, says: str, remedy: str) -> None:
    done = xenios("replay", name)
    assert (done.code, done.out) == (1, "")
    assert says in done.err
    assert remedy in done.err
    assert "Traceback" not in done.err


def test_1_for_what_is_no_text(story: Path) -> None:
    story.write_bytes(STORY.encode() + b"\xff\xfe\n")
    assert "line 4: this is no text in UTF-8" in xenios("replay", str(story)).err
    story.write_bytes(b"\0" * 2_000_000)
    assert "more than 1,000,000 bytes" in xenios("replay", str(story)).err
    story.write_bytes(STORY.encode() + b"\x1b[2J\n")
    done = xenios("replay", str(story))
    assert (done.code, done.out) == (1, "")
    assert "U+001B" in done.err
    assert "\x1b" not in done.err


@pytest.mark.parametrize("text", ["", " \n\n", "\ufeff"])
def test_1_for_an_empty_file(story: Path, text: str) -> None:
    story.write_text(text, encoding="utf-8")
    done = xenios("replay", str(story))
    assert (done.code, done.out) == (1, "")
    assert f"{story} is empty" in done.err


def test_1_for_a_pipe_that_nobody_writes_to_and_for_one_that_somebody_does(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    done = subprocess.run(
        [sys.executable, "-m", "xenios", "replay", str(fifo)],
        capture_output=True,
        env=environment(),
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"is not a regular file" in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "xenios", "replay", "/dev/stdin"],
        input=STORY.encode(),
        capture_output=True,
        env=environment(),
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"is not a regular file" in done.stderr


def test_no_command_names_an_exit_status_that_others_leave_out() -> None:
    for command in ("replay", "explain", "inspect", "simulate"):
        said = " ".join(xenios(command, "--help").out.split())
        statuses = re.findall(r"(?<=[ ,;])(\d+) ", said[said.index("Exit status:") :])
        assert statuses == ["0", "1", "2"], command


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_1_when_it_cannot_be_written() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "xenios", "replay", "founding"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment(),
            cwd=ROOT,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert b"cannot write the replay" in done.stderr


def test_output_without_unicode_shows_escapes() -> None:
    done = xenios("replay", "founding", env={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"})
    assert done.code == 0
    assert "\\u2717" in done.out
