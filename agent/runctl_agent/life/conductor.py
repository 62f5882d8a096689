"""What is asked of the training, and what becomes of it: begun by the starter, ended where somebody wants it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from runctl_agent.attend import Attendant
from runctl_agent.conduct import Conduct, End, Noticed
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.phases import TERMINAL, Phase
from runctl_agent.contract.spec import Spec
from runctl_agent.contract.status import State, decode_state
from runctl_agent.contract.tags import WANT
from runctl_agent.contract.unmet import unmet
from runctl_agent.errors import JournalError, RunctlError, TagError
from runctl_agent.outlook import Outlook
from runctl_agent.pruning import Wish
from runctl_agent.report import Report
from runctl_agent.runtime import Runtime
from runctl_agent.store import codec
from runctl_agent.store.backoff import backoff
from runctl_agent.store.journal import Journal
from runctl_agent.store.objects import Got
from runctl_agent.surroundings import Own, Reached, Surroundings
from runctl_agent.training.evidence import Outcome
from runctl_agent.training.opening import Decision, Known, decide
from runctl_agent.training.order import Cause, Order
from runctl_agent.training.record import was_started

from .ending import Ending
from .finish import Finishing
from .launches import Launches
from .notices import Notices
from .orders import Orders
from .quarantine import Quarantine
from .starter import Starter
from .taking import Taking
from .wants import Flushing, Wants

log = logging.getLogger(__name__)

SHUTDOWN = Order(Cause.SHUTDOWN, Phase.INTERRUPTED, "the machine is being shut down")
ASKED = Order(Cause.STOP, Phase.STOPPED, "somebody asked for the end")

ENDING = frozenset({Phase.SAVING, Phase.FINISHING})

SPOT = "spot"
"""The life cycle of an instance that EC2 may take back, as its metadata has it."""


class Conductor:
    """`turn` from the task that attends the training; `begin` and `listen` in tasks of their own."""

    def __init__(
        self,
        runtime: Runtime,
        spec: Spec,
        keys: Keys,
        state_dir: str,
        home: str,
        journal: Journal,
        around: Surroundings,
        report: Report,
        flushing: Flushing,
        quarantine: Quarantine,
        wish: Wish | None,
        outlook: Outlook,
    ) -> None:
        """`wish`: to prune; None where no retention is asked for."""
        self._runtime = runtime
        self._spec = spec
        self._state_dir = state_dir
        self._journal = journal
        self._around = around
        self._report = report
        self._stopping = runtime.event()
        self._over = False
        self._trouble: RunctlError | None = None
        self._launches = Launches(runtime, journal, around.boot_id)
        self._starter = (
            Starter(runtime, spec, keys, state_dir, home, journal, around.jobs(), around.boot_id, quarantine)
            if spec.training.command
            else None
        )
        self.unmet = tuple(filter(None, (*unmet(spec), codec.lacks(spec.compression))))
        for one in self.unmet:
            log.warning("%s", one)
        self._wants = Wants(runtime, journal, around.boot_id, flushing, wish)
        self._orders = Orders(runtime, journal, around.boot_id)
        self._notices = Notices(runtime, journal, around.boot_id, spec.recover.hook_timeout, outlook.hasten)
        self._taking = Taking(runtime, self._notices, outlook, self._orders)
        self.takeable = bool(spec.recover.group)
        self._finishing = Finishing(runtime, spec, journal, around, report, lambda: self._notices.held, self._looped)
        self._ended_before = False
        self._ending = Ending(runtime, spec.training, around.processes())

    @property
    def preparing(self) -> bool:
        """Nothing of a training that is ours to start runs."""
        return self._starter is not None and self._starter.preparing

    def stop(self) -> None:
        """The agent ends: what is being prepared ends with it, a training does not."""
        self._stopping.set()
        self._wants.stopping.set()
        self._notices.stopping.set()
        self._finishing.stopping.set()
        if self._starter is not None:
            self._starter.cancel()

    def begin(self, reached: Reached, elsewhere: State | None, durable: Callable[[], bool]) -> None:
        """Decide what to do with the run, and do it. `elsewhere`: its last published state, before this agent's own."""
        if self._starter is None:
            return
        decision = self._decided(reached, elsewhere)
        if decision is None:
            return

        def told() -> bool:
            return self._report.life.attempt == decision.attempt and durable()

        self._starter.run(decision, reached.store, self._around.other_store, self._around.lock_dir, told)

    def listen(self, reached: Reached) -> None:
        """Take what the controller asks, until told to stop."""
        own = reached.own
        if own is not None:
            self._wants.run(lambda: self._tag(own), lambda anew: self._launches.learnt(own, anew=anew))

    def heed(self, reached: Reached) -> None:
        """Look for notices of EC2, until told to stop."""
        self.takeable = self.takeable or reached.life_cycle == SPOT
        if reached.own is not None:
            self._notices.run(reached.own.event)

    def finish(self, reached: Reached, told: Callable[[], bool], fenced: Callable[[], bool]) -> None:
        """Do what is to be done after the end, until told to stop."""
        self._finishing.run(reached, told, fenced)

    def shut_down(self, attendant: Attendant) -> bool:
        """Whether the machine is being shut down: then the training is ended as by any other notice, unless it has ended."""
        if not self._around.shutting_down():
            return False
        if not attendant.verdict.ended and not self._report.life.terminal:
            self.order(SHUTDOWN)
        return True

    def _looped(self) -> bool:
        return self._starter is not None and self._starter.looped

    def _look_whether_cut_short(self, attendant: Attendant) -> None:
        """What ends while the machine is shut down was ended by that, whatever its exit code says."""
        ended = attendant.verdict.ended
        begins_now = ended and not self._ended_before and self._orders.standing is None and not self._report.life.terminal
        self._ended_before = ended
        if begins_now and self._around.shutting_down():
            self.order(SHUTDOWN)

    def _tag(self, own: Own) -> str | None:
        """The wish; and this life's LaunchTime, learnt meanwhile: after the next boot it tells whether somebody asked."""
        self._launches.learn(own)
        return own.tag(WANT)

    def order(self, order: Order) -> None:
        """End the training; from any task."""
        self._orders.give(order)

    @property
    def ordered(self) -> Order | None:
        """Why the training is to end; None while it may go on, and once its life is over."""
        phase = self._report.life.phase
        if phase is Phase.SAVING:
            return self._orders.standing or ASKED  # the journal may have lost it
        return None if phase in TERMINAL else self._orders.standing

    @property
    def end(self) -> End:
        phase = self._report.life.phase
        if phase in TERMINAL:
            return End.REACHED
        return End.NEAR if phase in ENDING or self._notices.taking is not None else End.FAR

    def turn(self, attendant: Attendant) -> None:
        """One look at a run that is to end."""
        if self._wants.stop and not self._report.life.terminal:
            self.order(ASKED)
        self._look_whether_cut_short(attendant)
        self._orders.keep()
        gone = attendant.verdict.outcome is Outcome.FINISHING and not attendant.followed  # its exit code may still come
        self._taking.turn(alive=attendant.followed, ended=attendant.verdict.ended or gone)
        if self.ordered is None:
            return
        if self._starter is not None and self._starter.preparing:
            self._starter.cancel()
        alive = attendant.followed
        # One that was just started and not seen yet is not over, nor one whose exit code may still come.
        waiting = attendant.verdict.outcome is Outcome.WAITING and (self._starter is None or not self._starter.expected)
        begun = attendant.verdict.ended or waiting
        kill_at = self._taking.plan.end_at if self._taking.plan is not None else None
        over = self._ending.turn(attendant.process, alive=alive, written_by=attendant.pid_written_by, kill_at=kill_at)
        self._over = over and begun and not alive

    def conduct(self) -> Conduct:
        starter = self._starter
        parts = (self._wants, self._ending, self._notices, self._finishing, self._finishing.hold)
        common = Conduct(
            order=self.ordered,
            over=self._over,
            want=self._wants.acknowledged,
            problems=tuple(part.problem for part in parts if part.problem),
            notices=tuple(Noticed(one.notice.text, one.at, one.notice.problem) for one in self._notices.standing),
        )
        if starter is None:
            return common
        return replace(
            common,
            decision=starter.decision,
            stage=starter.stage,
            doing=starter.doing,
            failure=starter.failure,
            trouble=starter.trouble or self._trouble,
        )

    def _decided(self, reached: Reached, elsewhere: State | None) -> Decision | None:
        """None: the agent ends before anything could be decided."""
        attempt = 0
        while not self._stopping.is_set():
            try:
                decision = self._decision(reached, elsewhere)
            except (TagError, JournalError) as error:
                attempt += 1
                if str(error) != str(self._trouble):
                    log.warning("%s", error.full)
                self._trouble = error
                self._stopping.wait(backoff(attempt, self._runtime.random()))
            else:
                self._trouble = None
                return decision
        return None

    def _decision(self, reached: Reached, elsewhere: State | None) -> Decision:
        before = self._report.before
        # Only what failed or was stopped asks who wants it again: no other training waits for EC2.
        asks = before is not None and before.phase in (Phase.FAILED, Phase.STOPPED, Phase.SAVING)
        launched = self._launches.if_allowed(reached.own) if asks else None
        own = reached.instance.id if reached.instance is not None else ""
        return decide(
            Known(
                life=self._report.life,
                started=was_started(self._state_dir, self._spec.run, self._around.boot_id),
                before=before,
                launched_before=self._launches.before,
                launched=launched,
                elsewhere=elsewhere,
                instance=own,
                replaced=bool(self._spec.recover.group),
                asked=self._spec.recover.attempt,
            )
        )


def published(got: Got | None) -> State | None:
    """What `status.json` says; a damaged one says nothing, and is written anew."""
    state = None if got is None else decode_state(got.body)
    return state if isinstance(state, State) else None
