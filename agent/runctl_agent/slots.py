"""Which slot of the tags the next state goes to, and under which generation. Pure.

The rule (DESIGN.md section 6): the slots alternate only after a write that was *seen*; after a failed or unseen one the same
slot is used again, under a new generation. So whatever becomes of the calls that are still under way, and in whatever
order, the other slot holds the newest state that anybody was ever sure of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from .contract.malformed import Malformed
from .contract.slots import SLOTS


@dataclass(frozen=True, slots=True)
class Turn:
    """One write to a slot. `seen`: its own tags, read back, showed it whole."""

    instance: str
    slot: str
    generation: int
    seen: bool


def encode_turn(turn: Turn) -> str:
    return json.dumps(asdict(turn), sort_keys=True, separators=(",", ":"))


def decode_turn(text: str) -> Turn | Malformed:
    """What `encode_turn` made.

    >>> decode_turn('{"instance":"i-1","slot":"b","generation":7,"seen":true}')
    Turn(instance='i-1', slot='b', generation=7, seen=True)
    >>> decode_turn('{"instance":"i-1","slot":"c","generation":7,"seen":true}')
    Malformed(reason='not the memory of a slot')
    >>> decode_turn("[" * 100_000)
    Malformed(reason='not the memory of a slot')
    """
    try:
        match json.loads(text):
            case {"instance": str(instance), "slot": "a" | "b" as slot, "generation": int(generation), "seen": bool(seen)}:
                if type(generation) is int and generation >= 0:
                    return Turn(instance, slot, generation, seen)
    except (ValueError, RecursionError):
        pass
    return Malformed("not the memory of a slot")


def other(slot: str) -> str:
    return SLOTS[1 - SLOTS.index(slot)]


class SlotWriter:
    """Hands out turns. Lives as long as the agent; `last` is what a successor goes on from."""

    def __init__(self, instance: str, remembered: Turn | None = None) -> None:
        """`remembered` is the journal's last turn; one of another instance says nothing of these tags but its generation."""
        self._instance = instance
        self._floor = remembered.generation if remembered else 0
        self._last = remembered if remembered and remembered.instance == instance else None
        self._first = SLOTS[0]

    @property
    def last(self) -> Turn | None:
        return self._last

    def observe(self, generations: Mapping[str, int | None]) -> None:
        """What a reading of the own tags showed: the generation in each slot, None where it holds nothing valid."""
        valid = {slot: generation for slot, generation in generations.items() if generation is not None}
        if valid:
            self._floor = max(self._floor, *valid.values())
            self._first = other(max(valid, key=lambda slot: valid[slot]))

    def next(self) -> Turn:
        """The turn to write now, which counts as unseen until `seen` says otherwise."""
        if self._last is None:
            slot = self._first  # nothing is remembered: the newest valid state stays
        elif self._last.seen:
            slot = other(self._last.slot)
        else:
            slot = self._last.slot
        self._floor += 1
        self._last = Turn(self._instance, slot, self._floor, seen=False)
        return self._last

    def seen(self, generation: int) -> None:
        """The own tags showed `generation` whole; counts only for the newest turn."""
        self._mark(generation, seen=True)

    def unseen(self, generation: int) -> None:
        """The own tags did not show `generation`, or no longer do: a late write of an older call has hit it."""
        self._mark(generation, seen=False)

    def _mark(self, generation: int, *, seen: bool) -> None:
        if self._last and self._last.generation == generation:
            self._last = Turn(self._instance, self._last.slot, generation, seen)
