"""What the agent says of itself, heartbeat by heartbeat, in a file of bounded size: from there it goes to S3 as the logs do."""

from __future__ import annotations

import os

from .contract.history import Moment, encode_moment
from .contract.status import State
from .errors import JournalError
from .runtime import Runtime
from .store.journal import Journal

LARGEST = 1024 * 1024
"""Bytes of the file, of which there are two: days of a run that S3 does not answer."""

LONGEST_LINE = 4096

FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class History:
    """`problem`: why the last line could not be kept, empty if it could."""

    def __init__(self, runtime: Runtime, journal: Journal, path: str, heartbeat: float) -> None:
        """`heartbeat`: seconds from line to line; a change of phase or attempt, and a notice, have a line at once."""
        self._runtime = runtime
        self._journal = journal
        self._path = path
        self._heartbeat = heartbeat
        self._due_at = 0.0
        self._news: object = None
        self.problem = ""

    def tell(self, state: State) -> None:
        """Keep a line if it is time for one."""
        news = (state.phase, state.attempt, state.notice)
        if news == self._news and self._runtime.monotonic() < self._due_at:
            return
        self._news, self._due_at = news, self._runtime.monotonic() + self._heartbeat
        try:
            self._append(encode_moment(self._moment(state)))
        except JournalError as error:
            self.problem = f"a line of the history was not kept: {error}"
        except OSError as error:
            self.problem = f"{self._path} can't be written: {error.strerror}"
        else:
            self.problem = ""

    def _moment(self, state: State) -> Moment:
        return Moment(
            at=int(self._runtime.now()),
            phase=state.phase,
            instance=state.instance,
            attempt=state.attempt,
            step=state.train_step,
            loss=state.loss,
            safe_step=state.step,
            commits=state.commits,
            pending_bytes=state.pending_bytes,
            sent=self._journal.totals().sent_bytes,
            rate=state.rate,
            gpu=state.gpu,
            cpu=state.cpu,
            notice=state.notice,
        )

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, FLAGS, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # an agent was killed, or the disk was full
            os.write(descriptor, b"\n" * torn + line + b"\n")
        finally:
            os.close(descriptor)
        if size >= LARGEST:
            os.replace(self._path, self._path + ".1")
