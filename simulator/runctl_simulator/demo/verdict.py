"""Is all true that the demo shows? Pure: facts in, one check for each promise out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interruption:
    """A machine that is gone, and the training on the one in its place."""

    reached: int  # the last step that the training had done
    newest: int  # the step of the newest commit when the machine was gone
    resumed_at: int | None  # where the next training went on, by its own words; None: it began anew


@dataclass(frozen=True, slots=True)
class Facts:
    """What was observed. Manifests are named by their keys."""

    seen: tuple[str, ...]  # manifests as they appeared in S3, in that order
    listed: tuple[str, ...]  # manifests in S3 at the end
    unreadable: tuple[str, ...]  # of these, the ones that can't be read
    missing: tuple[str, ...]  # what manifests name and is not there as they say
    noticed: Interruption
    lost: Interruption
    pulled: str  # the name of the newest checkpoint, as it was pulled
    last: str  # the name of the last checkpoint of a training that is never interrupted
    pulled_digest: str  # SHA-256 of the whole file
    uninterrupted_digest: str


@dataclass(frozen=True, slots=True)
class Check:
    """`text` says what is so, or what is not."""

    true: bool
    text: str


def verdict(facts: Facts) -> tuple[Check, ...]:
    return (
        _whole(facts),
        _as_seen(facts),
        _nothing_lost(facts.noticed),
        _resumed("second", facts.noticed),
        _resumed("third", facts.lost),
        _finished(facts),
        _identical(facts),
    )


def _whole(facts: Facts) -> Check:
    if not facts.listed:
        return Check(False, "nothing was committed")
    wrong = [f"{key} can't be read" for key in facts.unreadable] + list(facts.missing)
    if wrong:
        return Check(False, "a manifest without its data: " + "; ".join(wrong))
    return Check(True, f"no manifest without data: {len(facts.listed)} manifests, all that they name is there, whole")


def _as_seen(facts: Facts) -> Check:
    seen, listed = set(facts.seen), set(facts.listed)
    wrong = [f"{key} has vanished" for key in sorted(seen - listed)] + [f"{key} was not seen" for key in sorted(listed - seen)]
    if wrong:
        return Check(False, "the commits are not those that were seen: " + "; ".join(wrong))
    return Check(True, f"exactly the {len(listed)} commits that were seen above are there, none more, none lost")


def _nothing_lost(noticed: Interruption) -> Check:
    if noticed.newest != noticed.reached:
        return Check(False, f"the notice cost {noticed.reached - noticed.newest} steps")
    return Check(True, f"with a notice not a single step was lost: step {noticed.reached} was the last, and is safe")


def _resumed(which: str, gone: Interruption) -> Check:
    if gone.resumed_at != gone.newest:
        went_on = "began anew" if gone.resumed_at is None else f"went on from step {gone.resumed_at}"
        return Check(False, f"the {which} machine {went_on}, but the newest commit was of step {gone.newest}")
    return Check(True, f"the {which} machine went on from the newest commit, of step {gone.resumed_at}")


def _finished(facts: Facts) -> Check:
    if facts.pulled != facts.last:
        return Check(False, f"the newest checkpoint is {facts.pulled}, but a finished training ends with {facts.last}")
    return Check(True, f"the training is finished: {facts.pulled} is its last checkpoint")


def _identical(facts: Facts) -> Check:
    if facts.pulled_digest != facts.uninterrupted_digest:
        return Check(False, "the final weights differ from those of the run that was never interrupted")
    return Check(True, "the final weights are identical, bit by bit, to those of the run that was never interrupted")
