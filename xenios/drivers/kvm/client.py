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
from typing import Any, TypeVar, assert_never

from xenios.clock import now_micros
from xenios.drivers.kvm.events import EVENTS, Event, Hinted, words_of
from xenios.drivers.kvm.hints import HintBox
from xenios.drivers.threads import DaemonThreads
from xenios.errors import TargetSilent, TargetUnreadable

T = TypeVar("T")
Item = TypeVar("Item")

NOT_TEXT = -2
"""Our own code for an answer that is no text; libvirt's codes are not negative."""
THREADS = 8
ITEMS_BETWEEN_WORDS = 256
MANY_ITEMS = 64
"""From so many on, events may wait a little while they are asked for; see `_bulk_reads`."""
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
    """One read-only connection; `asking` gives the way to put questions to it, `listen` the hints that it sends."""

    def __init__(self, uri: str, timeout_seconds: float, name: str) -> None:
        self.uri = uri
        self.name = name
        self.timeout_seconds = timeout_seconds
        self.libvirt = load_libvirt()
        self.keepalive = False
        self.opening = False
        """True while libvirt tries to connect, also when nobody waits for it any more."""
        self.lost: str | None = None
        """Why nothing more can be asked, once that is so."""
        self.silent_since: int | None = None
        """When it had still answered, as far as is known: microseconds since 1970 (UTC)."""
        self._threads = DaemonThreads(THREADS, f"libvirt {name}")
        self._busy = threading.Condition()
        self._questions = 0
        """How many are under way or wait for a thread; guarded by `_busy`, as are the next two."""
        self._connection: Any = None
        self._given_up = False
        self._box: HintBox | None = None
        self._listening: list[tuple[Hinted, int]] = []
        self._leaving: asyncio.Future[None] | None = None

    @classmethod
    async def open(cls, uri: str, timeout_seconds: float, name: str) -> LibvirtClient:
        """Connects read-only within `timeout_seconds`. `name` is the URI as it may be shown, without secrets.

        Raises TargetUnreadable when there is no such host, daemon or driver, TargetSilent when it does not answer.
        """
        client = cls(uri, timeout_seconds, name)
        await client.establish()
        return client

    async def establish(self) -> None:
        """Makes the connection; see `open`. An attempt that answers too late closes what it has opened."""
        _start_event_loop(self.libvirt)
        self.opening = True
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await self._threads.run(self._open_read_only)
        except TimeoutError as error:
            self._give_up()
            raise TargetSilent(
                f"libvirt at {self.name} did not answer within {self.timeout_seconds:g} s",
                remedy="check the way to that host, and whether libvirtd hangs there (virsh -r -c URI version); "
                "guests run on when it is restarted; or give it longer with --timeout",
            ) from error
        except self.libvirt.libvirtError as error:
            self._give_up()
            text = _text(error).replace(without_prompt(self.uri), self.name).replace(self.uri, self.name)
            raise TargetUnreadable(
                f"cannot connect to {self.name}: {text}", remedy=_remedy(error, self.name)
            ) from error
        except asyncio.CancelledError:
            self._give_up()
            raise

    def asking(self, seconds: float | None = None) -> Asking:
        """The way to ask, for questions that together may take so long; by default, as long as connecting may."""
        return Asking(self, self.timeout_seconds if seconds is None else seconds)

    # --- what Asking needs -------------------------------------------------------------------------------------------

    @property
    def connection(self) -> Any:
        """The libvirt.virConnect. Raises ConnectionLost when it is not to be used any more."""
        if self._connection is None or self.lost is not None:
            raise ConnectionLost(self.lost or "the connection is closed")
        return self._connection

    def in_thread(self, question: Callable[[], T]) -> asyncio.Future[T]:
        """Runs a question in one of the connection's threads; the connection is not closed before it has ended."""

        def counted() -> T:
            try:
                return question()
            finally:
                with self._busy:
                    self._questions -= 1
                    self._busy.notify_all()

        with self._busy:
            self._questions += 1
        return self._threads.run(counted)

    def lose(self, because: str, seconds_of_silence: float = 0) -> ConnectionLost:
        """Notes that nothing more can be asked. The first reason stays. Any thread may call it."""
        if self.lost is None:
            self.silent_since = now_micros() - round(seconds_of_silence * 1_000_000)
            self.lost = because
            if self._box is not None:
                self._box.wake()
        return ConnectionLost(self.lost)

    def translated(self, error: Any) -> NativeError | ConnectionLost:
        """What a libvirtError means: one question refused, or the end of the connection."""
        code = error.get_error_code()
        connection = self._connection
        if self.lost is None and (connection is None or connection.isAlive() == 0):
            self.lose(f"the connection was lost: {_text(error)}")
        if self.lost is not None:
            return ConnectionLost(self.lost)
        system_errno = error.get_int1() if code == self.libvirt.VIR_ERR_SYSTEM_ERROR else None
        return NativeError(code if code is not None else -1, _text(error), system_errno)

    # --- hints -------------------------------------------------------------------------------------------------------

    async def listen(self, box: HintBox) -> int:
        """From now on puts a hint into `box` for every event, and wakes it when the connection is lost.

        Returns how many kinds of events this libvirt has. It takes each kind only once for a connection, so one box
        listens at a time. Raises ConnectionLost.
        """
        if self._leaving is not None:
            await asyncio.wait([self._leaving])
        self._box = box
        asking = self.asking()
        events = [
            event for event in EVENTS if hasattr(self.libvirt, event.constant)
        ]  # others are of a newer one
        for answer in await asking.ask_each(events, functools.partial(self._register, asking.connection)):
            if isinstance(answer, ConnectionLost):
                raise answer
        return len(self._listening)

    def stop_listening(self) -> None:
        """Ends what `listen` began, without waiting for libvirt."""
        self._box = None
        connection = self._connection
        if self.lost is None and connection is not None:
            self._leaving = self.in_thread(functools.partial(self._deregister, connection))

    def _register(self, connection: Any, event: Event) -> None:
        register, _ = _registration(connection, event.hinted)
        number = register(
            None, getattr(self.libvirt, event.constant), functools.partial(self._heard, event), None
        )
        self._listening.append((event.hinted, number))

    def _deregister(self, connection: Any) -> None:
        listening, self._listening = self._listening, []
        for hinted, number in listening:
            _, deregister = _registration(connection, hinted)
            # On a dead connection libvirt forgets the callback, and only then says that it is dead.
            with contextlib.suppress(self.libvirt.libvirtError):
                deregister(number)

    def _heard(self, event: Event, _connection: Any, thing: Any, *arguments: Any) -> None:
        """libvirt's thread calls it; what it raises would be printed and lost."""
        box = self._box
        if box is not None:
            box.put(event.hinted, thing.UUIDString(), words_of(event, arguments[:-1]))

    # --- opening and closing -----------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Lets go of the connection, in a thread: one that hangs is let go of as soon as libvirt finds it dead."""
        connection, self._connection = self._connection, None
        if connection is not None:
            letting_go = self._threads.run(functools.partial(self._let_go, connection))
            del connection
            if self.lost is None:
                self.lose("the connection is closed")
                await asyncio.wait([letting_go], timeout=1)
        self._threads.stop()

    def _open_read_only(self) -> None:
        try:
            connection = self.libvirt.openReadOnly(without_prompt(self.uri))
            try:
                self.keepalive = connection.setKeepAlive(KEEPALIVE_INTERVAL_SECONDS, KEEPALIVE_COUNT) == 0
            except self.libvirt.libvirtError:
                self.keepalive = False  # drivers inside this process (test:///) have no daemon to watch
            with contextlib.suppress(self.libvirt.libvirtError):  # likewise
                connection.registerCloseCallback(self._closed, None)
            with self._busy:
                if not self._given_up:
                    self._connection = connection
                    return
            self._let_go(connection)
        finally:
            self.opening = False

    def _give_up(self) -> None:
        """Nobody waits for the connection any more; whatever comes of it is let go of in its thread."""
        with self._busy:
            self._given_up = True
            late, self._connection = self._connection, None
        if late is not None:
            self._threads.run(functools.partial(self._let_go, late))
        self._threads.stop()

    def _let_go(self, connection: Any) -> None:
        """Closes the connection when no question is under way on it: libvirt frees it then, in use or not.

        Every callback holds it open, so they go first.
        """
        with self._busy:
            self._busy.wait_for(lambda: self._questions == 0)
        self._deregister(connection)
        with contextlib.suppress(self.libvirt.libvirtError):
            connection.unregisterCloseCallback()
        with contextlib.suppress(self.libvirt.libvirtError):
            connection.close()

    def _closed(self, _connection: Any, reason: int, _opaque: Any) -> None:
        """libvirt's thread calls it."""
        silence = KEEPALIVE_INTERVAL_SECONDS * (KEEPALIVE_COUNT + 1)
        reasons = {
            self.libvirt.VIR_CONNECT_CLOSE_REASON_ERROR: ("the connection failed", 0),
            self.libvirt.VIR_CONNECT_CLOSE_REASON_EOF: (
                "libvirtd closed the connection (it stopped or was killed)",
                0,
            ),
            self.libvirt.VIR_CONNECT_CLOSE_REASON_KEEPALIVE: (
                "libvirtd no longer answers keepalive messages",
                silence,
            ),
        }
        if reason in reasons:
            self.lose(*reasons[reason])


