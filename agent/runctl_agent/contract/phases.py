"""Phases of a run and the conditions that stand beside them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """Where a run is; one value at a time."""

    STARTING = "starting"  # the agent is up and recovering its journal
    SETUP = "setup"  # code, requirements and setup lines
    RESTORING = "restoring"  # the newest checkpoint is coming back from S3
    WAITING = "waiting"  # attached, no training seen yet
    TRAINING = "training"  # the training process is alive
    FINISHING = "finishing"  # training said it is done; uploads go on
    SAVING = "saving"  # the machine is being taken away; the newest checkpoint is being made durable
    FINISHED = "finished"  # done, and everything is durable
    FAILED = "failed"  # training failed
    INTERRUPTED = "interrupted"  # the machine was taken away
    STOPPED = "stopped"  # someone asked for it


TERMINAL = frozenset({Phase.FINISHED, Phase.FAILED, Phase.INTERRUPTED, Phase.STOPPED})


class ConditionName(StrEnum):
    """What is not as it should be, whatever the phase."""

    STALLED = "Stalled"  # alive, but nothing moves
    SYNC_STUCK = "SyncStuck"  # nothing sent for 5 minutes with bytes pending
    FENCED = "Fenced"  # a newer writer has this run
    DISK_FULL = "DiskFull"  # a superseded snapshot was let go for want of space
    NO_PERMISSION = "NoPermission"  # S3, EC2 or a directory refuses the agent
    AT_RISK = "AtRisk"  # the newest checkpoint could not be sent within a notice
    IDLE = "Idle"  # the GPU is idle
    INCOMPLETE = "Incomplete"  # an incomplete manifest was committed


@dataclass(frozen=True, slots=True)
class Condition:
    """`since` is in whole seconds since the epoch; `message` is for people."""

    name: ConditionName
    since: int
    message: str
