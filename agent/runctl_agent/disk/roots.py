"""One watched root: when to watch it anew, when to read it as a whole, and what is the matter with it."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Protocol

from runctl_agent.records import Change, Hinted

from .mounts import Mount, is_network, mount_of

RECOUNT = 10
"""Whole readings between two counts of a root's files."""

MORE_WATCHES = "sudo sysctl fs.inotify.max_user_watches=1048576"
MORE_INSTANCES = "sudo sysctl fs.inotify.max_user_instances=1024"


class Events(Protocol):
    """What tells of changes below one directory."""

    def start(self) -> None:
        """Raises OSError if the directory can't be watched."""

    def stop(self) -> None: ...

    @property
    def alive(self) -> bool: ...

    @property
    def starved(self) -> bool:
        """Whether some directories could not be watched for want of watches."""


MakeEvents = Callable[[str, Callable[[str, Hinted], None], Callable[[], None]], Events]


class Root:
    """A root and its events. `check` belongs to one task; `told` and `lost` are called from the events' threads."""

    def __init__(
        self,
        root: str,
        sink: Callable[[Change], None],
        events: MakeEvents,
        *,
        rescan: float,
        rescan_many: float,
        many: int,
        poll: float,
        mount: Callable[[str], Mount | None] = mount_of,
    ) -> None:
        self._root = root
        self._sink = sink
        self._make_events = events
        self._mount = mount
        self._rescan, self._rescan_many, self._many, self._poll = rescan, rescan_many, many, poll
        self._events: Events | None = None
        self._watched: tuple[int, int] | None = None
        self._prefix = ""
        self._network = False
        self._full = 0.0  # of `many` files; 1: as many, or more
        self._wholes = 0
        self._again = 0
        self._due = 0.0
        self._retry = 0.0
        self._problem = ""
        self._absent = False
        self._unheard = ""
        self._writable: tuple[int, int] | None = None  # the directory that was seen on a disk that takes writes
        self._frozen = ""

    def problems(self) -> list[str]:
        """From any task. A root that has come since the last check is no problem any more: the next one watches it."""
        come = self._absent and os.path.exists(self._root)
        return [problem for problem in ("" if come else self._problem, self._frozen, self._unheard) if problem]

    def told(self, path: str, what: Hinted) -> None:
        """An event at an absolute path. Never raises: an exception would end the thread that delivers events."""
        if path + "/" == self._prefix:
            self._emit("", Hinted.CHANGED)
        elif path.startswith(self._prefix):
            self._emit(path[len(self._prefix) :], what)

    def lost(self) -> None:
        """Events were lost, and directories made meanwhile may be unwatched for another moment: read the whole, twice."""
        self._again = 2

    def check(self, now: float) -> None:
        """Look after the watch; `now` is monotonic."""
        here = self._here()
        self._frozen = self._froze(here)
        if here is None:
            self._vanished()
        elif here != self._watched or self._is_broken(now):
            self._begin(here, now)
        elif self._starves():
            self._whole(now)
        elif self._again:
            self._again -= 1
            self._whole(now)
        elif now >= self._due:
            self._whole(now)

    def end(self) -> None:
        """Stop its events."""
        events, self._events = self._events, None
        if events is not None:
            events.stop()

    def _here(self) -> tuple[int, int] | None:
        """The identity of the directory that the root's path leads to now."""
        try:
            status = os.stat(self._root)
        except OSError as error:
            self._problem, self._absent = _not_there(self._root, error), isinstance(error, FileNotFoundError)
            return None
        self._absent = False
        return status.st_dev, status.st_ino

    def _froze(self, here: tuple[int, int] | None) -> str:
        """Whether its disk has become read-only; one that always was is as somebody wanted it."""
        try:
            read_only = here is not None and os.statvfs(self._root).f_flag & os.ST_RDONLY
        except OSError:  # it has gone meanwhile, which the next check tells
            return ""
        if here is not None and not read_only:
            self._writable = here
        return _read_only(self._root) if read_only and here == self._writable else ""

    def _vanished(self) -> None:
        self.end()
        if self._watched is not None:
            self._watched = None
            self._emit("", Hinted.CHANGED)

    def _is_broken(self, now: float) -> bool:
        if self._network:
            return False
        if self._events is None:
            return now >= self._retry
        return not self._events.alive or (self._events.starved and now >= self._retry)

    def _starves(self) -> bool:
        """Whether watches ran out since the last check."""
        if self._events is None or not self._events.starved or self._problem:
            return False
        self._problem = _unwatched(self._root, OSError(errno.ENOSPC, "too few inotify watches"))
        return True

    def _begin(self, here: tuple[int, int], now: float) -> None:
        """Watch first and read the whole after it, so that nothing falls between."""
        self.end()
        self._problem = ""
        self._retry = now + self._rescan
        self._wholes = 0
        try:
            self._watch()
        except OSError as error:
            self.end()
            self._problem = _unwatched(self._root, error)
        self._watched = here
        self._starves()
        self._whole(now)

    def _watch(self) -> None:
        real = os.path.realpath(self._root)
        self._prefix = real.rstrip("/") + "/"
        mount = self._mount(real)
        self._network = mount is not None and is_network(mount.type)
        if not self._network:
            self._events = self._make_events(real, self.told, self.lost)
            self._events.start()

    def _whole(self, now: float) -> None:
        if self._wholes % RECOUNT == 0:
            self._full = _count(self._root, self._many) / self._many
        self._wholes += 1
        self._due = now + self._interval()
        self._emit("", Hinted.CHANGED)

    def _interval(self) -> float:
        """So that reading the whole costs the same share of the time, whether there are few thousand files or many."""
        if self._events is None or self._problem:
            return max(self._poll, self._rescan * self._full)
        return max(self._rescan, self._rescan_many * self._full)

    def _emit(self, path: str, what: Hinted) -> None:
        try:
            self._sink(Change(self._root, path, what))
            if not path:
                self._unheard = ""
        except Exception as error:  # noqa: BLE001 - it would end watchdog's thread; published by `problems`, and read again
            self._unheard = f"a change below {self._root} found no hearing: {error!r}; mend: restart the agent"
            self._again = 1


def _count(directory: str, most: int) -> int:
    """The entries of a tree, counted up to `most`; links are not followed, what can't be read counts as nothing."""
    count = 0
    for _, directories, files in os.walk(directory):
        count += len(directories) + len(files)
        if count >= most:
            return most
    return count


def _not_there(root: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{root} is not watched: it does not exist; mend: wait for the training to make it, or correct checkpoints.path"
    return f"{root} is not watched: {error.strerror}; mend: make it a directory that the agent can reach"


def _read_only(root: str) -> str:
    why = "its file system has become read-only"
    return f"{root} can't be written to any more: {why}; mend: look in dmesg for the reason, and mount it anew"


def _unwatched(root: str, error: OSError) -> str:
    mend = {
        errno.ENOSPC: MORE_WATCHES,
        errno.ENOMEM: MORE_WATCHES,
        errno.EMFILE: MORE_INSTANCES,
        errno.EACCES: f"let the agent read {root}, or run it as root",
        errno.ENOTDIR: "make it a directory, or correct checkpoints.path",
    }.get(error.errno or 0, "runctl-agent doctor")
    return f"{root} is read every few seconds instead of watched: {error.strerror}; mend: {mend}"
