"""The training's image: here already, or brought by `docker pull`, with its progress told."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Callable, Mapping

from runctl_agent.runtime import Runtime
from runctl_agent.store.backoff import backoff
from runctl_agent.training.docker import client
from runctl_agent.training.docker_says import Complaint, explained, progress
from runctl_agent.training.login import logged_in

log = logging.getLogger(__name__)

LOOK = 0.2
"""Seconds between looks at the client."""

LARGEST = 4 * 1024 * 1024
"""Bytes of what it prints."""


class Pulling:
    """`pause` may raise, to end it; `say` takes what is being done."""

    def __init__(self, runtime: Runtime, image: str, pause: Callable[[float], None], say: Callable[[str], None]) -> None:
        self._runtime = runtime
        self._image = image
        self._pause = pause
        self._say = say

    def run(self) -> None:
        """Raises NotFoundError: there is no docker; WrongStateError, RefusedError: what a person has to mend."""
        docker, attempt, began = client(), 0, self._runtime.monotonic()
        try:
            while (complaint := self._once(docker)) is not None:
                attempt += 1
                if self._runtime.monotonic() - began >= complaint.patience:
                    raise complaint.error
                log.warning("%s", complaint.error)
                self._say(f"{complaint.error}; tried again")
                self._pause(min(15.0, backoff(attempt, self._runtime.random())))
        finally:
            self._say("")

    def _once(self, docker: str) -> Complaint | None:
        """None: the image is here."""
        what = f"image {self._image} can't be had"
        code, said = self._called([docker, "image", "inspect", "--format", "{{.Id}}", self._image])
        if code == 0:
            return None
        if "no such" not in said.lower():
            return explained(what, said)
        self._say(f"pulling {self._image}")
        with logged_in(self._image, os.environ) as env:
            code, said = self._called([docker, "pull", self._image], env)
        return explained(what, said) if code != 0 else None

    def _called(self, argv: list[str], env: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Its exit code, and what it said on its standard error. Ends with the agent's interest in it."""
        out, err = os.memfd_create("out"), os.memfd_create("err")
        try:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
            try:
                while process.poll() is None:
                    self._progress(os.pread(out, LARGEST, 0))
                    self._pause(LOOK)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            return process.returncode, os.pread(err, LARGEST, 0).decode("utf-8", "replace")
        finally:
            os.close(out)
            os.close(err)

    def _progress(self, printed: bytes) -> None:
        here, known = progress(printed.decode("utf-8", "replace"))
        if known:
            self._say(f"pulling {self._image}: {here} of {known} layers are here")
