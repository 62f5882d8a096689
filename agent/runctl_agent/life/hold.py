"""The hook by which a group holds an instance that it ends: prolonged until everything is durable, then let go.

Source: RecordLifecycleActionHeartbeat, CompleteLifecycleAction (Amazon EC2 Auto Scaling API Reference). Without either the
instance goes when the hook's timeout is over; and also one that left the group by its own wish is held that long.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from runctl_agent.errors import GroupError
from runctl_agent.runtime import Runtime
from runctl_agent.surroundings import Group

log = logging.getLogger(__name__)

BEATS = 4
"""Heartbeats in one timeout: some may fail."""

AGAIN, REFUSED_AGAIN = 5.0, 60.0
"""Seconds until what failed is tried again, and what was refused."""


class Hold:
    """`turn` a few times a second from one task; `problem` may be read from any."""

    def __init__(self, runtime: Runtime, timeout: float, held: Callable[[], bool]) -> None:
        """`timeout`: the hook's, in seconds; `held`: whether the group ends this instance."""
        self._runtime = runtime
        self._timeout = timeout
        self._held = held
        self._let_go = False
        self._beat_at = 0.0
        self._not_before = 0.0
        self.problem = ""

    def turn(self, group: Group | None, over: Callable[[], bool]) -> None:
        """`over`: whether the life has ended, and all of it is durable and told."""
        now = self._runtime.monotonic()
        if group is None or self._let_go or now < self._not_before or not self._held():
            return
        try:
            if over():
                group.complete()
                self._let_go = True
                log.info("the group need not wait any more")
            elif now >= self._beat_at:
                self._beat_at = now + self._timeout / BEATS
                group.heartbeat()
                log.info("asked the group to wait for %.0f s more", self._timeout)
            else:
                return
        except GroupError as error:
            self._not_before = now + (REFUSED_AGAIN if error.permanent else AGAIN)
            self._beat_at = 0.0
            problem = f"{error}; {error.mend}" if error.mend else str(error)
            if problem != self.problem:
                log.warning("%s", problem)
            self.problem = problem
        else:
            self.problem = ""
