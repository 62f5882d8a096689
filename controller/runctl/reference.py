"""The names of images: `[registry/]repository[:tag]` (Distribution's reference grammar)."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

from runctl_agent.contract.registry import ecr
from runctl_agent.errors import UsageError

OURS = "runctl"
"""Where repositories lie that nobody named, so that a policy can tell them from others."""

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class Reference:
    """`registry` empty: none is named."""

    repository: str
    tag: str
    registry: str = ""

    def __str__(self) -> str:
        return f"{self.name}:{self.tag}"

    @property
    def name(self) -> str:
        """Without the tag."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository

    @property
    def ecr(self) -> tuple[str, str] | None:
        """Account and region of a registry of ECR's."""
        return ecr(self.registry)


def parse(text: str) -> Reference:
    """Raises UsageError.

    >>> parse("train"), str(parse("ghcr.io/me/train:1"))
    (Reference(repository='train', tag='latest', registry=''), 'ghcr.io/me/train:1')
    """
    first, slash, rest = text.partition("/")
    # As docker tells a registry from a folder: by a dot, a port, or the one name that has neither.
    registry, path = (first, rest) if slash and ("." in first or ":" in first or first == "localhost") else ("", text)
    repository, colon, tag = path.partition(":")
    tag = tag if colon else "latest"
    if not _REPOSITORY.fullmatch(repository) or not _TAG.fullmatch(tag):
        raise UsageError(
            f"{text!r:.80} is no name of an image",
            "[registry/]repository[:tag], the repository of a-z, 0-9 and single . _ - /",
            "--tag train:1",
        )
    return Reference(repository, tag, registry)


def default(folder: str) -> Reference:
    """`runctl/<folder>:<commit>`, with -dirty where git knows of changes; outside git `latest`."""
    name = re.sub(r"[^a-z0-9]+", "-", os.path.basename(os.path.abspath(folder)).lower()).strip("-")
    return Reference(f"{OURS}/{name or 'train'}", _commit(folder) or "latest")


def _commit(folder: str) -> str:
    argv = ["git", "-C", folder, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = done.stdout.strip()
    return found if done.returncode == 0 and _TAG.fullmatch(found) else ""
