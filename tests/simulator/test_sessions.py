"""Do sessions begin, expire and make room as on a real pool?

Effects: none
"""

import asyncio
from datetime import timedelta

import pytest

from tests.support.simulated import NOW, Simulated, simulated_pool
from xenios.simulator.api_error import ApiError
from xenios.simulator.population.book import stamp
from xenios.simulator.sessions import ANONYMOUS_SESSIONS_MAX, SESSIONS_MAX

DAY = 24 * 3600.0
LOGIN = "session.login_with_password"


async def refused(simulated: Simulated, method: str, *params: object, host: str = "") -> list[str]:
    """The code and parameters with which a call without waiting is refused."""
    with pytest.raises(ApiError) as error:
        await simulated.pool.call(host or simulated.master, method, list(params))
    return error.value.description


async def test_a_session_is_an_object_like_any_other() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in("my program")
        record = await client.call("session.get_record", client.session)
        assert record["this_host"] == simulated.master
        assert (record["auth_user_name"], record["originator"]) == ("root", "my program")
        assert record["is_local_superuser"] is True
        assert record["pool"] is False
        assert record["last_active"] == stamp(NOW)
        assert await client.call("session.get_this_host", client.session) == simulated.master
        assert await client.call("session.get_by_uuid", record["uuid"]) == client.session
        assert simulated.pool.tables.counts()["session"] == 1


@pytest.mark.parametrize(
    "params", [["root", "xenios"], ["root", "xenios", "1.0"], ["root", "xenios", "2", "me"]]
)
async def test_a_login_takes_two_to_four_parameters(params: list[str]) -> None:
    async with simulated_pool() as simulated:
        assert (await simulated.pool.call(simulated.master, LOGIN, params)).startswith("OpaqueRef:")


@pytest.mark.parametrize("count", [0, 1, 5])
async def test_a_login_takes_no_other_number_of_parameters(count: int) -> None:
    async with simulated_pool() as simulated:
        error = await refused(simulated, LOGIN, *["root"] * count)
        assert error == ["MESSAGE_PARAMETER_COUNT_MISMATCH", LOGIN, "4", str(count)]


async def test_a_bad_password_is_answered_slowly() -> None:
    async with simulated_pool() as simulated:
        for user, password in (("root", "wrong"), ("nobody", "xenios")):
            task = asyncio.ensure_future(simulated.pool.call(simulated.master, LOGIN, [user, password]))
            await simulated.clock.advance(4.9)
            assert not task.done()
            await simulated.clock.advance(0.2)
            error = task.exception()
            assert error == ApiError("SESSION_AUTHENTICATION_FAILED", user, "Authentication failure")
        assert simulated.pool.tables.counts()["session"] == 0


async def test_the_delay_is_an_option() -> None:
    async with simulated_pool(login_delay_seconds=0.0) as simulated:
        error = await refused(simulated, LOGIN, "root", "wrong")
        assert error[0] == "SESSION_AUTHENTICATION_FAILED"


async def test_after_a_changed_password_only_the_new_one_works() -> None:
    async with simulated_pool(login_delay_seconds=0.0) as simulated:
        client = await simulated.log_in()
        await client.call("session.change_password", "xenios", "better")
        assert (await refused(simulated, LOGIN, "root", "xenios"))[0] == "SESSION_AUTHENTICATION_FAILED"
        await simulated.log_in(password="better")
        wrong = await refused(simulated, "session.change_password", client.session, "xenios", "third")
        assert wrong[0] == "SESSION_AUTHENTICATION_FAILED"
        assert (await refused(simulated, "session.change_password", client.session, "better", ""))[0] == (
            "CHANGE_PASSWORD_REJECTED"
        )


async def test_an_unknown_session_is_invalid_everywhere() -> None:
    async with simulated_pool() as simulated:
        vm = next(iter(simulated.pool.tables.rows("VM")))
        for method, *params in (
            ["VM.get_all"],
            ["VM.get_record", vm],
            ["VM.start", vm, False, False],
            ["Async.VM.start", vm, False, False],
            ["event.from", ["*"], "", 0.0],
            ["session.logout"],
        ):
            error = await refused(simulated, str(method), "OpaqueRef:nope", *params)
            assert error == ["SESSION_INVALID", "OpaqueRef:nope"]


async def test_logging_out_ends_the_session() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        await client.call("session.logout")
        assert await refused(simulated, "pool.get_all", client.session) == ["SESSION_INVALID", client.session]
        assert simulated.pool.tables.counts()["session"] == 0


async def test_a_blocked_event_from_hears_of_the_logout() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        token = (await client.events("", "vm"))["token"]
        blocked = client.start("event.from", ["vm"], token, 3600.0)
        await simulated.clock.advance(10.0)
        assert not blocked.done()
        await client.call("session.logout")
        await simulated.clock.advance(0.1)
        assert blocked.exception() == ApiError("SESSION_INVALID", client.session)


