"""After the end: out of the group that would replace the instance, then its power, as the run spec has it.

Only when everything is durable, and the outcome stands in S3 and in the tags (or is refused there): until then the machine
stays up, for it is all that has what is missing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.spec import Spec
from runctl_agent.errors import GroupError, JournalError, RunctlError, WrongStateError
from runctl_agent.report import Report
from runctl_agent.runtime import Runtime
from runctl_agent.store.journal import Journal
from runctl_agent.surroundings import Reached, Surroundings

from .hold import AGAIN, REFUSED_AGAIN, Hold

log = logging.getLogger(__name__)

EVERY = 0.5
"""Seconds between looks."""

MEMORY = "finish"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done after an end. `leave`: the group, and whether that terminates the instance; None: it is in none."""

    leave: bool | None = None
    power_off: bool = False


def step(spec: Spec, phase: Phase, *, stood: bool, grouped: bool, looped: bool = False) -> Step:
    """Pure. `stood`: the run had ended before this boot, and nothing was begun; `grouped`: a group would replace the instance;
    `looped`: it failed for want of progress, before this instance began anything."""
    if phase not in (Phase.FINISHED, Phase.FAILED):
        return Step()  # who takes the machine, or stops a run by hand, does the rest as well
    if stood or (looped and grouped):
        return Step(leave=True if grouped else None)  # a replacement that has nothing to do; a person's machine is left alone
    action = spec.on_finish if phase is Phase.FINISHED else spec.on_failure
    if grouped:
        return Step(leave=action == "terminate", power_off=action == "stop")
    return Step(power_off=action != "keep")


class Finishing:
    """`run` in a task of its own; `problem` may be read from any."""

    def __init__(
        self,
        runtime: Runtime,
        spec: Spec,
        journal: Journal,
        around: Surroundings,
        report: Report,
        held: Callable[[], bool],
        looped: Callable[[], bool] = lambda: False,
    ) -> None:
        """`held`: whether the group ends this instance, and its hook holds it."""
        self.hold = Hold(runtime, spec.recover.hook_timeout, held)
        self._looped = looped
        self._runtime = runtime
        self._spec = spec
        self._journal = journal
        self._around = around
        self._report = report
        self._done = _remembered(journal.get(MEMORY), around.boot_id)
        self._not_before = 0.0
        self.stopping = runtime.event()
        self.problem = ""

    def run(self, reached: Reached, told: Callable[[], bool], fenced: Callable[[], bool]) -> None:
        """`told`: whether the end is durable and stands where it is looked for; `fenced`: whether somebody else has the run."""
        while not self.stopping.wait(EVERY):
            self.turn(reached, told, fenced)

    def turn(self, reached: Reached, told: Callable[[], bool], fenced: Callable[[], bool]) -> None:
        life = self._report.life
        self.hold.turn(reached.group, lambda: life.terminal and told())
        if not life.terminal:
            return
        grouped = bool(self._spec.recover.group)
        looped = self._looped()
        wanted = step(self._spec, life.phase, stood=self._report.stood, grouped=grouped, looped=looped)
        if wanted == Step() or self._done == (life.attempt, life.phase) or self._runtime.monotonic() < self._not_before:
            return
        if fenced():
            self._say("another instance has the run: this one leaves the group and the power as they are")
            return
        if reached.instance is None:
            self._say(f"{life.phase}, and no EC2 instance: its power is left as it is")
            return
        if not told():
            return
        try:
            self._carry_out(wanted, reached)
            self._keep(life.attempt, life.phase)
        except RunctlError as error:
            permanent = isinstance(error, GroupError) and error.permanent
            self._not_before = self._runtime.monotonic() + (REFUSED_AGAIN if permanent else AGAIN)
            self._say(f"{error}; {error.mend}" if error.mend else str(error))
        else:
            self.problem = ""

    def _carry_out(self, wanted: Step, reached: Reached) -> None:
        """Out of the group first: it would replace what is only powered off."""
        if wanted.leave is not None:
            if reached.group is None:
                raise WrongStateError("the group was not left", "its calls can't be made here", "runctl terminate")
            reached.group.leave(terminate=wanted.leave)
            log.info("left the group %s%s", self._spec.recover.group, ", which ends the instance" if wanted.leave else "")
        if wanted.power_off:
            log.info("everything is durable: the machine is powered off")
            self._around.power_off()

    def _keep(self, attempt: int, phase: Phase) -> None:
        """So that an agent that comes back does it no second time: somebody may have kept the machine up."""
        self._done = (attempt, phase)
        try:
            self._journal.put(MEMORY, json.dumps([self._around.boot_id, attempt, phase.value]))
        except JournalError as error:
            log.warning("%s", error.full)

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem


def _remembered(text: str | None, boot_id: str) -> tuple[int, Phase] | None:
    try:
        match json.loads(text or "[]"):
            case [str(boot), int(attempt), str(phase)] if boot == boot_id:
                return attempt, Phase(phase)
    except (ValueError, RecursionError) as error:
        log.warning("what the journal says of the end can't be read: %s", error)
    return None
