"""A run's log, from the pieces in which its agents put it into S3: attempt by attempt, each epoch's in order."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from runctl_agent.contract.history import moments
from runctl_agent.runtime import Runtime
from runctl_agent.store.retry import patiently

from .documents import Attempt
from .moment import utc
from .shelf import Shelf
from .shown import harmless

TRAINING, AGENT = "training.log", "agent.log"
"""What the trainings printed, and what their agents log (DESIGN.md section 5)."""

LONGEST = 64 * 1024
"""Bytes of one line, past which it is shown in several."""

_EPOCH = re.compile(r"logs/([0-9]{6})/")


@dataclass(frozen=True, slots=True)
class Piece:
    """One object: what the log of `epoch` has from the byte `offset` on."""

    epoch: int
    offset: int
    key: str


@dataclass(frozen=True, slots=True)
class Line:
    """`text` has no newline, and nothing in it commands a terminal."""

    epoch: int
    text: str


class Log:
    """One log of one run. Every method may raise StoreError."""

    def __init__(self, shelf: Shelf, run: str, name: str, runtime: Runtime) -> None:
        self._shelf = shelf
        self._keys = shelf.keys(run)
        self._name = name
        self._runtime = runtime

    def pieces(self) -> list[Piece]:
        """All there are now, in the order of the log."""
        base = self._keys.base
        keys = patiently(self._runtime, lambda: list(self._shelf.store.list(f"{base}logs/")))
        found = []
        for key in keys:
            place = _EPOCH.match(key.removeprefix(base))
            offset = None if place is None else self._keys.log(int(place[1]), self._name).offset(key)
            if place is not None and offset is not None:
                found.append(Piece(int(place[1]), offset, key))
        return sorted(found, key=lambda one: (one.epoch, one.offset))

    def body(self, piece: Piece) -> bytes:
        """Empty where it is gone."""
        got = patiently(self._runtime, lambda: self._shelf.store.get(piece.key))
        return b"" if got is None else got.body

    def attempt(self, epoch: int, text: str = "") -> Attempt:
        """Whose an epoch was, by what its history begins with: a machine counts its attempt once it knows of those before.

        `text`: of the log.
        """
        got = patiently(self._runtime, lambda: self._shelf.store.get(self._keys.history(epoch).key(0)))
        told = [] if got is None else moments(got.body)
        if not told:
            return {"epoch": epoch, "attempt": None, "instance": "", "began": None, "text": text}
        last = max(told, key=lambda one: one.attempt)
        instance = next((one.instance for one in told if one.instance), "")
        return {"epoch": epoch, "attempt": last.attempt or None, "instance": instance, "began": told[0].at, "text": text}

    def last(self, pieces: Sequence[Piece], lines: int) -> Sequence[Piece]:
        """The fewest at the end that have so many lines; 0: all."""
        if not lines:
            return pieces
        seen = 0
        for n in range(len(pieces) - 1, -1, -1):
            seen += self.body(pieces[n]).count(b"\n")
            if seen > lines:
                return pieces[n:]
        return pieces


class Reader:
    """Reads on from where it was: pieces that are there already may have grown."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._epoch = 0
        self._position = 0
        self._text = b""

    def begin(self, pieces: Sequence[Piece]) -> None:
        """At the first of `pieces`, wherever in the log that is."""
        if pieces:
            self._epoch, self._position = pieces[0].epoch, pieces[0].offset

    def new(self, pieces: Sequence[Piece]) -> Iterator[Line]:
        """The lines that were not read yet; of a last one without its end nothing."""
        for n, piece in enumerate(pieces):
            after = pieces[n + 1] if n + 1 < len(pieces) and pieces[n + 1].epoch == piece.epoch else None
            if piece.epoch < self._epoch or (piece.epoch == self._epoch and after is not None and after.offset <= self._position):
                continue
            if piece.epoch > self._epoch:
                yield from self.rest()
                self._epoch, self._position = piece.epoch, 0
            yield from self._read(piece, None if after is None else after.offset)

    def rest(self) -> Iterator[Line]:
        """What is left of a line that nothing ended."""
        text, self._text = self._text, b""
        if text:
            yield self._line(text)

    def drawn(self) -> Iterator[Line]:
        """A progress bar that is drawn over and over in one line, as it is now."""
        if b"\r" in self._text:
            yield from self.rest()

    def _read(self, piece: Piece, until: int | None) -> Iterator[Line]:
        body = self._log.body(piece)
        if body and piece.offset > self._position:
            yield from self.rest()
            yield Line(self._epoch, f"[{piece.offset - self._position} bytes of this log are missing here]")
            self._position = piece.offset
        end = len(body) if until is None else until - piece.offset
        new = body[self._position - piece.offset : end]
        self._position += len(new)
        *whole, self._text = (self._text + new).split(b"\n")
        for text in whole:
            yield from map(self._line, _cut(text))
        if len(self._text) > LONGEST:
            yield from self.rest()

    def _line(self, text: bytes) -> Line:
        return Line(self._epoch, harmless(text.decode("utf-8", "backslashreplace")))


def _cut(text: bytes) -> Iterator[bytes]:
    yield from (text[at : at + LONGEST] for at in range(0, len(text), LONGEST)) if text else (b"",)


def tail(lines: Iterable[Line], count: int) -> Sequence[Line]:
    """The last `count`."""
    return tuple(deque(lines, maxlen=count))


def title(attempt: Attempt) -> str:
    """Such as `==> attempt 2, epoch 3, i-0123456789abcdef0, from 2026-11-23 18:09:35Z <==`."""
    parts = [] if attempt["attempt"] is None else [f"attempt {attempt['attempt']}"]
    parts.append(f"epoch {attempt['epoch']}")
    parts += [attempt["instance"]] if attempt["instance"] else []
    parts += [f"from {utc(attempt['began'])}"] if attempt["began"] is not None else []
    return f"==> {', '.join(parts)} <=="


class Shower:
    """Writes lines, and before each attempt which one it is; where there is only one, nothing."""

    def __init__(self, log: Log, write: Callable[[str], None], *, several: bool) -> None:
        self._log = log
        self._write = write
        self._epoch = None if several else 0

    def show(self, lines: Iterable[Line]) -> int:
        """How many there were."""
        count = 0
        for line in lines:
            if line.epoch != self._epoch and self._epoch != 0:
                self._write(title(self._log.attempt(line.epoch)))
            self._epoch = line.epoch
            self._write(line.text)
            count += 1
        return count


def attempts(log: Log, lines: Iterable[Line]) -> list[Attempt]:
    texts: dict[int, list[str]] = {}
    for line in lines:
        texts.setdefault(line.epoch, []).append(line.text + "\n")
    return [log.attempt(epoch, "".join(text)) for epoch, text in texts.items()]
