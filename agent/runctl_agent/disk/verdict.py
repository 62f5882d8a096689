"""What the looks at one candidate add up to: finished, finished but not whole, or waiting and for what. Pure.

The rules, in this order (DESIGN.md, "Finished"):
1. nobody writes: no writer has a file of it open, the trainer holds no lock on it;
2. it is whole: no file breaks its own format, no shard is missing, its last-written part is there and belongs to this generation;
3. it is known to be finished: at once where it proves that itself, else after the quiet time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from runctl_agent.records import FileId, FileReading, Kind, Moment, Proof, Reading, Writer

from . import kinds

RECHECK = 0.25
"""Seconds, the least between two looks at something that others hold; more where `settle` is more."""

_MOMENT = 0.01
"""Seconds for a writer that has closed to be gone."""

_LINGERS = 0.05
"""Seconds for which a writer that was seen to close is one that is not counted out yet; longer is another writer."""

_SLOW_REMOVAL = 10
"""Times the quiet time, before a tree that lost files is believed to keep the rest: unlinking large files takes seconds."""

_MARGIN = 0.001
"""Seconds beyond the granularity, for what a float can't hold of a wall clock."""

_CLOCK_ERROR = 1.0
"""Seconds by which an mtime may be ahead of our clock: a float's rounding, another machine's clock."""


