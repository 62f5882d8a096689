"""A look at the living training every few seconds: what it uses, how far it says it is, whether it stalls, how long it ran."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from .contract.spec import Spec
from .contract.summary import age
from .errors import JournalError, RunctlError
from .gpu import Gpus
from .records import Finishes, ProcessId
from .runtime import Runtime
from .store.journal import Journal
from .training.said import Said, said
from .training.stall import Signs, Stall
from .training.trainer import Processes

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between looks."""

SOON = 1.0
"""Seconds at least until what the training says is read again because a checkpoint was finished: its step is told beside that."""

TAIL = 8192
"""Bytes at the end of the log that are read for what it says."""

KEEP = 60.0
"""Seconds between writings of how long it ran."""

TRAINER_STATE = "trainer_state.json"
"""What Hugging Face's Trainer writes into a checkpoint; its last log entries are near the end."""

RAN = "ran"
UNSAID = Said()


class Measures(Protocol):
    """What can be measured; see `meter.Meter`."""

    def processes(self, leader: ProcessId, session: Iterable[ProcessId]) -> tuple[float, int]: ...

    def disk_free(self, path: str) -> int | None: ...

    def gpus(self) -> Gpus | None: ...

    def log(self, base: str, path: str, most: int) -> tuple[int, bytes]: ...


@dataclass(frozen=True, slots=True)
class Measured:
    """The last look; None: not known, or nothing lives. `ran`: seconds of living training, of the run as far as it is known."""

    cpu: int | None = None
    rss: int | None = None
    disk_free: int | None = None
    gpus: Gpus | None = None
    said: Said = UNSAID
    stalled: str = ""
    idle: str = ""
    ran: int = 0


NOTHING = Measured()


class Vitals:
    """`turn` from the task that looks at the training; `measured` may be read from any."""

    def __init__(self, runtime: Runtime, spec: Spec, journal: Journal, processes: Processes, measures: Measures) -> None:
        self._runtime = runtime
        self._spec = spec
        self._journal = journal
        self._processes = processes
        self._measures = measures
        self._places = tuple(watched.path for watched in spec.checkpoints)
        self._finished = Finishes()
        self._written = UNSAID
        self._said_at = runtime.monotonic()
        self._stall = Stall(spec.limits.stalled_after, spec.limits.idle_gpu_after)
        self._next = runtime.monotonic()
        self._cpu_before: tuple[float, float] | None = None
        self._ran = float(journal.get(RAN) or 0)
        self._lived_until: float | None = None
        self._kept_at = runtime.monotonic()
        self.measured = Measured(ran=int(self._ran))

    def goes_on_from(self, ran: int) -> None:
        """Another instance had the run for so long before."""
        self._ran = max(self._ran, float(ran))

    def turn(self, process: ProcessId | None, finished: Finishes, *, alive: bool) -> None:
        """`process` is the training's; nothing is measured of one that is not alive."""
        now = self._runtime.monotonic()
        if now < self._next and alive == (self._lived_until is not None):
            if alive and finished != self._finished and now >= self._said_at + SOON:
                self.measured = replace(self.measured, said=self._says(finished, now, self._log()[1]))
            return
        self._next = now + EVERY
        self._count(now, alive=alive)
        if not alive or process is None:
            self._stall.look(None, now)
            self._cpu_before, self._written = None, UNSAID
            self.measured = Measured(ran=int(self._ran))
            return
        try:
            self.measured = self._look(process, finished, now)
        except RunctlError as error:  # as it was; who follows the training tells why it can't be looked at
            log.debug("%s", error)
            self.measured = replace(self.measured, ran=int(self._ran))

    def over_the_limit(self) -> str:
        """Why the run may not go on; empty: it may. An idle GPU is a reason only where ending it gives the machine back."""
        most = self._spec.limits.max_runtime
        if most and self._ran >= most:
            return f"it has run for {age(int(self._ran))}, and limits.max_runtime is {age(int(most))}"
        if self.measured.idle and self._spec.on_failure != "keep":
            return f"{self.measured.idle} (limits.idle_gpu_after)"
        return ""

    def _count(self, now: float, *, alive: bool) -> None:
        if alive and self._lived_until is not None:
            self._ran += now - self._lived_until
        ended = not alive and self._lived_until is not None
        self._lived_until = now if alive else None
        if ended or (alive and now - self._kept_at >= KEEP):
            self._kept_at = now
            try:
                self._journal.put(RAN, str(int(self._ran)))
            except JournalError as error:
                log.debug("%s", error)  # the next minute tries again

    def _says(self, finished: Finishes, now: float, tail: bytes) -> Said:
        if finished != self._finished and finished.name:
            path = f"{finished.name}/{TRAINER_STATE}"
            self._written = _read(self._measures.log(finished.root, path, TAIL)[1]).or_else(self._written)
        self._finished, self._said_at = finished, now
        return _read(tail).or_else(self._written)

    def _log(self) -> tuple[int, bytes]:
        return self._measures.log(self._spec.workdir, self._spec.training.log_file, TAIL)

    def _look(self, process: ProcessId, finished: Finishes, now: float) -> Measured:
        seconds, rss = self._measures.processes(process, self._processes.session(process))
        cpu = None
        if self._cpu_before is not None and now > self._cpu_before[1]:
            cpu = max(0, round(100 * (seconds - self._cpu_before[0]) / (now - self._cpu_before[1])))
        self._cpu_before = (seconds, now)
        gpus = self._measures.gpus()
        size, tail = self._log()
        self._stall.look(Signs(finished.count, size, cpu, gpus.utilisation if gpus is not None else None), now)
        return Measured(
            cpu=cpu,
            rss=rss,
            disk_free=min((free for free in map(self._measures.disk_free, self._places) if free is not None), default=None),
            gpus=gpus,
            said=self._says(finished, now, tail),
            stalled=self._stall.stalled,
            idle=self._stall.idle,
            ran=int(self._ran),
        )


def _read(text: bytes) -> Said:
    """JSON without line ends counts as a line for each object."""
    return said(text.decode("utf-8", "replace").replace("\r", "\n").replace("}", "\n").splitlines())
