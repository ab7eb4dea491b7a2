"""One view of a libvirt host while it is being gathered, and how it asks.

A question that is refused becomes a failure of the view, a connection that is lost ends the asking, and what was read
before stays.

Effects: reads hypervisors
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from xenios.drivers.kvm.client import Asking, ConnectionLost, NativeError
from xenios.drivers.kvm.domain import ImageFigures, UnreadableDefinition
from xenios.drivers.kvm.host import NativeHost
from xenios.model.collection import ReadFailure
from xenios.model.inventory import Answer, Capability, CapabilityAnswer, Network, Snapshot, Storage, Vm

T = TypeVar("T")

NOT_SUPPORTED = 3  # VIR_ERR_NO_SUPPORT

ASK_AGAIN = "inspect again; when it stays, look at libvirtd's log on that host"


@dataclass(slots=True)
class Domain:
    """One domain while it is being read."""

    handle: Any
    uuid: str
    name: str
    stats: dict[str, Any]
    vm: Vm | None = None
    autostart: Answer = Answer.UNKNOWN
    persistent: Answer = Answer.UNKNOWN
    managed_save: Answer = Answer.UNKNOWN
    has_snapshots: bool = False
    busy: tuple[str, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()

    @property
    def on(self) -> bool:
        """Whether a hypervisor process runs it, as far as is known: only then there are figures of it."""
        return self.stats.get("state.state") in (1, 2, 3, 4, 6, 7)


@dataclass(slots=True)
class View:
    """What one view has gathered so far, and the way to ask."""

    client: Asking
    target: str
    answers: dict[Capability, CapabilityAnswer]
    """What this libvirt can tell; outlives the view."""
    native_host: NativeHost = field(default_factory=NativeHost)
    domains: list[Domain] = field(default_factory=list)
    storages: list[Storage] = field(default_factory=list)
    networks: list[Network] = field(default_factory=list)
    portgroup_vlans: dict[tuple[str, str], int | None] = field(default_factory=dict)
    surroundings_known: bool = False
    """Whether every network and storage pool was read, so that a reference to another one leads nowhere."""
    guests_listed: bool = False
    """Whether the list of guests was read, so that `domains` lacks none."""
    addresses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    images: dict[str, ImageFigures] = field(default_factory=dict)
    failures: list[ReadFailure] = field(default_factory=list)
    lost: bool = False

    async def ask(
        self,
        what: str,
        question: Callable[[Any], T],
        default: T,
        capability: Capability | None = None,
        *,
        if_unsupported: T | None = None,
    ) -> T:
        """Asks one thing. Refused: a failure of the view, and `default`. Not supported: no failure, but an answer about
        `capability`, and `if_unsupported` where that is given."""
        if self.lost:
            return default
        try:
            answer = await self.client.ask(question)
        except ConnectionLost as error:
            self.lose(what, error)
            return default
        except NativeError as error:
            if error.code == NOT_SUPPORTED:
                self.learn(capability, Answer.NO, f"libvirt says so: {error}")
                return default if if_unsupported is None else if_unsupported
            self.fail(what, str(error))
            return default
        self.learn(capability, Answer.YES, "it answered")
        return answer

    def learn(self, capability: Capability | None, answer: Answer, how: str) -> None:
        """Notes what this libvirt can tell."""
        if capability is not None:
            self.answers[capability] = CapabilityAnswer(capability=capability, answer=answer, how=how)

    def fail(
        self, what: str, because: str, *, remedy: str = ASK_AGAIN, subject_uuid: str | None = None
    ) -> None:
        """Notes something that could not be read."""
        self.failures.append(
            ReadFailure(what=what, because=because, remedy=remedy, subject_uuid=subject_uuid)
        )

    def lose(self, what: str, error: ConnectionLost) -> None:
        """Notes once that nothing more can be read; the first thing that was not answered is named."""
        if not self.lost:
            self.lost = True
            self.failures.append(
                ReadFailure(
                    what=f"{what}, and everything after it",
                    because=f"{self.target}: {error}",
                    remedy="look at libvirtd on that host (guests run on without it), then inspect again",
                )
            )

    def translate(
        self,
        what: str,
        handles: Sequence[Any],
        answers: Iterable[T | NativeError | ConnectionLost],
        use: Callable[[T], None],
    ) -> None:
        """Hands each answer to `use`, or notes why it could not be read."""
        for handle, answer in zip(handles, answers, strict=True):
            name = f"{what} {handle.name()!r}"
            if isinstance(answer, ConnectionLost):
                self.lose(name, answer)
                continue
            try:
                if isinstance(answer, NativeError):
                    raise answer
                use(answer)
            except (NativeError, UnreadableDefinition) as error:
                self.fail(name, str(error))
