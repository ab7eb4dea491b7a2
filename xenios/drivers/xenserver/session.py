"""Asks a XenServer pool, read-only: sessions, the way to the master, two encodings, and nothing that is not on a list.

`XapiClient` is one pool: it logs in, follows "I am not the master", renews a session that ended, finds a master that
moved through the members it knows, and bounds every question in time. What may be called at all is a list of exact
names that whoever makes a client must give; there is no switch. A method that is not on it is refused before a byte is
sent, so no mistake above this file can write to a pool. What carries the bytes is given (transport.py).

Source: xapi's xapi_session.ml (login), session_check.ml, api_server.ml.

Effects: reads hypervisors
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from xenios import __version__
from xenios.drivers.base import Progress, no_progress
from xenios.drivers.xenserver import pool_errors
from xenios.drivers.xenserver.pool_errors import LOGIN, MethodRefused, SessionRenewed
from xenios.drivers.xenserver.records import CLASSES
from xenios.drivers.xenserver.target import Secret, XenServerTarget
from xenios.drivers.xenserver.transport import Address, Transport, TransportError, Trouble
from xenios.drivers.xenserver.wire import (
    ApiFailure,
    NotXapi,
    UnreadableAnswer,
    json_answer,
    json_request,
    xml_answer,
    xml_request,
)
from xenios.errors import TargetUnreadable, XeniosError

T = TypeVar("T")

_LOGOUT = "session.logout"
_WAITING_METHODS = frozenset({"event.from"})
"""They wait for something to happen, so they do not count among the questions asked at once."""
READ_METHODS = frozenset(
    {
        LOGIN,
        _LOGOUT,
        "event.from",
        "host.compute_free_memory",
        "host.get_servertime",
        *(f"{name}.get_all_records" for name in CLASSES),
    }
)
"""Everything that looking at a pool calls. None of it changes the pool: sessions are no part of its database."""

API_VERSION = "1.1"
CALLS_AT_ONCE = 8
LOGIN_SECONDS_MIN = 12.0
"""What one host gets to answer a login, if there is as much: XAPI sleeps up to 10 s over a wrong password."""
LOGIN_BYTES_MAX = 2**20
"""No login needs a thousandth of it; the web page of something else fits, so that it can be told for what it is."""
SESSION_CHARACTERS_MAX = 1024
"""XAPI's references have 46 characters."""
LOGOUT_SECONDS_MAX = 3.0
ADDRESSES_MAX = 64
"""A pool has at most 64 hosts."""
BACKOFF_SECONDS_MIN = 0.5
BACKOFF_SECONDS_MAX = 30.0
"""Longer than a toolstack restart takes, shorter than an operator's patience."""
_SESSION_OVER = frozenset({"SESSION_INVALID", "HOST_IS_SLAVE"})
_MAY_BE_OLD = frozenset({404, 405, 500, 501})
"""How hosts without /jsonrpc answer it."""
_ROUNDING_SECONDS = 0.1
"""A time-out may come so much too early."""


def backoff_seconds(attempt: int, chance: Callable[[], float]) -> float:
    """How long to wait before attempt 1, 2, … to reach a pool again.

    `chance` gives numbers from 0 to 1: a thousand pools that were lost together must not come back together.
    """
    longest: float = min(BACKOFF_SECONDS_MAX, BACKOFF_SECONDS_MIN * 2 ** min(attempt - 1, 16))
    return longest * (0.5 + 0.5 * chance())


class _Encoding(Enum):
    """How a host is spoken to."""

    JSON = "/jsonrpc"
    XML = "/"


class _Session(NamedTuple):
    reference: str
    epoch: int
    address: Address
    encoding: _Encoding


