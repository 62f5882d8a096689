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


def progress(state: State, now: int) -> tuple[str, ...]:
    """What is being sent, how fast, and what fails, a line each; nothing where there is nothing to say of it."""
    lines = []
    if state.sending is not None:
        lines.append(f"sending {state.sending}: {size(state.sent_bytes)} of {size(state.sending_bytes)} sent")
    if state.pending_since is not None:
        left = "" if state.eta is None else f", at {size(state.rate)}/s done in {age(state.eta)}"
        lines.append(f"behind for {age(max(0, now - state.pending_since))}{left}")
    if state.failures:
        again = "" if state.retry_at is None else f", tried again in {age(max(0, state.retry_at - now))}"
        often = "once" if state.failures == 1 else f"{state.failures} times in a row"
        lines.append(f"failed {often}{again}")
    if state.owed_aborts:
        lines.append(f"multipart uploads still to be aborted: {state.owed_aborts}")
    return tuple(lines)


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
