"""What a training's user says of processes and of ends: nobody else's process is signalled, and no forged end is believed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.attack.attacker import Attacker, Target

HOLDS = """
import fcntl, time
file = open("checkpoints/good4.bin.lock", "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(3600)
"""
SLEEPS = "import time\nprint('up', flush=True)\ntime.sleep(3600)"
GOOD = "import os; open('checkpoints/new', 'wb').write(b'good'); os.rename('checkpoints/new', 'checkpoints/good{}.bin')"


@contextmanager
def roots_own() -> Iterator[subprocess.Popen[str]]:
    """A process of root's, which records whether it is signalled."""
    script = """
import signal, sys
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, lambda number, frame: print("signalled", number, flush=True))
print("up", flush=True)
sys.stdin.readline()
"""
    command = [sys.executable, "-I", "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_pid_file_that_names_roots_process(target: Target, attacker: Attacker) -> None:
    """Not followed as a training, not signalled when the agent is asked to end it, not waited for."""
    with roots_own() as process:
        with target.running() as agent:
            attacker.runs(f"open('training.pid', 'w').write('{process.pid}')")
            status = target.wait_for(lambda status: "belongs to uid 0" in json.dumps(status), agent)
            assert (status["phase"], status["trainer_pid"]) == ("waiting", None)
        assert process.poll() is None
        assert process.stdin is not None
        out, _ = process.communicate("\n", timeout=60)
    assert out == ""


@pytest.mark.parametrize("claim", ["1", "-1", "0", "4194305", "99999999999999999999", "1\\n2", "\\x001", "self", "٣"])
def test_pids_that_are_none_of_theirs(target: Target, attacker: Attacker, claim: str) -> None:
    attacker.runs(f"open('training.pid', 'w').write('{claim}')")
    attacker.runs(GOOD.format(1))
    with target.running() as agent:
        target.committed("good1.bin")
        status = target.wait_for(lambda status: status["pending_checkpoints"] == 0, agent)
    assert (status["phase"], status["trainer_pid"]) == ("waiting", None)


def test_a_completion_file_beside_a_living_training_ends_nothing(target: Target, attacker: Attacker) -> None:
    """Forged by the training's own user: a claim about itself, which it is held to only once its process is gone."""
    with attacker.running(SLEEPS) as training:
        assert training.stdout is not None
        training.stdout.readline()
        attacker.runs(f"open('training.pid', 'w').write('{training.pid}')")
        with target.running() as agent:
            target.wait_for(lambda status: status["trainer_pid"] == training.pid, agent)
            attacker.runs("open('training_complete.txt', 'w').write('done')")
            target.wait_for(lambda status: status["phase"] == "finishing", agent)
            attacker.runs(GOOD.format(2))
            target.committed("good2.bin")
            assert training.poll() is None


def test_a_forged_exit_record_lies_where_only_root_writes(target: Target, attacker: Attacker) -> None:
    record = json.dumps({"version": 1, "run": target.run, "attempt": 1, "pid": 1, "code": 0})
    with target.running() as agent:
        refused = attacker.runs(
            f"open({str(target.state_dir)!r} + '/exit-{target.run}.json', 'w').write({record!r})", check=False
        )
        assert "PermissionError" in refused.stderr
        attacker.runs(GOOD.format(3))
        target.committed("good3.bin")
        status = target.wait_for(lambda status: status["pending_checkpoints"] == 0, agent)
    assert status["phase"] == "waiting"


def test_a_lock_that_is_held_for_ever_by_somebody_else_is_passed(target: Target, attacker: Attacker) -> None:
    """Where the agent's locks lie nobody else may hold one; the trainer's own counts while its holder trains."""
    with attacker.running(HOLDS) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        attacker.runs(GOOD.format(4))
        attacker.runs(GOOD.format(5))
        with target.running():
            target.committed("good5.bin")
            locks = target.env["RUNTIME_DIRECTORY"]
            refused = attacker.runs(f"import os; os.open({locks!r} + '/locks/x.lock', os.O_CREAT | os.O_RDWR)", check=False)
            assert "Error" in refused.stderr
            holder.kill()
            target.committed("good4.bin")


@pytest.mark.parametrize("made", ["os.mkfifo(name)", "os.symlink('/dev/zero', name)", "os.mkdir(name)"])
def test_a_lock_file_that_is_no_file_locks_nothing(target: Target, attacker: Attacker, made: str) -> None:
    attacker.runs(f"import os; name = 'checkpoints/good6.bin.lock'; {made}")
    attacker.runs(GOOD.format(6))
    with target.running():
        target.committed("good6.bin")


def test_orders_meant_for_the_training_reach_no_one_else(target: Target, attacker: Attacker) -> None:
    """The pid file names the training, then root's process: what is signalled at the end is neither guessed nor taken from it."""
    with roots_own() as process, attacker.running(SLEEPS) as training:
        assert training.stdout is not None
        training.stdout.readline()
        attacker.runs(f"open('training.pid', 'w').write('{training.pid}')")
        with target.running() as agent:
            target.wait_for(lambda status: status["trainer_pid"] == training.pid, agent)
            attacker.runs(f"open('training.pid', 'w').write('{process.pid}')")
            os.kill(training.pid, signal.SIGKILL)
            training.wait()
            target.wait_for(lambda status: status["phase"] != "training", agent)
        assert process.poll() is None
        assert process.stdin is not None
        out, _ = process.communicate("\n", timeout=60)
    assert out == ""
