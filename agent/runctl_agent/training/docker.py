"""The docker client, each call a process of its own: what it says is parsed elsewhere. Runs that outlive it are docker's."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from runctl_agent.contract.malformed import Malformed
from runctl_agent.errors import NotFoundError, RunctlError, TimedOutError

from .container import Found, by_name, obeyed, parse_found
from .docker_says import explained

SECONDS = 120.0
"""For an answer of the daemon, which is here on the machine; a first start on a cold disk takes its time."""

LONGEST = 400


class Docker:
    """Finds the client once. Raises NotFoundError where there is none; every call RunctlError for what docker refuses."""

    def __init__(self) -> None:
        self._client = client()

    def inspect(self, name: str) -> Found | None:
        """None: there is no such container."""
        done = self._call(["container", "inspect", "--format", "{{json .}}", name], what=f"container {name} can't be looked at")
        if done is None:
            return None
        found = parse_found(done)
        if isinstance(found, Malformed):
            raise RunctlError(f"container {name} can't be looked at", found.reason, "update docker")
        return found

    def create(self, arguments: Sequence[str], env: Mapping[str, str], image: str, env_file: int) -> None:
        """`env` is the container's; `env_file` a descriptor, for what the client itself would obey."""
        os.write(env_file, env_file_of(env))
        own = {name: value for name, value in os.environ.items() if obeyed(name)}
        given = {**own, **{name: env[name] for name in by_name(env)}}
        self._call(arguments, what=f"no container of {image} can be made", env=given, passed=(env_file,), missing=False)

    def start(self, name: str) -> None:
        self._call(["container", "start", name], what=f"container {name} can't be started", missing=False)

    def version(self) -> str:
        """The daemon's."""
        arguments = ["version", "--format", "{{.Server.Version}}"]
        return (self._call(arguments, what="docker can't be used", missing=False) or "").strip()

    def wait(self, name: str) -> bool:
        """Until it ends; False: this call ended otherwise."""
        done = subprocess.run(
            [self._client, "container", "wait", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return done.returncode == 0

    def last_words(self, name: str) -> str:
        """The last line that docker itself kept of its output."""
        done = subprocess.run(
            [self._client, "container", "logs", "--tail", "1", name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
        said = done.stdout.decode("utf-8", "replace").strip()
        return said[-LONGEST:] if done.returncode == 0 else ""

    def remove(self, name: str) -> None:
        """Also one that runs; one that is not there is fine."""
        self._call(["container", "rm", "--force", name], what=f"container {name} can't be removed")

    def of_run(self, label: str, run: str) -> list[str]:
        """The names of all containers with this label."""
        arguments = ["container", "ls", "--all", "--filter", f"label={label}={run}", "--format", "{{.Names}}"]
        return (self._call(arguments, what="docker can't list its containers") or "").split()

    def _call(
        self,
        arguments: Sequence[str],
        *,
        what: str,
        env: Mapping[str, str] | None = None,
        passed: tuple[int, ...] = (),
        missing: bool = True,
    ) -> str | None:
        """What it prints; None: no such container, where that may be (`missing`)."""
        try:
            done = subprocess.run(
                [self._client, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS,
                env=None if env is None else dict(env),
                pass_fds=passed,
                check=False,
            )
        except subprocess.TimeoutExpired:
            why = f"docker does not answer within {SECONDS:g} s"
            raise TimedOutError(what, why, "look at it: systemctl status docker; restart it: systemctl restart docker") from None
        said = done.stderr.decode("utf-8", "replace")
        if done.returncode == 0:
            return done.stdout.decode("utf-8", "replace")
        if missing and "no such" in said.lower():
            return None
        raise explained(what, said).error


def client() -> str:
    """The path of the docker client. Raises NotFoundError."""
    found = shutil.which("docker")
    if found is None:
        mend = "install it in the machine image: apt-get install docker.io; or leave training.image out"
        raise NotFoundError("training.image can't be run", "this machine has no docker", mend)
    return found


def env_file_of(env: Mapping[str, str]) -> bytes:
    """Lines of `--env-file` (docker-container-create(1)). Raises RunctlError for a value that has several lines."""
    lines = []
    for name, value in sorted(env.items()):
        if not obeyed(name):
            continue
        if "\n" in value:
            raise RunctlError(
                f"training.env {name} can't be passed", "it has several lines, and docker's client obeys it", "take it out"
            )
        lines.append(f"{name}={value}\n")
    return "".join(lines).encode("utf-8", "surrogateescape")
