"""What is measured of the training's processes and of its disk, by psutil."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import ExitStack, suppress

import psutil

from .access import require_readable
from .errors import RunctlError
from .gpu import Gpus, Nvml
from .records import ProcessId
from .training.marker_file import parent_of
from .training.tail import FLAGS


class Meter:
    """The real one. What can't be told is None."""

    def __init__(self) -> None:
        self._nvml = Nvml()

    def processes(self, leader: ProcessId, session: Iterable[ProcessId]) -> tuple[float, int]:
        """CPU seconds so far, and bytes of memory (RSS), summed over those that still live, and over all that `leader` started.

        torchrun gives each of its workers a session of its own. Raises RunctlError where that can't be known: it is not nothing.
        """
        seconds, rss = 0.0, 0
        try:
            for pid in {leader.pid, *(one.pid for one in session), *_descendants(leader.pid)}:
                with suppress(psutil.Error):  # it has ended
                    used, held = _used(pid)
                    seconds, rss = seconds + used, rss + held
        except OSError as error:
            mend = "raise LimitNOFILE of the agent's unit"
            raise RunctlError(f"can't measure process {leader.pid}", error.strerror or str(error), mend) from error
        return seconds, rss

    def disk_free(self, path: str) -> int | None:
        """Bytes that an ordinary user may still write where `path` is (statvfs(3))."""
        try:
            status = os.statvfs(path)
        except OSError:
            return None
        return status.f_bavail * status.f_frsize

    def gpus(self) -> Gpus | None:
        return self._nvml.look()

    def log(self, base: str, path: str, most: int) -> tuple[int, bytes]:
        """The size of the training's log, and its last bytes; below `base` no link is followed, and only a file is read."""
        try:
            with parent_of(base, path) as parent, ExitStack() as on_error:
                fd = os.open(os.path.basename(path), FLAGS, dir_fd=parent)
                on_error.callback(os.close, fd)
                require_readable(parent, fd, path)
                on_error.pop_all()
        except (OSError, ValueError):
            return 0, b""
        try:
            status = os.fstat(fd)
            return (
                (status.st_size, os.pread(fd, most, max(0, status.st_size - most))) if stat.S_ISREG(status.st_mode) else (0, b"")
            )
        except OSError:
            return 0, b""
        finally:
            os.close(fd)


def _used(pid: int) -> tuple[float, int]:
    one = psutil.Process(pid)
    with one.oneshot():
        times, memory = one.cpu_times(), one.memory_info()
    return times.user + times.system, memory.rss


def _descendants(pid: int) -> list[int]:
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []
