"""A log in S3: pieces, each named by the byte of the log at which it begins. The last one grows: it is written anew, longer.

Pure. What a reader finds under the keys of one `keys.Series`, put together in the order of their offsets, is the log.
"""

from __future__ import annotations

from collections.abc import Iterable

PIECE = 256 * 1024
"""Bytes from which on a piece grows no more: so much is written again at most, and kept in memory."""


class Pieces:
    """The writer's side. `end` is where the log ends, as far as it is in S3.

    A put that failed may still land, at any time: it is put again as it was, and the piece grows no more after that, so that
    what lands late takes nothing away.
    """

    def __init__(self, end: int = 0, spare: int = 0) -> None:
        """`end`: where an earlier writer stopped; the next piece begins there. `spare`: so many bytes sooner a piece is full."""
        self.begins = end
        self._body = b""
        self._sent = 0
        self._full = PIECE - spare
        self._failed = False

    @property
    def end(self) -> int:
        return self.begins + self._sent

    @property
    def tried(self) -> int:
        """Where the log ends once what is due was put."""
        return self.begins + len(self._body)

    @property
    def room(self) -> int:
        """Bytes that may be added: none while a put is in doubt."""
        return 0 if self._failed else PIECE - len(self._body)

    @property
    def in_doubt(self) -> bool:
        """Whether what is due may be there already."""
        return self._failed

    @property
    def unsent(self) -> bytes:
        return self._body[self._sent :]

    def add(self, text: bytes) -> None:
        """At most `room` bytes."""
        if len(text) > self.room:
            raise ValueError(f"{len(text)} bytes for a room of {self.room}")
        self._body += text

    def due(self) -> tuple[int, bytes] | None:
        """What is to be put, and the offset that names it; None: nothing is new. Put it, then tell `sent` or `failed`."""
        return (self.begins, self._body) if len(self._body) > self._sent else None

    def failed(self) -> None:
        self._failed = True

    def sent(self) -> None:
        self._sent = len(self._body)
        if self._failed or self._sent >= self._full:
            self.begins, self._body, self._sent, self._failed = self.begins + self._sent, b"", 0, False


def put_together(pieces: Iterable[tuple[int, bytes]]) -> bytes:
    """The log that pieces with their offsets make. What overlaps, after an answer that was lost, is taken from the later piece;
    a gap, where a piece was deleted, is said in its place.

    >>> put_together([(3, b"def"), (0, b"abc")])
    b'abcdef'
    >>> put_together([(0, b"abcX"), (3, b"def"), (8, b"g")])
    b'abcdef\\n[2 bytes of this log are missing here]\\ng'
    """
    whole = bytearray()
    position = 0
    for offset, body in sorted(pieces):
        if offset > position:
            whole += b"\n[%d bytes of this log are missing here]\n" % (offset - position)
        elif offset < position:
            del whole[len(whole) - (position - offset) :]
        whole += body
        position = offset + len(body)
    return bytes(whole)
