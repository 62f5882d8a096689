"""RUN, as people write it: a run's name, a unique prefix of one, or an instance id."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from runctl_agent.contract.names import RUN as RUN_NAME
from runctl_agent.errors import NotFoundError, RunctlError, UsageError
from runctl_agent.runtime import Runtime

from .ec2 import Ec2
from .fleet import INSTANCE_ID, Fleet, Machine, newest
from .known import Known, known
from .shelf import Shelf
from .silence import silent_for

MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Target:
    """One run. `machines` has its instances, newest first; `pinned`: an instance id was given, and it is the only one."""

    run: str
    destination: str
    machines: tuple[Machine, ...]
    pinned: bool = False

    @property
    def machine(self) -> Machine | None:
        return newest(self.machines)


class Resolver:
    """`destination` empty: that of the run's own tag. One that is given counts strictly: two may have a run of one name."""

    def __init__(self, ec2: Ec2, destination: str, runtime: Runtime, say: Callable[[str], None]) -> None:
        self.fleet = Fleet(ec2)
        self.runtime = runtime
        self.say = say
        self._ec2 = ec2
        self._shelf = Shelf(destination, runtime) if destination else None

    def target(self, name: str) -> Target:
        """Raises NotFoundError with near misses, UsageError for what is ambiguous or no name."""
        if INSTANCE_ID.fullmatch(name):
            return self._instance(name)
        if not RUN_NAME.fullmatch(name):
            why = "a run's name has a-z, 0-9 and -, the id of an instance is like i-0123456789abcdef0"
            raise UsageError(f"{name!r} is no run", why, "`runctl list` shows the runs")
        found = _by_place(self.fleet.of(name, f"{name}*"))
        if self._shelf is not None and (name, self._shelf.url) not in found:
            found = {(run, self._shelf.url): () for run in self._shelf.runs(name)} | found
        exact = {place: machines for place, machines in found.items() if place[0] == name}
        return self._only(name, exact or found)

    def whole(self, target: Target) -> Target:
        """With every instance of the run, where an id named one."""
        if not target.pinned:
            return target
        machines = [one for one in self.fleet.of(target.run) if one.destination == target.destination]
        return Target(target.run, target.destination, tuple(machines))

    def grouped(self, target: Target) -> bool:
        """Whether the run was launched into a group, as far as that can be told: only then is Auto Scaling asked at all."""
        if any(machine.group for machine in target.machines):
            return True
        try:
            standing = self.shelf(target).launched(target.run)
        except RunctlError:
            return False
        return standing is not None and standing.launched.recover

    def shelf(self, target: Target) -> Shelf:
        """Where the run lies. Raises UsageError where that is not known."""
        if self._shelf is not None and self._shelf.url == target.destination:
            return self._shelf
        if not target.destination:
            raise UsageError(
                f"where {target.run} lies is not known",
                "its instance has no runctl:destination tag",
                "--destination s3://bucket/prefix",
            )
        return Shelf(target.destination, self.runtime)

    def known(self, target: Target) -> Known:
        """With `status.json`, where the instance does not say for itself how its run stands.

        That it can't be read is said, and does not hide the instance. Raises RunctlError where there is nothing else to go by.
        """
        machine = target.machine
        told = known(target.run, target.destination, machine)
        if machine is not None and machine.power == "running" and told.current and silent_for(told, self.runtime.now()) is None:
            return told
        try:
            status = self.shelf(target).status(target.run)
        except RunctlError as error:
            if machine is None:
                raise
            self.say(str(error))
            status = None
        return known(target.run, target.destination, machine, status)

    def _instance(self, instance_id: str) -> Target:
        machine = self.fleet.one(instance_id)
        if not RUN_NAME.fullmatch(machine.run):
            raise NotFoundError(f"{instance_id} is no run's instance", "it has no runctl:run tag", "`runctl list` shows the runs")
        if self._shelf is not None and self._shelf.url != machine.destination:
            raise _elsewhere(machine.run, self._shelf, [machine.destination])
        return Target(machine.run, machine.destination, (machine,), pinned=True)

    def _only(self, name: str, found: dict[tuple[str, str], tuple[Machine, ...]]) -> Target:
        here = {place: machines for place, machines in found.items() if self._shelf is None or place[1] == self._shelf.url}
        if len(here) == 1:
            (((run, destination), machines),) = here.items()
            return Target(run, destination, machines)
        if not here and found and self._shelf is not None:
            raise _elsewhere(name, self._shelf, [destination for _, destination in found])
        if not here:
            raise self._unknown(name)
        names = sorted({run for run, _ in here})
        if len(names) == 1:
            places = ", ".join(sorted(destination for _, destination in here))
            raise UsageError(f"{name} is ambiguous", f"{names[0]} is in {places}", "--destination says which")
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        raise UsageError(f"{name} is ambiguous", f"it begins {', '.join(names[:MOST_NAMED])}{more}", "give more of the name")

    def _unknown(self, name: str) -> RunctlError:
        region = self._ec2.region
        names = {machine.run for machine in self.fleet.all()} | set(self._shelf.runs() if self._shelf else ())
        near = difflib.get_close_matches(name, sorted(names), n=3)
        mend = f"did you mean {', '.join(near)}?" if near else "`runctl list` shows the runs; another region: AWS_REGION"
        if self._shelf is None:
            why = f"EC2 in {region} has none of it; what has ended is found with --destination"
        else:
            why = f"neither EC2 in {region} nor {self._shelf.url} has it"
        return NotFoundError(f"there is no run {name}", why, mend)


def _elsewhere(name: str, shelf: Shelf, places: list[str]) -> RunctlError:
    where = sorted(set(places))
    return NotFoundError(
        f"there is no run {name} in {shelf.url}", f"there is one in {', '.join(where)}", f"--destination {where[0]}"
    )


def _by_place(machines: Iterable[Machine]) -> dict[tuple[str, str], tuple[Machine, ...]]:
    """By run and destination."""
    found: dict[tuple[str, str], tuple[Machine, ...]] = {}
    for machine in machines:
        place = (machine.run, machine.destination)
        found[place] = (*found.get(place, ()), machine)
    return found
