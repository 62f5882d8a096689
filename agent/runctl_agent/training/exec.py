"""`runctl-agent exec -- CMD`: run a command so that its pid and its end are on disk, whoever watches.

A process of its own beside the daemon: it may block while it waits for its child.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from types import FrameType, TracebackType

from runctl_agent.account import Account
from runctl_agent.errors import NotFoundError, RunctlError, UsageError, WrongStateError
from runctl_agent.records import ProcessId
from runctl_agent.runtime import Runtime, ThreadRuntime

from .acting import acting_as, credentials
from .cgroup import oom_kills
from .marker_file import look_at, set_aside, write
from .record import ExitRecord, decode_process, encode_process, encode_record, exit_path, lock_path, started_path
from .resume import NOTHING, Resume
from .tenancy import Tenancy, taken
from .trainer import LinuxProcesses

log = logging.getLogger(__name__)

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
NOT_FOUND = 127
NOT_EXECUTABLE = 126
"""What a shell answers for a command that is missing, or that can't be started."""


@dataclass(frozen=True, slots=True)
class Places:
    """The files of one `exec`. Relative ones start at the working directory; an empty `complete_file`: there is none."""

    pid_file: str
    exit_code_file: str
    complete_file: str
    state_dir: str
    owner: Account | None = None  # whose the markers are; None: of whoever runs `exec`


@dataclass(frozen=True, slots=True)
class As:
    """What the command does not share with `exec` itself: its user, working directory, environment, output, and what it resumes.

    `output` is a file descriptor. Of another user only root can make it.
    """

    user: Account
    workdir: str
    env: Mapping[str, str]
    output: int
    resume: Resume = NOTHING  # checked last of all


def run_exec(
    command: Sequence[str],
    *,
    pid_file: str,
    exit_code_file: str,
    state_dir: str,
    run: str,
    attempt: int = 1,
    complete_file: str = "",
    env: Mapping[str, str] | None = None,
    apart: As | None = None,
    lock: int | None = None,
    runtime_dir: str = "",
    runtime: Runtime | None = None,
) -> int:
    """Run `command` in a session of its own, to its end; its exit code, 128+N for signal N. Main thread only.

    `lock` is a descriptor that holds the run's `lock_path` already: who starts `exec` may have taken it beforehand.
    `runtime_dir` is the machine's, where other runs are seen (tenancy.py); empty: none is looked for.

    Raises UsageError, WrongStateError (one of this run is alive, or another has the machine, or a marker's directory can't be
    used), ResumeLost or NotFoundError (that directory is missing), all before anything is started. Once it is started nothing
    is raised: what can't be written is logged.
    """
    if not command or not command[0]:
        raise UsageError("there is no command to run", "nothing follows `--`", "runctl-agent exec -- python train.py")
    runtime = runtime if runtime is not None else ThreadRuntime()
    places = Places(pid_file, exit_code_file, complete_file, state_dir, apart.user if apart is not None else None)
    processes = LinuxProcesses()
    refuse_a_second(processes, state_dir, run)
    held = lock if lock is not None else _only_one(state_dir, run)
    try:
        with alone(runtime_dir, state_dir, run, processes, runtime) as tenure:
            with acting_as(places.owner):
                set_markers_aside(places)
                if apart is not None:
                    apart.resume.check()
            began = runtime.now()
            record = ExitRecord(run, attempt, ProcessId(0, 0, processes.boot_id), NOT_FOUND, None, None, began, began, 0)
            killed_before = oom_kills()
            with Forwarding() as forwarding:
                try:
                    child = _popen(command, env, apart, [fd for fd in (lock, tenure) if fd is not None])
                except (OSError, ValueError) as error:
                    record = _not_started(record, command[0], error, apart)
                else:
                    record = _to_its_end(child, record, places, processes, forwarding, runtime)
                record = replace(record, oom_kill=_killed(killed_before, oom_kills()), end=max(runtime.now(), record.start))
                write_end(record, places, runtime)
    finally:
        if held is not None:
            os.close(held)
    return record.code


def alone(
    runtime_dir: str, state_dir: str, run: str, processes: LinuxProcesses, runtime: Runtime
) -> AbstractContextManager[int | None]:
    """The machine as this training's own (`Tenancy.training`)."""
    if not runtime_dir:
        return nullcontext()
    return Tenancy(runtime_dir, run, state_dir, processes, processes.boot_id, runtime).training()


def take_lock(state_dir: str, run: str) -> int | None:
    """A descriptor that keeps every other start of this run out for as long as it is open; None: another has it.

    It is not inherited by the command. Raises OSError.
    """
    return taken(lock_path(state_dir, run))


def _only_one(state_dir: str, run: str) -> int | None:
    """None: there is nowhere to lock, and training comes first."""
    try:
        os.makedirs(state_dir, mode=0o700, exist_ok=True)
        held = take_lock(state_dir, run)
    except OSError as error:
        log.warning("a second start of run %s would not be refused: %s", run, error.strerror)
        return None
    if held is None:
        raise WrongStateError(
            f"run {run} is not started a second time", "another start of it is alive", "wait for its end: runctl-agent status"
        )
    return held


