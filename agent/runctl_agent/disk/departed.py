"""What is remembered of names that are no longer on disk. Pure.

A name that is gone for a moment may be one that is rewritten in place: a file is empty, and so no checkpoint, between its
opening and its first write. So the files of what went last are kept; of what went before, its signature and whether it was
ever rewritten.
"""

from __future__ import annotations

from runctl_agent.records import FileId

from .verdict import Candidate

_Key = tuple[str, str]

RECENT_FILES = 2000
"""Files kept of what went last: some hundreds of bytes each."""

LONGEST = 20_000
"""Names kept of what went before; the journal knows every one of them too, and takes no content twice."""


class Departed:
    """(root, name) to what was finished of it last."""

    def __init__(self) -> None:
        self._recent: dict[_Key, tuple[str, bool, dict[str, FileId]]] = {}
        self._files = 0
        self._before: dict[_Key, tuple[str, bool]] = {}

    def add(self, key: _Key, candidate: Candidate) -> None:
        self._recent[key] = candidate.given, candidate.rewritten, candidate.base
        self._files += len(candidate.base)
        while self._recent and self._files > RECENT_FILES:
            oldest = next(iter(self._recent))
            given, rewritten, base = self._recent.pop(oldest)
            self._files -= len(base)
            self._before[oldest] = given, rewritten
        while len(self._before) > LONGEST:
            del self._before[next(iter(self._before))]

    def take(self, key: _Key, signature: str) -> Candidate:
        """What is known of a name that is back, with `signature`. After long, other content was not written in place."""
        if key in self._recent:
            given, rewritten, base = self._recent.pop(key)
            self._files -= len(base)
            return Candidate(given=given, base=base, rewritten=rewritten)
        given, rewritten = self._before.pop(key, ("", False))
        return Candidate(given=given if given == signature else "", rewritten=rewritten)

    def rewritten(self, key: _Key) -> bool:
        _, rewritten, *_ = self._recent.get(key) or self._before.get(key) or ("", False)
        return rewritten

    def forget(self, key: _Key) -> None:
        """Its content may be given out again; whether it was rewritten stays known."""
        if key in self._recent or key in self._before:
            self._before[key] = "", self.take(key, "").rewritten
