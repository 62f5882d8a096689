"""The training beside the agent: its process and its markers, looked at a few times a second; one verdict comes out."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict

from .contract.malformed import Malformed
from .contract.spec import Spec
from .records import FileId, ProcessId
from .runtime import Runtime
from .store.journal import Journal
from .training.evidence import LINGER, LINGER_INSIDE, Evidence, Outcome, Verdict, judge
from .training.log_line import LogLine
from .training.marker_file import look_at
from .training.markers import MarkerFiles, Markers, MarkerSet, decode_baseline
from .training.record import ExitRecord, decode_process, started_path
from .training.trainer import Processes, adopt

log = logging.getLogger(__name__)

MEMORY = "followed"
"""The journal's fact: the process that is followed, and what the markers were at the first look."""


class Attendant:
    """Follows one training at a time."""

    def __init__(
        self, runtime: Runtime, spec: Spec, state_dir: str, boot_id: str, processes: Processes, journal: Journal
    ) -> None:
        self._runtime = runtime
        self._spec = spec
        self._boot_id = boot_id
        self._processes = processes
        self._journal = journal
        self._files = MarkerFiles(spec.workdir, spec.training, state_dir, spec.run)
        self._started = started_path(state_dir, spec.run) if spec.training.command else ""
        self._log = self._log_line()
        self._markers = MarkerSet()
        self._gone_since: float | None = None
        self._log_since: float | None = None
        self._pid_seen = False
        self._named_by: FileId | None = None  # the pid file that named the process
        self._dead: FileId | None = None  # a pid file whose process was dead when it was looked at
        self._kept: object = None
        self.process: ProcessId | None = None
        self.verdict = Verdict(Outcome.WAITING, None, "the agent has not looked yet")
        self.pid_written_by: int | None = None
        self.problems: tuple[str, ...] = ()
        self._remember()

    def turn(self) -> Verdict:
        """One look at everything."""
        now = self._runtime.monotonic()
        seen = self._markers.observe(self._files.look(), now)
        problems = list(seen.problems)
        successor = self._ended_unseen(seen) or self._candidate(seen, problems)
        if successor is not None and successor != self.process:
            seen = self._begin(successor, seen, now)
        if self._gone_since is None and self._gone(seen):
            self._gone_since = now
        self._pid_seen = self._pid_seen or seen.pid_new
        if self._log_since is None and self._log.found():
            self._log_since = now
        if self._log.problem:
            problems.append(self._log.problem)
        self.pid_written_by = seen.pid_written_by
        self._tell(problems)
        self.verdict = judge(self._evidence(seen), now, grace=self._spec.training.grace)
        self._keep()  # last: a journal that can't be written takes no verdict away
        return self.verdict

    @property
    def followed(self) -> bool:
        """Whether the process is there and has not ended."""
        return self.process is not None and self._gone_since is None

    def _gone(self, seen: Markers) -> bool:
        """Whether the process has ended, or came and went between two looks."""
        if self.process is not None:
            return self._processes.exited(self.process) and not self._goes_on(self.process, seen)
        if self._started:
            return False
        return seen.pid_new and isinstance(seen.pid, int) and self._processes.identify(seen.pid) is None

    def _goes_on(self, leader: ProcessId, seen: Markers) -> bool:
        """Whether others in the session of what we started train on, with nobody left to say how it ends: it may be a shell."""
        if not self._started or (isinstance(seen.record, ExitRecord) and seen.record.process == leader):
            return False
        return bool(self._processes.session(leader))

    def _candidate(self, seen: Markers, problems: list[str]) -> ProcessId | None:
        """Who was started by us, else who the pid file names, unless the one that is followed still lives."""
        if self._started:
            return self._started_by_us()
        if self.followed or seen.pid is None:
            return None
        if isinstance(seen.pid, Malformed):
            problems.append(seen.pid.reason)
            return None
        found = self._named(seen.pid, seen.pid_id, seen.pid_written_by)
        if isinstance(found, ProcessId):
            return found
        if seen.pid_new and self.process is None:
            problems.append(f"{self._spec.training.pid_file}: {found}")
        return None

    def _named(self, pid: int, file: FileId | None, written_by: int | None) -> ProcessId | str:
        """Who the pid file names, or why it is not believed: once its process is gone, whoever gets the pid is not it."""
        if file is not None and file in (self._named_by, self._dead):
            return f"no process with pid {pid} is alive"
        found = self._processes.identify(pid)
        if found is None or not self._processes.alive(found):
            self._dead = file
        return adopt(self._processes, pid, self._spec.training.user, written_by=written_by)

    def _started_by_us(self) -> ProcessId | None:
        """By the agent's own file, which names a process whatever became of it; a pid file may be anybody's."""
        if self.followed:
            return None
        found = decode_process(look_at("/", self._started).body)
        return found if isinstance(found, ProcessId) and found.boot_id == self._boot_id else None

    def _ended_unseen(self, seen: Markers) -> ProcessId | None:
        """Who came and went between two looks, or before the first, by the exit record that was left."""
        record = seen.record
        if self.followed or not isinstance(record, ExitRecord) or not (seen.record_new or self.process is None):
            return None
        if record.run != self._spec.run or record.process.boot_id != self._boot_id or not record.process.pid:
            return None
        # Another pid: one came after it that left no record.
        return record.process if seen.pid is None or seen.pid == record.process.pid else None

    def _begin(self, process: ProcessId, seen: Markers, now: float) -> Markers:
        """A process is there that was not followed before: an attempt begins."""
        again = self.process is not None or self.verdict.ended
        if again:
            self._markers.renew()
            self._log = self._log_line()
        self.process, self._gone_since, self._log_since, self._pid_seen = process, None, None, False
        self._named_by = seen.pid_id if seen.pid == process.pid else None
        log.info("following process %d", process.pid)
        return self._markers.observe(self._files.look(), now) if again else seen

    def _evidence(self, seen: Markers) -> Evidence:
        record = seen.record if isinstance(seen.record, ExitRecord) else None
        return Evidence(
            run=self._spec.run,
            boot_id=self._boot_id,
            process=self.process,
            pid_seen=self._pid_seen,
            gone_since=self._gone_since,
            record=record,
            record_new=seen.record_new,
            exit_code=seen.exit_code,
            exit_code_since=seen.exit_code_since,
            complete_since=seen.complete_since,
            log_since=self._log_since,
            linger=LINGER_INSIDE if self._spec.training.image else LINGER,
        )

    def _tell(self, problems: list[str]) -> None:
        for problem in problems:
            if problem not in self.problems:
                log.warning("%s", problem)
        self.problems = tuple(problems)

    def _log_line(self) -> LogLine:
        training = self._spec.training
        return LogLine(training.log_file, training.complete_pattern, base=self._spec.workdir)

    def _keep(self) -> None:
        """So that an agent that comes back in the same attempt goes on with it."""
        baseline = self._markers.baseline()
        known = (self.process, self._named_by, baseline, self._log.begins_at)
        if known == self._kept:
            return
        process = asdict(self.process) if self.process is not None else None
        memory = {"boot_id": self._boot_id, "process": process, "baseline": baseline, "log": self._log.begins_at}
        named_by = asdict(self._named_by) if self._named_by is not None else None
        self._journal.put(MEMORY, json.dumps({**memory, "named_by": named_by}))
        self._kept = known

    def _remember(self) -> None:
        """What an agent before this one kept; what can't be read is as if there had been none."""
        try:
            memory = json.loads(self._journal.get(MEMORY) or "{}")
            if memory.get("boot_id") != self._boot_id:
                return
            process = ProcessId(**memory["process"]) if memory["process"] is not None else None
            named_by = FileId(**memory["named_by"]) if memory.get("named_by") is not None else None
            baseline, begins_at = decode_baseline(memory["baseline"]), memory["log"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            log.warning("what the journal says of the training followed before can't be read: %s", error)
            return
        self.process, self._named_by = process, named_by
        if not isinstance(baseline, Malformed):
            self._markers = MarkerSet(baseline)
        self._log.begins_at = begins_at if isinstance(begins_at, int) else None
