"""How staging would hold what a watched directory has: tried, and taken back. Nothing is written into the directory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from contextlib import ExitStack

from runctl_agent.access import open_way
from runctl_agent.errors import WrongStateError
from runctl_agent.records import Held

from . import hold
from .openat import DIRECTORY, open_file, opened
from .places import Places

NAME = "trial"


def try_to_hold(root: str, state_dir: str, roots: Iterable[str]) -> tuple[Held, str]:
    """How, and in which place (empty: by descriptors). What it tries with is a file of the directory, where it has one.

    Raises OSError where `root` can't be read.
    """
    places = Places(state_dir, roots, superuser=os.geteuid() == 0)
    for place in places.for_root(root):
        try:
            with opened(places.open(place, make=True)) as fd:
                return _try_in(fd, root), place
        except (OSError, WrongStateError):  # as when staging: the next place
            continue
    return Held.DESCRIPTOR, ""


def _try_in(place: int, root: str) -> Held:
    label = f"{NAME}-{os.getpid()}"
    os.mkdir(label, 0o700, dir_fd=place)
    with ExitStack() as after:
        after.callback(shutil.rmtree, label, ignore_errors=True, dir_fd=place)
        target = after.enter_context(opened(os.open(label, DIRECTORY, dir_fd=place)))
        source = after.enter_context(opened(_source(root, target)))
        if hold.reflink(source, target, NAME) is not None:
            return Held.REFLINK
        return Held.COPY if hold.link(source, target, NAME) is None else Held.LINK


def _source(root: str, target: int) -> int:
    """A readable file of the watched directory, else one of our own beside the target."""
    with opened(open_way(root)) as directory:
        for name in os.listdir(directory):
            try:
                return open_file(directory, name)
            except OSError:  # no regular file, or not ours to read
                continue
    return os.open("own", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=target)
