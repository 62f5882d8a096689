"""Has a run ended, and how: pure. Only what an agent proved of this very life decides; plain tags never do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runctl_agent.contract.phases import TERMINAL, Phase
from runctl_agent.contract.status import State

from . import documents
from .exits import INTERRUPTED, TRAINING_FAILED
from .fleet import Machine
from .known import Known


class Outcome(StrEnum):
    """How a run ended."""

    FINISHED = "finished"  # done, and everything is durable
    FAILED = "failed"  # the training failed
    INTERRUPTED = "interrupted"  # the machine was taken away, in an orderly way
    STOPPED = "stopped"  # someone asked for it
    GONE = "gone"  # the instance ended and its agent never said how the run did

    @property
    def exit_code(self) -> int:
        return {Outcome.FINISHED: 0, Outcome.FAILED: TRAINING_FAILED}.get(self, INTERRUPTED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`why` is one line for people; `exit_code` is the training's own, where it is known."""

    outcome: Outcome
    known: Known
    why: str

    @property
    def exit_code(self) -> int | None:
        return self.known.state.exit_code if self.known.state is not None and self.known.current else None

    def plain(self) -> documents.Verdict:
        return {
            "outcome": self.outcome.value,
            "exit_code": self.exit_code,
            "why": self.why,
            **self.known.plain(),
        }


def judge(known: Known) -> Verdict | None:
    """None: it goes on."""
    state = known.state if known.current else None
    if state is not None and state.phase in TERMINAL:
        return Verdict(Outcome(state.phase.value), known, _ended(state))
    if known.machine is None:
        return Verdict(Outcome.GONE, known, "EC2 has no instance of it any more")
    if known.machine.power in ("stopped", "terminated"):
        return Verdict(Outcome.GONE, known, _gone(known.machine))
    return None


def comes_back(verdict: Verdict | None) -> bool:
    """Whether it ended in a way that a group goes on from."""
    return verdict is not None and verdict.outcome in (Outcome.INTERRUPTED, Outcome.GONE)


def needs_status(machine: Machine | None, now: float, stale: float) -> bool:
    """Whether the tags leave something open that `status.json` could answer; `stale` is in seconds."""
    if machine is None or machine.own is None:
        return True
    own = machine.own
    return own.phase not in TERMINAL and (machine.power != "running" or now - own.heartbeat > stale)


def _ended(state: State) -> str:
    if state.phase is Phase.FINISHED:
        return "the training is done and everything is durable"
    if state.phase is Phase.FAILED:
        code = "with an exit code that is not known" if state.exit_code is None else f"with exit code {state.exit_code}"
        return f"the training ended {code}" + (f": {state.error}" if state.error else "")
    return "someone asked for it" if state.phase is Phase.STOPPED else "the machine was taken away"


def _gone(machine: Machine) -> str:
    reason = f" ({machine.reason})" if machine.reason else ""
    return f"instance {machine.id} is {machine.power}{reason}, and its agent never said how the run ended"
