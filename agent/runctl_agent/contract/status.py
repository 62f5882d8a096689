"""The state that an agent publishes: in the tags' slots and, whole, as `status.json`."""

from __future__ import annotations

from dataclasses import dataclass

from .phases import Condition, Phase


@dataclass(frozen=True, slots=True)
class State:
    """What the agent knows. Times are whole seconds since the epoch, sizes bytes, `rate` bytes per second."""

    run: str
    phase: Phase
    instance: str  # empty outside EC2
    boot_time: int
    generation: int
    heartbeat: int
    agent_version: str
    epoch: int = 0  # 0: not taken yet
    attempt: int = 0
    conditions: tuple[Condition, ...] = ()
    checkpoint: str | None = None  # newest committed one: name
    step: int | None = None
    committed_at: int | None = None
    commits: int = 0  # in this epoch
    pending_checkpoints: int = 0
    pending_bytes: int = 0
    pending_since: int | None = None
    rate: int = 0
    exit_code: int | None = None
    error: str = ""  # the last one, in one line
    want: str = ""  # nonce of the last `runctl:want` acted on
    trainer_pid: int | None = None
    details: tuple[str, ...] = ()  # newest first; what a state too large drops, oldest first
