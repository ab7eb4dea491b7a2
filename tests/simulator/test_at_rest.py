"""Do the objects of a made pool admit, before anybody touches them, what they admit afterwards?

Effects: none
"""

import json

import pytest

from tests.support.command import ROOT
from tests.support.simulated import NOW, simulated_pool
from xenios.simulator.facts.datamodel import Records
from xenios.simulator.population.populate import populate
from xenios.simulator.verbs.at_rest import work_out_allowed_operations


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_working_it_out_anew_changes_nothing(seed: int) -> None:
    records = work_out_allowed_operations(populate(seed, 3, 40, NOW))
    async with simulated_pool(records=records) as simulated:
        client, tables = await simulated.log_in(), simulated.pool.tables
        before = tables.generation
        for vm in list(tables.rows("VM")):
            await client.call("VM.update_allowed_operations", vm)
        assert not tables.since(before, lambda class_name, _: class_name != "task")


async def test_work_done_and_undone_leaves_what_was_there() -> None:
    records = work_out_allowed_operations(populate(1, 3, 40, NOW))
    async with simulated_pool(records=records, speed=0.0) as simulated:
        client, tables = await simulated.log_in(), simulated.pool.tables
        paused = 0
        for vm, record in list(tables.rows("VM").items()):
            before = list(record["allowed_operations"])
            if "pause" in before and not simulated.pool.host_is_dead(record["resident_on"]):
                await client.call("VM.pause", vm)
                await client.call("VM.unpause", vm)
                assert record["allowed_operations"] == before
                paused += 1
        assert paused > 5


def test_a_made_pool_allows_what_a_real_one_said() -> None:
    real: Records = json.loads((ROOT / "tests/fixtures/xapi/records.json").read_text(encoding="utf-8"))
    [said] = [pool["allowed_operations"] for pool in real["pool"].values()]
    made = work_out_allowed_operations(populate(1, 1, 1, NOW))
    [pool] = made["pool"].values()
    assert pool["allowed_operations"] == said
    pool["ha_enabled"] = True
    work_out_allowed_operations(made)
    assert "ha_disable" in pool["allowed_operations"]
    assert "ha_enable" not in pool["allowed_operations"]
