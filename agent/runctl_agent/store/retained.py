"""What a run of retention did, or would do; and, pure, what it must leave of the condemned, because somebody names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from runctl_agent.contract.gc import Gc, Pin
from runctl_agent.contract.keys import snapshot_of

from .catalog import Ranked
from .doomed import name_of


@dataclass(frozen=True, slots=True)
class Kept:
    """Data of the condemned checkpoint `name` (`<epoch>-<seq>`) that stays: so many bytes, named by the checkpoint `by`."""

    name: str
    bytes: int
    by: str


@dataclass(frozen=True, slots=True)
class Retained:
    """`condemned`: the checkpoints that go, newest first; `bytes` were freed. `finished`: nothing is left that could go."""

    condemned: tuple[Ranked, ...]
    manifests: int
    objects: int
    bytes: int
    kept: tuple[Kept, ...]
    finished: bool = True


@dataclass(frozen=True)
class Holding:
    """Who holds what of one checkpoint's data: `named`, each object with a checkpoint that names it; `pinned`: all of it,
    for one that is not committed yet."""

    named: Mapping[str, str] = field(default_factory=dict)
    pinned: str = ""

    def holds(self, relative: str) -> bool:
        return bool(self.pinned) or relative in self.named

    @property
    def by(self) -> str:
        return next(iter(self.named.values()), self.pinned)


def holdings(manifests: Iterable[Ranked], pins: Iterable[Pin], gc: Gc) -> dict[str, Holding]:
    """By the checkpoint whose data is held. `manifests`: all that are not condemned, listed after the pins."""
    named: dict[str, dict[str, str]] = {}
    committed: set[str] = set()
    for one in manifests:
        committed.add(name_of(one))
        for data in one.manifest.objects:
            owner = snapshot_of(data.object)
            if owner is not None:
                named.setdefault(owner, {}).setdefault(data.object, one.manifest.checkpoint)
    # The committed name for themselves what they need, the condemned need nothing.
    waiting = [pin for pin in pins if pin.snapshot not in committed and not gc.condemns(pin.snapshot)]
    pinned = {name: pin.snapshot for pin in waiting for name in pin.names}
    return {name: Holding(named.get(name, {}), pinned.get(name, "")) for name in named.keys() | pinned.keys()}
