"""When the training is looked at next, and when the state is put together anew. Pure: the clock is an argument.

An idle agent is paid for by the training: what can't have changed is not asked for every second.
"""

from __future__ import annotations

LOOK = 0.25
"""Seconds between looks at the trainer and its markers."""

HURRY = 0.05
"""The same while a training has just ended, and only what it left is still looked at: its phase is waited for."""

HURRIED = 2.0
"""Seconds after news for which that lasts."""

TELL = 1.0
"""Seconds between reports without news, while anything goes on."""

REST = 5.0
"""The same while nothing does: what is then told late is a problem that keeps nothing from being sent."""


class Telling:
    """`resting`: nothing on disk waits, nothing is pending, and S3 was reached."""

    def __init__(self, now: float) -> None:
        self._told = now - REST
        self._news_at = now
        self._news: object = None

    def due(self, now: float, news: object, *, resting: bool) -> bool:
        """Whether to tell now; if so it counts as told. `news` is compared with what it was at the last call."""
        if news == self._news and now - self._told < (REST if resting else TELL):
            return False
        if news != self._news:
            self._news, self._news_at = news, now
        self._told = now
        return True

    def pause(self, now: float, *, ending: bool) -> float:
        """Seconds until the next look. `ending`: the training has ended, and its last phase is still to come."""
        return HURRY if ending and now - self._news_at < HURRIED else LOOK
