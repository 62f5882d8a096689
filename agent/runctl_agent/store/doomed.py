"""Pure: which checkpoints retention lets go. What is in doubt stays.

Never doomed, whatever the settings say:

- what ranks at or above the checkpoint that `latest` names, and the newest `keep_last` (at least one) that count: complete,
  with weights, and known to this version;
- everything, while fewer than `keep_last` count, or `latest` names nothing;
- what carries no weights: it is small, and no newer one stands for it;
- a checkpoint whose step is a multiple of `keep_every`;
- a checkpoint of a kind, an encoding or a digest that this version does not know.

An incomplete one is doomed as a complete one of its rank would be: newer ones that are complete stand for it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from runctl_agent.contract.keys import snapshot
from runctl_agent.contract.manifest import Latest, Order, Rank, order
from runctl_agent.contract.spec import Retention

from .catalog import Ranked
from .check import unknown


@dataclass(frozen=True, slots=True)
class Cut:
    """What ranks below `floor` goes, but for every `every`-th step; None: nothing goes."""

    floor: Order | None
    every: int

    def dooms(self, rank: Rank, epoch: int, seq: int) -> bool:
        """Whether the checkpoint (`epoch`, `seq`) of this rank goes."""
        if self.floor is None or not rank.weights or (self.every and rank.step % self.every == 0):
            return False
        return (rank, epoch, seq) < self.floor[:3]


def cut(manifests: Collection[Ranked], latest: Latest, retention: Retention) -> Cut:
    """`manifests`: all that are not condemned, in any order."""
    keep = max(retention.keep_last, 1)
    newest = sorted((one.order for one in manifests if _counts(one)), reverse=True)[:keep]
    if not retention.wanted or len(newest) < keep or latest.rank is None or latest.manifest is None:
        return Cut(None, retention.keep_every)
    return Cut(min(newest[-1], order(latest.rank, latest.manifest)), retention.keep_every)


def doomed(manifests: Collection[Ranked], latest: Latest, retention: Retention) -> tuple[Ranked, ...]:
    """Those that go, in the order given. Two of one epoch and seq, which only a fault makes, go together or not at all."""
    at = cut(manifests, latest, retention)
    kept = {name_of(one) for one in manifests if not _goes(one, at)}
    return tuple(one for one in manifests if name_of(one) not in kept)


def name_of(one: Ranked) -> str:
    return snapshot(one.manifest.epoch, one.manifest.seq)


def _counts(one: Ranked) -> bool:
    return one.manifest.complete and one.manifest.rank.weights and not unknown(one.manifest)


def _goes(one: Ranked, at: Cut) -> bool:
    manifest = one.manifest
    return at.dooms(manifest.rank, manifest.epoch, manifest.seq) and not unknown(manifest)