class Asking:
    """A run of questions to one connection, with a time limit for all of them together.

    Questions are functions of `libvirt.virConnect`, or of what it gave; answers are what they return.
    """

    def __init__(self, client: LibvirtClient, seconds: float) -> None:
        self.client = client
        self.libvirt = client.libvirt
        self.connection: Any = client.connection if client.lost is None else None
        """The libvirt.virConnect, for questions to `ask_each` that need it beside their item."""
        self.keepalive = client.keepalive
        self._seconds = seconds
        self._began = asyncio.get_running_loop().time()

    async def ask(self, question: Callable[[Any], T]) -> T:
        """Asks the connection one thing. Raises NativeError or ConnectionLost."""
        connection = self.client.connection
        try:
            return await self._wait(self.client.in_thread(lambda: question(connection)))
        except self.libvirt.libvirtError as error:
            raise self.client.translated(error) from error
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
        client = self.client
        unanswered = ConnectionLost()
        answers: list[T | NativeError | ConnectionLost] = [unanswered] * len(items)
        error_class = self.libvirt.libvirtError

        def share(start: int) -> None:
            for index in range(start, len(items), THREADS):
                if client.lost is not None:
                    return  # nobody waits for the rest
                if index % ITEMS_BETWEEN_WORDS == 0:
                    reached(index)
                try:
                    answers[index] = question(items[index])
                except error_class as error:
                    answers[index] = translated = client.translated(error)
                    if isinstance(translated, ConnectionLost):
                        return
                except UnicodeDecodeError as error:
                    answers[index] = _not_text(error)

        if items and client.lost is None:
            starts = range(min(THREADS, len(items)))
            shares = [client.in_thread(functools.partial(share, start)) for start in starts]
            if len(items) >= MANY_ITEMS:
                _bulk_reads.add(self)
            try:
                await self._wait(asyncio.gather(*shares))
            except ConnectionLost:
                for waiting in shares:
                    waiting.cancel()
            finally:
                _bulk_reads.discard(self)
        lost = ConnectionLost(client.lost or "the connection was lost before this was answered")
        return [lost if answer is unanswered else answer for answer in answers]

    async def _wait(self, answer: asyncio.Future[T]) -> T:
        loop = asyncio.get_running_loop()
        asked = loop.time()
        try:
            async with asyncio.timeout_at(self._began + self._seconds):
                return await answer
        except TimeoutError:
            lost = self.client.lose(f"no answer within {self._seconds:g} s", loop.time() - asked)
            raise lost from None


