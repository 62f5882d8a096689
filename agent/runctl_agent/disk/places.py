"""Where snapshots lie: on the same mount as what they hold, and never in a watched directory.

Every place has a directory for this agent alone, named by its state directory: two agents on one machine may share a mount
point, and neither may sweep away what the other holds.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable

from runctl_agent.errors import WrongStateError

from .mounts import Mount, mount_of
from .openat import make_below, open_below, open_directory, opened

MODE = 0o700


class Places:
    """The places for staging, given the state directory and all watched directories."""

    def __init__(
        self,
        state_dir: str,
        roots: Iterable[str],
        *,
        superuser: bool,
        mount: Callable[[str], Mount | None] = mount_of,
    ) -> None:
        self._state = os.path.realpath(state_dir)
        self._roots = tuple(roots)
        self._superuser = superuser
        self._mount = mount
        self._ours = hashlib.sha256(os.fsencode(self._state)).hexdigest()[:12]

    def for_root(self, root: str) -> list[str]:
        """Where what lies in `root` may be staged, best first. Raises OSError if the root can't be reached."""
        real = os.path.realpath(root)
        return [place for place in self._possible(real) if self._is_outside(place, real) and self._on_one_mount(place, real)]

    def all(self) -> list[str]:
        """Every place that may hold something from now or from before."""
        found = [os.path.join(self._state, "staging")]
        for root in self._roots:
            try:
                found += self._possible(os.path.realpath(root))
            except OSError:  # a root that is not there has no mount; what it left in the state directory is found
                continue
        return list(dict.fromkeys(found))

    def open(self, place: str, *, make: bool) -> int:
        """Open a place, ours alone. Raises OSError, and WrongStateError if it isn't."""
        base, names = self._split(place)
        fd = open_directory(base)
        for name in names:
            with opened(fd):
                below = make_below(fd, [name]) if make else open_below(fd, name)
            fd = below
            _require_ours(place, fd)
        return fd

    def _possible(self, real: str) -> list[str]:
        found = [os.path.join(self._state, "staging")]
        mount = self._mount(real)
        if self._superuser and mount is not None:
            found.append(os.path.join(mount.point, ".runctl", self._ours))
        found.append(os.path.join(os.path.dirname(real), ".runctl-staging", self._ours))
        return found

    def _split(self, place: str) -> tuple[str, list[str]]:
        """The directory that must be there, and the names below it that are ours to make."""
        below = 1 if os.path.dirname(place) == self._state else 2
        names = place.split("/")
        return "/".join(names[:-below]) or "/", names[-below:]

    def _is_outside(self, place: str, real: str) -> bool:
        watched = [real, *(os.path.realpath(root) for root in self._roots)]
        return not any(os.path.commonpath([place, root]) == root for root in watched)

    def _on_one_mount(self, place: str, real: str) -> bool:
        base, _ = self._split(place)
        try:
            return os.stat(base).st_dev == os.stat(real).st_dev and self._mount(base) == self._mount(real)
        except OSError:
            return False


def _require_ours(place: str, fd: int) -> None:
    """Close `fd` unless the directory is ours; then nobody else may enter it."""
    status = os.fstat(fd)
    if status.st_uid != os.geteuid():
        os.close(fd)
        raise WrongStateError(f"{place} is not used for staging", "another user owns it", f"remove it: rm -r {place!r}")
    if status.st_mode & 0o077:
        os.fchmod(fd, MODE)
