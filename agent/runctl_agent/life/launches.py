"""When the instance was launched, or started last: after the next boot it tells whether somebody asked for it."""

from __future__ import annotations

import json
import logging
from contextlib import suppress

from runctl_agent.errors import TagError
from runctl_agent.runtime import Runtime
from runctl_agent.store.journal import Journal
from runctl_agent.surroundings import Own

log = logging.getLogger(__name__)

LEARN = 60.0
"""Seconds between tries to learn the LaunchTime, which costs a call of EC2 only until it is known."""

LAUNCHED = "launched"
LAUNCHED_BEFORE = "launched.before"


class Launches:
    """Asked for once per boot, and kept in the journal."""

    def __init__(self, runtime: Runtime, journal: Journal, boot_id: str) -> None:
        self._runtime = runtime
        self._journal = journal
        self._boot_id = boot_id
        self._learn_from = runtime.monotonic()

    @property
    def before(self) -> int | None:
        """That of the life before; whole seconds since the epoch."""
        text = self._journal.get(LAUNCHED_BEFORE)
        return int(text) if text is not None and text.isdigit() else None

    def learn(self, own: Own) -> None:
        """Now and then, until it is known: only a stop, or the start after it, needs to know."""
        if self._runtime.monotonic() >= self._learn_from:
            self._learn_from = self._runtime.monotonic() + LEARN
            with suppress(TagError):
                self.learnt(own)

    def if_allowed(self, own: Own | None) -> int | None:
        """This life's LaunchTime; None outside EC2, and where the agent may not ask. Raises TagError: ask again."""
        if own is None:
            return None
        try:
            return self.learnt(own)
        except TagError as error:
            if not error.permanent:
                raise
            log.warning("%s", error.full)
            return None

    def learnt(self, own: Own, *, anew: bool = False) -> int:
        """Raises TagError."""
        boot, at = _kept(self._journal.get(LAUNCHED))
        if boot == self._boot_id and at is not None and not anew:
            return at
        found = own.launch_time()
        if at is not None and boot != self._boot_id:
            self._journal.put(LAUNCHED_BEFORE, str(at))
        self._journal.put(LAUNCHED, json.dumps([self._boot_id, found]))
        return found


def _kept(text: str | None) -> tuple[str, int | None]:
    """What an agent before this one learnt; what can't be read is asked for anew."""
    try:
        match json.loads(text or "[]"):
            case [str(boot), int(at)]:
                return boot, at
    except (ValueError, RecursionError) as error:
        log.warning("what the journal says of the launch can't be read: %s", error)
    return "", None