def _registration(connection: Any, hinted: Hinted) -> tuple[Callable[..., int], Callable[[int], object]]:
    """What begins and what ends to listen to events about such things."""
    match hinted:
        case Hinted.GUEST:
            return connection.domainEventRegisterAny, connection.domainEventDeregisterAny
        case Hinted.NETWORK:
            return connection.networkEventRegisterAny, connection.networkEventDeregisterAny
        case Hinted.STORAGE:
            return connection.storagePoolEventRegisterAny, connection.storagePoolEventDeregisterAny
        case _:
            assert_never(hinted)


def without_prompt(uri: str) -> str:
    """The URI, which keeps ssh from asking for a password on the terminal unless its user chose otherwise.

    A prompt would stand in the middle of a report, and a watch that connects again at night would wait at it. See
    `no_tty` at https://libvirt.org/uri.html.
    """
    scheme, separator, rest = uri.partition("://")
    if not scheme.lower().endswith("+ssh"):
        return uri
    rest, hash_sign, fragment = rest.partition("#")
    path, _, query = rest.partition("?")
    if any(part.partition("=")[0] == "no_tty" for part in query.split("&")):
        return uri
    query = f"{query}&no_tty=1" if query else "no_tty=1"
    return f"{scheme}{separator}{path}?{query}{hash_sign}{fragment}"


_event_loop_started = threading.Lock()

_bulk_reads: set[Asking] = set()
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


def _remedy(error: Any, name: str) -> str:
    """What to do about a connection that could not be opened."""
    text = _text(error).lower()
    # When ssh ends at once, libvirt is sometimes too late for what it said.
    if "ssh://" in name and "ssh:" not in text and any(word in text for word in _ENDED):
        return "check the host's name, that sshd runs there, and with ssh by hand that it lets you in"
    for part, remedy in _REMEDIES:
        if part in text:
            return remedy
    return "try the same with virsh -r -c URI list; when that works, report this as a defect of Xenios"


_ENDED = ("socket is closed", "broken pipe", "end of file")
_REMEDIES = (
    ("unable to parse uri", "write special characters of its user and path as %XX"),
    ("ssh: connect", "check that sshd runs on that host and listens on that port"),
    ("host key verification", "log in once with ssh by hand and accept the host key"),
    (
        "permission denied (",  # ssh names in brackets what it tried
        "give ssh a key that this host accepts, or add no_tty=0 to the URI to be asked for a password",
    ),
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
