"""What the journal hands out: its rows, the epoch it holds, and sums over them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum

from runctl_agent.contract.manifest import Rank
from runctl_agent.errors import JournalError
from runctl_agent.records import FileEntry, FileId, Finished, Held, Kind, Staged, StagedFile


class RowState(StrEnum):
    """How far a checkpoint got."""

    STAGED = "staged"  # held, to be sent
    COMMITTED = "committed"  # its manifest stands
    DROPPED = "dropped"  # let go; its seq is burnt


@dataclass(frozen=True, slots=True)
class Row:
    """A staged checkpoint. Without `epoch`, `seq` and `rank_epoch` it can't be sent yet; `attempts` counts failures."""

    id: int
    epoch: int | None
    seq: int | None
    rank_epoch: int | None
    staged: Staged
    attempts: int
    next_try: float
    error: str
    state: RowState


@dataclass(frozen=True, slots=True)
class HeldEpoch:
    """The epoch this journal writes under."""

    epoch: int
    nonce: str
    rank_epoch_of_backlog: int
    taken_at: float


@dataclass(frozen=True, slots=True)
class Pending:
    """What is behind. `bytes` leaves out what was sent already; `oldest_at` is when the oldest finished; `rows` newest first."""

    checkpoints: int
    bytes: int
    oldest_at: float | None
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Newest:
    """The highest rank among the complete checkpoints that this journal saw committed; `manifest` is its key."""

    checkpoint: str
    step: int
    rank: Rank
    at: float
    manifest: str


@dataclass(frozen=True, slots=True)
class Totals:
    """`sent_bytes` since the journal began; `commits` under the epoch held."""

    sent_bytes: int
    commits: int
    newest: Newest | None


def encode_staged(staged: Staged) -> str:
    """ASCII JSON: lone surrogates in names survive as escapes."""
    finished = staged.finished
    plain = {
        "root": finished.root,
        "name": finished.name,
        "kind": finished.kind.value,
        "step": finished.step,
        "weights": finished.weights,
        "complete": finished.complete,
        "at": finished.at,
        "entries": [[entry.path, *_plain_id(entry.id)] for entry in finished.files],
        "directory": staged.directory,
        "files": [[file.path, file.held.value, _plain_id(file.source), _plain_id(file.held_id)] for file in staged.files],
    }
    return json.dumps(plain, ensure_ascii=True, separators=(",", ":"))


def decode_staged(text: str) -> Staged:
    """Raises JournalError."""
    try:
        plain = json.loads(text)
        finished = Finished(
            root=plain["root"],
            name=plain["name"],
            kind=Kind(plain["kind"]),
            step=plain["step"],
            weights=plain["weights"],
            complete=plain["complete"],
            files=tuple(FileEntry(path, FileId(*identity)) for path, *identity in plain["entries"]),
            at=plain["at"],
        )
        files = tuple(StagedFile(path, FileId(*source), Held(how), FileId(*held)) for path, how, source, held in plain["files"])
        return Staged(finished, plain["directory"], files)
    except (ValueError, KeyError, TypeError) as error:
        raise JournalError(
            "a staged checkpoint in the journal can't be read",
            f"{type(error).__name__}: {error}",
            "move the journal aside, then start again: what is on disk is found anew",
        ) from error


def _plain_id(identity: FileId) -> list[int]:
    return [identity.device, identity.inode, identity.size, identity.mtime_ns]
