"""Phases, conditions and the one transition table. Pure.

    starting → setup → restoring → training → finishing → finished
    starting → waiting → training                               attached
    starting → finished | stopped                               it had ended before this boot, and nothing begins
    every phase that is not terminal → saving, failed
    saving → interrupted | stopped

A terminal phase belongs to (boot, attempt): nothing leads out of it but a new attempt or a new boot.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from runctl_agent.contract.phases import TERMINAL, Condition, ConditionName, Phase
from runctl_agent.errors import StoreRefused, TagsRefused, WrongStateError

from .evidence import Outcome, Verdict

STUCK_AFTER = 300.0
"""Seconds without a byte sent, with bytes pending, that make `SyncStuck`."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a phase means, where it may lead, and what may turn out to `stand` already: the end of an earlier boot or instance."""

    sentence: str
    to: frozenset[Phase]
    stands: frozenset[Phase]


def _row(sentence: str, *to: Phase, stands: tuple[Phase, ...] = ()) -> Row:
    return Row(sentence, frozenset(to), frozenset(stands))


TABLE: Mapping[Phase, Row] = MappingProxyType(
    {
        Phase.STARTING: _row(
            "the agent is up and recovering its journal",
            Phase.SETUP,
            Phase.WAITING,
            Phase.SAVING,
            Phase.FAILED,
            stands=(Phase.FINISHED, Phase.STOPPED),
        ),
        Phase.SETUP: _row("code, requirements and setup lines are being prepared", Phase.RESTORING, Phase.SAVING, Phase.FAILED),
        Phase.RESTORING: _row("the newest checkpoint is coming back from S3", Phase.TRAINING, Phase.SAVING, Phase.FAILED),
        Phase.WAITING: _row("attached, and no training has been seen yet", Phase.TRAINING, Phase.SAVING, Phase.FAILED),
        Phase.TRAINING: _row("the training process is alive", Phase.FINISHING, Phase.SAVING, Phase.FAILED),
        Phase.FINISHING: _row("the training is done and uploads go on", Phase.FINISHED, Phase.SAVING, Phase.FAILED),
        Phase.SAVING: _row(
            "the machine is being taken away and the newest checkpoint is being made durable",
            Phase.INTERRUPTED,
            Phase.STOPPED,
            Phase.FAILED,
        ),
        Phase.FINISHED: _row("the training is done and everything is durable"),
        Phase.FAILED: _row("the training failed"),
        Phase.INTERRUPTED: _row("the machine was taken away"),
        Phase.STOPPED: _row("someone asked for it to be stopped"),
    }
)


def advance(phase: Phase, target: Phase) -> Phase:
    """`target`, if the table leads there in one step. Raises WrongStateError."""
    if target in TABLE[phase].to | TABLE[phase].stands:
        return target
    allowed = ", ".join(sorted(TABLE[phase].to)) or "nothing: it is terminal"
    raise WrongStateError(f"phase {phase} can't become {target}", f"it leads to {allowed}")


def route(phase: Phase, target: Phase) -> tuple[Phase, ...]:
    """The shortest way from `phase` to `target`, without the first; empty where there is none, or nothing to go."""
    ways: deque[tuple[Phase, ...]] = deque([(phase,)])
    seen = {phase}
    while ways:
        way = ways.popleft()
        if way[-1] is target:
            return way[1:]
        for step in sorted(TABLE[way[-1]].to - seen):
            seen.add(step)
            ways.append((*way, step))
    return ()


@dataclass(frozen=True, slots=True)
class Life:
    """One attempt of a run on one boot. `since` is in whole seconds since the epoch; conditions are in their enum's order."""

    boot_id: str
    attempt: int
    phase: Phase
    since: int
    exit_code: int | None = None
    conditions: tuple[Condition, ...] = ()

    @property
    def terminal(self) -> bool:
        return self.phase in TERMINAL

    def to(self, target: Phase, now: float) -> Life:
        """The same life one phase on. Raises WrongStateError for what is not in the table; to stay is no transition."""
        if target is self.phase:
            return self
        return replace(self, phase=advance(self.phase, target), since=int(now))

    def condition(self, name: ConditionName) -> Condition | None:
        return next((condition for condition in self.conditions if condition.name is name), None)


def begin(boot_id: str, now: float, before: Life | None = None) -> Life:
    """The life of an agent that starts: on the same boot the same attempt, whose end or way there stands; else the next one."""
    if before is None:
        return Life(boot_id, 1, Phase.STARTING, int(now))
    if before.boot_id != boot_id:
        return Life(boot_id, before.attempt + 1, Phase.STARTING, int(now))
    if before.terminal or before.phase is Phase.SAVING:
        return before
    return replace(before, phase=Phase.STARTING, since=int(now))


