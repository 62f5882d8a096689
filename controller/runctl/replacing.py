"""Whether a group launches the next instance of what was taken away: that is no end of a run."""

from __future__ import annotations

from dataclasses import dataclass

from . import documents
from .grouped import Grouped
from .known import Known
from .listing import row
from .resolve import Resolver, Target
from .verdict import Verdict, comes_back


@dataclass(frozen=True, slots=True)
class Replacing:
    """`says`: what the group last failed at, or is about, in Auto Scaling's words; empty: nothing."""

    group: str
    says: str

    @property
    def text(self) -> str:
        return f"{self.group} replaces its instance" + (f": {self.says}" if self.says else "")

    def plain(self) -> documents.Replacing:
        return {"group": self.group, "says": self.says}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a run stands. `replacing` None: nothing takes the place of an instance that is gone."""

    known: Known
    replacing: Replacing | None

    def plain(self, now: float) -> documents.Standing:
        return {**row(self.known, now), "replacing": None if self.replacing is None else self.replacing.plain()}


def replacing(resolver: Resolver, grouped: Grouped, target: Target, verdict: Verdict | None) -> Replacing | None:
    """Asked of the run as a whole: one instance, named by its id, comes back no more. Raises RunctlError."""
    if target.pinned or not comes_back(verdict):
        return None
    group = grouped.of(target.run, target.destination) if resolver.grouped(target) else None
    return Replacing(group.name, grouped.said(group)) if group is not None and group.replaces else None
