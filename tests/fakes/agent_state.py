"""States to publish, and a clock for the publisher."""

from __future__ import annotations

import hashlib

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.status import State
from runctl_agent.publish import Publisher
from tests.fakes.clock import FakeRuntime

INSTANCE = "i-0123456789abcdef0"


def noise(seed: int, length: int = 900) -> str:
    """Text that does not compress, so that a state with it needs several chunks."""
    text = ""
    while len(text) < length:
        text += hashlib.sha256(f"{seed}-{len(text)}".encode()).hexdigest()
    return text[:length]


def state(step: int = 0, phase: Phase = Phase.TRAINING, *, error: str | None = None, instance: str = INSTANCE) -> State:
    """A state that is told from every other by its step, in several chunks."""
    return State(
        run="gpt2",
        phase=phase,
        instance=instance,
        boot_time=1_799_999_000,
        generation=0,
        heartbeat=0,
        agent_version="0.1.0",
        step=step,
        error=noise(step) if error is None else error,
    )


def drive(runtime: FakeRuntime, publisher: Publisher, seconds: float) -> None:
    """Let the publisher work for so many virtual seconds."""
    until = runtime.monotonic() + seconds
    turns = 0
    while (due := publisher.turn()) <= until:
        runtime.advance(max(0.0, due - runtime.monotonic()))
        turns += 1
        assert turns < 20 * seconds + 100, "the publisher spins"
    runtime.advance(max(0.0, until - runtime.monotonic()))
