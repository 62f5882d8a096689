"""Hints of what changed on disk, by inotify where it can see and by polling where it can't; the only watchdog import.

Events are hints, the disk is the truth: whenever events may have been lost, or could not be had, the hint is the whole root.
Watchdog's own threads are the one exception to the rule that only the runtime makes threads: they do nothing but call the sink.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Protocol

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyFullEmitter
from watchdog.observers.inotify_c import CallbackId, InotifyEvent, InotifyFD, Mask, WatchCallback, WatchDescriptor
from watchdog.observers.inotify_move_event_grouper import InotifyMoveEventGrouper

from runctl_agent.records import Change, Hinted
from runctl_agent.runtime import Runtime, Task

from .mounts import Mount, mount_of
from .roots import MakeEvents, Root

# Without modification events: 2 instead of 8,000 for a file of 2 GiB. Closed events alone miss what is made in new directories.
FILTER: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]

# Watchdog holds a rename and all that follows it back for 0.5 s where it has not seen the other half; we need no pairs.
InotifyMoveEventGrouper.delay = 0.02


class Watcher(Protocol):
    """Tells a sink of changes below roots; what the pipeline knows of watching."""

    def watch(self, root: str) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def problems(self) -> list[str]:
        """What keeps changes from being seen at once, for people, each with its mend."""


class DiskWatcher:
    """Watches roots until stopped. The sink is called from any thread, and may be told of more than happened, never of less.

    Times are in seconds: a root is read as a whole every `rescan`, and from a tenth of `many` files on more seldom, up to
    `rescan_many`; every `poll` where inotify can't see; its watch is looked after every `tick`.
    """

    def __init__(
        self,
        runtime: Runtime,
        sink: Callable[[Change], None],
        *,
        rescan: float = 30.0,
        rescan_many: float = 300.0,
        many: int = 50_000,
        poll: float = 5.0,
        tick: float = 1.0,
        events: MakeEvents | None = None,
        mount: Callable[[str], Mount | None] = mount_of,
    ) -> None:
        self._runtime = runtime
        self._make = partial(
            Root,
            sink=sink,
            events=Inotify if events is None else events,
            rescan=rescan,
            rescan_many=rescan_many,
            many=many,
            poll=poll,
            mount=mount,
        )
        self._tick = tick
        self._roots: dict[str, Root] = {}
        self._stopping = runtime.event()
        self._task: Task | None = None

    def watch(self, root: str) -> None:
        """Also for a root that is not there yet: it is looked for at every tick."""
        if root not in self._roots:
            self._roots[root] = self._make(root)

    def start(self) -> None:
        """Every root that is there is watched when this returns."""
        self.check()
        self._task = self._runtime.spawn("watch", self._look_after)

    def stop(self) -> None:
        """No hint is given after this has returned."""
        self._stopping.set()
        if self._task is not None:
            self._task.join()
        for root in self._roots.values():
            root.end()

    def problems(self) -> list[str]:
        found = [problem for root in list(self._roots.values()) for problem in root.problems()]
        if self._task is not None and self._task.error is not None:
            found.append(f"nobody looks after the watches: {self._task.error!r}; mend: restart the agent")
        return found

    def check(self) -> None:
        """Look after every root once."""
        for root in list(self._roots.values()):
            root.check(self._runtime.monotonic())

    def _look_after(self) -> None:
        while not self._stopping.wait(self._tick):
            self.check()


class Inotify:
    """The events below one directory, by watchdog. `told` and `lost` are called in its threads and must not raise."""

    def __init__(self, directory: str, told: Callable[[str, Hinted], None], lost: Callable[[], None]) -> None:
        """Raises OSError if the directory can't be read, or there are too many inotify instances."""
        # Watchdog takes a directory that can't be read for watched.
        os.close(os.open(directory, os.O_RDONLY | os.O_DIRECTORY))
        self._directory = directory
        self._handler = _Translator(told)
        self._kernel = _Kernel(lost)
        self._observer = BaseObserver(InotifyFullEmitter, inotify_fd=self._kernel)

    def start(self) -> None:
        """Raises OSError if the directory can't be watched."""
        self._observer.schedule(self._handler, self._directory, recursive=True, event_filter=FILTER)
        self._kernel.start()
        self._observer.start()

    def stop(self) -> None:
        """Its threads are gone when this returns."""
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()
        else:
            self._observer.unschedule_all()
        self._kernel.stop()
        if self._kernel.is_alive():
            self._kernel.join()

    @property
    def alive(self) -> bool:
        """Whether every thread between the kernel and the handler lives: an observer outlives its dead emitters."""
        emitters = list(self._observer.emitters)
        return self._observer.is_alive() and self._kernel.is_alive() and bool(emitters) and all(e.is_alive() for e in emitters)

    @property
    def starved(self) -> bool:
        """Whether the kernel refused a watch, so that some directories are not watched."""
        return self._kernel.starved


class _Kernel(InotifyFD):
    """Tells of what watchdog itself only logs or passes over: lost events and refused watches.

    Watchdog adds a directory twice that it finds both in an event and on disk; a callback's second registration under one id
    is a RuntimeWarning. So each has an id of its own here, and the second is taken back.
    """

    def __init__(self, lost: Callable[[], None]) -> None:
        super().__init__()
        self._lost = lost
        self._numbers = count()
        self._ids: dict[WatchDescriptor, CallbackId] = {}
        self.starved = False

    def handle_event(self, event: InotifyEvent) -> None:
        super().handle_event(event)
        if event.is_ignored:
            self._ids.pop(event.wd, None)
        if event.is_queue_overflow:
            self._lost()

    def add_callback(self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId) -> WatchDescriptor:
        own_id = CallbackId(next(self._numbers))
        try:
            watch = super().add_callback(path, mask, callback, own_id)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.ENOMEM}:
                self.starved = True
            raise
        if self._ids.setdefault(watch, own_id) != own_id:
            super().remove_callbacks([(watch, own_id)])
        return watch

    def remove_callbacks(self, callbacks: list[tuple[WatchDescriptor, CallbackId]]) -> None:
        super().remove_callbacks([(watch, self._ids.pop(watch)) for watch, _ in callbacks if watch in self._ids])


class _Translator(FileSystemEventHandler):
    """Watchdog's events as hints; past this nobody knows watchdog."""

    def __init__(self, told: Callable[[str, Hinted], None]) -> None:
        self._told = told

    def dispatch(self, event: FileSystemEvent) -> None:
        source, target = os.fsdecode(event.src_path), os.fsdecode(event.dest_path)
        if source:
            self._told(source, Hinted.CLOSED if isinstance(event, FileClosedEvent) else Hinted.CHANGED)
        if target:
            self._told(target, Hinted.ARRIVED)
