"""A job handed to a worker that a service manager started, over a unix socket: nothing of it stands on a command line or in a
property of a unit, which anybody can read, and descriptors go along (unix(7), SCM_RIGHTS).
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from .job import Job, encode_job

PATIENCE = 60.0
"""Seconds that a worker may take until it has called, and has taken what it is given."""

ARCHIVE, LOCK = 1, 2
"""Bits of the first byte: which descriptors follow the outcome's."""

_PEER = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)


@contextmanager
def listening(path: str) -> Iterator[socket.socket]:
    """A socket at `path` for one caller; the path goes with it. Raises OSError."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        try:
            os.chmod(path, 0o600)
            listener.listen(1)
            listener.settimeout(PATIENCE)
            yield listener
        finally:
            os.unlink(path)


def called(listener: socket.socket) -> socket.socket:
    """The worker's call; one of another user is none. Raises OSError, TimeoutError."""
    while True:
        call, _ = listener.accept()
        _, uid, _ = _PEER.unpack(call.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
        if uid == os.geteuid():
            return call
        call.close()


def hand_over(
    call: socket.socket, job: Job, environ: Mapping[str, str], outcome: int, archive: int | None = None, lock: int | None = None
) -> None:
    """Raises OSError: the worker died."""
    kinds = (ARCHIVE if archive is not None else 0) | (LOCK if lock is not None else 0)
    call.settimeout(PATIENCE)
    socket.send_fds(call, [bytes([kinds])], [fd for fd in (outcome, archive, lock) if fd is not None])
    call.sendall(json.dumps(dict(environ)).encode("ascii") + b"\n" + encode_job(job) + b"\n")


def take_over(path: str) -> tuple[int, int, int]:
    """In the worker: outcome, archive and lock, -1 for none. From now on standard input is the call; the job is its first line.

    The agent's environment is this process's, too. Raises OSError: whoever wanted the job is gone.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as call:
        call.connect(path)
        kinds, given, _, _ = socket.recv_fds(call, 1, 3)
        if not kinds:
            raise ConnectionAbortedError(f"nobody wants it any more: {path}")
        os.dup2(call.fileno(), 0)
    outcome, *others = given
    archive = others.pop(0) if kinds[0] & ARCHIVE else -1
    lock = others.pop(0) if kinds[0] & LOCK else -1
    for fd in given:
        os.set_inheritable(fd, False)
    os.environ.update(json.loads(_line(0)))
    return outcome, archive, lock


def _line(fd: int) -> bytes:
    """Byte by byte: what follows is read by another."""
    line = bytearray()
    while not line.endswith(b"\n"):
        one = os.read(fd, 1)
        if not one:
            raise ConnectionAbortedError("nobody wants it any more")
        line += one
    return bytes(line)
