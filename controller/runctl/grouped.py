"""A launch into a group of its own, and the group's end: template, group and hook come and go together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from runctl_agent.contract.spec import Spec
from runctl_agent.errors import RunctlError
from runctl_agent.runtime import Runtime

from . import recovering
from .autoscaling import AutoScaling, ScalingGroup
from .claim import Claim
from .ec2 import Ec2
from .exits import Interrupted, interruptible
from .fleet import Fleet, Machine
from .interrupts import Noted
from .launched import Launched
from .spend import AGAIN

LOOKS = 20
PAUSE = 3.0
"""Looks for the first instance, and seconds between them: EC2 fulfils a request for spot in seconds, or not for hours."""

Say = Callable[[str], None]


class Grouped:
    """`say` is for people."""

    def __init__(self, ec2: Ec2, runtime: Runtime, say: Say) -> None:
        self._ec2 = ec2
        self._autoscaling = AutoScaling(ec2)
        self._runtime = runtime
        self._say = say

    def launch(
        self,
        claim: Claim,
        begin: Callable[[], None],
        spec: Spec,
        launched: Launched,
        request: Mapping[str, Any],
        tell: Callable[[Machine | None], None],
    ) -> Machine | None:
        """`begin` claims the name; then template and group; None: the group stands, and has found no instance yet.

        Ctrl-C before it stands is noted, and nothing is left behind.
        """
        name = spec.recover.group
        undone = interruptible(f"{spec.run} was not launched", "interrupted; what had begun was undone", AGAIN)
        with Noted() as interrupted, undone, ExitStack() as undo:
            undo.callback(self._tried, "the run's name stays taken", claim.take_back)
            begin()
            interrupted.check()
            undo.callback(self._tried, f"the launch template {name} stays", lambda: self._ec2.delete_template(name))
            self._ec2.create_template(name, recovering.template(request), recovering.known(spec, launched.owner))
            interrupted.check()
            undo.callback(self._tried, f"the group {name} may go on launching", lambda: self._autoscaling.remove(name))
            self._autoscaling.create(recovering.group(spec, launched, name, () if launched.subnet else self._ec2.zones()))
            interrupted.check()
            undo.pop_all()
        machine = self._looked_for(name, spec, tell, interrupted)
        tell(machine)
        return machine

    def _looked_for(self, name: str, spec: Spec, tell: Callable[[Machine | None], None], interrupted: Noted) -> Machine | None:
        """The first instance. The group stands: whatever keeps from looking for it, the run is launched, and that is told."""
        try:
            interrupted.check()  # once more: Ctrl-C may have come while the group was made
            machine = self._first(spec)
            if machine is None:
                said = self._autoscaling.said(name) or "it says nothing"
                self._say(f"{name} has found no instance yet, and goes on looking: {said}")
        except KeyboardInterrupt:
            tell(None)
            why = f"interrupted; its group {name} goes on looking for an instance, and launches it"
            mend = f"runctl wait {spec.run} watches it again, runctl terminate {spec.run} ends it"
            raise Interrupted(f"{spec.run} is not watched any more", why, mend) from None
        except RunctlError as error:
            self._say(error.full)
            return None
        return machine

    def remove(self, run: str, destination: str) -> list[ScalingGroup]:
        """What there is of groups and templates of a run, instances with them; what was there."""
        found = self._autoscaling.of(run, destination)
        for group in found:
            self._autoscaling.remove(group.name)
        self._ec2.delete_template(recovering.group_name(run, destination))
        return found

    def of(self, run: str, destination: str) -> ScalingGroup | None:
        """The run's group, if it has one."""
        return next(iter(self._autoscaling.of(run, destination)), None)

    def replaced(self) -> frozenset[tuple[str, str]]:
        """Run and destination of every group that replaces what dies."""
        return frozenset((one.run, one.destination) for one in self._autoscaling.all() if one.replaces)

    def said(self, group: ScalingGroup) -> str:
        return self._autoscaling.said(group.name)

    def _first(self, spec: Spec) -> Machine | None:
        fleet = Fleet(self._ec2)
        for look in range(LOOKS):
            if look:
                self._runtime.sleep(PAUSE)
            living = [one for one in fleet.of(spec.run) if one.destination == spec.destination and one.lives]
            if living:
                return living[0]
        return None

    def _tried(self, otherwise: str, undo: Callable[[], None]) -> None:
        try:
            undo()
        except RunctlError as error:
            self._say(f"{otherwise}: {error.full}")
