"""What the agent has done in a process of its own, with the rights of the training's user: unpack, set up, train.

The agent has threads and may be root; `worker.py` has one thread, becomes the user, and lives on where the agent dies.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Protocol

from runctl_agent.account import Account
from runctl_agent.contract.spec import Spec

from .needs import Needs
from .resume import NOTHING, Resume

LARGEST = 4 * 1024 * 1024
"""Bytes of an outcome: an environment, which execve(2) bounds by less."""


@dataclass(frozen=True, slots=True)
class Unpack:
    """Make `workdir` and the directories `also`, and unpack a code archive there, if one comes along."""

    user: Account
    workdir: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Setup:
    """Run `lines` in one login shell in `workdir`; the outcome has the environment that it leaves. Ends with the agent.

    With a `command` it has also what this one needs besides; `code`: the workdir is the run's own, its files are believed.
    """

    user: Account
    workdir: str
    env: Mapping[str, str]
    lines: tuple[str, ...]
    log_file: str
    command: tuple[str, ...] = ()
    code: bool = False
    login: bool = True


@dataclass(frozen=True, slots=True)
class Train:
    """Run `command` under `exec`, with pid file and exit record; goes on without the agent.

    `runtime_dir` as there; `resume` is checked.
    """

    user: Account
    workdir: str
    env: Mapping[str, str]
    command: tuple[str, ...]
    log_file: str
    run: str
    attempt: int
    state_dir: str
    pid_file: str
    exit_code_file: str
    complete_file: str
    runtime_dir: str = ""
    resume: Resume = NOTHING


@dataclass(frozen=True, slots=True)
class Inside(Train):
    """The same in a container of `image`, with `setup` before the command; `env` is what it adds to the image's own.

    `mounts` are absolute paths, there and outside the same. `adopt`: the container is there already, and none is made.
    """

    image: str = ""
    setup: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    stop_signal: str = "SIGTERM"
    stop_timeout: int = 60  # seconds
    to_group: bool = False
    adopt: bool = False


Job = Unpack | Setup | Train | Inside


@dataclass(frozen=True, slots=True)
class Done:
    """`error` says in one sentence why it failed; empty: it did not. `tail` are the last lines of what it printed.

    `lost`: nothing was started, as what it would have resumed from is not what was restored.
    """

    error: str = ""
    tail: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    needs: Needs | None = None
    lost: bool = False


class Running(Protocol):
    def outcome(self) -> Done | None:
        """None while it runs; cheap, meant to be polled."""

    def cancel(self) -> None:
        """End an `Unpack` or a `Setup`, with all that it started; a `Train` goes on."""


class Jobs(Protocol):
    def start(self, job: Job, *, archive: int | None = None, lock: int | None = None) -> Running:
        """Begin `job`. `archive` and `lock` are descriptors: an `Unpack` reads the one; a `Train` keeps the other, which is
        locked, and the others wait for it, so that they never overlap."""


class Workers:
    """The real ones."""

    def start(self, job: Job, *, archive: int | None = None, lock: int | None = None) -> Running:
        outcome = os.memfd_create("outcome")
        passed = [fd for fd in (outcome, archive, lock) if fd is not None]
        argv = [sys.executable, "-P", "-m", "runctl_agent.training.worker", str(outcome), _number(archive), _number(lock)]
        try:
            process = subprocess.Popen(
                argv, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True, pass_fds=passed
            )
        except OSError:
            os.close(outcome)
            raise
        running = _Worker(process, outcome)
        running.tell(job)
        return running


class _Worker:
    def __init__(self, process: subprocess.Popen[bytes], outcome: int) -> None:
        self._process = process
        self._outcome = outcome
        self._done: Done | None = None

    def tell(self, job: Job) -> None:
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        with suppress(BrokenPipeError):  # it died; its outcome says so
            self._process.stdin.write(encode_job(job) + b"\n")
            self._process.stdin.flush()

    def outcome(self) -> Done | None:
        if self._done is None and self._process.poll() is not None:
            self.cancel()
            self._done = self._read()
        return self._done

    def cancel(self) -> None:
        """The worker takes the end of its input for the end of whoever wanted the job."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def _read(self) -> Done:
        body = read_outcome(self._outcome)
        if not body:
            return Done(f"the worker process ended with code {self._process.returncode} and said nothing")
        return decode_done(body)


