"""Background tasks stand back, and nobody else does."""

from __future__ import annotations

import os
import subprocess
import threading

from runctl_agent.priority import NICE
from runctl_agent.runtime import ThreadRuntime, run_pool

IDLE = "idle"


def _of_this_thread() -> tuple[int, str]:
    thread = threading.get_native_id()
    nice = os.getpriority(os.PRIO_PROCESS, thread)
    shown = subprocess.run(["ionice", "-p", str(thread)], capture_output=True, text=True, check=True).stdout
    return nice, shown.partition(":")[0].strip()


def test_background_tasks_have_the_lowest_nice_value_and_the_idle_class() -> None:
    runtime = ThreadRuntime()
    before = _of_this_thread()
    found: list[tuple[int, str]] = []
    run_pool(runtime, "test", 2, lambda _: found.append(_of_this_thread()), range(4), background=True)
    assert set(found) == {(NICE, IDLE)}
    assert _of_this_thread() == before


def test_other_tasks_stay_as_they_are() -> None:
    found: list[tuple[int, str]] = []
    run_pool(ThreadRuntime(), "test", 2, lambda _: found.append(_of_this_thread()), range(2))
    assert set(found) == {_of_this_thread()}
