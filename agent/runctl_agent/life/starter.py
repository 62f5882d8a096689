"""From the boot to the first step: decide, fetch and unpack the code, set up, restore, start. One task, one way through it.

What fails because S3 does not answer is tried again without end; what a person has to mend is `failure`, and ends the run.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from runctl_agent.account import Account, account
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.spec import Spec
from runctl_agent.contract.summary import size
from runctl_agent.errors import BadChecksum, JournalError, NotFoundError, RunctlError, StoreError, WrongStateError
from runctl_agent.runtime import Runtime
from runctl_agent.store.backoff import backoff
from runctl_agent.store.journal import Journal
from runctl_agent.store.objects import ObjectStore
from runctl_agent.training.exec import take_lock
from runctl_agent.training.job import Done, Inside, Job, Jobs, Running, Train, Unpack, login_env, own_env, torchrun_env
from runctl_agent.training.opening import Decision, Opening, crash_loop
from runctl_agent.training.record import left_a_word, was_started
from runctl_agent.training.resume import NOTHING, Resume, ResumeLost
from runctl_agent.training.unit import GoingDown

from .code import Stores, fetch_code
from .ends import Cancelled, failure_of
from .errand import LOOK, errand
from .minding import REAP, Minding, inner, job_of, outcome_of
from .pulling import Pulling
from .quarantine import Quarantine
from .recover import Recovery, begun_from, nothing_verifies
from .setup import set_up

log = logging.getLogger(__name__)

T = TypeVar("T")

AGAIN = 5.0
"""Seconds until a journal that could not be written is tried again."""

ATTEMPTS = "attempts_without_progress"
FAILURE = "failure"
LOOPED = "looped"
TRIES = 3
"""Downloads of code that arrives damaged."""

PREPARING = "preparing"
"""The journal's fact: the boot in which code is being unpacked and set up, so that what appears is not the training's."""


class Starter:
    """`run` in a task of its own; all else may be read from any. Texts are empty where there is nothing to say."""

    def __init__(
        self,
        runtime: Runtime,
        spec: Spec,
        keys: Keys,
        state_dir: str,
        home: str,
        journal: Journal,
        jobs: Jobs,
        boot_id: str,
        quarantine: Quarantine,
    ) -> None:
        self._runtime = runtime
        self._spec = spec
        self._keys = keys
        self._state_dir = state_dir
        self._home = home
        self._journal = journal
        self._jobs = jobs
        self._boot_id = boot_id
        self._quarantine = quarantine
        self._cancelled = runtime.event()
        self.decision: Decision | None = None
        self.stage: Phase | None = None
        self.doing = ""
        self.failure = self._failed_before()
        self.looped = journal.get(LOOPED) == boot_id
        self.trouble: RunctlError | None = None
        self.launched = was_started(state_dir, spec.run, boot_id)
        if not self.launched and journal.get(PREPARING) == boot_id:
            quarantine.hold()  # an agent before this one was in the middle of it

    @property
    def preparing(self) -> bool:
        """Nothing of the training runs yet, or ever will: what is on disk is as whole as it will be."""
        return not self.launched

    @property
    def expected(self) -> bool:
        """A training was started, by all that is known."""
        return self.launched and not self.failure

    def cancel(self) -> None:
        """End what is being prepared; a training that was started goes on."""
        self._cancelled.set()

    def run(self, decision: Decision, store: ObjectStore, stores: Stores, lock_dir: str, told: Callable[[], bool]) -> None:
        """`told`: whether the report has taken the decision in, and everything that was on disk is durable."""
        self.decision = decision
        if decision.opening is not Opening.BEGIN:
            log.info("nothing is started: %s", decision.reason)
        if decision.opening is Opening.LEAVE or (decision.opening is Opening.GO_ON and self._goes_on()):
            self._quarantine.release()
            self._mind(decision, lock_dir)
            return
        try:
            while not self._begun(decision.attempt, store, stores, lock_dir, told):
                self._pause(AGAIN)
        except (Cancelled, GoingDown):
            log.info("cancelled before the training was started")
        except RunctlError as error:
            self._failed(error.full.split("\n"))
        except OSError as error:
            self._failed([f"the training can't be prepared: {error.strerror or error} ({error.filename})"])
        finally:
            if self._quarantine.held():
                self._quarantine.adopt()

    def _mind(self, decision: Decision, lock_dir: str) -> None:
        """A container that was started before: whoever waits for its end may have died with the agent that started it."""
        if decision.opening is not Opening.GO_ON or not self._spec.training.image or self._cancelled.is_set():
            return
        try:
            user = account(self._spec.training.user)
            self._reap(job_of(self._spec, self._state_dir, user, decision.attempt, {}, lock_dir, adopt=True), None)
        except (RunctlError, OSError) as error:
            log.error("the end of the container may stay unknown: %s", error)

    def _begun(self, attempt: int, store: ObjectStore, stores: Stores, lock_dir: str, told: Callable[[], bool]) -> bool:
        """False: the journal can't be written, on a full disk for one; what was done so far is done again."""
        try:
            self._begin(attempt, store, stores, lock_dir, told)
        except JournalError as error:
            if str(error) != str(self.trouble):
                log.warning("%s", error.full)
            self.trouble = error
            return False
        return True

    def _goes_on(self) -> bool:
        """Whether the training is there; one that was only about to be started may have come to nothing."""
        self.launched = True
        while was_started(self._state_dir, self._spec.run, self._boot_id):
            if self._left_a_word() or self._cancelled.wait(REAP):
                return True
        self.launched = False
        return False

    def _begin(self, attempt: int, store: ObjectStore, stores: Stores, lock_dir: str, told: Callable[[], bool]) -> None:
        user = account(self._spec.training.user)
        self.stage, self.trouble = Phase.SETUP, None
        if not self._quarantine.held():
            while not told():  # what is only on this disk may be the newest, and the code may bring files of the same names
                self._pause(LOOK)
            if loop := crash_loop(int(self._journal.get(ATTEMPTS) or 0), self._spec.limits.attempts_without_progress):
                self._journal.put(LOOPED, self._boot_id)
                self.looped = True
                self._failed(list(loop))
                raise Cancelled
            self._quarantine.hold()
            self._journal.put(PREPARING, self._boot_id)
        self._unpack(user, stores)
        own = own_env(self._spec, attempt, lock_dir)
        env, command = self._prepared(user, own)
        self._quarantine.adopt()
        while self._quarantine.held():
            self._pause(LOOK)
        self._journal.put(PREPARING, "")
        self.stage = Phase.RESTORING

        def start(resume: Resume) -> None:
            whole = {**torchrun_env(self._spec.training.grace), **env, **own, "RUNCTL_RESUME_FROM": resume.path}
            job = job_of(self._spec, self._state_dir, user, attempt, whole, lock_dir)
            self._start(replace(job, command=command, resume=resume))

        begun_from(lambda: self._restored(user, store), start, lambda: self._pause(REAP))

    def _unpack(self, user: Account, stores: Stores) -> None:
        url, path = self._spec.training.code, os.path.join(self._home, "code.tar.gz")
        archive = self._answered(lambda: fetch_code(url, path, stores)) if url else None
        try:
            also = tuple(watched.path for watched in self._spec.checkpoints)
            self._done(Unpack(user, self._spec.workdir, also), archive=archive)
        finally:
            if archive is not None:
                os.close(archive)
                os.unlink(path)

    def _prepared(self, user: Account, own: Mapping[str, str]) -> tuple[Mapping[str, str], tuple[str, ...]]:
        """What the command's environment begins with, and the command. In a container the setup lines come with it."""
        if image := self._spec.training.image:
            Pulling(self._runtime, image, self._pause, self._says).run()
            return inner(self._spec, user), self._spec.training.command
        return set_up(self._spec, user, {**login_env(user, os.environ), **self._spec.training.env, **own}, self._done, self._says)

    def _says(self, doing: str) -> None:
        self.doing = doing

    def _restored(self, user: Account, store: ObjectStore) -> Resume:
        if self._spec.resume == "never":
            return NOTHING
        recovery = Recovery(self._spec, self._keys, store, self._runtime, self._journal, user, os.geteuid(), self._arrived)
        try:
            return self._answered(recovery.newest)
        except NotFoundError as error:
            raise nothing_verifies(error) from error
        finally:
            self.doing = ""

    def _arrived(self, done: int, total: int) -> None:
        self.doing = f"restoring: {size(done)} of {size(total)} are here"

    def _start(self, job: Train) -> None:
        lock = take_lock(self._state_dir, job.run)
        if lock is None:
            what = f"run {job.run} is not started a second time"
            raise WrongStateError(what, "another start of it is alive", "wait for its end: runctl-agent status")
        try:
            self._check_cancelled()
            self.launched = True
            running = self._jobs.start(job, lock=lock)
        except GoingDown:
            self.launched = False
            raise
        finally:
            os.close(lock)  # the worker has it
        log.info("attempt %d is started: %s", job.attempt, job.command[0])
        try:
            self._reap(job, running)
        except ResumeLost:
            self.launched = False
            raise

    def _reap(self, job: Train, running: Running | None) -> None:
        """Until the agent ends, or the worker: what kept it from starting anything at all is told."""
        wait, jobs, boot_id = self._cancelled.wait, self._jobs, self._boot_id
        error = Minding(jobs, job, boot_id, wait).run(running) if isinstance(job, Inside) else outcome_of(running, wait)
        if error and self._left_a_word():
            log.warning("nobody waits for its end any more, which the evidence tells all the same: %s", error)
        elif error:
            self._failed(error.split("\n"))
        elif running is not None and not self._cancelled.is_set() and not self._left_a_word():
            self._failed(["the training has ended, and how could not be written down: is the state directory's disk full?"])

    def _left_a_word(self) -> bool:
        return left_a_word(self._state_dir, self._spec.run, self._boot_id)

    def _done(self, job: Job, *, archive: int | None = None) -> Done:
        return errand(self._jobs, job, f"{self._state_dir}/prepare-{self._spec.run}.lock", self._pause, archive)

    def _answered(self, call: Callable[[], T]) -> T:
        """What `call` returns, tried again while S3 fails; damage on the way a few times only."""
        attempt = 0
        while True:
            try:
                found = call()
            except StoreError as error:
                attempt += 1
                if isinstance(error, BadChecksum) and attempt >= TRIES:
                    raise
                if str(error) != str(self.trouble):
                    log.warning("%s", error.full)
                self.trouble = error
                self._pause(backoff(attempt, self._runtime.random(), permanent=error.permanent))
            else:
                self.trouble = None
                return found

    def _failed(self, lines: list[str]) -> None:
        for line in lines:
            log.error("%s", line)
        self.failure = tuple(lines)
        try:
            self._journal.put(FAILURE, json.dumps([self._boot_id, *lines]))
        except JournalError as error:  # then only this agent can say why
            log.warning("%s", error.full)

    def _failed_before(self) -> tuple[str, ...]:
        """What an agent before this one said of this boot."""
        return failure_of(self._journal.get(FAILURE), self._boot_id)

    def _pause(self, seconds: float) -> None:
        self._cancelled.wait(seconds)
        self._check_cancelled()

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled
