"""When to look at the own tags again after a post, and what a look means. Pure; times are monotonic seconds."""

from __future__ import annotations

from enum import Enum

RUNGS = (1.0, 5.0, 15.0, 60.0, 120.0, 300.0)  # seconds after the post
PATIENCE = 15.0  # reads are eventually consistent: what does not show by then is unseen
WARY = 600.0  # how long an older call may still land


class Verdict(Enum):
    """What one look showed."""

    EARLY = "early"  # not there yet, and need not be
    AS_POSTED = "as posted"
    OVERWRITTEN = "overwritten"  # it never showed, or an older call landed on it: post again


class ReadBack:
    """The looks after the newest post. They end once it was seen, unless an older call may still land on it."""

    def __init__(self, now: float) -> None:
        self._posted_at: float | None = None
        self._rung = 0
        self._seen = False
        self._wary_until = now + WARY  # of the agent before this one

    def wary(self, now: float) -> None:
        """A call's outcome is unknown, or the state matters more than most: look on for minutes, whatever is seen."""
        self._wary_until = now + WARY

    def posted(self, now: float) -> None:
        """A call went out that may have landed. While posts go unseen the looks get rarer, as they do after one post."""
        if self._seen or self._posted_at is None:
            self._rung = 0
        self._rung = min(self._rung, len(RUNGS) - 1)
        self._posted_at = now
        self._seen = False

    def due(self) -> float | None:
        """When to look next; None: there is nothing to look for."""
        if self._posted_at is None or self._rung >= len(RUNGS):
            return None
        at = self._posted_at + RUNGS[self._rung]
        return None if self._seen and at > self._wary_until else at

    def blind(self, now: float) -> None:
        """The look failed."""
        self._climb(now)

    def looked(self, now: float, *, as_posted: bool) -> Verdict:
        self._climb(now)
        if as_posted:
            self._seen = True
            return Verdict.AS_POSTED
        if self._posted_at is None or not (self._seen or now - self._posted_at >= PATIENCE):
            return Verdict.EARLY
        self._seen = False
        self.wary(now)
        return Verdict.OVERWRITTEN

    def _climb(self, now: float) -> None:
        while self._posted_at is not None and self._rung < len(RUNGS) and self._posted_at + RUNGS[self._rung] <= now:
            self._rung += 1
