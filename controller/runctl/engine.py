"""The docker client on this machine, each call a process of its own; what it says is told while it says it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from runctl_agent.errors import NotFoundError, TimedOutError

from . import complaint

SECONDS = 60.0
"""For an answer of the engine itself, which may be a virtual machine that is just waking."""

KEPT = 40
"""Lines of the end of an output: there it says what failed."""

OF_REGISTRIES = frozenset({"auths", "credsStore", "credHelpers"})

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Built:
    """`architecture` as Go names it."""

    id: str
    bytes: int
    architecture: str


class Engine:
    """`say` takes each line. Raises NotFoundError where there is no client."""

    def __init__(self, say: Say) -> None:
        found = shutil.which("docker")
        if found is None:
            mend = "install it: https://docs.docker.com/get-docker (Debian and Ubuntu: sudo apt-get install docker.io)"
            raise NotFoundError("nothing can be built", "this machine has no docker", mend)
        self._client = found
        self._say = say

    def architecture(self) -> str:
        """The engine's own, such as amd64. Raises RunctlError where it does not answer."""
        code, out, err = self._asked(["version", "--format", "{{.Server.Arch}}"])
        if code:
            raise complaint.unreachable(err or out, os.environ.get("DOCKER_HOST", ""))
        return out.strip()

    def build(self, folder: str, dockerfile: str, image: str, platform: str) -> None:
        """`platform` empty: the engine's own. Raises RunctlError."""
        argv = ["build", "--tag", image, "--file", dockerfile, *(["--platform", platform] if platform else []), folder]
        code, said = self._told(argv)
        if code:
            raise complaint.not_built(said, dockerfile, os.path.abspath(folder))

    def look(self, image: str) -> Built:
        code, out, err = self._asked(["image", "inspect", "--format", "{{.Id}} {{.Size}} {{.Architecture}}", image])
        if code:
            raise complaint.unreachable(err or out, os.environ.get("DOCKER_HOST", ""))
        identity, size, architecture = out.split()
        return Built(identity, int(size), architecture)

    def push(self, image: str, environ: Mapping[str, str] | None = None) -> str:
        """What it printed at the end. `environ`: that of `logged_in`, else the user's own logins hold. Raises RunctlError."""
        code, said = self._told(["push", image], environ)
        if code:
            raise complaint.not_pushed(said, image)
        return said

    @contextmanager
    def logged_in(self, registry: str, user: str, password: str) -> Iterator[Mapping[str, str]]:
        """An environment for `push`. The password goes by standard input, and what docker keeps of it goes at the end."""
        with tempfile.TemporaryDirectory(prefix="runctl-docker-") as folder:
            _settings(folder)
            environ = {**os.environ, "DOCKER_CONFIG": folder}
            argv = ["login", "--username", user, "--password-stdin", registry]
            code, out, err = self._asked(argv, environ, password)
            if code:
                raise complaint.not_logged_in(err or out, registry)
            yield environ

    def _asked(self, argv: Sequence[str], environ: Mapping[str, str] | None = None, given: str = "") -> tuple[int, str, str]:
        try:
            done = subprocess.run(
                [self._client, *argv],
                input=given,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=SECONDS,
                env=environ,
                check=False,
            )
        except subprocess.TimeoutExpired:
            why = f"`docker {argv[0]}` does not answer within {SECONDS:g} s"
            raise TimedOutError("docker can't be used", why, "start the engine anew, and give the command again") from None
        return done.returncode, done.stdout, done.stderr

    def _told(self, argv: Sequence[str], environ: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Its exit code, and the end of what it said."""
        last: deque[str] = deque(maxlen=KEPT)
        with subprocess.Popen(
            [self._client, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=environ,
        ) as process:
            for line in process.stdout or ():
                last.append(line)
                self._say(line.rstrip("\r\n"))
        return process.returncode, "".join(last)


def _settings(folder: str) -> None:
    """The user's own, so that it is the same engine, but for what they know of registries."""
    own = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    known: object = {}
    with suppress(OSError, ValueError), open(os.path.join(own, "config.json"), encoding="utf-8") as file:
        known = json.load(file)
    kept = {name: value for name, value in known.items() if name not in OF_REGISTRIES} if isinstance(known, dict) else {}
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(kept, file)
    for name in ("contexts", "cli-plugins"):
        if os.path.isdir(os.path.join(own, name)):
            os.symlink(os.path.abspath(os.path.join(own, name)), os.path.join(folder, name))
