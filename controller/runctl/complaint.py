"""What docker's complaints at a build and a push mean, and what mends them. Pure; the wordings are those of Docker 20 to 28, with
BuildKit and without, and of podman's service."""

from __future__ import annotations

import re
import sys

from runctl_agent.errors import ConfigError, NotFoundError, RefusedError, RunctlError, WrongStateError

from .exits import Unavailable

LONGEST = 400

_DAEMON = re.compile(r"cannot connect to the docker daemon|is the docker daemon running|error during connect|dockerDesktop", re.I)
_SOCKET = re.compile(r"permission denied while trying to connect|dial unix [^:]*: connect: permission denied", re.I)
_CONTEXT = re.compile(r"unable to resolve docker endpoint|context .* (?:does not exist|not found)", re.I)
_DISK = re.compile(r"no space left on device", re.I)
_SYNTAX = re.compile(
    r"dockerfile parse error|unknown instruction|file with no instructions|no build stage|no FROM statement|no contents in"
    r"|cannot be empty",
    re.I,
)
_COPY = re.compile(
    r"(?:copy|add) failed|failed to compute cache key|failed to calculate checksum|no such file or directory.*(?:copier|COPY|ADD)"
    r"|building at STEP \"(?:COPY|ADD)",
    re.I,
)
_RUN = re.compile(r"returned a non-zero code|did not complete successfully|building at STEP \"RUN|exit status \d+", re.I)
_NETWORK = re.compile(
    r"temporary failure in name resolution|no such host|i/o timeout|tls handshake timeout|connection (?:refused|reset)"
    r"|network is unreachable|server misbehaving",
    re.I,
)
_DENIED = re.compile(r"unauthori[sz]ed|authentication required|no basic auth|access denied|denied:|forbidden", re.I)
_BASE = re.compile(
    r"manifest unknown|manifest for .* not found|no such image|name unknown|repository .* not found|pull access denied"
    r"|failed to resolve source metadata|: not found|short-name .* did not resolve|unable to find image",
    re.I,
)
_PLATFORM = re.compile(r"no matching manifest|no match for platform|no image found in .* for architecture", re.I)
_FORMAT = re.compile(r"exec format error", re.I)
_ASIDE = ("See 'docker", "View build details", "Learn more", "Run 'docker")


def unreachable(said: str, host: str) -> RunctlError:
    """The engine does not answer; `host` is what DOCKER_HOST says."""
    what, why = "docker can't be used", shortened(said)
    if _SOCKET.search(said):
        return WrongStateError(what, why, "let yourself use docker: sudo usermod -aG docker $USER, and log in anew")
    if _CONTEXT.search(said):
        return ConfigError(what, why, "`docker context ls` shows the contexts, `docker context use default` takes the usual one")
    if host and _DAEMON.search(said):
        return WrongStateError(what, why, f"start the engine at {host}, or unset DOCKER_HOST")
    if _DAEMON.search(said):
        start = "open -a Docker" if sys.platform == "darwin" else "sudo systemctl start docker"
        return WrongStateError(what, why, f"start it: {start}")
    return WrongStateError(what, why, "see what it says: docker version")


def not_built(said: str, dockerfile: str, folder: str) -> RunctlError:
    """A build failed; `said` is the end of what it printed, of which the last line is docker's own word."""
    what, why = f"{dockerfile} was not built", shortened(said)
    if _DISK.search(said):
        return WrongStateError(what, why, "make room: docker system prune")
    if _FORMAT.search(said) or _PLATFORM.search(why):
        return ConfigError(what, why, "choose a base image for that processor, or another one with --platform")
    if _SYNTAX.search(why):
        return ConfigError(what, why, f"mend {dockerfile}")
    if _RUN.search(why):
        return ConfigError(what, why, f"mend that command in {dockerfile}; what it printed stands above")
    if _COPY.search(why):
        return ConfigError(what, why, f"paths are from {folder}, where .dockerignore leaves out what it names")
    if _NETWORK.search(why):
        return Unavailable(what, why, "check the engine's way to the registry, and give the command again")
    if _BASE.search(why) or _DENIED.search(why):
        return NotFoundError(what, why, f"correct FROM in {dockerfile}; of a private registry: docker login REGISTRY")
    return ConfigError(what, why, f"mend {dockerfile}; what docker printed stands above")


def not_logged_in(said: str, registry: str) -> RunctlError:
    what, why = f"docker could not log in to {registry}", shortened(said)
    if _DENIED.search(why):
        mend = "see whose credentials are used: aws sts get-caller-identity; their policy must have ecr:GetAuthorizationToken"
        return RefusedError(what, why, mend)
    if _NETWORK.search(why):
        return Unavailable(what, why, "check the engine's way to the registry, and give the command again")
    mend = f"see what it says: aws ecr get-login-password | docker login --username AWS --password-stdin {registry}"
    return RefusedError(what, why, mend)


def not_pushed(said: str, image: str) -> RunctlError:
    what, why = f"{image} was not pushed", shortened(said)
    if _DENIED.search(why):
        rights = "allow ecr:BatchCheckLayerAvailability, InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload, PutImage"
        registry = image.partition("/")[0]
        return RefusedError(what, why, rights if ".dkr" in registry else f"log in: docker login {registry}")
    if _NETWORK.search(why):
        return Unavailable(what, why, "check the engine's way to the registry, and give the command again: it goes on")
    if _BASE.search(why):
        return NotFoundError(what, why, "make the repository, or correct --tag")
    return RefusedError(what, why, f"see what it says: docker push {image}")


def shortened(said: str) -> str:
    """The last line that says something."""
    lines = [" ".join(line.split()) for line in said.splitlines()]
    last = next((line for line in reversed(lines) if line and not line.startswith(_ASIDE)), "docker says nothing")
    return last if len(last) <= LONGEST else f"{last[:LONGEST]}…"
