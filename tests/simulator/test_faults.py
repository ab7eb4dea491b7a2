"""Does trouble come as ordered, to the calls that were meant, and is a bad script refused in words that help?

Effects: none
"""

import asyncio
from typing import Any

import pytest

from tests.support.simulated import Client, Simulated, simulated_pool
from xenios.errors import XeniosError
from xenios.simulator.api_error import ApiError, ConnectionCut
from xenios.simulator.faults import CallFault, Happening, Moment, Script, parse_script


async def outcomes(client: Client, method: str, times: int, *params: Any) -> str:
    """One letter for each call: . for an answer, E for an error, X for a cut."""
    seen = ""
    for _ in range(times):
        try:
            await client.call(method, *params)
        except ApiError:
            seen += "E"
        except ConnectionCut:
            seen += "X"
        else:
            seen += "."
    return seen


# ---- which calls ----


@pytest.mark.parametrize(
    ("pattern", "hit"),
    [
        ("VM.get_all", True),
        ("VM.*", True),
        ("*.get_all", True),
        ("*", True),
        ("VM.get_all_records", False),
        ("VBD.*", False),
        ("vm.*", False),
    ],
)
async def test_calls_are_meant_by_a_pattern(pattern: str, *, hit: bool) -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        simulated.pool.faults.add(method=pattern, error=("INTERNAL_ERROR", "boom"))
        assert await outcomes(client, "VM.get_all", 1) == ("E" if hit else ".")


async def test_a_pattern_means_async_calls_too() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        simulated.pool.faults.add(method="VM.start", error=("HOST_OFFLINE",))
        with pytest.raises(ApiError, match="HOST_OFFLINE"):
            await client.call("Async.VM.start", "OpaqueRef:x", False, False)
        assert simulated.pool.tables.counts()["task"] == 0


@pytest.mark.parametrize(
    ("ordered", "seen"),
    [
        ({}, "EEEEEE"),
        ({"times": 2}, "EE...."),
        ({"skip": 2}, "..EEEE"),
        ({"skip": 1, "times": 2}, ".EE..."),
        ({"times": 0}, "......"),
        ({"probability": 0.0}, "......"),
    ],
)
async def test_calls_are_meant_by_their_number(ordered: dict[str, Any], seen: str) -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        simulated.pool.faults.add(CallFault(method="VM.get_all", error=("X",), **ordered))
        assert await outcomes(client, "VM.get_all", 6) == seen


async def test_chance_follows_the_seed() -> None:
    seen = []
    for seed in (1, 1, 2):
        async with simulated_pool(seed=seed) as simulated:
            client = await simulated.log_in()
            simulated.pool.faults.add(method="VM.get_all", error=("X",), probability=0.5)
            seen.append(await outcomes(client, "VM.get_all", 64))
    assert seen[0] == seen[1] != seen[2]
    assert 10 < seen[0].count("E") < 54


async def test_calls_are_meant_by_their_time_and_host() -> None:
    async with simulated_pool(hosts=2) as simulated:
        client, [supporter] = await simulated.log_in(), simulated.supporters
        name = simulated.pool.tables.get("host", supporter)["name_label"]
        simulated.pool.faults.add(host=name, cut=True)
        simulated.pool.faults.add(error=("X",), from_seconds=10, until_seconds=20)
        for second in range(0, 30, 5):
            expected = "E" if 10 <= second < 20 else "."
            assert await outcomes(client, "VM.get_all", 1) == expected
            await simulated.clock.advance(5)
        client.host = supporter
        assert await outcomes(client, "VM.get_all", 1) == "X"


async def test_a_fault_can_be_taken_back() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        take_back = simulated.pool.faults.add(error=("X",))
        assert await outcomes(client, "VM.get_all", 1) == "E"
        take_back()
        take_back()
        assert await outcomes(client, "VM.get_all", 1) == "."
        simulated.pool.faults.add(error=("X",))
        simulated.pool.faults.clear()
        assert await outcomes(client, "VM.get_all", 1) == "."


# ---- what happens ----


