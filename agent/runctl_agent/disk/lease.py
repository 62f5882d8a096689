"""Does anyone have this file open for writing? A momentary read lease asks the kernel (fcntl(2), F_SETLEASE).

Whoever opens the file for writing in that moment waits for the release, which follows in the next system call, and the
kernel signals the holder of the lease. Its signal would be SIGIO, which ends a process; F_SETSIG makes it SIGURG, which
every process ignores unless it asked for it.
"""

from __future__ import annotations

import errno
import fcntl
import signal

from runctl_agent.records import Writer


def writer_of(fd: int) -> Writer:
    """Needs the file's owner or CAP_LEASE, and an `fd` opened for reading only."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return Writer.OPEN if error.errno == errno.EAGAIN else Writer.UNKNOWN
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return Writer.OPEN  # taken from us already, for a writer that waited
    return Writer.NONE


def ignore_lease_breaks() -> None:
    """Survive SIGIO too: a kernel that can't deliver the chosen signal falls back to it. Main thread only."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)
