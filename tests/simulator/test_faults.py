"""Does trouble come as ordered, to the calls that were meant, and is a bad script refused in words that help?

Effects: none
"""

import asyncio
from typing import Any

import pytest

from tests.support.simulated import Client, Simulated, simulated_pool
from xenios.errors import XeniosError
from xenios.simulator.api_error import ApiError, ConnectionCut
from xenios.simulator.dispatch import IMPLEMENTED
from xenios.simulator.faults import CallFault, Happening, Moment, Script, parse_script
from xenios.simulator.operations import IMPORTED


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


SAVE = 'do = "save the database"'
ROLL_BACK = 'do = "roll back the database"'


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
        ('[[moments]]\nat_seconds = -1\ndo = "save the database"', "at_seconds is -1"),
        ('[[moments]]\ndo = "save the database"', "at_seconds"),
        ("[weather]\nrain = true", "weather"),
        ("a=" + "[" * 100_000, "too deeply"),
        ("a=" + "[" * 900 + "]" * 900, "too deeply"),
        ("a=" + "{b=" * 900 + "1" + "}" * 900, "too deeply"),
        (f"[[calls]]\nhang = true\nskip = {'9' * 5000}", "a number with too many digits"),
        (f"[[calls]]\nhang = true\nskip = 0x{'f' * 5000}", "number 1 .*skip has too many digits"),
        ("[[calls]]\nhang = true\ntimes = 1000000001", "times is 1000000001"),
        ("[[calls]]\ncut_after_bytes = 10000000000", "cut_after_bytes is 1"),
        *[
            (f"[[calls]]\nhang = true\n{key} = {value}", f"number 1 of .*calls.*: {key} is {told}")
            for key in ("delay_seconds", "from_seconds", "until_seconds")
            for value, told in (("nan", "nan"), ("inf", "inf"), ("-inf", "-inf"), ("1e300", r"1e\+300"))
        ],
        ("[[calls]]\nhang = true\nprobability = nan", "probability is nan"),
        *[
            (f'[[moments]]\ndo = "save the database"\nat_seconds = {value}', "at_seconds is")
            for value in ("nan", "inf", "31536001")
        ],
        *[
            (f'[[moments]]\nat_seconds = 1\ndo = "restart the toolstack"\nseconds = {value}', "seconds is")
            for value in ("nan", "inf", "1e300", "-1")
        ],
        (f"[[moments]]\nat_seconds = 0.5\n{ROLL_BACK}", "number 1 of .*moments.* has no saved database"),
        (
            f"[[moments]]\nat_seconds = 1\n{ROLL_BACK}\n[[moments]]\nat_seconds = 2\n{SAVE}",
            "number 1 of .*moments.* has no saved database",
        ),
        (
            f"[[moments]]\nat_seconds = 1\n{ROLL_BACK}\n[[moments]]\nat_seconds = 1\n{SAVE}",
            "number 1 of .*moments.* has no saved database",
        ),
    ],
    ids=lambda text: text[:80],
)
def test_a_bad_script_is_refused_in_words_that_help(text: str, told: str) -> None:
    with pytest.raises(XeniosError, match=told) as error:
        parse_script(text, "trouble.toml")
    assert "trouble.toml" in str(error.value)
    assert error.value.remedy


@pytest.mark.parametrize(
    "moments", [((1, SAVE), (2, ROLL_BACK)), ((2, ROLL_BACK), (1, SAVE)), ((0, SAVE), (0, ROLL_BACK))]
)
def test_a_rollback_after_a_save_is_taken_in_whatever_order_it_is_written(
    moments: tuple[tuple[int, str], ...],
) -> None:
    text = "\n".join(f"[[moments]]\nat_seconds = {at}\n{do}" for at, do in moments)
    assert len(parse_script(text, "trouble.toml").moments) == 2


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        ("VM.nonexist", "system.listMethods names all calls"),
        ("VM.strat", "did you mean VM.start?"),
        ("vm.start", "did you mean VM.start? capital letters count"),
        ("vm.*", "capital letters count"),
        ("*.get_al", "names all calls"),
        ("", "names all calls"),
    ],
)
def test_a_pattern_that_fits_no_call_is_refused(pattern: str, remedy: str) -> None:
    with pytest.raises(XeniosError, match=r"number 1 of \[\[calls\]\]: no call is named") as error:
        parse_script(f'[[calls]]\nmethod = "{pattern}"\nhang = true', "trouble.toml")
    assert repr(pattern) in str(error.value)
    assert remedy in error.value.remedy


