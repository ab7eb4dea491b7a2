"""What a private host looks like to somebody who is not Xenios, to be compared before and after.

That Xenios harms nobody cannot be proved by asking Xenios. So virsh is asked for everything that a write
could have changed, and the files that libvirt and the guests own are looked at too: a definition that was
written again with the same text, or a pool that was refreshed, still shows.

Effects: reads hypervisors (the private one that is passed in)
"""

from __future__ import annotations

import difflib
import hashlib
import secrets
from collections.abc import Iterable
from pathlib import Path

from tests.support.kvm_host import PrivateHost

Question = tuple[str, tuple[str, ...]]

LISTS: tuple[Question, ...] = (
    ("domains", ("list", "--all", "--uuid")),
    ("domains that start with the host", ("list", "--all", "--autostart", "--uuid")),
    ("domains that are persistent", ("list", "--all", "--persistent", "--uuid")),
    ("domains with a managed save", ("list", "--all", "--with-managed-save", "--uuid")),
    ("domains with snapshots", ("list", "--all", "--with-snapshot", "--uuid")),
    ("pools", ("pool-list", "--all", "--uuid")),
    ("active pools", ("pool-list", "--uuid")),
    ("pools that start with the host", ("pool-list", "--all", "--autostart", "--uuid")),
    ("networks", ("net-list", "--all", "--uuid")),
    ("active networks", ("net-list", "--uuid")),
    ("networks that start with the host", ("net-list", "--all", "--autostart", "--uuid")),
    ("secrets", ("secret-list",)),
    ("network filters", ("nwfilter-list",)),
)


def fingerprint(host: PrivateHost) -> dict[str, str]:
    """Every fact about the host that a write would change. Equal fingerprints: nothing was written."""
    seen = _ask(host, LISTS)
    seen |= {
        key: "\n".join(sorted(text.split("\n"))) for key, text in seen.items()
    }  # libvirt lists in no order
    questions: list[Question] = []
    for domain in _words(seen["domains"]):
        questions += [
            (f"domain {domain} state", ("domstate", domain, "--reason")),
            (f"domain {domain} live XML", ("dumpxml", domain, "--security-info")),
            (f"domain {domain} inactive XML", ("dumpxml", domain, "--security-info", "--inactive")),
        ]
    questions += [
        (f"domain {domain} snapshots", ("snapshot-list", domain, "--name"))
        for domain in _words(seen["domains with snapshots"])
    ]
    for pool in _words(seen["pools"]):
        questions += [
            (f"pool {pool} XML", ("pool-dumpxml", pool)),
            (f"pool {pool} inactive XML", ("pool-dumpxml", pool, "--inactive")),
        ]
    questions += [(f"pool {pool} volumes", ("vol-list", pool)) for pool in _words(seen["active pools"])]
    for network in _words(seen["networks"]):
        questions += [
            (f"network {network} XML", ("net-dumpxml", network)),
            (f"network {network} inactive XML", ("net-dumpxml", network, "--inactive")),
        ]
    seen |= _ask(host, questions)
    snapshots: list[Question] = []
    for domain in _words(seen["domains with snapshots"]):
        snapshots += [
            (f"domain {domain} snapshot {name}", ("snapshot-dumpxml", domain, name, "--security-info"))
            for name in seen[f"domain {domain} snapshots"].split("\n")
        ]
    return seen | _ask(host, snapshots) | _files(host)


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Say what changed between two fingerprints, one text per fact, as a diff."""
    changes = []
    for key in sorted(before.keys() | after.keys()):
        if key not in after:
            changes.append(f"{key}: gone")
        elif key not in before:
            changes.append(f"{key}: new: {after[key]}")
        elif before[key] != after[key]:
            lines = difflib.unified_diff(
                before[key].split("\n"), after[key].split("\n"), "before", "after", lineterm="", n=0
            )
            changes.append(f"{key}:\n" + "\n".join(lines))
    return changes


def _words(text: str) -> list[str]:
    return text.split()


def _ask(host: PrivateHost, questions: Iterable[Question]) -> dict[str, str]:
    """Ask virsh everything over one connection; a line that nobody can foresee parts the answers."""
    asked = list(questions)
    parting = f"=== {secrets.token_hex(16)}"
    commands: list[tuple[str, ...]] = []
    for _, command in asked:
        commands += [("echo", parting), command]
    answers = host.virsh_all(commands).split(parting)[1:]
    return {key: answer.strip("\n") for (key, _), answer in zip(asked, answers, strict=True)}


def _files(host: PrivateHost) -> dict[str, str]:
    """Content and time of every file that holds a definition or a disk."""
    seen = {}
    for folder in (host.folder / "etc", host.folder / "lib" / "libvirt" / "qemu", host.images):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                seen[f"file {path.relative_to(host.folder)}"] = _file(path)
    return seen


def _file(path: Path) -> str:
    status = path.stat()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return f"mode {status.st_mode:o} size {status.st_size} written at {status.st_mtime_ns} sha256 {digest}"
