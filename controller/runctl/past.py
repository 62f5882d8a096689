"""What S3 still has of a run's whole life: its history, its checkpoints, its last words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runctl_agent.contract.history import Moment, moments
from runctl_agent.contract.pieces import put_together
from runctl_agent.contract.status import State
from runctl_agent.errors import NotFoundError
from runctl_agent.runtime import Runtime
from runctl_agent.store.retry import patiently

from .checkpoints import Committed, in_s3, listing
from .shelf import Shelf

_EPOCH = re.compile(r"history/([0-9]{6})/")


@dataclass(frozen=True)
class Past:
    """`history`: what each epoch's agent told, in order. `type` and `spot`: as it was launched; empty where that is not there."""

    run: str
    history: Mapping[int, Sequence[Moment]]
    checkpoints: Sequence[Committed] = ()
    state: State | None = None
    type: str = ""
    spot: bool = False


def past(shelf: Shelf, run: str, runtime: Runtime) -> Past:
    """Raises StoreError; NotFoundError where nothing of the run was ever told."""
    history = _history(shelf, run, runtime)
    state, standing = shelf.status(run), shelf.launched(run)
    if not history and state is None:
        raise NotFoundError(f"there is nothing to report of {run}", "its agent has told nothing yet", f"runctl status {run}")
    rows = in_s3(shelf, run, listing(shelf, run, runtime).ranked)
    launched = standing.launched if standing is not None else None
    return Past(
        run,
        history,
        rows,
        state,
        launched.instance_type if launched is not None else "",
        launched is not None and launched.spot,
    )


def _history(shelf: Shelf, run: str, runtime: Runtime) -> dict[int, list[Moment]]:
    keys = shelf.keys(run)
    pieces: dict[int, list[tuple[int, bytes]]] = {}
    for key in patiently(runtime, lambda: list(shelf.store.list(f"{keys.base}history/"))):
        place = _EPOCH.match(key.removeprefix(keys.base))
        offset = None if place is None else keys.history(int(place[1])).offset(key)
        if place is None or offset is None:
            continue
        got = patiently(runtime, lambda key=key: shelf.store.get(key))  # type: ignore[misc]
        if got is not None:
            pieces.setdefault(int(place[1]), []).append((offset, got.body))
    return {epoch: found for epoch in sorted(pieces) if (found := moments(put_together(pieces[epoch])))}
