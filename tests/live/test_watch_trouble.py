"""Watching a libvirt host whose daemon dies, hangs, comes back or is another one: silence changes nothing known.

Effects: writes hypervisors (private ones only); starts and signals processes of its own
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator

import pytest

from tests.support.fixtures import require_private_hosts
from tests.support.following import Following, following
from tests.support.kvm_host import PrivateHost, wait_until
from tests.support.watched_guest import EVENTS_ONLY, NAMESPACE, NEVER, Guest, in_state, watching
from xenios.drivers.kvm.observe import KvmObserver
from xenios.drivers.kvm.pace import Pace
from xenios.errors import TargetUnreadable
from xenios.model.inventory import PowerState
from xenios.model.update import UpdateSource

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def troubled() -> Iterator[PrivateHost]:
    """A host whose daemon may be killed and frozen."""
    require_private_hosts()
    with PrivateHost("kvm-dying") as host:
        yield host
        host.close()
        assert host.leftovers() == []


@pytest.fixture
def steady(troubled: PrivateHost) -> Iterator[Guest]:
    """A running guest on it; afterwards the daemon answers again and the guest is gone."""
    guest = Guest(troubled, "steady")
    troubled.virsh_all([("define", str(guest.file)), ("start", "steady")])
    yield guest
    if troubled.daemon_pid is None:
        troubled.start_daemon()
    troubled.thaw_daemon()
    guest.clean_up()


async def assert_silence_changes_nothing(seen: Following, guest: Guest, since: int) -> None:
    """From update `since` on nothing was told of any guest but in full views, and there it is as it was."""
    for update in seen.updates[since:]:
        assert update.vms == ()
        assert update.vms_gone == ()
        if update.view is not None:
            assert [(vm.uuid, vm.power_state) for vm in update.view.vms] == [(guest.uuid, PowerState.RUNNING)]


async def test_a_daemon_that_is_killed_and_started_again(steady: Guest) -> None:
    host = steady.host
    async with watching(host.uri) as seen:
        since = len(seen.updates)
        await asyncio.to_thread(host.kill_daemon)
        await seen.until(lambda: seen.silent, "silence")
        first = seen.updates[since]
        assert first.silent_since is not None
        assert first.source is UpdateSource.CONNECTION
        assert first.failures[0].remedy
        assert "libvirtd" in first.because
        assert seen.view is not None
        await seen.until(lambda: "cannot connect" in seen.updates[-1].because, "an attempt in vain")
        await asyncio.to_thread(host.start_daemon)
        await seen.until(lambda: not seen.silent, "an answer")
        assert seen.updates[-1].because == "connected again"
        assert seen.updates[-1].view is not None
        await assert_silence_changes_nothing(seen, steady, since)
        await steady.virsh("suspend {}")
        await in_state(seen, steady, PowerState.PAUSED)


async def test_what_happens_while_it_is_gone_is_seen_afterwards(steady: Guest) -> None:
    host = steady.host
    async with watching(host.uri) as seen:
        await asyncio.to_thread(host.kill_daemon)
        await seen.until(lambda: seen.silent, "silence")
        assert seen.vms[steady.uuid].power_state is PowerState.RUNNING
        steady.kill()
        await asyncio.to_thread(host.start_daemon)
        await in_state(seen, steady, PowerState.HALTED)
        assert seen.updates[-1].view is not None


async def test_a_daemon_that_hangs(steady: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found by the keepalive although nobody asks anything; attempts that hang do not pile up."""
    monkeypatch.setattr("xenios.drivers.kvm.client.KEEPALIVE_INTERVAL_SECONDS", 1)
    monkeypatch.setattr("xenios.drivers.kvm.client.KEEPALIVE_COUNT", 1)
    host = steady.host
    threads = threading.active_count()
    async with watching(host.uri, timeout_seconds=1.5) as seen:
        since = len(seen.updates)
        await asyncio.to_thread(host.freeze_daemon)
        await seen.until(lambda: seen.silent, "silence")
        assert "keepalive" in seen.updates[-1].because
        first_of_silence = seen.updates[since]
        assert first_of_silence.silent_since is not None
        assert first_of_silence.silent_since < first_of_silence.seen_at
        await seen.until(lambda: "attempts still wait" in seen.updates[-1].because, "no more attempts")
        hanging = [thread for thread in threading.enumerate() if thread.name.startswith("libvirt ")]
        assert len(hanging) < 3 * 8 + 8
        await asyncio.to_thread(host.thaw_daemon)
        await seen.until(lambda: not seen.silent, "an answer")
        assert seen.updates[-1].view is not None
        await assert_silence_changes_nothing(seen, steady, since)
        await steady.virsh("destroy {}")
        await in_state(seen, steady, PowerState.HALTED)
    wait_until(lambda: threading.active_count() <= threads + 2, "the threads of hanging attempts to end")


