"""Getting into pools from the command line: passwords from files, the environment and a person, and certificates.

A simulated pool is served from this process, and the command looks at it from a process of its own.

Effects: opens sockets on loopback; starts processes of its own; writes into pytest's temporary folders
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trustme

from tests.support.command import ROOT, Finished, command_line, environment, xenios
from tests.support.served_pool import Serving, serving
from tests.support.terminal import Terminal

PASSWORD = "open sesame"
EXAMPLE = str(ROOT / "xenios" / "simulator" / "examples" / "pool-in-use.db")


@contextlib.asynccontextmanager
async def a_pool(certificate: ssl.SSLContext | None = None) -> AsyncIterator[Serving]:
    """A pool with that password; nothing was written to it, and nobody is left logged in."""
    async with serving(2, 4, password=PASSWORD, certificate=certificate) as pool:
        yield pool
        assert list(pool.pool.journal.writes()) == []
        assert len(pool.pool.sessions) == 0


def target_of(pool: Serving, host: int = 0) -> str:
    address, port = pool.place(host)
    return f"{'xenserver' if pool.url.startswith('https') else 'xenserver+http'}://root@{address}:{port}"


async def inspect(*words: str, password: str | None = None) -> Finished:
    """The command, while this process serves its pool; its words and the environment are all that it is told."""
    done = await asyncio.to_thread(xenios, "inspect", *words, env={"XENIOS_PASSWORD": password})
    assert "Traceback" not in done.said
    assert PASSWORD not in done.said
    return done


def password_file(folder: Path, data: bytes = PASSWORD.encode() + b"\n", mode: int = 0o600) -> str:
    file = folder / "password"
    file.write_bytes(data)
    file.chmod(mode)
    return str(file)


# --- passwords ---


async def test_the_environment_gives_the_password() -> None:
    async with a_pool() as pool:
        done = await inspect(target_of(pool), password=PASSWORD)
        assert (done.code, done.err) == (0, "")
        assert "COMPLETE" in done.out
        assert "NOT encrypted" in done.out


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n"], ids=["bare", "LF", "CRLF"])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400], ids=oct)
async def test_a_file_gives_the_password_and_comes_before_the_environment(
    data: bytes, mode: int, tmp_path: Path
) -> None:
    file = password_file(tmp_path, PASSWORD.encode() + data, mode)
    async with a_pool() as pool:
        done = await inspect(target_of(pool), "--password-file", file, password="another")
        assert (done.code, done.err) == (0, "")


async def test_a_pipe_gives_the_password(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    async with a_pool() as pool:
        writing = asyncio.create_task(asyncio.to_thread(pipe.write_text, PASSWORD))
        done = await inspect(target_of(pool), "--password-file", str(pipe))
        await writing
        assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("data", "mode", "said"),
    [
        (PASSWORD.encode(), 0o644, "every user of this machine can read"),
        (PASSWORD.encode(), 0o604, "chmod o-rwx"),
        (b"", 0o600, "is empty"),
        (b"\n", 0o600, "is empty"),
        (PASSWORD.encode() + b"\n\n", 0o600, "more than one line"),
        (b"user=root\n" + PASSWORD.encode(), 0o600, "more than one line"),
        (b"x" * 5000, 0o600, "longer"),
        (PASSWORD.encode() + b"\xff", 0o600, "UTF-8"),
    ],
    ids=range(8),
)
async def test_a_file_that_holds_no_secret_or_no_password_is_refused(
    data: bytes, mode: int, said: str, tmp_path: Path
) -> None:
    file = password_file(tmp_path, data, mode)
    done = await inspect("xenserver+http://root@127.0.0.1:1", "--password-file", file)
    assert (done.code, done.out) == (1, "")
    assert said in done.err
    assert file in done.err


async def test_a_file_that_is_none(tmp_path: Path) -> None:
    done = await inspect("xenserver://root@127.0.0.1:1", "--password-file", str(tmp_path / "missing"))
    assert (done.code, done.out) == (1, "")
    assert "No such file" in done.err
    done = await inspect("xenserver://root@127.0.0.1:1", "--password-file", str(tmp_path))
    assert (done.code, done.out) == (2, "")


async def test_without_a_password_nothing_is_asked_where_nobody_is_there() -> None:
    async with a_pool() as pool:
        done = await inspect(target_of(pool), "xenserver://root:secret@127.0.0.1")
        assert (done.code, done.err) == (1, "")
        assert "XENIOS_PASSWORD" in done.out
        assert "secret" not in done.out
        assert pool.served.connections == 0


async def test_a_wrong_password_is_told_and_not_repeated() -> None:
    async with a_pool() as pool:
        done = await inspect(target_of(pool), target_of(pool, 1), password="pass-phrase-of-another")
        assert (done.code, done.err) == (1, "")
        assert done.out.count("the user or the password is wrong") == 2
        assert "pass-phrase-of-another" not in done.said


@pytest.mark.parametrize("words", [["--password", "x"], ["--password=x"], ["-p", "x"]])
async def test_there_is_no_option_for_a_password(words: list[str]) -> None:
    done = await inspect("xenserver://root@127.0.0.1:1", *words)
    assert (done.code, done.out) == (2, "")


def test_what_pools_need_is_loaded_for_pools_only() -> None:
    """HTTP takes longer to import than a database to read."""
    program = (
        "import sys\nfrom xenios.cli.main import main\n"
        f"try: main(['inspect', {EXAMPLE!r}])\nexcept SystemExit as end: assert end.code == 0, end\n"
        "print(*sorted({'aiohttp', 'lxml.html', 'XenAPI'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        env=environment(),
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, b"")


# --- a person ---


def at_terminal(work: Callable[[Terminal], None], *words: str) -> tuple[int, str]:
    """The exit code and all that a person saw and typed at a terminal."""
    with Terminal(command_line(["inspect", *words]), 120, {"XENIOS_PASSWORD": None}) as terminal:
        work(terminal)
        return terminal.wait(), terminal.text


async def test_a_person_is_asked_and_does_not_see_what_is_typed() -> None:
    def person(terminal: Terminal) -> None:
        assert terminal.read_until(lambda: "Password for xenserver" in terminal.text)
        terminal.type(PASSWORD.encode() + b"\n")

    async with a_pool() as pool:
        code, text = await asyncio.to_thread(at_terminal, person, target_of(pool))
        assert code == 0
        assert "COMPLETE" in text
        assert PASSWORD not in text


async def test_for_each_pool_and_enter_means_the_same_again() -> None:
    def person(terminal: Terminal) -> None:
        assert terminal.read_until(lambda: "Password for" in terminal.text)
        terminal.type(PASSWORD.encode() + b"\n")
        assert terminal.read_until(lambda: "(Enter: the same)" in terminal.text)
        terminal.type(b"\n")

    async with a_pool() as pool:
        code, text = await asyncio.to_thread(
            at_terminal, person, target_of(pool), target_of(pool, 1), target_of(pool)
        )
        assert code == 0
        assert text.count("Password for") == 2


@pytest.mark.parametrize("keys", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
async def test_a_person_may_refuse(keys: bytes) -> None:
    def person(terminal: Terminal) -> None:
        assert terminal.read_until(lambda: "Password for" in terminal.text)
        terminal.type(keys)

    async with a_pool() as pool:
        code, text = await asyncio.to_thread(at_terminal, person, target_of(pool))
        assert code == 130
        assert "nothing was changed" in text
        assert "Traceback" not in text
        assert pool.served.connections == 0


async def test_a_person_who_types_nothing_gave_no_password() -> None:
    def person(terminal: Terminal) -> None:
        assert terminal.read_until(lambda: "Password for" in terminal.text)
        terminal.type(b"\n")

    async with a_pool() as pool:
        code, text = await asyncio.to_thread(at_terminal, person, target_of(pool))
        assert code == 1
        assert "there is no password" in text


# --- certificates ---


@pytest.fixture(scope="session")
def certificate() -> ssl.SSLContext:
    """A server's, signed by nobody that this machine trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1", "127.0.0.2").configure_cert(context)
    return context


