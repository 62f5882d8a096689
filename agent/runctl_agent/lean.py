"""What keeps the daemon's memory small; to be imported before anything that imports botocore.

Sources: mallopt(3), malloc_trim(3). A C library without these functions is left as it is.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_M_ARENA_MAX = -8

# botocore takes from it only what the standard library's ssl gives too; where pyOpenSSL is installed, it costs 8 MiB and 0.1 s.
sys.modules.setdefault("urllib3.contrib.pyopenssl", None)  # type: ignore[arg-type]


def one_arena() -> None:
    """Before the first thread. What many arenas save in waiting they cost in memory: each keeps what its threads gave back."""
    _call("mallopt", _M_ARENA_MAX, 1)


def give_back() -> None:
    """Memory that was freed, to the system: after an upload, and what the start needed."""
    _call("malloc_trim", 0)


@contextmanager
def growing() -> Iterator[None]:
    """Within it no cycles are looked for: what is made there stays; to go through it again and again costs a start a tenth."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def started() -> None:
    """What is there now stays: no later search for cycles goes through it."""
    gc.freeze()
    give_back()


def _call(name: str, *arguments: int) -> None:
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
