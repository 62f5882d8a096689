"""The journal's file: SQLite in WAL mode on a local disk, shared by processes; a damaged one is moved aside.

Sources: "Write-Ahead Logging" and "How To Corrupt An SQLite Database File", sqlite.org.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from runctl_agent.errors import JournalError

from . import schema
from .reserve import give_up, grow, no_room, reserve

PATIENCE = 10.0
"""Seconds to wait for another process's transaction; each takes milliseconds."""

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class _Damaged(Exception):
    pass


class Database:
    """One connection for all tasks of a process. `damaged` is where a damaged predecessor lies now, else empty."""

    def __init__(self, path: str, lock: AbstractContextManager[object]) -> None:
        self.path = path
        self.damaged = ""
        self._lock = lock
        self._use = _use(path)
        try:
            with _told(path):
                self._connection = self._open_in_any_room()
        except BaseException:
            os.close(self._use)
            raise

    def close(self) -> None:
        with self._lock, _told(self.path):
            self._connection.close()
        os.close(self._use)

    def make_room(self) -> None:
        """For a disk that fills up: what is written from now on has its place already."""
        with self._lock, _told(self.path):
            grow(self._connection, self.path)
            reserve(self.path)

    def write(self) -> AbstractContextManager[sqlite3.Connection]:
        """One transaction: all of it lands, or nothing. Nothing in it may call a port: the lock is held."""
        return self._transaction("BEGIN IMMEDIATE")

    def read(self) -> AbstractContextManager[sqlite3.Connection]:
        """One consistent view; waits for no writer."""
        return self._transaction("BEGIN")

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        """In one piece: as three contexts, it took more time than what most of them hold."""
        connection = self._connection
        with self._lock:
            try:
                connection.execute(begin)
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, OSError) as error:
                raise _unusable(self.path, str(error)) from error

    def _open_in_any_room(self) -> sqlite3.Connection:
        try:
            return self._open()
        except sqlite3.Error as error:
            if not (no_room(error) and give_up(self.path)):
                raise
            return self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            return _connect(self.path)
        except _Damaged:
            return self._replace()

    def _replace(self) -> sqlite3.Connection:
        """Move the damaged file aside and begin a new one, unless another process has it open or was faster."""
        _flock(self._use, fcntl.LOCK_EX, self.path, "it is damaged, and another process has it open")
        try:
            return _connect(self.path)
        except _Damaged:
            self.damaged = _set_aside(self.path)
            return _connect(self.path)
        finally:
            fcntl.flock(self._use, fcntl.LOCK_SH)


def _use(path: str) -> int:
    """A shared lock for as long as the journal is open: whoever holds it alone may replace the file."""
    try:
        descriptor = os.open(path + ".use", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    try:
        _flock(descriptor, fcntl.LOCK_SH, path, "another process is replacing it at this moment")
    except JournalError:
        os.close(descriptor)
        raise
    return descriptor


def _flock(descriptor: int, mode: int, path: str, why: str) -> None:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise JournalError(
            f"the journal {path!a} can't be used", why, "stop the other runctl-agent processes, then start again"
        ) from error


def _connect(path: str) -> sqlite3.Connection:
    """Open, check and, if it is new, fill a journal. Raises _Damaged, JournalError, sqlite3.Error."""
    _create(path)
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection, path)
    except sqlite3.DatabaseError as error:
        connection.close()
        if _code(error) in _DAMAGE:
            raise _Damaged(str(error)) from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _create(path: str) -> None:
    # Only if it is new: closing any descriptor of an open database would drop the process's POSIX locks on it.
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    with _transaction(connection, "BEGIN"):
        found, filled = _version(connection), _has_tables(connection)
    if found > schema.VERSION:
        raise JournalError(
            f"the journal {path!a} can't be used",
            f"it has version {found}, written by a newer runctl-agent; this one knows up to {schema.VERSION}",
            "start the newer runctl-agent again",
        )
    if 0 < found < schema.VERSION:
        raise JournalError(
            f"the journal {path!a} can't be used",
            f"it has version {found}, from before the first release",
            f"mv {path!a} {path + '.old'!a}, then start again: what is on disk is found anew",
        )
    # Before anything is changed: what is moved aside is kept as it was found.
    if (filled and not found) or connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        raise _Damaged
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise _unusable(path, f"its file system has no write-ahead log ({mode})")
    connection.execute("PRAGMA synchronous = FULL")
    if found < schema.VERSION:
        _fill(connection)


def _fill(connection: sqlite3.Connection) -> None:
    with _transaction(connection, "BEGIN IMMEDIATE"):
        if _version(connection) == schema.VERSION:
            return  # another process was faster
        for statement in schema.TABLES:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {schema.VERSION:d}")


def _has_tables(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _set_aside(path: str) -> str:
    """Rename a damaged journal to the first free `<path>.damaged-<n>`."""
    free = next(name for n in itertools.count(1) if not os.path.lexists(name := f"{path}.damaged-{n}"))
    # The database first: SQLite deletes a log that lies beside an empty database, but would replay one into another.
    os.rename(path, free)
    for tail in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.rename(path + tail, free + tail)
    with _directory(path) as directory:
        os.fsync(directory)
    return free


@contextmanager
def _directory(path: str) -> Iterator[int]:
    descriptor = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Every error of SQLite or of the file system as a JournalError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _unusable(path, str(error)) from error


def _unusable(path: str, why: str) -> JournalError:
    return JournalError(
        f"the journal {path!a} can't be used",
        why,
        "give the state directory room and write permission on a local disk (--state-dir), then start again",
    )


def _code(error: sqlite3.Error) -> int:
    """The primary result code; the extended ones have it in their lowest byte."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