def read_outcome(fd: int) -> bytes:
    """What a worker that has ended left there; empty: nothing. It is closed."""
    try:
        return os.pread(fd, LARGEST, 0)
    finally:
        os.close(fd)


def encode_job(job: Job) -> bytes:
    return json.dumps({"job": type(job).__name__, **asdict(job)}).encode("ascii")


def decode_job(line: bytes) -> Job:
    """From the agent itself: what is wrong in it is a bug."""
    plain = json.loads(line)
    kind: Callable[..., Job] = {"Unpack": Unpack, "Setup": Setup, "Train": Train, "Inside": Inside}[plain.pop("job")]
    plain["user"] = Account(**plain["user"])
    if "resume" in plain:
        plain["resume"] = Resume(**{**plain["resume"], "files": tuple(plain["resume"]["files"])})
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()})


def encode_done(done: Done) -> bytes:
    return json.dumps(asdict(done)).encode("ascii")


def decode_done(body: bytes) -> Done:
    """From a process that has become the training's user: what can't be read is a failure of its own."""
    try:
        plain = json.loads(body)
        needs = plain["needs"] and Needs(**{name: tuple(value) for name, value in plain["needs"].items()})
        done = Done(plain["error"], tuple(plain["tail"]), dict(plain["env"]), needs, plain["lost"] is True)
        if all(isinstance(one, str) for one in (done.error, *done.tail, *done.env, *done.env.values())):
            return done
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    return Done(f"what the worker process said of {len(body)} bytes can't be read")


def login_env(user: Account, own: Mapping[str, str], *, euid: int | None = None) -> dict[str, str]:
    """What a login shell of `user` starts with: the agent's environment where it is the agent's own user, else next to nothing.

    What is for the agent alone, from its service manager and of its own, goes nowhere; nor do the credentials it was given.
    """
    kept = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    if user.uid == (os.geteuid() if euid is None else euid):
        kept |= {name: value for name, value in own.items() if not name.startswith((*AGENTS_OWN, *SECRET))}
    else:
        kept |= {name: own[name] for name in ("LANG", "TZ") if name in own}
    return kept | {"HOME": user.home, "USER": user.name, "LOGNAME": user.name, "SHELL": user.shell}


def without_managers(own: Mapping[str, str]) -> dict[str, str]:
    """The agent's environment, for a worker that a service manager starts: that one's own words to the agent stay the agent's."""
    return {name: value for name, value in own.items() if not name.startswith(MANAGERS)}


def torchrun_env(grace: float) -> dict[str, str]:
    """So that torchrun gives its workers as long as the training has, less a moment for itself: its own default is 30 s.

    torch 2.12 and newer read it (torch/distributed/launcher/api.py, `LaunchConfig`); in older ones the 30 s are fixed.
    """
    return {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(max(1, int(grace - min(5.0, grace / 10))))}


def own_env(spec: Spec, attempt: int, lock_dir: str) -> dict[str, str]:
    """What every training is told of its run; RUNCTL_RESUME_FROM comes once it is known."""
    return {
        "RUNCTL_RUN": spec.run,
        "RUNCTL_ATTEMPT": str(attempt),
        "RUNCTL_CHECKPOINT_DIR": spec.checkpoints[0].path,
        "RUNCTL_LOG_FILE": os.path.join(spec.workdir, spec.training.log_file),
        "RUNCTL_LOCK_DIR": lock_dir,
    }


MANAGERS = (
    "NOTIFY_SOCKET",
    "WATCHDOG_",
    "STATE_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "SYSTEMD_EXEC_PID",
    "MEMORY_PRESSURE_",
)
"""What systemd tells a service of itself (systemd.exec(5))."""

AGENTS_OWN = ("RUNCTL_", *MANAGERS)


SECRET = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_CONTAINER_",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "CREDENTIALS_DIRECTORY",
    "LISTEN_",
)
"""Credentials, and where they lie ("Environment variables", AWS SDKs and Tools Reference Guide; systemd.exec(5),
sd_listen_fds(3)).
A trainer prints its environment, or sends it to where its metrics go; what it needs of S3 stands in `training.env`."""


def _number(fd: int | None) -> str:
    return "-1" if fd is None else str(fd)


def tail_of(text: bytes, lines: int = 12, longest: int = 200) -> tuple[str, ...]:
    """The last lines of what a process printed, each cut to `longest` characters."""
    shown: Sequence[str] = text.decode("utf-8", "replace").splitlines()
    return tuple(line[:longest] for line in shown if line.strip())[-lines:]
