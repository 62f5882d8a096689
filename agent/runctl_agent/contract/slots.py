"""A state document cut into the chunks of one slot, which prove themselves: JSON in a gzip container, base64url, cut at 256.

Fields that say nothing are left out. The container (RFC 1952) has the length and the CRC-32 of the JSON, the JSON the letter
of its slot, so that no mixture of chunks of two writes, and no chunk of the other slot, is read as a state.
"""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from .document import Fields, Wrong, encode, parse, text
from .status import VITALS, State, brief_state, read_state

SLOTS = ("a", "b")
CHUNKS = 6
CHUNK = 256
"""Characters of a tag's value ("Tag your Amazon EC2 resources": 256 Unicode characters)."""

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_LARGEST_DOCUMENT = 2 * 2**20  # more than deflate, at 1032 to 1, can make of six chunks


def pack(state: State, slot: str) -> tuple[str, ...]:
    """The chunks of `state`, none of them empty, at most six.

    What is too large loses its oldest details, then its vitals and the name of what is being sent, then the ends of its
    messages; a checkpoint whose name alone does not fit loses the name, and says so.

    Raises ValueError for a state that `read_state` would refuse.
    """
    for smaller in _smaller(state):
        chunks = _cut(smaller, slot)
        if len(chunks) <= CHUNKS:
            return chunks
    raise ValueError(f"the smallest form of the state does not fit {CHUNKS} chunks")


def unpack(chunks: Sequence[str], slot: str) -> State:
    """The state that a prefix of `chunks` proves: what an older write left after the end does no harm. Raises Wrong."""
    wrong = Wrong("the slot is empty")
    joined = ""
    for chunk in chunks:
        if not chunk:
            break
        joined += chunk
        try:
            return _state(joined, slot)
        except Wrong as error:
            wrong = error
        if len(chunk) != CHUNK:
            break
    raise wrong


def _cut(state: State, slot: str) -> tuple[str, ...]:
    body = encode({**brief_state(state), "slot": slot}, read_state)
    whole = base64.urlsafe_b64encode(gzip.compress(body, mtime=0)).decode("ascii").rstrip("=")
    return tuple(whole[at : at + CHUNK] for at in range(0, len(whole), CHUNK))


def _state(joined: str, slot: str) -> State:
    fields = Fields(parse(_inflate(joined)))
    named = fields.need("slot", text)
    if named != slot:
        raise Wrong(f"the document is that of slot {named}", "slot")
    return read_state(fields)


def _inflate(joined: str) -> bytes:
    if not _BASE64URL.fullmatch(joined) or len(joined) % 4 == 1:
        raise Wrong("not base64url")
    packed = base64.urlsafe_b64decode(joined + "=" * (-len(joined) % 4))
    container = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        body = container.decompress(packed, _LARGEST_DOCUMENT)
    except zlib.error as error:
        raise Wrong(f"the gzip container is damaged: {error}") from None
    if not container.eof or container.unused_data:
        raise Wrong("the gzip container does not end where the chunks do")
    return body


def _smaller(state: State) -> Iterator[State]:
    """Ever smaller forms of `state`, the first of them itself."""
    yield state
    yield from _largest(len(state.details), lambda kept: replace(state, details=state.details[:kept]))
    state = _without_vitals(replace(state, details=(), sending=None))
    yield state
    longest = max(len(state.error), *(len(c.message) for c in state.conditions), 0)
    yield from _largest(longest, lambda kept: _shortened(state, kept))
    bare = _shortened(state, 0)
    yield replace(bare, checkpoint=None, error="the checkpoint's name is too long for the tags")


def _largest(limit: int, form: Callable[[int], State]) -> Iterator[State]:
    """`form(n)` for the largest n that fits, found by halving; nothing if not even `form(0)` does."""
    low, high = -1, limit
    while low < high:
        middle = (low + high + 1) // 2
        if len(_cut(form(middle), SLOTS[0])) <= CHUNKS:
            low = middle
        else:
            high = middle - 1
    if low >= 0:
        yield form(low)


def _without_vitals(state: State) -> State:
    nothing: dict[str, Any] = dict.fromkeys(VITALS)
    return replace(state, **nothing)


def _shortened(state: State, longest: int) -> State:
    conditions = tuple(replace(c, message=_clipped(c.message, longest)) for c in state.conditions)
    return replace(state, details=(), error=_clipped(state.error, longest), conditions=conditions)


def _clipped(message: str, longest: int) -> str:
    if len(message) <= longest:
        return message
    return message[: longest - 3] + "..." if longest > 3 else message[:longest]
