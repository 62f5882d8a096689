"""What is held by open descriptors alone: nothing takes it away, and it ends with the agent."""

from __future__ import annotations

import os
from contextlib import suppress

Key = tuple[str, str, str]
"""Root, name and signature."""


class Descriptors:
    """By checkpoint, from any task; the same content may be held more than once."""

    def __init__(self) -> None:
        self._held: dict[Key, list[dict[str, int]]] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def keep(self, key: Key, kept: dict[str, int]) -> None:
        """`kept`: descriptors by path, ours from now on."""
        self._held.setdefault(key, []).append(kept)

    def open(self, key: Key, path: str) -> int | None:
        """One file anew, for a duplicate would share its offset with every other; None: it is not held. Raises OSError."""
        kept = self._held.get(key)
        return os.open(f"/proc/self/fd/{kept[-1][path]}", os.O_RDONLY | os.O_NONBLOCK) if kept else None

    def close(self, key: Key) -> None:
        """What was held last under this key; nothing happens if nothing is."""
        kept = self._held.get(key, [])
        if kept:
            for fd in kept.pop().values():
                with suppress(OSError):  # nothing was written: there is nothing to lose
                    os.close(fd)
        if not kept:
            self._held.pop(key, None)

    def close_all(self) -> None:
        for key in list(self._held):
            while key in self._held:
                self.close(key)
