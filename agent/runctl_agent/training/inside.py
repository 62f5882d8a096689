"""A training in a container: made, started, waited for, and its end written down. `exec` for what docker runs.

The container is docker's own, so it outlives this process and the agent; whoever comes after finds it by its name and its
labels, and waits for it. It is removed only once the exit record stands.
"""

from __future__ import annotations

import glob
import logging
import os
import subprocess
from dataclasses import dataclass, replace

from runctl_agent.account import Account
from runctl_agent.errors import RunctlError, WrongStateError
from runctl_agent.records import ProcessId
from runctl_agent.runtime import Runtime, ThreadRuntime

from .acting import acting_as
from .container import BOOT, RUN, Around, Found, container_name, create_arguments, inner_env, needed
from .docker import Docker
from .exec import Forwarding, Places, alone, refuse_a_second, set_markers_aside, write_end, write_start
from .job import Inside
from .marker_file import look_at
from .record import ExitRecord, decode_process, decode_record, exit_path, started_path
from .trainer import LinuxProcesses

log = logging.getLogger(__name__)

AGAIN = 1.0
"""Seconds until docker is asked again that did not answer, or a record written that could not be."""

NOT_STARTED = 125
"""What `docker run` answers where docker itself refuses (docker-container-run(1))."""

GPUS = "/proc/driver/nvidia/gpus/*"


@dataclass(frozen=True, slots=True)
class _Here:
    job: Inside
    name: str
    places: Places
    docker: Docker
    processes: LinuxProcesses
    runtime: Runtime


def run_inside(job: Inside, runtime: Runtime | None = None) -> None:
    """From wherever its container stands to its end. Main thread only; the caller holds the lock of the run.

    Raises NotFoundError (no docker, or the directory of a marker), WrongStateError (one of this run is alive) and RunctlError
    (docker makes none). What keeps one that was made from being started is in the exit record.
    """
    here = _Here(
        job,
        container_name(job.run, job.attempt),
        _places(job),
        Docker(),
        LinuxProcesses(),
        runtime if runtime is not None else ThreadRuntime(),
    )
    found = here.docker.inspect(here.name)
    if found is not None and found.labels.get(RUN) != job.run:
        why = "a container that is not this run's has its name"
        raise WrongStateError(f"attempt {job.attempt} of run {job.run} can't be started", why, f"docker rm -f {here.name}")
    if found is not None and found.labels.get(BOOT) != here.processes.boot_id:
        found = None  # what it did ended with its boot
    if found is None and job.adopt:
        return
    with alone(job.runtime_dir, job.state_dir, job.run, here.processes, here.runtime):
        _run(here, found)


def _run(here: _Here, found: Found | None) -> None:
    began = here.runtime.now()
    with Forwarding() as forwarding:
        try:
            if found is None:
                _create(here)
            if found is None or not found.begun:
                here.docker.start(here.name)
        except (RunctlError, OSError) as error:
            if not _made(here):
                raise
            _refused(here, error, began)
            return
        nobody = ProcessId(0, 0, here.processes.boot_id)
        _to_its_end(here, forwarding, began, _known(here) if found is not None else nobody)


def _create(here: _Here) -> None:
    job = here.job
    refuse_a_second(here.processes, job.state_dir, job.run)
    _clear(here)
    with acting_as(job.user):
        set_markers_aside(here.places)
        job.resume.check()
        mounts = needed(path for mount in job.mounts for path in (mount, os.path.realpath(mount)) if os.path.exists(path))
    env = inner_env(job)
    env_file = os.memfd_create("env")
    try:
        around = Around(here.processes.boot_id, _groups(job.user), bool(glob.glob(GPUS)), mounts)
        arguments = create_arguments(replace(job, env=env), around, f"/proc/self/fd/{env_file}")
        here.docker.create(arguments, env, job.image, env_file)
    finally:
        os.close(env_file)


