"""Removing snapshots: one that is let go, and all that nobody knows. What can't be removed is logged, and ends nothing.

A stager holds a shared flock on the directory of a snapshot until the journal has it (flock(2)); what is guarded so is not swept.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from runctl_agent.errors import WrongStateError

from .openat import open_below, opened
from .places import Places

log = logging.getLogger(__name__)

Known = Callable[[], set[str]]
"""Directories, or labels, of what is known at this moment."""


class Remover:
    """Lets snapshots go, from any task; what can't be removed now, as on a disk that became read-only, goes with a later one."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._left: deque[str] = deque()

    def remove(self, directory: str) -> None:
        self._try(directory, logging.WARNING)
        for _ in range(len(self._left)):
            with suppress(IndexError):  # another task was faster
                self._try(self._left.popleft(), logging.DEBUG)

    def _try(self, directory: str, level: int) -> None:
        if not remove(self._places, *os.path.split(directory), level=level) and os.path.lexists(directory):
            self._left.append(directory)


def sweep(places: Places, known: Known) -> list[str]:
    """Remove what nobody knows; returns the directories removed.

    `known` is asked after the listing, and for each again once no stager guards it: what was journaled meanwhile is known then.
    """
    removed: list[str] = []
    for place in places.all():
        names = _names_in(places, place)
        kept = known() if names else set()
        unknown = [name for name in names if not _is_in(kept, place, name)]
        removed += [os.path.join(place, name) for name in unknown if remove(places, place, name, known)]
    return removed


def remove(places: Places, place: str, name: str, known: Known | None = None, *, level: int = logging.WARNING) -> bool:
    """Whether it was removed. With `known`: not if a stager guards it, or it is known by now."""
    try:
        with opened(places.open(place, make=False)) as fd, opened(open_below(fd, name)) as target:
            if known and not (_flock(target, fcntl.LOCK_EX) and not _is_in(known(), place, name)):
                return False
            shutil.rmtree(name, dir_fd=fd)
            return True
    except FileNotFoundError:  # it has gone
        return False
    except (OSError, WrongStateError) as error:
        log.log(level, "%s is left where it is: %s", os.path.join(place, name), error)
        return False


def guard(directory: int) -> None:
    """Keep the open directory from every sweep, for as long as it is open."""
    _flock(directory, fcntl.LOCK_SH)


def _flock(fd: int, mode: int) -> bool:
    """Never waits. False while another has it; where there are no such locks, as for LOCK_EX on NFS, True."""
    try:
        fcntl.flock(fd, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _names_in(places: Places, place: str) -> list[str]:
    try:
        with opened(places.open(place, make=False)) as fd:
            return os.listdir(fd)
    except (OSError, WrongStateError):  # not there, or not ours
        return []


def _is_in(known: set[str], place: str, name: str) -> bool:
    return name in known or os.path.join(place, name) in known
