"""Stop, start and terminate an instance: the state is checked first, and what is finished is made durable before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from runctl_agent.contract.tags import Verb
from runctl_agent.errors import WrongStateError

from .ask import Asker
from .ec2 import Ec2
from .fleet import ENDED, Machine
from .grouped import Grouped
from .known import Known
from .moment import Moments
from .resolve import Resolver, Target
from .sight import line, standing

POWER = 900.0
"""Seconds within which EC2 starts, stops or terminates an instance; more often it takes one minute."""

Say = Callable[[str], None]


class Power:
    """Each method returns the machine as it was seen last."""

    def __init__(self, ec2: Ec2, resolver: Resolver, asker: Asker, say: Say) -> None:
        self._grouped = Grouped(ec2, resolver.runtime, say)
        self._removed = False
        self._ec2 = ec2
        self._resolver = resolver
        self._asker = asker
        self._say = say

    def stop(self, target: Target, timeout: float, *, now: bool) -> Machine:
        """Raises WrongStateError, TimedOutError: then the instance is left running."""
        machine = present(target, "stop")
        if self._resolver.grouped(target) and self._grouped.of(target.run, target.destination) is not None:
            raise WrongStateError(
                f"{target.run} was not stopped",
                "it lives in a group, which would replace a stopped instance",
                f"runctl terminate {target.run} saves first too; runctl resume {target.run} goes on later",
            )
        if reason := unstoppable(machine):
            raise reason
        machine = self._made_durable(target, machine, timeout, now=now)
        if machine.power in ENDED:
            raise WrongStateError(
                f"{machine.id} was not stopped", f"it is {machine.power}: it ended by itself", after_the_end(target.run)
            )
        if machine.power in ("pending", "running"):
            self._ec2.stop(machine.id)
        return self._asker.power(machine, frozenset({"stopped"}), POWER)

    def terminate(self, target: Target, timeout: float, *, now: bool) -> Machine:
        """Raises WrongStateError, TimedOutError: then the instance is left as it is."""
        if target.machine is None or target.machine.power in ENDED:
            self._ungrouped(target)
        machine = present(target, "terminate")
        if machine.power in ENDED:
            if self._removed:
                return machine
            raise WrongStateError(
                f"{target.run} was not terminated", f"{machine.id} is {machine.power} already", after_the_end(target.run)
            )
        if machine.power in ("stopping", "stopped"):
            self._require_durable(target, machine, now=now)
        else:
            machine = self._made_durable(target, machine, timeout, now=now)
            if machine.power in ("stopping", "stopped"):
                self._require_durable(replace(target, machines=(machine,)), machine, now=now)
        self._ungrouped(target)  # first: it would replace what is only terminated
        if machine.power not in ENDED:
            self._ec2.terminate(machine.id)
        return self._asker.power(machine, frozenset({"terminated"}), POWER)

    def _ungrouped(self, target: Target) -> None:
        """Remove the run's group, if it has one, and the template with it."""
        if not self._resolver.grouped(target):
            return
        for group in self._grouped.remove(target.run, target.destination):
            self._removed = True
            self._say(f"removed the group {group.name}: nothing is replaced any more")

    def start(self, target: Target) -> Machine:
        """Raises WrongStateError."""
        machine = present(target, "start")
        if machine.power != "stopped":
            mends = {
                "stopping": f"once it is stopped: runctl start {target.run}",
                "pending": f"runctl status {target.run}",
                "running": f"runctl status {target.run}",
            }
            mend = mends.get(machine.power, after_the_end(target.run))
            raise WrongStateError(f"{target.run} was not started", f"{machine.id} is {machine.power}", mend)
        self._ec2.start(machine.id)
        return self._asker.power(machine, frozenset({"pending", "running"}), POWER)

    def flush(self, target: Target, timeout: float) -> Machine:
        """Raises WrongStateError, TimedOutError."""
        machine = present(target, "flush")
        if machine.power not in ("pending", "running"):
            raise _not_flushed(target.run, machine)
        machine = self._asker.ask(machine, Verb.FLUSH, timeout)
        if machine.power != "running":
            raise _not_flushed(target.run, machine)
        return machine

    def _made_durable(self, target: Target, machine: Machine, timeout: float, *, now: bool) -> Machine:
        about = self._resolver.known(target)
        if about.durable:
            return machine
        if now:
            self._say(f"not waited for: {_lost(about, self._resolver.runtime.now())}")
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
        self._say(f"not waited for: {lost}")


def present(target: Target, verb: str) -> Machine:
    """The run's newest instance. Raises WrongStateError where EC2 has none any more."""
    if target.machine is None:
        raise WrongStateError(f"can't {verb} {target.run}", "it has no instance any more", after_the_end(target.run))
    return target.machine


def unstoppable(machine: Machine) -> WrongStateError | None:
    """Why it can't be stopped in the state it is in."""
    what = f"{machine.run} was not stopped"
    if machine.power in ("stopped", "stopping"):
        return WrongStateError(what, f"{machine.id} is {machine.power} already", f"runctl start {machine.run}")
    if machine.power in ENDED:
        return WrongStateError(what, f"{machine.id} is {machine.power}", after_the_end(machine.run))
    if machine.spot:
        why = f"{machine.id} is a one-time spot instance, which EC2 can't stop"
        return WrongStateError(
            what, why, f"runctl terminate {machine.run} saves first too; runctl resume {machine.run} goes on later"
        )
    return None


def after_the_end(run: str) -> str:
    return f"its next attempt: runctl resume {run}"


def _not_flushed(run: str, machine: Machine) -> WrongStateError:
    mend = after_the_end(run) if machine.power in ENDED else f"runctl start {run}"
    return WrongStateError(f"{run} was not flushed", f"{machine.id} is {machine.power}", mend)


def _lost(about: Known, now: float) -> str:
    """What may be lost, as far as it is known."""
    if about.state is None or not about.current:
        return "its agent never reported, so nothing is known to be safe"
    state = about.state
    count = f"{state.pending_checkpoints} checkpoint{'' if state.pending_checkpoints == 1 else 's'} not sent"
    return f"{line(about)}, {count}, {standing(about, Moments(now))}"
