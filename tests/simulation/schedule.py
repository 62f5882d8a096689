"""What a seed decides beforehand: what the trainers do, and what goes wrong when. Plain values, so that a failing one shrinks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from runctl_agent.contract.spec import Retention


class What(Enum):
    """One thing that goes wrong. Where nothing else is said it may happen to each call within its window."""

    UNSENT = "S3 gets no request, and the agent no answer"
    LOST = "S3 does it, and the answer is lost"
    LATE = "no answer, and S3 does it seconds later"
    THROTTLED = "S3 says 503 SlowDown"
    REFUSED = "S3 says 403 AccessDenied"
    CORRUPT = "a byte changes on the way to S3, which sees it"
    DAMAGED = "S3 stores other bytes than were sent, and says nothing until it is asked for their checksum"
    SLOW = "S3 takes seconds to answer"
    FORGOTTEN = "at once: S3 forgets every multipart upload, as a lifecycle rule makes it"
    PARTITION = "the network of a machine is gone: no S3, no EC2"
    EC2_THROTTLED = "RequestLimitExceeded"
    EC2_REFUSED = "UnauthorizedOperation"
    EC2_LOST = "the tags do not arrive, and no answer"
    EC2_NO_ANSWER = "the tags arrive, and no answer"
    EC2_LATE = "no answer, and the tags arrive seconds later"
    EC2_TORN = "half of the tags arrive later"
    EC2_LATE_TORN = "no answer, half of the tags arrive later, the rest later still"
    EC2_BLIND = "the own tags can't be read"
    IMDS = "the metadata service does not answer"
    DISK_FULL = "no room for a copy, and less than is to be kept free"
    JOURNAL_FULL = "not a byte left: the journal and the status file can't be written"
    DEAF = "hints of inotify are lost"
    CLOCK = "at once: the wall clock of a machine is set, by so many seconds"
    KILL = "at once: kill -9 of a machine's agent, which is back after so many seconds; `at` is a switch of the scheduler"
    KILL_AT = "kill -9 right after S3 has done call number `at` with this `key`, whose answer is not heard any more"
    REBOOT = "at once: a machine is reset, and its trainer goes on with the next training"
    NOTICE = "at once: a spot notice, and the machine is gone after so many seconds"
    LOSE = "at once: a machine is gone"
    JOIN = "at once: another machine begins with the run"


AT_ONCE = frozenset({What.FORGOTTEN, What.CLOCK, What.KILL, What.KILL_AT, What.REBOOT, What.NOTICE, What.LOSE, What.JOIN})


@dataclass(frozen=True)
class Fault:
    """From `at`, in seconds since the beginning, for so many `seconds`, with this `chance` at each call."""

    what: What
    at: float
    seconds: float = 0.0
    chance: float = 1.0
    machine: int = 0
    by: float = 0.0
    key: str = ""


@dataclass(frozen=True)
class Act:
    """A trainer waits for `gap` seconds, then does one thing of: file, renamed, folder, rewrite, twice, copy, grown."""

    what: str
    gap: float
    size: int


@dataclass(frozen=True)
class Training:
    """One process. `end`: finished (code 0), failed (code 1), vanished (no code), torn (in the middle of a file, no code)."""

    acts: tuple[Act, ...]
    end: str = "finished"
    pause: float = 0.0
    """Seconds before it begins."""


@dataclass(frozen=True)
class Schedule:
    """`trainings`: of each machine, one after the other; `imds`: the machines have a metadata service."""

    seed: int
    trainings: tuple[tuple[Training, ...], ...]
    faults: tuple[Fault, ...]
    retention: Retention
    imds: bool = False

    def told(self) -> str:
        """One line for each thing that can be left out."""
        acts = [f"machine {m}, training {t}: {one}" for m, all_of in enumerate(self.trainings) for t, one in enumerate(all_of)]
        faults = [f"fault: {fault}" for fault in self.faults]
        return "\n".join([f"seed {self.seed}, {self.retention}, imds={self.imds}", *acts, *faults])


S3 = (What.UNSENT, What.LOST, What.LATE, What.THROTTLED, What.CORRUPT, What.DAMAGED, What.SLOW)
EC2 = (
    What.EC2_THROTTLED,
    What.EC2_REFUSED,
    What.EC2_LOST,
    What.EC2_NO_ANSWER,
    What.EC2_LATE,
    What.EC2_TORN,
    What.EC2_LATE_TORN,
    What.EC2_BLIND,
)
KINDS = (
    *(S3 * 3),
    *(What.KILL, What.KILL_AT) * 6,
    *(What.FORGOTTEN, What.PARTITION, What.DISK_FULL) * 2,
    *(What.REFUSED, What.IMDS, What.JOURNAL_FULL, What.DEAF, What.CLOCK, What.REBOOT),
    *(None,) * 4,
)
"""As often as they come; None: one of EC2's."""

