"""The client of one pool: sessions, masters, members and methods, against hosts that answer what a test wants.

Effects: opens sockets on loopback
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import traceback
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.odd_server import (
    Answer,
    Asked,
    OddServer,
    http,
    json_failure,
    json_result,
    xml_failure,
    xml_result,
)
from xenios.drivers.xenserver.client import HttpTransport
from xenios.drivers.xenserver.pool_errors import (
    AnswerUnreadable,
    ApiError,
    LoginRefused,
    MethodRefused,
    PoolSilent,
    PoolUnreachable,
    SessionRenewed,
)
from xenios.drivers.xenserver.records import CLASSES, VmRecord
from xenios.drivers.xenserver.session import BACKOFF_SECONDS_MAX, READ_METHODS, XapiClient, backoff_seconds
from xenios.drivers.xenserver.target import Secret, parse_target
from xenios.drivers.xenserver.transport import Trouble
from xenios.errors import TargetSilent, TargetUnreadable, XeniosError
from xenios.simulator.facts.datamodel import load_datamodel

PASSWORD = "correct horse battery"
SECONDS = 20.0
MASTER, MEMBER, OTHER = "127.0.0.1", "127.0.0.2", "127.0.0.3"
GET_VMS = "VM.get_all_records"
VMS = dict[str, VmRecord]


class Pool:
    """What the tests want of hosts: it logs everybody in at the master and answers by method."""

    def __init__(self) -> None:
        self.master: str | None = None
        """Where the master is; None: whoever is asked."""
        self.sessions: list[str] = []
        self.answers: dict[str, Callable[[Asked], Answer]] = {
            "session.logout": lambda asked: json_result(""),
            GET_VMS: lambda asked: json_result({}),
        }

    def __call__(self, asked: Asked) -> Answer:
        if self.master is not None and asked.host != self.master:
            return json_failure("HOST_IS_SLAVE", self.master)
        if asked.method == "session.login_with_password" and asked.method not in self.answers:
            self.sessions.append(f"OpaqueRef:session-{len(self.sessions) + 1}")
            return json_result(self.sessions[-1])
        if asked.method not in ("session.logout", "session.login_with_password"):
            session = asked.params[0]
            if session not in self.sessions:
                return json_failure("SESSION_INVALID", session)
        return self.answers[asked.method](asked)


@contextlib.asynccontextmanager
async def client_of(
    target: str,
    *,
    methods: frozenset[str] = READ_METHODS,
    seconds: float = SECONDS,
    password: str = PASSWORD,
) -> AsyncIterator[XapiClient]:
    transport = HttpTransport()
    client = XapiClient(
        parse_target(target), Secret(password), transport, methods=methods, timeout_seconds=seconds
    )
    try:
        yield client
    finally:
        await client.logout()
        await transport.close()


@contextlib.asynccontextmanager
async def pool_and_client(
    handler: Callable[[Asked], Answer], *hosts: str, seconds: float = SECONDS
) -> AsyncIterator[tuple[OddServer, XapiClient]]:
    async with (
        OddServer(handler, hosts=hosts or (MASTER,)) as server,
        client_of(server.target, seconds=seconds) as client,
    ):
        yield server, client


async def refusal(work: Any) -> XeniosError:
    """The error, which must tell what to do, and never the password."""
    with pytest.raises(XeniosError) as raised:
        await work
    told = [str(raised.value), raised.value.remedy, *map(str, raised.value.args), repr(raised.value)]
    told += traceback.format_exception(raised.value)
    assert raised.value.remedy
    assert "127.0.0." in str(raised.value)
    assert not [text for text in told if PASSWORD in text]
    return raised.value


# --- calls and sessions ---


async def test_a_call_logs_in_by_itself_and_only_once() -> None:
    pool = Pool()
    pool.answers[GET_VMS] = lambda asked: json_result({"OpaqueRef:1": {"name_label": "web", "new": 1}})
    async with pool_and_client(pool) as (server, client):
        assert client.epoch == 0
        answers = await asyncio.gather(*(client.call(GET_VMS, result=VMS) for _ in range(5)))
        assert answers == [{"OpaqueRef:1": VmRecord(name_label="web")}] * 5
        assert client.epoch == 1
        assert client.encoding == "JSON-RPC"
    login, *calls, logout = server.asked
    assert login.method == "session.login_with_password"
    assert login.params[:2] == ["root", PASSWORD]
    assert login.params[3].startswith("xenios/")
    assert len(login.params[3]) < 40
    assert [call.params for call in calls] == [["OpaqueRef:session-1"]] * 5
    assert (logout.method, logout.params) == ("session.logout", ["OpaqueRef:session-1"])


async def test_parameters_follow_the_session() -> None:
    pool = Pool()
    pool.answers["event.from"] = lambda asked: json_result({"token": "t"})
    async with pool_and_client(pool) as (server, client):
        assert await client.call("event.from", ["vm"], "", 0.0, result=dict[str, str]) == {"token": "t"}
        assert server.asked[-1].params == ["OpaqueRef:session-1", ["vm"], "", 0.0]


async def test_a_session_that_ended_is_renewed_and_the_call_made_again() -> None:
    pool = Pool()
    async with pool_and_client(pool) as (_, client):
        await client.call(GET_VMS, result=VMS)
        pool.sessions[0] = "ended"
        assert await asyncio.gather(*(client.call(GET_VMS, result=VMS) for _ in range(5))) == [{}] * 5
        assert client.epoch == 2
        assert len(pool.sessions) == 2  # one login for all of them


async def test_a_call_that_belongs_to_a_session_is_not_made_in_another() -> None:
    pool = Pool()
    async with pool_and_client(pool) as (server, client):
        await client.login()
        before = client.epoch
        pool.sessions[0] = "ended"
        with pytest.raises(SessionRenewed):
            await client.call(GET_VMS, result=VMS, epoch=before)
        assert client.epoch == before + 1
        asked = len(server.asked)
        with pytest.raises(SessionRenewed):
            await client.call(GET_VMS, result=VMS, epoch=before)
        assert len(server.asked) == asked
        assert await client.call(GET_VMS, result=VMS, epoch=client.epoch) == {}


async def test_a_pool_that_ends_every_session_is_not_asked_for_ever() -> None:
    pool = Pool()
    pool.answers[GET_VMS] = lambda asked: json_failure("SESSION_INVALID", "x")
    async with pool_and_client(pool) as (server, client):
        error = await refusal(client.call(GET_VMS, result=VMS))
        assert isinstance(error, ApiError)
        assert error.code == "SESSION_INVALID"
        assert len(server.asked) <= 5


async def test_after_the_logout_nothing_is_asked_any_more() -> None:
    async with pool_and_client(Pool()) as (server, client):
        await client.login()
        await client.logout()
        await client.logout()
        asked = len(server.asked)
        await refusal(client.call(GET_VMS, result=VMS))
        assert len(server.asked) == asked
        assert [each.method for each in server.asked].count("session.logout") == 1


async def test_a_pool_that_does_not_answer_the_logout_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xenios.drivers.xenserver.session.LOGOUT_SECONDS_MAX", 0.1)
    pool = Pool()
    for answer in (None, b"", http(b"rubbish"), json_failure("SESSION_INVALID", "x"), http(b"", 500)):
        pool.answers["session.logout"] = lambda asked, answer=answer: answer
        async with pool_and_client(pool) as (_, client):
            await client.login()
            await client.logout()


async def test_a_kept_connection_that_was_closed_meanwhile_costs_nothing() -> None:
    pool = Pool()
    answers = iter([json_result({}), b"", json_result({})])
    pool.answers[GET_VMS] = lambda asked: next(answers)
    async with pool_and_client(pool) as (_, client):
        assert await client.call(GET_VMS, result=VMS) == {}
        assert await client.call(GET_VMS, result=VMS) == {}
        assert client.epoch == 1


# --- read-only ---


def writing_methods() -> list[str]:
    """Every call of the data model that is no reading one, and every setter, in every form in which XAPI takes it."""
    model = load_datamodel()
    names = {method for method in model.messages if method not in READ_METHODS}
    for name, api_class in model.classes.items():
        names |= {f"{name}.create", f"{name}.destroy"}
        for field in api_class.fields:
            names |= {f"{name}.{verb}_{field}" for verb in ("set", "add", "remove", "add_to", "remove_from")}
    return sorted({form for name in names for form in (name, f"Async.{name}", name.replace(".", "_", 1))})


async def test_no_method_that_writes_is_ever_sent() -> None:
    async with pool_and_client(Pool()) as (server, client):
        methods = writing_methods()
        assert {"VM.start", "Async.VM.hard_shutdown", "VM.set_tags", "VM.add_to_other_config"} <= set(methods)
        assert len(methods) > 1000
        for method in [*methods, *(f"Async.{name}" for name in READ_METHODS), "vm.get_all_records", "VM", ""]:
            with pytest.raises(MethodRefused):
                await client.call(method, "OpaqueRef:1", result=str)
        assert server.asked == []
        assert server.connections == 0


def test_what_may_be_called_only_reads() -> None:
    allowed = {
        "session.login_with_password",
        "session.logout",
        "event.from",
        "host.compute_free_memory",
        "host.get_servertime",
    }
    assert READ_METHODS - allowed == {f"{name}.get_all_records" for name in CLASSES}


def test_the_list_cannot_be_left_out() -> None:
    with pytest.raises(TypeError, match="methods"):
        XapiClient(  # type: ignore[call-arg]
            parse_target("xenserver://xs1"), Secret(""), HttpTransport(), timeout_seconds=1
        )


# --- masters and members ---


async def test_a_member_leads_to_the_master() -> None:
    pool = Pool()
    pool.master = OTHER
    told: list[str] = []
    async with pool_and_client(pool, MEMBER, OTHER) as (server, client):
        await client.login(told.append)
        assert await client.call(GET_VMS, result=VMS) == {}
        assert client.address == server.address(OTHER)
    assert [asked.host for asked in server.asked] == [MEMBER, OTHER, OTHER, OTHER]
    assert len(told) == 2
    assert str(server.address(OTHER)) in told[1]
    assert MEMBER in told[1]


async def test_a_master_that_became_a_member_leads_to_the_new_one() -> None:
    pool = Pool()
    pool.master = MASTER
    async with pool_and_client(pool, MASTER, OTHER) as (server, client):
        await client.login()
        pool.master = OTHER
        assert await client.call(GET_VMS, result=VMS) == {}
        assert client.address == server.address(OTHER)
        assert client.epoch == 2


async def test_a_master_that_died_is_replaced_through_the_members_known() -> None:
    pool = Pool()
    pool.master = MASTER
    dead: set[str] = set()

    def answer(asked: Asked) -> Answer:
        return b"" if asked.host in dead else pool(asked)

    async with pool_and_client(answer, MASTER, MEMBER, OTHER) as (server, client):
        await client.call(GET_VMS, result=VMS)
        client.remember_members([MASTER, "", "127.0.0.9", MEMBER, OTHER])
        dead.add(MASTER)
        failed = await asyncio.gather(
            *(client.call(GET_VMS, result=VMS) for _ in range(4)), return_exceptions=True
        )
        assert all(isinstance(error, PoolUnreachable) for error in failed)
        assert client.epoch == 1  # one trouble, though four calls met it, is no reason to give a session up

        error = await refusal(client.call(GET_VMS, result=VMS))  # MEMBER still knows no other master
        assert isinstance(error, PoolUnreachable)
        pool.master = OTHER
        with pytest.raises(SessionRenewed):
            await client.call(GET_VMS, result=VMS, epoch=1)
        assert await client.call(GET_VMS, result=VMS) == {}
        assert (client.address, client.epoch) == (server.address(OTHER), 2)


async def test_a_short_trouble_does_not_cost_the_session() -> None:
    pool = Pool()
    answers = iter([b"", b"", json_result({}), b"", b"", json_result({})])
    pool.answers[GET_VMS] = lambda asked: next(answers)
    async with pool_and_client(pool) as (_, client):
        for _ in range(2):
            assert isinstance(await refusal(client.call(GET_VMS, result=VMS)), PoolUnreachable)
            assert await client.call(GET_VMS, result=VMS) == {}
        assert client.epoch == 1


@pytest.mark.parametrize("names", [(MASTER, MASTER), (MASTER, MEMBER), (MASTER, MEMBER, OTHER)])
async def test_members_that_name_each_other_as_master(names: tuple[str, ...]) -> None:
    def answer(asked: Asked) -> Answer:
        return json_failure("HOST_IS_SLAVE", names[(names.index(asked.host) + 1) % len(names)])

    async with pool_and_client(answer, *dict.fromkeys(names)) as (server, client):
        error = await refusal(client.login())
        assert "master" in str(error)
        assert len(server.asked) == len(set(names))


async def test_members_that_never_stop_naming_others() -> None:
    def answer(asked: Asked) -> Answer:
        return json_failure("HOST_IS_SLAVE", "")

    async with pool_and_client(answer) as (server, client):
        assert isinstance(await refusal(client.login()), (ApiError, TargetUnreadable))
        assert len(server.asked) <= 2


@pytest.mark.parametrize(
    "named",
    [
        "a/b",
        "a b",
        "root@127.0.0.1",
        "127.0.0.1:99",
        "127.0.0.1#",
        "?x",
        "%",
        "a\r\nX: y",
        "[::1",
        "é" * 80,
        "::g",
    ],
)
async def test_a_master_that_no_address_can_be_made_of(named: str) -> None:
    async with pool_and_client(lambda asked: json_failure("HOST_IS_SLAVE", named)) as (server, client):
        assert isinstance(await refusal(client.login()), PoolUnreachable)
        assert len(server.asked) == 1


async def test_a_master_that_is_not_reached_is_named_with_who_named_it() -> None:
    pool = Pool()
    pool.master = "127.0.0.77"
    async with pool_and_client(pool) as (server, client):
        error = await refusal(client.login())
    assert isinstance(error, PoolUnreachable)
    assert error.trouble is Trouble.REFUSED
    assert f"http://127.0.0.77:{server.port}" in str(error)
    assert f"as http://127.0.0.1:{server.port} says" in str(error)


EMERGENCIES = {
    "HOST_STILL_BOOTING": (),
    "HOST_IN_EMERGENCY_MODE": (),
    "HOST_HAS_NO_MANAGEMENT_IP": (),
    "HOST_MASTER_CANNOT_TALK_BACK": ("192.0.2.1",),
    "HOST_UNKNOWN_TO_MASTER": ("192.0.2.1",),
    "HOST_ITS_OWN_SLAVE": (),
    "HOST_BROKEN": (),
}


@pytest.mark.parametrize("code", EMERGENCIES)
@pytest.mark.parametrize("as_list", [True, False])
async def test_a_host_in_emergency_mode_says_so_and_the_others_are_asked(code: str, as_list: bool) -> None:
    params = EMERGENCIES[code]
    stashed = http(json.dumps({"jsonrpc": "2.0", "error": [code, *params], "id": 0}).encode())
    trouble = stashed if as_list else json_failure(code, *params)
    pool = Pool()

    def answer(asked: Asked) -> Answer:
        return trouble if asked.host == MASTER else pool(asked)

    async with pool_and_client(answer, MASTER, OTHER) as (server, client):
        error = await refusal(client.login())
        assert isinstance(error, ApiError)
        assert error.code == code
        assert code in str(error)
        client.remember_members([MASTER, OTHER])
        await client.login()
        assert client.address == server.address(OTHER)


# --- old hosts ---


def old_host(asked: Asked, *, unknown: bytes) -> Answer:
    """A host that knows XML-RPC only, and two parameters of a login."""
    if asked.path == "/jsonrpc":
        return unknown
    if b"login_with_password" in asked.body:
        if asked.body.count(b"<param>") > 2:
            return xml_failure("MESSAGE_PARAMETER_COUNT_MISMATCH", "session.login_with_password", "2", "4")
        return xml_result("OpaqueRef:old")
    if b"logout" in asked.body:
        return xml_result("")
    return xml_result(
        "<struct><member><name>OpaqueRef:1</name><value><struct><member><name>VCPUs_max</name><value>4</value>"
        "</member></struct></value></member></struct>"
    )


@pytest.mark.parametrize(
    "unknown",
    [http(b"<html>", 500, "text/html"), http(b"<html>", 404, "text/html"), xml_failure("Fault")],
    ids=["500", "404", "XML"],
)
async def test_a_host_without_json_is_asked_in_xml(unknown: bytes) -> None:
    async with pool_and_client(lambda asked: old_host(asked, unknown=unknown)) as (server, client):
        assert await client.call(GET_VMS, result=VMS) == {"OpaqueRef:1": VmRecord(VCPUs_max=4)}
        assert client.encoding == "XML-RPC"
        await client.call(GET_VMS, result=VMS)
    assert [asked.path for asked in server.asked].count("/jsonrpc") == 1
    assert server.asked[-1].headers["content-type"] == "text/xml"


# --- what goes wrong ---


@pytest.mark.parametrize("code", ["SESSION_AUTHENTICATION_FAILED", "SESSION_AUTHORIZATION_FAILED"])
async def test_a_wrong_password_is_tried_once(code: str) -> None:
    """By many calls at once, and also when other members are known: logins that fail lock accounts."""
    pool = Pool()
    pool.answers["session.login_with_password"] = lambda asked: json_failure(
        code, "root", "Authentication failure"
    )
    async with pool_and_client(pool, MASTER, OTHER) as (server, client):
        client.remember_members([MASTER, OTHER])
        calls = await asyncio.gather(
            *(client.call(GET_VMS, result=VMS) for _ in range(6)), return_exceptions=True
        )
        assert all(isinstance(error, LoginRefused) for error in calls)
        assert len(server.asked) == 1
        error = await refusal(client.login())
        assert isinstance(error, LoginRefused)
        assert code in str(error)


async def test_whoever_repeats_our_password_is_not_quoted() -> None:
    echoes: list[Callable[[Asked], Answer]] = [
        lambda asked: json_failure("INTERNAL_ERROR", f"bad {asked.params[1]}!"),
        lambda asked: json_failure(asked.params[1], asked.params[1]),
        lambda asked: json_failure("MESSAGE_PARAMETER_COUNT_MISMATCH", *asked.params),
        lambda asked: http(asked.body),
        lambda asked: http(asked.body, 400, "text/plain"),
        lambda asked: http(b"{" + asked.body),
        lambda asked: json_result({asked.params[1]: asked.params}),
    ]
    for echo in echoes:
        async with pool_and_client(echo) as (_, client):
            await refusal(client.login())


async def test_the_client_shows_its_password_to_nobody() -> None:
    async with client_of("xenserver://root@192.0.2.1") as client:
        assert PASSWORD not in repr(client) + repr(vars(client))


@pytest.mark.parametrize("password", ["\udcff", "a\x00b"])
async def test_a_password_that_cannot_be_sent(password: str) -> None:
    def answer(asked: Asked) -> Answer:
        return old_host(asked, unknown=http(b"", 404))

    async with OddServer(answer) as server, client_of(server.target, password=password) as client:
        error = await refusal(client.login())
        assert "characters" in str(error)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b"<!DOCTYPE html><h1>It works!</h1>", 200, "text/html"), "XAPI"),
        (http(b'{"status":"ok"}'), "XAPI"),
        (http(b"[]"), "XAPI"),
        (http(b""), "XAPI"),
        (http(b"<h1>Not Found</h1>", 404, "text/html"), "404"),
        (http(b"<h1>Forbidden</h1>", 403, "text/html"), "403"),
        (http(b"", 429), "429"),
        (http(b"", 503), "503"),
        (http(b"", 500), "500"),
        (http(b"", 302, "text/html", "Location: https://elsewhere/"), "302"),
        (json_result({"a": 1}), "cannot be read"),
        (json_result(None), "cannot be read"),
        (http(b'{"jsonrpc":"2.0","result":"Opaque'), "cannot be read"),
        (b"SSH-2.0-x\r\n\r\n", "HTTP"),
        (b"", "broke off"),
        (b"\x15\x03\x01\x00\x02\x02\x0a", "TLS"),
        (http(b"The plain HTTP request was sent to HTTPS port", 400, "text/html"), "TLS"),
    ],
    ids=range(17),
)
async def test_something_else_answers_the_login(answer: bytes, said: str) -> None:
    async with pool_and_client(lambda asked: answer) as (server, client):
        error = await refusal(client.login())
        assert isinstance(error, AnswerUnreadable | PoolUnreachable)
        assert said in str(error)
        assert len(server.asked) <= 2
        assert client.epoch == 0


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(b"<h1>rubbish</h1>", 200, "text/html"), AnswerUnreadable),
        (http(b"", 500), AnswerUnreadable),
        (json_result("text"), AnswerUnreadable),
        (json_result({"a": {"VCPUs_max": "x"}}), AnswerUnreadable),
        (http(b"x" * 1000)[:-1], PoolUnreachable),
        (json_failure("RBAC_PERMISSION_DENIED", "VM.get_all_records", "no"), ApiError),
        (json_failure("INTERNAL_ERROR", "Not_found"), ApiError),
        (json_failure("A_CODE_OF_2031", "a", "b"), ApiError),
        (json_failure(""), ApiError),
        (http(b'{"jsonrpc":"2.0","error":[],"id":1}'), ApiError),
        (None, PoolSilent),
    ],
    ids=range(11),
)
async def test_one_call_goes_wrong_and_the_next_one_does_not(answer: Answer, kind: type[XeniosError]) -> None:
    pool = Pool()
    async with pool_and_client(pool) as (_, client):
        await client.login()
        pool.answers[GET_VMS] = lambda asked: answer
        error = await refusal(
            client.call(GET_VMS, result=VMS, timeout_seconds=0.2 if answer is None else SECONDS)
        )
        assert isinstance(error, kind)
        assert isinstance(error, TargetUnreadable)
        assert "VM.get_all_records" in str(error) or isinstance(error, PoolUnreachable)
        pool.answers[GET_VMS] = lambda asked: json_result({"b": {}})
        assert await client.call(GET_VMS, result=VMS) == {"b": VmRecord()}
        assert client.epoch == 1


async def test_a_denied_read_names_what_was_denied() -> None:
    pool = Pool()
    pool.answers[GET_VMS] = lambda asked: json_failure(
        "RBAC_PERMISSION_DENIED", "vm.get_all_records", "denied"
    )
    async with pool_and_client(pool) as (_, client):
        error = await refusal(client.call(GET_VMS, result=VMS))
    assert isinstance(error, ApiError)
    assert (error.code, error.params, error.method) == (
        "RBAC_PERMISSION_DENIED",
        ("vm.get_all_records", "denied"),
        GET_VMS,
    )
    assert "role" in error.remedy


async def test_a_member_that_hangs_ends_with_the_timeout() -> None:
    """Its master is gone; it takes every question and answers none."""
    async with pool_and_client(lambda asked: None, seconds=0.3) as (_, client):
        error = await refusal(client.login())
        assert isinstance(error, TargetSilent)
        assert "0.3 s" in str(error)
        calls = await asyncio.gather(
            *(client.call(GET_VMS, result=VMS) for _ in range(20)), return_exceptions=True
        )
        assert all(isinstance(error, TargetSilent) for error in calls)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_without_time_nothing_is_asked(seconds: float) -> None:
    async with pool_and_client(Pool()) as (server, client):
        error = await refusal(client.call(GET_VMS, result=VMS, timeout_seconds=seconds))
        assert isinstance(error, TargetSilent)
        assert "no time was left" in str(error)
        assert server.asked == []


async def test_a_question_that_hangs_does_not_hold_up_the_others() -> None:
    pool = Pool()
    pool.answers["event.from"] = lambda asked: None
    async with pool_and_client(pool) as (_, client):
        await client.login()
        waiting = [
            asyncio.create_task(client.call("event.from", [], "", 30.0, result=dict[str, str]))
            for _ in range(20)
        ]
        assert await client.call(GET_VMS, result=VMS) == {}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert await client.call(GET_VMS, result=VMS) == {}


async def test_a_call_that_is_cancelled_leaves_a_client_that_works() -> None:
    pool = Pool()
    arrived = asyncio.Event()

    def hang(asked: Asked) -> Answer:
        arrived.set()
        return None

    pool.answers["session.login_with_password"] = hang
    async with pool_and_client(pool) as (_, client):
        calls = [asyncio.create_task(client.call(GET_VMS, result=VMS)) for _ in range(3)]
        await arrived.wait()
        calls[0].cancel()
        del pool.answers["session.login_with_password"]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == [{}, {}]


# --- coming back ---


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_waiting_grows_and_ends(attempt: int, chance: float) -> None:
    waits = backoff_seconds(attempt, lambda: chance)
    assert 0 < waits <= BACKOFF_SECONDS_MAX
    assert waits <= backoff_seconds(attempt + 1, lambda: chance)


def test_two_that_were_lost_together_do_not_come_back_together() -> None:
    one, other = random.Random(1).random, random.Random(2).random
    assert [backoff_seconds(n, one) for n in range(1, 9)] != [backoff_seconds(n, other) for n in range(1, 9)]
