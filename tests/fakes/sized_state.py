"""States whose text in the tags has a given number of characters."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import replace

from runctl_agent.contract.slots import pack, unpack
from runctl_agent.contract.status import State

ONE, FULL, ONE_AND_A_BIT, SIX = 230, 256, 258, 6 * 256
"""Less than a chunk, exactly one, the least above it (base64 of no number of bytes has 257 characters), and all six."""


def sized(base: State, characters: int) -> State:
    """`base` with details that make it take exactly so many."""
    for state in _candidates(base):
        chunks = pack(state, "a")
        if sum(map(len, chunks)) == characters and unpack(chunks, "a") == state:
            return state
    raise AssertionError(f"no state of {characters} characters was found")


def _candidates(base: State) -> Iterator[State]:
    """Longer and longer, of letters that compress badly."""
    rng = random.Random(1)
    for length in range(1500):
        for _ in range(6):
            yield replace(base, details=("".join(rng.choices(string.ascii_letters + string.digits, k=length)),))
