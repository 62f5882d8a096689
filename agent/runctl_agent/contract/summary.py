"""One line for people: how safe the work is."""

from __future__ import annotations

from .status import State

LONGEST = 256
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def summary(state: State, now: int) -> str:
    """Such as `step 4500 safe 12 s ago, 0 B behind`; printable ASCII, at most 256 characters. `now`: seconds since the epoch."""
    parts = [_safe(state, now), f"{size(state.pending_bytes)} behind"]
    if state.exit_code is not None:
        parts.append(f"exit {state.exit_code}")
    parts.extend(condition.name.value for condition in state.conditions)
    return ", ".join(parts)[:LONGEST]


def _safe(state: State, now: int) -> str:
    if state.committed_at is None:
        return "nothing safe yet"
    what = "last" if state.step is None else f"step {state.step}"
    return f"{what} safe {age(max(0, now - state.committed_at))} ago"


def age(seconds: int) -> str:
    """In the largest unit of which there are two."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def size(count: int) -> str:
    """Bytes in the largest binary unit that makes it 1 or more."""
    if count < 1024:
        return f"{count} B"
    power = min((count.bit_length() - 1) // 10, len(_UNITS))
    return f"{count / 1024**power:.1f} {_UNITS[power - 1]}"
