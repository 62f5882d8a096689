"""What every command needs, made once: EC2, the runs, the clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runctl_agent.errors import RunctlError
from runctl_agent.runtime import ThreadRuntime

from .app import note
from .ask import Asker
from .ec2 import Ec2
from .grouped import Grouped
from .known import Known
from .launch import Begun, Launch
from .power import Agree, Power
from .prune import Prune
from .replacing import Standing, replacing
from .resolve import Resolver, Target
from .resume import Resume
from .shelf import Shelf
from .verdict import Verdict, comes_back, judge
from .wait import Patience, Say, Wait


class Session:
    """One command. `destination` empty: that of the run's own tag."""

    def __init__(self, destination: str = "") -> None:
        self.runtime = ThreadRuntime()
        self.ec2 = Ec2()
        self.destination = destination
        self.resolver = Resolver(self.ec2, destination, self.runtime, note)

    def now(self) -> float:
        return self.runtime.now()

    def target(self, run: str) -> Target:
        return self.resolver.target(run)

    def shelf(self, run: str) -> tuple[str, Shelf]:
        """The run's whole name, and where it lies."""
        target = self.target(run)
        return target.run, self.resolver.shelf(target)

    def power(self, agree: Agree) -> Power:
        return Power(self.ec2, self.resolver, Asker(self.ec2, self.runtime, note), note, agree)

    def prune(self, run: str) -> Prune:
        return Prune(self.resolver, Asker(self.ec2, self.runtime, note), self.target(run), note)

    def launch(self) -> Launch:
        return Launch(self.ec2, self.runtime, note)

    def resume(self) -> Resume:
        return Resume(self.ec2, self.resolver, note)

    def standing(self, run: str) -> Standing:
        """That a group can't be asked is said, and hides nothing."""
        target = self.target(run)
        known = self.resolver.known(target)
        try:
            return Standing(known, replacing(self.resolver, Grouped(self.ec2, self.runtime, note), target, judge(known)))
        except RunctlError as error:
            note(error.full)
            return Standing(known, None)

    def replaced(self, rows: Sequence[Known]) -> frozenset[tuple[str, str]]:
        """Run and destination of those whose group launches the next instance; asked only where that may be so."""
        if not any(comes_back(judge(row)) for row in rows if row.machine is None or row.machine.group):
            return frozenset()
        try:
            return frozenset().union(*(Grouped(self._of(one), self.runtime, note).replaced() for one in self._regions(rows)))
        except RunctlError as error:
            note(error.full)
            return frozenset()

    def _regions(self, rows: Sequence[Known]) -> set[str]:
        """Where there may be a group of theirs; empty: here."""
        return {row.machine.region if row.machine is not None else "" for row in rows if comes_back(judge(row))}

    def _of(self, region: str) -> Ec2:
        return self.ec2 if region in ("", self.ec2.region) else self.ec2.of_region(region)

    def wait(self, find: Callable[[], Target], patience: Patience, say: Say) -> Verdict:
        return self.waiting(find, patience, say).until_ended()

    def waiting(self, find: Callable[[], Target], patience: Patience, say: Say) -> Wait:
        return Wait(self.resolver, find, patience, say, Grouped(self.ec2, self.runtime, say))

    @staticmethod
    def target_of(begun: Begun) -> Target:
        """A run just launched, which EC2 may not show yet."""
        machines = (begun.machine,) if begun.machine is not None else ()
        return Target(begun.spec.run, begun.spec.destination, machines)
