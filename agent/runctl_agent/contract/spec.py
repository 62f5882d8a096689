"""The run spec: all there is to say about a run. Sizes are bytes, durations seconds, once decoded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass

from . import options
from .document import array, boolean, count, parse, total
from .malformed import Malformed
from .names import choice, glob, line, local_path, run_name
from .settings import Mistake, Settings
from .units import duration, rate, share, some_duration


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

    @property
    def wanted(self) -> bool:
        """Whether anything may ever be deleted."""
        return self.keep_last > 0 or self.keep_every > 0


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
class Metrics:
    textfile: str = ""  # for node_exporter; empty: none is written


@dataclass(frozen=True, slots=True)
class Recover:
    group: str = ""
    hook: str = ""
    hook_timeout: float = 0.0
    attempt: int = 0  # the last one that had ended when somebody asked for more


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
    metrics: Metrics = field(default_factory=Metrics)
    recover: Recover = field(default_factory=Recover)
    isolate_credentials: bool = False


@dataclass(frozen=True, slots=True)
class SpecPointer:
    """A spec too large for user-data: all it says is where the whole lies, `s3://bucket/key`."""

    url: str


def encode_spec(spec: Spec) -> dict[str, object]:
    """A plain mapping of every setting, for JSON or YAML; `decode_spec` gives an equal spec."""
    return {f.name: _plain(getattr(spec, f.name)) for f in fields(spec)}


def decode_spec(value: object) -> Spec | Malformed:
    """The spec in a plain mapping. Total; keys that are not known, a later version's, are ignored."""
    spec, mistakes = check_spec(value)
    grave = [mistake for mistake in mistakes if not mistake.unknown]
    return Malformed("; ".join(map(str, grave))) if grave else spec


def encode_run(spec: Spec) -> bytes:
    """`run.json`, itself a valid spec file. Raises ValueError for what `decode_run` would refuse."""
    plain = encode_spec(spec)
    decoded = decode_spec(plain)
    if isinstance(decoded, Malformed):
        raise ValueError(decoded.reason)
    return yaml_json(plain)


def yaml_json(plain: Mapping[str, object]) -> bytes:
    """JSON that is YAML too: what is beyond U+FFFF stands as it is, for YAML reads an escaped pair as two characters."""
    text = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return re.sub("[\x7f-\uffff]", lambda found: f"\\u{ord(found[0]):04x}", text).encode("utf-8")


def decode_run(body: bytes) -> Spec | Malformed:
    parsed = total(parse, body)
    return parsed if isinstance(parsed, Malformed) else decode_spec(parsed)


def check_spec(value: object) -> tuple[Spec, list[Mistake]]:
    """The spec, and every mistake in it: where there is one, a default stands in for what is wrong."""
    mistakes: list[Mistake] = []
    top = Settings(value, "", mistakes)
    spec = Spec(
        run=top.need("run", run_name, ""),
        destination=top.need("destination", options.destination, ""),
        checkpoints=tuple(_watched(item) for item in top.sections("checkpoints")),
        project=top.take("project", options.tag_value, _BARE.project),
        workdir=top.take("workdir", local_path, _BARE.workdir),
        settle=top.take("settle", duration, _BARE.settle),
        staging=_staging(top.section("staging")),
        retention=_retention(top.section("retention")),
        compression=top.take("compression", choice("none", "zstd", "auto"), _BARE.compression),
        dedup=top.take("dedup", boolean, _BARE.dedup),
        bandwidth=top.take("bandwidth", rate, _BARE.bandwidth),
        training=_training(top.section("training")),
        resume=top.take("resume", choice("auto", "never"), _BARE.resume),
        on_finish=top.take("on_finish", options.power, _BARE.on_finish),
        on_failure=top.take("on_failure", options.power, _BARE.on_failure),
        limits=_limits(top.section("limits")),
        publish=_publish(top.section("publish")),
        metrics=_metrics(top.section("metrics")),
        recover=_recover(top.section("recover")),
        isolate_credentials=top.take("isolate_credentials", boolean, _BARE.isolate_credentials),
    )
    top.take("spec", options.alone, None)
    top.finish(_PATHS)
    if "keep" not in (spec.on_finish, spec.on_failure) and spec.on_finish != spec.on_failure:
        top.note("on_failure", f"{spec.on_failure} beside on_finish {spec.on_finish}: a run takes one power action, or none")
    return spec, mistakes