@dataclass(slots=True)
class Candidate:
    """Everything remembered about one name of one root."""

    reading: Reading | None = None
    signature: str = ""
    seen: Moment = field(default_factory=lambda: Moment(0.0, 0.0))  # the last look
    since: float = 0.0  # mono: first look at this signature
    asked: float = -math.inf  # mono: a look was asked for and has not come
    arrived: bool = False  # renamed to its name as it is now
    shrinking: bool = False  # files were taken out since something was last added or written
    closed: dict[str, FileId] = field(default_factory=dict)  # seen closed, by the watcher
    renamed: dict[str, FileId] = field(default_factory=dict)  # seen renamed, by the watcher
    part: FileId | None = None  # the last-written part, as it is now
    with_part: dict[str, FileId] | None = None  # the tree when `part` appeared under our eyes
    given: str = ""  # signature of what was finished last
    base: dict[str, FileId] = field(default_factory=dict)  # the files of what was finished last, where known
    base_whole: bool = False
    rewritten: bool = False  # one of its inodes was written again after it was finished


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the rest of the root tells about a candidate: the paths of the last one finished of its kind, if any."""

    parts: frozenset[str] = frozenset()
    trainers: bool = False  # Hugging Face's Trainer was seen to write checkpoint-N here


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds: the quiet time, and the granularity of the file system's clock."""

    settle: float
    granularity: float

    @property
    def recheck(self) -> float:
        return max(self.settle, RECHECK)

    @property
    def quiet(self) -> float:
        return max(self.settle, self.granularity)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`finished` with `complete`, or waiting for `reason` and worth a look at mono time `look` (None: on a hint).

    `soon`: nothing is missing but a moment that passes by itself, so that what was written after it must not overtake it.
    """

    finished: bool
    complete: bool = True
    reason: str = ""
    look: float | None = None
    soon: bool = False


def judge(c: Candidate, pace: Pace, around: Surroundings, *, ended: bool) -> Verdict:
    """The verdict on the candidate as it was last seen; `ended`: training is over, or there is no more time."""
    reading = c.reading
    if reading is None:
        return _waits("it was not read yet", None)
    held = _held(reading, ended)
    own = _flaw(c, reading, around)
    flaw = held or own or ("files were being removed from it" if c.shrinking and ended else "")
    proves = not own and not c.shrinking and _proves(c, reading, pace, around)
    if not held and proves and all(_aged(c, f, pace) for f in reading.files):
        return Verdict(finished=True)
    needed = pace.quiet * (_SLOW_REMOVAL if c.shrinking and not ended else 1)
    quiet = c.seen.mono >= c.since + needed
    if quiet and (ended or not flaw):
        return Verdict(finished=True, complete=not flaw)
    if held:
        closing = _closing(c, reading)
        patience = min(max(_MOMENT, c.seen.mono - c.since), pace.recheck) if closing else pace.recheck
        soon = closing and c.seen.mono - c.since < _LINGERS and proves
        return _waits(held, c.seen.mono + patience, soon=soon)
    if flaw:
        return _waits(flaw, None if quiet else c.since + needed)
    aged_at = _aged_at(c, reading, pace)
    return _waits(f"it has not been quiet for {needed:g} s", min(c.since + needed, aged_at), soon=proves and aged_at < math.inf)


def _closing(c: Candidate, reading: Reading) -> bool:
    """Whether what holds it was seen to close. The kernel tells of a close before it counts the writer out (__fput in
    fs/file_table.c): what was closed by the last event is free in a moment, unless another writer has it open."""
    held = [f for f in reading.files if f.writer is Writer.OPEN]
    return not reading.trainer_lock and all(c.closed.get(f.path) == f.id for f in held)


def _aged_at(c: Candidate, reading: Reading, pace: Pace) -> float:
    """Mono time at which the newest identity can be believed; infinite if it can be already, or lies far in the future."""
    age = c.seen.wall - max((f.id.mtime_ns for f in reading.files), default=0) / 1e9
    return c.seen.mono + pace.granularity - age + _MARGIN if -_CLOCK_ERROR < age < pace.granularity else math.inf


def _waits(reason: str, look: float | None, *, soon: bool = False) -> Verdict:
    return Verdict(finished=False, reason=reason, look=look, soon=soon)


def _held(reading: Reading, ended: bool) -> str:
    if reading.trainer_lock and not ended:
        return f"the trainer holds {reading.name}.lock"
    for f in reading.files:
        if f.writer is Writer.OPEN:
            return f"{f.path} is open for writing"
    return ""


def _flaw(c: Candidate, reading: Reading, around: Surroundings) -> str:
    for f in reading.files:
        if f.proof is Proof.BROKEN:
            return f"{f.path} is not whole"
    if reading.kind is Kind.FILE:
        return ""
    paths = [f.path for f in reading.files]
    missing = kinds.missing_shard(paths)
    if missing:
        return f"{missing} is missing"
    part = kinds.last_part(reading.kind, paths)
    if part is None and around.trainers and kinds.is_trainers_name(reading.name):
        part = "trainer_state.json"  # the Trainer's other files are still to come
    return _part_flaw(c, reading, part, around) if part else ""


def _part_flaw(c: Candidate, reading: Reading, part: str, around: Surroundings) -> str:
    """Why the last-written part does not speak for what else is in the directory; empty if it does."""
    files = {f.path: f.id for f in reading.files}
    if part not in files:
        return f"{part}, written last, is missing"
    stale = f"{part} is older than what was written again: it was written for what was there before"
    if c.base_whole and c.base.get(part) == files[part]:
        # Files added to what was finished leave it whole; anything else is the next save on its way.
        return "" if c.base.items() <= files.items() else stale
    if c.with_part is not None:
        return stale if _changed(c.with_part, files) else ""
    lacks = around.parts - kinds.shape(files)
    if c.given and lacks:  # it changed while nobody looked: a rotation that was cut short leaves such
        return f"{min(lacks)} is missing, which the checkpoint before it has"
    newer = (p for p, id_ in files.items() if id_.mtime_ns > files[part].mtime_ns)
    return stale if any(kinds.carries_weights(p) and kinds.rank_of(p) is None for p in newer) else ""


def _changed(then: dict[str, FileId], files: dict[str, FileId]) -> bool:
    """Whether a file that was there has other content now. Other ranks write theirs in their own time."""
    return any(files.get(path, id_) != id_ and kinds.rank_of(path) is None for path, id_ in then.items())


def _proves(c: Candidate, reading: Reading, pace: Pace, around: Surroundings) -> bool:
    """Whether it needs no quiet time, once its files are aged."""
    if reading.kind is Kind.FINAL or not all(_shut(c, f) for f in reading.files):
        return False
    if reading.kind is Kind.FILE:
        only = reading.files[0]
        return only.proof is Proof.WHOLE or _renamed(c, only)
    part = kinds.last_part(reading.kind, [f.path for f in reading.files])
    if part is None:
        return c.arrived
    return _part_speaks(c, reading, part, pace) and _every_rank(reading, around)


def _shut(c: Candidate, f: FileReading) -> bool:
    """Seen closed, and without holes: once it is aged, its identity stands for its bytes."""
    closed = f.writer is Writer.NONE or c.closed.get(f.path) == f.id or _renamed(c, f) or c.arrived
    return closed and not f.holes


def _aged(c: Candidate, f: FileReading, pace: Pace) -> bool:
    """Older than the clock's granularity, within which another write would leave the identity as it is."""
    return c.seen.wall - f.id.mtime_ns / 1e9 >= pace.granularity


def _renamed(c: Candidate, f: FileReading) -> bool:
    # safetensors renames before it closes: only the close, or a lease, tells that it is done.
    return c.renamed.get(f.path) == f.id and kinds.suffix(f.path) != ".safetensors"


def _part_speaks(c: Candidate, reading: Reading, part: str, pace: Pace) -> bool:
    """Whether the last part came just now, after everything else. What was old at first sight may be on its way out."""
    last = next(f for f in reading.files if f.path == part)
    if last.proof is not Proof.WHOLE or any(f.id.mtime_ns > last.id.mtime_ns for f in reading.files):
        return False
    fresh = c.seen.wall - last.id.mtime_ns / 1e9 < pace.settle
    return fresh or c.arrived or c.with_part is not None


def _every_rank(reading: Reading, around: Surroundings) -> bool:
    paths = {f.path for f in reading.files}
    if around.parts:
        return around.parts <= kinds.shape(paths)
    return not any(kinds.rank_of(path) is not None for path in paths)
