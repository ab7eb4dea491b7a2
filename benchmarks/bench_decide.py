"""Deciding, facts included, for 1,000, 10,000 and 100,000 VMs, against a bare loop over the same structs.

    python -m benchmarks.bench_decide

Two of five VMs are ours, with records, marks and wishes of every kind; the others are aliens, some with traces of other
managers, with copied or foreign marks. MAY_WE_TOUCH and WHAT_CHANGED are asked about every VM. The bare loop
reads every field that facts are made of, of the same structs, finds each VM's record, and decides nothing.

Effects: none
"""

from __future__ import annotations

import gc
import random
import time
import uuid
from collections.abc import Callable

from benchmarks.side_by_side import measure, ratio_line, time_line
from xenios.decide.changed import WHAT_CHANGED
from xenios.decide.facts import facts_in
from xenios.decide.ownership import mark_of
from xenios.decide.touch import MAY_WE_TOUCH
from xenios.decide.view_history import PoolHistory, after_view
from xenios.model.collection import Collection
from xenios.model.inventory import Answer, Cpu, Host, HypervisorKind, Memory, Pool, PowerState, Vm
from xenios.model.mark import text_of
from xenios.model.policy import Thresholds
from xenios.model.record import Custody, DriftPolicy, Installation, Record, Wish, WishedPower

SIZES = (1_000, 10_000, 100_000)
ROUNDS = 5
SEED = 4
NOW = 1_800_000_000_000_000
POOL = "11111111-0000-4000-8000-000000000000"
ANOTHER = "99999999-0000-4000-8000-000000000000"
US = Installation(id="55555555-0000-4000-8000-000000000000", started_at=NOW - 10**10)
ANNOTATIONS = (
    {"mac_seed": "1", "base_template_name": "Debian", "install-methods": "cdrom"},
    {"mac_seed": "2", "xo:resource_set": "x"},
    {"mac_seed": "3", "XenCenter.CustomFields.Owner": "x", "folder": "/a"},
    {"http://openstack.org/xmlns/libvirt/nova/1.1": "instance"},
)


def main() -> None:
    """Measures and prints."""
    for size in SIZES:
        vms, records, history = population(size)

        def decide(
            vms: tuple[Vm, ...] = vms, records: dict[str, Record] = records, history: PoolHistory = history
        ) -> int:
            return decided(vms, records, history)

        def bare(vms: tuple[Vm, ...] = vms, records: dict[str, Record] = records) -> int:
            return only_read(vms, records)

        seconds = measure({"deciding": decide, "bare loop": bare}, ROUNDS)
        print(
            f"{size} VMs: {per_vm(seconds['deciding'], size)} ns a VM; bare {per_vm(seconds['bare loop'], size)} ns"
        )
        print(time_line("deciding", seconds["deciding"]))
        print("  first time, nothing decided before:", f"{cold(decide) * 1000:.0f} ms")
        print(
            "  " + ratio_line("deciding / bare loop", seconds["deciding"], seconds["bare loop"], "at most 15")
        )


def decided(vms: tuple[Vm, ...], records: dict[str, Record], history: PoolHistory) -> int:
    """What is measured."""
    acts = 0
    facts_about = facts_in(history, US, NOW, Thresholds())
    touch, changed = MAY_WE_TOUCH.decide, WHAT_CHANGED.decide
    for vm in vms:
        facts = facts_about(vm, records.get(vm.uuid))
        changed(facts)
        acts += touch(facts).rule == "touch.act"
    return acts


def only_read(vms: tuple[Vm, ...], records: dict[str, Record]) -> int:
    """The same structs, every field of them that facts are made of, and nothing else."""
    found = 0
    for vm in vms:
        vm.uuid, vm.kind, vm.power_state, vm.power_recognised, vm.paused_on_io_error  # noqa: B018
        vm.host_uuid, vm.definition_read, vm.mark, vm.busy  # noqa: B018
        for _key, _value in vm.annotations.items():
            pass
        record = records.get(vm.uuid)
        if record is not None:
            record.vm_id, record.pool_uuid, record.native_uuid, record.custody, record.epoch  # noqa: B018
            record.drift, record.operation, record.was_on, record.host_uuid  # noqa: B018
            record.wish.power, record.wish.gone, record.wish.host_uuid, record.wish.met_at  # noqa: B018
            found += 1
    return found


