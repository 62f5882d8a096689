"""What an agent that comes up does with its run: start the training, go on with it, or leave it alone. Pure.

A run that ended well is over. One that failed, or was stopped, begins again only because somebody asked: by starting the
stopped instance, which gives it another LaunchTime (DescribeInstances, Amazon EC2 API Reference), or by launching another
one. A group that replaces what died asks nobody: there only what did not end begins again.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from enum import StrEnum

from runctl_agent.contract.phases import TERMINAL, Phase
from runctl_agent.contract.status import State

from .state import Life

TERMINATED = 128 + signal.SIGTERM
"""How a training ends that the machine's shutdown ends: that is no failure of its own, and the next boot begins it again."""


class Opening(StrEnum):
    BEGIN = "begin"  # prepare and start it
    GO_ON = "go on"  # it was started in this boot already
    LEAVE = "leave"  # it has ended, or is being ended


@dataclass(frozen=True, slots=True)
class Known:
    """What is known before anything is done. Launch times are whole seconds since the epoch; None: not known.

    `before` is this state directory's life before, `elsewhere` the run's last published state, by whichever instance.
    """

    life: Life
    started: bool  # the training of this boot was started, whatever became of it
    before: Life | None = None
    launched_before: int | None = None
    launched: int | None = None
    elsewhere: State | None = None
    instance: str = ""
    replaced: bool = False  # by a group, with nobody asking
    asked: int = 0  # the last attempt that had ended when somebody last did ask


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` is for people. `attempt` is the number of the attempt; `outcome` is what stands where nothing begins.

    `told` is what was published of that outcome, by whichever instance.
    """

    opening: Opening
    attempt: int
    reason: str = ""
    outcome: Phase | None = None
    exit_code: int | None = None
    told: State | None = None


def decide(known: Known) -> Decision:
    life, before = known.life, known.before
    if life.terminal:
        return Decision(Opening.LEAVE, life.attempt, f"attempt {life.attempt} is {life.phase}", told=known.elsewhere)
    if life.phase is Phase.SAVING:
        return Decision(Opening.LEAVE, life.attempt, "it is being stopped")
    if known.started:
        return Decision(Opening.GO_ON, life.attempt, "it was started in this boot")
    if before is not None and before.boot_id != life.boot_id:
        return _next_boot(known, before)
    elsewhere = known.elsewhere
    if before is None and elsewhere is not None and known.instance and elsewhere.instance == known.instance:
        return _lost_journal(known, elsewhere)
    if before is None and elsewhere is not None and elsewhere.instance != known.instance:
        return _next_instance(known, elsewhere)
    return Decision(Opening.BEGIN, life.attempt)


def _next_boot(known: Known, before: Life) -> Decision:
    asked = known.launched is None or known.launched != known.launched_before
    if before.phase is Phase.FAILED and before.exit_code == TERMINATED:
        return Decision(Opening.BEGIN, known.life.attempt)
    phase = Phase.STOPPED if before.phase is Phase.SAVING else before.phase  # cut short while somebody's stop was carried out
    if phase is Phase.FINISHED or (phase in (Phase.FAILED, Phase.STOPPED) and not asked):
        reason = f"attempt {before.attempt} is {phase}, and nobody asked for another"
        return Decision(Opening.LEAVE, before.attempt, reason, phase, before.exit_code)
    return Decision(Opening.BEGIN, known.life.attempt)


def _lost_journal(known: Known, elsewhere: State) -> Decision:
    """What this very instance published is all that is left of its journal; also the first of a boot's agents, restarted."""
    if elsewhere.phase is not Phase.FINISHED:
        return Decision(Opening.BEGIN, known.life.attempt)
    reason = f"attempt {elsewhere.attempt} is {elsewhere.phase}, says status.json"
    return Decision(Opening.LEAVE, elsewhere.attempt, reason, elsewhere.phase, elsewhere.exit_code, elsewhere)


def _next_instance(known: Known, elsewhere: State) -> Decision:
    if known.replaced and elsewhere.attempt > known.asked and elsewhere.phase in TERMINAL - {Phase.INTERRUPTED}:
        reason = f"attempt {elsewhere.attempt} is {elsewhere.phase} on {elsewhere.instance or 'another machine'}"
        return Decision(Opening.LEAVE, elsewhere.attempt, reason, elsewhere.phase, elsewhere.exit_code, elsewhere)
    return Decision(Opening.BEGIN, max(known.life.attempt, elsewhere.attempt + 1))


def told_unread(last: State, life: Life, why: str) -> State:
    """The life as it is, and of what can't be read what was told last; an end that is new is not known to be durable.

    >>> ended = State("r", Phase.FINISHED, "i-1", 0, 0, 0, "1", exit_code=0)
    >>> told_unread(ended, Life("boot", 2, Phase.TRAINING, 0), "disk I/O error").phase
    <Phase.TRAINING: 'training'>
    """
    pending = max(last.pending_checkpoints, int(life.terminal and life.phase is not last.phase))
    return replace(last, phase=life.phase, attempt=life.attempt, exit_code=life.exit_code, pending_checkpoints=pending, error=why)


def told_of_the_end(state: State, told: State) -> State:
    """`state` of an agent that began nothing, with what the end of the run had to say: it takes the place of that.

    >>> from runctl_agent.contract.status import State
    >>> ended = State("r", Phase.FAILED, "i-1", 0, 0, 0, "1", checkpoint="step-10", step=10, error="exit code 1")
    >>> told_of_the_end(replace(ended, instance="i-2", checkpoint=None, step=None, error=""), ended).error
    'exit code 1'
    """
    if state.checkpoint is not None:
        return state
    return replace(
        state,
        checkpoint=told.checkpoint,
        step=told.step,
        committed_at=told.committed_at,
        commits=told.commits,
        train_step=told.train_step,
        train_steps=told.train_steps,
        train_epoch=told.train_epoch,
        loss=told.loss,
        error=state.error or told.error,
    )


def was_cut_short(phase: Phase) -> bool:
    """Whether an attempt whose last word this was did not end by itself, nor because somebody asked."""
    return phase not in TERMINAL - {Phase.INTERRUPTED}


def crash_loop(attempts: int, limit: int) -> tuple[str, ...]:
    """Why no further attempt is begun; empty: one may be. `attempts` were cut short in a row, without a new checkpoint."""
    if not limit or attempts < limit:
        return ()
    return (
        f"{attempts} attempts in a row were cut short before they had saved a checkpoint: no further one is begun",
        "mend: save more often, or raise limits.attempts_without_progress; then runctl resume",
    )
