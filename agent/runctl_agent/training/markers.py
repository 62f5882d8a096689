"""What the marker files say, and when they may be believed. Pure: looks go in.

A marker is believed when it is not empty, whole and stable, and not left over from before: an exit-code or completion file
that was there at the first look is ignored until it changes. Told by presence, never by time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from enum import StrEnum

from runctl_agent.contract.document import Fields, Wrong, array, between, optional, total
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.spec import Training
from runctl_agent.records import FileId, Writer

from .marker_file import Look, Looker
from .record import ExitRecord, decode_record, exit_path
from .trainer import PID_MAX

SETTLE = 1.0
"""Seconds between two equal looks at a file that may still be open for writing."""

Baseline = dict[str, list[int] | None]
"""Marker -> its identity at the first look, or None where nothing was there. Serialisable: the journal keeps it."""


class Marker(StrEnum):
    PID = "pid"
    EXIT_CODE = "exit_code"
    COMPLETE = "complete"
    RECORD = "record"


@dataclass(frozen=True, slots=True)
class Markers:
    """What may be believed now; None: nothing there yet. `*_new`: not what was there at the first look."""

    pid: int | Malformed | None = None
    pid_written_by: int | None = None  # uid
    pid_new: bool = False
    pid_id: FileId | None = None  # of the pid file: a new training leaves another one
    exit_code: int | Malformed | None = None
    exit_code_since: float | None = None  # monotonic; since when the exit-code file is believed
    complete_since: float | None = None  # the same of the completion file
    record: ExitRecord | Malformed | None = None
    record_new: bool = False
    problems: tuple[str, ...] = ()


class MarkerFiles:
    """Where the markers of one run lie."""

    def __init__(self, workdir: str, training: Training, state_dir: str, run: str) -> None:
        paths = {
            Marker.PID: training.pid_file,
            Marker.EXIT_CODE: training.exit_code_file,
            Marker.COMPLETE: training.complete_file,
            Marker.RECORD: exit_path(state_dir, run),
        }
        self._lookers = {marker: Looker(workdir, path) for marker, path in paths.items()}

    def look(self) -> dict[Marker, Look]:
        """One look at each; never raises for what a user put there."""
        return {marker: looker.look() for marker, looker in self._lookers.items()}


class Stability:
    """Whether one file has stopped changing: nobody had it open for writing, or two looks `settle` apart were equal."""

    def __init__(self, settle: float = SETTLE) -> None:
        self._settle = settle
        self._seen: tuple[FileId | None, bytes] | None = None
        self._since = 0.0

    def observe(self, look: Look, now: float) -> bool:
        seen = (look.id, look.body)
        if seen != self._seen:
            self._seen, self._since = seen, now
        return look.writer is Writer.NONE or now - self._since >= self._settle


class MarkerSet:
    """The markers over time, of one attempt until `renew`. Without `baseline` the first look makes it."""

    def __init__(self, baseline: Baseline | None = None, *, settle: float = SETTLE) -> None:
        self._baseline = dict(baseline) if baseline is not None else None
        self._stability = {marker: Stability(settle) for marker in Marker}
        self._last: Baseline | None = None
        self._before: Baseline | None = None
        self._since: dict[Marker, float] = {}
        self._seen: tuple[Look, ...] = ()
        self._stable = False
        self._told: Markers | None = None

    def baseline(self) -> Baseline | None:
        """What was there at the first look; None before it."""
        return dict(self._baseline) if self._baseline is not None else None

    def observe(self, looks: Mapping[Marker, Look], now: float) -> Markers:
        """Take one look at all of them, at monotonic `now`."""
        seen = tuple(looks[marker] for marker in Marker)
        if self._told is not None and self._stable and all(a is b for a, b in zip(seen, self._seen, strict=True)):
            return self._told  # nothing has changed, and time alone changes nothing any more
        self._seen = seen
        self._told = self._observed(looks, now)
        return self._told

    def _observed(self, looks: Mapping[Marker, Look], now: float) -> Markers:
        self._remember({marker.value: _plain(looks[marker].id) for marker in Marker})
        stable = {marker: self._stability[marker].observe(looks[marker], now) for marker in Marker}
        self._stable = all(stable.values())
        bodies = {marker: looks[marker].body.strip() if stable[marker] else b"" for marker in Marker}
        for marker in (Marker.EXIT_CODE, Marker.COMPLETE):
            if not self._is_new(marker):
                bodies[marker] = b""
            if bodies[marker]:
                self._since.setdefault(marker, now)
            else:
                self._since.pop(marker, None)
        return Markers(
            pid=parse_pid(bodies[Marker.PID]),
            pid_written_by=looks[Marker.PID].owner,
            pid_new=self._is_new(Marker.PID),
            pid_id=looks[Marker.PID].id if bodies[Marker.PID] else None,
            exit_code=parse_exit_code(bodies[Marker.EXIT_CODE]),
            exit_code_since=self._since.get(Marker.EXIT_CODE),
            complete_since=self._since.get(Marker.COMPLETE),
            record=decode_record(bodies[Marker.RECORD]) if bodies[Marker.RECORD] else None,
            record_new=self._is_new(Marker.RECORD),
            problems=tuple(f"the {marker} marker {looks[marker].problem}" for marker in Marker if looks[marker].problem),
        )

    def renew(self) -> None:
        """A new attempt begins: what was there before its pid file appeared belongs to the last one."""
        self._baseline, self._before, self._told = self._before or self._last, None, None
        self._since.clear()

    def _remember(self, found: Baseline) -> None:
        if self._baseline is None:
            self._baseline = found
        if self._last is not None and self._last[Marker.PID] != found[Marker.PID]:
            self._before = self._last
        self._last = found

    def _is_new(self, marker: Marker) -> bool:
        found = self._last[marker] if self._last is not None else None
        known = self._baseline.get(marker) if self._baseline is not None else None
        return found is not None and found != known


def decode_baseline(plain: object) -> Baseline | Malformed:
    """A baseline that the journal kept, as JSON gives it back."""
    return total(_baseline, plain)


def parse_pid(body: bytes) -> int | Malformed | None:
    r"""A pid; None for an empty file.

    >>> parse_pid(b" 4711\n"), parse_pid(b"\n"), parse_pid(b"0").reason
    (4711, None, 'the pid file holds no pid (1 bytes)')
    """
    return _number(body, "the pid file holds no pid", 1, PID_MAX)


def parse_exit_code(body: bytes) -> int | Malformed | None:
    r"""An exit code, 0-255; None for an empty file.

    >>> parse_exit_code(b"137\n"), parse_exit_code(b""), parse_exit_code(b"-9").reason
    (137, None, 'the exit-code file holds no exit code (2 bytes)')
    """
    return _number(body, "the exit-code file holds no exit code", 0, 255)


def _number(body: bytes, wrong: str, low: int, high: int) -> int | Malformed | None:
    digits = body.strip()
    if not digits:
        return None
    # What stands there is not shown: it may be another file's secret.
    if not re.fullmatch(rb"[0-9]{1,10}", digits) or not low <= int(digits) <= high:
        return Malformed(f"{wrong} ({len(body)} bytes)")
    return int(digits)


def _plain(found: FileId | None) -> list[int] | None:
    return list(astuple(found)) if found is not None else None


def _identity(value: object) -> list[int]:
    numbers = array(between(-(2**63), 2**64 - 1))(value)  # an inode has 64 bits, an mtime may lie before 1970
    if len(numbers) != 4:
        raise Wrong("expected device, inode, size and mtime")
    return list(numbers)


def _baseline(plain: object) -> Baseline:
    fields = Fields(plain)
    return {marker.value: fields.need(marker, optional(_identity)) for marker in Marker}
