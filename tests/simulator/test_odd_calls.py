"""Does every call there is, with whatever parameters, end in an answer or an error of the API?

Effects: none
"""

from random import Random
from typing import Any

import pytest

from tests.support.simulated import simulated_pool
from xenios.simulator.api_error import ApiError
from xenios.simulator.facts.datamodel import FieldType, Kind, load_datamodel
from xenios.simulator.generic import find_method, method_names
from xenios.simulator.pool import SimulatedPool

JUNK: tuple[Any, ...] = (None, 5, "x", "", [], {}, True, 1.5, "OpaqueRef:NULL", [None], {"a": None}, -1)
# They end the session or the time of the test.
LEFT_OUT = ("session.", "event.from", "event.next", "host.restart_agent", "pool.designate_new_master")
SECONDS_MAX = 1300.0
PLAIN: dict[Kind, tuple[Any, ...]] = {
    Kind.STRING: ("", "x", "0", "autodetect", "ü"),
    Kind.INT: (0, -1, 1, 2**40, 2**62, "5"),
    Kind.FLOAT: (0.0, -1.0, 1.5),
    Kind.BOOL: (True, False),
    Kind.DATETIME: ("20260821T02:00:23Z",),
}


def some_value(random: Random, pool: SimulatedPool, declared: FieldType, junk: float) -> Any:
    """Mostly what is asked for; refs of objects that are there, or not."""
    if random.random() < junk:
        return random.choice(JUNK)
    facts = load_datamodel()
    match declared.kind:
        case Kind.ENUM:
            return random.choice(facts.enums.get(declared.name, ("x",)))
        case Kind.REF:
            there = list(pool.tables.rows(declared.name))
            return random.choice(there if there and random.random() < 0.85 else ["OpaqueRef:nope"])
        case Kind.SET if declared.value is not None:
            return [some_value(random, pool, declared.value, junk) for _ in range(random.randrange(3))]
        case Kind.MAP if declared.key is not None and declared.value is not None:
            key, value = declared.key, declared.value
            keys = [str(some_value(random, pool, key, 0.0)) for _ in range(random.randrange(3))]
            return {key: some_value(random, pool, value, junk) for key in keys}
        case Kind.RECORD:
            fields = facts.classes[declared.name].fields.values()
            given = [field for field in fields if random.random() < 0.97]
            return {field.name: some_value(random, pool, field.type, junk) for field in given}
        case kind:
            return random.choice(PLAIN[kind])


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_call_shows_a_defect_whatever_it_is_given(seed: int) -> None:
    random = Random(seed)
    names = [name for name in method_names() if not name.startswith(LEFT_OUT)] * 2
    random.shuffle(names)
    async with simulated_pool(hosts=2, vms=30, seed=seed) as simulated:
        client = await simulated.log_in()
        for name in names:
            method = find_method(name)
            assert method is not None
            junk = random.choice((0.0, 0.0, 0.25))
            params = [some_value(random, simulated.pool, param.type, junk) for param in method.params]
            call = client.start(name, *params)
            await simulated.clock.settle()
            if not call.done():
                await simulated.clock.advance(SECONDS_MAX)
            told = f"seed {seed}: {name}{params}"
            assert call.done(), told
            error = call.exception()
            assert error is None or isinstance(error, ApiError), told
            assert not simulated.pool.defects, told
