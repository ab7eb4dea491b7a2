"""Does `xenios simulate` say where it is, serve what it was asked to, and end when told?

Effects: starts processes of its own, opens sockets on loopback, writes temporary files
"""

import contextlib
import hashlib
import json
import os
import re
import shlex
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
import XenAPI

from tests.support.command import ROOT, SECONDS_MAX, command_line, environment, xenios
from tests.support.database_files import EXAMPLE, REAL
from tests.support.xapi_replies import records


@dataclass
class Simulation:
    """A simulator that runs, and the lines with which it introduced itself."""

    process: subprocess.Popen[str]
    said: list[str]

    @property
    def urls(self) -> list[str]:
        """Where its hosts are, the master first."""
        [line] = [line for line in self.said if line.startswith("listening on ")]
        return re.findall(r"https?://[^ ,]+", line)

    def end(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends it, and gives its exit status."""
        self.process.send_signal(how)
        return self.process.wait(SECONDS_MAX)


@contextlib.contextmanager
def simulation(*words: str) -> Iterator[Simulation]:
    """`xenios simulate xenserver` with these words, once it listens; gone afterwards."""
    process = subprocess.Popen(
        command_line(["simulate", "xenserver", *words]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(None),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                break
        else:
            raise AssertionError(process.stderr.read())
        yield Simulation(process, said)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def logged_in(url: str, password: str = "xenios") -> XenAPI.Session:
    session = XenAPI.Session(url)
    session.xenapi.login_with_password("root", password, "1.0", "a test")
    return session


def test_it_says_where_it_is_and_the_official_client_gets_there() -> None:
    with simulation("--hosts", "3", "--vms", "12", "--seed", "4") as simulated:
        master, *others = simulated.urls
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", master)
        # In this pool the last host has no heartbeat, so nothing listens there.
        assert others == [master.replace("127.0.0.1", "127.0.0.2")]
        assert f"listening on {master} (master), {others[0]}" in simulated.said
        assert "not listening, for the pool has lost sight of them: xcp-a03" in simulated.said
        assert simulated.said[0] == "a made pool in use, seed 4: 3 hosts, 12 VMs"
        assert "log in as root, password xenios" in simulated.said
        with logged_in(master) as session:
            assert len(session.xenapi.host.get_all()) == 3
            proper = [
                vm
                for vm in session.xenapi.VM.get_all_records().values()
                if not vm["is_a_template"] and not vm["is_control_domain"]
            ]
            assert len(proper) == 12
        assert simulated.end() == 0
        assert simulated.process.stderr is not None
        assert simulated.process.stderr.read() == ""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_told_also_with_clients_that_wait(how: signal.Signals) -> None:
    with simulation("--vms", "2") as simulated:
        with logged_in(simulated.urls[0]) as session:
            assert session.xenapi.VM.get_all()  # its connection stays open
            assert simulated.end(how) == 0
        assert simulated.process.stderr is not None
        assert simulated.process.stderr.read() == ""


def test_a_copy_of_a_real_pool_is_served_and_the_file_only_read() -> None:
    before = REAL.read_bytes(), REAL.stat().st_mtime_ns
    with simulation("--database", str(REAL)) as simulated:
        with logged_in(simulated.urls[0]) as session:
            # All records at once are more than the official client can read: a key of one has an & in it.
            assert session.xenapi.VM.get_all() == list(records()["VM"])
            [vm] = [ref for ref, vm in records()["VM"].items() if vm["is_control_domain"]]
            session.xenapi.VM.set_name_description(vm, "changed in the copy")
        assert simulated.end() == 0
    assert (REAL.read_bytes(), REAL.stat().st_mtime_ns) == before


def test_the_journal_gets_every_write_and_no_password(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    with simulation("--vms", "3", "--journal", str(journal), "--password", "s3cret?!") as simulated:
        assert "log in as root, the password you gave" in simulated.said
        assert not any("s3cret" in line for line in simulated.said)
        with logged_in(simulated.urls[0], "s3cret?!") as session:
            [vm, *_] = session.xenapi.VM.get_all()
            session.xenapi.VM.set_name_label(vm, "Größe\n2")
        simulated.end()
    lines = [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()]
    assert [line["method"] for line in lines] == ["session.login_with_password", "VM.set_name_label"]
    assert lines[1]["params"] == [vm, "Größe\n2"]
    assert lines[1]["originator"] == "a test"
    assert lines[1]["outcome"] == "success"
    assert "s3cret" not in journal.read_text(encoding="utf-8")


def test_a_script_is_played(tmp_path: Path) -> None:
    script = tmp_path / "faults.toml"
    script.write_text('[[calls]]\nmethod = "VM.get_all"\nerror = ["SR_BACKEND_FAILURE_46", "x"]\n')
    with simulation("--vms", "1", "--script", str(script)) as simulated:
        with logged_in(simulated.urls[0]) as session, pytest.raises(XenAPI.Failure) as failed:
            session.xenapi.VM.get_all()
        assert failed.value.details == ["SR_BACKEND_FAILURE_46", "x"]


def test_an_old_host_is_played() -> None:
    with simulation("--vms", "0", "--without-jsonrpc") as simulated:
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{simulated.urls[0]}/jsonrpc", b'{"method":"system.listMethods","params":[],"id":1}'
        )
        with pytest.raises(urllib.error.HTTPError, match="500") as refused:
            urllib.request.urlopen(request, timeout=SECONDS_MAX)  # noqa: S310
        refused.value.close()


def test_https_with_a_certificate_and_its_fingerprint(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "host.pem", tmp_path / "host.key"
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    words = ["--vms", "0", "--hosts", "1", "--certificate", str(certificate), "--key", str(key)]
    with simulation(*words) as simulated:
        [url] = simulated.urls
        assert url.startswith("https://127.0.0.1:")
        [look] = [line for line in simulated.said if line.startswith("look at it: ")]
        host, _, port = url.removeprefix("https://").rpartition(":")
        shown = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, int(port))))
        fingerprint = hashlib.sha256(shown).digest().hex(":").upper()
        assert f"xenserver://root@127.0.0.1:{port} --fingerprint {fingerprint}" in look


def test_a_port_that_is_taken_is_told() -> None:
    with simulation("--vms", "0") as simulated:
        place = simulated.urls[0].removeprefix("http://")
        done = xenios("simulate", "xenserver", "--vms", "0", "--listen", place)
    assert done.code == 1
    assert "something listens there already" in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("words", "code", "because"),
    [
        (["kvm"], 2, "'kvm' is not 'xenserver'"),
        (["xenserver", "--hosts", "0"], 2, "1 to 256 hosts, not 0"),
        (["xenserver", "--vms", "-1"], 2, "not -1"),
        (["xenserver", "--vms", "many"], 2, "not a valid integer"),
        (["xenserver", "--listen", "127.0.0.1"], 2, "no ADDRESS:PORT"),
        (["xenserver", "--listen", "127.0.0.1:70000"], 2, "no ADDRESS:PORT"),
        (["xenserver", "--listen", "nowhere:80"], 2, "'nowhere' is no IP address"),
        (["xenserver", "--listen", "192.0.2.1:8080"], 1, "this machine does not have the address"),
        (["xenserver", "--speed", "-1"], 2, "--speed"),
        (["xenserver", "--speed", "inf"], 2, "no number to reckon with"),
        (["xenserver", "--login-delay", "nan"], 2, "no number to reckon with"),
        (["xenserver", "--user", ""], 2, "'' is no name"),
        (["xenserver", "--user", "ro\not"], 2, "is no name"),
        (["xenserver", "--key", "x"], 2, "--key needs --certificate"),
        (["xenserver", "--certificate", "nothing.pem"], 1, "cannot read nothing.pem"),
        (["xenserver", "--certificate", "/dev/zero"], 1, "/dev/zero is not a regular file"),
        (["xenserver", "--certificate", str(EXAMPLE)], 1, "cannot use the certificate"),
        (["xenserver", "--database", "nothing.db"], 1, "cannot read nothing.db: No such file"),
        (["xenserver", "--database", "."], 1, "Is a directory"),
        (["xenserver", "--database", __file__], 1, "is no XenServer pool database"),
        (["xenserver", "--database", str(EXAMPLE), "--vms", "3"], 2, "--vms cannot be had with --database"),
        (["xenserver", "--script", "nothing.toml"], 1, "cannot read nothing.toml"),
        (["xenserver", "--script", __file__], 1, "is not TOML"),
        (["xenserver", "--script", "."], 1, "cannot read .: Is a directory"),
        (["xenserver", "--script", "/dev/zero"], 1, "/dev/zero is not a regular file"),
        (["xenserver", "--journal", "nothing/journal"], 1, "cannot write the journal nothing/journal"),
    ],
)
def test_a_mistake_is_told_in_words(words: list[str], code: int, because: str, tmp_path: Path) -> None:
    done = xenios("simulate", *words, cwd=tmp_path)
    assert done.code == code, done.said
    assert because in done.err
    assert "Traceback" not in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ('[[moments]]\nat_seconds = 1\ndo = "the host dies"\nhost = "nobody"', "has no host 'nobody'"),
        ('[[calls]]\nhang = true\nhost = "xcp-zzz"', "has no host 'xcp-zzz'"),
        ('[[calls]]\nhang = true\nmethod = "VM.nonexist"', "no call is named 'VM.nonexist'"),
        ('[[moments]]\nat_seconds = 0.5\ndo = "roll back the database"', "has no saved database"),
        ('[[moments]]\nat_seconds = 0.5\ndo = "restart the toolstack"\nseconds = inf', "seconds is inf"),
        ("a=" + "[" * 100_000, "nests lists or tables too deeply"),
        ("a=" + "[" * 900 + "]" * 900, "nests lists or tables too deeply"),
        ("# " + "x" * (1 << 20), "has more than 1,048,576 bytes"),
    ],
    ids=lambda text: text[:40],
)
def test_a_script_that_cannot_be_played(text: str, because: str, tmp_path: Path) -> None:
    script = tmp_path / "faults.toml"
    script.write_text(text)
    done = xenios("simulate", "xenserver", "--vms", "0", "--script", str(script))
    assert done.code == 1
    assert because in done.err
    assert len(done.err.splitlines()) == 2, done.err  # what is wrong, and what to do
    assert done.out == ""


def test_a_script_may_be_long_but_not_longer(tmp_path: Path) -> None:
    script = tmp_path / "faults.toml"
    script.write_text("#".ljust(1 << 20))
    with simulation("--vms", "0", "--script", str(script)) as simulated:
        assert simulated.end() == 0


def test_a_pipe_is_no_script_and_nobody_waits_for_it(tmp_path: Path) -> None:
    pipe = tmp_path / "faults.toml"
    os.mkfifo(pipe)
    done = xenios("simulate", "xenserver", "--vms", "0", "--script", str(pipe))
    assert done.code == 1
    assert f"{pipe} is not a regular file" in done.err


def test_the_url_says_a_strange_user_as_inspect_reads_it() -> None:
    with simulation("--vms", "0", "--user", "Zoë@home:1") as simulated:
        [look] = [line for line in simulated.said if line.startswith("look at it: ")]
        assert "xenserver+http://Zo%C3%AB%40home%3A1@127.0.0.1:" in look
        target = shlex.split(look)[-1]
        done = xenios("inspect", target, "--json", env={"XENIOS_PASSWORD": "xenios"})
        assert done.code == 0, done.err


def test_the_sample_of_the_page_is_what_is_printed() -> None:
    page = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
    [(words, sample)] = re.findall(r"```\n\$ xenios simulate xenserver (.*)\n((?:.+\n)+)```", page)
    with simulation(*shlex.split(words)) as simulated:
        said = "\n".join(simulated.said)

    def without_port(text: str) -> str:
        return re.sub(r"(?<=127\.0\.0\.\d):\d+", ":PORT", text)

    assert without_port(said) == without_port(sample.rstrip("\n"))


def test_a_script_that_is_no_text(tmp_path: Path) -> None:
    script = tmp_path / "faults.toml"
    script.write_bytes(b"\xff\xfe")
    done = xenios("simulate", "xenserver", "--script", str(script))
    assert done.code == 1
    assert "is no text" in done.err


def test_a_journal_that_cannot_be_kept_ends_the_simulation() -> None:
    with simulation("--vms", "0", "--journal", "/dev/full") as simulated:
        # It may be gone before it has answered.
        with XenAPI.Session(simulated.urls[0]) as session, contextlib.suppress(OSError):
            session.xenapi.login_with_password("root", "xenios", "1.0", "a test")
        assert simulated.process.wait(SECONDS_MAX) == 1
        assert simulated.process.stderr is not None
        assert (
            "cannot write the journal /dev/full: No space left on device" in simulated.process.stderr.read()
        )


def test_help_imports_no_simulator() -> None:
    done = subprocess.run(
        [*command_line(["--help"])[:1], "-X", "importtime", *command_line(["--help"])[1:]],
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS_MAX,
    )
    assert "simulate" in done.stdout
    assert "xenios.simulator" not in done.stderr
    assert "lxml" not in done.stderr
