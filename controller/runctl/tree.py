"""Which files are the code of a training: what git tracks and does not ignore, else all but the usual junk."""

from __future__ import annotations

import fnmatch
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from runctl_agent.errors import ConfigError

JUNK = (
    ".git",
    ".hg",
    ".svn",
    "__pycache__",
    "*.py[co]",
    ".venv",
    "venv",
    "node_modules",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".ipynb_checkpoints",
    "*.egg-info",
    "wandb",
    "*.swp",
    "*~",
    ".DS_Store",
    ".runctl*",
)
SECRETS = (".aws", ".ssh", ".gnupg", ".netrc", ".env", ".kube", ".docker")
"""What nobody means to send along: left out wherever git does not track it."""

MOST_FILES = 50_000


@dataclass(frozen=True, slots=True)
class Root:
    """Where the code begins, absolute: the top of a git work tree, or the script's own folder."""

    path: str
    git: bool

    def files(self, leave_out: Sequence[str] = ()) -> tuple[str, ...]:
        """Relative to the root, sorted; `leave_out` are the folders of checkpoints, of which only what git tracks is code.

        Raises ConfigError.
        """
        found: set[str] = set()
        listed = (_tracked if self.git else _walked)(self.path, "", _normal(leave_out))
        for path in listed:
            found.add(path)
            if len(found) > MOST_FILES:
                raise ConfigError(
                    f"{self.path} is no code to send along",
                    f"it has more than {MOST_FILES:,} files",
                    "put the training in a folder of its own, or under git with a .gitignore",
                )
        return tuple(sorted(found))

    def relative(self, path: str) -> str:
        """`path` from the root, with links in the folders on the way to it followed."""
        folder = os.path.realpath(os.path.dirname(path) or ".")
        return os.path.relpath(os.path.join(folder, os.path.basename(path)), os.path.realpath(self.path))


def root_around(script: str) -> Root:
    """Raises ConfigError where git can't say."""
    folder = os.path.dirname(os.path.abspath(script))
    top = _git_top(folder)
    return Root(top or folder, bool(top))


def _git_top(folder: str) -> str:
    """The top of the git work tree around `folder`; empty if there is none. Raises ConfigError where git can't say."""
    marked = next((up for up in _upwards(folder) if os.path.lexists(os.path.join(up, ".git"))), "")
    if not marked or os.path.realpath(marked) == os.path.realpath(os.path.expanduser("~")):
        return ""  # a work tree that is the whole home is somebody's dot files
    return _git(folder, "rev-parse", "--show-toplevel").rstrip(b"\n").decode("utf-8", "surrogateescape")


def _upwards(folder: str) -> Iterator[str]:
    while True:
        yield folder
        parent = os.path.dirname(folder)
        if parent == folder:
            return
        folder = parent


def _tracked(root: str, below: str, leave_out: frozenset[str]) -> Iterator[str]:
    """What git tracks, and what is new and not ignored, relative to `root`; of nested repositories and submodules too."""
    folder = os.path.join(root, below)
    for options, left_out in ((["--cached"], frozenset[str]()), (["--others", "--exclude-standard"], leave_out)):
        for name in _git(folder, "ls-files", "-z", *options).decode("utf-8", "surrogateescape").split("\0"):
            path = os.path.join(below, name.rstrip("/"))
            whole = os.path.join(root, path)
            if not name or not os.path.lexists(whole) or _is_below(path, left_out):
                continue
            if options[0] == "--others" and any(part in SECRETS for part in path.split("/")):
                continue
            if not os.path.isdir(whole) or os.path.islink(whole):
                yield path
            elif os.path.lexists(os.path.join(whole, ".git")):
                yield from _tracked(root, path, leave_out)


def _is_below(path: str, folders: frozenset[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _walked(root: str, below: str, leave_out: frozenset[str]) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(os.path.join(root, below)), key=lambda entry: entry.name)
    except OSError as error:
        raise ConfigError(
            f"can't read {os.path.join(root, below)}", error.strerror or str(error), "make it readable, or move it away"
        ) from error
    for entry in entries:
        path = os.path.join(below, entry.name)
        if path in leave_out or any(fnmatch.fnmatchcase(entry.name, pattern) for pattern in (*JUNK, *SECRETS)):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walked(root, path, leave_out)
        else:
            yield path


def _normal(paths: Sequence[str]) -> frozenset[str]:
    return frozenset(os.path.normpath(path) for path in paths if path and os.path.normpath(path) != ".")


def _git(folder: str, *arguments: str) -> bytes:
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # a hook's would mislead it
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, env=own, check=False)
    except OSError as error:
        raise ConfigError(
            f"{folder} is in a git work tree, and git can't be run", error.strerror or str(error), "install git"
        ) from error
    if done.returncode:
        why = " ".join(done.stderr.decode("utf-8", "replace").split())
        raise ConfigError(f"git can't say what belongs to {folder}", why, f"git -C {folder} {' '.join(arguments)}")
    return done.stdout
