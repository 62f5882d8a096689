"""Deliberate bugs, and how many schedules it takes to find each: python -m tests.simulation.mutants [NAME ...].

Each is a switch on one function of the agent. The simulation is worth what it finds of them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any
from unittest.mock import patch

from runctl_agent.attend import Attendant
from runctl_agent.disk import formats, lease
from runctl_agent.disk.lock import CheckpointLock, Locks
from runctl_agent.disk.places import Places
from runctl_agent.disk.stage import Stager
from runctl_agent.gather import Gatherer
from runctl_agent.lineage import Lineage
from runctl_agent.records import Proof, Writer
from runctl_agent.sender import Sender, StagedSource
from runctl_agent.shipping import Shipped
from runctl_agent.store import commit, complete, epoch, retain, sums, survey, waiting
from runctl_agent.store.commit import Committer
from runctl_agent.store.complete import Completer
from runctl_agent.store.epoch import EpochTaker
from runctl_agent.store.journal import Journal
from runctl_agent.store.pins import Pins
from runctl_agent.store.pointer import Pointer
from runctl_agent.store.retain import Retainer
from runctl_agent.store.rows import Behind
from runctl_agent.store.send import Parts
from tests.simulation import bugs
from tests.simulation.schedule import schedule_of
from tests.simulation.sweep import Failed, tried


@dataclass(frozen=True)
class Mutant:
    """`promise`: which of DESIGN.md section 1 it breaks; `instead`: (owner, name, what stands there) of each function."""

    name: str
    bug: str
    promise: int
    instead: tuple[tuple[Any, str, Any], ...]
    most: int
    """Schedules within which it must be found."""

    @contextmanager
    def applied(self) -> Iterator[None]:
        with ExitStack() as stack:
            for owner, name, other in self.instead:
                stack.enter_context(patch.object(owner, name, other))
            yield


def nothing(*_: Any, **__: Any) -> None:
    return None


def _says(answer: Any) -> Callable[..., Any]:
    return lambda *_, **__: answer


def _wrapped(owner: Any, name: str, bug: Callable[[Any], Any]) -> tuple[Any, str, Any]:
    return owner, name, bug(getattr(owner, name))


MUTANTS = (
    Mutant(
        "commit-before-verify",
        "the HEAD after a completed upload is not compared",
        1,
        ((Completer, "_confirm", nothing),),
        most=20,
    ),
    Mutant("complete-believed", "an unanswered completion is taken for done", 1, ((complete, "holds", _says(True)),), most=20),
    Mutant("put-believed", "an unanswered PUT is taken for done", 1, (_wrapped(Parts, "_put", bugs.believe_the_put),), most=20),
    Mutant(
        "source-not-verified", "staged files are not compared after the upload", 1, ((StagedSource, "verify", nothing),), most=60
    ),
    Mutant(
        "pointer-before-manifest",
        "`latest` moves before the manifest is put",
        1,
        (_wrapped(Committer, "commit", bugs.pointer_first),),
        most=20,
    ),
    Mutant(
        "half-written",
        "every format is taken for whole, and nobody for a writer",
        1,
        ((formats, "prove", _says(Proof.WHOLE)), (lease, "writer_of", _says(Writer.NONE))),
        most=20,
    ),
    Mutant("journal-first", "the journal says committed before S3 does", 2, ((Sender, "_commit", bugs.journal_first),), most=200),
    Mutant("gives-up", "a row is dropped at its second failure", 2, (_wrapped(Sender, "_again", bugs.give_up),), most=20),
    Mutant(
        "row-held-for-ever", "a row that can't be dropped stays claimed", 2, ((Sender, "_give_up", bugs.drop_once),), most=1500
    ),
    Mutant("hints-ignored", "only the rescan is listened to", 2, ((Gatherer, "_hint", nothing),), most=20),
    Mutant("newest-let-go", "on a full disk the newest is let go", 2, ((waiting, "superseded", bugs.any_but_claimed),), most=200),
    Mutant(
        "log-after-send",
        "a piece of the log is journalled after it is put",
        2,
        (_wrapped(Shipped, "_keep", bugs.journal_what_was_sent),),
        most=200,
    ),
    Mutant(
        "mirror",
        "what vanishes here is deleted there",
        3,
        (_wrapped(Gatherer, "_gone", bugs.note_what_is_gone), _wrapped(Sender, "turn", bugs.mirror)),
        most=20,
    ),
    Mutant(
        "retention-uncondemned",
        "a manifest is deleted before it is condemned",
        3,
        (_wrapped(Retainer, "_condemn", bugs.delete_uncondemned),),
        most=20,
    ),
    Mutant(
        "retention-one-too-many",
        "retention keeps one less than was asked",
        3,
        (_wrapped(survey, "cut", bugs.keep_one_less), _wrapped(survey, "doomed", bugs.keep_one_less)),
        most=20,
    ),
    Mutant(
        "references-uncounted",
        "retention takes data that a later checkpoint names",
        3,
        ((retain, "holdings", _says({})), (Pins, "hold", _says(frozenset()))),
        most=60,
    ),
    Mutant("latest-unconditional", "`latest` is put without a condition", 4, ((Pointer, "swap", bugs.swap_anyway),), most=400),
    Mutant(
        "rank-not-compared", "`latest` moves to whatever was committed last", 4, ((commit, "_is_newer", _says(True)),), most=20
    ),
    Mutant("fence-not-compared", "a fenced agent moves `latest`", 4, (_wrapped(Pointer, "read", bugs.no_fence),), most=60),
    Mutant("epoch-not-compared", "a restart keeps its epoch unasked", 4, ((Lineage, "_new_life", _says(False)),), most=20),
    Mutant(
        "epoch-not-raised",
        "the epoch taken is not above the one before",
        4,
        ((EpochTaker, "_before", _says((0, None))),),
        most=20,
    ),
    Mutant(
        "epoch-unconditional",
        "an epoch is put without a condition",
        4,
        ((epoch, "put_conditionally", bugs.put_whatever_stands),),
        most=200,
    ),
    Mutant(
        "trainer-first",
        "an epoch's trainer is noted before it",
        4,
        (_wrapped(Lineage, "_take", bugs.trainer_first),),
        most=1500,
    ),
    Mutant("lag-not-told", "nothing is ever said to be pending", 5, ((sums, "behind", _says(Behind(0, 0, None))),), most=20),
    Mutant(
        "quiet-too-early",
        "what still settles does not count at the end",
        5,
        ((Gatherer, "quiet", property(_says(True))),),
        most=400,
    ),
    Mutant("trainer-ended", "a second training is ended", 6, (_wrapped(Attendant, "_begin", bugs.end_what_trains),), most=20),
    Mutant(
        "staged-in-the-root",
        "snapshots lie in the watched directory",
        6,
        ((Places, "for_root", bugs.stage_in_the_root),),
        most=400,
    ),
    Mutant("lock-not-taken", "nothing is locked while it is sent", 0, ((Locks, "acquire", nothing),), most=20),
    Mutant("lock-not-given-back", "the lock of what was sent is kept", 0, ((CheckpointLock, "release", nothing),), most=20),
    Mutant("abort-forgotten", "a dropped upload is never aborted", 0, ((Journal, "owed_aborts", _says([])),), most=20),
    Mutant("snapshot-left", "what was committed stays staged", 0, ((Stager, "release", nothing),), most=20),
)


NAMED = {mutant.name: mutant for mutant in MUTANTS}


@dataclass(frozen=True)
class Found:
    """By which of the schedules, counted from 1; `failed` None: by none of them."""

    name: str
    schedules: int
    failed: Failed | None


def find(mutant: Mutant, first: int = 0) -> Found:
    """Schedule after schedule, until one breaks a promise."""
    with mutant.applied():
        for count in range(1, mutant.most + 1):
            failed = tried(schedule_of(first + count - 1))
            if failed is not None:
                return Found(mutant.name, count, failed)
    return Found(mutant.name, mutant.most, None)


def _find(name: str) -> Found:
    """In a process of its own."""
    logging.disable(logging.CRITICAL)
    return find(NAMED[name])


def main(names: list[str]) -> int:
    missed = 0
    print("| bug | promise | found by schedule | as |\n|---|---|---|---|")
    pool = ProcessPoolExecutor(mp_context=get_context("fork"))
    for found in pool.map(_find, names or NAMED):
        mutant = NAMED[found.name]
        missed += found.failed is None
        by, why = (str(found.schedules), found.failed.why) if found.failed else (f"none of {found.schedules}", "")
        promise = str(mutant.promise or "at rest")
        print(f"| {mutant.name}: {mutant.bug} | {promise} | {by} | {why[:110]} |", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
