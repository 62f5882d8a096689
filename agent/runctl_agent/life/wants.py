"""What the controller asks by the tag `runctl:want`, read through IMDS: each nonce once, and only in the life it names.

Taken down in the journal before anything is done: an agent that dies in between goes on with it, and does nothing twice.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.tags import Verb, Want, decode_want
from runctl_agent.errors import RunctlError
from runctl_agent.pruning import Wish
from runctl_agent.runtime import Runtime
from runctl_agent.store.journal import Journal

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between looks at the tag: IMDS costs nothing, and is throttled only by what a tight loop asks."""

MEMORY = "want"


Launched = Callable[[bool], int | None]
"""This life's LaunchTime; with True asked for anew: EC2 may have answered with an old one."""


@dataclass(frozen=True, slots=True)
class Taken:
    """The last request that was taken. `mark` is the journal's newest row once everything was read for a flush; None: not yet."""

    verb: Verb
    nonce: str
    boot_id: str
    mark: int | None = None
    done: bool = False


@dataclass(frozen=True, slots=True)
class Flushing:
    """What a flush needs of the agent."""

    rescan: Callable[[], None]
    quiet: Callable[[], bool]


class Wants:
    """`run` in a task of its own. `acknowledged`, `stop` and `problem` may be read from any."""

    def __init__(self, runtime: Runtime, journal: Journal, boot_id: str, flushing: Flushing, wish: Wish | None = None) -> None:
        """`wish`: to prune; None where no retention is asked for."""
        self._runtime = runtime
        self._journal = journal
        self._boot_id = boot_id
        self._flushing = flushing
        self._wish = wish
        self._awaited: int | None = None  # what the wish to prune has to reach
        self._taken = _remembered(journal.get(MEMORY))
        self._value: str | None = None
        self.stopping = runtime.event()
        self.problem = ""

    @property
    def acknowledged(self) -> str:
        """The nonce of the last request that was taken and, for all but a stop, done."""
        taken = self._taken
        return taken.nonce if taken is not None and (taken.done or taken.verb is Verb.STOP) else ""

    @property
    def stop(self) -> bool:
        """Whether this life was asked to end."""
        taken = self._taken
        return taken is not None and taken.verb is Verb.STOP and taken.boot_id == self._boot_id

    def run(self, read: Callable[[], str | None], launched: Launched) -> None:
        """`read` gives the tag's value; what it or `launched` can't tell is asked again."""
        failed = ""
        while not self.stopping.is_set():
            try:
                self.turn(read, launched)
            except RunctlError as error:
                failed = str(error)
                self._say(failed)
            else:
                self.problem = "" if self.problem == failed else self.problem
            self.stopping.wait(EVERY)

    def turn(self, read: Callable[[], str | None], launched: Launched) -> None:
        value = read()
        if value and value != self._value:
            self._take(value, launched)
            self._value = value
        self._go_on()

    def _take(self, value: str, launched: Launched) -> None:
        want = decode_want(value)
        if isinstance(want, Malformed):
            self._say(f"runctl:want can't be read: {want.reason}")
            return
        if self._taken is not None and want.nonce == self._taken.nonce:
            return
        own = launched(False)
        if own is not None and want.launch_time > own:
            own = launched(True)
        if (problem := self._refusal(want, own)) is not None:
            self._say(problem)
            return
        log.info("asked to %s (%s)", want.verb, want.nonce)
        self._keep(Taken(want.verb, want.nonce, self._boot_id))
        self._awaited = None
        self.problem = ""
        if want.verb is Verb.FLUSH:
            self._flushing.rescan()

    def _refusal(self, want: Want, launched: int | None) -> str | None:
        if launched is None or want.launch_time != launched:
            return f"runctl:want asks another life to {want.verb}: one launched at {want.launch_time}, not at {launched}"
        if want.verb is Verb.PRUNE and self._wish is None:
            return "runctl:want asks to prune: the run's spec has no retention, so nothing is deleted"
        return None

    def _go_on(self) -> None:
        taken = self._taken
        if taken is None or taken.done:
            return
        if taken.verb is Verb.FLUSH:
            self._flush(taken)
        elif taken.verb is Verb.PRUNE and self._wish is not None:
            self._prune(taken, self._wish)

    def _prune(self, taken: Taken, wish: Wish) -> None:
        """Done when retention was applied once after it was asked; asked again by the agent after one that died."""
        if self._awaited is None:
            self._awaited = wish.ask()
        self._keep(replace(taken, done=wish.met >= self._awaited))

    def _flush(self, taken: Taken) -> None:
        """Done when everything that was there when it was asked is committed."""
        if taken.mark is None:
            if not self._flushing.quiet():
                return
            self._journal.hasten()
            taken = replace(taken, mark=self._journal.mark())
        done = not self._journal.pending_up_to(taken.mark or 0)
        self._keep(replace(taken, done=done, boot_id=self._boot_id))

    def _keep(self, taken: Taken) -> None:
        if taken != self._taken:
            plain = {"verb": taken.verb, "nonce": taken.nonce, "boot_id": taken.boot_id, "mark": taken.mark, "done": taken.done}
            self._journal.put(MEMORY, json.dumps(plain))
            self._taken = taken

    def _say(self, problem: str) -> None:
        if problem != self.problem:
            log.warning("%s", problem)
        self.problem = problem


def _remembered(text: str | None) -> Taken | None:
    """What an agent before this one took; what can't be read is as if there had been nothing."""
    if text is None:
        return None
    try:
        plain = json.loads(text)
        mark = None if plain["mark"] is None else int(plain["mark"])
        return Taken(Verb(plain["verb"]), str(plain["nonce"]), str(plain["boot_id"]), mark, plain["done"] is True)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        log.warning("what the journal says of the last runctl:want can't be read: %s", error)
        return None