async def test_an_error_comes_instead_of_the_deed() -> None:
    async with simulated_pool() as simulated:
        client, vm = await simulated.log_in(), next(iter(simulated.pool.tables.rows("VM")))
        simulated.pool.faults.add(method="VM.set_name_label", error=("INTERNAL_ERROR", "boom"))
        with pytest.raises(ApiError) as error:
            await client.call("VM.set_name_label", vm, "never")
        assert error.value.description == ["INTERNAL_ERROR", "boom"]
        assert await client.call("VM.get_name_label", vm) != "never"
        assert [entry.outcome for entry in simulated.pool.journal.writes()] == ["INTERNAL_ERROR"]


async def test_an_answer_can_be_late() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        simulated.pool.faults.add(method="VM.get_all", delay_seconds=7.0)
        call = client.start("VM.get_all")
        await simulated.clock.advance(6.9)
        assert not call.done()
        await simulated.clock.advance(0.2)
        assert await call == list(simulated.pool.tables.rows("VM"))


@pytest.mark.parametrize(
    ("method", "empty"),
    [("VM.get_all", []), ("VM.get_all_records", {}), ("VM.get_name_label", ""), ("VM.get_domid", 0)],
)
async def test_an_answer_can_be_empty(method: str, empty: Any) -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        simulated.pool.faults.add(method="VM.*", empty=True)
        params = [] if "get_all" in method else [next(iter(simulated.pool.tables.rows("VM")))]
        value = await client.call(method, *params)
        assert (value, type(value)) == (empty, type(empty))
        assert simulated.pool.tables.rows("VM")


async def test_an_empty_event_reply_keeps_its_token() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        simulated.pool.faults.add(method="event.from", empty=True)
        reply = await client.events("", "vm")
        assert (reply["events"], reply["valid_ref_counts"]) == ([], {})
        assert len(reply["token"]) == 41


async def test_a_connection_cut_before_or_after_the_deed() -> None:
    async with simulated_pool() as simulated:
        client, vm = await simulated.log_in(), next(iter(simulated.pool.tables.rows("VM")))
        simulated.pool.faults.add(method="VM.set_name_label", cut=True, times=1)
        assert await outcomes(client, "VM.set_name_label", 1, vm, "before") == "X"
        assert await client.call("VM.get_name_label", vm) != "before"

        simulated.pool.faults.add(method="VM.set_name_label", cut_after_bytes=10, times=1)
        params = [client.session, vm, "after"]
        answer = await simulated.pool.answer(simulated.master, "VM.set_name_label", params)
        assert answer.cut_after_bytes == 10
        assert await client.call("VM.get_name_label", vm) == "after"

        simulated.pool.faults.add(method="VM.set_name_label", cut_after_bytes=0)
        assert await outcomes(client, "VM.set_name_label", 1, vm, "again") == "X"


async def test_an_answer_that_never_comes_before_or_after_the_deed() -> None:
    async with simulated_pool() as simulated:
        client, vm = await simulated.log_in(), next(iter(simulated.pool.tables.rows("VM")))
        simulated.pool.faults.add(method="VM.set_name_label", hang=True, times=1)
        simulated.pool.faults.add(method="VM.set_name_label", lose_reply=True, skip=1)
        for name, done in (("before", False), ("after", True)):
            call = client.start("VM.set_name_label", vm, name)
            await simulated.clock.advance(3600)
            assert not call.done()
            assert (await client.call("VM.get_name_label", vm) == name) is done
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)


async def test_one_class_can_fail_while_others_answer() -> None:
    async with simulated_pool() as simulated:
        client = await simulated.log_in()
        simulated.pool.faults.add(method="VBD.*", error=("INTERNAL_ERROR", "no VBDs today"))
        assert await outcomes(client, "VBD.get_all_records", 2) == "EE"
        assert await outcomes(client, "VDI.get_all_records", 2) == ".."


# ---- scripts ----

SCRIPT = """
[[calls]]
method = "VM.get_all_records"
error = ["INTERNAL_ERROR", "boom"]
times = 1

[[calls]]
method = "SR.*"
delay_seconds = 2.5
probability = 0.5

[[moments]]
at_seconds = 60
do = "restart the toolstack"
seconds = 5

[[moments]]
at_seconds = 120
do = "the host dies"
host = "xs-02"
"""


