"""Has the training ended, and how? Pure: everything known goes in, with the clock; one verdict comes out.

Strongest first: the exit record of this attempt; the exit-code file; the completion file; the process gone; and, only
where there never was a pid, a line in the log. An exit code other than 0 is failure, whatever else says otherwise.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import StrEnum

from runctl_agent.contract.malformed import Malformed
from runctl_agent.records import ProcessId

from .record import ExitRecord

LINGER = 2.0
"""Seconds after the end in which an exit code may still appear: whoever waits for the process writes it a moment later."""

LINGER_INSIDE = 30.0
"""The same for a container: the code is known to docker, and has to be asked for, at worst by another agent."""


class Outcome(StrEnum):
    WAITING = "waiting"  # no training seen yet
    RUNNING = "running"  # it is alive
    FINISHING = "finishing"  # it said that it is done, or is gone and its exit code may still come
    FINISHED = "finished"  # it ended well
    FAILED = "failed"  # it ended, and not well


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of one attempt. Times are monotonic seconds."""

    run: str
    boot_id: str
    process: ProcessId | None = None  # the one that was adopted
    pid_seen: bool = False  # a pid file of this attempt, though its process was gone before it could be adopted
    gone_since: float | None = None  # since when the process is known to be gone
    record: ExitRecord | None = None
    record_new: bool = False  # written since the attempt began
    exit_code: int | Malformed | None = None  # what the exit-code file of this attempt says
    exit_code_since: float | None = None  # since when it is believed
    complete_since: float | None = None  # since when the completion file of this attempt is believed
    log_since: float | None = None  # since when a line of the log says so
    linger: float = LINGER  # seconds after the end in which an exit code may still appear


@dataclass(frozen=True, slots=True)
class Verdict:
    """`reason` is one sentence for people. `exit_code` is None while unknown, also after the end."""

    outcome: Outcome
    exit_code: int | None
    reason: str

    @property
    def ended(self) -> bool:
        return self.outcome in (Outcome.FINISHED, Outcome.FAILED)


def judge(evidence: Evidence, now: float, *, grace: float = 60.0) -> Verdict:
    """`grace`: seconds that a process may go on living after its training said it is done."""
    known = _exit_code(evidence)
    if known is None:
        return _without_code(evidence, now, grace)
    code, source = known
    if code != 0:
        return Verdict(Outcome.FAILED, code, f"the training ended with {source}")
    if counts(evidence) or not _alive(evidence):
        return Verdict(Outcome.FINISHED, 0, f"the training ended with {source}")
    if now - _said_since(evidence, now) >= grace:
        return Verdict(
            Outcome.FINISHED, 0, f"the training ended with {source}, and its process outlived the grace of {grace:g} s"
        )
    return Verdict(Outcome.FINISHING, 0, f"the training reports {source}, its process is still alive")


def counts(evidence: Evidence) -> bool:
    """Whether the exit record is of this attempt: of the adopted process, or, where none was seen alive, of this boot and new."""
    record = evidence.record
    if record is None or record.run != evidence.run:
        return False
    if evidence.process is not None:
        return record.process == evidence.process
    return evidence.record_new and record.process.boot_id == evidence.boot_id


def _exit_code(evidence: Evidence) -> tuple[int, str] | None:
    """The code that decides, and what says so; a code other than 0 beats a stronger source that says 0."""
    found: list[tuple[int, str]] = []
    if evidence.record is not None and counts(evidence):
        found.append((evidence.record.code, f"{_described(evidence.record)} (exit record)"))
    if isinstance(evidence.exit_code, int):
        found.append((evidence.exit_code, f"exit code {evidence.exit_code} (exit-code file)"))
    failures = [pair for pair in found if pair[0] != 0]
    return next(iter(failures or found), None)


def _without_code(evidence: Evidence, now: float, grace: float) -> Verdict:
    if _alive(evidence):
        return _beside_a_live_process(evidence, now, grace)
    if evidence.complete_since is not None:
        since = max(evidence.complete_since, evidence.gone_since or evidence.complete_since)
        return _lingered(evidence, since, now, Outcome.FINISHED, "the completion file stands, and no process is left")
    if evidence.gone_since is not None:
        reason = f"the process is gone, exit code unknown{_garbage(evidence)}"
        return _lingered(evidence, evidence.gone_since, now, Outcome.FAILED, reason)
    if evidence.log_since is not None and not evidence.pid_seen:
        return _lingered(evidence, evidence.log_since, now, Outcome.FINISHED, "the log says so, and there is no pid file")
    return Verdict(Outcome.WAITING, None, f"no training has been seen yet{_garbage(evidence)}")


def _beside_a_live_process(evidence: Evidence, now: float, grace: float) -> Verdict:
    if evidence.complete_since is None:
        return Verdict(Outcome.RUNNING, None, f"the training process is alive{_garbage(evidence)}")
    if now - evidence.complete_since < grace:
        return Verdict(Outcome.FINISHING, None, "the completion file stands, the process is still alive")
    return Verdict(Outcome.FINISHED, None, f"the completion file stands, and its process outlived the grace of {grace:g} s")


def _said_since(evidence: Evidence, now: float) -> float:
    """Since when the training says that it is done, by one marker or the other."""
    return min((since for since in (evidence.exit_code_since, evidence.complete_since) if since is not None), default=now)


def _lingered(evidence: Evidence, since: float, now: float, outcome: Outcome, reason: str) -> Verdict:
    if now - since >= evidence.linger:
        return Verdict(outcome, None, reason)
    return Verdict(Outcome.FINISHING, None, "the training has ended, its exit code may still come")


def _alive(evidence: Evidence) -> bool:
    return evidence.process is not None and evidence.gone_since is None


def _described(record: ExitRecord) -> str:
    if record.error:
        return f"exit code {record.code}: {record.error}"
    killed = f"{signal_name(record.signal)}, exit code {record.code}" if record.signal is not None else f"exit code {record.code}"
    return f"{killed}, the kernel killed for want of memory" if record.oom_kill else killed


def _garbage(evidence: Evidence) -> str:
    return f"; {evidence.exit_code.reason}" if isinstance(evidence.exit_code, Malformed) else ""


def signal_name(number: int) -> str:
    """
    >>> signal_name(9), signal_name(99)
    ('SIGKILL', 'signal 99')
    """
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