class _BadStatus(Exception):
    """HTTP's own "no"; XAPI's come with status 200."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class XapiClient:
    """One pool through XAPI, whichever of its hosts is named and whoever is its master now.

    Errors are those of pool_errors.py, and every one says what to do. MethodRefused is a defect of ours.
    """

    def __init__(
        self,
        target: XenServerTarget,
        password: Secret,
        transport: Transport,
        *,
        methods: frozenset[str],
        timeout_seconds: float,
        purpose: str = "inspect",
    ) -> None:
        """`methods`: what may be called, by exact name. `purpose`: which of our commands this session is for."""
        self.target = target
        self.timeout_seconds = timeout_seconds
        self._progress: Progress = no_progress
        self._password = password
        self._originator = f"xenios/{__version__}/{purpose}"
        self._transport = transport
        self._methods = methods
        self._address = target.address
        self._members: tuple[str, ...] = ()
        self._troubled: set[Address] = set()
        self._encodings: dict[Address, _Encoding] = {}
        self._session: _Session | None = None
        self._epoch = 0
        self._logging_in = asyncio.Lock()
        self._places = asyncio.Semaphore(CALLS_AT_ONCE)
        self._doubted_at: float | None = None
        """When a call failed on its way for the first time since the last answer."""
        self._attempts = 0
        self._login_error: XeniosError | None = None
        self._closed = False

    @property
    def address(self) -> Address:
        """Where the pool was last asked: its master, as soon as somebody has logged in."""
        return self._address

    @property
    def epoch(self) -> int:
        """How many sessions there were. Whoever follows events must begin anew when it has grown."""
        return self._epoch

    @property
    def encoding(self) -> str:
        """What is spoken, in words."""
        session = self._session
        return "XML-RPC" if session is not None and session.encoding is _Encoding.XML else "JSON-RPC"

    def remember_members(self, addresses: Iterable[str]) -> None:
        """The pool's hosts (host.address), through which a master that moved or died is found."""
        self._members = tuple(dict.fromkeys(address for address in addresses if address))[:ADDRESSES_MAX]

    async def login(self, progress: Progress = no_progress) -> None:
        """Makes sure that there is a session; calls do so by themselves. Raises XeniosError.

        `progress` is told where this login goes, and those that become necessary later.
        """
        self._progress = progress
        with self._errors_in_words(LOGIN, self.timeout_seconds):
            ends_at = _now() + self.timeout_seconds
            async with asyncio.timeout_at(ends_at):
                await self._current_session(None, ends_at)

    async def call(
        self,
        method: str,
        *params: Any,
        result: type[T],
        timeout_seconds: float | None = None,
        epoch: int | None = None,
    ) -> T:
        """Calls a method in the current session and decodes what it gives.

        `params` come without the session. All of it, a login that it takes included, ends within `timeout_seconds`.
        `epoch`: the call makes sense only in that session; SessionRenewed when there is another by now. Otherwise the
        call is made once more in a new session: XAPI refuses an old session before it does anything.
        Raises MethodRefused (a defect), and XeniosError: ApiError, PoolUnreachable, PoolSilent, AnswerUnreadable.
        """
        self._refuse_unless_listed(method)
        seconds = self.timeout_seconds if timeout_seconds is None else timeout_seconds
        if seconds <= 0:
            raise pool_errors.no_time_left(self._address, method, self.timeout_seconds)
        with self._errors_in_words(method, seconds):
            ends_at = _now() + seconds
            async with asyncio.timeout_at(ends_at):
                if method in _WAITING_METHODS:
                    return await self._call(method, params, result, ends_at, epoch)
                async with self._places:
                    return await self._call(method, params, result, ends_at, epoch)

    async def logout(self) -> None:
        """Ends the session, if the pool answers within seconds; calls fail from now on. Never raises."""
        self._closed = True
        session, self._session = self._session, None
        if session is None:
            return
        with contextlib.suppress(TransportError, UnreadableAnswer, ApiFailure, _BadStatus):
            await self._ask(session, _LOGOUT, (session.reference,), str, LOGOUT_SECONDS_MAX)

    # --- one call ----------------------------------------------------------------------------------------------------

    async def _call(
        self, method: str, params: tuple[Any, ...], result: type[T], ends_at: float, epoch: int | None
    ) -> T:
        began_at = _now()
        only_reads = method in READ_METHODS
        may_repeat, may_renew = only_reads, True
        while True:
            session = await self._current_session(epoch, ends_at)
            try:
                return await self._ask(
                    session, method, (session.reference, *params), result, ends_at - _now()
                )
            except ApiFailure as failure:
                if failure.code not in _SESSION_OVER or not may_renew:
                    raise
                may_renew = False
                self._session_is_over(session, failure)
            except TransportError as error:
                if may_repeat and error.trouble is Trouble.BROKEN_OFF:
                    may_repeat = False  # a connection that was kept for later is often found closed
                elif may_renew and self._is_given_up(session, began_at) and only_reads:
                    may_renew = False  # where it is now, the login finds out
                else:
                    raise

    def _is_given_up(self, session: _Session, began_at: float) -> bool:
        """After a failure on the way: whether this was not the first one, so that the pool must be looked for.

        Calls that failed at the same time are one failure: a short trouble should not cost the session.
        """
        if self._session is not session:
            return True
        if self._doubted_at is None or began_at < self._doubted_at:
            self._doubted_at = self._doubted_at or _now()
            return False
        self._session = None
        return True

    def _refuse_unless_listed(self, method: str) -> None:
        if method not in self._methods:
            raise MethodRefused(f"{method} is not among what this connection may call; nothing was sent")

    async def _ask(
        self, where: _Session, method: str, params: tuple[Any, ...], result: type[T], seconds: float
    ) -> T:
        """The only way out of this process: one question, one answer."""
        self._refuse_unless_listed(method)
        if seconds <= 0:
            raise TransportError(Trouble.SILENT)
        xml = where.encoding is _Encoding.XML
        request = xml_request(method, params) if xml else json_request(method, params)
        headers = {"Content-Type": "text/xml" if xml else "application/json"}
        answer = await self._transport.post(
            where.address,
            where.encoding.value,
            request,
            seconds,
            headers,
            answer_bytes_max=LOGIN_BYTES_MAX if method == LOGIN else None,
        )
        self._doubted_at = None
        if answer.status != 200:
            if not where.address.secure and answer.status == 400 and b"HTTPS" in answer.body:
                raise TransportError(Trouble.TLS_EXPECTED)
            raise _BadStatus(answer.status)
        return xml_answer(answer.body, result) if xml else json_answer(answer.body, result)

    @contextlib.contextmanager
    def _errors_in_words(self, method: str, seconds: float) -> Iterator[None]:
        ends_at = _now() + seconds
        try:
            yield
        except (TransportError, TimeoutError) as error:
            trouble = error if isinstance(error, TransportError) else TransportError(Trouble.SILENT)
            only_the_rest = seconds < self.timeout_seconds and _now() > ends_at - _ROUNDING_SECONDS
            if trouble.trouble is Trouble.SILENT and only_the_rest and self._epoch > 0:
                # It let us in and was now given less than the whole time: that it is away is not what this shows.
                raise pool_errors.no_time_left(self._address, method, self.timeout_seconds) from error
            raise pool_errors.unreachable(self._address, trouble, seconds) from error
        except ApiFailure as failure:
            raise pool_errors.refused(self._address, method, failure) from failure
        except UnreadableAnswer as error:
            raise pool_errors.unreadable(self._address, method, str(error)) from error
        except _BadStatus as error:
            raise pool_errors.bad_status(self._address, method, error.status) from error

    # --- sessions ----------------------------------------------------------------------------------------------------

    async def _current_session(self, epoch: int | None, ends_at: float) -> _Session:
        attempts_before = self._attempts
        async with self._logging_in:
            if self._closed:
                raise TransportError(Trouble.BROKEN_OFF, "it was closed here")
            if self._session is None:
                if self._attempts != attempts_before and self._login_error is not None:
                    raise self._login_error  # of another call meanwhile: many wrong logins lock an account
                self._session = await self._log_in_or_remember(ends_at)
            session = self._session
        if epoch is not None and epoch != session.epoch:
            raise SessionRenewed
        return session

    def _session_is_over(self, session: _Session, failure: ApiFailure) -> None:
        if self._session is not session:
            return  # somebody else noticed it first
        self._session = None
        if failure.code == "HOST_IS_SLAVE" and failure.params:
            self._address = session.address.at(failure.params[0])

    async def _log_in_or_remember(self, ends_at: float) -> _Session:
        self._login_error = None
        try:
            return await self._log_in(ends_at)
        except XeniosError as error:
            self._login_error = error
            raise
        finally:
            self._attempts += 1

    async def _log_in(self, ends_at: float) -> _Session:
        """Finds the master and logs in there. Raises XeniosError about the host that matters most: the first."""
        waiting = deque(self._where_to_try())
        way: list[Address] = []
        first: XeniosError | None = None
        role = ""
        while waiting and len(way) < ADDRESSES_MAX and (left := ends_at - _now()) > 0:
            address = waiting.popleft()
            if address in way:
                continue
            way.append(address)
            seconds = max(left / (len(waiting) + 1), min(left, LOGIN_SECONDS_MIN))
            self._progress(f"logging in at {address}" + (f", {role}" if role else ""))
            try:
                session = await self._log_in_at(address, seconds)
            except ApiFailure as failure:
                if failure.code == "HOST_IS_SLAVE" and failure.params:
                    master = address.at(failure.params[0])
                    if master in way:
                        role, first = "", first or pool_errors.masters_in_a_ring([*way, master])
                    else:
                        role = f"the pool's master as {address} says"
                        waiting.appendleft(master)
                    continue
                error: XeniosError = pool_errors.refused(address, LOGIN, failure)
                if not pool_errors.says_ask_another(failure):
                    raise error from failure
            except TransportError as trouble:
                error = pool_errors.unreachable(address, trouble, seconds, role)
            except pool_errors.AnswerUnreadable as unreadable:
                error = unreadable
            else:
                self._address = address
                self._troubled.clear()
                return session
            self._troubled.add(address)
            first, role = first or error, ""
        raise first or TransportError(Trouble.SILENT)

    def _where_to_try(self) -> list[Address]:
        """The last master, the target as given, and the members; those that failed last time come last."""
        members = (self.target.address.at(member) for member in self._members)
        places = dict.fromkeys([self._address, self.target.address, *members])
        return sorted(places, key=lambda address: address in self._troubled)

    async def _log_in_at(self, address: Address, seconds: float) -> _Session:
        """Raises ApiFailure, TransportError, AnswerUnreadable."""
        ends_at = _now() + seconds
        encoding = self._encodings.get(address, _Encoding.JSON)
        try:
            reference = await self._authenticate(address, encoding, seconds)
        except (NotXapi, _BadStatus) as error:
            if encoding is _Encoding.XML or (
                isinstance(error, _BadStatus) and error.status not in _MAY_BE_OLD
            ):
                raise self._no_xapi(address, error) from error
            encoding = _Encoding.XML
            try:
                reference = await self._authenticate(address, encoding, ends_at - _now())
            except (UnreadableAnswer, _BadStatus):
                raise self._no_xapi(address, error) from error
            self._encodings[address] = encoding
        except UnreadableAnswer as error:
            raise pool_errors.unreadable(address, LOGIN, str(error)) from error
        self._epoch += 1
        return _Session(reference, self._epoch, address, encoding)

    def _no_xapi(self, address: Address, error: Exception) -> pool_errors.AnswerUnreadable:
        if isinstance(error, _BadStatus):
            return pool_errors.bad_status(address, LOGIN, error.status)
        return pool_errors.no_xapi(address, str(error))

    async def _authenticate(self, address: Address, encoding: _Encoding, seconds: float) -> str:
        """A session's reference. Raises as `_log_in_at` does, and UnreadableAnswer, _BadStatus."""
        reference = await self._ask_for_session(address, encoding, seconds)
        if len(reference) > SESSION_CHARACTERS_MAX:
            because = f"the session that it gives has a name of {len(reference):,} characters"
            raise pool_errors.no_xapi(address, because)
        return reference

    async def _ask_for_session(self, address: Address, encoding: _Encoding, seconds: float) -> str:
        where = _Session("", 0, address, encoding)
        ends_at = _now() + seconds
        password = self._password.reveal()
        who = (self.target.user, password)
        try:
            try:
                return await self._ask(where, LOGIN, (*who, API_VERSION, self._originator), str, seconds)
            except ApiFailure as failure:
                if failure.code != "MESSAGE_PARAMETER_COUNT_MISMATCH":
                    raise
                return await self._ask(where, LOGIN, who, str, ends_at - _now())  # it knows no originator
        except ApiFailure as failure:
            # Whatever answers here may say anything, also what it was just told.
            said = [text for text in (failure.code, *failure.params) if not password or password not in text]
            raise ApiFailure(said[0] if said else "", said[1:]) from None
        except ValueError:
            raise TargetUnreadable(
                f"the user or the password for {address} has characters that XAPI cannot be told",
                remedy="they must be text in UTF-8, without control characters",
            ) from None


def _now() -> float:
    return asyncio.get_running_loop().time()