def _popen(
    command: Sequence[str], env: Mapping[str, str] | None, apart: As | None, locks: Sequence[int]
) -> subprocess.Popen[bytes]:
    """The command holds the `locks`, too: they keep others out even if `exec` dies before it has said who runs."""
    if apart is None:
        return subprocess.Popen(list(command), start_new_session=True, env=env)
    return subprocess.Popen(
        list(command),
        start_new_session=True,
        env=dict(apart.env),
        cwd=apart.workdir,
        stdin=subprocess.DEVNULL,
        stdout=apart.output,
        stderr=apart.output,
        pass_fds=locks,
        **credentials(apart.user),
    )


def refuse_a_second(processes: LinuxProcesses, state_dir: str, run: str) -> None:
    earlier = decode_process(look_at("/", os.path.abspath(started_path(state_dir, run))).body)
    if isinstance(earlier, ProcessId) and processes.alive(earlier):
        mend = f"wait for its end, or end it: kill {earlier.pid}"
        raise WrongStateError(f"run {run} is not started a second time", f"its process {earlier.pid} is still alive", mend)


def set_markers_aside(places: Places) -> None:
    for path in (places.pid_file, places.exit_code_file, places.complete_file):
        parent = os.path.dirname(path) or "."
        if path and not os.path.isdir(parent):
            raise NotFoundError(f"can't keep {path}", f"there is no directory {parent}", f"mkdir -p {parent}")
        if path and (stale := set_aside(".", path)) is not None:
            log.info("%s was there before the start: it is %s now", path, stale)


def _not_started(record: ExitRecord, name: str, error: OSError | ValueError, apart: As | None) -> ExitRecord:
    missing = isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR)
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    text = f"{name[:200]!a} could not be started: {why}"
    if apart is not None and isinstance(error, OSError) and error.filename == apart.workdir:
        text = f"the workdir {apart.workdir} can't be entered: {why}"
    log.error("%s", text)
    return replace(record, code=NOT_FOUND if missing else NOT_EXECUTABLE, error=text)


def _to_its_end(
    child: subprocess.Popen[bytes],
    record: ExitRecord,
    places: Places,
    processes: LinuxProcesses,
    forwarding: Forwarding,
    runtime: Runtime,
) -> ExitRecord:
    """From the start to the end of the child. Until it is waited for its pid is nobody else's, so it can be identified."""
    forwarding.begin(child.pid)
    process = processes.identify(child.pid) or replace(record.process, pid=child.pid)
    write_start(process, record.run, places, runtime)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    number = -child.returncode if child.returncode < 0 else None
    code = child.returncode if number is None else 128 + number
    return replace(record, process=process, code=code, signal=number, peak_rss=usage.ru_maxrss * 1024)


def write_start(process: ProcessId, run: str, places: Places, runtime: Runtime) -> None:
    """Who the command is: for the agent, and in the pid file for everybody."""
    _try(lambda: _make_state_dir(places.state_dir))
    _try(lambda: write(".", started_path(places.state_dir, run), encode_process(process), runtime))
    with acting_as(places.owner):
        _try(lambda: write(".", places.pid_file, b"%d\n" % process.pid, runtime))


def write_end(record: ExitRecord, places: Places, runtime: Runtime) -> None:
    """The record first: it is the stronger, and whoever sees the exit-code file finds it."""
    _try(lambda: _make_state_dir(places.state_dir))
    _try(lambda: write(".", exit_path(places.state_dir, record.run), encode_record(record), runtime))
    with acting_as(places.owner):
        _try(lambda: write(".", places.exit_code_file, b"%d\n" % record.code, runtime))


def _make_state_dir(state_dir: str) -> None:
    try:
        os.makedirs(state_dir, mode=0o700, exist_ok=True)
    except OSError as error:
        raise WrongStateError(f"can't make {state_dir}", error.strerror or str(error), "give --state-dir") from error


def _try(step: Callable[[], None]) -> None:
    """Training comes first: what can't be written is said, and the command runs on."""
    try:
        step()
    except RunctlError as error:
        log.warning("%s", error.full)


def _killed(before: int | None, after: int | None) -> bool | None:
    return after > before if before is not None and after is not None else None


class Forwarding:
    """Passes signals on to the child; what was ignored before (nohup) stays ignored, here and in the child."""

    def __init__(self) -> None:
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int] = {}
        self._early: list[int] = []
        self._fd: int | None = None

    def __enter__(self) -> Forwarding:
        for number in FORWARDED:
            handler = signal.getsignal(number)
            if handler is not None and handler is not signal.SIG_IGN:
                self._before[number] = handler
                signal.signal(number, self._pass_on)
        return self

    def begin(self, pid: int) -> None:
        """The child is there: it gets what came while it was being started."""
        try:
            self._fd = os.pidfd_open(pid)
        except OSError as error:
            log.warning("signals are not passed on to the command: %s", error.strerror)
        while self._fd is not None and self._early:
            self._pass_on(self._early.pop(0), None)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._fd is not None:
            os.close(self._fd)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        if self._fd is None:
            self._early.append(number)
            return
        try:
            signal.pidfd_send_signal(self._fd, number)
        except ProcessLookupError:
            pass  # it ended first
        except PermissionError:
            log.warning("%s was not passed on: the command runs as another user", signal.Signals(number).name)
