"""Threads that stand back: what the training needs of CPU and disk it gets first."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import threading

log = logging.getLogger(__name__)

NICE = 19
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
"""The system call's number, which the C library has no function for (ioprio_set(2))."""
_WHO_PROCESS = 1
_IDLE = 3 << 13


def yield_to_others() -> None:
    """The calling thread, from now on: the lowest nice value, and the idle class of disk I/O.

    Nice values belong to threads in Linux (sched(7)). What the kernel refuses is done without: it only costs others.
    """
    thread = threading.get_native_id()
    try:
        os.setpriority(os.PRIO_PROCESS, thread, NICE)
    except OSError as error:
        log.debug("a background thread keeps its nice value: %s", error)
    call = _IOPRIO_SET.get(platform.machine())
    if call is not None and ctypes.CDLL(None, use_errno=True).syscall(call, _WHO_PROCESS, thread, _IDLE):
        log.debug("a background thread keeps its I/O class: %s", os.strerror(ctypes.get_errno()))
