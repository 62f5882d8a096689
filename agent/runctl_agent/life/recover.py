"""What a training resumes from: the newest checkpoint that verifies, in the directory where its like was written."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from itertools import takewhile

from runctl_agent.account import Account
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Manifest
from runctl_agent.contract.spec import Spec
from runctl_agent.errors import NotFoundError, Occupied, WrongStateError
from runctl_agent.runtime import Runtime
from runctl_agent.store import scratch
from runctl_agent.store.fetch import Progress, unheard
from runctl_agent.store.folder import BELOW, Owner, empty
from runctl_agent.store.journal import Journal
from runctl_agent.store.objects import ObjectStore
from runctl_agent.store.restore import Restored, Restorer
from runctl_agent.training.resume import NOTHING, Resume, ResumeLost

log = logging.getLogger(__name__)

TRIES = 3
"""Restores of what something changes or removes before the training has begun."""

ASIDE = ".runctl-restored"
"""In the workdir: for a checkpoint in whose place something else stands, such as what a power cut left half written."""


class Recovery:
    """Restores for the training's user, and tells the journal that what lands is committed already."""

    def __init__(
        self,
        spec: Spec,
        keys: Keys,
        store: ObjectStore,
        runtime: Runtime,
        journal: Journal,
        user: Account,
        euid: int,
        progress: Progress = unheard,
    ) -> None:
        self._spec = spec
        self._roots = [watched.path for watched in spec.checkpoints]
        self._journal = journal
        owner = Owner(user.uid, user.gid) if user.uid != euid else None
        self._restorer = Restorer(store, keys, runtime, owner, self._arriving, progress)
        self._destination = ""

    def newest(self) -> Resume:
        """The newest checkpoint that verifies, on this disk; nothing where none was ever committed whole.

        Raises StoreError; NotFoundError: there are some and none verifies; WrongStateError: no room, no access.
        """
        candidates = self._restorer.candidates()
        if not candidates and not self._restorer.malformed:
            return NOTHING
        self._destination = where(candidates[0].manifest.directory, self._roots) if candidates else self._roots[0]
        try:
            restored = self._restorer.restore(self._destination)
        except Occupied as error:
            log.warning("%s: it goes to %s", error, ASIDE)
            restored = self._aside()
        for passed in restored.passed_by:
            log.warning("passed by %s: %s", passed.checkpoint, passed.reason)
        log.info("to resume from: %s, step %d", restored.manifest.checkpoint, restored.manifest.step)
        manifest = restored.manifest
        base = os.path.dirname(restored.path) if manifest.kind == "file" else restored.path
        return Resume(restored.path, base, tuple(file.path for file in manifest.files), restored.signature)

    def _aside(self) -> Restored:
        self._destination = os.path.join(self._spec.workdir, ASIDE)
        try:
            before = os.open(self._destination, BELOW)
        except FileNotFoundError:
            pass
        except OSError as error:
            what = f"nothing can be restored to {self._destination}"
            raise WrongStateError(
                what, error.strerror or str(error), f"move it away: mv '{self._destination}' elsewhere"
            ) from error
        else:
            try:
                empty(before, keep=lambda name: name.startswith(scratch.PREFIX))  # what a killed restore left is gone on with
            finally:
                os.close(before)
        return self._restorer.restore(self._destination)

    def _arriving(self, key: str, manifest: Manifest, signature: str) -> None:
        if self._destination in self._roots:
            self._journal.restored(self._destination, manifest.checkpoint, signature, key, manifest)


def begun_from(restored: Callable[[], Resume], start: Callable[[Resume], None], pause: Callable[[], None]) -> None:
    """`start` with what is `restored`; restored anew where that was lost in between. Raises ResumeLost: each time.

    The `pause` is for the unit of the start before, whose name it has until it is gone.
    """
    for left in reversed(range(TRIES)):
        try:
            start(restored())
        except ResumeLost as error:
            if not left:
                raise
            log.warning("%s: it is restored again", error)
            pause()
        else:
            return


def where(directory: str, roots: Sequence[str]) -> str:
    """The watched directory that a checkpoint of `directory` belongs to: the same, or on another machine the likest end.

    >>> where("/home/a/run/out/model", ["/home/b/run/out/optimizer", "/home/b/run/out/model"])
    '/home/b/run/out/model'
    """

    def alike(root: str) -> int:
        pairs = zip(reversed(directory.split("/")), reversed(root.split("/")), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    return max(roots, key=lambda root: (root == directory, alike(root)))


def nothing_verifies(error: NotFoundError) -> NotFoundError:
    """With what an operator can do: to begin from nothing is his to decide."""
    return NotFoundError(error.what, error.why, "bring the data back (a versioned bucket has it), or set `resume: never`")
