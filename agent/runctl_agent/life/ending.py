"""Ending a training that somebody wants ended: its stop signal, its grace, then SIGKILL to it and all of its session."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress

from runctl_agent.contract.spec import Training
from runctl_agent.errors import NotFoundError, RunctlError
from runctl_agent.records import ProcessId
from runctl_agent.runtime import Runtime
from runctl_agent.training.trainer import Processes, send_signal

log = logging.getLogger(__name__)


class Ending:
    """`turn` a few times a second, from the task that looks at the training. `problem` says what can't be signalled."""

    def __init__(self, runtime: Runtime, training: Training, processes: Processes) -> None:
        self._runtime = runtime
        self._training = training
        self._processes = processes
        self._signalled: float | None = None
        self._cleared: ProcessId | None = None
        self._process: ProcessId | None = None
        self.problem = ""

    def turn(self, process: ProcessId | None, *, alive: bool, written_by: int | None, kill_at: float | None = None) -> bool:
        """Whether nothing of the training is left; `written_by` is the owner of its pid file, where we did not start it.

        `kill_at`: wall-clock seconds at which its grace ends, however long it is.
        """
        if process is None:
            return True
        try:
            return self._end(process, written_by, kill_at) if alive else self._clear(process)
        except NotFoundError:
            return False  # it ended just now; the next look tells
        except RunctlError as error:
            if str(error) != self.problem:
                log.warning("%s", error.full)
            self.problem = str(error)
            return False

    def _end(self, process: ProcessId, written_by: int | None, kill_at: float | None) -> bool:
        now, training = self._runtime.monotonic(), self._training
        if process != self._process:
            self._process, self._signalled = process, None  # another one: somebody started it again
        if self._signalled is None:
            number = signal.Signals[training.stop_signal]
            log.info("%s to process %d; it has %.3g s", number.name, process.pid, self._left(kill_at))
            self._send(process, number, written_by, group=training.signal_to == "group")
            self._signalled = now
        elif now - self._signalled >= training.grace or (kill_at is not None and self._runtime.now() >= kill_at):
            log.warning("process %d still lives %.0f s after its signal: SIGKILL", process.pid, now - self._signalled)
            self._send(process, signal.SIGKILL, written_by, group=False)
        return False

    def _left(self, kill_at: float | None) -> float:
        grace = self._training.grace
        return grace if kill_at is None else max(0.0, min(grace, kill_at - self._runtime.now()))

    def _clear(self, process: ProcessId) -> bool:
        """The process is gone; what it left in its session, such as workers that load data, is not to write any more."""
        if not self._training.command or self._cleared == process:
            return True
        left = self._processes.session(process)
        for one in left:
            self._processes.signal(one, signal.SIGKILL)
        self._cleared = None if left else process  # never looked at again: another session may get the number
        return not left

    def _send(self, process: ProcessId, number: signal.Signals, written_by: int | None, *, group: bool) -> None:
        if self._training.command:
            try:
                self._processes.signal(process, number, group=group)
            except NotFoundError:  # its session outlived it
                self._send_to_the_rest(process, number)
        else:
            user = self._training.user
            send_signal(self._processes, process, number, user=user, written_by=written_by, group=group)

    def _send_to_the_rest(self, leader: ProcessId, number: signal.Signals) -> None:
        for one in self._processes.session(leader):
            with suppress(NotFoundError):
                self._processes.signal(one, number)