async def test_a_daemon_that_hangs_while_it_is_asked(steady: Guest) -> None:
    """A poll that is not answered in time is silence too, and says nothing about guests."""
    host = steady.host
    pace = Pace(poll_seconds=0.1, view_seconds=NEVER, back_off_seconds_min=0.02)
    async with watching(host.uri, pace, timeout_seconds=1.5) as seen:
        since = len(seen.updates)
        await asyncio.to_thread(host.freeze_daemon)
        await seen.until(lambda: seen.silent, "silence")
        assert "no answer within 1.5 s" in seen.updates[since].because
        await asyncio.to_thread(host.thaw_daemon)
        await seen.until(lambda: not seen.silent, "an answer")
        await assert_silence_changes_nothing(seen, steady, since)


async def test_a_daemon_that_is_restarted_again_and_again(steady: Guest) -> None:
    host = steady.host
    async with watching(host.uri) as seen:
        for _ in range(3):
            since = len(seen.updates)
            await asyncio.to_thread(host.kill_daemon)
            await asyncio.to_thread(host.start_daemon)
            await seen.until(
                lambda since=since: any(update.view for update in seen.updates[since:]),
                "a view after a restart",
            )
            await assert_silence_changes_nothing(seen, steady, since)
        await steady.virsh("suspend {}")
        await in_state(seen, steady, PowerState.PAUSED)


async def test_another_host_at_the_same_address_is_not_mixed_in(steady: Guest) -> None:
    """A host without a lasting uuid has a new one after each restart, and hosts are renamed; not both at once."""
    host = steady.host
    config = host.folder / "etc" / "libvirtd.conf"
    plain = config.read_text()

    def become(host_uuid: str, name: str) -> None:
        if host.daemon_pid is not None:
            host.kill_daemon()
        config.write_text(plain.replace(host.host_uuid, host_uuid))
        host.run("hostname", name)
        host.start_daemon()

    other_uuid = str(uuid.uuid5(NAMESPACE, "another host"))
    async with watching(host.uri) as seen:

        async def sees(words: str) -> None:
            since = len(seen.updates)
            await seen.until(lambda: any(words in update.because for update in seen.updates[since:]), words)
            await assert_silence_changes_nothing(seen, steady, since)

        try:
            waiting = asyncio.create_task(sees("connected again"))
            await asyncio.to_thread(become, other_uuid, host.name)
            await waiting
            waiting = asyncio.create_task(sees("another host answers"))
            await asyncio.to_thread(become, str(uuid.uuid5(NAMESPACE, "a third host")), "kvm-third")
            await waiting
            assert seen.silent
            assert seen.view is not None
            assert seen.view.pool.uuid == other_uuid
        finally:
            waiting = asyncio.create_task(sees("connected again"))
            await asyncio.to_thread(become, host.host_uuid, host.name)
            await waiting
        assert not seen.silent


async def test_a_first_view_that_fails_is_an_error(steady: Guest) -> None:
    observer = await KvmObserver.open(steady.host.uri, 1.5, pace=EVENTS_ONLY)
    await asyncio.to_thread(steady.host.freeze_daemon)
    try:
        with pytest.raises(TargetUnreadable) as error:
            await anext(observer.watch())
        assert error.value.remedy
    finally:
        await asyncio.wait_for(observer.close(), 5)


async def test_closing_the_observer_ends_a_watch_that_waits_for_the_daemon(steady: Guest) -> None:
    pace = Pace(
        poll_seconds=NEVER, view_seconds=NEVER, back_off_seconds_min=NEVER, back_off_seconds_max=NEVER
    )
    observer = await KvmObserver.open(steady.host.uri, 30, pace=pace)
    async with following(observer) as seen:
        await asyncio.to_thread(steady.host.kill_daemon)
        await seen.until(lambda: "cannot connect" in seen.updates[-1].because, "an attempt in vain")
        await observer.close()
        await seen.until(lambda: seen.ended, "the end")
        assert seen.ended is True