def _clear(here: _Here) -> None:
    """Containers that earlier attempts of this run left. One that runs keeps a second from being started beside it."""
    for name in here.docker.of_run(RUN, here.job.run):
        found = here.docker.inspect(name)
        if found is not None and found.pid:
            what = f"run {here.job.run} is not started a second time"
            raise WrongStateError(
                what, f"its container {name} is still alive", f"wait for its end, or end it: docker stop {name}"
            )
        here.docker.remove(name)


def _to_its_end(here: _Here, forwarding: Forwarding, began: float, process: ProcessId) -> None:
    """`process`: who it was, should it have ended already."""
    found = _looked(here)
    if found is not None and found.pid and (seen := here.processes.identify(found.pid)) is not None:
        process = seen
        forwarding.begin(seen.pid)
        write_start(seen, here.job.run, here.places, here.runtime)
    while found is not None and not found.over:
        if not here.docker.wait(here.name):
            here.runtime.sleep(AGAIN)
        found = _looked(here)
    if found is None:
        log.error("container %s was removed from outside: nobody knows how it ended", here.name)
        return
    end = found.finished or here.runtime.now()
    record = ExitRecord(
        run=here.job.run,
        attempt=here.job.attempt,
        process=process,
        code=found.code & 0xFF,
        signal=None,  # 128+N may be a code of its own: docker does not tell them apart
        oom_kill=found.oom,
        start=min(found.started or began, end),
        end=end,
        peak_rss=0,
        error=found.error or (_unopened(here) if found.code else ""),
    )
    _record(here, record)


def _unopened(here: _Here) -> str:
    """What was said before the log was open, which is all that docker has: no shell in the image, a log that can't be written."""
    try:
        return here.docker.last_words(here.name)
    except (OSError, subprocess.SubprocessError):
        return ""


def _refused(here: _Here, error: RunctlError | OSError, began: float) -> None:
    """Docker would not start it: that is the end of this attempt, and the record says why."""
    text = str(error)
    if isinstance(error, RunctlError) and error.mend:
        text = f"{text}; mend: {error.mend}"
    log.error("%s", text)
    process = ProcessId(0, 0, here.processes.boot_id)
    _record(
        here, ExitRecord(here.job.run, here.job.attempt, process, NOT_STARTED, None, None, began, here.runtime.now(), 0, text)
    )


def _record(here: _Here, record: ExitRecord) -> None:
    """Tried again until it stands: the container, which knows it too, goes only then."""
    while True:
        write_end(record, here.places, here.runtime)
        if decode_record(look_at("/", exit_path(here.job.state_dir, here.job.run)).body) == record:
            break
        here.runtime.sleep(AGAIN)
    try:
        here.docker.remove(here.name)
    except RunctlError as error:
        log.warning("%s", error.full)


def _looked(here: _Here) -> Found | None:
    """Asked until docker answers: it may be restarted, and its containers with it."""
    said = ""
    while True:
        try:
            return here.docker.inspect(here.name)
        except RunctlError as error:
            if str(error) != said:
                log.warning("%s", error.full)
            said = str(error)
            here.runtime.sleep(AGAIN)


def _made(here: _Here) -> bool:
    try:
        return here.docker.inspect(here.name) is not None
    except RunctlError:
        return False


def _known(here: _Here) -> ProcessId:
    """Who it is, by what somebody before this process wrote down in this boot."""
    path = started_path(here.job.state_dir, here.job.run)
    found = decode_process(look_at("/", path).body)
    nobody = ProcessId(0, 0, here.processes.boot_id)
    return found if isinstance(found, ProcessId) and found.boot_id == nobody.boot_id else nobody


def _places(job: Inside) -> Places:
    pid, code, complete = (
        os.path.join(job.workdir, name) if name else "" for name in (job.pid_file, job.exit_code_file, job.complete_file)
    )
    return Places(pid, code, complete, job.state_dir, job.user)


def _groups(user: Account) -> tuple[int, ...]:
    return tuple(sorted({*os.getgrouplist(user.name, user.gid)} - {user.gid}))
