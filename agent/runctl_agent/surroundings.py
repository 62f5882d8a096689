"""The machine around the agent, as a port: what a simulation puts in the place of inotify, networks and processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .disk.watch import Watcher
from .publish import TagPort
from .records import Change, Instance
from .store.objects import ObjectStore
from .training.job import Jobs
from .training.trainer import Processes
from .vitals import Measures


@dataclass(frozen=True)
class Reached:
    """What is known once the network answered. `instance` is None outside EC2: then there are no tags."""

    instance: Instance | None
    name: str  # of the instance, else of the host: who writes epochs and manifests
    store: ObjectStore
    tags: TagPort | None
    own: Own | None = None
    life_cycle: str | None = None  # `spot`, `on-demand`, …
    group: Group | None = None  # that replaces it


class Own(Protocol):
    """What the instance can learn of itself; None outside EC2."""

    def tag(self, key: str) -> str | None:
        """One of its own tags, at no cost; None where it has none, or can't have them this way. Raises ImdsUnavailable."""

    def event(self, path: str) -> bytes | None:
        """What stands at a path of its metadata, below /latest/; None for nothing. Raises ImdsUnavailable."""

    def launch_time(self) -> int:
        """When it was launched, or started last, in whole seconds since the epoch. Raises TagError."""


class Group(Protocol):
    """The Auto Scaling group that the instance lives in. Every method raises GroupError, and may be asked again."""

    def leave(self, *, terminate: bool) -> None:
        """Out of it, with its desired capacity lowered; with `terminate` that is the end of the instance."""

    def heartbeat(self) -> None:
        """It waits for this instance a while longer."""

    def complete(self) -> None:
        """It need not wait any more."""


class Surroundings(Protocol):
    """What the pipeline asks of the machine."""

    boot_id: str
    boot_time: int
    lock_dir: str  # of the agent's own locks, for the trainer to see

    def watcher(self, sink: Callable[[Change], None]) -> Watcher: ...

    def processes(self) -> Processes: ...

    def jobs(self) -> Jobs: ...

    def meter(self) -> Measures: ...

    def other_store(self, bucket: str) -> ObjectStore:
        """Any bucket, as the instance reaches it: the code may lie elsewhere than the checkpoints."""

    def reach(self) -> Reached:
        """Identity and clients. Raises RunctlError while the network does not answer or refuses."""

    def write_status(self, body: bytes) -> None:
        """The local status file."""

    def write_metrics(self, path: str, body: bytes) -> None:
        """The textfile of the run's metrics. Raises OSError."""

    def shutting_down(self) -> bool:
        """Whether the machine is being shut down, or rebooted. Dear: only where something hints at it."""

    def power_off(self) -> None:
        """Begin an orderly shutdown. Raises WrongStateError."""

    def ready(self) -> None:
        """Tell the service manager that the agent has recovered."""
