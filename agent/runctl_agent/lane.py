"""One place that the state is published to: keeps the newest only, and delivers it when its pace allows.

Every place has a task of its own, so that S3 unreachable delays no tag, and EC2 unreachable no `status.json`.
"""

from __future__ import annotations

from collections.abc import Callable

from .contract.status import State
from .errors import RunctlError, SlowDown, TagsThrottled, TagsUnavailable
from .pace import Pace, Urgency
from .posts import TagPoster
from .problems import Problems
from .readback import Verdict
from .runtime import Runtime

LONGEST_WAIT = 3600.0
AFTER_A_BUG = 10.0


class Lane:
    """`offer`, `hurry`, `stop` and `settled` from any task; all else from the one that runs it."""

    def __init__(self, name: str, runtime: Runtime, pace: Pace, deliver: Callable[[State], None], problems: Problems) -> None:
        self.name = name
        self._runtime = runtime
        self._pace = pace
        self._deliver = deliver
        self._problems = problems
        self._lock = runtime.lock()
        self._wake = runtime.event()
        self._stopping = False
        self._newest: State | None = None
        self._urgency = Urgency.HEARTBEAT  # of what was offered since the last delivery began
        self._sent: State | None = None  # what surely stands there; None: unknown
        self._in_doubt: State | None = None  # what may have arrived without an answer

    def offer(self, state: State, urgency: Urgency) -> None:
        """Publish `state` instead of whatever still waits; `state` is without generation and heartbeat."""
        with self._lock:
            changed = state != self._newest
            self._newest = state
            if changed:
                self._urgency = max(self._urgency, urgency)
                if urgency is Urgency.PHASE:
                    self._pace.hasten(self._runtime.monotonic())
        if changed:
            self._wake.set()

    def hurry(self) -> None:
        """The agent is ending: what waits goes now, past the bucket."""
        with self._lock:
            self._urgency = Urgency.LAST
            self._pace.hasten(self._runtime.monotonic())
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()

    @property
    def settled(self) -> bool:
        """Whether the newest state was delivered."""
        with self._lock:
            return self._newest is None or self._newest == self._sent

    def has(self, what: Callable[[State], bool]) -> bool:
        """Whether what surely stands there is so."""
        with self._lock:
            return self._sent is not None and what(self._sent)

    def run(self) -> None:
        """Until `stop`. A turn that fails is a problem, and the next one comes."""
        while not self._stopping:
            try:
                wait = self.turn() - self._runtime.monotonic()
            except Exception as error:  # noqa: BLE001 - a bug must not end the publishing; kept in problems
                self._problems.set(self.name, error)
                wait = AFTER_A_BUG
            if wait > 0:
                self._wake.wait(min(wait, LONGEST_WAIT))
            self._wake.clear()

    def turn(self) -> float:
        """Deliver what is due; returns when the next turn is due, in monotonic seconds."""
        if self.due() <= self._runtime.monotonic():
            self._deliver_newest()
        return self.due()

    def due(self) -> float:
        """When the next delivery is due, in monotonic seconds."""
        with self._lock:
            if self._newest is None:
                return self._runtime.monotonic() + LONGEST_WAIT
            waits = self._newest != self._sent
            return self._pace.due(max(self._urgency, Urgency.CHANGE) if waits else Urgency.HEARTBEAT)

    def _deliver_newest(self) -> None:
        with self._lock:
            state, urgency = self._newest, self._urgency
            self._urgency = Urgency.HEARTBEAT
            self._pace.called(self._runtime.monotonic())
        if state is None:
            return
        try:
            self._deliver(state)
        except Exception as error:  # noqa: BLE001 - kept in problems, and tried again
            self._failed(state, urgency, error)
        else:
            self._arrived(state)

    def _arrived(self, state: State) -> None:
        with self._lock:
            self._sent, self._in_doubt = state, None
            if self._newest == state:
                self._urgency = Urgency.HEARTBEAT
            self._pace.done()
        self._problems.clear(self.name)

    def _failed(self, state: State, urgency: Urgency, error: Exception) -> None:
        now, roll = self._runtime.monotonic(), self._runtime.random()
        self._problems.set(self.name, error)
        with self._lock:
            self._in_doubt = state if isinstance(error, TagsUnavailable) else None
            self._urgency = max(self._urgency, urgency)
            if isinstance(error, TagsThrottled | SlowDown):
                self._pace.throttled(now, roll)
            elif isinstance(error, RunctlError) and getattr(error, "permanent", False):
                self._pace.refused(now, roll)
            else:
                self._sent = None  # it may have arrived
                self._pace.failed(now, roll)


class TagLane(Lane):
    """The tags: what was posted is looked at again, and posted over what an older call did to it."""

    def __init__(self, name: str, runtime: Runtime, pace: Pace, poster: TagPoster, problems: Problems) -> None:
        super().__init__(name, runtime, pace, poster.post, problems)
        self._poster = poster

    def turn(self) -> float:
        look = self._poster.next_look()
        if look is not None and look <= self._runtime.monotonic():
            self._judge(self._poster.look())
        due = super().turn()
        look = self._poster.next_look()
        return due if look is None else min(due, look)

    def _judge(self, verdict: Verdict) -> None:
        if verdict is Verdict.AS_POSTED and self._in_doubt is not None:
            self._arrived(self._in_doubt)  # the answer was lost, the call was not
        elif verdict is Verdict.OVERWRITTEN:
            with self._lock:
                self._sent = None
                self._urgency = max(self._urgency, Urgency.CONDITION)
