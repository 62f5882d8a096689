"""The same tiny training on the same schedule of interruptions, under runctl and under a shell loop; real processes, real time.

The simulator's EC2 with an Auto Scaling group of one for each training, so a replacement boots at once; a real S3. What is not
like a real machine: no cloud takes part in the boot, and a notice comes as long before the end as `Terms.notice` says, not 120 s:
that changes nothing for the loop, which reads no notices, and leaves the agent less time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TypeVar

from bench import interrupted_trainer
from bench.schedule import Cost, Interruption, Kind, Life, Schedule, cost, lives
from bench.shell_loop import Loop
from runctl_simulator import cloud_config
from runctl_simulator.cloud import Cloud
from tests.e2e.runs import Operator
from tests.e2e.seaweed import S3, SeaweedFS

PATIENCE = 120.0
"""Seconds: a safety net."""

LOOK = 0.05
"""Seconds between looks at what has happened; nothing is timed by them but the start of the loop's machine."""

APART = 3.0
"""Seconds between the launches, so that machines do not all boot at one moment."""

RUN = """
checkpoints: [{path: checkpoints}]
training: {saves_on_signal: %s}
limits: {attempts_without_progress: 0}
"""

RUNCTL, DEAF, BASELINE = SYSTEMS = ("runctl", "runctl, deaf training", "aws s3 sync")
"""Deaf: it does not save on its stop signal, and the spec does not say that it would."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Terms:
    """`pace`: seconds a step; `every`: steps between saves; `size`: bytes of one; seconds of notice; of the loop's period."""

    pace: float = 0.1
    every: int = 50
    size: int = 1_000_000
    notice: float = 25.0
    period: float = 60.0

    def arguments(self, log: Path, *, deaf: bool) -> list[str]:
        given = ["--log", str(log), "--pace", str(self.pace), "--every", str(self.every), "--size", str(self.size)]
        return [*given, "--deaf"] if deaf else given


class System(Protocol):
    def launch(self, arguments: Sequence[str]) -> None: ...

    def booted(self, instance: str) -> None: ...


class Runctl:
    def __init__(self, operator: Operator, *, saves_on_signal: bool) -> None:
        self._operator = operator
        self._saves_on_signal = saves_on_signal

    def launch(self, arguments: Sequence[str]) -> None:
        self._operator.script(Path(interrupted_trainer.__file__).read_text())
        (self._operator.folder / "run.yaml").write_text(RUN % str(self._saves_on_signal).lower())
        self._operator.launch("--config", "run.yaml", "--recover", "--spot", "--on-finish", "terminate", "--", *arguments)

    def booted(self, instance: str) -> None:
        """The image's own agent does all."""


class Training:
    """One, from its launch to the first new step after its last interruption."""

    def __init__(self, cloud: Cloud, run: str, log: Path, system: System, terms: Terms) -> None:
        self._cloud = cloud
        self._run = run
        self._log = log
        self._system = system
        self._terms = terms
        self._gone: set[str] = set()
        self._others: set[str] = set()
        self._read = 0
        self._known: list[Life] = []

    def costs(self, schedule: Schedule, *, deaf: bool) -> list[Cost]:
        self._system.launch(self._terms.arguments(self._log, deaf=deaf))
        found = []
        instance = self._next()
        for interruption in schedule:
            self._interrupt(interruption, instance)
            instance = self._next()
            found.append(self._until(lambda kind=interruption.kind, new=instance: self._cost(kind, new)))  # type: ignore[misc]
        return found

    def _next(self) -> str:
        """The machine that the group launches, once it is on; found on the simulator's disk, which costs nobody anything."""
        instance = self._until(self._new)
        self._gone.add(instance)
        self._system.booted(instance)
        return instance

    def _new(self) -> str | None:
        for boot in self._cloud.directory.glob("instances/*/boot.json"):
            folder = boot.parent
            if folder.name not in self._others | self._gone and boot.stat().st_size:
                files, _ = cloud_config.parse((folder / "user-data").read_bytes())
                if any(self._run.encode() in file.content for file in files):
                    return folder.name
                self._others.add(folder.name)
        return None

    def _interrupt(self, interruption: Interruption, instance: str) -> None:
        life = self._until(lambda: self._life(instance))
        end = life.began + interruption.after
        if interruption.kind is Kind.LOSS:
            time.sleep(max(0.0, end - time.time()))
            self._cloud.lose(instance)
        else:
            time.sleep(max(0.0, end - self._terms.notice - time.time()))
            self._cloud.interrupt_spot(instance, "terminate", datetime.fromtimestamp(round(end), UTC))  # EC2 says whole seconds

    def _booted(self, instance: str) -> float:
        return (self._cloud.folder(instance) / "boot.json").stat().st_mtime

    def _life(self, instance: str) -> Life | None:
        """The newest training's, and only if it began on that machine, which is the newest too."""
        newest = self._lives()[-1:]
        return next((life for life in newest if life.began > self._booted(instance)), None)

    def _cost(self, kind: Kind, instance: str) -> Cost | None:
        booted = self._booted(instance)
        *before, after = self._lives()
        return cost(kind, before, after, booted) if after.began > booted else None

    def _lives(self) -> list[Life]:
        """Read anew only where the file has grown."""
        size = self._log.stat().st_size if self._log.exists() else 0
        if size != self._read:
            self._read, self._known = size, lives(self._log.read_text().rpartition("\n")[0].splitlines())
        return self._known

    def _until(self, what: Callable[[], Found | None]) -> Found:
        end = time.monotonic() + PATIENCE
        while (found := what()) is None:
            if time.monotonic() > end:
                consoles = [self._cloud.console(instance)[-1500:] for instance in sorted(self._gone)]
                raise TimeoutError(f"{self._run}: nothing happens any more\n" + "\n".join(consoles))
            time.sleep(LOOK)
        return found


def costs(schedules: Sequence[Schedule], terms: Terms, base: Path) -> Mapping[str, list[Cost]]:
    """By system; all trainings run side by side."""
    jobs = [(system, number) for number in range(len(schedules)) for system in SYSTEMS]
    launching = threading.Lock()

    def one(system: str, number: int) -> list[Cost]:
        folder = base / f"training-{SYSTEMS.index(system)}-{number}"
        folder.mkdir()
        with launching:
            time.sleep(APART)
        with closing(Operator(folder, S3(server.endpoint, folder.name), cloud)) as operator:
            place = f"{operator.s3.destination}/{operator.run}"
            mean: System = Loop(cloud, operator.run, place, terms.period)
            if system != BASELINE:
                mean = Runctl(operator, saves_on_signal=system == RUNCTL)
            training = Training(cloud, operator.run, folder / "steps.log", mean, terms)
            return training.costs(schedules[number], deaf=system == DEAF)

    found: dict[str, list[Cost]] = {system: [] for system in SYSTEMS}
    with (
        SeaweedFS(base / "s3") as server,
        Cloud(base / "cloud", s3_endpoint=server.endpoint) as cloud,
        ThreadPoolExecutor(len(jobs)) as threads,
    ):
        for (system, _), told in zip(jobs, threads.map(lambda job: one(*job), jobs), strict=True):
            found[system] += told
    return found
