"""`xenios explain`, as a person at a prompt would use it, on the pool in use that comes with Xenios.

Effects: opens sockets on loopback; starts processes of its own
"""

import asyncio
import json
import shlex
import sys
from pathlib import Path

import pytest

from tests.support.command import ROOT, xenios
from tests.support.database_files import VM, database_bytes, pool_rows
from tests.support.served_pool import serving
from tests.support.terminal import Terminal
from xenios.decide.tables import TABLES
from xenios.report.explained import ABOUT_ONE_VM, WITHOUT_DATABASE

EXAMPLE = str(ROOT / "xenios" / "simulator" / "examples" / "pool-in-use.db")
WEB, ROUTER = "c775b3dd-7883-4b1e-9964-4c160da3625d", "33ce604c-0eb4-4eae-9e83-7f232f6383d0"
TWO_LINES = "e6e03aac-a6bd-4070-a381-b2db0225635a"
FILESERVERS = ("194ca67d-35e8-4e21-bc1f-3adf43476c2a", "6458ce09-532c-4735-9f12-a09d81823d60")


def explained(*words: str) -> dict[str, list[dict[str, object]]]:
    done = xenios("explain", EXAMPLE, *words, "--json")
    assert (done.code, done.err) == (0, "")
    told: dict[str, list[dict[str, object]]] = json.loads(done.out)
    return told


@pytest.mark.parametrize("word", ["web-prod-01", WEB, WEB.upper()])
def test_why_a_vm_would_not_be_touched(word: str) -> None:
    done = xenios("explain", EXAMPLE, word)
    assert (done.code, done.err) == (0, "")
    assert f"VM web-prod-01  {WEB}" in done.out
    assert done.out.count(WITHOUT_DATABASE) == 1
    for said in (
        "touch.alien",
        "leave alone",
        "it is not ours: there is no record of it and no mark on it",
        "adopt it if it shall be ours",
        "adopt.nothing-against",
        "Looked at, and not so: Is it ours?",
        "What would change it",
        "Nothing was changed by this look.",
    ):
        assert said in done.out


def test_all_reasons_against_adopting_are_there() -> None:
    told = explained(ROUTER, "--table", "adopt")["explanations"]
    assert [each["rule"] for each in told] == ["adopt.host-not-live"]
    reasons = told[0]["reasons"]
    assert isinstance(reasons, list)
    assert [reason["rule"] for reason in reasons] == ["adopt.host-not-live", "adopt.managed-by-another"]


@pytest.mark.parametrize(
    ("words", "tables"),
    [
        ([], ["touch", "adopt"]),
        (["--table", "release"], ["release"]),
        (["--table", "adopt", "--table", "touch"], ["touch", "adopt"]),
        (["--table", "all"], list(ABOUT_ONE_VM)),
    ],
)
def test_each_table_can_be_asked(words: list[str], tables: list[str]) -> None:
    told = explained(WEB, *words)["explanations"]
    assert [str(each["rule"]).partition(".")[0] for each in told] == tables


def test_the_help_says_which_tables_all_leaves_out_and_why() -> None:
    done = xenios("explain", "--help")
    said = " ".join(done.out.split())
    left_out = [name for name in TABLES if name not in ABOUT_ONE_VM]
    assert f"The tables {' and '.join(left_out)} are about hosts" in said


def test_what_report_and_explanation_say_of_adopting_agrees() -> None:
    report = xenios("inspect", "--json", EXAMPLE).report()
    for vm in report["targets"][0]["vms"][::6]:
        told = explained(vm["uuid"], "--table", "adopt")["explanations"][0]
        assert [reason["rule"] for reason in told["reasons"]] == [  # type: ignore[attr-defined]
            refusal["rule"] for refusal in vm["refusals"]
        ]


def test_a_name_of_two_is_answered_by_their_uuids() -> None:
    done = xenios("explain", EXAMPLE, "fileserver")
    assert (done.code, done.out) == (1, "")
    assert "2 VMs are called 'fileserver'" in done.err
    for uuid in FILESERVERS:
        assert uuid in done.err


