"""Bringing a checkpoint's files from S3 into a directory: ranges side by side, each verified while it streams by.

A range is several portions of one object, in one request; each is written to its place as it arrives, whatever became of
the others, and what is wrong or was cut off is fetched anew from the portion on where that happened. Little is held in
memory: a chunk for each task.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from runctl_agent.contract.files import ZSTD
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import ManifestFile
from runctl_agent.errors import BadChecksum, StoreUnavailable
from runctl_agent.runtime import Runtime, run_pool

from .check import Portion, Sum
from .codec import decoded
from .crc import crc32
from .folder import Owner
from .incoming import CHUNK, Incoming
from .objects import Body, ObjectStore
from .retry import ATTEMPTS, pause

WIDTH = 8
"""Ranges in flight; after a kill at most as many portions are fetched a second time."""
LONGEST = 64 * 1024 * 1024
"""Bytes of a range that is more than one portion: long enough that the request itself costs nothing."""
TRIES = 3
"""For a portion that does not arrive as it was sent; the object may be right all the same."""

Progress = Callable[[int, int], None]
"""Told the bytes of content that are there, and in all; from several tasks, one at a time. The first may also shrink."""


def unheard(done: int, total: int) -> None:
    """The progress of which nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring portions of one file, which one task sees to."""

    file: Incoming
    portions: Sequence[Portion]


class Fetcher:
    def __init__(
        self,
        store: ObjectStore,
        keys: Keys,
        runtime: Runtime,
        owner: Owner | None = None,
        progress: Progress = unheard,
    ) -> None:
        self._store = store
        self._keys = keys
        self._runtime = runtime
        self._owner = owner
        self._progress = progress

    def fetch(self, files: Sequence[ManifestFile], tree: int) -> int:
        """Write every file below the directory `tree`, durable, with its mtime; returns the bytes that were not there yet.

        What an earlier try left in `tree` is verified in its place, and only what is missing is fetched. Raises BadChecksum
        (a file is not what its manifest says), NotFoundError (an object is gone), StoreUnavailable, OSError.
        """
        incoming = [Incoming(file, tree, self._owner, self._runtime.lock()) for file in files]
        total = sum(file.size for file in files)
        tally = _Tally(total, self._progress, self._runtime.lock())
        try:
            run_pool(
                self._runtime, "restore", WIDTH, lambda one: self._see_to(one, tally), list(stretches(incoming, _longest(total)))
            )
        except Exception:  # what is no Exception ends the process, and other tasks may be writing to these descriptors
            for file in incoming:
                file.close()
            raise
        return tally.fetched

    def _see_to(self, stretch: Stretch, tally: _Tally) -> None:
        stretch.file.open()
        missing: deque[Portion] = deque()
        for portion in stretch.portions:
            if stretch.file.has(portion):
                tally.add(portion.size, fetched=False)
                self._bring(stretch.file, missing, tally)
            else:
                missing.append(portion)
        self._bring(stretch.file, missing, tally)

    def _bring(self, file: Incoming, missing: deque[Portion], tally: _Tally) -> None:
        """Fetch neighbouring portions, until none is missing."""
        bad = silent = 0
        while missing:
            before = len(missing)
            try:
                self._receive(file, missing, tally)
            except (BadChecksum, StoreUnavailable) as error:
                if len(missing) < before:
                    bad = silent = 0
                bad, silent = (bad + 1, silent) if isinstance(error, BadChecksum) else (bad, silent + 1)
                if bad == TRIES or silent == ATTEMPTS:
                    raise
                pause(self._runtime, bad + silent)

    def _receive(self, file: Incoming, missing: deque[Portion], tally: _Tally) -> None:
        """One request; takes from `missing` what has arrived."""
        first, last = missing[0], missing[-1]
        room = memoryview(bytearray(CHUNK))
        with self._opened(file.file, first.at, last.at + last.stored - first.at) as body:
            while missing:
                self._take(file, missing[0], _Stored(body, missing[0], room), tally)
                missing.popleft()

    def _opened(self, file: ManifestFile, at: int, length: int) -> AbstractContextManager[Body]:
        if not length:
            return nullcontext(io.BytesIO())  # S3 has no empty range
        return self._store.open_range(self._keys.absolute(file.object), at, length)

    def _take(self, file: Incoming, portion: Portion, stored: _Stored, tally: _Tally) -> None:
        content = Sum()
        try:
            for data in _content(file.file, portion, stored):
                file.write(data, portion.offset + content.size)
                content.update(data)
                tally.add(len(data))
            if fault := content.fault(portion) or stored.fault():
                raise BadChecksum(f"{file.file.object} is not what its manifest says", fault)
        except Exception:
            tally.add(-content.size)
            raise
        file.arrived(portion, content.crc if portion.crc is None else portion.crc)


def stretches(files: Iterable[Incoming], longest: int) -> Iterator[Stretch]:
    """Every file cut into stretches of at most `longest` bytes in the object, or one portion."""
    for file in files:
        gathered: list[Portion] = []
        for portion in file.portions:
            if gathered and portion.at + portion.stored - gathered[0].at > longest:
                yield Stretch(file, gathered)
                gathered = []
            gathered.append(portion)
        yield Stretch(file, gathered)


def _longest(total: int) -> int:
    """Shorter where there is little to fetch, so that every task has some."""
    return min(LONGEST, total // (4 * WIDTH))


def _content(file: ManifestFile, portion: Portion, stored: _Stored) -> Iterator[bytes | memoryview]:
    """Each piece is good until the next one."""
    if file.encoding == ZSTD:
        yield from decoded(stored, portion.size, CHUNK)
        while stored.take():  # what fills up after the frame
            pass
    else:
        while piece := stored.take():
            yield piece


class _Stored:
    """The stored bytes of one portion, out of a body that goes on after them. `room` is where they arrive."""

    def __init__(self, body: Body, portion: Portion, room: memoryview) -> None:
        self._body = body
        self._room = room
        self._left = portion.stored
        self._wanted = portion.crc
        self._crc = 0

    def take(self) -> memoryview:
        """The next of them; empty at the end."""
        count = self._body.readinto(self._room[: self._left]) if self._left else 0
        piece = self._room[:count]
        self._left -= count
        if self._wanted is not None:
            self._crc = crc32(piece, self._crc)
        return piece

    def read(self, size: int) -> bytes:
        """The same, for a decoder, which asks for pieces of CHUNK."""
        return bytes(self.take())

    def fault(self) -> str:
        if self._wanted is None or self._crc == self._wanted:
            return ""
        return f"the CRC-32 of a compressed part is {self._crc:08x} instead of {self._wanted:08x}"


class _Tally:
    """What is there of all. `fetched`: what was not there before."""

    def __init__(self, total: int, progress: Progress, lock: AbstractContextManager[object]) -> None:
        self._total = total
        self._progress = progress
        self._lock = lock
        self._done = 0
        self.fetched = 0

    def add(self, count: int, *, fetched: bool = True) -> None:
        with self._lock:
            self._done += count
            self.fetched += count if fetched else 0
            self._progress(self._done, self._total)
