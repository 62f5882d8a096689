"""`python -m runctl_agent.training.worker OUTCOME ARCHIVE LOCK`, or `… SOCKET` in a unit: does one job, told on its standard
input, and ends.

The numbers are descriptors, -1 for none; LOCK is held by a training already, and waited for by the others. The end of its
input is the end of whoever wanted the job: a setup ends with it, a training does not.
"""

from __future__ import annotations

import fcntl
import gzip
import os
import select
import signal
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Sequence
from typing import IO

from runctl_agent import logs
from runctl_agent.account import Account
from runctl_agent.errors import RunctlError

from .acting import acting_as, become, credentials
from .exec import As, run_exec
from .handover import take_over
from .inside import run_inside
from .job import Done, Inside, Setup, Train, Unpack, decode_job, encode_done, tail_of
from .needs import needs
from .resume import ResumeLost
from .steps import steps
from .surveyed import surveyed

TAIL = 16 * 1024
LARGEST_HEADER = 1024 * 1024
"""Bytes of a long name or of extended attributes; contents are read in smaller pieces."""

GRACE = 5.0
"""Seconds that a setup which nobody wants any more has between SIGTERM and SIGKILL."""

ENV = "/usr/bin/env"
NOT_KEPT = frozenset({"_", "OLDPWD", "SHLVL"})


def main() -> None:
    logs.begin()
    outcome, archive, lock = take_over(sys.argv[1]) if len(sys.argv) == 2 else map(int, sys.argv[1:4])
    job = decode_job(sys.stdin.buffer.readline())
    if lock >= 0 and not isinstance(job, Train):
        fcntl.flock(lock, fcntl.LOCK_EX)  # one that an agent before this one left may still be ending
    try:
        match job:
            case Unpack():
                done = unpack(job, archive)
            case Setup():
                done = set_up(job)
            case Inside():
                done = train_inside(job)
            case Train():
                done = train(job, lock)
    except RunctlError as error:
        done = Done(error.full, lost=isinstance(error, ResumeLost))
    except OSError as error:
        done = Done(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}")
    os.pwrite(outcome, encode_done(done), 0)


class _Members(gzip.GzipFile):
    """The tar inside of a gzip. What a member's header says of its length is no reason to make room for it."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(fileobj=file, mode="rb")

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header claims to have {size} bytes")
        return super().read(size)


def unpack(job: Unpack, archive: int) -> Done:
    become(job.user)
    os.makedirs(job.workdir, exist_ok=True)
    if archive >= 0:
        if not hasattr(tarfile, "data_filter"):
            return Done(f"Python {sys.version.split()[0]} can't unpack safely: 3.11.4 or newer can")
        try:
            with os.fdopen(archive, "rb") as file, tarfile.open(fileobj=_Members(file), mode="r:") as tar:
                tar.extractall(job.workdir, filter="data")
        except (tarfile.TarError, EOFError, ValueError, OSError, zlib.error, LookupError, OverflowError, RecursionError) as error:
            return Done(f"the code archive can't be unpacked: {error}")
    for directory in job.also:
        os.makedirs(directory, exist_ok=True)
    return Done()


def set_up(job: Setup) -> Done:
    log = open_log(job.user, job.workdir, job.log_file)
    began = os.fstat(log).st_size
    told = os.memfd_create("env")
    shell = subprocess.Popen(
        [_shell(), *(["-l"] if job.login else []), "-c", script(job.lines, told)],
        cwd=job.workdir,
        env=dict(job.env),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=[told],
        start_new_session=True,
        **credentials(job.user),
    )
    if not _wanted_to_the_end(shell):
        return Done("it was cancelled")
    if shell.returncode != 0:
        tail = tail_of(os.pread(log, TAIL, max(began, os.fstat(log).st_size - TAIL)))
        return Done(f"setup ended with {_described(shell.returncode)}", tail)
    env = parse_env(os.pread(told, os.fstat(told).st_size, 0))
    if not env:
        return Done("setup left no environment: one of its lines ended the shell (exit)")
    env |= {"PWD": job.workdir}
    if not job.command:
        return Done(env=env)
    found = surveyed(job.user, job.workdir, env, job.command, code=job.code)
    wanted = needs(job.command, job.lines, found)
    os.write(log, "".join(f"runctl: {note}\n" for note in wanted.notes).encode("utf-8", "replace"))
    return Done(env=env, needs=wanted)


def train(job: Train, lock: int) -> Done:
    log = open_log(job.user, job.workdir, job.log_file)
    run_exec(
        job.command,
        pid_file=os.path.join(job.workdir, job.pid_file),
        exit_code_file=os.path.join(job.workdir, job.exit_code_file),
        complete_file=os.path.join(job.workdir, job.complete_file) if job.complete_file else "",
        state_dir=job.state_dir,
        run=job.run,
        attempt=job.attempt,
        apart=As(job.user, job.workdir, job.env, log, job.resume),
        lock=lock if lock >= 0 else None,
        runtime_dir=job.runtime_dir,
    )
    return Done()


def train_inside(job: Inside) -> Done:
    """The descriptor of the lock stays open until the end of this process: nobody else minds the container meanwhile."""
    os.close(open_log(job.user, job.workdir, job.log_file))  # it is there, and the user's, before the container wants it
    run_inside(job)
    return Done()


def script(lines: Sequence[str], fd: int) -> str:
    """The setup lines; the environment comes last."""
    return f"{steps(lines)}exec {ENV} -0 >&{fd}\n"


def parse_env(body: bytes) -> dict[str, str]:
    """What `env -0` printed, without the shell's own."""
    pairs = (pair.partition("=") for pair in os.fsdecode(body).split("\0"))
    return {name: value for name, equals, value in pairs if equals and name not in NOT_KEPT}


def open_log(user: Account, workdir: str, path: str) -> int:
    """The log, to be appended to, opened with the user's rights. Raises OSError."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK  # a fifo must not block
    with acting_as(user):
        fd = os.open(os.path.join(workdir, path), flags, 0o644)
    os.set_blocking(fd, True)
    return fd


def _shell() -> str:
    return next((path for path in ("/bin/bash", "/usr/bin/bash") if os.path.exists(path)), "/bin/sh")


def _wanted_to_the_end(shell: subprocess.Popen[bytes]) -> bool:
    """Wait for the shell; False: whoever wanted it is gone, and so is all that it started in its session."""
    ended, wanted = os.pidfd_open(shell.pid), sys.stdin.fileno()
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(wanted, select.POLLIN | select.POLLHUP)
    cancelled = all(fd != ended for fd, _ in poll.poll())
    if cancelled:
        poll.unregister(wanted)
        os.killpg(shell.pid, signal.SIGTERM)
        poll.poll(GRACE * 1000)
        os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()
    os.close(ended)
    return not cancelled


def _described(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"{signal.Signals(-code).name}"


if __name__ == "__main__":
    main()
