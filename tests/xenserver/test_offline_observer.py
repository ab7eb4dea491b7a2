"""Does the observer of a database file keep the contract of every observer?

Effects: reads files
"""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from tests.support.database_files import (
    EXAMPLE,
    REAL,
    VM,
    Row,
    database_bytes,
    observed,
    pool_rows,
)
from xenios.drivers.base import Depth
from xenios.drivers.xenserver.offline import DatabaseObserver
from xenios.errors import TargetSilent, TargetUnreadable
from xenios.model.collection import Quality
from xenios.model.inventory import Answer, Capability, HypervisorKind


@pytest.mark.parametrize("path", [REAL, EXAMPLE])
@pytest.mark.parametrize("depth", list(Depth))
def test_a_view_is_complete_and_says_what_it_is(path: Path, depth: Depth) -> None:
    observer = DatabaseObserver(path, 60)
    told: list[str] = []
    collection = asyncio.run(observer.observe(depth, told.append))
    assert collection.quality is Quality.COMPLETE
    assert collection.source == "database file, schema 5.909, as of its last change"
    assert collection.pool.kind is HypervisorKind.XENSERVER
    assert collection.pool.native_version == "database schema 5.909"
    assert collection.seen_at == path.stat().st_mtime_ns // 1000
    assert told == ["database file"]
    assert observer.target == str(path)


def test_the_same_file_gives_the_same_view_twice() -> None:
    assert observed(EXAMPLE) == observed(EXAMPLE)


def test_reading_leaves_the_file_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    path.write_bytes(REAL.read_bytes())
    os.utime(path, ns=(1, 1_700_000_000_000_000_000))
    before = (
        hashlib.sha256(path.read_bytes()).digest(),
        path.stat().st_mtime_ns,
        sorted(os.listdir(tmp_path)),
    )
    observed(path)
    assert before == (
        hashlib.sha256(path.read_bytes()).digest(),
        path.stat().st_mtime_ns,
        sorted(os.listdir(tmp_path)),
    )


def test_capabilities_are_those_of_the_file(tmp_path: Path) -> None:
    observer = DatabaseObserver(EXAMPLE, 60)
    assert observer.capabilities == ()
    asyncio.run(observer.observe(Depth.FULL))
    answers = {answer.capability: answer.answer for answer in observer.capabilities}
    assert answers[Capability.EVENTS] is Answer.NO
    assert answers[Capability.STORAGE] is Answer.YES
    path = tmp_path / "bare.db"
    path.write_bytes(database_bytes(pool_rows()))
    bare = DatabaseObserver(path, 60)
    asyncio.run(bare.observe(Depth.FULL))
    assert {answer.capability: answer.answer for answer in bare.capabilities}[Capability.STORAGE] is Answer.NO


def test_a_table_that_was_not_read_is_no_answer_about_a_capability(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    path.write_bytes(database_bytes({name: rows for name, rows in pool_rows().items() if name != "SR"}))
    observer = DatabaseObserver(path, 60)
    asyncio.run(observer.observe(Depth.FULL))
    answers = {answer.capability: answer.answer for answer in observer.capabilities}
    assert (answers[Capability.STORAGE], answers[Capability.NETWORKS]) == (Answer.UNKNOWN, Answer.NO)


def test_a_file_that_takes_too_long_is_silent_and_not_absent() -> None:
    with pytest.raises(TargetSilent) as caught:
        observed(EXAMPLE, timeout_seconds=0)
    assert str(EXAMPLE) in str(caught.value)
    assert "--timeout" in caught.value.remedy


def test_other_work_goes_on_while_a_file_is_read(tmp_path: Path) -> None:
    rows: list[Row] = [
        {**VM, "_ref": f"r{n}", "uuid": f"u{n}", "name__label": "x" * 1000} for n in range(3000)
    ]
    path = tmp_path / "pool.db"
    path.write_bytes(database_bytes(pool_rows(*rows)))
    turns = 0

    async def both() -> None:
        nonlocal turns
        reading = asyncio.create_task(DatabaseObserver(path, 60).observe(Depth.FULL))
        while not reading.done():
            turns += 1
            await asyncio.sleep(0)
        await reading

    asyncio.run(both())
    assert turns > 10


def test_several_files_at_once_do_not_mix() -> None:
    async def both() -> tuple[int, int, str]:
        gone = DatabaseObserver(Path("/nonexistent/state.db"), 60).observe(Depth.FULL)
        real = DatabaseObserver(REAL, 60).observe(Depth.FULL)
        example = DatabaseObserver(EXAMPLE, 60).observe(Depth.FULL)
        one, two, three = await asyncio.gather(real, example, gone, return_exceptions=True)
        assert not isinstance(one, BaseException)
        assert not isinstance(two, BaseException)
        return len(one.vms), len(two.vms), type(three).__name__

    alone = (len(observed(REAL).vms), len(observed(EXAMPLE).vms), TargetUnreadable.__name__)
    assert asyncio.run(both()) == alone


def test_closing_twice_and_unread() -> None:
    async def twice() -> None:
        observer = DatabaseObserver(REAL, 60)
        await observer.close()
        await observer.close()

    asyncio.run(twice())


def test_a_cut_file_is_a_partial_view(tmp_path: Path) -> None:
    data = database_bytes(pool_rows(*({**VM, "_ref": f"r{n}", "uuid": f"u{n}"} for n in range(5))))
    path = tmp_path / "cut.db"
    path.write_bytes(data[: data.index(b"u3")])
    collection = observed(path)
    assert collection.quality is Quality.PARTIAL
    assert {vm.uuid for vm in collection.vms} == {"u0", "u1", "u2"}
