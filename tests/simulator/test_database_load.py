"""Is a real pool's database loaded whole and with the types of the API, and is a damaged one refused?

Effects: reads and writes files
"""

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.database_files import EXAMPLE, database_bytes, pool_rows
from tests.support.simulated import NOW
from tests.support.xapi_replies import STATE_DB, records
from xenios.errors import TargetUnreadable
from xenios.simulator.database_file import write_database
from xenios.simulator.database_load import load_database
from xenios.simulator.facts.datamodel import Field, Kind, Records, load_datamodel
from xenios.simulator.population.populate import populate

PYTHON = {
    Kind.STRING: str, Kind.ENUM: str, Kind.REF: str, Kind.DATETIME: str,
    Kind.INT: int, Kind.FLOAT: float, Kind.BOOL: bool, Kind.SET: list, Kind.MAP: dict,
}  # fmt: skip


def written(made: Records, path: Path, **options: Any) -> Path:
    stream = io.BytesIO()
    write_database(made, stream, **options)
    path.write_bytes(stream.getvalue())
    return path


async def test_a_real_pool_is_loaded_to_the_last_field() -> None:
    loaded = await load_database(STATE_DB)
    real = records()
    for name, rows in real.items():
        # As JSON, so that 1 is not 1.0 and the order of fields and rows counts.
        assert json.dumps(loaded.records[name]) == json.dumps(rows), name
    # The users of a pool are in its database, and cannot be listed by the API.
    assert {name for name, rows in loaded.records.items() if rows} == {*real, "user"}
    assert loaded.schema == (5, 909)
    assert loaded.generation == 58357


async def test_a_made_pool_survives_being_written_and_loaded(tmp_path: Path) -> None:
    made = populate(3, 4, 60, NOW)
    loaded = await load_database(written(made, tmp_path / "pool.db", generation=4711))
    kept = {name for name, api_class in load_datamodel().classes.items() if api_class.persistent}
    for name, rows in loaded.records.items():
        assert rows == (made.get(name, {}) if name in kept else {}), name
    assert loaded.generation == 4711


async def test_the_shipped_example_is_loaded() -> None:
    loaded = await load_database(EXAMPLE)
    assert len(loaded.records["VM"]) > 40


async def test_an_old_database_gets_the_defaults_of_today(tmp_path: Path) -> None:
    path = written(populate(1, 2, 10, NOW), tmp_path / "old.db", schema=(5, 55))
    loaded = await load_database(path)
    facts = load_datamodel()
    assert loaded.schema == (5, 55)
    for vm in loaded.records["VM"].values():
        assert list(vm) == list(facts.classes["VM"].fields)
        assert vm["NVRAM"] == {}
        assert vm["domain_type"] == facts.default_value(facts.classes["VM"].fields["domain_type"])


def has_type(value: Any, field: Field) -> bool:
    return type(value) is PYTHON[field.type.kind]


async def test_every_value_has_the_type_of_the_api() -> None:
    loaded = await load_database(STATE_DB)
    for name, api_class in load_datamodel().classes.items():
        for record in loaded.records[name].values():
            for field in api_class.fields.values():
                assert has_type(record[field.name], field), f"{name}.{field.name}"


async def test_odd_numbers_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    for text, number in [("1", 1.0), ("-inf", -math.inf), ("1e+20", 1e20)]:
        vm = {"_ref": "OpaqueRef:vm", "HVM__shadow_multiplier": text}
        path.write_bytes(database_bytes(pool_rows(vm)))
        loaded = await load_database(path)
        assert loaded.records["VM"]["OpaqueRef:vm"]["HVM_shadow_multiplier"] == number
    path.write_bytes(database_bytes(pool_rows({"_ref": "OpaqueRef:vm", "HVM__shadow_multiplier": "nan"})))
    loaded = await load_database(path)
    assert math.isnan(loaded.records["VM"]["OpaqueRef:vm"]["HVM_shadow_multiplier"])


async def refusal(path: Path) -> TargetUnreadable:
    with pytest.raises(TargetUnreadable) as refused:
        await load_database(path)
    assert refused.value.remedy
    return refused.value


async def test_what_cannot_be_read_is_refused_and_told(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    cases: list[tuple[bytes, str]] = [
        (b"", "is empty"),
        (b"no database", "is no XenServer pool database"),
        (b"\x1f\x8b rest", "gzip-compressed"),
        (STATE_DB.read_bytes()[:100_000], "is not whole"),
        (STATE_DB.read_bytes().replace(b'is_a_template="false"', b'is_a_template="perhaps"'), "neither true nor false"),
        (database_bytes(pool_rows({"_ref": "OpaqueRef:a"}, {"_ref": "OpaqueRef:a"})), "there twice"),
        (database_bytes(pool_rows({"uuid": "no ref"})), "no reference"),
        (database_bytes(pool_rows({"_ref": "OpaqueRef:a", "domid": "x"})), "domid of VM OpaqueRef:a"),
        (database_bytes(pool_rows(pool=())), "holds no pool"),
        (database_bytes(pool_rows(host=())), "holds no host"),
        (database_bytes({"pool": ()}), "is not whole"),
        (database_bytes(pool_rows(), before="<!DOCTYPE x>"), "DOCTYPE"),
    ]  # fmt: skip
    for data, because in cases:
        path.write_bytes(data)
        assert because in str(await refusal(path))


async def test_many_faults_are_told_by_their_number(tmp_path: Path) -> None:
    path = tmp_path / "pool.db"
    path.write_bytes(
        database_bytes(pool_rows(*({"_ref": f"OpaqueRef:{n}", "domid": "x"} for n in range(5000))))
    )
    told = str(await refusal(path))
    assert "more" in told
    assert len(told) < 1000


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    refused = await refusal(tmp_path / "nothing.db")
    assert "No such file" in str(refused)
    assert "KVM" not in refused.remedy


names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=12
)


@settings(max_examples=25)
@given(name=names, pairs=st.dictionaries(names, names, max_size=4), tags=st.lists(names, max_size=4))
async def test_any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, pairs: dict[str, str], tags: list[str]
) -> None:
    made = populate(1, 1, 0, NOW)
    [ref, *_] = made["VM"]
    made["VM"][ref] |= {"name_label": name, "other_config": pairs, "tags": tags}
    loaded = await load_database(written(made, tmp_path_factory.mktemp("any") / "pool.db"))
    assert loaded.records["VM"] == made["VM"]