def again(life: Life, now: float) -> Life:
    """The next attempt, for a new training process after a terminal phase of an attached run; WrongStateError before it."""
    if not life.terminal:
        raise WrongStateError(f"attempt {life.attempt} can't be followed by another", f"it is still {life.phase}")
    return Life(life.boot_id, life.attempt + 1, Phase.WAITING, int(now), conditions=life.conditions)


def leave(life: Life, attempt: int, outcome: Phase, exit_code: int | None, now: float) -> Life:
    """The life of an agent that finds its run ended, and begins nothing: the end of `attempt` stands."""
    return replace(life.to(outcome, now), attempt=attempt, exit_code=exit_code)


def follow(life: Life, verdict: Verdict, now: float, *, durable: bool) -> tuple[Life, ...]:
    """Every life that the verdict leads through, the last being the present one; empty: nothing changed.

    `durable`: everything finished is committed. A verdict that would lead back, or out of a terminal phase, leads nowhere; nor
    does one while saving, where the training ends because it was asked to.
    """
    if life.terminal or life.phase is Phase.SAVING:
        return ()
    lives: list[Life] = []
    for phase in route(life.phase, _target(verdict.outcome, durable)):
        life = life.to(phase, now)
        lives.append(life)
    if verdict.exit_code != life.exit_code and verdict.ended:
        lives[-1:] = [replace(life, exit_code=verdict.exit_code)]
    return tuple(lives)


def _target(outcome: Outcome, durable: bool) -> Phase:
    if outcome is Outcome.FINISHED:
        return Phase.FINISHED if durable else Phase.FINISHING
    return {
        Outcome.WAITING: Phase.WAITING,
        Outcome.RUNNING: Phase.TRAINING,
        Outcome.FINISHING: Phase.FINISHING,
        Outcome.FAILED: Phase.FAILED,
    }[outcome]


def raise_condition(life: Life, name: ConditionName, message: str, now: float) -> Life:
    """With `since` kept where it stands already; the message is the newest."""
    standing = life.condition(name)
    since = standing.since if standing is not None else int(now)
    others = [condition for condition in life.conditions if condition.name is not name]
    return replace(life, conditions=_ordered([*others, Condition(name, since, message)]))


def clear_condition(life: Life, name: ConditionName) -> Life:
    return replace(life, conditions=tuple(condition for condition in life.conditions if condition.name is not name))


@dataclass(frozen=True, slots=True)
class Sync:
    """The facts that conditions are made of. An empty text: nothing to say. Times are wall-clock seconds."""

    pending_bytes: int = 0
    pending_since: float | None = None  # of the oldest that waits
    last_sent_at: float | None = None  # when any byte of any part was last accepted
    last_error: str = ""
    refused: str = ""  # what S3, EC2 or a directory refuses to the agent
    fenced: str = ""
    disk_full: str = ""
    incomplete: str = ""
    at_risk: str = ""
    stalled: str = ""
    idle: str = ""
    pending_checkpoints: int = 0  # also those of which all was sent, and whose commit does not come about


def sync_conditions(life: Life, facts: Sync, now: float) -> Life:
    """The life with the conditions of the facts as they have it; others stand."""
    messages = {
        ConditionName.SYNC_STUCK: _stuck(facts, now),
        ConditionName.FENCED: facts.fenced,
        ConditionName.DISK_FULL: facts.disk_full,
        ConditionName.NO_PERMISSION: facts.refused,
        ConditionName.AT_RISK: facts.at_risk,
        ConditionName.STALLED: facts.stalled,
        ConditionName.IDLE: facts.idle,
        ConditionName.INCOMPLETE: facts.incomplete,
    }
    for name, message in messages.items():
        life = raise_condition(life, name, message, now) if message else clear_condition(life, name)
    return life


def refusal(error: BaseException | None) -> str:
    """What `NoPermission` says of an error; empty for one that is no refusal."""
    if not isinstance(error, StoreRefused | TagsRefused):
        return ""
    return f"{error}; {error.mend}" if error.mend else str(error)


def _stuck(facts: Sync, now: float) -> str:
    starts = [at for at in (facts.pending_since, facts.last_sent_at) if at is not None]
    pending = facts.pending_checkpoints > 0 or facts.pending_bytes > 0
    if not pending or not starts or now - max(starts) < STUCK_AFTER:
        return ""
    text = f"nothing sent for {STUCK_AFTER / 60:.0f} minutes, {facts.pending_bytes} B pending"
    if not facts.pending_bytes:
        text = f"nothing committed for {STUCK_AFTER / 60:.0f} minutes, though all was sent"
    return f"{text}: {facts.last_error}" if facts.last_error else text


def _ordered(conditions: list[Condition]) -> tuple[Condition, ...]:
    order = list(ConditionName)
    return tuple(sorted(conditions, key=lambda condition: order.index(condition.name)))
