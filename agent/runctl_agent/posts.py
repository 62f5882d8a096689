"""One post of the state to the own tags: which slot, which generation, and whether it was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from .contract import tags as contract
from .contract.phases import Phase
from .contract.slots import SLOTS
from .contract.status import State
from .errors import TagsFull, TagsUnavailable
from .problems import Problems
from .readback import ReadBack, Verdict
from .runtime import Runtime
from .slots import SlotWriter, Turn, decode_turn, encode_turn, other

REMEMBERED = "tags.turn"
READING = "reading tags"
MEMORY = "slot memory"
ROOM = "room for tags"
NO_ROOM_FOR = 3600.0  # seconds until the slots are tried again after TagsFull


class TagPort(Protocol):
    """The own tags. Every method may raise TagsUnavailable, TagsThrottled and TagsRefused."""

    def create(self, tags: Mapping[str, str]) -> None:
        """One CreateTags call. TagsUnavailable: it may have landed, or may land later. TagsFull: there is no room."""

    def read(self) -> Mapping[str, str]:
        """The own tags, perhaps not the newest, perhaps torn."""


class Memory(Protocol):
    """Small facts that outlive the agent; `Journal` is one. May raise JournalError."""

    def get(self, key: str) -> str | None: ...

    def put(self, key: str, value: str) -> None: ...


class TagPoster:
    """Not thread-safe: one task posts and looks."""

    def __init__(self, runtime: Runtime, port: TagPort, memory: Memory, problems: Problems) -> None:
        self._runtime = runtime
        self._port = port
        self._memory = memory
        self._problems = problems
        self._read_back = ReadBack(runtime.monotonic())
        self._writer: SlotWriter | None = None
        self._phase: Phase | None = None
        self._posted: Mapping[str, str] = {}
        self._turn: Turn | None = None  # whose tags `_posted` are
        self._room_from = runtime.monotonic()

    @property
    def generation(self) -> int:
        """Of the newest post that may stand; 0 before the first."""
        return self._turn.generation if self._turn else 0

    def post(self, state: State) -> None:
        """One CreateTags call with `state` under a new generation. Raises TagError; after TagsUnavailable it may still land."""
        writer = self._writer or self._begin(state)
        if writer.last and not writer.last.seen:
            self._read(writer)
        turn = writer.next()
        self._remember(turn)  # before the call: a successor must know that it may land
        if state.phase is not self._phase:
            self._phase = state.phase
            self._read_back.wary(self._runtime.monotonic())
        now = int(self._runtime.now())
        filled = replace(state, generation=turn.generation, heartbeat=now)
        if self._runtime.monotonic() >= self._room_from and self._posted_whole(filled, turn, now):
            return
        self._port.create(contract.encode_plain(filled, now))

    def _posted_whole(self, state: State, turn: Turn, now: int) -> bool:
        """False: there is no room for the slots."""
        tags = contract.encode(state, turn.slot, now)
        try:
            self._port.create(tags)
        except TagsFull as full:
            self._problems.set(ROOM, full)
            self._room_from = self._runtime.monotonic() + NO_ROOM_FOR
            return False
        except TagsUnavailable:
            self._went_out(tags, turn)
            self._read_back.wary(self._runtime.monotonic())
            raise
        self._went_out(tags, turn)
        self._problems.clear(ROOM)
        return True

    def _went_out(self, tags: Mapping[str, str], turn: Turn) -> None:
        self._posted, self._turn = tags, turn
        self._read_back.posted(self._runtime.monotonic())

    def next_look(self) -> float | None:
        """When to look at the own tags, in monotonic seconds; None: there is nothing to look for."""
        return self._read_back.due()

    def look(self) -> Verdict:
        """Whether the newest post stands. A failure here is a problem, never an error: the next look may tell."""
        tags = self._read(self._writer) if self._writer else None
        now = self._runtime.monotonic()
        if tags is None:
            self._read_back.blind(now)
            return Verdict.EARLY
        return self._read_back.looked(now, as_posted=self._stands(tags))

    def _stands(self, tags: Mapping[str, str]) -> bool:
        """All of the newest post is there, and nothing in the other slot would be taken for newer."""
        turn = self._turn
        if turn is None or any(tags.get(key, "") != value for key, value in self._posted.items()):
            return False
        return (_generation(tags, other(turn.slot)) or 0) < turn.generation

    def _begin(self, state: State) -> SlotWriter:
        """Go on where the agent before this one was: from the journal, and from what the tags hold."""
        self._writer = SlotWriter(state.instance, self._remembered())
        self._read(self._writer)
        return self._writer

    def _read(self, writer: SlotWriter) -> Mapping[str, str] | None:
        """The own tags; what they show is told to the writer. None: they can't be read now."""
        try:
            tags = self._port.read()
        except Exception as error:  # noqa: BLE001 - kept in problems; the state is posted unseen
            self._problems.set(READING, error)
            return None
        self._problems.clear(READING)
        writer.observe({slot: _generation(tags, slot) for slot in SLOTS})
        before = writer.last
        if before is not None:
            mark = writer.seen if self._shows(tags, before) else writer.unseen
            mark(before.generation)
        if writer.last is not None and writer.last != before:
            self._remember(writer.last)
        return tags

    def _shows(self, tags: Mapping[str, str], turn: Turn) -> bool:
        """Its slot holds this turn, and to the letter what was posted if it was posted by this agent."""
        if self._turn and self._turn.generation == turn.generation:
            return all(tags.get(key, "") == self._posted[key] for key in contract.SLOT_KEYS[turn.slot])
        return _generation(tags, turn.slot) == turn.generation

    def _remembered(self) -> Turn | None:
        try:
            text = self._memory.get(REMEMBERED)
        except Exception as error:  # noqa: BLE001 - kept in problems; the tags themselves say where to go on
            self._problems.set(MEMORY, error)
            return None
        turn = decode_turn(text) if text is not None else None
        return turn if isinstance(turn, Turn) else None

    def _remember(self, turn: Turn) -> None:
        try:
            self._memory.put(REMEMBERED, encode_turn(turn))
        except Exception as error:  # noqa: BLE001 - kept in problems; the post matters more than its memory
            self._problems.set(MEMORY, error)
        else:
            self._problems.clear(MEMORY)


def _generation(tags: Mapping[str, str], slot: str) -> int | None:
    state = contract.decode_slot(tags, slot)
    return state.generation if isinstance(state, State) else None
