"""Look at a run until it has ended. The decision is verdict.py's; here is only the looking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runctl_agent.contract.status import State
from runctl_agent.contract.summary import age
from runctl_agent.errors import NotFoundError, RunctlError, StoreUnavailable, TimedOutError

from .claim import recent
from .exits import Throttled, Unavailable
from .fleet import Machine
from .grouped import Grouped
from .known import TAGS, Known, known
from .moment import Moments
from .replacing import replacing
from .resolve import Resolver, Target
from .sight import line, standing
from .silence import NEVER, STALE, heard_nothing
from .verdict import Verdict, judge, needs_status

EVERY = 5.0
SLOWEST = 60.0
"""Seconds between two looks: as asked, and the longest that throttling stretches them to."""

ABSENT = 60.0
"""Seconds for which an instance may be missing from an answer: reads of EC2 are eventually consistent."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """`timeout` 0: without end. Both in seconds."""

    timeout: float = 0.0
    every: float = EVERY


class Wait:
    """One run, watched by its newest instance; with an instance id given, by that one alone."""

    def __init__(
        self,
        resolver: Resolver,
        find: Callable[[], Target],
        patience: Patience,
        say: Say,
        grouped: Grouped | None = None,
    ) -> None:
        """`grouped` tells of groups that replace what dies; None: nobody asks."""
        self._grouped = grouped
        self._resolver = resolver
        self._find = find
        self._target: Target | None = None
        self._patience = patience
        self._say = say
        self._runtime = resolver.runtime
        self._machine: Machine | None = None
        self._absent_since: float | None = None
        self._said: set[str] = set()
        self._line = ""
        self.pause = patience.every
        self.seen: Known | None = None
        self.problem = ""

    def until_ended(self) -> Verdict:
        """Raises TimedOutError, and what AWS refuses for good."""
        deadline = self._runtime.monotonic() + self._patience.timeout if self._patience.timeout else None
        while True:
            if (verdict := self.look()) is not None:
                return verdict
            now = self._runtime.monotonic()
            if deadline is not None and now >= deadline:
                raise self._timed_out()
            self._runtime.sleep(self.pause if deadline is None else min(self.pause, deadline - now))

    def look(self) -> Verdict | None:
        """Once; None: it goes on. `seen` is what is known then, `pause` the seconds until the next look, `problem` why this one
        saw nothing, if it did not. Raises what AWS refuses for good.
        """
        try:
            seen = self._look(self._found())
            self.pause, self.problem = self._patience.every, ""
            if seen is not None:
                self.seen = seen
                if (verdict := judge(seen)) and not self._goes_on(verdict):
                    return verdict
                self._tell(seen)
        except (Throttled, Unavailable, StoreUnavailable) as error:
            self.pause, self.problem = min(max(2 * self.pause, 1.0), SLOWEST), str(error)
            self._once(f"{error}; looking again every {self.pause:.0f} s at most", key=type(error).__name__)
        return None

    def _goes_on(self, verdict: Verdict) -> bool:
        """Whether a group launches the next instance of what was taken away: that is no end."""
        if self._grouped is None or self._target is None:
            return False
        next_one = replacing(self._resolver, self._grouped, self._target, verdict)
        if next_one is not None:
            self._once(f"{verdict.why}; {next_one.text}", key=f"replaced {verdict.why} {next_one.says}")
        return next_one is not None

    def _found(self) -> Target:
        """Looked for as patiently as everything else. Raises NotFoundError, UsageError."""
        if self._target is None:
            self._target = self._find()
            self._machine = self._target.machine
        return self._target

    def _look(self, target: Target) -> Known | None:
        """None: nothing to go by yet."""
        machine = self._newest(target)
        now = self._runtime.monotonic()
        if machine is None and self._machine is not None:
            self._absent_since = self._absent_since if self._absent_since is not None else now
            if now - self._absent_since < ABSENT:
                return None
        elif machine is None and self._just_launched(target):
            return None
        else:
            self._absent_since = None
            self._machine = machine
        status = self._status(target, machine) if needs_status(machine, self._runtime.now(), STALE) else None
        return known(target.run, target.destination, machine, status)

    def _just_launched(self, target: Target) -> bool:
        """Whether there may be an instance that EC2 does not show yet."""
        standing = self._resolver.shelf(target).launched(target.run)
        return standing is not None and recent(standing, self._runtime)

    def _status(self, target: Target, machine: Machine | None) -> State | None:
        try:
            return self._resolver.shelf(target).status(target.run)
        except StoreUnavailable:
            if machine is None or not machine.lives:
                raise  # it may say how the run ended
        except RunctlError as error:
            self._once(str(error), key="status")
        return None

    def _newest(self, target: Target) -> Machine | None:
        pinned = target.machine if target.pinned else None
        if pinned is not None:
            try:
                return self._resolver.fleet.one(pinned.id)
            except NotFoundError:
                return None
        found = self._resolver.fleet.of(target.run)
        return next((machine for machine in found if machine.destination == target.destination), None)

    def _tell(self, seen: Known) -> None:
        text = line(seen)
        if text != self._line:
            self._line = text
            self._say(f"{text}, {standing(seen, Moments(self._runtime.now()))}" if seen.current else text)
        machine, now = seen.machine, self._runtime.now()
        if machine is None or machine.power != "running":
            return
        if machine.own is None and now - machine.launch_time > NEVER:
            self._once(heard_nothing(seen), key=f"never {machine.id} {machine.launch_time}")
        elif machine.own is not None and seen.source == TAGS and now - machine.own.heartbeat > STALE:
            silent = age(int(now) - machine.own.heartbeat)
            self._once(f"the agent of {machine.id} has said nothing for {silent}", key=f"silent {machine.id}")

    def _once(self, text: str, *, key: str) -> None:
        if key not in self._said:
            self._said.add(key)
            self._say(text)

    def _timed_out(self) -> TimedOutError:
        run = self._target.run if self._target is not None else "the run"
        why = f"after {self._patience.timeout:g} s: {self._line or 'nothing is known of it'}"
        return TimedOutError(f"{run} has not ended", why, f"runctl wait {run}, with a longer --timeout")
