"""The state goes out: to the own tags, to `status.json` in S3, to the local status file, to a textfile of metrics.

Whoever knows something new calls `update`; a task for each place sends the newest state and forgets the ones
between. The tags' slots are `slots.py`, when to send is `pace.py`, how one place is served is `lane.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from .contract.phases import TERMINAL
from .contract.status import State, encode_state
from .errors import WrongStateError
from .lane import Lane, TagLane
from .pace import TAG_RULES, Pace, Rules, Urgency, local_rules, spread, status_rules
from .posts import Memory, TagPort, TagPoster
from .problems import Problem, Problems
from .runtime import Runtime

__all__ = ["Memory", "Problem", "Publisher", "TagPort", "write_atomically"]

PutStatus = Callable[[bytes], None]
"""Writes `status.json`, if the fence allows. May raise StoreError."""

POLL = 0.05
METRICS = "metrics"
METRICS_EVERY = 60.0
"""Seconds, at most, between writings of the metrics, so that one alert on an old heartbeat serves every spec."""


class Publisher:
    """`update` is cheap and may be called from any task; nothing that fails in here reaches the caller: see `problems`."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        tags: TagPort | None,
        status: PutStatus | None,
        memory: Memory,
        write_local: Callable[[bytes], None],
        metrics: Callable[[State], None] | None = None,
        heartbeat: float = 60.0,
        instance: str = "",
    ) -> None:
        """`tags` is None outside EC2, `metrics` where nobody asks for them.

        `heartbeat` is in seconds; `instance` decides where in an interval heartbeats lie.
        """
        self._runtime = runtime
        self._lock = runtime.lock()
        self._problems = Problems()
        self._newest: State | None = None
        self._running = False
        self._poster = TagPoster(runtime, tags, memory, self._problems) if tags is not None else None

        def pace(rules: Rules) -> Pace:
            return Pace(rules, runtime.monotonic(), spread(instance))

        def lane(name: str, rules: Rules, put: Callable[[State], None]) -> Lane:
            return Lane(name, runtime, pace(rules), lambda state: put(self._stamped(state)), self._problems)

        self._lanes = [lane("local status file", local_rules(heartbeat), _as_document(_explained(write_local)))]
        self._status = lane("status.json", status_rules(heartbeat), _as_document(status)) if status is not None else None
        if self._status is not None:
            self._lanes.append(self._status)
        if metrics is not None:
            self._lanes.append(lane(METRICS, local_rules(min(heartbeat, METRICS_EVERY)), metrics))
        self._tags = TagLane("tags", runtime, pace(TAG_RULES), self._poster, self._problems) if self._poster is not None else None
        if self._tags is not None:
            self._lanes.append(self._tags)

    def update(self, state: State, *, urgent: bool = False) -> None:
        """Publish `state` in place of every earlier one. A new phase, or another set of conditions, is urgent by itself."""
        state = replace(state, generation=0, heartbeat=0)
        with self._lock:
            before, self._newest = self._newest, state
            urgency = _urgency(before, state, urgent=urgent)
            for lane in self._lanes:
                if lane is self._status and before is not None and before.epoch != state.epoch:
                    lane.offer(state, max(urgency, Urgency.CONDITION))  # only with an epoch may it be written; tags may before
                else:
                    lane.offer(state, urgency)

    def run(self) -> None:
        """Publish until `stop`."""
        self._running = True
        try:
            first, *others = self._lanes
            tasks = [self._runtime.spawn(f"publish {lane.name}", lane.run) for lane in others]
            first.run()
            for task in tasks:
                task.join()
                if task.error is not None:
                    raise task.error
        finally:
            self._running = False

    def stop(self) -> None:
        for lane in self._lanes:
            lane.stop()

    def flush(self, timeout: float) -> bool:
        """Publish what waits now, past all coalescing; returns whether the newest state is everywhere after `timeout` seconds."""
        deadline = self._runtime.monotonic() + timeout
        for lane in self._lanes:
            lane.hurry()
        while not all(lane.settled or self._given_up(lane) for lane in self._lanes):
            if self._runtime.monotonic() >= deadline:
                return False
            if not self._running:
                for lane in self._lanes:
                    lane.turn()
            self._runtime.sleep(min(POLL, max(0.0, deadline - self._runtime.monotonic())))
        return True

    def told_the_end(self, attempt: int) -> bool:
        """Whether an end with nothing pending stands in S3, and in the tags too unless they are refused."""

        def ended(state: State) -> bool:
            return state.phase in TERMINAL and not state.pending_checkpoints and state.attempt == attempt

        refused = any(problem.denied for problem in self.problems())
        return (self._status is not None and self._status.has(ended)) and (self._tags is None or self._tags.has(ended) or refused)

    def turn(self) -> float:
        """One turn of every lane in the caller's task; returns when the next is due, in monotonic seconds. Instead of `run`."""
        return min([lane.turn() for lane in self._lanes])

    def problems(self) -> tuple[Problem, ...]:
        """What keeps the newest state from standing somewhere, now."""
        return self._problems.all()

    def _given_up(self, lane: Lane) -> bool:
        """Metrics that can't be written hold up no end: whoever reads them sees that they are old."""
        return lane.name == METRICS and self._problems.of(METRICS)

    def _stamped(self, state: State) -> State:
        generation = self._poster.generation if self._poster else 0
        return replace(state, generation=generation, heartbeat=int(self._runtime.now()))


def _urgency(before: State | None, state: State, *, urgent: bool) -> Urgency:
    if before is None or before.phase is not state.phase or before.notice != state.notice:
        return Urgency.PHASE
    if state.want != before.want:
        return Urgency.PHASE  # somebody asked, and waits for the answer
    if state.phase in TERMINAL and not state.pending_checkpoints and before.pending_checkpoints:
        return Urgency.PHASE  # the end is durable only now
    if urgent or {c.name for c in before.conditions} != {c.name for c in state.conditions}:
        return Urgency.CONDITION
    return Urgency.CHANGE


def _as_document(put: Callable[[bytes], None]) -> Callable[[State], None]:
    return lambda state: put(encode_state(state))


def _explained(write: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def explained(data: bytes) -> None:
        try:
            write(data)
        except OSError as error:
            mend = "check free space, and the rights of the state directory"
            raise WrongStateError("the local status file could not be written", str(error), mend) from error

    return explained


def write_atomically(path: str, data: bytes, *, mode: int = 0o644) -> None:
    """Replace the file at `path`, so that a reader sees the old or the new. One writer; not synced to the disk."""
    temporary = path + ".tmp"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # whatever the umask
            file.write(data)
        os.rename(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