async def test_an_unknown_certificate_is_refused_and_its_fingerprint_lets_in(
    certificate: ssl.SSLContext,
) -> None:
    async with a_pool(certificate) as pool:
        done = await inspect(target_of(pool), password=PASSWORD)
        assert (done.code, done.err) == (1, "")
        plain = done.out.replace("\n", "")
        assert "signed by nobody this machine trusts" in plain
        fingerprint = re.search(r"([0-9A-F]{2}:){31}[0-9A-F]{2}", plain)
        assert fingerprint is not None
        done = await inspect(target_of(pool, 1), "--fingerprint", fingerprint[0], password=PASSWORD)
        assert (done.code, done.err) == (0, "")
        assert "certificate known by its fingerprint" in done.out
        other = fingerprint[0].replace(fingerprint[0][:2], "00")
        done = await inspect(target_of(pool), "--fingerprint", other, password=PASSWORD)
        assert done.code == 1
        assert "not the one expected" in done.out
        both = ["--fingerprint", other, "--fingerprint", fingerprint[0]]
        assert (await inspect(target_of(pool), *both, password=PASSWORD)).code == 0


async def test_insecure_is_said_aloud(certificate: ssl.SSLContext) -> None:
    async with a_pool(certificate) as pool:
        done = await inspect(target_of(pool), "--insecure", password=PASSWORD)
        assert done.code == 0
        assert "not checked" in done.err
        assert "certificate NOT checked" in done.out


async def test_a_trusted_certificate_needs_no_word(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with a_pool(context) as pool:
        done = await asyncio.to_thread(
            xenios,
            "inspect",
            target_of(pool),
            env={"XENIOS_PASSWORD": PASSWORD, "SSL_CERT_FILE": str(tmp_path / "ca.pem")},
        )
        assert (done.code, done.err) == (0, "")
        assert "certificate checked" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--insecure", "--fingerprint", "00" * 32], "--insecure checks nothing"),
        (["--fingerprint", "00"], "SHA-256"),
        (["--fingerprint", ""], "openssl"),
    ],
)
async def test_words_that_make_no_sense(words: list[str], said: str) -> None:
    done = await inspect("xenserver://root@127.0.0.1:1", *words, password=PASSWORD)
    assert (done.code, done.out) == (2, "")
    assert said in " ".join(done.err.split())
