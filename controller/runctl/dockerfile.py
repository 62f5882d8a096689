"""Where people put their Dockerfile."""

from __future__ import annotations

import os

from runctl_agent.errors import NotFoundError, UsageError

NAMES = ("Dockerfile", "Containerfile", "dockerfile")
FOLDERS = ("", "docker", ".docker", "build", "deploy", "container", "containers", ".devcontainer")
"""The first that has one; the files that it copies are named from the top all the same."""


def dockerfile_of(folder: str, named: str = "") -> str:
    """Its path; `named` is the user's own choice. Raises NotFoundError, UsageError."""
    if not os.path.isdir(folder):
        file = os.path.isfile(folder)
        raise UsageError(
            f"{folder} can't be built",
            "a folder is built, and this is a file" if file else "there is no such folder",
            f"runctl docker build {os.path.dirname(folder) or '.'} --file {folder}" if file else "name the folder of the project",
        )
    if named:
        return _named(folder, named)
    for place in FOLDERS:
        found = _in(os.path.join(folder, place))
        if found:
            return found
    places = ", ".join(os.path.join(place, NAMES[0]) for place in FOLDERS[:3])
    raise NotFoundError(
        f"there is no Dockerfile in {os.path.abspath(folder)}",
        f"none of {places} and the like is there",
        "write one (its first line: FROM pytorch/pytorch), or name it: --file PATH",
    )


def _named(folder: str, named: str) -> str:
    """From where the user is, as for docker; else from the folder."""
    for path in (named, os.path.join(folder, named)):
        if os.path.isfile(path):
            return path
    raise NotFoundError(f"there is no Dockerfile {named}", f"nor is it in {os.path.abspath(folder)}", "correct --file")


def _in(place: str) -> str:
    """Empty: there is none. Raises UsageError where there are several and none is the plain one."""
    try:
        there = sorted(os.listdir(place))
    except OSError:
        return ""
    there = [name for name in there if os.path.isfile(os.path.join(place, name))]
    for name in NAMES:
        if name in there:  # and not by asking for it: on macOS `dockerfile` is found as `Dockerfile`
            return os.path.join(place, name)
    kinds = [name for name in there if name.startswith("Dockerfile.") or name.endswith(".Dockerfile")]
    kinds = [name for name in kinds if not name.endswith(".dockerignore")]
    if len(kinds) > 1:
        raise UsageError(
            f"{os.path.abspath(place)} has several Dockerfiles",
            ", ".join(kinds),
            f"say which: --file {os.path.normpath(os.path.join(place, kinds[0]))}",
        )
    return os.path.join(place, kinds[0]) if kinds else ""
