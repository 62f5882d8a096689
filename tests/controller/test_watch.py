"""`runctl watch`: what it asks for, what it draws, and how it is left."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import termios
import time
from collections.abc import Sequence
from typing import Any, cast

import pytest

from runctl import frame
from runctl.choosing import Choice
from runctl.ec2 import Ec2
from runctl.exits import Throttled
from runctl.fleet import Fleet
from runctl.frame import Screen
from runctl.known import Known
from runctl.live import told
from runctl.moment import Moments
from runctl.shelf import Shelf
from runctl.sight import news
from runctl.watching import All
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.status import State
from runctl_agent.errors import RefusedError
from tests.controller.described import LAUNCHED, described, posted, state
from tests.controller.stage import RUNCTL, Stage, read_terminal
from tests.fakes.clock import FakeRuntime


class World:
    """EC2, and S3's status.json: both count what they are asked."""

    def __init__(self, *instances: dict[str, Any]) -> None:
        self.found: Sequence[dict[str, Any]] | Exception = instances
        self.calls = 0
        self.read: list[str] = []
        self.statuses: dict[str, State] = {}
        self.groups = 0
        self.runtime = FakeRuntime(wall=LAUNCHED + 110.0)
        fleet = Fleet(cast(Ec2, self))
        self.view = All(fleet, self.runtime, 5.0, Choice(), self.replaced, lambda destination: cast(Shelf, self))

    def instances(self, filters: object) -> list[dict[str, Any]]:
        self.calls += 1
        if isinstance(self.found, Exception):
            raise self.found
        return list(self.found)

    def status(self, run: str) -> State | None:
        self.read.append(run)
        return self.statuses.get(run)

    def replaced(self, rows: Sequence[Known]) -> frozenset[tuple[str, str]]:
        return frozenset()


def training(number: int) -> dict[str, Any]:
    run, instance = f"run{number:04d}", f"i-{number:017x}"
    return posted(state(Phase.TRAINING, run=run, instance=instance, step=number), run=run, instance=instance, launched=LAUNCHED)


def test_one_call_of_ec2_a_refresh_for_any_number_of_runs_and_s3_only_for_what_is_shown() -> None:
    silent = [described(run=f"gone{n}", instance=f"i-{n + 5000:017x}", power="terminated") for n in range(30)]
    world = World(*silent, *(training(n) for n in range(2000)))
    for refresh in range(1, 4):
        world.view.look(room=10)
        assert (world.calls, len(world.read)) == (refresh, 10 * refresh)
    assert len(world.view.rows) == 2030
    world.view.look(room=0)
    assert len(world.read) == 30


def test_throttled_it_asks_less_often_and_shows_what_it_has() -> None:
    world = World(training(1))
    world.view.look(10)
    world.found = Throttled("ec2:DescribeInstances", "RequestLimitExceeded")
    pauses = []
    for _ in range(5):
        world.view.look(10)
        pauses.append(world.view.pause)
    assert pauses == [10.0, 20.0, 40.0, 60.0, 60.0]
    assert ([row.run for row in world.view.rows], "RequestLimitExceeded" in world.view.problem) == (["run0001"], True)
    world.found = [training(2)]
    world.view.look(10)
    assert (world.view.pause, world.view.problem, [row.run for row in world.view.rows]) == (5.0, "", ["run0002"])
    world.found = RefusedError("ec2:DescribeInstances", "denied", "allow it")
    with pytest.raises(RefusedError):
        world.view.look(10)


def test_without_a_terminal_a_line_for_each_change_and_none_without() -> None:
    world = World(training(1), training(2))
    said: list[str] = []
    turns = iter(range(4))

    def over() -> bool:
        turn = next(turns)
        newer = state(Phase.TRAINING, run="run0001", instance=f"i-{1:017x}", step=1 + turn // 2, heartbeat=LAUNCHED + 100 + turn)
        world.found = [posted(newer, run="run0001", instance=newer.instance), training(2)]
        return turn == 3

    def changed(known: Known) -> None:
        assert known.state is not None
        said.append(f"{known.run} {known.state.step}")

    told(world.view, news, changed, over, world.runtime)
    assert said == ["run0001 1", "run0002 2", "run0001 2"]
    assert world.runtime.slept == [5.0, 5.0, 5.0]


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50), (40, 10), (20, 3)])
def test_a_picture_fills_the_terminal_and_no_more(columns: int, rows: int) -> None:
    world = World(*(training(n) for n in range(100)))
    world.view.look(rows)
    screen, when = Screen(columns, rows), Moments(LAUNCHED + 110.0)
    drawn = frame.many(world.view.rows, "footer", when, screen)
    assert (len(drawn), drawn[-1]) == (rows, "footer")
    log = [f"line {n} " * 30 for n in range(100)]
    one = frame.one(world.view.rows[0], log, "footer", when, screen)
    assert (len(one), one[-1]) == (rows, "footer")
    unbreakable = max(len(word) for line in one for word in line.split())
    assert all(len(line) <= max(columns, unbreakable + 6) for line in one), one


def test_a_terminal_is_given_back(stage: Stage) -> None:
    instance = stage.launch()
    stage.posts(stage.state(instance, Phase.TRAINING, step=4, committed_at=1_800_000_000))
    with stage.s3.store() as store:
        store.put(Keys(stage.s3.prefix, stage.run).log(1, "training.log").key(0), b"\x1b[31mstep 4 is done\n")
    for leave, code in ((b"q", 0), (b"\x03", 130), (signal.SIGTERM, 143)):
        ours, theirs = pty.openpty()
        before = termios.tcgetattr(theirs)
        process = subprocess.Popen(
            [RUNCTL, "watch", stage.run],
            env={**stage.env, "TERM": "xterm"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_controlling,  # noqa: PLW1509 - one system call, no lock
        )
        with os.fdopen(ours, "rb+", buffering=0) as terminal:
            seen = b""
            end = time.monotonic() + 60
            while b"step 4 is done" not in seen and time.monotonic() < end:
                seen += read_terminal(terminal)
            assert b"\x1b[?1049h" in seen
            assert b"[31m" not in seen.partition(b"step 4 is done")[0].rpartition(b"\n")[2]
            if isinstance(leave, bytes):
                terminal.write(leave)
            else:
                process.send_signal(leave)
            while b"\x1b[?1049l" not in seen and time.monotonic() < end:
                seen += read_terminal(terminal)
            assert process.wait(30) == code
            assert termios.tcgetattr(theirs) == before
            os.close(theirs)
        assert b"Traceback" not in seen


def _controlling() -> None:
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def test_the_command_without_a_terminal(stage: Stage) -> None:
    instance = stage.launch()
    first = stage.state(instance, Phase.TRAINING, step=1, committed_at=1_800_000_000)
    stage.posts(first)
    documents = stage.start("watch", "--json", stage.run, "--every", "200ms")
    with stage.start("watch", stage.run, "--every", "200ms") as process, documents:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"{stage.run}: training on {instance}, step 1 safe ")
        stage.posts(stage.state(instance, Phase.FINISHED, exit_code=0, generation=2), "b")
        out, _ = process.communicate(timeout=60)
        told_as_json, _ = documents.communicate(timeout=60)
    assert out.splitlines()[-2].startswith(f"{stage.run}: finished: the training is done")
    phases = [json.loads(line)["state"]["phase"] for line in told_as_json.splitlines()]
    assert phases[-1] == "finished"
