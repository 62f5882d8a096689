"""The training ends, and another process gets its pid."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace

import pytest

from runctl_agent.errors import NotFoundError
from runctl_agent.training.trainer import LinuxProcesses, send_signal
from tests.fakes.processes import FakeProcesses


def test_the_successor_is_neither_alive_in_its_name_nor_signalled() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as successor:
        processes = LinuxProcesses()
        found = processes.identify(successor.pid)
        assert found is not None
        training = replace(found, ticks=found.ticks - 1)
        assert not processes.alive(training)
        assert processes.exited(training)
        assert processes.owner(training) is None
        with pytest.raises(NotFoundError):
            send_signal(processes, training, signal.SIGKILL, user="", written_by=os.getuid())
        assert successor.poll() is None
        assert processes.alive(found)


def test_the_session_of_a_successor_is_not_the_trainings() -> None:
    """Else it would be killed as what the training left behind."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as successor:
        processes = LinuxProcesses()
        found = processes.identify(successor.pid)
        assert found is not None
        assert processes.session(found) == [found]
        assert processes.session(replace(found, ticks=found.ticks - 1)) == []


def test_a_pid_given_away_between_two_looks_is_a_new_process() -> None:
    processes = FakeProcesses()
    training = processes.start(4711)
    assert not processes.exited(training)
    processes.reap(training)
    successor = processes.start(4711)
    assert processes.exited(training)
    assert processes.identify(4711) == successor != training
    with pytest.raises(NotFoundError):
        send_signal(processes, training, signal.SIGTERM, user="", written_by=0)
    assert processes.signalled == []
