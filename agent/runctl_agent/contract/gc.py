"""What retention writes down: `gc.json`, the checkpoints condemned, and the pins of those about to be committed.

The documents are JSON in ASCII. Keys that a decoder does not know are ignored, a later `version` is refused.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from .document import Fields, Wrong, array, between, encode, optional, parse, show, total
from .keys import LAST_EPOCH, LAST_SEQ, parse_snapshot, read_snapshot, snapshot
from .malformed import Malformed
from .manifest import Rank, read_rank
from .names import nonce

VERSION = 1
"""Of both documents."""


class Span(NamedTuple):
    """The seqs `first` to `last` of one epoch. What is condemned stays so for ever, so it is kept short."""

    epoch: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Gc:
    """`condemned` is in order, without overlap. `left`: the condemned whose data may still be there, wholly or in part.

    `fence`: nobody whose epoch is lower condemns anything.
    """

    fence: int = 0
    condemned: tuple[Span, ...] = ()
    left: frozenset[str] = frozenset()
    nonce: str = ""

    def condemns(self, name: str) -> bool:
        """Whether the checkpoint `<epoch>-<seq>` is: then its manifest, should it still be there, is ignored."""
        epoch, seq = parse_snapshot(name)
        place = bisect_right(self.condemned, (epoch, seq, LAST_SEQ)) - 1
        return place >= 0 and self.condemned[place].epoch == epoch and seq <= self.condemned[place].last

    def condemning(self, names: Iterable[str]) -> tuple[Span, ...]:
        """`condemned` with these too."""
        return spans([*self.condemned, *(Span(epoch, seq, seq) for epoch, seq in map(parse_snapshot, names))])


@dataclass(frozen=True, slots=True)
class Pin:
    """The checkpoint (`epoch`, `seq`) is about to name the data of the checkpoints `names`; `rank`: where it will stand."""

    epoch: int
    seq: int
    names: frozenset[str]
    rank: Rank | None
    nonce: str

    @property
    def snapshot(self) -> str:
        return snapshot(self.epoch, self.seq)


def spans(given: Iterable[Span]) -> tuple[Span, ...]:
    """The same seqs in the fewest spans, in order.

    >>> spans([Span(1, 5, 5), Span(1, 1, 3), Span(1, 4, 4), Span(2, 6, 6)])
    (Span(epoch=1, first=1, last=5), Span(epoch=2, first=6, last=6))
    """
    return tuple(_joined(sorted(given)))


def _joined(ordered: Iterable[Span]) -> Iterator[Span]:
    open_: Span | None = None
    for span in ordered:
        if open_ is not None and span.epoch == open_.epoch and span.first <= open_.last + 1:
            open_ = open_._replace(last=max(open_.last, span.last))
            continue
        if open_ is not None:
            yield open_
        open_ = span
    if open_ is not None:
        yield open_


# --- encoding and decoding ---


def encode_gc(gc: Gc) -> bytes:
    """Raises ValueError for what `decode_gc` would refuse."""
    plain = {
        "version": VERSION,
        "fence": gc.fence,
        "condemned": [list(span) for span in gc.condemned],
        "left": sorted(gc.left),
        "nonce": gc.nonce,
    }
    return encode(plain, _gc)


def decode_gc(body: bytes) -> Gc | Malformed:
    return total(lambda given: _gc(Fields(parse(given))), body)


def encode_pin(pin: Pin) -> bytes:
    """Raises ValueError for what `decode_pin` would refuse."""
    plain = {
        "version": VERSION,
        "epoch": pin.epoch,
        "seq": pin.seq,
        "names": sorted(pin.names),
        "rank": None if pin.rank is None else list(pin.rank),
        "nonce": pin.nonce,
    }
    return encode(plain, _pin)


def decode_pin(body: bytes) -> Pin | Malformed:
    return total(lambda given: _pin(Fields(parse(given))), body)


_epoch_number = between(0, LAST_EPOCH)
_seq_number = between(0, LAST_SEQ)


def _gc(fields: Fields) -> Gc:
    fields.version(VERSION)
    gc = Gc(
        fence=fields.need("fence", _epoch_number),
        condemned=fields.need("condemned", array(_span)),
        left=frozenset(fields.need("left", array(read_snapshot))),
        nonce=fields.get("nonce", nonce, ""),
    )
    for before, after in pairwise(gc.condemned):
        if (before.epoch, before.last) >= (after.epoch, after.first):
            raise Wrong(f"{show(str(tuple(after)))} does not come after {show(str(tuple(before)))}", "condemned")
    for name in gc.left:
        if not gc.condemns(name):
            raise Wrong(f"{name} is not condemned", "left")
    return gc


def _span(value: object) -> Span:
    if not isinstance(value, list) or len(value) != len(Span._fields):
        raise Wrong(f"expected a list of [epoch, first seq, last seq], not {show(value)}")
    span = Span(_epoch_number(value[0]), _seq_number(value[1]), _seq_number(value[2]))
    if span.last < span.first:
        raise Wrong(f"{span.last} is below {span.first}")
    return span


def _pin(fields: Fields) -> Pin:
    fields.version(VERSION)
    return Pin(
        epoch=fields.need("epoch", _epoch_number),
        seq=fields.need("seq", _seq_number),
        names=frozenset(fields.need("names", array(read_snapshot))),
        rank=fields.get("rank", optional(read_rank), None),
        nonce=fields.get("nonce", nonce, ""),
    )
