"""Whoever waits for the training's end: seen off, and where it is a container replaced if it dies before it has said how."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import fields, replace

from runctl_agent.account import Account
from runctl_agent.contract.spec import Spec
from runctl_agent.errors import WrongStateError
from runctl_agent.training.exec import take_lock
from runctl_agent.training.job import Inside, Jobs, Running, Train
from runctl_agent.training.marker_file import look_at
from runctl_agent.training.record import ExitRecord, decode_record, exit_path, left_a_word
from runctl_agent.training.resume import ResumeLost

log = logging.getLogger(__name__)

REAP = 1.0
"""Seconds between looks at a worker."""

Wait = Callable[[float], bool]
"""Seconds; True: the agent ends."""


class Minding:
    """Of one container. Another process of the lock's may wait for it: then only that one's end is waited for."""

    def __init__(self, jobs: Jobs, job: Inside, boot_id: str, wait: Wait) -> None:
        self._jobs = jobs
        self._job = job
        self._boot_id = boot_id
        self._wait = wait

    def run(self, running: Running | None) -> str:
        """Why nothing could be started; empty: its end is known, or gone, or the agent ends."""
        said, tried = "", False
        while True:
            if running is not None:
                error = outcome_of(running, self._wait)
                if not left_a_word(self._job.state_dir, self._job.run, self._boot_id) and (tried or not error):
                    return said or error
                if not error:
                    return ""
                if error != said:
                    log.warning("nobody waits for the container any more: %s", error)
                said, tried = error, True  # it may have died between making the container and starting it
            if self._ended() or self._wait(REAP):
                return ""
            lock = take_lock(self._job.state_dir, self._job.run)
            running = None
            if lock is not None:
                try:
                    running = self._jobs.start(replace(self._job, adopt=True), lock=lock)
                except WrongStateError as error:  # the unit of the one before is not quite gone
                    if str(error) != said:
                        log.warning("%s", error.full)
                    said = str(error)
                finally:
                    os.close(lock)  # the worker has it

    def _ended(self) -> bool:
        found = decode_record(look_at("/", exit_path(self._job.state_dir, self._job.run)).body)
        same = isinstance(found, ExitRecord) and found.process.boot_id == self._boot_id
        return same and isinstance(found, ExitRecord) and found.attempt == self._job.attempt


def outcome_of(running: Running | None, wait: Wait) -> str:
    """A worker's word at its end; empty: it went well, or the agent ends first. Raises ResumeLost: it started nothing."""
    while running is not None and (done := running.outcome()) is None:
        if wait(REAP):
            return ""
    if running is not None and done is not None and done.lost:
        what, _, mend = done.error.partition("\n  mend: ")
        raise ResumeLost(what, mend=mend)
    return done.error if running is not None and done is not None else ""


def job_of(
    spec: Spec, state_dir: str, user: Account, attempt: int, env: Mapping[str, str], lock_dir: str, *, adopt: bool = False
) -> Train:
    """The training as it is started, or as its container is found again (`adopt`)."""
    training = spec.training
    job = Train(
        user=user,
        workdir=spec.workdir,
        env=env,
        command=training.command,
        log_file=training.log_file,
        run=spec.run,
        attempt=attempt,
        state_dir=state_dir,
        pid_file=training.pid_file,
        exit_code_file=training.exit_code_file,
        complete_file=training.complete_file,
        runtime_dir=os.path.dirname(lock_dir),  # it lies there
    )
    return _inside(job, spec, lock_dir, adopt=adopt) if training.image else job


def _inside(train: Train, spec: Spec, lock_dir: str, *, adopt: bool) -> Inside:
    """The same training in its container. A log elsewhere than in the workdir needs its directory, too."""
    log_dir = os.path.dirname(os.path.join(spec.workdir, train.log_file))
    resumed = [path for path in (train.env.get("RUNCTL_RESUME_FROM"),) if path]
    training = spec.training
    return Inside(
        **{field.name: getattr(train, field.name) for field in fields(Train)},
        image=training.image,
        setup=training.setup,
        mounts=(spec.workdir, *(watched.path for watched in spec.checkpoints), lock_dir, log_dir, *resumed),
        stop_signal=training.stop_signal,
        stop_timeout=max(1, math.ceil(training.grace)),
        to_group=training.signal_to == "group",
        adopt=adopt,
    )


def inner(spec: Spec, user: Account) -> dict[str, str]:
    """What the spec adds to the image's environment. HOME is the workdir: the user's own home is not in the container."""
    return {"HOME": spec.workdir, "USER": user.name, "LOGNAME": user.name, **spec.training.env}
