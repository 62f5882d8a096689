"""The notices of this boot: looked for every 2 s in the instance metadata, and seen once, whichever agent sees them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

from runctl_agent.contract.document import LAST_SECOND
from runctl_agent.errors import ImdsUnavailable, JournalError
from runctl_agent.runtime import Runtime
from runctl_agent.store.journal import Journal
from runctl_agent.training.notice import PATHS, READERS, Notice, Source
from runctl_agent.training.risk import NOTICE

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between looks."""

SLOWEST = 10.0
"""The same while the metadata service refuses or is gone: more would waste a notice, less is what it throttles."""

BLIND = 60.0
"""Seconds without an answer from which on people are told."""

MEMORY = "notices"

Read = Callable[[str], bytes | None]
"""A path below /latest/ to what stands there; None for 404. Raises ImdsUnavailable."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A notice, and when it was first seen in wall-clock seconds. `at`: when it happens, or is taken to happen."""

    notice: Notice
    seen: float
    at: float | None


class Notices:
    """`run` in a task of its own; all else may be read from any."""

    def __init__(
        self, runtime: Runtime, journal: Journal, boot_id: str, hook_timeout: float, noticed: Callable[[], None]
    ) -> None:
        """`hook_timeout`: seconds that an Auto Scaling hook holds the instance; 0: as long as a spot notice.

        `noticed` is called for each new one.
        """
        self._runtime = runtime
        self._journal = journal
        self._boot_id = boot_id
        self._hook_timeout = hook_timeout
        self._noticed = noticed
        self._standing = _remembered(journal.get(MEMORY), boot_id)
        self._kept = self._standing
        self._blind_since: float | None = None
        self._failures = 0
        self.stopping = runtime.event()
        self.problem = ""

    @property
    def standing(self) -> tuple[Seen, ...]:
        """What matters most first."""
        found = self._standing
        return tuple(found[source] for source in Source if source in found)

    @property
    def taking(self) -> Seen | None:
        """What takes the machine away, the first of it."""
        return min((one for one in self.standing if one.notice.takes), key=lambda one: one.at or 0.0, default=None)

    @property
    def held(self) -> bool:
        """Whether the group ends the instance, and its hook holds it."""
        return Source.GROUP in self._standing

    def run(self, read: Read) -> None:
        while not self.stopping.is_set():
            self.stopping.wait(self.turn(read))

    def turn(self, read: Read) -> float:
        """Look once; the seconds until the next look."""
        try:
            for source, path in PATHS.items():
                body = read(path)
                self._heard(source, None if body is None else READERS[source](body))
        except ImdsUnavailable as error:
            self._blind(error)
            return min(EVERY * 2.0 ** min(self._failures, 8), SLOWEST)
        finally:
            self._keep()
        if self.problem:
            log.info("the instance metadata answers again")
        self._blind_since, self._failures, self.problem = None, 0, ""
        return EVERY

    def _heard(self, source: Source, notice: Notice | None) -> None:
        standing = self._standing.get(source)
        if notice is None:
            if standing is not None and not standing.notice.takes:  # what takes the machine is not taken back by silence
                log.info("no longer announced: %s", standing.notice.text)
                self._standing = {other: one for other, one in self._standing.items() if other is not source}
            return
        if standing is not None and standing.notice == notice:
            return
        seen = self._runtime.now()
        one = Seen(notice, seen, self._when(notice, seen))
        self._standing = {**self._standing, source: one}
        problem = f"; {notice.problem}" if notice.problem else ""
        left = "" if one.at is None else f", in {one.at - seen:.0f} s"
        log.warning("notice: %s%s%s", notice.text, left, problem)
        self._noticed()

    def _when(self, notice: Notice, seen: float) -> float | None:
        if notice.source is Source.GROUP:
            return seen + (self._hook_timeout or NOTICE)
        if notice.source is Source.SPOT and notice.at is None:
            return seen + NOTICE
        return notice.at

    def _blind(self, error: ImdsUnavailable) -> None:
        now = self._runtime.monotonic()
        self._failures += 1
        if self._blind_since is None:
            self._blind_since = now
        if now - self._blind_since >= BLIND:
            problem = f"no notice would be seen: {error}"
            if not self.problem:
                log.warning("%s", problem)
            self.problem = problem

    def _keep(self) -> None:
        """What can't be written down now is at the next look; it stands all the same."""
        if self._standing == self._kept:
            return
        plain = [[s.value, o.notice.action, o.notice.at, o.notice.problem, o.seen, o.at] for s, o in self._standing.items()]
        try:
            self._journal.put(MEMORY, json.dumps([self._boot_id, plain]))
        except JournalError as error:
            log.warning("%s", error.full)
        else:
            self._kept = self._standing


def _remembered(text: str | None, boot_id: str) -> dict[Source, Seen]:
    """What an agent before this one saw in this boot; what can't be read is seen anew."""
    found: dict[Source, Seen] = {}
    try:
        match json.loads(text or "[]"):
            case [str(boot), list(all_of_them)] if boot == boot_id:
                for source, action, told, problem, seen, at in all_of_them:
                    notice = Notice(Source(source), str(action), _time(told), str(problem))
                    found[notice.source] = Seen(notice, _time(seen) or 0.0, _time(at))
    except (ValueError, TypeError, RecursionError) as error:
        log.warning("what the journal says of notices can't be read: %s", error)
        return {}
    return found


def _time(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value <= LAST_SECOND else None
