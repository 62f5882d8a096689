"""Which checkpoints are finished, from what was seen of them. Pure: no I/O, the clock is an argument."""

from __future__ import annotations

import math
from collections.abc import Mapping

from runctl_agent.records import Change, FileEntry, FileId, Finished, Hinted, Kind, Moment, Reading

from . import kinds
from .departed import Departed
from .verdict import Candidate, Pace, Surroundings, Verdict, judge

_Key = tuple[str, str]

_MAX_HINTS = 10_000
"""Hints kept for what nobody has looked at yet. One that is lost costs the quiet time, no more."""


class Settler:
    """Takes hints and looks, gives out each finished content of each name once. Seconds throughout."""

    def __init__(self, settle: float, *, granularity: float = 0.010) -> None:
        self._pace = Pace(settle, granularity)
        self._candidates: dict[_Key, Candidate] = {}
        self._departed = Departed()
        self._waiting: set[_Key] = set()
        self._hints: dict[_Key, dict[str, set[Hinted]]] = {}
        self._parts: dict[tuple[str, Kind], frozenset[str]] = {}
        self._trainers: set[str] = set()
        self._highest_step = 0

    def remember(self, root: str, name: str, signature: str, *, step: int = 0) -> None:
        """This content was finished before and is in the journal: it is not given out again."""
        key = (root, name)
        candidate = self._candidates.get(key)
        if candidate is None:
            candidate = self._candidates[key] = self._departed.take(key, signature)
        candidate.given = signature
        self._highest_step = max(self._highest_step, step)
        self._sort_in(key, candidate)

    def forget(self, root: str, name: str) -> None:
        """What was given out could not be staged: give the name out again when it is finished."""
        candidate = self._candidates.get((root, name))
        if candidate is not None:
            candidate.given, candidate.base, candidate.base_whole = "", {}, False
            self._sort_in((root, name), candidate)
        self._departed.forget((root, name))

    def hint(self, change: Change, now: Moment) -> None:
        """What an event says; it counts for what the next look finds."""
        if change.what is Hinted.CHANGED or not change.path:
            return
        name, _, below = change.path.partition("/")
        if kinds.never(name):
            return
        while len(self._hints) > _MAX_HINTS:
            del self._hints[next(iter(self._hints))]
        hints = self._hints.setdefault((change.root, name), {})
        if len(hints) <= _MAX_HINTS:
            hints.setdefault(below, set()).add(change.what)

    def observe(self, reading: Reading, now: Moment) -> None:
        """Take in one look. `now` is from before it: a file's age then is what its identity is believed by."""
        key = (reading.root, reading.name)
        candidate = self._candidates.get(key)
        if candidate is None:
            candidate = self._candidates[key] = self._departed.take(key, reading.signature)
        remembered_since = candidate.signature == candidate.given and not candidate.base
        if candidate.reading is reading and key not in self._hints and not remembered_since:
            candidate.seen, candidate.asked = now, -math.inf
            return
        files = {f.path: f.id for f in reading.files}
        if reading.kind is Kind.HUGGINGFACE:
            self._trainers.add(reading.root)
        if candidate.reading is None or candidate.reading.files != reading.files:
            _compare(candidate, reading, files, now)
        candidate.reading, candidate.seen, candidate.asked = reading, now, -math.inf
        self._apply_hints(key, candidate, reading, files)
        if candidate.signature == candidate.given and not candidate.base:
            candidate.base, candidate.base_whole = files, True  # the journal knew only the signature
            self._learn(reading)
        self._sort_in(key, candidate)

    def gone(self, root: str, name: str) -> None:
        """It is no longer there. Nothing remote follows from that; its signature stays known."""
        self._hints.pop((root, name), None)
        self._waiting.discard((root, name))
        candidate = self._candidates.pop((root, name), None)
        if candidate is not None and (candidate.given or candidate.rewritten):
            self._departed.add((root, name), candidate)

    def finished(self, now: Moment, *, ended: bool = False) -> list[Finished]:
        """What has finished since the last call, oldest first. With `ended`, also what will not become whole any more.

        What waits only for a moment holds back what was written after it in its root, until the look that settles it.
        """
        verdicts = {key: self._judge(key, ended=ended) for key in self._waiting}
        passing = sorted(self._passing(verdicts), key=self._order, reverse=True)
        first = {key[0]: self._order(key) for key in passing}
        ready = [key for key, verdict in verdicts.items() if verdict.finished]
        free = [key for key in ready if key[0] not in first or self._order(key) < first[key[0]]]
        return [self._give(key, verdicts[key].complete) for key in sorted(free, key=self._order)]

    def passing(self) -> bool:
        """Whether something waits only for a moment, and maybe others behind it: nothing says yet that all is given out."""
        return bool(self._passing({key: self._judge(key, ended=False) for key in self._waiting}))

    def next_look(self, now: Moment) -> float | None:
        """Mono time at which something should be looked at again without a hint; None: nothing."""
        looks = (self._next(key) for key in self._waiting)
        return min((look for look in looks if look is not None), default=None)

    def due(self, now: Moment) -> list[tuple[str, str]]:
        """Roots and names to be looked at now, without a hint."""
        looks = [(self._next(key), key) for key in self._waiting]
        due = sorted(key for look, key in looks if look is not None and look <= now.mono)
        for key in due:
            self._candidates[key].asked = now.mono
        return due

    def unfinished(self) -> list[tuple[str, str, str]]:
        """Root, name and signature of what was seen and is not finished."""
        return sorted((*key, self._candidates[key].signature) for key in self._waiting)

    def rewritten(self, root: str, name: str) -> bool:
        """Whether this name's content was once replaced in place, so that a link to it would not hold it."""
        candidate = self._candidates.get((root, name))
        return candidate.rewritten if candidate is not None else self._departed.rewritten((root, name))

    def reasons(self) -> dict[tuple[str, str], str]:
        """Why each is not finished yet, one sentence without a full stop."""
        verdicts = ((key, self._judge(key, ended=False)) for key in sorted(self._waiting))
        return {key: v.reason for key, v in verdicts if not v.finished}

    def _judge(self, key: _Key, *, ended: bool) -> Verdict:
        candidate = self._candidates[key]
        parts = self._parts.get((key[0], candidate.reading.kind), frozenset()) if candidate.reading else frozenset()
        return judge(candidate, self._pace, Surroundings(parts, key[0] in self._trainers), ended=ended)

    def _passing(self, verdicts: Mapping[_Key, Verdict]) -> list[_Key]:
        """What waits only for a moment; not what the look that was asked for then did not come of."""
        return [key for key, verdict in verdicts.items() if verdict.soon and self._candidates[key].asked == -math.inf]

    def _order(self, key: _Key) -> tuple[int, int, _Key]:
        """By the time of finishing, whenever we came to see it: that of the last write to the tree; in one tick of a file
        system's clock (4 ms on many kernels) by step."""
        reading = self._candidates[key].reading
        if reading is None:
            return 0, 0, key
        return _written_ns(reading), self._highest_step if reading.step is None else reading.step, key

    def _next(self, key: _Key) -> float | None:
        look = self._judge(key, ended=False).look
        # A look that was asked for and failed is not asked for again at once.
        return None if look is None else max(look, self._candidates[key].asked + self._pace.recheck)

    def _give(self, key: _Key, complete: bool) -> Finished:
        candidate = self._candidates[key]
        reading = candidate.reading
        assert reading is not None  # noqa: S101 - only what was read is ever judged finished
        if complete:
            self._learn(reading)
        candidate.given = candidate.signature
        candidate.base, candidate.base_whole = {f.path: f.id for f in reading.files}, complete
        self._waiting.discard(key)
        return Finished(
            root=reading.root,
            name=reading.name,
            kind=reading.kind,
            step=self._highest_step if reading.step is None else reading.step,
            weights=reading.weights,
            complete=complete,
            files=tuple(FileEntry(f.path, f.id) for f in reading.files),
            at=_written_ns(reading) / 1e9,
        )

    def _learn(self, reading: Reading) -> None:
        self._highest_step = max(self._highest_step, reading.step or 0)
        if reading.kind is not Kind.FILE:
            self._parts[reading.root, reading.kind] = kinds.shape(f.path for f in reading.files)

    def _sort_in(self, key: _Key, candidate: Candidate) -> None:
        if candidate.reading is None or candidate.signature == candidate.given or _only_removed(candidate):
            self._waiting.discard(key)
        else:
            self._waiting.add(key)

    def _apply_hints(self, key: _Key, candidate: Candidate, reading: Reading, files: dict[str, FileId]) -> None:
        for below, what in self._hints.pop(key, {}).items():
            if not below and reading.kind is not Kind.FILE:
                candidate.arrived = candidate.arrived or Hinted.ARRIVED in what
                continue
            path = below or reading.name
            if path in files and Hinted.CLOSED in what:
                candidate.closed[path] = files[path]
            if path in files and Hinted.ARRIVED in what:
                candidate.renamed[path] = files[path]


