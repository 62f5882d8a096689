"""Bugs, each as what one function of the agent does instead; `mutants.py` puts them in its place."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from runctl_agent.contract.manifest import Latest, Manifest, encode_latest
from runctl_agent.errors import RunctlError, SourceChanged, StoreUnavailable
from runctl_agent.store.catalog import Ranked
from runctl_agent.store.conditional import Outcome
from runctl_agent.store.objects import Got, ObjectStore
from runctl_agent.store.outline import outline
from runctl_agent.store.pointer import Pointed, named
from runctl_agent.store.rows import Row, row_of

Original = Callable[..., Any]


def put_whatever_stands(
    store: ObjectStore, runtime: object, key: str, body: bytes, nonce: str, *, if_match: str | None = None
) -> Outcome:
    return Outcome(True, Got(body, store.put(key, body)))


def believe_the_put(put: Original) -> Original:
    def put_and_believe(self: Any, row: Any, file: Any, piece: Any) -> None:
        try:
            put(self, row, file, piece)
        except StoreUnavailable:
            store, self._store = self._store, _TakesAnything()
            put(self, row, file, piece)
            self._store = store

    return put_and_believe


class _TakesAnything:
    def put(self, *_: object, **__: object) -> str:
        return '"believed"'


def journal_first(self: Any, row: Any, manifest: Manifest) -> None:
    """The journal says committed, and then it is."""
    key = self._committer._keys.manifest(manifest.epoch, manifest.seq, manifest.checkpoint)
    self._journal.committed(row.id, self._committer._keys.relative(key), self._runtime.now())
    self._committer.commit(manifest)
    self._stager.release(row.staged)
    self.commits += 1


def pointer_first(commit: Original) -> Original:
    """`latest` moves, and then what it names is put."""

    def pointed_before(self: Any, manifest: Manifest) -> Any:
        key, _ = self._document(manifest)
        self._point(Ranked(self._keys.relative(key), outline(manifest)))
        return commit(self, manifest)

    return pointed_before


def swap_anyway(self: Any, seen: Pointed, to: Ranked | None, fence: int) -> Latest:
    latest = named(to, fence, self._runtime.nonce())
    self._store.put(self._keys.latest, encode_latest(latest))
    return latest


def no_fence(read: Original) -> Original:
    return lambda self: replace(read(self), fence=0)


def give_up(again: Original) -> Original:
    def tried_twice(self: Any, row: Any, error: RunctlError) -> None:
        again(self, row, error)
        if row.attempts >= 1:
            self._journal.drop(row.id, "it failed too often")
            self._stager.release(row.staged)

    return tried_twice


def journal_what_was_sent(keep: Original) -> Original:
    """Not what is about to be."""

    def kept(self: Any, tried: Any) -> None:
        if tried == self._sent:
            keep(self, tried)

    return kept


def stage_in_the_root(self: Any, root: str) -> list[str]:
    return [f"{root}/.runctl/staging"]


def any_but_claimed(connection: Any, free: tuple[str, str], roots: object) -> list[Row]:
    """Newest first, and the newest too."""
    found = connection.execute("SELECT * FROM staged WHERE claimed_by = '' ORDER BY finished_at DESC").fetchall()
    return [row_of(values) for values in found]


GONE: set[str] = set()


def note_what_is_gone(gone: Original) -> Original:
    def noted(self: Any, root: str, name: str) -> None:
        gone(self, root, name)
        GONE.add(name)

    return noted


def mirror(turn: Original) -> Original:
    """What is gone here goes there, as `aws s3 sync --delete` does it."""

    def mirrored(self: Any) -> Any:
        store, keys = self._committer._store, self._committer._keys
        for name in [GONE.pop() for _ in range(len(GONE))]:
            for key in list(store.list(keys.manifests)):
                if key.endswith(f"-{name}.json"):
                    store.delete(key)
        return turn(self)

    return mirrored


def end_what_trains(begin: Original) -> Original:
    """A second training must be a mistake."""

    def begun(self: Any, process: Any, seen: Any, now: float) -> Any:
        if self.process is not None:
            self._processes.signal(process, signal.SIGTERM)
        return begin(self, process, seen, now)

    return begun


def delete_uncondemned(condemn: Original) -> Original:
    def condemned_later(self: Any, work: Any) -> None:
        self._delete(work, [self._keys.absolute(one.key) for one in work.found.doomed])
        condemn(self, work)

    return condemned_later


def keep_one_less(cut: Original) -> Original:
    return lambda manifests, latest, retention: cut(
        manifests, latest, replace(retention, keep_last=max(1, retention.keep_last - 1))
    )


def trainer_first(take: Original) -> Original:
    """Who the epoch is for is noted before the epoch is."""

    def noted(self: Any) -> Any:
        process = self._trainer()
        if process is not None:
            self._journal.put("epoch_trainer", f"{process.pid}/{process.ticks}/{process.boot_id}")
        return take(self)

    return noted


def drop_once(self: Any, row: Any, error: RunctlError) -> None:
    """Whether the journal takes it or not."""
    if isinstance(error, SourceChanged):
        self._drop(row, error)
    else:
        self._journal.give_back(row.id)
