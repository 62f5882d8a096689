"""The container of a training: its name, its labels, how it is made, and what docker says of it. Pure.

Options: docker-container-create(1). Of the State in what `docker inspect` prints: Docker Engine API, ContainerInspect.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from runctl_agent.contract.malformed import Malformed

from .job import Inside
from .steps import steps

RUN, ATTEMPT, BOOT = "runctl.run", "runctl.attempt", "runctl.boot"
"""Labels."""

SHELL = "/bin/sh"

OPEN = (
    'exec </dev/null >>"$1" 2>&1 || exit 126; steps=$2; shift 2; '
    'if command -v bash >/dev/null 2>&1; then exec bash -c "$steps" runctl "$@"; fi; exec /bin/sh -c "$steps" runctl "$@"'
)
"""The container writes the log by itself: no process outside has to live for that, and docker keeps no second copy of it."""

CLIENTS_OWN = ("DOCKER_", "LD_", "GO", "BUILDKIT_", "SSL_CERT_")
CLIENTS_OWN_NAMES = frozenset({"PATH", "HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"})
"""Variables that the docker client itself obeys: those of a training must not reach it."""

_OVER = frozenset({"exited", "dead", "stopped"})


@dataclass(frozen=True, slots=True)
class Found:
    """A container as docker describes it. `pid` is the one outside, 0: none; times are wall-clock seconds, 0: never."""

    id: str
    status: str
    pid: int
    code: int
    oom: bool
    error: str
    started: float
    finished: float
    labels: Mapping[str, str]

    @property
    def over(self) -> bool:
        return self.status in _OVER

    @property
    def begun(self) -> bool:
        """Whether its command was ever started."""
        return self.pid > 0 or self.started > 0


@dataclass(frozen=True, slots=True)
class Around:
    """What the machine adds: its boot, the user's further groups, whether there are GPUs, and which mounts there are."""

    boot_id: str
    groups: tuple[int, ...]
    gpus: bool
    mounts: tuple[str, ...]


def container_name(run: str, attempt: int) -> str:
    """
    >>> container_name("gpt2", 3)
    'runctl-gpt2-3'
    """
    return f"runctl-{run}-{attempt}"


def create_arguments(job: Inside, around: Around, env_file: str) -> list[str]:
    """The arguments of `docker` that make the container. Variables come by name, from the client's environment or `env_file`.

    `--network host`: the role's credentials (IMDS, hop limit 1) and torchrun's rendezvous are reached as outside.
    `--userns host`: the uid is the same outside, where its signals come from and its files lie.
    """
    arguments = ["create", "--name", container_name(job.run, job.attempt), "--pull", "never", "--init"]
    arguments += ["--ipc", "host", "--network", "host", "--userns", "host", "--security-opt", "no-new-privileges"]
    arguments += ["--user", f"{job.user.uid}:{job.user.gid}", "--workdir", job.workdir]
    arguments += ["--stop-signal", job.stop_signal, "--stop-timeout", str(job.stop_timeout), "--env-file", env_file]
    for group in around.groups:
        arguments += ["--group-add", str(group)]
    for label, value in ((RUN, job.run), (ATTEMPT, str(job.attempt)), (BOOT, around.boot_id)):
        arguments += ["--label", f"{label}={value}"]
    for mount in around.mounts:
        arguments += ["--mount", _bound(mount)]
    for name in by_name(job.env):
        arguments += ["--env", name]
    arguments += ["--gpus", "all"] if around.gpus else []
    log_file = os.path.join(job.workdir, job.log_file)
    inner = [SHELL, job.image, "-c", OPEN, "runctl", log_file, f'{steps(job.setup)}exec "$@"', *job.command]
    return [*arguments, "--entrypoint", *inner]


def inner_env(job: Inside) -> dict[str, str]:
    """What the container adds to its image's environment. tini passes a signal on to the whole group if told so (its README)."""
    return {**job.env, **({"TINI_KILL_PROCESS_GROUP": "1"} if job.to_group else {})}


def by_name(env: Mapping[str, str]) -> list[str]:
    """Those of `env` that may stand in the client's own environment."""
    return sorted(name for name in env if not obeyed(name))


def obeyed(name: str) -> bool:
    """
    >>> obeyed("DOCKER_HOST"), obeyed("WANDB_API_KEY")
    (True, False)
    """
    return name in CLIENTS_OWN_NAMES or name.startswith(CLIENTS_OWN)


def needed(mounts: Iterable[str]) -> tuple[str, ...]:
    """Without what lies below another: a bind takes along what is mounted below it.

    >>> needed(["/home/a/run/out", "/home/a/run", "/mnt", "/mnt", "/home/a/runs"])
    ('/home/a/run', '/home/a/runs', '/mnt')
    """
    kept: list[str] = []
    for path in sorted({os.path.normpath(mount) for mount in mounts}):
        if not any(path == above or path.startswith(f"{above.rstrip('/')}/") for above in kept):
            kept.append(path)
    return tuple(kept)


def parse_found(text: str) -> Found | Malformed:
    """One JSON document of `docker inspect --format '{{json .}}'`.

    >>> parse_found("[]")
    Malformed(reason='docker inspect says something unexpected: []')
    """
    try:
        plain = json.loads(text)
        state = plain["State"]
        return Found(
            id=str(plain["Id"]),
            status=str(state["Status"]),
            pid=int(state["Pid"]),
            code=int(state["ExitCode"]),
            oom=bool(state["OOMKilled"]),
            error=str(state.get("Error") or ""),
            started=_instant(state.get("StartedAt")),
            finished=_instant(state.get("FinishedAt")),
            labels=dict((plain.get("Config") or {}).get("Labels") or {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return Malformed(f"docker inspect says something unexpected: {text[:200]}")


def _instant(text: object) -> float:
    """Go's time of nothing lies in the year 1."""
    found = datetime.fromisoformat(text).timestamp() if isinstance(text, str) and not text.startswith("0001") else 0.0
    return max(found, 0.0)


def _bound(path: str) -> str:
    """One line of CSV, as docker reads it: a path may have commas and quotes."""
    line = io.StringIO()
    fields: Sequence[str] = ("type=bind", f"source={path}", f"target={path}")
    csv.writer(line, lineterminator="").writerow(fields)
    return line.getvalue()