def _compare(c: Candidate, reading: Reading, files: dict[str, FileId], now: Moment) -> None:
    """Take in a look that differs from the one before it."""
    before = {f.path: f.id for f in c.reading.files} if c.reading else {}
    signature = reading.signature
    if signature == c.signature:
        return
    part = kinds.last_part(reading.kind, list(files))
    part_id = files.get(part) if part else None
    if part_id != c.part:
        c.with_part = files if c.reading is not None and part_id is not None else None
    c.part = part_id
    c.shrinking = _shrinks(c, before, files)
    c.rewritten = c.rewritten or _written_in_place(c, files, signature)
    c.signature, c.since, c.arrived = signature, now.mono, False
    c.closed = {p: i for p, i in c.closed.items() if files.get(p) == i}
    c.renamed = {p: i for p, i in c.renamed.items() if files.get(p) == i}


def _shrinks(c: Candidate, before: dict[str, FileId], files: dict[str, FileId]) -> bool:
    """Whether the only change is that files went which no writer takes back."""
    if any(before.get(path) != id_ for path, id_ in files.items()):
        return False
    return c.shrinking or any(not kinds.temporary(path) for path in before.keys() - files.keys())


def _written_in_place(c: Candidate, files: dict[str, FileId], signature: str) -> bool:
    if not c.base:
        return c.given not in ("", signature)  # changed while no agent looked: it may have been in place
    return any(
        (old := c.base.get(path)) is not None and old != new and (old.device, old.inode) == (new.device, new.inode)
        for path, new in files.items()
    )


def _only_removed(c: Candidate) -> bool:
    """Whether this is what was finished, less some files: a rotation on its way, not a new checkpoint."""
    files = {f.path: f.id for f in c.reading.files} if c.reading else {}
    return bool(c.base) and files.items() <= c.base.items()


def _written_ns(reading: Reading) -> int:
    """Wall-clock nanoseconds of the last write to the tree."""
    return max((f.id.mtime_ns for f in reading.files), default=0)
