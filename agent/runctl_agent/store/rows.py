"""What the journal hands out: its rows, the epoch it holds, and sums over them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from runctl_agent.contract.manifest import Rank
from runctl_agent.errors import JournalError
from runctl_agent.records import FileEntry, FileId, Finished, Held, Kind, Staged, StagedFile

T = TypeVar("T")


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
class Behind:
    """The sums of `Pending`, without its rows."""

    checkpoints: int
    bytes: int
    oldest_at: float | None


@dataclass(frozen=True, slots=True)
class Pending:
    """What is behind. `bytes` leaves out what was sent already; `oldest_at` is when the oldest finished; `rows` newest first."""

    checkpoints: int
    bytes: int
    oldest_at: float | None
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Queued:
    """A pending checkpoint: its row, the bytes that the store does not have yet, when it was finished; `sending`: by us, now."""

    id: int
    bytes: int
    finished_at: float
    weights: bool
    complete: bool
    sending: bool


@dataclass(frozen=True, slots=True)
class Sending:
    """A checkpoint that somebody sends now: its bytes, and those of them that the store has."""

    checkpoint: str
    bytes: int
    sent: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """What failed and waits. `failures` of the row that failed most often, `retry_at` of the one that is due first; `aborts`
    that are owed, and why one of them was refused."""

    failures: int
    retry_at: float | None
    aborts: int
    abort_error: str


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
            root=_a(str, plain["root"]),
            name=_a(str, plain["name"]),
            kind=Kind(plain["kind"]),
            step=_a(int, plain["step"]),
            weights=_a(bool, plain["weights"]),
            complete=_a(bool, plain["complete"]),
            files=tuple(FileEntry(_a(str, path), _file_id(identity)) for path, *identity in plain["entries"]),
            at=float(plain["at"]),
        )
        files = tuple(
            StagedFile(_a(str, path), _file_id(source), Held(how), _file_id(held)) for path, how, source, held in plain["files"]
        )
        return Staged(finished, _a(str, plain["directory"]), files)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise JournalError(
            "a staged checkpoint in the journal can't be read",
            f"{type(error).__name__}: {error}",
            "move the journal aside, then start again: what is on disk is found anew",
        ) from error


def row_of(values: tuple[Any, ...]) -> Row:
    """Of the view `staged`."""
    row_id, epoch, seq, rank_epoch, staged, attempts, next_try, error, state, *_ = values
    return Row(row_id, epoch, seq, rank_epoch, decode_staged(staged), attempts, next_try, text_of(error), RowState(state))


def blob(text: str) -> bytes:
    """Any string, also one with the lone surrogates of a file's name."""
    return text.encode("utf-8", "surrogatepass")


def text_of(found: object) -> str:
    """What `_blob` made; of anything else, what can be read of it."""
    if not isinstance(found, bytes):
        return str(found)
    try:
        return found.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return found.decode("utf-8", "replace")


def _a(kind: type[T], value: object) -> T:
    """Raises TypeError for a value of any other type; a bool is no int."""
    if type(value) is not kind:
        raise TypeError(f"{value!r:.80} is no {kind.__name__}")
    return value


def _file_id(plain: list[object]) -> FileId:
    return FileId(*(_a(int, number) for number in plain))


def _plain_id(identity: FileId) -> list[int]:
    return [identity.device, identity.inode, identity.size, identity.mtime_ns]
