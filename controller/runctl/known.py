"""What is known of a run: its newest instance, and the newest state that its agent published, wherever that was read."""

from __future__ import annotations

from dataclasses import dataclass

from runctl_agent.contract.phases import TERMINAL
from runctl_agent.contract.status import State, plain_state

from .documents import Run
from .fleet import Machine, same_life

TAGS = "tags"
STATUS = "status.json"


@dataclass(frozen=True, slots=True)
class Known:
    """`machine` None: EC2 has no instance of the run any more. `source` is where `state` was read; empty: there is none.

    `current` says whether `state` is of this life of `machine`; `reason` what was not proven, and so what may be newer.
    """

    run: str
    destination: str
    machine: Machine | None
    state: State | None
    source: str
    current: bool
    reason: str

    @property
    def durable(self) -> bool:
        """Whether the last state says that all is over and nothing is left to send."""
        return self.state is not None and self.current and not self.reason and durable(self.state)

    def plain(self) -> Run:
        return {
            "run": self.run,
            "destination": self.destination,
            "instance": None if self.machine is None else self.machine.plain(),
            "state": None if self.state is None else plain_state(self.state),
            "source": self.source or None,
            "current": self.current,
            "reason": self.reason,
        }


def durable(state: State) -> bool:
    return state.phase in TERMINAL and not state.pending_checkpoints and not state.pending_bytes


def known(run: str, destination: str, machine: Machine | None, status: State | None = None) -> Known:
    """The newest state of this life, of those in the tags and in `status`; else the newest of another, as such."""
    if machine is None:
        return Known(run, destination, None, status, STATUS if status else "", status is not None, "")
    posted = machine.posted
    own = [(state, source) for state, source in ((machine.own, TAGS), (status, STATUS)) if state and same_life(state, machine)]
    if own:
        state, source = max(own, key=lambda found: _age(found[0]))
        return Known(run, destination, machine, state, source, True, posted.reason if source == TAGS else "")
    others = [(state, source) for state, source in ((posted.state, TAGS), (status, STATUS)) if state]
    if others:
        state, source = max(others, key=lambda found: _age(found[0]))
        return Known(run, destination, machine, state, source, False, posted.reason)
    return Known(run, destination, machine, None, "", False, posted.reason)


def _age(state: State) -> tuple[int, bool]:
    return state.heartbeat, state.phase in TERMINAL
