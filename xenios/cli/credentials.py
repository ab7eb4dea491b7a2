"""How a user gets into XenServer pools: passwords and certificates, as options, environment and questions.

A password is never a word of the command line, which every user of a machine can read. It comes from a file, from the
environment, or from a person at a terminal, in this order. A file that everybody may read is refused: whoever wrote it
meant it to be secret.

Effects: reads files, the environment and the terminal; writes to the terminal
"""

from __future__ import annotations

import errno
import getpass
import os
import stat
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from xenios.app import Access, without_secrets
from xenios.drivers.xenserver.target import Secret, is_xenserver, parse_target
from xenios.drivers.xenserver.tls import Trust, fingerprint_from
from xenios.errors import XeniosError
from xenios.report.words import shown

VARIABLE = "XENIOS_PASSWORD"
PASSWORD_FILE_BYTES_MAX = 4096
Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--password-file",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help=f"Read the password for XenServer pools from this file (one line, not readable by everybody). "
        f"Otherwise it comes from {VARIABLE}, or is asked for.",
    ),
    click.option(
        "--fingerprint",
        "fingerprints",
        multiple=True,
        metavar="SHA256",
        callback=lambda _context, _parameter, texts: _fingerprints(texts),
        help="Trust XenServer hosts by the fingerprint of their certificate; may be given several times.",
    ),
    click.option(
        "--insecure",
        is_flag=True,
        help="Check no certificate of XenServer hosts: whoever sits in between can read the password.",
    ),
)


def credential_options(command: Command) -> Command:
    """Adds the options that open XenServer pools: password_file, fingerprints, insecure."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def access_to(
    targets: Iterable[str],
    password_file: Path | None,
    fingerprints: frozenset[bytes],
    insecure: bool,
    *,
    purpose: str = "inspect",
) -> Access:
    """What the options, the environment and, if need be, the person say. Raises UsageError and XeniosError."""
    if insecure and fingerprints:
        raise click.UsageError("--insecure checks nothing, so --fingerprint says nothing beside it.")
    pools = _pools_among(targets)
    if insecure and pools:
        click.echo(
            "Warning: certificates are not checked (--insecure). Whoever sits in between can read the password "
            "and answer in the pool's place.",
            err=True,
        )
    passwords = _passwords_for(pools, password_file)
    return Access(
        password_for=passwords.get,
        trust=Trust(fingerprints=fingerprints, of_anybody=insecure),
        purpose=purpose,
    )


def _pools_among(targets: Iterable[str]) -> list[str]:
    """Those that can be asked at all; what is wrong with the others, the look at them will say."""
    pools = []
    for target in dict.fromkeys(targets):
        if is_xenserver(target):
            try:
                parse_target(target)
            except XeniosError:
                continue
            pools.append(target)
    return pools


def _passwords_for(pools: list[str], password_file: Path | None) -> dict[str, Secret]:
    if password_file is not None:
        return dict.fromkeys(pools, _password_in(password_file))
    if given := os.environ.get(VARIABLE):
        return dict.fromkeys(pools, _secret(os.fsencode(given), VARIABLE))
    return _ask_for(pools) if pools and _somebody_is_there() else {}


def _password_in(file: Path) -> Secret:
    """The one line of a file or pipe. Raises XeniosError, which never tells what is in it."""
    try:
        with open(file, "rb") as stream:
            status = os.fstat(stream.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_mode & stat.S_IROTH:
                raise XeniosError(
                    f"every user of this machine can read {file}, so the password in it is no secret",
                    remedy=f"chmod o-rwx {file}, and change the password if others use this machine",
                )
            data = stream.read(PASSWORD_FILE_BYTES_MAX + 1)
    except OSError as error:
        said = "is a directory" if error.errno == errno.EISDIR else error.strerror or str(error)
        raise XeniosError(
            f"cannot read the password file {file}: {said}",
            remedy="give --password-file a file that you may read",
        ) from error
    except ValueError as error:
        raise XeniosError(
            "the name of the password file is no name", remedy="check --password-file"
        ) from error
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    if wrong := _why_no_password(line):
        raise XeniosError(
            f"the password file {file} {wrong}", remedy="let it hold the password and nothing else"
        )
    return _secret(line, str(file))


def _why_no_password(line: bytes) -> str:
    if not line:
        return "is empty"
    if b"\n" in line:
        return "holds more than one line"
    return f"is longer than {PASSWORD_FILE_BYTES_MAX} bytes" if len(line) > PASSWORD_FILE_BYTES_MAX else ""


def _secret(password: bytes, where: str) -> Secret:
    """XAPI takes text in UTF-8, whatever the locale of this machine."""
    try:
        return Secret(password.decode())
    except UnicodeDecodeError:
        raise XeniosError(
            f"the password in {where} is not text in UTF-8", remedy="write it in UTF-8"
        ) from None


def _somebody_is_there() -> bool:
    """Whether a question would be seen and could be answered."""
    if not sys.stderr.isatty():
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _ask_for(pools: list[str]) -> dict[str, Secret]:
    """Asks for each on the terminal, without showing what is typed; nothing typed means: the same as before."""
    passwords: dict[str, Secret] = {}
    before: Secret | None = None
    for pool in pools:
        same = " (Enter: the same)" if before is not None else ""
        try:
            typed = getpass.getpass(f"Password for {shown(without_secrets(pool))}{same}: ")
        except EOFError:
            raise click.Abort from None
        secret = _secret(typed.encode("utf-8", "surrogateescape"), "your answer") if typed else before
        if secret is not None:
            passwords[pool] = before = secret
    return passwords


def _fingerprints(texts: tuple[str, ...]) -> frozenset[bytes]:
    try:
        return frozenset(fingerprint_from(text) for text in texts)
    except XeniosError as error:
        raise click.BadParameter(f"{error}; {error.remedy}") from error
