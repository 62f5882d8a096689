"""Bytes made worse, by one who knows what they are: JSON, YAML, binary headers, or nothing in particular. Seeded."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Callable, Sequence

from .words import NUMBERS, TOKENS

LONGEST = 4096
"""Bytes of a mutation, but of what is nested or repeated on purpose."""

WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}
DEPTHS = (10, 200, 330, 490, 900, 985, 1000, 20_000)


class Pairs(list[tuple[str, object]]):
    """A JSON object that may have a name twice."""


class Mutator:
    """`others` are spliced in."""

    def __init__(self, seed: int, others: Sequence[bytes] = (), deepest: int = DEPTHS[-1]) -> None:
        self._depths = [depth for depth in DEPTHS if depth <= deepest]
        self._random = random.Random(seed)
        self._others = tuple(others) or (b"",)
        self._plain: tuple[Callable[[bytes], bytes], ...] = (
            *(
                self._flip,
                self._put,
                self._insert,
                self._remove,
                self._repeat,
                self._splice,
                self._number,
                self._integer,
                self._token,
            ),
            *(self._cut, self._number, self._token, self._swap),
        )

    def mutated(self, body: bytes) -> bytes:
        for _ in range(self._random.choice((1, 1, 1, 2, 3, 6))):
            body = self._once(body)
        return body

    def _once(self, body: bytes) -> bytes:
        chance = self._random.random()
        if chance < 0.45 and (tree := _parsed(body)) is not None:
            try:
                return _written(self._grown(tree))
            except RecursionError:
                return body
        if chance < 0.47:
            return self._nested(body)
        return self._random.choice(self._plain)(body)[:LONGEST]

    def _at(self, body: bytes) -> int:
        return self._random.randint(0, len(body))

    def _span(self, body: bytes) -> tuple[int, int]:
        begin = self._at(body)
        return begin, min(len(body), begin + int(self._random.expovariate(1 / 8)) + 1)

    def _flip(self, body: bytes) -> bytes:
        at = self._at(body)
        return body[:at] + bytes([body[at] ^ 1 << self._random.randrange(8)]) + body[at + 1 :] if at < len(body) else body

    def _put(self, body: bytes) -> bytes:
        at = self._at(body)
        return body[:at] + bytes([self._random.choice((0, 255, 127, 128, self._random.randrange(256)))]) + body[at + 1 :]

    def _insert(self, body: bytes) -> bytes:
        at = self._at(body)
        return body[:at] + self._random.randbytes(self._random.choice((1, 1, 2, 8))) + body[at:]

    def _remove(self, body: bytes) -> bytes:
        begin, end = self._span(body)
        return body[:begin] + body[end:]

    def _repeat(self, body: bytes) -> bytes:
        begin, end = self._span(body)
        return body[:end] + body[begin:end] * self._random.choice((1, 1, 2, 50)) + body[end:]

    def _splice(self, body: bytes) -> bytes:
        other = self._random.choice(self._others)
        begin, end = sorted((self._at(other), self._at(other)))
        at = self._at(body)
        return body[:at] + other[begin:end] + body[self._random.choice((at, self._at(body))) :]

    def _swap(self, body: bytes) -> bytes:
        a, b, c = sorted((self._at(body), self._at(body), self._at(body)))
        return body[:a] + body[b:c] + body[a:b] + body[c:]

    def _cut(self, body: bytes) -> bytes:
        return body[: self._at(body)] if self._random.random() < 0.3 else body

    def _number(self, body: bytes) -> bytes:
        found = list(re.finditer(rb"-?[0-9]+", body))
        if not found:
            return self._token(body)
        one = self._random.choice(found)
        return body[: one.start()] + self._random.choice(NUMBERS) + body[one.end() :]

    def _integer(self, body: bytes) -> bytes:
        """A binary size or offset that claims something."""
        width = self._random.choice(tuple(WIDTHS))
        top = 1 << 8 * width
        values = (
            0,
            1,
            top - 1,
            top // 2,
            top // 2 - 1,
            len(body),
            len(body) + 1,
            max(len(body) - 1, 0),
            self._random.randrange(top),
        )
        packed = struct.pack(self._random.choice("<>") + WIDTHS[width], self._random.choice(values) % top)
        at = self._random.randint(0, max(0, len(body) - width))
        return body[:at] + packed + body[at + width :]

    def _token(self, body: bytes) -> bytes:
        at = self._at(body)
        return body[:at] + self._random.choice(TOKENS) + body[self._random.choice((at, at, self._at(body))) :]

    def _nested(self, body: bytes) -> bytes:
        depth = self._random.choice(self._depths) + self._random.randint(-8, 8)
        opening, closing = self._random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"[[],", b"]"), (b"- ", b""), (b"{a: ", b"}")))
        begin, end = sorted((self._at(body), self._at(body)))
        return body[:begin] + opening * depth + (body[begin:end] or b"1") + closing * depth + body[end:]

    def _grown(self, tree: object) -> object:
        """One thing in it replaced, taken out, or said twice; or many more of them."""
        places = list(_places(tree))
        if not places:
            return self._odd()
        holder, at = self._random.choice(places)
        chance = self._random.random()
        if isinstance(holder, Pairs):
            name, value = holder[at]
            if chance < 0.5:
                holder[at] = (name, self._odd(value))
            elif chance < 0.6:
                del holder[at]
            elif chance < 0.7:
                holder.append((name, self._odd(value)))
            elif chance < 0.8:
                holder[at] = (name + self._random.choice(("", "\0", "\ud800", "/..", "x")), value)
            else:
                holder.append((self._random.choice(("", "version", "x", "\udcff", "__proto__")), self._odd(value)))
        elif chance < 0.6:
            holder[at] = self._odd(holder[at])
        elif chance < 0.7:
            del holder[at]
        else:
            holder.extend([holder[at]] * self._random.choice((1, 1, 3, 40)))
        return tree

    def _odd(self, value: object = None) -> object:
        if isinstance(value, str) and self._random.random() < 0.5:
            worse = self._random.choice(
                (value + "\0", value * 2, value[:-1], value.upper(), "\ud800" + value, value + "/../..", "\U0001f600")
            )
            return worse[:LONGEST]
        if isinstance(value, int | float) and self._random.random() < 0.3:
            return str(value) if self._random.random() < 0.5 else [value]
        return self._random.choice((None, True, "", "x" * 300, [], Pairs(), [None], *map(Raw, NUMBERS)))


class Raw(bytes):
    """Written as it is."""


def _parsed(body: bytes) -> object | None:
    try:
        tree: object = json.loads(body, object_pairs_hook=Pairs, parse_float=lambda text: Raw(text.encode()))
    except (ValueError, RecursionError):
        return None
    return tree


def _places(tree: object) -> list[tuple[list[object] | Pairs, int]]:
    found: list[tuple[list[object] | Pairs, int]] = []
    waiting = [tree]
    while waiting and len(found) < 2000:
        one = waiting.pop()
        if isinstance(one, list):
            found.extend((one, at) for at in range(len(one)))
            waiting.extend(item[1] if isinstance(one, Pairs) else item for item in one)
    return found


def _written(tree: object) -> bytes:
    if isinstance(tree, Raw):
        return bytes(tree)
    if isinstance(tree, Pairs):
        return b"{" + b",".join(json.dumps(name).encode() + b":" + _written(value) for name, value in tree) + b"}"
    if isinstance(tree, list):
        return b"[" + b",".join(map(_written, tree)) + b"]"
    return json.dumps(tree).encode()
