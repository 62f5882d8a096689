"""Work that stands back: what the training needs of CPU and disk it gets first.

Only reading, hashing and compressing do, which hold no lock of the interpreter for long: a thread that does, and that the
kernel lets wait behind the training, would keep every other thread of the agent waiting too.
"""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

log = logging.getLogger(__name__)

NICER = 10
"""Added to the nice value: about a tenth of a CPU that others want (sched(7))."""

_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
"""The system call's number, which the C library has no function for (ioprio_set(2))."""
_WHO_PROCESS = 1
_BY_NICE = 0
_IDLE = 3 << 13


@contextmanager
def standing_back() -> Iterator[None]:
    """Within it the calling thread has a higher nice value and the idle class of disk I/O.

    Nice values belong to threads in Linux (sched(7)). What the kernel refuses is done without: it only costs others.
    """
    thread = threading.get_native_id()
    own = os.getpriority(os.PRIO_PROCESS, thread)
    nicer = _may_come_back() and own < NICER
    if nicer:
        os.setpriority(os.PRIO_PROCESS, thread, own + NICER)
    _io_class(thread, _IDLE)
    try:
        yield
    finally:
        _io_class(thread, _BY_NICE)
        if nicer:
            os.setpriority(os.PRIO_PROCESS, thread, own)


@cache
def _may_come_back() -> bool:
    """Whether a nice value may be lowered again: root may, others where RLIMIT_NICE allows it. Tried on this thread."""
    thread = threading.get_native_id()
    own = os.getpriority(os.PRIO_PROCESS, thread)
    try:
        os.setpriority(os.PRIO_PROCESS, thread, own + 1)
        os.setpriority(os.PRIO_PROCESS, thread, own)
    except OSError as error:
        log.debug("nice values stay as they are: %s", error)
        return False
    return True


def _io_class(thread: int, value: int) -> None:
    call = _IOPRIO_SET.get(platform.machine())
    if call is not None:
        _c_library().syscall(call, _WHO_PROCESS, thread, value)


@cache
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
