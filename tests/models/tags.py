"""The model of the tag slots: DESIGN section 6, `slots.py`, which decides in it, and `readback.py`.

States 1 to LAST are posted one after another; each post is two chunks of a slot, which land one by one, in any order, before
the answer or, where none comes, at any time. An agent may crash, and the next one goes on from the journal. A reader reads at
every moment. A call that lands on a newer post hits it: until the agent has noticed, and posted over it, a reader may be shown an
older state or none; but never a torn one, and not for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from runctl_agent.contract.slots import SLOTS
from runctl_agent.slots import SlotWriter, Turn, other

from .explore import Explored, explore

ME = "i-1"
LAST = 3
MOST_POSTS = 6


@dataclass(frozen=True)
class Rules:
    """The rule as designed; a test leaves a part of it out."""

    two_slots: bool = True
    waits_for_seen: bool = True  # before it takes the other slot
    proves: bool = True  # a slot is believed only if its chunks are of one post
    looks_on: bool = True  # after it was seen, while an older call may land
    remembers: bool = True  # the generation, over a crash
    observes: bool = True  # its own tags, where it remembers nothing
    loses_journal: bool = False  # in the crash, while no call is under way
    late: int = 1
    crashes: int = 1


class Chunk(NamedTuple):
    generation: int
    state: int
    post: int


class Arriving(NamedTuple):
    slot: str
    place: int
    chunk: Chunk


Slot = tuple[Chunk | None, Chunk | None]


class World(NamedTuple):
    slots: tuple[Slot, Slot] = ((None, None), (None, None))
    arriving: frozenset[Arriving] = frozenset()
    turn: Turn | None = None
    state: int = 0  # posted last
    posts: int = 0
    calling: bool = False
    sure: int = 0  # the newest state that the agent ever saw posted
    fresh: bool = False  # the agent has posted nothing yet
    hit: bool = False  # a call older than what stood there landed, and the agent has not seen its tags whole since
    may_be_late: int = 1
    may_crash: int = 1


def explored(rules: Rules) -> Explored[World]:
    return explore(World(may_be_late=rules.late, may_crash=rules.crashes), steps(rules), wrong(rules))


# --- what must not be ---


def reading(rules: Rules, world: World) -> Chunk | None:
    """What a reader takes: of the slots that prove themselves the highest generation."""
    found = [chunks[0] for chunks in world.slots if chunks[0] is not None and (not rules.proves or chunks[0] == chunks[1])]
    return max(found, default=None)


def wrong(rules: Rules) -> Callable[[World], str]:
    def judge(world: World) -> str:
        read = reading(rules, world)
        shown = read.state if read is not None else 0
        if shown < world.sure and not world.hit:
            return f"state {world.sure} was seen posted, and a reader is shown {shown or 'none'}"
        if read is not None and any(read in chunks and chunks[0] != chunks[1] for chunks in world.slots):
            return f"a reader takes a torn slot for state {shown}"
        if _over(rules, world) and shown != LAST:
            return f"all is over, and a reader is shown {shown or 'none'} for ever"
        return ""

    return judge


def _over(rules: Rules, world: World) -> bool:
    done = world.state == LAST and not world.arriving and not world.calling
    return done and world.turn is not None and world.turn.seen and (not rules.looks_on or _shows(world))


def _shows(world: World) -> bool:
    """Whether the own tags show the last post whole."""
    if world.turn is None:
        return False
    first, second = world.slots[SLOTS.index(world.turn.slot)]
    return first is not None and first == second and first.generation == world.turn.generation and first.post == world.posts


# --- what can happen ---


def steps(rules: Rules) -> Callable[[World], Iterator[tuple[str, World]]]:
    def all_steps(world: World) -> Iterator[tuple[str, World]]:
        for one in world.arriving:
            text = f"chunk {one.place} of generation {one.chunk.generation} lands in slot {one.slot}"
            yield text, _landed(world._replace(arriving=world.arriving - {one}), one)
        if world.may_crash and world.posts and not (rules.loses_journal and world.arriving):
            yield "the agent crashes", _restarted(rules, world)
        if world.calling:
            yield from _answers(world)
            return
        if world.fresh and world.posts < MOST_POSTS:
            yield from _posts(rules, world, world.state)
            return
        if world.state < LAST and world.posts < MOST_POSTS:
            yield from _posts(rules, world, world.state + 1)
        if world.turn is not None:
            yield from _looks(rules, world, world.turn)

    return all_steps


def _answers(world: World) -> Iterator[tuple[str, World]]:
    if not any(one.chunk.post == world.posts for one in world.arriving):
        yield "the call is answered", world._replace(calling=False)
    elif world.may_be_late:
        yield "no answer comes", world._replace(calling=False, may_be_late=world.may_be_late - 1)


def _looks(rules: Rules, world: World, turn: Turn) -> Iterator[tuple[str, World]]:
    if turn.seen and not rules.looks_on:
        return
    if _shows(world):
        if not turn.seen or world.hit:
            seen = Turn(ME, turn.slot, turn.generation, seen=True)
            sure = max(world.sure, world.state)
            yield f"it sees generation {turn.generation}", world._replace(turn=seen, sure=sure, hit=False)
    elif world.posts < MOST_POSTS:
        unseen = world._replace(turn=Turn(ME, turn.slot, turn.generation, seen=False))
        yield from _posts(rules, unseen, world.state, again=True)


def _posts(rules: Rules, world: World, state: int, *, again: bool = False) -> Iterator[tuple[str, World]]:
    turn = _next(rules, world)
    post = world.posts + 1
    chunk = Chunk(turn.generation, state, post)
    arriving = world.arriving | {Arriving(turn.slot, place, chunk) for place in (0, 1)}
    text = f"state {state} is posted{' again' if again else ''} to slot {turn.slot}, generation {turn.generation}"
    yield text, world._replace(turn=turn, state=state, posts=post, arriving=arriving, calling=True, fresh=False)


def _next(rules: Rules, world: World) -> Turn:
    writer = SlotWriter(ME, world.turn)
    if world.turn is None and rules.observes:
        writer.observe({slot: _valid(chunks) for slot, chunks in zip(SLOTS, world.slots, strict=True)})
    turn = writer.next()
    if not rules.two_slots:
        return Turn(ME, SLOTS[0], turn.generation, seen=False)
    if not rules.waits_for_seen and world.turn is not None:
        return Turn(ME, other(world.turn.slot), turn.generation, seen=False)
    return turn


def _valid(chunks: Slot) -> int | None:
    return chunks[0].generation if chunks[0] is not None and chunks[0] == chunks[1] else None


def _landed(world: World, one: Arriving) -> World:
    index = SLOTS.index(one.slot)
    first, second = world.slots[index]
    before = world.slots[index][one.place]
    hit = world.hit or (before is not None and before.post > one.chunk.post)
    changed: Slot = (one.chunk, second) if one.place == 0 else (first, one.chunk)
    return world._replace(slots=(changed, world.slots[1]) if index == 0 else (world.slots[0], changed), hit=hit)


def _restarted(rules: Rules, world: World) -> World:
    """The next agent posts anew what it finds to be the state."""
    turn = None if rules.loses_journal else world.turn
    if turn is not None and not rules.remembers:
        turn = Turn(ME, turn.slot, 0, turn.seen)
    return world._replace(turn=turn, calling=False, fresh=True, may_crash=world.may_crash - 1)