def is_pointer(value: object) -> bool:
    return isinstance(value, Mapping) and list(value) == ["spec"]


def check_pointer(value: object) -> tuple[SpecPointer, list[Mistake]]:
    """A document that `is_pointer`."""
    mistakes: list[Mistake] = []
    return SpecPointer(Settings(value, "", mistakes).need("spec", options.object_url, "")), mistakes


def _watched(settings: Settings) -> Watched:
    watched = Watched(
        path=settings.need("path", options.watched_path, ""),
        include=settings.take("include", options.include, ("*",)),
        exclude=settings.take("exclude", array(glob), ()),
    )
    settings.finish(_PATHS)
    return watched


def _staging(settings: Settings) -> Staging:
    staging = Staging(keep_free=settings.take("keep_free", share, _BARE.staging.keep_free))
    settings.finish(_PATHS)
    return staging


def _retention(settings: Settings) -> Retention:
    retention = Retention(settings.take("keep_last", count, 0), settings.take("keep_every", count, 0))
    settings.finish(_PATHS)
    return retention


def _training(settings: Settings) -> Training:
    default = _BARE.training
    training = Training(
        command=settings.take("command", options.command, default.command),
        user=settings.take("user", options.user, default.user),
        env=settings.take("env", options.env, default.env),
        setup=settings.take("setup", options.setup_lines, default.setup),
        code=settings.take("code", options.code, default.code),
        image=settings.take("image", options.image, default.image),
        saves_on_signal=settings.take("saves_on_signal", boolean, default.saves_on_signal),
        stop_signal=settings.take("stop_signal", options.stop_signal, default.stop_signal),
        signal_to=settings.take("signal_to", choice("main", "group"), default.signal_to),
        grace=settings.take("grace", duration, default.grace),
        pid_file=settings.take("pid_file", local_path, default.pid_file),
        exit_code_file=settings.take("exit_code_file", local_path, default.exit_code_file),
        complete_file=settings.take("complete_file", local_path, default.complete_file),
        complete_pattern=settings.take("complete_pattern", options.pattern, default.complete_pattern),
        log_file=settings.take("log_file", local_path, default.log_file),
    )
    settings.finish(_PATHS)
    return training


def _limits(settings: Settings) -> Limits:
    default = _BARE.limits
    limits = Limits(
        max_runtime=settings.take("max_runtime", duration, default.max_runtime),
        stalled_after=settings.take("stalled_after", duration, default.stalled_after),
        idle_gpu_after=settings.take("idle_gpu_after", duration, default.idle_gpu_after),
        attempts_without_progress=settings.take("attempts_without_progress", count, default.attempts_without_progress),
    )
    settings.finish(_PATHS)
    return limits


def _publish(settings: Settings) -> Publish:
    publish = Publish(heartbeat=settings.take("heartbeat", some_duration, _BARE.publish.heartbeat))
    settings.finish(_PATHS)
    return publish


def _metrics(settings: Settings) -> Metrics:
    metrics = Metrics(textfile=settings.take("textfile", options.textfile, _BARE.metrics.textfile))
    settings.finish(_PATHS)
    return metrics


def _recover(settings: Settings) -> Recover:
    recover = Recover(
        group=settings.take("group", line, ""),
        hook=settings.take("hook", line, ""),
        hook_timeout=settings.take("hook_timeout", duration, 0.0),
        attempt=settings.take("attempt", count, 0),
    )
    settings.finish(_PATHS)
    return recover


_BARE = Spec(run="", destination="", checkpoints=())
_PATHS = tuple(
    [f.name for f in fields(Spec)]
    + [f"{f.name}.{inner.name}" for f in fields(Spec) if is_dataclass(part := getattr(_BARE, f.name)) for inner in fields(part)]
    + [f"checkpoints[].{f.name}" for f in fields(Watched)]
)


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
