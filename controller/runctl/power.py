"""Stop, start and terminate an instance: the state is checked first, and what is finished is made durable before."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from runctl_agent.contract.phases import TERMINAL
from runctl_agent.contract.status import State
from runctl_agent.contract.summary import size
from runctl_agent.contract.tags import Verb
from runctl_agent.errors import RunctlError, WrongStateError

from .ask import Asker
from .ec2 import Ec2
from .fleet import ENDED, Machine
from .grouped import Grouped
from .known import Known, durable
from .moment import Moments
from .resolve import Resolver, Target
from .sight import line, standing
from .verdict import Outcome, judge

POWER = 900.0
"""Seconds within which EC2 starts, stops or terminates an instance; more often it takes one minute."""

Say = Callable[[str], None]
Agree = Callable[[str, str], bool]
"""Told what is about to be done, and what is lost by it: whether that is wanted."""


class Declined(Exception):
    """Whoever was asked did not want it; nothing was done."""


@dataclass(frozen=True, slots=True)
class Done:
    """`machine` as it was seen last; None: EC2 has none. `text` says what is so now, `saved` what is safe of it."""

    machine: Machine | None
    text: str
    saved: str = ""


class Power:
    """Of what would be lost by it `agree` is asked before; it raises Declined where that says no."""

    def __init__(self, ec2: Ec2, resolver: Resolver, asker: Asker, say: Say, agree: Agree) -> None:
        self._agree = agree
        self._grouped = Grouped(ec2, resolver.runtime, say)
        self._ec2 = ec2
        self._resolver = resolver
        self._asker = asker
        self._say = say

    def stop(self, target: Target, timeout: float, *, now: bool) -> Done:
        """Raises WrongStateError, TimedOutError: then the instance is left running."""
        machine = self._present(target, "stop")
        if self._resolver.grouped(target) and self._grouped.of(target.run, target.destination) is not None:
            raise WrongStateError(
                f"{target.run} was not stopped",
                "it lives in a group, which would replace a stopped instance",
                f"runctl terminate {target.run} saves first too; runctl resume {target.run} goes on later",
            )
        if reason := self._unstoppable(target, machine):
            raise reason
        before = machine.own
        machine = self._made_durable(target, machine, timeout, now=now, doing="stop")
        if machine.power in ENDED:
            raise WrongStateError(
                f"{machine.id} was not stopped", f"it is {machine.power}: it ended by itself", self._after_the_end(target)
            )
        if machine.power in ("pending", "running"):
            self._ec2.stop(machine.id)
        machine = self._asker.power(machine, frozenset({"stopped"}), POWER)
        return Done(machine, f"{machine.id} is stopped", saved(before, machine.own))

    def terminate(self, target: Target, timeout: float, *, now: bool) -> Done:
        """Raises WrongStateError, TimedOutError: then the instance is left as it is."""
        machine = target.machine
        if machine is None or machine.power in ENDED:
            return self._nothing_left(target, machine)
        before = machine.own
        if machine.power in ("stopping", "stopped"):
            self._require_durable(target, machine, now=now)
        else:
            machine = self._made_durable(target, machine, timeout, now=now, doing="terminate")
            if machine.power in ("stopping", "stopped"):
                self._require_durable(replace(target, machines=(machine,)), machine, now=now)
        self._ungrouped(target)  # first: it would replace what is only terminated
        if machine.power not in ENDED:
            self._ec2.terminate(machine.id)
        machine = self._asker.power(machine, frozenset({"terminated"}), POWER)
        return Done(machine, f"{machine.id} is terminated", saved(before, machine.own))

    def _nothing_left(self, target: Target, machine: Machine | None) -> Done:
        """Its group, if that is left over, and else nothing."""
        removed = self._ungrouped(target)
        if machine is None:
            left = "" if removed else "nothing is left to terminate: "
            return Done(None, f"{left}EC2 has no instance of it any more")
        already = machine.power == "terminated"
        machine = self._asker.power(machine, frozenset({"terminated"}), POWER)
        left = "nothing is left to terminate: " if already and not removed else ""
        return Done(machine, f"{left}{machine.id} is terminated" + (" already" if already else ""))

    def _ungrouped(self, target: Target) -> bool:
        """Remove the run's group, if it has one, and the template with it; whether there was one."""
        removed = self._grouped.remove(target.run, target.destination) if self._resolver.grouped(target) else []
        for group in removed:
            self._say(f"removed the group {group.name}: nothing is replaced any more")
        return bool(removed)

    def start(self, target: Target) -> Done:
        """Raises WrongStateError."""
        machine = self._present(target, "start")
        if machine.power != "stopped":
            mends = {
                "stopping": f"once it is stopped: runctl start {target.run}",
                "pending": f"runctl status {target.run}",
                "running": f"runctl status {target.run}",
            }
            mend = mends.get(machine.power) or self._after_the_end(target)
            raise WrongStateError(f"{target.run} was not started", f"{machine.id} is {machine.power}", mend)
        self._ec2.start(machine.id)
        machine = self._asker.power(machine, frozenset({"pending", "running"}), POWER)
        return Done(machine, f"{machine.id} is starting")

    def flush(self, target: Target, timeout: float) -> Done:
        """Raises WrongStateError, TimedOutError."""
        machine = self._present(target, "flush")
        if machine.power not in ("pending", "running"):
            raise self._not_flushed(target, machine)
        machine = self._asker.ask(machine, Verb.FLUSH, timeout)
        if machine.power != "running":
            raise self._not_flushed(target, machine)
        return Done(machine, "everything finished is durable")

    def _made_durable(self, target: Target, machine: Machine, timeout: float, *, now: bool, doing: str) -> Machine:
        about = self._resolver.known(target)
        if about.durable:
            return machine
        if now:
            self._agreed(f"{doing} {target.run} at once", _lost(about, self._resolver.runtime.now()))
            return machine
        return self._asker.ask(machine, Verb.STOP, timeout)

    def _require_durable(self, target: Target, machine: Machine, *, now: bool) -> None:
        about = self._resolver.known(target)
        if about.durable:
            return
        lost = _lost(about, self._resolver.runtime.now())
        if not now:
            raise WrongStateError(
                f"{target.run} was not terminated",
                f"{machine.id} is {machine.power}, and its disk may have what is not durable: {lost}",
                f"runctl start {target.run}, and its agent sends the rest; or lose it: runctl terminate {target.run} --now",
            )
        self._agreed(f"terminate {target.run} at once", lost)

    def _agreed(self, doing: str, lost: str) -> None:
        """Raises Declined."""
        if not self._agree(doing, lost):
            raise Declined

    def _present(self, target: Target, verb: str) -> Machine:
        """The run's newest instance. Raises WrongStateError where EC2 has none any more."""
        if target.machine is None:
            raise WrongStateError(f"can't {verb} {target.run}", "it has no instance any more", self._after_the_end(target))
        return target.machine

    def _unstoppable(self, target: Target, machine: Machine) -> WrongStateError | None:
        """Why it can't be stopped in the state it is in."""
        what = f"{machine.run} was not stopped"
        if machine.power in ("stopped", "stopping"):
            return WrongStateError(what, f"{machine.id} is {machine.power} already", f"runctl start {machine.run}")
        if machine.power in ENDED:
            return WrongStateError(what, f"{machine.id} is {machine.power}", self._after_the_end(target))
        if machine.spot:
            why = f"{machine.id} is a one-time spot instance, which EC2 can't stop"
            return WrongStateError(
                what, why, f"runctl terminate {machine.run} saves first too; runctl resume {machine.run} goes on later"
            )
        return None

    def _not_flushed(self, target: Target, machine: Machine) -> WrongStateError:
        mend = self._after_the_end(target) if machine.power in ENDED else f"runctl start {target.run}"
        return WrongStateError(f"{target.run} was not flushed", f"{machine.id} is {machine.power}", mend)

    def _after_the_end(self, target: Target) -> str:
        """What can be done once there is no instance: a run that has finished has no next attempt."""
        with suppress(RunctlError):
            verdict = judge(self._resolver.known(target))
            if verdict is not None and verdict.outcome is Outcome.FINISHED:
                return f"it has finished, and everything is durable: runctl pull {target.run}"
        return f"its next attempt: runctl resume {target.run}"


def saved(before: State | None, after: State | None) -> str:
    """What is safe now, and what became so meanwhile."""
    if after is None or after.checkpoint is None:
        return "nothing of it is known to be safe"
    newest = after.checkpoint + ("" if after.step is None else f" (step {after.step})")
    count = after.commits - (before.commits if before is not None and before.epoch == after.epoch else 0)
    meanwhile = f", {count} checkpoint{'' if count == 1 else 's'} meanwhile" if count > 0 else ""
    if after.pending_bytes:
        return f"saved: {newest}{meanwhile}; {size(after.pending_bytes)} were not"
    return f"saved: {newest}{meanwhile}" + ("; everything is durable" if durable(after) else "")


def _lost(about: Known, now: float) -> str:
    """What may be lost, as far as it is known."""
    if about.state is None or not about.current:
        return "its agent never reported, so nothing is known to be safe"
    state = about.state
    count = f"{state.pending_checkpoints} checkpoint{'' if state.pending_checkpoints == 1 else 's'} not sent"
    since = f", and what was trained since step {state.step}" if state.phase not in TERMINAL and state.step is not None else ""
    return f"{line(about)}, {count}{since}; {standing(about, Moments(now))}"
