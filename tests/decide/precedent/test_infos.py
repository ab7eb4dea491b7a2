"""Does 4.0 make of names what the reference says, in the overloads of convertToInfos for clusters and for hosts?

Effects: none
"""

from xenios.decide.precedent.books import Row
from xenios.decide.precedent.infos import Info, infos_of_cluster, infos_of_host
from xenios.decide.precedent.names import VmType
from xenios.decide.precedent.reports_4_0 import Reports, Seen
from xenios.decide.precedent.states import State


def reports(*names: str) -> Reports:
    return {name: Seen("host-1", State.RUNNING) for name in names}


def row(row_id: int, name: str, **changes: object) -> Row:
    facts: dict[str, object] = {"id": row_id, "name": name, "state": State.RUNNING, "host_uuid": "host-1"}
    return Row(**(facts | changes))  # type: ignore[arg-type]


def test_by_the_name_in_the_database() -> None:
    known = row(3, "i-2-3-VM")
    for overload in (infos_of_cluster, infos_of_host):
        assert overload(reports("i-2-3-VM"), {3: known}, "VM") == {
            3: Info(name="i-2-3-VM", state=State.RUNNING, host_uuid="host-1", row=known, type=VmType.USER)
        }


def test_a_name_in_the_database_need_not_be_of_any_form() -> None:
    known = row(3, "web")
    assert infos_of_host(reports("web"), {3: known}, "VM")[3].row == known


def test_by_the_id_in_the_name_without_a_row() -> None:
    for overload in (infos_of_cluster, infos_of_host):
        (info,) = overload(reports("r-4-VM"), {}, "VM").values()
        assert (info.row, info.type) == (None, VmType.ROUTER)
        assert list(overload(reports("r-4-VM"), {}, "VM")) == [4]


def test_a_strangers_name_takes_the_place_of_the_vm_that_has_its_id() -> None:
    known = row(3, "i-2-3-VM")
    infos = infos_of_cluster(reports("i-2-3-VM", "i-9-3-VM"), {3: known}, "VM")
    assert list(infos) == [3]
    assert (infos[3].name, infos[3].row) == ("i-9-3-VM", None)


def test_of_two_rows_of_one_name_the_first_is_found() -> None:
    infos = infos_of_cluster(reports("web"), {5: row(5, "web"), 3: row(3, "web")}, "VM")
    assert list(infos) == [5]


def test_aliens_have_negative_keys_for_a_cluster() -> None:
    infos = infos_of_cluster(reports("web", "i-2-5-OTHER", "db"), {}, "VM")
    assert {key: info.name for key, info in infos.items()} == {-1: "web", -2: "i-2-5-OTHER", -3: "db"}
    assert all(info.row is None and info.type is None for info in infos.values())


def test_aliens_are_dropped_for_a_host() -> None:
    infos = infos_of_host(reports("web", "i-2-5-OTHER", "i-2-3-VM"), {}, "VM")
    assert [info.name for info in infos.values()] == ["i-2-3-VM"]


def test_another_installation_reads_other_names() -> None:
    infos = infos_of_cluster(reports("i-2-3-VM", "i-2-5-OTHER"), {}, "OTHER")
    assert sorted(infos) == [-1, 5]
