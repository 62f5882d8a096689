"""What docker's complaints mean, and what mends them. Pure; the wordings are those of Docker 20 to 28, containerd and podman."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from runctl_agent.errors import RefusedError, RunctlError, WrongStateError

PATIENCE = 60.0
"""Seconds that a daemon may take to come up: at boot the agent may be there first."""

_LONGEST = 400


@dataclass(frozen=True, slots=True)
class Complaint:
    """`patience`: seconds that it is worth to try again; for ever where the network may come back."""

    error: RunctlError
    patience: float


_DAEMON = re.compile(r"cannot connect to the docker daemon|is the docker daemon running|error during connect", re.IGNORECASE)
_SOCKET = re.compile(r"permission denied while trying to connect|dial unix [^:]*: connect: permission denied", re.IGNORECASE)
_DENIED = re.compile(
    r"unauthori[sz]ed|authentication required|no basic auth|access denied|access to the resource is denied|forbidden",
    re.IGNORECASE,
)
_MISSING = re.compile(
    r"manifest unknown|manifest for .* not found|no such image|name unknown|repository .* not found|: not found", re.IGNORECASE
)
_NAME = re.compile(r"invalid reference format|invalid image reference|must be lowercase", re.IGNORECASE)
_GPUS = re.compile(r"could not select device driver|nvidia-container-cli|unknown or invalid runtime name: nvidia", re.IGNORECASE)
_DISK = re.compile(r"no space left on device", re.IGNORECASE)
_PLATFORM = re.compile(r"no matching manifest|no image found in .* for architecture", re.IGNORECASE)


def explained(what: str, said: str) -> Complaint:
    """`said` is what the client printed on its standard error."""
    why = _shortened(said)
    for pattern, mend in (
        (_SOCKET, "let the training's user use docker: usermod -aG docker USER; or run the agent as root"),
        (_PLATFORM, "name an image for this machine's processor in training.image"),
        (_GPUS, "install the NVIDIA Container Toolkit: apt-get install nvidia-container-toolkit; systemctl restart docker"),
        (_DISK, "launch with a larger disk: --disk GIB"),
        (_NAME, "mend training.image: [registry/]name[:tag][@digest]"),
    ):
        if pattern.search(said):
            return Complaint(WrongStateError(what, why, mend), 0.0)
    if _DAEMON.search(said):
        return Complaint(WrongStateError(what, why, "start it: systemctl enable --now docker"), PATIENCE)
    if _DENIED.search(said):
        mend = (
            "mend the name in training.image, or log in: docker login REGISTRY; for ECR the machine image needs the package "
            "amazon-ecr-credential-helper, and the role what `runctl iam agent --images` prints"
        )
        return Complaint(RefusedError(what, why, mend), 0.0)
    if _MISSING.search(said):
        return Complaint(WrongStateError(what, why, "mend the name in training.image, or push the image: docker push"), 0.0)
    return Complaint(WrongStateError(what, why, "try it on the instance: docker pull"), math.inf)


def progress(said: str) -> tuple[int, int]:
    """Layers that are here, and layers in all, by what `docker pull` has printed so far.

    >>> progress("1: Pulling from x\\na: Pulling fs layer\\nb: Already exists\\na: Pull complete\\n")
    (2, 2)
    """
    known, here = set(), set()
    for line in said.splitlines():
        layer, _, word = line.partition(": ")
        if word in ("Pulling fs layer", "Already exists", "Waiting", "Pull complete", "Download complete"):
            known.add(layer)
        if word in ("Already exists", "Pull complete"):
            here.add(layer)
    return len(here), len(known)


def _shortened(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("See 'docker")]
    text = " ".join(lines) or "docker says nothing"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
