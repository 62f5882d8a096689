"""The instances of every region that the account uses."""

from __future__ import annotations

from collections.abc import Callable

from runctl_agent.errors import RunctlError
from runctl_agent.runtime import Runtime, run_pool

from .ec2 import Ec2
from .fleet import Fleet, Machine

WIDTH = 8

Say = Callable[[str], None]


class Everywhere:
    """As `Fleet.all`, of all regions. One that can't be asked is said, and hides no other."""

    def __init__(self, ec2: Ec2, runtime: Runtime, say: Say) -> None:
        self._ec2 = ec2
        self._runtime = runtime
        self._say = say

    def all(self) -> list[Machine]:
        """The newest launch first. Raises RunctlError where no region answers."""
        found: list[Machine] = []
        refused: list[RunctlError] = []
        regions = [self._ec2.of_region(name) for name in self._ec2.regions()]

        def look(region: Ec2) -> None:
            try:
                found.extend(Fleet(region).all())
            except RunctlError as error:
                refused.append(error)
                self._say(f"{region.region}: {error.full}")

        run_pool(self._runtime, "regions", WIDTH, look, regions)
        if refused and len(refused) == len(regions):
            raise refused[0]
        return sorted(found, key=lambda one: (-one.launch_time, one.run))
