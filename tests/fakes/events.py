"""Events that a test tells itself, in inotify's place; and somewhere to hear the watcher's hints."""

from __future__ import annotations

import threading
from collections.abc import Callable

from runctl_agent.records import Change, Hinted

PATIENCE = 60.0
"""Seconds until a hint that does not come fails its test."""


class Heard:
    """A sink that remembers, and waits for what is to come."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._came = threading.Condition()

    def __call__(self, change: Change) -> None:
        with self._came:
            self.changes.append(change)
            self._came.notify_all()

    def forget(self) -> None:
        with self._came:
            self.changes.clear()

    def wait_for(self, *wanted: tuple[str, Hinted]) -> None:
        """Wait until all of these (path, what) were heard."""
        with self._came:
            if not self._came.wait_for(lambda: set(wanted) <= self.heard(), PATIENCE):
                raise AssertionError(f"wanted {wanted}, heard {self.changes}")

    def wait_for_any(self, *wanted: tuple[str, Hinted]) -> set[tuple[str, Hinted]]:
        """Wait until one of these was heard; returns those that were."""
        with self._came:
            if not self._came.wait_for(lambda: bool(set(wanted) & self.heard()), PATIENCE):
                raise AssertionError(f"wanted one of {wanted}, heard {self.changes}")
            return set(wanted) & self.heard()

    def heard(self) -> set[tuple[str, Hinted]]:
        return {(change.path, change.what) for change in self.changes}


class FakeEvents:
    """One directory's events; `refusal` is raised at the start."""

    def __init__(self, directory: str, told: Callable[[str, Hinted], None], lost: Callable[[], None]) -> None:
        self.directory = directory
        self.told = told
        self.lost = lost
        self.refusal: OSError | None = None
        self.alive = False
        self.starved = False
        self.stopped = False

    def start(self) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.alive = True

    def stop(self) -> None:
        self.alive = False
        self.stopped = True


class EventsMaker:
    """Makes FakeEvents and remembers them; `refusal` is what the next ones raise."""

    def __init__(self) -> None:
        self.made: list[FakeEvents] = []
        self.refusal: OSError | None = None
        self.starved = False

    def __call__(self, directory: str, told: Callable[[str, Hinted], None], lost: Callable[[], None]) -> FakeEvents:
        events = FakeEvents(directory, told, lost)
        events.refusal = self.refusal
        events.starved = self.starved
        self.made.append(events)
        return events
