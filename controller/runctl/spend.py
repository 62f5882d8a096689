"""One RunInstances, with all that was begun undone if it does not end with an id that was told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from runctl_agent.errors import RunctlError
from runctl_agent.runtime import Runtime

from .claim import Claim
from .ec2 import Ec2
from .exits import Unavailable
from .fleet import Fleet, Machine, machine_of
from .interrupts import Noted

LOOKS = 6
PAUSE = 5.0
"""Looks for an instance of which the answer was lost, and seconds between them: reads of EC2 are eventually consistent."""

Say = Callable[[str], None]


class Spending:
    """`say` is for people, about what is undone."""

    def __init__(self, ec2: Ec2, runtime: Runtime, claim: Claim, run: str, say: Say) -> None:
        self._ec2 = ec2
        self._runtime = runtime
        self._claim = claim
        self._name = run
        self._say = say

    def launch(self, begin: Callable[[], None], request: Mapping[str, Any], tell: Callable[[Machine], None]) -> Machine:
        """`begin` claims the name, then the instance is launched, then `tell` prints its id.

        Ctrl-C before that is only noted until it can be undone; KeyboardInterrupt then, and nothing is left behind.
        """
        with Noted() as interrupted, ExitStack() as undo:
            undo.callback(self._take_back)
            begin()
            interrupted.check()
            described = self._run(request)
            undo.callback(self._terminate, described["InstanceId"])
            machine = machine_of(described)
            interrupted.check()
            tell(machine)
            undo.pop_all()
        return machine

    def _run(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        try:
            return self._ec2.run(request)
        except Unavailable:
            self._end_if_launched(request["ClientToken"])
            raise

    def _end_if_launched(self, token: str) -> None:
        """The answer was lost: an instance may have been launched, and becomes visible in a few seconds."""
        fleet = Fleet(self._ec2)
        seen = False
        for look in range(LOOKS):
            if look:
                self._runtime.sleep(PAUSE)
            try:
                launched = [machine for machine in fleet.of(self._name) if machine.token == token]
            except RunctlError as error:
                self._say(f"can't look for what was launched: {error}")
                continue
            seen = True
            if launched:
                for machine in launched:
                    self._terminate(machine.id)
                return
        found = "no instance was seen, but one may still appear" if seen else "an instance may be running"
        self._say(
            f"{found}: aws ec2 describe-instances --filters Name=client-token,Values={token} shows it, "
            "and aws ec2 terminate-instances ends it"
        )

    def _terminate(self, instance_id: str) -> None:
        try:
            self._ec2.terminate(instance_id)
            self._say(f"terminated {instance_id}: the launch was not completed")
        except RunctlError as error:
            self._say(
                f"{instance_id} is still running: {error}\n  mend: aws ec2 terminate-instances --instance-ids {instance_id}"
            )

    def _take_back(self) -> None:
        try:
            self._claim.take_back()
        except RunctlError as error:
            self._say(f"the run's name stays taken: {error.full}")
