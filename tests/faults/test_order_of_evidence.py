"""How a training has ended, by the order of evidence of DESIGN §4: the agent's own looks at real processes and real files.

Only the clock is the test's: it moves when it is told to, so that nothing here depends on how long anything takes.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from runctl_agent.attend import MEMORY, Attendant
from runctl_agent.contract.spec import Spec, Training, Watched
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.journal import Journal
from runctl_agent.training.evidence import LINGER, Outcome, Verdict
from runctl_agent.training.record import exit_path
from runctl_agent.training.trainer import LinuxProcesses
from tests.fakes.clock import FakeRuntime
from tests.fakes.wrapped import Wrapped

GRACE = 30.0
READ = "read go; "
"""What a training begins with: it goes on once it is told to."""


class Scene:
    """One run: a workdir, a state directory, a journal, and an agent that looks. Closed, it leaves no process behind."""

    def __init__(self, tmp_path: Path, stack: ExitStack) -> None:
        self.wrapped = Wrapped(tmp_path)
        self.workdir = self.wrapped.workdir
        self.clock, self.real = FakeRuntime(), ThreadRuntime()
        self.processes = LinuxProcesses()
        self.journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
        self._stack = stack
        stack.callback(self.processes.close)
        stack.callback(self.journal.close)
        self.training = Training(grace=GRACE, log_file="train.log")
        self.agent = self.another_agent()

    def another_agent(self, **training: object) -> Attendant:
        """One that comes after the one before; it knows what that journaled."""
        self.training = replace(self.training, **training)  # type: ignore[arg-type]
        spec = Spec("gpt2", "s3://bucket/runs", (Watched(str(self.workdir)),), workdir=str(self.workdir), training=self.training)
        boot = self.processes.boot_id
        self.agent = Attendant(self.clock, spec, str(self.wrapped.state_dir), boot, self.processes, self.journal)
        self.agent.turn()
        return self.agent

    def under_exec(self, script: str) -> subprocess.Popen[str]:
        wrapper = self._stack.enter_context(self.wrapped.start("sh", "-c", READ + script))
        self._stack.callback(_put_an_end_to, wrapper)
        self.wrapped.pid()
        return wrapper

    def plain(self, script: str) -> subprocess.Popen[str]:
        """A training that writes its own pid file, as somebody's script would."""
        own = "echo $$ > new.pid; mv new.pid training.pid; "
        command = ["sh", "-c", own + READ + script]
        process = self._stack.enter_context(subprocess.Popen(command, cwd=self.workdir, text=True, stdin=subprocess.PIPE))
        self._stack.callback(_put_an_end_to, process)
        self.wrapped.pid()
        return process

    def write(self, name: str, text: str) -> None:
        (self.workdir / name).write_text(text)

    def until(self, met: Callable[[Verdict], bool]) -> Verdict:
        give_up = self.real.monotonic() + 60
        while not met(self.agent.turn()):
            assert self.real.monotonic() < give_up, self.agent.verdict
            self.clock.advance(0.001)
            self.real.sleep(0.01)
        return self.agent.verdict

    def outcome(self, outcome: Outcome) -> Verdict:
        return self.until(lambda verdict: verdict.outcome is outcome)

    def later(self, seconds: float) -> Verdict:
        self.clock.advance(seconds)
        return self.agent.turn()

    def believed(self) -> Verdict:
        """After two looks at markers that have stopped changing."""
        self.agent.turn()
        return self.later(1.0)


def go(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=60)