ACTS = ("file", "renamed", "folder", "rewrite", "twice", "copy", "grown")

KEYS = ("epoch.json", "latest.json", "manifests/", "data/", "logs/", "status.json", "gc.json", "pins/")
"""What a kill may come right after."""


def schedule_of(seed: int, *, long: bool = False) -> Schedule:
    """`long`: more of everything; ten times as dear."""
    rng = random.Random(f"schedule {seed}")
    machines = rng.choice((1, 1, 1, 2, 2, 3) if long else (1,) * 9 + (2, 2, 3))
    trainings = tuple(_trainings(rng, long=long) for _ in range(machines))
    faults: list[Fault] = []
    for number in range(1, machines):
        at = round(rng.uniform(0.2, 12.0 if long else 5.0), 2)
        faults.append(Fault(What.JOIN, at, machine=number))
        if rng.random() < 0.4:
            faults.append(Fault(What.LOSE, round(at - 0.1, 2), machine=number - 1))
    count, span = (rng.choice((2, 3, 4, 6)), 20.0) if long else (rng.choice((1, 1, 2, 2, 3)), 4.0)
    for _ in range(count):
        faults += _faults(rng, rng.choice(KINDS) or rng.choice(EC2), rng.randrange(machines), span=span)
    imds = rng.random() < 0.25 or any(fault.what is What.IMDS for fault in faults)
    if imds and rng.random() < 0.4:
        faults.append(_fault(rng, What.NOTICE, rng.randrange(machines), span=5.0))
    retention = Retention(keep_last=2, keep_every=rng.choice((0, 4))) if rng.random() < 0.3 else Retention()
    return Schedule(seed, trainings, tuple(faults), retention, imds)


def _trainings(rng: random.Random, *, long: bool) -> tuple[Training, ...]:
    found: list[Training] = []
    for number in range(rng.choice((1, 1, 1, 2, 2, 3) if long else (1, 1, 1, 1, 2))):
        what = rng.choice(("file", "folder", "twice", "mixed", "mixed"))
        count = rng.randrange(3, 8) if long else rng.choice((1, 1, 2, 2, 3))
        acts = tuple(
            Act(what if what != "mixed" else rng.choice(ACTS), round(_gap(rng, 3.0 if long else 1.2), 2), _size(rng))
            for _ in range(count)
        )
        end = rng.choice(("finished", "finished", "finished", "failed", "vanished", "torn"))
        found.append(Training(acts, end, round(rng.uniform(3.0, 6.0), 2) if number else 0.0))
    return tuple(found)


def _gap(rng: random.Random, most: float) -> float:
    """Also so short that what was written last is still being sent."""
    return rng.uniform(0.0, rng.choice((0.1, most, most)))


def _size(rng: random.Random) -> int:
    return rng.choice((40, 40, 200, 200, 300, 600))


def _faults(rng: random.Random, what: What, machine: int, *, span: float) -> Iterator[Fault]:
    """One, and what it takes for it to matter: that something waits to be sent meanwhile."""
    fault = _fault(rng, what, machine, span=span)
    yield fault
    if what in (What.FORGOTTEN, What.DISK_FULL) and rng.random() < 0.7:
        begins = round(max(0.0, fault.at - rng.uniform(0.0, 2.0)), 2)
        yield Fault(What.UNSENT, begins, 3.0, rng.choice((0.5, 1.0)), machine)


def _fault(rng: random.Random, what: What, machine: int, *, span: float) -> Fault:
    at = round(rng.uniform(0.0, span), 2)
    match what:
        case What.KILL:
            switch = int(10 ** rng.uniform(1.0, 3.2))
            return Fault(what, switch, rng.choice((0.0, 0.0, 2.0, 10.0)), machine=machine)
        case What.KILL_AT:
            key = rng.choice(KEYS)
            return Fault(what, rng.choice((1, 1, 2, 2, 3, 4)), rng.choice((0.0, 2.0)), machine=machine, key=key)
        case What.CLOCK:
            return Fault(what, at, machine=machine, by=rng.choice((-600.0, -30.0, -1.0, -0.3, 0.3, 5.0, 120.0, 3600.0)))
        case What.NOTICE:
            return Fault(what, at, rng.choice((12.0, 20.0, 40.0)), machine=machine)
        case What.FORGOTTEN | What.REBOOT | What.LOSE | What.JOIN:
            return Fault(what, at, machine=machine)
        case What.PARTITION:
            return Fault(what, at, rng.choice((2.0, 10.0, 60.0)), machine=machine)
        case What.DEAF:
            return Fault(what, at, rng.choice((1.0, 10.0)), rng.choice((0.3, 1.0)), machine)
        case _:
            return Fault(what, at, rng.choice((1.0, 5.0, 20.0)), rng.choice((0.1, 0.3, 0.3, 0.8, 1.0)), machine)
