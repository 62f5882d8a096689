"""Patience with a store that does not answer: a few attempts, exponential backoff, full jitter."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from runctl_agent.errors import StoreUnavailable
from runctl_agent.runtime import Runtime

T = TypeVar("T")

ATTEMPTS = 6
BASE = 0.2
CAP = 5.0


def pause(runtime: Runtime, failures: int) -> None:
    """Sleep before attempt `failures + 1`: uniform in [0, min(CAP, BASE * 2^(failures - 1))) seconds."""
    runtime.sleep(runtime.random() * min(CAP, BASE * 2 ** (failures - 1)))


def patiently(runtime: Runtime, call: Callable[[], T]) -> T:
    """Do `call`, again while it raises StoreUnavailable, at most ATTEMPTS times; the last error is raised."""
    for failures in range(1, ATTEMPTS):
        try:
            return call()
        except StoreUnavailable:
            pause(runtime, failures)
    return call()
