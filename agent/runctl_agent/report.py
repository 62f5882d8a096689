"""What the agent says of itself: one State, made of what every stage knows."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from . import __version__
from .conduct import Conduct as Conduct
from .contract.phases import Phase
from .contract.status import State
from .errors import JournalError
from .outlook import Outlook
from .rate import Rate, eta
from .records import Instance
from .runtime import Runtime
from .store.journal import Journal, Sending
from .training.deadline import MARGIN
from .training.evidence import Outcome, Verdict
from .training.opening import Decision, told_of_the_end, told_unread
from .training.order import Cause, Order
from .training.state import TABLE, Life, Sync, again, begin, follow, leave, route, sync_conditions
from .vitals import NOTHING, Measured

log = logging.getLogger(__name__)

MEMORY = "life"
BEFORE = "life.before"
"""The last life of another boot: how it ended decides what the agent does in this one."""

DETAILS = 20


@dataclass(frozen=True)
class Facts:
    """What the stages report. Texts are empty where there is nothing to say; `problems` are for people."""

    verdict: Verdict
    trainer_pid: int | None
    quiet: bool  # nothing on disk waits to be finished or staged
    epoch: int
    refused: str
    fenced: str
    disk_full: str
    incomplete: str
    last_error: str
    problems: tuple[str, ...]
    conduct: Conduct
    failures: int = 0  # in a row, before a row of the journal's is even tried
    retry_at: float | None = None  # wall-clock seconds
    at_risk: str = ""
    measured: Measured = NOTHING
    steady: Callable[[], bool] = lambda: True  # nothing has gone back from the journal to the disk since `quiet` was asked


class Report:
    """Keeps the life of the present attempt, in the journal too, and makes the state to publish."""

    def __init__(
        self,
        runtime: Runtime,
        run: str,
        journal: Journal,
        boot_id: str,
        boot_time: int,
        *,
        commanded: bool = False,
        outlook: Outlook | None = None,
    ) -> None:
        """`commanded`: the training is started by the agent; else by somebody else, and is waited for."""
        self._outlook = outlook
        self._runtime = runtime
        self._run = run
        self._journal = journal
        self._boot_time = boot_time
        self._commanded = commanded
        self._kept = journal.get(MEMORY) or ""
        before = _remembered(self._kept)
        if before is not None and before.boot_id != boot_id:
            journal.put(BEFORE, self._kept)
        self.before = _remembered(journal.get(BEFORE) or "")
        self.life = begin(boot_id, runtime.now(), before)
        self._unkept = ""  # why the journal does not know the life as it is
        self._decided: Decision | None = None
        self._stood = before is not None and before.boot_id == boot_id and json.loads(self._kept).get("stood") is True
        self._rate = Rate()
        self._moved: tuple[int, Sending | None] | None = None
        self._last_sent_at: float | None = None
        self._details: deque[str] = deque(maxlen=DETAILS)
        self._attached = False
        self._last: State | None = None
        self.instance: Instance | None = None

    @property
    def stood(self) -> bool:
        """Whether the end is one that stood before this boot, and nothing was begun."""
        return self._stood

    def recovered(self) -> None:
        """The journal and the disk were read: from now on the agent follows what happens."""
        self._attached = True
        if self.life.phase is Phase.STARTING and not self._commanded:
            self._live(self.life.to(Phase.WAITING, self._runtime.now()))

    def process_began(self, *, another: bool) -> None:
        """A training process is there. `another`: one before it is gone, and what that left unsaid is not waited for."""
        now = self._runtime.now()
        if another and not self.life.terminal:
            self._live(self.life.to(Phase.FAILED, now))
        if self.life.terminal:
            self._stood = False
            self._live(again(self.life, now))

    def tell(self, facts: Facts) -> State:
        """Take in what the stages say; returns the state to publish. A journal that fails is told of."""
        try:
            self._last = self._state(facts)
            if self._stood and self._decided is not None and self._decided.told is not None:
                self._last = told_of_the_end(self._last, self._decided.told)
        except JournalError as error:
            if self._last is None:
                raise
            self._last = told_unread(self._last, self.life, str(error))
        return self._last

    def _state(self, facts: Facts) -> State:
        now = self._runtime.now()
        pending = self._journal.behind()
        totals = self._journal.totals()
        durable = facts.quiet and not pending.checkpoints and facts.steady()
        if self._attached:
            self._conducted(facts.conduct, now, ended=facts.verdict.ended)
            self._follow(facts, now, durable)
        sending = self._journal.sending() if pending.checkpoints else None
        self._watch(totals.sent_bytes, sending, now)
        rate = self._rate.sample(self._runtime.monotonic(), totals.sent_bytes, pending=pending.bytes > 0)
        if self._outlook is not None:
            self._outlook.measured(rate, self._rate.spread(rate), self._rate.busy)
        trouble = self._journal.trouble()
        retry_at = trouble.retry_at if facts.retry_at is None else facts.retry_at
        problems = (*facts.problems, *([trouble.abort_error] if trouble.abort_error else []))
        sync = Sync(
            pending_bytes=pending.bytes,
            pending_since=pending.oldest_at,
            last_sent_at=self._last_sent_at,
            last_error=facts.last_error,
            refused=facts.refused,
            fenced=facts.fenced,
            disk_full=facts.disk_full,
            incomplete=facts.incomplete,
            pending_checkpoints=pending.checkpoints,
            at_risk=facts.at_risk,
            stalled=facts.measured.stalled,
            idle=facts.measured.idle,
        )
        self._live(sync_conditions(self.life, sync, now))
        newest = totals.newest
        measured, gpus = facts.measured, facts.measured.gpus
        notices = facts.conduct.notices
        notice = next(iter(notices), None)
        return State(
            run=self._run,
            phase=self.life.phase,
            instance=self.instance.id if self.instance is not None else "",
            boot_time=self._boot_time,
            generation=0,
            heartbeat=0,
            agent_version=__version__,
            epoch=facts.epoch,
            attempt=self.life.attempt,
            conditions=self.life.conditions,
            checkpoint=newest.checkpoint if newest is not None else None,
            step=newest.step if newest is not None else None,
            committed_at=int(newest.at) if newest is not None else None,
            commits=totals.commits,
            # What a training left may still be settling: it counts, for "terminal and nothing pending" is taken for durable.
            pending_checkpoints=pending.checkpoints or int((facts.verdict.ended or self.life.terminal) and not durable),
            pending_bytes=pending.bytes,
            pending_since=int(min(max(pending.oldest_at, 0.0), now)) if pending.oldest_at is not None else None,
            rate=rate,
            eta=eta(pending.bytes, rate),
            sending=sending.checkpoint if sending is not None else None,
            sending_bytes=sending.bytes if sending is not None else 0,
            sent_bytes=sending.sent if sending is not None else 0,
            failures=max(facts.failures, trouble.failures),
            retry_at=int(max(retry_at, 0.0)) if retry_at is not None else None,
            owed_aborts=trouble.aborts,
            exit_code=self.life.exit_code,
            want=facts.conduct.want,
            error=next(iter(facts.conduct.failure), "") or self._unkept or facts.last_error or next(iter(problems), ""),
            trainer_pid=facts.trainer_pid,
            notice=notice.text if notice is not None else "",
            notice_at=int(notice.at) if notice is not None and notice.at is not None else None,
            details=self._lines(facts.conduct, (*problems, *(["the loss is not a number"] if measured.said.broken else []))),
            sent_total=totals.sent_bytes,
            ran=measured.ran,
            train_step=measured.said.step,
            train_steps=measured.said.steps,
            train_epoch=measured.said.epoch,
            loss=measured.said.loss,
            cpu=measured.cpu,
            rss=measured.rss,
            disk_free=measured.disk_free,
            gpu=gpus.utilisation if gpus is not None else None,
            gpu_memory=gpus.memory if gpus is not None else None,
            gpu_heat=gpus.heat if gpus is not None else None,
        )

    def _lines(self, conduct: Conduct, problems: tuple[str, ...]) -> tuple[str, ...]:
        announced = (notice.line for notice in conduct.notices)
        return tuple(filter(None, (*conduct.failure, *announced, *problems, conduct.doing, *self._details)))[:DETAILS]

    def _watch(self, sent: int, sending: Sending | None, now: float) -> None:
        """When something moved last; what is copied inside S3 counts, and is not among the bytes sent."""
        before, self._moved = self._moved, (sent, sending)
        if before is None:
            return
        was = before[1]
        copied = sending is not None and was is not None and sending.checkpoint == was.checkpoint and sending.sent > was.sent
        if sent != before[0] or copied:
            self._last_sent_at = now

    def _conducted(self, conduct: Conduct, now: float, *, ended: bool) -> None:
        """What the agent itself decided or did to the training. What has `ended` by itself is not ended by us."""
        decision = conduct.decision
        if decision is not None and decision != self._decided:
            self._decided = decision
            self._decide(decision, now)
        if self.life.terminal:
            return
        cut_short = conduct.order is not None and (not ended or conduct.order.cause is Cause.SHUTDOWN)
        if conduct.order is not None and cut_short and self.life.phase is not Phase.SAVING:
            self._to(self.life.to(Phase.SAVING, now), conduct.order.message)
        elif conduct.failure and self.life.phase is not Phase.SAVING:
            self._to(self.life.to(Phase.FAILED, now), conduct.failure[0])
        elif conduct.stage is not None:
            for phase in route(self.life.phase, conduct.stage):
                self._to(self.life.to(phase, now), TABLE[phase].sentence)

    def _decide(self, decision: Decision, now: float) -> None:
        if decision.outcome is not None:
            self._stood = True
            self._to(leave(self.life, decision.attempt, decision.outcome, decision.exit_code, now), decision.reason)
        else:
            self._live(replace(self.life, attempt=decision.attempt))

    def _follow(self, facts: Facts, now: float, durable: bool) -> None:
        verdict = facts.verdict
        if self.life.phase is Phase.SAVING:
            order = facts.conduct.order
            last_moment = order is not None and order.at is not None and now >= order.at - MARGIN
            if order is not None and facts.conduct.over and (durable or last_moment):
                self._to(
                    replace(self.life.to(order.outcome, now), exit_code=verdict.exit_code), _in_the_end(order, durable=durable)
                )
        elif not (self._commanded and verdict.outcome is Outcome.WAITING):
            for life in follow(self.life, verdict, now, durable=durable):
                self._to(life, verdict.reason)

    def _to(self, life: Life, reason: str) -> None:
        log.info("%s: %s", life.phase, reason)
        self._details.appendleft(f"{life.phase}: {reason}")
        self._live(life)

    def _live(self, life: Life) -> None:
        self.life = life
        text = json.dumps({**asdict(life), "conditions": [], "stood": self._stood})
        if text == self._kept:
            self._unkept = ""
            return
        try:
            self._journal.put(MEMORY, text)
        except JournalError as error:  # told, and tried again at the next look: an end on a full disk is an end all the same
            if not self._unkept:
                log.warning("%s", error.full)
            self._unkept = str(error)
        else:
            self._kept, self._unkept = text, ""


def _in_the_end(order: Order, *, durable: bool) -> str:
    """The reason of a terminal phase: a limit is why it failed, of all else the phase itself says enough."""
    rest = "everything is durable" if durable else "not everything could be sent in time"
    return order.message if order.outcome is Phase.FAILED else rest


def _remembered(text: str) -> Life | None:
    """What an agent before this one kept; None for what can't be read."""
    if not text:
        return None
    try:
        plain = json.loads(text)
        code = None if plain["exit_code"] is None else int(plain["exit_code"])
        return Life(str(plain["boot_id"]), int(plain["attempt"]), Phase(plain["phase"]), int(plain["since"]), code)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        log.warning("what the journal says of this run's life can't be read: %s", error)
        return None