# ---- supporters ----


async def test_a_supporter_names_the_master_before_it_looks_at_the_password() -> None:
    async with simulated_pool(hosts=2) as simulated:
        address = simulated.pool.tables.get("host", simulated.master)["address"]
        [supporter] = simulated.supporters
        error = await refused(simulated, LOGIN, "root", "wrong", host=supporter)
        assert error == ["HOST_IS_SLAVE", address]


async def test_a_supporter_sends_sessions_of_the_master_there() -> None:
    async with simulated_pool(hosts=2) as simulated:
        client = await simulated.log_in()
        [supporter] = simulated.supporters
        assert (await refused(simulated, "VM.get_all", client.session, host=supporter))[0] == "HOST_IS_SLAVE"
        error = await refused(simulated, "VM.get_all", "OpaqueRef:nope", host=supporter)
        assert error[0] == "SESSION_INVALID"


async def test_a_local_login_is_good_for_one_host_and_few_calls() -> None:
    async with simulated_pool(hosts=2) as simulated:
        [supporter] = simulated.supporters
        pool, login = simulated.pool, "session.slave_local_login_with_password"
        session = await pool.call(supporter, login, ["root", "xenios"])
        assert await pool.call(supporter, "pool.is_slave", [session, supporter]) is True
        assert await pool.call(supporter, "host.is_in_emergency_mode", [session]) is False
        assert pool.tables.counts()["session"] == 0
        for host, method in ((supporter, "VM.get_all"), (simulated.master, "host.is_in_emergency_mode")):
            assert (await refused(simulated, method, session, host=host))[0] == "SESSION_INVALID"
        await pool.call(supporter, "session.local_logout", [session])
        gone = await refused(simulated, "host.is_in_emergency_mode", session, host=supporter)
        assert gone == ["SESSION_INVALID", session]


# ---- expiry and caps ----


async def test_a_session_that_is_idle_for_a_day_ends() -> None:
    async with simulated_pool() as simulated:
        idle, active = await simulated.log_in(), await simulated.log_in()
        await simulated.clock.advance(DAY - 60)
        await active.call("pool.get_all")
        await simulated.clock.advance(120)
        assert await refused(simulated, "pool.get_all", idle.session) == ["SESSION_INVALID", idle.session]
        await active.call("pool.get_all")


async def test_activity_is_noted_every_ten_minutes_at_most() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        for minutes, noted in ((9, 0), (9, 18), (9, 18), (9, 36)):
            await simulated.clock.advance(minutes * 60)
            await client.call("pool.get_all")
            seen = await client.call("session.get_last_active", client.session)
            assert seen == stamp(NOW + timedelta(minutes=noted))


async def test_a_session_in_the_middle_of_a_call_is_kept() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        token = (await client.events("", "vm"))["token"]
        await simulated.clock.advance(540)  # too soon to be noted as activity
        blocked = client.start("event.from", ["vm"], token, -1.0)  # for a day
        await simulated.clock.advance(DAY - 300)
        assert not blocked.done()
        assert simulated.pool.sessions.find(client.session) is not None
        await simulated.clock.advance(400)
        assert (await blocked)["events"] == []
        assert simulated.pool.sessions.find(client.session) is None


@pytest.mark.parametrize(
    ("originators", "places"),
    [(("one program",), SESSIONS_MAX), (("",), ANONYMOUS_SESSIONS_MAX), (("a", "b"), 2 * SESSIONS_MAX)],
)
async def test_the_least_recently_active_make_room(originators: tuple[str, ...], places: int) -> None:
    async with simulated_pool() as simulated:
        clients = []
        for originator in originators:
            clients += [await simulated.log_in(originator) for _ in range(places // len(originators) + 2)]
        survivor = clients[0]
        await simulated.clock.advance(601)
        # The housekeeping on the way has made room already; those logged in first had to go.
        assert simulated.pool.tables.counts()["session"] == places
        assert (await refused(simulated, "pool.get_all", survivor.session))[0] == "SESSION_INVALID"
        newest = await simulated.log_in(originators[0])
        await clients[-1].call("pool.get_all")
        assert simulated.pool.tables.counts()["session"] == places + 1
        await simulated.clock.advance(31)
        assert simulated.pool.tables.counts()["session"] == places
        await newest.call("pool.get_all")


async def test_users_without_originator_have_their_own_places() -> None:
    async with simulated_pool() as simulated:
        simulated.pool.passwords["operator"] = "secret"
        many = [await simulated.log_in("", "operator", "secret") for _ in range(SESSIONS_MAX)]
        root = await simulated.log_in("")
        await simulated.clock.advance(31)
        await root.call("pool.get_all")
        await many[0].call("pool.get_all")