def test_a_pattern_without_measure_is_refused() -> None:
    with pytest.raises(XeniosError, match="method has 100,000 characters"):
        parse_script(f'[[calls]]\nmethod = "{"*a" * 50_000}"\nhang = true', "trouble.toml")


@pytest.mark.parametrize(
    "pattern",
    [
        *["*", "VM.start", "VBD.*", "*.get_all_records", "VDI.get_all_records", "event.from", "event.*"],
        *["session.*", "session.login_with_password", "pool.is_slave", "host.is_in_emergency_mode"],
        *["Async.VM.start", "Async.*", "VM_start", "V[BD]*.get_all", "VM.get_name_labe?", "role.get_all"],
        *["system.listMethods", "system.*", "*.set_*", "VM.add_to_other_config", "Bond.get_all_records"],
    ],
)
def test_a_pattern_that_fits_some_call_is_taken(pattern: str) -> None:
    script = parse_script(f'[[calls]]\nmethod = "{pattern}"\nhang = true', "trouble.toml")
    assert script.calls[0].method == pattern


def test_whatever_the_pool_answers_may_stand_in_a_script() -> None:
    assert IMPORTED
    text = "\n".join(f'[[calls]]\nmethod = "{name}"\nhang = true' for name in sorted(IMPLEMENTED))
    assert len(parse_script(text, "trouble.toml").calls) == len(IMPLEMENTED) > 50


@pytest.mark.parametrize(
    ("script", "where"),
    [
        (Script(moments=(Moment(at_seconds=1, do=Happening.DIE, host="nowhere"),)), r"1 of \[\[moments\]\]"),
        (Script(calls=(CallFault(hang=True), CallFault(host="nowhere", cut=True))), r"2 of \[\[calls\]\]"),
    ],
)
async def test_a_script_that_names_an_unknown_host_is_refused(script: Script, where: str) -> None:
    with pytest.raises(XeniosError, match=f"number {where} of the script: .* no host 'nowhere'") as error:
        async with simulated_pool(script=script):
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


async def test_a_moment_that_cannot_be_is_told_in_one_line_and_the_others_happen(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = Script(
        moments=(
            Moment(at_seconds=1, do=Happening.ROLL_BACK),
            Moment(at_seconds=2, do=Happening.RESTART, seconds=60),
        )
    )
    async with simulated_pool(script=script) as simulated:
        await simulated.clock.advance(3)
        assert simulated.pool.refuses_connections(simulated.master)
    [line] = caplog.messages
    assert line.startswith("'roll back the database' at 1 seconds did not happen: there is no saved database")
    assert "\n" not in line


async def test_a_moment_is_about_the_host_that_had_the_name_at_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with simulated_pool(hosts=2) as before:
        name = before.pool.tables.get("host", before.supporters[0])["name_label"]
    moments = (
        Moment(at_seconds=10, do=Happening.HANG, host=name),
        Moment(at_seconds=20, do=Happening.MASTER, host=name),
    )
    async with simulated_pool(hosts=2, script=Script(moments=moments)) as simulated:
        [host], tables = simulated.supporters, simulated.pool.tables
        tables.change("host", host, name_label="another name")
        await simulated.clock.advance(10)
        assert host in simulated.pool.outages.hanging
        tables.delete("host", host)
        await simulated.clock.advance(10)
        assert simulated.master != host
    [line] = caplog.messages
    assert f"the host {name!r} has left the pool" in line
