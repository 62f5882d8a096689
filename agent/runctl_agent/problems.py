"""What keeps a publication from going out, until it goes out again; logged when it begins, changes and ends."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from .errors import RunctlError, StoreRefused, TagsRefused

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Problem:
    """`source`: tags, reading tags, slot memory, status.json, local status file, metrics.

    `denied`: someone has to grant a right.
    """

    source: str
    error: RunctlError

    @property
    def denied(self) -> bool:
        return isinstance(self.error, TagsRefused | StoreRefused)

    def __str__(self) -> str:
        return f"{self.source}: {self.error}"


class Problems:
    """Thread-safe: every change is one operation on a dictionary."""

    def __init__(self) -> None:
        self._current: dict[str, Problem] = {}

    def set(self, source: str, error: Exception) -> None:
        """`error` is what `source` failed of; what is neither ours nor the system's is a bug, and logged with its trace."""
        if isinstance(error, RunctlError):
            problem = Problem(source, error)
        else:
            problem = Problem(source, RunctlError(f"{source} could not be published", f"{type(error).__name__}: {error}"))
        known = self._current.get(source)
        self._current[source] = problem
        if known is None or str(known) != str(problem):
            trace = None if isinstance(error, RunctlError | OSError) else error
            log.warning("%s: %s", source, problem.error.full, exc_info=trace)

    def clear(self, source: str) -> None:
        if self._current.pop(source, None):
            log.info("%s: works again", source)

    def of(self, source: str) -> bool:
        return source in self._current

    def all(self) -> tuple[Problem, ...]:
        return tuple(self._current.copy().values())
