"""One RunInstances, with all that was begun undone if it does not end with an id that was told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from runctl_agent.errors import RunctlError
from runctl_agent.runtime import Runtime

from .claim import Claim
from .ec2 import Ec2
from .exits import Interrupted, NoCapacity, Throttled, Unavailable, interruptible
from .fleet import Fleet, Machine, machine_of
from .interrupts import Noted
from .tries import Try

LOOKS = 6
PAUSE = 5.0
"""Looks for an instance of which the answer was lost, and seconds between them: reads of EC2 are eventually consistent."""

AGAIN_AFTER = (0.5, 1.0)
"""Seconds. RunInstances refills two a second ("Request throttling for the Amazon EC2 API"): where there is no capacity, type
after type is asked for, and the SDK's own patience with a 500 would use it up."""

AGAIN = "the same command launches it"

Say = Callable[[str], None]


def goes_on(run: str) -> Interrupted:
    """Ctrl-C after the id was told."""
    mend = f"runctl wait {run} watches it again, runctl stop {run} ends it"
    return Interrupted(f"{run} is not watched any more", "interrupted; the training goes on", mend)


class Spending:
    """`say` is for people, about what is undone."""

    def __init__(self, ec2: Ec2, runtime: Runtime, claim: Claim, run: str, say: Say) -> None:
        self._ec2 = ec2
        self._runtime = runtime
        self._claim = claim
        self._name = run
        self._say = say

    def launch(
        self,
        begin: Callable[[], None],
        request: Mapping[str, Any],
        tell: Callable[[Machine], None],
        others: Iterable[Try] = (),
    ) -> Machine:
        """`begin` claims the name, then the instance is launched, then `tell` prints its id. `others`: what to ask for where
        there is no capacity.

        Ctrl-C before that is only noted until it can be undone; Interrupted then, and nothing is left behind.
        """
        undone = interruptible(f"{self._name} was not launched", "interrupted; what had begun was undone", AGAIN)
        with Noted() as interrupted:
            with undone, ExitStack() as undo:
                undo.callback(self._take_back)
                begin()
                interrupted.check()
                described = self._first(request, iter(others), interrupted)
                undo.callback(self._terminate, described["InstanceId"])
                machine = machine_of(described)
                interrupted.check()
                tell(machine)
                undo.pop_all()
            if interrupted.noted:  # while the id was told
                raise goes_on(self._name)
        return machine

    def _first(self, request: Mapping[str, Any], others: Iterator[Try], interrupted: Noted) -> Mapping[str, Any]:
        """The first that EC2 has. Never two: each is asked for once the one before was refused."""
        tried = [str(request.get("InstanceType", "it"))]
        while True:
            try:
                return self._run(request)
            except NoCapacity as error:
                interrupted.check()
                another = next(others, None)
                if another is None:
                    raise self._none(tried, error) from error
                self._say(f"no capacity for {tried[-1]} ({error.why}): trying {another.what}")
                tried.append(another.what)
                self._claim.again(another.launched)
                request = another.request

    def _none(self, tried: list[str], error: NoCapacity) -> NoCapacity:
        if len(tried) == 1:
            return error
        return NoCapacity(f"{self._name} was not launched", f"no capacity for {', '.join(tried)}: {error.why}", error.mend)

    def _run(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Asked again where EC2 has no time, or the answer was lost: with its token it stays one and the same request."""
        lost = False
        for pause in (*AGAIN_AFTER, None):
            try:
                return self._ec2.run(request)
            except (Throttled, Unavailable) as error:
                lost = lost or isinstance(error, Unavailable)
                if pause is None:
                    if lost:
                        self._end_if_launched(request["ClientToken"])
                    raise
                self._runtime.sleep(pause)
        raise AssertionError("the last try returns or raises")

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
