"""What becomes of the training by the agent's own doing, as the report is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .contract.phases import Phase
from .contract.tags import rfc3339
from .errors import RunctlError
from .training.opening import Decision
from .training.order import Order


class End(Enum):
    """How far the end of the training's life is."""

    FAR = "far"
    NEAR = "near"  # it is being ended, or what it left is being sent, or the machine is announced to go
    REACHED = "reached"


@dataclass(frozen=True, slots=True)
class Noticed:
    """What EC2 announces, and when it happens in wall-clock seconds; `problem`: what of it was not understood."""

    text: str
    at: float | None
    problem: str = ""

    @property
    def line(self) -> str:
        when = "" if self.at is None else f" at {rfc3339(int(self.at))}"
        return f"notice: {self.text}{when}" + (f" ({self.problem})" if self.problem else "")


@dataclass(frozen=True, slots=True)
class Conduct:
    """What becomes of the training by our own doing. `over`: nothing of one that is being ended is left. Texts are for people."""

    decision: Decision | None = None
    stage: Phase | None = None  # of the preparation
    doing: str = ""  # how far it is
    failure: tuple[str, ...] = ()  # why it can't be started
    order: Order | None = None  # why it is being ended
    over: bool = False
    want: str = ""
    problems: tuple[str, ...] = ()
    trouble: RunctlError | None = None  # what the preparation waits for
    notices: tuple[Noticed, ...] = ()  # what matters most first