def _put_an_end_to(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait(60)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with ExitStack() as stack:
        yield Scene(tmp_path, stack)


def said(verdict: Verdict) -> tuple[Outcome, int | None]:
    return verdict.outcome, verdict.exit_code


ENDS = {
    "exit 0": (Outcome.FINISHED, 0, "exit code 0 (exit record)"),
    "exit 3": (Outcome.FAILED, 3, "exit code 3 (exit record)"),
    "exit 255": (Outcome.FAILED, 255, "exit code 255 (exit record)"),
    "kill -KILL $$": (Outcome.FAILED, 137, "SIGKILL, exit code 137"),
    "ulimit -c 0; kill -SEGV $$": (Outcome.FAILED, 139, "SIGSEGV, exit code 139"),
    "kill -TERM $$": (Outcome.FAILED, 143, "SIGTERM, exit code 143"),
    "ulimit -c 0; kill -ABRT $$": (Outcome.FAILED, 134, "SIGABRT, exit code 134"),
    "echo done > training_complete.txt; exit 0": (Outcome.FINISHED, 0, "exit code 0"),
    "echo done > training_complete.txt; exit 1": (Outcome.FAILED, 1, "exit code 1"),
    "echo done > training_complete.txt; kill -KILL $$": (Outcome.FAILED, 137, "SIGKILL"),
}


@pytest.mark.parametrize("script", ENDS)
def test_the_exit_record_is_the_strongest(scene: Scene, script: str) -> None:
    wrapper = scene.under_exec(script)
    assert scene.outcome(Outcome.RUNNING).exit_code is None
    go(wrapper)
    outcome, code, reason = ENDS[script]
    verdict = scene.until(lambda verdict: verdict.ended)
    assert said(verdict) == (outcome, code)
    assert reason in verdict.reason
    assert said(scene.later(3600)) == (outcome, code), "time takes nothing back"


@pytest.mark.parametrize("script", ENDS)
def test_an_agent_that_was_away_says_the_same(scene: Scene, script: str) -> None:
    wrapper = scene.under_exec(script)
    scene.outcome(Outcome.RUNNING)
    go(wrapper)
    scene.another_agent()
    assert said(scene.until(lambda verdict: verdict.ended)) == ENDS[script][:2]


@pytest.mark.parametrize("script", ["exit 0", "exit 3", "kill -KILL $$"])
def test_one_that_came_and_went_between_two_looks(scene: Scene, script: str) -> None:
    go(scene.under_exec(script))
    assert said(scene.until(lambda verdict: verdict.ended)) == ENDS[script][:2]


@pytest.mark.parametrize("before", ["0\n", "9\n"])
def test_a_code_written_over_by_hand_makes_no_failure_good(scene: Scene, before: str) -> None:
    """The record and the file disagree: what is not 0 stands."""
    wrapper = scene.under_exec("exit 0" if before == "9\n" else "exit 9")
    scene.outcome(Outcome.RUNNING)
    go(wrapper)
    scene.write("training_exit_code.txt", before)
    assert said(scene.until(lambda verdict: verdict.ended and verdict.exit_code != 0)) == (Outcome.FAILED, 9)


def test_an_exit_code_file_beside_a_live_process(scene: Scene) -> None:
    process = scene.plain("exit 0")
    scene.outcome(Outcome.RUNNING)
    scene.write("training_exit_code.txt", "0\n")
    assert said(scene.outcome(Outcome.FINISHING)) == (Outcome.FINISHING, 0)
    go(process)
    assert said(scene.outcome(Outcome.FINISHED)) == (Outcome.FINISHED, 0)


@pytest.mark.parametrize("complete", [False, True])
def test_a_code_other_than_0_fails_at_once_beside_a_live_process(scene: Scene, complete: bool) -> None:
    scene.plain("exit 0")
    scene.outcome(Outcome.RUNNING)
    if complete:
        scene.write("training_complete.txt", "done")
        scene.outcome(Outcome.FINISHING)
    scene.write("training_exit_code.txt", "7\n")
    assert said(scene.outcome(Outcome.FAILED)) == (Outcome.FAILED, 7)
    assert scene.agent.followed, "it was not taken for ended"


def test_a_completion_file_beside_a_live_process_counts_once_it_is_gone(scene: Scene) -> None:
    process = scene.plain("exit 0")
    scene.outcome(Outcome.RUNNING)
    scene.write("training_complete.txt", "done")
    assert said(scene.outcome(Outcome.FINISHING)) == (Outcome.FINISHING, None)
    assert scene.later(GRACE / 2).outcome is Outcome.FINISHING
    go(process)
    scene.until(lambda verdict: not scene.agent.followed)
    assert scene.agent.verdict.outcome is Outcome.FINISHING, "its exit code may still come"
    assert said(scene.later(LINGER)) == (Outcome.FINISHED, None)


def test_a_completion_file_beside_a_live_process_counts_after_the_grace(scene: Scene) -> None:
    scene.plain("exit 0")
    scene.outcome(Outcome.RUNNING)
    scene.write("training_complete.txt", "done")
    scene.outcome(Outcome.FINISHING)
    verdict = scene.later(GRACE)
    assert said(verdict) == (Outcome.FINISHED, None)
    assert "outlived the grace" in verdict.reason
    assert scene.agent.followed


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_completion_file_is_none(scene: Scene, text: str) -> None:
    process = scene.plain("exit 0")
    scene.outcome(Outcome.RUNNING)
    scene.write("training_complete.txt", text)
    assert scene.believed().outcome is Outcome.RUNNING
    go(process)
    scene.until(lambda verdict: not scene.agent.followed)
    assert said(scene.later(LINGER)) == (Outcome.FAILED, None)


@pytest.mark.parametrize("code", [0, 3])
def test_gone_without_a_word(scene: Scene, code: int) -> None:
    process = scene.plain(f"exit {code}")
    scene.outcome(Outcome.RUNNING)
    go(process)
    scene.until(lambda verdict: not scene.agent.followed)
    assert scene.agent.verdict.outcome is Outcome.FINISHING
    verdict = scene.later(LINGER)
    assert said(verdict) == (Outcome.FAILED, None)
    assert verdict.reason == "the process is gone, exit code unknown"


def test_gone_without_a_word_before_anybody_looked(scene: Scene) -> None:
    go(scene.plain("exit 0"))
    scene.believed()
    assert said(scene.later(LINGER)) == (Outcome.FAILED, None)


def test_a_killed_wrapper_ends_nothing(scene: Scene) -> None:
    wrapper = scene.under_exec("exit 0")
    scene.outcome(Outcome.RUNNING)
    wrapper.kill()
    wrapper.wait(60)
    assert scene.later(3600).outcome is Outcome.RUNNING
    assert scene.another_agent().turn().outcome is Outcome.RUNNING, "nor for an agent that comes back"
    go(wrapper)
    scene.until(lambda verdict: not scene.agent.followed)
    assert said(scene.later(LINGER)) == (Outcome.FAILED, None)


def test_a_killed_wrapper_beside_a_completion_file(scene: Scene) -> None:
    wrapper = scene.under_exec("echo done > training_complete.txt; exit 0")
    scene.outcome(Outcome.RUNNING)
    wrapper.kill()
    wrapper.wait(60)
    go(wrapper)
    scene.until(lambda verdict: not scene.agent.followed)
    scene.believed()
    assert said(scene.later(LINGER)) == (Outcome.FINISHED, None)


def test_a_started_training_is_gone_when_its_session_is_empty(scene: Scene) -> None:
    """The wrapper is killed, and then the shell that it started; what that shell started trains on."""
    scene.another_agent(command="sh train.sh", grace=GRACE)
    wrapper = scene.under_exec(f"'{sys.executable}' -c 'import sys; print(flush=True); sys.stdin.readline()' <&0; exit 0")
    scene.outcome(Outcome.RUNNING)
    assert wrapper.stdin is not None
    assert wrapper.stdout is not None
    wrapper.stdin.write("\n")
    wrapper.stdin.flush()
    wrapper.stdout.readline()
    leader = scene.agent.process
    assert leader is not None
    assert len(scene.processes.session(leader)) == 2
    wrapper.kill()
    wrapper.wait(60)
    scene.processes.signal(leader, signal.SIGKILL)
    scene.until(lambda verdict: not scene.processes.alive(leader))
    assert scene.later(3600).outcome is Outcome.RUNNING
    go(wrapper)
    scene.until(lambda verdict: not scene.agent.followed)
    assert said(scene.later(LINGER)) == (Outcome.FAILED, None)


def test_a_line_of_the_log_counts_where_there_is_no_pid(scene: Scene) -> None:
    scene.another_agent(complete_pattern="^training done$")
    scene.write("train.log", "step 1\ntraining done soon\n")
    assert scene.believed().outcome is Outcome.WAITING
    scene.write("train.log", "step 1\ntraining done soon\ntraining done\n")
    assert scene.agent.turn().outcome is Outcome.FINISHING
    assert said(scene.later(LINGER)) == (Outcome.FINISHED, None)


def test_a_line_of_the_log_says_nothing_of_a_process(scene: Scene) -> None:
    scene.another_agent(complete_pattern="^training done$")
    process = scene.plain("exit 1")
    scene.outcome(Outcome.RUNNING)
    scene.write("train.log", "training done\n")
    assert scene.later(3600).outcome is Outcome.RUNNING
    go(process)
    scene.until(lambda verdict: not scene.agent.followed)
    assert said(scene.later(LINGER)) == (Outcome.FAILED, None)


@pytest.mark.parametrize("name", ["training_exit_code.txt", "training_complete.txt"])
def test_markers_from_before_are_not_believed_until_they_change(scene: Scene, name: str) -> None:
    (scene.workdir / name).write_text("0\n")
    scene.journal.put(MEMORY, "{}")
    scene.another_agent()
    process = scene.plain("exit 0")
    scene.outcome(Outcome.RUNNING)
    assert scene.later(3600).outcome is Outcome.RUNNING
    scene.write(f"{name}.new", "0\n")
    (scene.workdir / f"{name}.new").rename(scene.workdir / name)
    scene.outcome(Outcome.FINISHING)
    go(process)
    scene.until(lambda verdict: not scene.agent.followed)
    assert scene.later(LINGER).outcome is Outcome.FINISHED


@pytest.mark.parametrize("change", [{"run": "another"}, {"boot_id": "another"}, {"pid": 1}])
def test_a_record_of_another_run_boot_or_process_says_nothing(scene: Scene, change: dict[str, object]) -> None:
    wrapper = scene.under_exec("exit 0")
    scene.outcome(Outcome.RUNNING)
    wrapper.kill()
    wrapper.wait(60)
    go(wrapper)
    scene.until(lambda verdict: not scene.agent.followed)
    process = scene.agent.process
    assert process is not None
    plain = {"version": 1, "run": "gpt2", "attempt": 1, "code": 0, "signal": None, "oom_kill": None}
    times = {"start": 1.0, "end": 2.0, "peak_rss": 0, "error": ""}
    Path(exit_path(str(scene.wrapped.state_dir), "gpt2")).write_text(json.dumps({**plain, **times, **asdict(process), **change}))
    scene.believed()
    assert said(scene.later(LINGER)) == (Outcome.FAILED, None)


def test_a_pid_that_somebody_else_has_now_is_not_followed(scene: Scene) -> None:
    """The pid file stands as it was, and its pid was given away: the process that is alive now is not the training."""
    successor = scene.plain("exit 0")
    scene.outcome(Outcome.RUNNING)
    memory = json.loads(scene.journal.get(MEMORY) or "")
    memory["process"]["ticks"] -= 1  # so the training was one that began before it, and had its pid
    scene.journal.put(MEMORY, json.dumps(memory))
    agent = scene.another_agent()
    assert not agent.followed
    scene.believed()
    assert said(scene.later(LINGER)) == (Outcome.FAILED, None)
    assert agent.process is not None
    assert not scene.processes.alive(agent.process)
    assert successor.poll() is None


def test_a_pid_file_written_anew_is_another_training(scene: Scene) -> None:
    process = scene.plain("exit 0")
    scene.outcome(Outcome.RUNNING)
    go(process)
    scene.until(lambda verdict: not scene.agent.followed)
    assert scene.later(LINGER).outcome is Outcome.FAILED
    scene.wrapped.pid_file.unlink()
    scene.agent.turn()
    scene.plain("exit 0")
    scene.outcome(Outcome.RUNNING)


def test_a_pid_file_that_names_another_users_process(scene: Scene) -> None:
    scene.another_agent(user="nobody")
    process = scene.plain("exit 0")
    assert scene.believed().outcome is Outcome.WAITING
    assert not scene.agent.followed
    assert "user" in scene.agent.problems[0]
    assert process.poll() is None
    scene.another_agent(user="")
    scene.outcome(Outcome.RUNNING)


@pytest.mark.parametrize("text", ["no pid", "0", "-1", "99999999999", "1"])
def test_a_pid_file_that_names_nobody(scene: Scene, text: str) -> None:
    scene.write("training.pid", text)
    assert scene.believed().outcome is Outcome.WAITING
    assert scene.agent.problems
