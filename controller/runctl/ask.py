"""Ask an agent, by one tag, and look until its state says that it was done."""

from __future__ import annotations

from collections.abc import Callable

from runctl_agent.contract.summary import size
from runctl_agent.contract.tags import WANT, Verb, Want, encode_want
from runctl_agent.errors import TimedOutError, WrongStateError
from runctl_agent.runtime import Runtime

from .ec2 import Ec2
from .exits import Throttled, Unavailable
from .fleet import Fleet, Machine
from .known import durable, known
from .moment import Moments
from .sight import line, standing

EVERY = 2.0
"""Seconds between two looks; the agent reads its tags as often."""
SLOWEST = 60.0

Say = Callable[[str], None]


class Asker:
    """`every` in seconds between two looks."""

    def __init__(self, ec2: Ec2, runtime: Runtime, say: Say, every: float = EVERY) -> None:
        self._ec2 = ec2
        self._fleet = Fleet(ec2)
        self._runtime = runtime
        self._say = say
        self._every = every
        self._line = ""
        self._seen_ours = False

    def ask(self, machine: Machine, verb: Verb, timeout: float) -> Machine:
        """Until the nonce is acknowledged, for a stop until all is durable too. The machine as seen last.

        Also returns when the instance has ended or is ending by itself. Raises TimedOutError: nothing was stopped, and why not.
        """
        want = Want(verb, self._runtime.nonce(), machine.launch_time)
        text = encode_want(want)
        self._ec2.tag(machine.id, WANT, text)
        self._say(f"asked the agent of {machine.id} to {verb.value}")
        self._seen_ours = False
        return self.look(
            machine,
            lambda seen: answered(seen, want) or self._overruled(seen, text),
            timeout,
            lambda seen: _silent(seen, want, timeout, self._runtime.now()),
        )

    def power(self, machine: Machine, wanted: frozenset[str], timeout: float) -> Machine:
        """Look until EC2 shows one of the states `wanted`."""
        return self.look(machine, lambda seen: seen.power in wanted, timeout, lambda seen: _slow(seen, timeout))

    def look(
        self,
        machine: Machine,
        enough: Callable[[Machine], bool],
        timeout: float,
        give_up: Callable[[Machine], TimedOutError],
    ) -> Machine:
        deadline = self._runtime.monotonic() + timeout
        pause, seen = self._every, machine
        while True:
            try:
                seen = self._fleet.one(machine.id)
                pause = self._every
                if enough(seen):
                    return seen
                self._tell(seen)
            except (Throttled, Unavailable) as error:
                pause = min(2 * pause, SLOWEST)
                self._progress(f"{error}; looking again in {pause:g} s")
            now = self._runtime.monotonic()
            if now >= deadline:
                raise give_up(seen)
            self._runtime.sleep(min(pause, deadline - now))

    def _overruled(self, seen: Machine, text: str) -> bool:
        """Raises WrongStateError where another command has asked for something else since; a late read shows what was before."""
        if seen.want == text:
            self._seen_ours = True
        elif self._seen_ours:
            why = "another command has asked its agent for something else since"
            raise WrongStateError(f"{seen.run} was not waited for", why, f"runctl status {seen.run}")
        return False

    def _tell(self, seen: Machine) -> None:
        self._progress(f"{line(known(seen.run, seen.destination, seen))}, {_behind(seen)}")

    def _progress(self, text: str) -> None:
        if text != self._line:
            self._line = text
            self._say(text)


def answered(seen: Machine, want: Want) -> bool:
    """Whether there is nothing more to wait for."""
    if seen.power not in ("pending", "running"):
        return True
    if seen.own is None or seen.own.want != want.nonce:
        return False
    return want.verb is not Verb.STOP or durable(seen.own)


def _behind(seen: Machine) -> str:
    state = seen.own
    return "nothing heard of it" if state is None else f"{size(state.pending_bytes)} behind"


def _silent(seen: Machine, want: Want, timeout: float, now: float) -> TimedOutError:
    about = known(seen.run, seen.destination, seen)
    mends = {
        Verb.STOP: f"{seen.id} is left running; a longer --timeout, or at once, losing what is not durable: --now",
        Verb.PRUNE: f"what keeps its agent from it: runctl status {seen.run}; runctl prune {seen.run}, with a longer --timeout",
        Verb.FLUSH: f"runctl status {seen.run}; runctl flush {seen.run}, with a longer --timeout",
    }
    mend = mends.get(want.verb, f"runctl status {seen.run}")
    if seen.own is not None and seen.own.want == want.nonce:
        why = f"after {timeout:g} s: {line(about)}, {standing(about, Moments(now))}"
        return TimedOutError(f"{seen.run} is not durable yet", why, mend)
    why = f"not in {timeout:g} s; {standing(about, Moments(now))}"
    return TimedOutError(f"the agent of {seen.run} did not acknowledge the {want.verb.value}", why, mend)


def _slow(seen: Machine, timeout: float) -> TimedOutError:
    return TimedOutError(f"{seen.id} is still {seen.power}", f"after {timeout:g} s", f"wait for it: runctl status {seen.run}")
