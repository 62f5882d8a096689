"""The run spec: all there is to say about a run. Sizes are bytes, durations seconds, once decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Watched:
    """One watched directory: `path` is absolute once the spec is resolved."""

    path: str
    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Staging:
    keep_free: float = 0.10  # a fraction of the file system if below 1, else bytes


@dataclass(frozen=True, slots=True)
class Retention:
    keep_last: int = 0
    keep_every: int = 0


@dataclass(frozen=True, slots=True)
class Training:
    command: tuple[str, ...] = ()
    user: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    setup: tuple[str, ...] = ()
    code: str = ""
    image: str = ""
    saves_on_signal: bool = False
    stop_signal: str = "SIGTERM"
    signal_to: str = "main"
    grace: float = 60.0
    pid_file: str = "training.pid"
    exit_code_file: str = "training_exit_code.txt"
    complete_file: str = "training_complete.txt"
    complete_pattern: str = ""
    log_file: str = "training.log"


@dataclass(frozen=True, slots=True)
class Limits:
    max_runtime: float = 0.0
    stalled_after: float = 1800.0
    idle_gpu_after: float = 0.0
    attempts_without_progress: int = 3


@dataclass(frozen=True, slots=True)
class Publish:
    heartbeat: float = 60.0


@dataclass(frozen=True, slots=True)
class Recover:
    group: str = ""
    hook: str = ""
    hook_timeout: float = 0.0


@dataclass(frozen=True, slots=True)
class Spec:
    """A whole run. `workdir` is absolute once resolved; the marker paths of `training` are relative to it or absolute."""

    run: str
    destination: str
    checkpoints: tuple[Watched, ...]
    project: str = ""
    workdir: str = ""
    settle: float = 2.0
    staging: Staging = field(default_factory=Staging)
    retention: Retention = field(default_factory=Retention)
    compression: str = "none"
    dedup: bool = True
    bandwidth: int = 0
    training: Training = field(default_factory=Training)
    resume: str = "auto"
    on_finish: str = "keep"
    on_failure: str = "keep"
    limits: Limits = field(default_factory=Limits)
    publish: Publish = field(default_factory=Publish)
    recover: Recover = field(default_factory=Recover)
    isolate_credentials: bool = False