def test_a_name_that_is_not_there_is_answered_by_those_near() -> None:
    done = xenios("explain", EXAMPLE, "web-prod-1")
    assert (done.code, done.out) == (1, "")
    assert "did you mean 'web-prod-01'" in done.err


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_hostile_names_do_not_reach_the_output_raw(form: list[str]) -> None:
    report = xenios("inspect", "--json", EXAMPLE).report()
    odd = [vm["uuid"] for vm in report["targets"][0]["vms"] if not vm["name"].isprintable()]
    assert TWO_LINES in odd
    for uuid in odd:
        done = xenios("explain", EXAMPLE, uuid, "--table", "all", *form)
        assert done.code == 0
        assert all(sign.isprintable() or sign == "\n" for sign in done.out)


def test_a_hostile_word_does_not_reach_the_terminal_raw() -> None:
    done = xenios("explain", EXAMPLE, "\x1b[2Jno\u202esuch")
    assert done.code == 1
    assert all(sign.isprintable() or sign == "\n" for sign in done.err)


def test_a_terminal_gets_colours_and_its_own_width() -> None:
    with Terminal([sys.executable, "-m", "xenios", "explain", EXAMPLE, WEB], 70) as terminal:
        assert terminal.wait() == 0
        out = terminal.output.decode()
    assert "\x1b[1m" in out
    done = xenios("explain", EXAMPLE, WEB, env={"COLUMNS": "70"})
    assert max(map(len, done.out.splitlines()[3:])) <= 70
    assert "\x1b" not in done.out


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = shlex.join([sys.executable, "-m", "xenios", "explain", EXAMPLE, WEB])
    with Terminal(["/bin/sh", "-c", f"{command} | head -n 1; echo done"], 120) as terminal:
        assert terminal.wait() == 0
        out = terminal.output.decode()
    assert "done" in out
    assert "Error" not in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["explain"], 2, "TARGET"),
        (["explain", EXAMPLE], 2, "VM"),
        (["explain", EXAMPLE, " "], 2, "names nothing"),
        (["explain", " ", WEB], 2, "names nothing"),
        (["explain", EXAMPLE, WEB, "--table", "here"], 2, "here"),
        (["explain", EXAMPLE, WEB, "--timeout", "nan"], 2, "nan"),
        (["explain", EXAMPLE, WEB, "more"], 2, "more"),
        (["explain", "/nowhere/at/all.db", WEB], 1, "/nowhere/at/all.db"),
        (["explain", "https://nowhere", WEB], 1, "no target that Xenios knows"),
        (["explain", "xenserver://root@127.0.0.1:1", WEB], 1, "password"),
    ],
    ids=lambda value: " ".join(value).replace(EXAMPLE, "FILE") if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said(words: list[str], code: int, said: str) -> None:
    done = xenios(*words, env={"XENIOS_PASSWORD": None})
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_password_in_a_target_is_not_told() -> None:
    done = xenios("explain", "xenserver://root:sesame@127.0.0.1:1", WEB)
    assert done.code == 1
    assert "sesame" not in done.said


def test_a_view_with_holes_is_explained_and_ends_with_1(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(database_bytes(pool_rows({**VM, "memory__static_max": "much"})))
    done = xenios("explain", str(damaged), "vm")
    assert done.code == 1
    assert "could not be read: xenios inspect says what" in done.out
    assert "adopt.definition-unread" in done.out


@pytest.mark.anyio
async def test_a_live_pool_is_looked_at_and_not_written_to() -> None:
    async with serving(2, 4, password="open sesame") as served:
        address, port = served.place()
        name = next(
            vm["name_label"] for vm in served.pool.tables.rows("VM").values() if not vm["is_control_domain"]
        )
        done = await asyncio.to_thread(
            xenios,
            "explain",
            f"xenserver+http://root@{address}:{port}",
            name,
            env={"XENIOS_PASSWORD": "open sesame"},
        )
        assert list(served.pool.journal.writes()) == []
        assert len(served.pool.sessions) == 0
    assert (done.code, done.err) == (0, "")
    assert "touch.alien" in done.out


def test_a_libvirt_host_is_looked_at() -> None:
    pytest.importorskip("libvirt")
    done = xenios("explain", "test:///default", "test")
    assert (done.code, done.err) == (0, "")
    assert "touch.alien" in done.out
