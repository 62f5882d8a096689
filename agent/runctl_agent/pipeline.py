"""The whole agent, and the only file that knows the order of its stages:

    watch → settle → stage → journal                                        Gatherer
                             journal → upload → commit                      Sender
    trainer, markers                                  → report → publish    Attendant, Report, Publisher
    code, setup, restore, start; runctl:want          → trainer             Conductor

Nothing waits for the network but the sender and the publisher, so that what the trainer wrote is safe from its rotation
before anything is known of S3, EC2 or IMDS.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from . import lean
from .attend import Attendant
from .contract.keys import Keys
from .contract.phases import Phase
from .contract.spec import Spec
from .contract.status import State
from .disk.lock import Locks
from .disk.stage import Stager
from .errors import RunctlError
from .facts import facts_of
from .life.conductor import Conductor
from .life.quarantine import Quarantine
from .life.wants import Flushing
from .outlook import Outlook
from .pruning import Wish
from .reaching import Reaching
from .report import Facts, Report
from .runtime import Runtime, Task
from .sender import Sender
from .shipping import Shipment, Shipping
from .stages import gatherer_of, publisher_of, sender_of
from .store.commit import Committer
from .store.course import Course
from .store.journal import Journal
from .surroundings import Reached, Surroundings
from .telling import TELL, Telling
from .training.evidence import Verdict
from .training.opening import was_cut_short
from .training.order import Cause, Order
from .vitals import Vitals

log = logging.getLogger(__name__)


class Pipeline:
    """One agent's life. `start` returns at once; `stop` ends every stage in the order in which data flows."""

    def __init__(
        self,
        runtime: Runtime,
        spec: Spec,
        keys: Keys,
        state_dir: str,
        home: str,
        journal: Journal,
        stager: Stager,
        locks: Locks,
        around: Surroundings,
        own_log: str = "",
    ) -> None:
        """`own_log`: where what the agent logs is kept; empty: nowhere."""
        self._runtime = runtime
        self._spec = spec
        self._journal = journal
        self._stager = stager
        self._locks = locks
        self._around = around
        self._filled = runtime.event()
        self.stopping = runtime.event()
        self.keys = keys
        self._outlook = Outlook(runtime, spec, journal, Course(), self._filled)
        self.gatherer = gatherer_of(runtime, spec, stager, locks, journal, self._filled, self._outlook.saves)
        self.attendant = Attendant(runtime, spec, state_dir, around.boot_id, around.processes(), journal)
        self._vitals = Vitals(runtime, spec, journal, around.processes(), around.meter())
        commanded = bool(spec.training.command)
        self.report = Report(
            runtime, spec.run, journal, around.boot_id, around.boot_time, commanded=commanded, outlook=self._outlook
        )
        gatherer = self.gatherer
        flushing = Flushing(gatherer.rescan, lambda: gatherer.recovered.is_set() and gatherer.journaled)
        self._wish = Wish(self._filled) if spec.retention.wanted else None
        quarantine = Quarantine(gatherer.hold, gatherer.adopt, lambda: gatherer.held)
        self.conductor = Conductor(
            runtime, spec, keys, state_dir, home, journal, around, self.report, flushing, quarantine, self._wish, self._outlook
        )
        self._shipping = Shipping(runtime, journal, spec, home, own_log)
        self.publisher = publisher_of(runtime, spec, journal, around, None, None)
        self.sender: Sender | None = None
        self._reaching = Reaching(runtime, around, keys, self.stopping)
        self._untold: RunctlError | None = None
        self._state: State | None = None
        self._ready = self._ended = False
        self.turns = 0
        """Of the loop that looks at the training, conducts it and reports; the watchdog goes by it."""
        self._watcher = around.watcher(self.gatherer.sink)
        self._tasks: list[Task] = []

    def start(self) -> None:
        for watched in self._spec.checkpoints:
            self._watcher.watch(watched.path)
        self._watcher.start()
        if not self._journal.recreated:  # a new journal does not know what staging still holds: that is left for people
            self._stager.sweep(self._journal.directories)
        self._tasks.append(self._runtime.spawn("gather", self.gatherer.run))
        self._tasks.append(self._runtime.spawn("publish", self.publisher.run))
        self._tasks.append(self._runtime.spawn("attend", self._attend))
        self._tasks.append(self._runtime.spawn("send", self._send))

    def stop(self) -> None:
        self.stopping.set()
        self.conductor.stop()
        self._watcher.stop()
        self.gatherer.stop()
        self._shipping.stopping.set()
        if self.sender is not None:
            self.sender.stop()
        self._filled.set()

    def join(self, timeout: float) -> bool:
        """Wait at most so many seconds until every stage has ended; returns whether it has."""
        end = self._runtime.monotonic() + timeout
        ended = [task.join(max(0.0, end - self._runtime.monotonic())) for task in self._tasks]
        return all(ended)

    def raise_dead(self) -> None:
        """Raise what ended a stage that should be running."""
        for task in self._tasks:
            if task.error is not None:
                raise task.error

    def _attend(self) -> None:
        telling, before = Telling(self._runtime.monotonic()), self.attendant.process
        rested = False
        while not self.stopping.is_set():
            self._recovered()
            verdict = self._look_at_training()
            if self.attendant.process != before:
                self.report.process_began(another=before is not None)
                self._filled.set()  # its epoch is taken at once, before its first checkpoint
                before = self.attendant.process
            self._watch_over()
            self.conductor.turn(self.attendant)
            resting = self._rests()
            if telling.due(self._runtime.monotonic(), self._news(verdict), resting=resting and rested):
                self.tell()
            if resting and not rested:
                lean.give_back()
            rested = resting
            self.turns += 1
            ending = verdict.ended and not self.report.life.terminal
            self.stopping.wait(telling.pause(self._runtime.monotonic(), ending=ending))

    def _watch_over(self) -> None:
        self._vitals.turn(self.attendant.process, self.gatherer.finished, alive=self.attendant.followed)
        if self.attendant.followed and (why := self._vitals.over_the_limit()):
            self.conductor.order(Order(Cause.LIMIT, Phase.FAILED, why))

    def _news(self, verdict: Verdict) -> object:
        """What is told at once when it changes."""
        sender = self.sender
        sent = (sender.commits, sender.epoch, sender.last_error) if sender is not None else None
        return verdict.outcome, sent, self.conductor.conduct(), self.report.instance, verdict.ended and self.gatherer.quiet

    def _rests(self) -> bool:
        """Whether nothing goes on, as far as was told last."""
        sender, state = self.sender, self._state
        if sender is None or sender.busy or state is None or state.pending_checkpoints:
            return False
        return self.gatherer.quiet

    def _recovered(self) -> None:
        """Ready once everything on disk was read; until then the phase stays `starting`."""
        if not self._ready and self.gatherer.recovered.is_set():
            self._ready = True
            self.report.recovered()
            self._around.ready()

    def _look_at_training(self) -> Verdict:
        """One look; what can't be looked at leaves the verdict as it is, and says so."""
        try:
            verdict = self.attendant.turn()
        except RunctlError as error:
            if str(error) != str(self._untold):
                log.warning("%s", error.full)
            self._untold = error
            return self.attendant.verdict
        self._untold = None
        if verdict.ended and not self._ended:
            self.gatherer.rescan()  # the hint of the last checkpoint may never have come
        self._ended = verdict.ended
        self.gatherer.training_ended(verdict.ended or self.conductor.preparing)
        return verdict

    def tell(self) -> State:
        """Put the state together and hand it to the publisher."""
        self._state = self.report.tell(self._facts())
        self.publisher.update(self._state)
        self._shipping.tell(self._state)
        return self._state

    def _facts(self) -> Facts:
        return facts_of(
            self.attendant,
            self.conductor,
            self.gatherer,
            self.publisher,
            self.sender,
            self._reaching,
            untold=self._untold,
            watching=self._watcher.problems(),
            shipping=self._shipping.problems,
            measured=self._vitals.measured,
            at_risk=self._outlook.at_risk() if self.conductor.takeable else "",
        )

    def _send(self) -> None:
        found = self._reaching.run()
        if found is None:
            return
        reached, elsewhere = found
        self._vitals.goes_on_from(elsewhere.ran if elsewhere is not None else 0)
        where = f"instance {reached.instance.id}" if reached.instance is not None else "outside EC2: no tags are posted"
        log.info("S3 answers; this is %s", where)
        while not self.gatherer.recovered.wait(TELL):
            if self.stopping.is_set():
                return
        committer = Committer(reached.store, self.keys, self._runtime, self._spec.run, reached.name)
        self.sender = sender_of(
            self._runtime,
            self._spec,
            self.keys,
            self._journal,
            self._stager,
            self._locks,
            reached,
            committer,
            self.gatherer,
            boot_id=self._around.boot_id,
            trainer=lambda: self.attendant.process,
            filled=self._filled,
            wish=self._wish,
            course=self._outlook.course,
            cut_short=elsewhere is not None and was_cut_short(elsewhere.phase),
        )
        self._republish(reached, committer, self.sender)
        conductor, sender = self.conductor, self.sender
        for name, work in {
            "listen": lambda: conductor.listen(reached),
            "notices": lambda: conductor.heed(reached),
            "finish": lambda: conductor.finish(reached, self._told_the_end, self._fenced),
            "ship": lambda: self._shipping.run(reached.store, self.keys, lambda: Shipment(sender.epoch, conductor.end)),
            "begin": lambda: conductor.begin(reached, elsewhere, self._nothing_behind),
        }.items():
            self._tasks.append(self._runtime.spawn(name, work))
        if not self.stopping.is_set():
            self.sender.run()

    def _told_the_end(self) -> bool:
        """Also the end of the logs, unless that can't be sent: then it is no reason to keep a machine."""
        return self._shipping.over and self.publisher.told_the_end(self.report.life.attempt)

    def _fenced(self) -> bool:
        return self.sender is not None and bool(self.sender.fenced)

    def shut_down(self) -> bool:
        """Whether the machine is being shut down; then everything is made durable before `let_go`."""
        return self.conductor.shut_down(self.attendant)

    @property
    def let_go(self) -> bool:
        """Whether the machine may go: the training has ended, all is durable."""
        return self.report.life.terminal and self._state is not None and not self._state.pending_checkpoints

    def _nothing_behind(self) -> bool:
        if (sender := self.sender) is None or not (sender.epoch and self.gatherer.exhausted):
            return False
        return not (self._journal.behind().checkpoints or sender.busy)

    def _republish(self, reached: Reached, committer: Committer, sender: Sender) -> None:
        """From now on to the tags and to S3 as well."""

        def put_status(body: bytes) -> None:
            # Without an epoch nothing is written yet: taking one changes the state. A fenced agent leaves it to the newer writer.
            if sender.epoch and sender.holds():
                reached.store.put(self.keys.status, body)

        before = self.publisher
        self.report.instance = reached.instance
        self.publisher = publisher_of(self._runtime, self._spec, self._journal, self._around, reached, put_status)
        before.stop()
        if self._state is not None:
            own = reached.instance.id if reached.instance is not None else ""
            self.publisher.update(replace(self._state, instance=own))  # it was put together before that was known
        self._tasks.append(self._runtime.spawn("publish", self.publisher.run))