def cold(decide: Callable[[], int]) -> float:
    """Seconds of a pass of which no decision was met before, as after a start."""
    MAY_WE_TOUCH.forget_decided()
    WHAT_CHANGED.forget_decided()
    gc.collect()
    began = time.perf_counter()
    decide()
    return time.perf_counter() - began


def per_vm(seconds: list[float], size: int) -> int:
    """Median nanoseconds of one VM."""
    return round(sorted(seconds)[len(seconds) // 2] / size * 1e9)


def population(size: int) -> tuple[tuple[Vm, ...], dict[str, Record], PoolHistory]:
    """VMs on 100 hosts, our records of some, and a history in which they were seen just now."""
    chance = random.Random(SEED)
    hosts = [str(uuid.UUID(int=chance.getrandbits(128), version=4)) for _ in range(100)]
    vms, records = [], {}
    for number in range(size):
        native = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        state = chance.choice(
            (PowerState.RUNNING, PowerState.RUNNING, PowerState.HALTED, PowerState.SUSPENDED)
        )
        host = chance.choice(hosts) if state is PowerState.RUNNING else None
        mark = ""
        if number % 5 < 2:
            records[native] = record = a_record(chance, native, hosts, host)
            mark = text_of(mark_of(record, US.id))
        elif number % 50 == 7:
            mark = text_of(mark_of(a_record(chance, ANOTHER, hosts, host), chance.choice((US.id, ANOTHER))))
        vms.append(
            Vm(
                uuid=native,
                name=f"vm-{number}",
                power_state=state,
                host_uuid=host,
                memory=Memory(bytes_max=2**30),
                annotations=chance.choice(ANNOTATIONS if not mark else ANNOTATIONS[:2]),
                mark=mark,
                busy=("clone",) if number % 97 == 0 else (),
            )
        )
    view = Collection(
        seen_at=NOW,
        source="benchmark",
        pool=Pool(uuid=POOL, name="pool", kind=HypervisorKind.XENSERVER),
        hosts=tuple(a_host(host) for host in hosts),
        storages=(),
        networks=(),
        vms=tuple(vms),
    )
    return tuple(vms), records, after_view(PoolHistory(pool_uuid=POOL), view, NOW, Thresholds())


def a_host(host: str) -> Host:
    """A host that answers."""
    return Host(
        uuid=host,
        name=host,
        cpu=Cpu(count=32),
        memory_bytes_total=2**38,
        memory_bytes_free=2**37,
        memory_bytes_overhead=2**30,
        live=Answer.YES,
    )


def a_record(chance: random.Random, native: str, hosts: list[str], host: str | None) -> Record:
    """A record with one of all wishes."""
    return Record(
        vm_id=str(uuid.UUID(int=chance.getrandbits(128), version=4)),
        pool_uuid=POOL,
        native_uuid=native,
        custody=chance.choice((Custody.CREATED, Custody.ADOPTED, Custody.ADOPTED, Custody.RELEASED)),
        epoch=chance.randint(1, 3),
        wish=Wish(
            power=chance.choice(tuple(WishedPower)),
            gone=chance.random() < 0.01,
            host_uuid=chance.choice((None, None, None, chance.choice(hosts))),
            met_at=chance.choice((None, NOW - 10**9)),
        ),
        drift=chance.choice(tuple(DriftPolicy)),
        operation="op" if chance.random() < 0.01 else None,
        was_on=chance.choice((True, False, None)),
        host_uuid=host,
    )


if __name__ == "__main__":
    main()
