"""Speaks to libvirt, read-only, and gives back its native answers as plain data.

libvirt-python blocks and cannot be interrupted, so every question runs in a daemon thread behind an async face: a
daemon that hangs costs a thread, never the process. One connection carries several questions at once (libvirt
pipelines them), which makes a bulk read of definitions some four times faster than asking one by one.

The connection is opened with VIR_CONNECT_RO: libvirtd itself refuses any writing call, whatever a caller here might do.

Effects: reads hypervisors
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from xenios.drivers.threads import DaemonThreads
from xenios.errors import TargetSilent, TargetUnreadable

T = TypeVar("T")
Item = TypeVar("Item")

NOT_TEXT = -2
"""Our own code for an answer that is no text; libvirt's codes are not negative."""
THREADS = 8
ITEMS_BETWEEN_WORDS = 256
KEEPALIVE_INTERVAL_SECONDS = 3
KEEPALIVE_COUNT = 3


class NativeError(Exception):
    """libvirt refused one question; the connection is still good."""

    def __init__(self, code: int, text: str, system_errno: int | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.system_errno = system_errno
        """The system's errno behind it, where libvirt passes one on (code 38)."""

    def __str__(self) -> str:
        return f"{self.args[0]} (libvirt error {self.code})" if self.code >= 0 else str(self.args[0])


class ConnectionLost(Exception):
    """The connection is gone, or the daemon no longer answers; nothing more can be asked."""


class LibvirtClient:
    """One read-only connection. Questions are functions of `libvirt.virConnect`; answers are what they return."""

    def __init__(self, uri: str, timeout_seconds: float, name: str) -> None:
        self.uri = uri
        self.name = name
        self.timeout_seconds = timeout_seconds
        self.libvirt = load_libvirt()
        self.keepalive = False
        self._deadline = asyncio.get_running_loop().time() + timeout_seconds
        self._threads = DaemonThreads(THREADS, f"libvirt {name}")
        self._connection: Any = None
        self._lost: str | None = None

    @classmethod
    async def open(cls, uri: str, timeout_seconds: float, name: str) -> LibvirtClient:
        """Connects read-only within `timeout_seconds`, which also bounds all that is asked afterwards.

        `name` is the URI as it may be shown, without secrets.
        Raises TargetUnreadable when there is no such host, daemon or driver, TargetSilent when it does not answer.
        """
        client = cls(uri, timeout_seconds, name)
        _start_event_loop(client.libvirt)
        try:
            client._connection = await client._wait(client._threads.run(client._open_read_only))
        except ConnectionLost as error:
            client._threads.stop()
            raise TargetSilent(
                f"libvirt at {name} did not answer within {timeout_seconds:g} s",
                remedy="check the way to that host, and whether libvirtd hangs there (virsh -r -c URI version); "
                "guests run on when it is restarted; or give it longer with --timeout",
            ) from error
        except client.libvirt.libvirtError as error:
            client._threads.stop()
            raise TargetUnreadable(
                f"cannot connect to {name}: {_text(error).replace(uri, name)}", remedy=_remedy(error)
            ) from error
        return client

    @property
    def connection(self) -> Any:
        """The libvirt.virConnect, for questions to `ask_each` that need it beside their item."""
        return self._connection

    async def ask(self, question: Callable[[Any], T]) -> T:
        """Asks the connection one thing. Raises NativeError or ConnectionLost."""
        connection = self._usable_connection()
        try:
            return await self._wait(self._threads.run(lambda: question(connection)))
        except self.libvirt.libvirtError as error:
            raise self._translated(error) from error
        except UnicodeDecodeError as error:
            raise _not_text(error) from error

    async def ask_each(
        self,
        items: Sequence[Item],
        question: Callable[[Item], T],
        reached: Callable[[int], None] = lambda number: None,
    ) -> list[T | NativeError | ConnectionLost]:
        """Asks the same of every item, several at a time; answers come in the order of the items.

        `reached` is told now and then, from another thread, at about which item the asking is. Never raises: an item
        whose question failed or was not answered in time has the error in its place.
        """
        unanswered = ConnectionLost()
        answers: list[T | NativeError | ConnectionLost] = [unanswered] * len(items)
        error_class = self.libvirt.libvirtError

        def share(start: int) -> None:
            for index in range(start, len(items), THREADS):
                if index % ITEMS_BETWEEN_WORDS == 0:
                    reached(index)
                try:
                    answers[index] = question(items[index])
                except error_class as error:
                    answers[index] = translated = self._translated(error)
                    if isinstance(translated, ConnectionLost):
                        return
                except UnicodeDecodeError as error:
                    answers[index] = _not_text(error)

        if items and self._lost is None:
            shares = [self._threads.run(functools.partial(share, start)) for start in range(THREADS)]
            _bulk_reads.add(self)
            try:
                await self._wait(asyncio.gather(*shares))
            except ConnectionLost:
                for waiting in shares:
                    waiting.cancel()
            finally:
                _bulk_reads.discard(self)
        lost = ConnectionLost(self._lost or "the connection was lost before this was answered")
        return [lost if answer is unanswered else answer for answer in answers]

    async def close(self) -> None:
        """Closes the connection if it still answers; a hung one is left behind, since closing it would hang too."""
        connection, self._connection = self._connection, None
        if connection is not None and self._lost is None:
            closing = self._threads.run(connection.close)
            await asyncio.wait([closing], timeout=1)
        elif connection is not None:
            connection._o = (
                None  # what its destructor would close, and closing would hang like everything else
            )
        self._threads.stop()

    def _open_read_only(self) -> Any:
        connection = self.libvirt.openReadOnly(self.uri)
        try:
            self.keepalive = connection.setKeepAlive(KEEPALIVE_INTERVAL_SECONDS, KEEPALIVE_COUNT) == 0
        except self.libvirt.libvirtError:
            self.keepalive = False  # drivers inside this process (test:///) have no daemon to watch
        with contextlib.suppress(self.libvirt.libvirtError):  # likewise
            connection.registerCloseCallback(self._closed, None)
        return connection

    def _closed(self, _connection: Any, reason: int, _opaque: Any) -> None:
        reasons = {
            self.libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: "the connection failed",
            self.libvirt.VIR_CONNECT_CLOSE_REASON_EOF: "libvirtd closed the connection (it stopped or was killed)",
            self.libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: "libvirtd no longer answers keepalive messages",
        }
        if reason in reasons:
            self._lost = self._lost or reasons[reason]

    def _usable_connection(self) -> Any:
        if self._connection is None or self._lost is not None:
            raise ConnectionLost(self._lost or "the connection is closed")
        return self._connection

    async def _wait(self, answer: asyncio.Future[T]) -> T:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await answer
        except TimeoutError:
            self._lost = self._lost or f"no answer within {self.timeout_seconds:g} s"
            raise ConnectionLost(self._lost) from None

    def _translated(self, error: Any) -> NativeError | ConnectionLost:
        code = error.get_error_code()
        connection = self._connection
        if self._lost is None and (connection is None or connection.isAlive() == 0):
            self._lost = f"the connection was lost: {_text(error)}"
        if self._lost is not None:
            return ConnectionLost(self._lost)
        system_errno = error.get_int1() if code == self.libvirt.VIR_ERR_SYSTEM_ERROR else None
        return NativeError(code if code is not None else -1, _text(error), system_errno)


_event_loop_started = threading.Lock()

_bulk_reads: set[LibvirtClient] = set()
"""Who reads in bulk now. Each question on a connection wakes libvirt's event loop twice, to no end, since the asking
thread reads its own answer; every waking takes the interpreter's lock from the threads that have work to do."""

EVENTS_WAIT_SECONDS = 0.02
"""How long events may wait while a bulk read is under way: nothing against a keepalive's seconds."""


def _not_text(error: UnicodeDecodeError) -> NativeError:
    """libvirt passes names and headers of images on as they are; libvirt-python insists on UTF-8."""
    return NativeError(
        NOT_TEXT, f"libvirt's answer holds a name or header that is no text in UTF-8: {error.object[:80]!r}"
    )


def load_libvirt() -> Any:
    """The libvirt module. Raises TargetUnreadable with the way to install it when it is not there."""
    try:
        import libvirt
    except ImportError as error:
        raise TargetUnreadable(
            "KVM hosts are read through libvirt-python, which is not installed here",
            remedy="apt install libvirt-dev pkg-config gcc python3-dev, then pip install 'xenios[kvm]'",
        ) from error
    libvirt.registerErrorHandler(lambda *_: None, None)  # it would print every error on stderr by itself
    return libvirt


def _start_event_loop(libvirt: Any) -> None:
    """Starts libvirt's own event loop once per process; keepalive and close callbacks need it before opening."""
    if not _event_loop_started.acquire(blocking=False):
        return
    libvirt.virEventRegisterDefaultImpl()

    def run_for_ever() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()
            if _bulk_reads:
                time.sleep(EVENTS_WAIT_SECONDS)

    threading.Thread(target=run_for_ever, name="libvirt events", daemon=True).start()


def _text(error: Any) -> str:
    return str(error.get_error_message() or error)


def _remedy(error: Any) -> str:
    """What to do about a connection that could not be opened."""
    text = _text(error).lower()
    for part, remedy in _REMEDIES:
        if part in text:
            return remedy
    return "try the same with virsh -r -c URI list; when that works, report this as a defect of Xenios"


_REMEDIES = (
    ("unable to parse uri", "write special characters of its user and path as %XX"),
    ("ssh: connect", "check that sshd runs on that host and listens on that port"),
    ("host key verification", "log in once with ssh by hand and accept the host key"),
    (
        "permission denied",
        "check the user, and that its ssh key or its libvirt group is accepted on that host",
    ),
    (
        "authentication",
        "check the user and password or key; a member of the group libvirt may read without root",
    ),
    ("in path", "install the program that the URI's transport needs; for qemu+ssh:// that is ssh"),
    ("cannot execute", "install the program that the URI's transport needs; for qemu+ssh:// that is ssh"),
    ("certificate", "check the certificates in /etc/pki, or use qemu+ssh://"),
    ("no such file", "check that libvirtd runs on that host and that the socket's path is right"),
    ("connection refused", "check that libvirtd runs there and listens"),
    ("could not resolve", "check the host's name"),
    ("name or service not known", "check the host's name"),
    ("unable to resolve", "check the host's name"),
    ("no route", "check the network to that host"),
    ("timed out", "check the network and the firewall to that host"),
    ("no connection driver", "check the URI: qemu:///system, qemu+ssh://user@host/system, test:///default …"),
    ("transport", "check the URI: the word after the + is ssh, tcp, tls, unix, libssh or libssh2"),
    ("failed to parse xml", "check the file that the URI names"),
    ("end of file", "check that libvirtd runs there and that the user may use its socket"),
    ("received from server", "check that it is libvirtd that listens there"),
    ("broken pipe", "check that it is libvirtd that listens there, and its log"),
    ("connection reset", "check that it is libvirtd that listens there, and its log"),
    ("socket is closed", "check that it is libvirtd that listens there, and its log"),
)