def test_a_script_is_read() -> None:
    script = parse_script(SCRIPT, "trouble.toml")
    assert script.calls == (
        CallFault(method="VM.get_all_records", error=("INTERNAL_ERROR", "boom"), times=1),
        CallFault(method="SR.*", delay_seconds=2.5, probability=0.5),
    )
    assert script.moments == (
        Moment(at_seconds=60, do=Happening.RESTART, seconds=5),
        Moment(at_seconds=120, do=Happening.DIE, host="xs-02"),
    )
    assert parse_script("", "empty.toml") == Script()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[calls", "is not TOML"),
        ("calls = 5", r"\$.calls"),
        ('[[calls]]\nmehtod = "x"', "mehtod"),
        ('[[calls]]\nmethod = "x"', "number 1 of .*what happens"),
        ('[[calls]]\nhang = true\n[[calls]]\nhang = "yes"', r"calls\[1\].hang"),
        ("[[calls]]\ndelay_seconds = -1", "delay_seconds is -1"),
        ("[[calls]]\nhang = true\nprobability = 1.5", "probability is 1.5"),
        ("[[calls]]\nhang = true\ntimes = -1", "times is -1"),
        ('[[moments]]\nat_seconds = 1\ndo = "explode"', "explode"),
        ('[[moments]]\nat_seconds = 1\ndo = "the host dies"', "needs a host"),
        ('[[moments]]\nat_seconds = -1\ndo = "save the database"', "negative time"),
        ('[[moments]]\ndo = "save the database"', "at_seconds"),
        ("[weather]\nrain = true", "weather"),
    ],
)
def test_a_bad_script_is_refused_in_words_that_help(text: str, told: str) -> None:
    with pytest.raises(XeniosError, match=told) as error:
        parse_script(text, "trouble.toml")
    assert "trouble.toml" in str(error.value)
    assert error.value.remedy


async def test_a_script_that_names_an_unknown_host_is_refused() -> None:
    moment = Moment(at_seconds=1, do=Happening.DIE, host="nowhere")
    with pytest.raises(XeniosError, match="no host 'nowhere'") as error:
        async with simulated_pool(script=Script(moments=(moment,))):
            pass
    assert "its hosts are" in error.value.remedy


def moments(simulated: Simulated) -> Script:
    host = simulated.pool.tables.get("host", simulated.supporters[0])["address"]
    return Script(
        moments=(
            Moment(at_seconds=10, do=Happening.SAVE),
            Moment(at_seconds=20, do=Happening.RESTART, seconds=5),
            Moment(at_seconds=40, do=Happening.ROLL_BACK),
            Moment(at_seconds=50, do=Happening.EMERGENCY, host=host, error=("HOST_STILL_BOOTING",)),
            Moment(at_seconds=60, do=Happening.EMERGENCY_OVER, host=host),
            Moment(at_seconds=70, do=Happening.HANG, host=host),
            Moment(at_seconds=80, do=Happening.RETURN, host=host),
            Moment(at_seconds=90, do=Happening.DIE, host=host),
            Moment(at_seconds=100, do=Happening.RETURN, host=host),
            Moment(at_seconds=110, do=Happening.MASTER, host=host),
        )
    )


async def test_everything_happens_at_its_time() -> None:
    async with simulated_pool(hosts=2) as before:
        script = moments(before)
    async with simulated_pool(hosts=2, script=script) as simulated:
        pool, clock, [supporter] = simulated.pool, simulated.clock, simulated.supporters
        await clock.advance(10)
        generation = pool.tables.generation
        client = await simulated.log_in()
        await clock.advance(10)
        assert pool.refuses_connections(simulated.master)
        await clock.advance(5)
        with pytest.raises(ApiError, match="SESSION_INVALID"):
            await client.call("pool.get_all")
        await clock.advance(15)
        assert pool.tables.generation == generation
        for state in ("emergency", "hanging", "dead"):
            await clock.advance(10)
            assert supporter in getattr(pool.outages, state)
            await clock.advance(10)
            assert supporter not in getattr(pool.outages, state)
        await clock.advance(10)
        assert simulated.master == supporter


async def test_rolling_back_needs_a_saved_database() -> None:
    async with simulated_pool() as simulated:
        with pytest.raises(XeniosError, match="no saved database"):
            simulated.pool.roll_back_database()
