"""A job of a preparation, to its end: in a process of its own, and never two of them at a time."""

from __future__ import annotations

import os
from collections.abc import Callable

from runctl_agent.training.job import Done, Job, Jobs

from .ends import WorkFailed

LOOK = 0.05
"""Seconds between looks at a worker, or at what is waited for."""


def errand(jobs: Jobs, job: Job, lock: str, pause: Callable[[float], None], archive: int | None = None) -> Done:
    """`lock` is the path of what keeps out one that an agent before this one left.

    Raises WorkFailed, OSError, and what `pause` does.
    """
    alone = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        running = jobs.start(job, archive=archive, lock=alone)
    finally:
        os.close(alone)  # the worker has it
    try:
        while (done := running.outcome()) is None:
            pause(LOOK)
    finally:
        running.cancel()
    if done.error:
        raise WorkFailed(done)
    return done
