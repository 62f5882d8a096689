"""Ending a training: the stop signal once, the grace, SIGKILL, and what is left of its session."""

from __future__ import annotations

import os
import signal

import pytest

from runctl_agent.contract.spec import Training
from runctl_agent.life.ending import Ending
from runctl_agent.records import ProcessId
from tests.fakes.clock import FakeRuntime
from tests.fakes.processes import FakeProcesses

OURS = Training(command=("python", "train.py"), stop_signal="SIGUSR1", grace=30.0)


class WithSession(FakeProcesses):
    """What the leader leaves behind when it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[ProcessId] = []

    def session(self, leader: ProcessId) -> list[ProcessId]:
        return [one for one in self.left if self.alive(one)]


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime()


@pytest.fixture
def processes() -> WithSession:
    return WithSession()


def test_without_a_training_there_is_nothing_to_end(runtime: FakeRuntime, processes: WithSession) -> None:
    assert Ending(runtime, OURS, processes).turn(None, alive=False, written_by=None)


def test_it_is_signalled_once_and_killed_after_its_grace(runtime: FakeRuntime, processes: WithSession) -> None:
    process, ending = processes.start(4000), Ending(runtime, OURS, processes)
    for _ in range(3):
        assert not ending.turn(process, alive=True, written_by=None)
    assert processes.signalled == [(process, signal.SIGUSR1)]
    runtime.sleep(29.9)
    ending.turn(process, alive=True, written_by=None)
    assert len(processes.signalled) == 1
    runtime.sleep(0.1)
    ending.turn(process, alive=True, written_by=None)
    assert processes.signalled[1:] == [(process, signal.SIGKILL)]


def test_what_it_leaves_in_its_session_is_killed_before_it_is_over(runtime: FakeRuntime, processes: WithSession) -> None:
    process, worker = processes.start(4000), processes.start(4001)
    processes.left, ending = [worker], Ending(runtime, OURS, processes)
    processes.end(process)
    assert not ending.turn(process, alive=False, written_by=None)
    assert processes.signalled == [(worker, signal.SIGKILL)]
    processes.end(worker)
    assert ending.turn(process, alive=False, written_by=None)


def test_what_outlives_its_leader_has_the_same_signal_and_grace(runtime: FakeRuntime, processes: WithSession) -> None:
    process, worker = processes.start(4000), processes.start(4001)
    processes.left, ending = [worker, processes.start(4002)], Ending(runtime, OURS, processes)
    processes.end(process)
    for _ in range(3):
        assert not ending.turn(process, alive=True, written_by=None)
    assert processes.signalled == [(one, signal.SIGUSR1) for one in processes.left]
    processes.end(processes.left[1])
    runtime.sleep(30.0)
    assert not ending.turn(process, alive=True, written_by=None)
    assert processes.signalled[2:] == [(worker, signal.SIGKILL)]


def test_the_session_of_a_training_that_somebody_else_started_is_his(runtime: FakeRuntime, processes: WithSession) -> None:
    process, shell = processes.start(4000), processes.start(4001)
    processes.left = [shell]
    processes.end(process)
    assert Ending(runtime, Training(), processes).turn(process, alive=False, written_by=0)
    assert processes.signalled == []


def test_whose_training_it_is_decides_where_we_did_not_start_it(runtime: FakeRuntime, processes: WithSession) -> None:
    process, ending = processes.start(4000, uid=4711), Ending(runtime, Training(), processes)
    assert not ending.turn(process, alive=True, written_by=os.geteuid() + 1)
    assert processes.signalled == []
    assert "belongs to uid 4711" in ending.problem


def test_one_that_ends_in_between_is_no_problem(runtime: FakeRuntime, processes: WithSession) -> None:
    process, ending = processes.start(4000), Ending(runtime, OURS, processes)
    processes.end(process)
    assert not ending.turn(process, alive=True, written_by=None)
    assert ending.problem == ""


def test_a_second_process_gets_the_stop_signal_too() -> None:
    """A wrapper has started the trainer again: it has its own grace."""
    runtime, processes = FakeRuntime(), FakeProcesses()
    ending = Ending(runtime, Training(stop_signal="SIGUSR1", grace=30.0, command=("x",)), processes)
    first = processes.start(100)
    ending.turn(first, alive=True, written_by=None)
    processes.end(first)
    ending.turn(first, alive=False, written_by=None)
    runtime.sleep(31)
    second = processes.start(101)
    ending.turn(second, alive=True, written_by=None)
    assert processes.signalled[-1] == (second, signal.SIGUSR1)
