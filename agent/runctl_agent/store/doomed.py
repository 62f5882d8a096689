"""Pure: which checkpoints retention lets go. What is in doubt stays.

Never doomed, whatever the settings say:

- what ranks at or above the checkpoint that `latest` names, and the newest `keep_last` (at least one) that count: complete,
  with weights, and known to this version;
- everything, while fewer than `keep_last` count, or `latest` names nothing;
- what carries no weights: it is small, and no newer one stands for it;
- a checkpoint whose step is a multiple of `keep_every`;
- the newest of a name that has no number (`best.pt`, `last.pt`): it says which it is, not how old;
- what has the step of one that stays and a number in its name: both are of one save (`model_100.pt`, `optim_100.pt`);
- a checkpoint of a kind, an encoding or a digest that this version does not know.

An incomplete one is doomed as a complete one of its rank would be: newer ones that are complete stand for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from runctl_agent.contract.keys import snapshot
from runctl_agent.contract.manifest import Latest, Order, Rank, order
from runctl_agent.contract.spec import Retention

from .catalog import Ranked


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
    spared = {*_newest_of_names(manifests), *_of_one_save(manifests, at)}
    kept = {name_of(one) for one in manifests if not _goes(one, at) or one.key in spared}
    return tuple(one for one in manifests if name_of(one) not in kept)


def _newest_of_names(manifests: Collection[Ranked]) -> Iterator[str]:
    """The keys of the newest complete ones of names without a number."""
    newest: dict[str, Ranked] = {}
    for one in manifests:
        name = one.manifest.checkpoint
        if one.manifest.complete and not _numbered(name) and (name not in newest or newest[name].order < one.order):
            newest[name] = one
    return (one.key for one in newest.values())


def _of_one_save(manifests: Collection[Ranked], at: Cut) -> Iterator[str]:
    """The keys of what was saved with one that stays."""
    numbered = [one for one in manifests if _numbered(one.manifest.checkpoint)]
    stay = {_save(one) for one in numbered if _counts(one) and not _goes(one, at)}
    return (one.key for one in numbered if _save(one) in stay)


def _save(one: Ranked) -> tuple[int, int]:
    return one.manifest.rank.epoch, one.manifest.rank.step


def _numbered(name: str) -> bool:
    return any(character.isdigit() for character in name)


def name_of(one: Ranked) -> str:
    return snapshot(one.manifest.epoch, one.manifest.seq)


def _counts(one: Ranked) -> bool:
    return one.manifest.complete and one.manifest.rank.weights and not one.manifest.unknown


def _goes(one: Ranked, at: Cut) -> bool:
    manifest = one.manifest
    return at.dooms(manifest.rank, manifest.epoch, manifest.seq) and not manifest.unknown
