"""The agent's EC2 tags: their keys, the values of its one CreateTags call, and what a reader makes of what it finds.

No promise is made that several tags change at once, nor that a read is current: the slots prove themselves, the rest is for
people. Limits: "Tag your Amazon EC2 resources", and for keys the characters of tags in instance metadata.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from .document import LAST_SECOND, Wrong, show, total
from .malformed import Malformed
from .slots import CHUNKS, SLOTS, pack, unpack
from .status import State
from .summary import summary
from .want import Verb as Verb
from .want import Want as Want
from .want import decode_want as decode_want
from .want import encode_want as encode_want

MOST_TAGS = 28
LONGEST_KEY = 127
LONGEST_VALUE = 256

NAME = "Name"
RUN = "runctl:run"
PROJECT = "runctl:project"
OWNER = "runctl:owner"
DESTINATION = "runctl:destination"
VERSION = "runctl:version"
WANT = "runctl:want"
CONTROLLER_KEYS = (NAME, RUN, PROJECT, OWNER, DESTINATION, VERSION, WANT)

PHASE = "runctl:phase"
SUMMARY = "runctl:summary"
CHECKPOINT = "runctl:checkpoint"
STEP = "runctl:step"
EXIT = "runctl:exit"
HEARTBEAT = "runctl:heartbeat"
STATE = "runctl:state"
PLAIN_KEYS = (PHASE, SUMMARY, CHECKPOINT, STEP, EXIT, HEARTBEAT, STATE)

SLACK = 60
"""Seconds by which a boot may seem to precede the launch, for want of equal clocks."""

_HINT = re.compile(r"([ab]):([0-9]{1,19}):([1-6])")


def slot_key(slot: str, chunk: int) -> str:
    return f"runctl:{slot}.{chunk}"


SLOT_KEYS = {slot: tuple(slot_key(slot, chunk) for chunk in range(CHUNKS)) for slot in SLOTS}
AGENT_KEYS = PLAIN_KEYS + tuple(key for slot in SLOTS for key in SLOT_KEYS[slot])


def all_keys() -> tuple[str, ...]:
    """Every tag of the project, as they are created at launch."""
    return CONTROLLER_KEYS + AGENT_KEYS


@dataclass(frozen=True, slots=True)
class Hint:
    """`runctl:state`: where the newest document should be."""

    slot: str
    generation: int
    chunks: int


@dataclass(frozen=True, slots=True)
class Posted:
    """What the tags of an instance say. `plain` is for people and decides nothing, least of all an exit code.

    `reason` is empty if the newest document was read; else it says what was not proven, and so what `state` may lack.
    """

    state: State | None
    plain: Mapping[str, str]
    another_life: bool
    reason: str


def encode(state: State, slot: str, now: int) -> dict[str, str]:
    """All tags of one CreateTags call: the plain ones, and all six chunks of `slot`. `now` is in seconds since the epoch.

    Raises ValueError for a state that could not be read back.
    """
    chunks = pack(state, slot)
    found = encode_plain(state, now)
    found[STATE] = f"{slot}:{state.generation}:{len(chunks)}"
    found.update(zip(SLOT_KEYS[slot], chunks + ("",) * (CHUNKS - len(chunks)), strict=True))
    return found


def encode_plain(state: State, now: int) -> dict[str, str]:
    """The tags for people alone: all that is posted where there is no room for a slot."""
    return {
        PHASE: state.phase.value,
        SUMMARY: summary(state, now),
        CHECKPOINT: _shown(state.checkpoint or ""),
        STEP: "" if state.step is None else str(state.step),
        EXIT: "" if state.exit_code is None else str(state.exit_code),
        HEARTBEAT: rfc3339(state.heartbeat),
    }


def decode_slot(tags: Mapping[str, object], slot: str) -> State | Malformed:
    return total(lambda given: unpack(_chunks(given, slot), slot), tags)


def decode_hint(value: object) -> Hint | Malformed:
    found = _HINT.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return Malformed(f"{show(value)} is not <slot>:<generation>:<chunks>")
    return Hint(found[1], int(found[2]), int(found[3]))


def read(tags: Mapping[str, object], *, instance: str | None, launch_time: int | None) -> Posted:
    """The newest state that proves itself: of this life if there is one, else another's, shown as such.

    This life is that of `instance`, launched at `launch_time` (seconds since the epoch); None where that is not known. It
    begins at the launch: what booted more than SLACK before it, or was posted before it, is another's, so that after a
    quick stop and start the end of the life before is not taken for an end of this one.
    """
    plain = {key: value for key in PLAIN_KEYS if isinstance(value := tags.get(key), str)}
    slots = {slot: decode_slot(tags, slot) for slot in SLOTS}
    states = {slot: state for slot, state in slots.items() if isinstance(state, State)}
    if not states:
        reasons = [f"slot {slot}: {found.reason}" for slot, found in slots.items() if isinstance(found, Malformed)]
        return Posted(None, plain, False, "no slot proves itself; " + "; ".join(reasons))

    def age(slot: str) -> tuple[bool, int, int]:
        state = states[slot]
        return same_life(state, instance, launch_time), state.generation, state.heartbeat

    best = max(states, key=age)
    state = states[best]
    reasons = _unproven(tags, slots, best, state)
    return Posted(state, plain, not same_life(state, instance, launch_time), "; ".join(reasons))


def _unproven(tags: Mapping[str, object], slots: Mapping[str, State | Malformed], best: str, state: State) -> list[str]:
    """Why there may be something newer than `state`, read from slot `best`."""
    reasons: list[str] = []
    for slot, found in slots.items():
        if slot == best:
            continue
        if isinstance(found, Malformed) and any(_chunks(tags, slot)):
            reasons.append(f"slot {slot} does not prove itself: {found.reason}")
        elif isinstance(found, State) and found.generation >= state.generation:
            reasons.append(f"slot {slot} has generation {found.generation} of another life or writer")
    hint = decode_hint(tags.get(STATE))
    if isinstance(hint, Hint) and hint.generation > state.generation:
        reasons.append(f"{STATE} announces generation {hint.generation} in slot {hint.slot}, this is {state.generation}")
    return reasons


def same_life(state: State, instance: str | None, launch_time: int | None) -> bool:
    """Whether `state`, read from anywhere, is of the life that `read` describes."""
    if instance is not None and state.instance != instance:
        return False
    return launch_time is None or (state.boot_time >= launch_time - SLACK and state.heartbeat > launch_time)


def _chunks(tags: Mapping[str, object], slot: str) -> list[str]:
    """The slot's values; what is missing or not text is empty."""
    values = (tags.get(key) for key in SLOT_KEYS[slot])
    return [value if isinstance(value, str) else "" for value in values]


def _shown(name: str) -> str:
    """A name in printable ASCII: other bytes, and `%`, percent-encoded; what is too long is cut."""
    safe = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
    shown = quote(name.encode("utf-8", "surrogateescape"), safe=safe)
    return shown if len(shown) <= LONGEST_VALUE else shown[: LONGEST_VALUE - 3] + "..."


def rfc3339(at: int) -> str:
    if not 0 <= at <= LAST_SECOND:
        raise Wrong(f"{at} is not a time in seconds since 1970")
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
