"""From a marker's rename, and from the training's exit, to the CreateTags call with the phase."""

from __future__ import annotations

import os
import queue
import random
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs

from bench.busy import busy
from bench.instance import instance
from runctl_agent.contract.tags import PHASE
from tests.e2e.agent import Agent
from tests.e2e.gate import Gate, Request
from tests.e2e.seaweed import S3, SeaweedFS

PATIENCE = 60.0
IDLE = (0.1, 0.6)
"""Seconds between what happens: at random, so that no timer of the agent is met always at the same point."""

TRAINING = "import os, sys, time; sys.stdin.readline(); os.write(1, b'%d' % time.monotonic_ns()); os._exit(0)"
"""Ends when it is told, and says when."""


class Posts:
    """The phases that arrive at EC2, each with the monotonic time of its call."""

    def __init__(self, front: Gate) -> None:
        self._arrived: queue.Queue[tuple[str, float]] = queue.Queue()
        front.hold(self._note)

    def _note(self, request: Request) -> bool:
        form = {name: values[0] for name, values in parse_qs(request.body.decode(), keep_blank_values=True).items()}
        if form.get("Action") == "CreateTags":
            (place,) = [name for name, value in form.items() if value == PHASE]
            self._arrived.put((form[place.removesuffix("Key") + "Value"], request.at))
        return False

    def wait_for(self, phase: str) -> float:
        while True:
            arrived, at = self._arrived.get(timeout=PATIENCE)
            if arrived == phase:
                return at


def measure(lives: int, base: Path) -> dict[str, list[float]]:
    """Milliseconds of each marker and each exit."""
    taken: dict[str, list[float]] = {"marker": [], "exit": []}
    watched = base / "checkpoints"
    watched.mkdir()
    with SeaweedFS(base / "s3") as server, instance(base) as machine:
        posts = Posts(machine.ec2)
        agent = Agent(base, S3(server.endpoint, "bench"), checkpoints=watched, env=machine.env, staging={"keep_free": 0})
        for _ in range(lives):
            with agent.running(), busy():
                # One attempt a life: more would measure the bucket of urgent posts, which refills with two a minute.
                marker, exit_ = _attempt(agent, posts)
                taken["marker"].append(marker)
                taken["exit"].append(exit_)
    return taken


def _attempt(agent: Agent, posts: Posts) -> tuple[float, float]:
    command = agent.argv("exec", "--", sys.executable, "-S", "-c", TRAINING)
    with subprocess.Popen(command, env=agent.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as training:
        posts.wait_for("training")
        time.sleep(random.uniform(*IDLE))
        part = agent.workdir / "complete.part"
        part.write_text("done\n")
        os.rename(part, agent.workdir / "training_complete.txt")
        renamed = time.monotonic()
        marker = posts.wait_for("finishing") - renamed
        time.sleep(random.uniform(*IDLE))
        said, _ = training.communicate(b"\n", timeout=PATIENCE)
        ended = posts.wait_for("finished") - int(said) / 1e9
    time.sleep(random.uniform(*IDLE))
    return 1000 * marker, 1000 * ended
