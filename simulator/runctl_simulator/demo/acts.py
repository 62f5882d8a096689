"""The demo itself, act by act: launched, made durable, lost, resumed, finished, compared."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TypeVar

from boto3.session import Session

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.summary import size
from runctl_agent.store.s3 import S3Store, connect
from runctl_simulator.cloud import Cloud
from runctl_simulator.image import BIN

from .commands import Commands, Unexpected
from .commits import Commit, Commits
from .machine import Machine
from .reference import Reference, sha256
from .screen import Screen
from .verdict import Facts

T = TypeVar("T")

TRAIN = Path(__file__).with_name("train.py")
RUN, PREFIX = "demo", "runs"
STEPS, EVERY = 160, 10
CHECKPOINT = "model_step_{}.safetensors"
LOST_AFTER = 70
"""The machine is lost with the first checkpoint that is finished after this step is safe."""
PATIENCE = 60.0
"""Seconds to wait for what must come: a safety net."""

SPEC = """\
publish: {heartbeat: 1s}  # how often the state is published; the default, 60s, is for longer trainings
"""


class Demo:
    """One demo in `folder`. Whatever it starts ends with `stack`, but for a cloud that is kept."""

    def __init__(self, folder: Path, seed: int, screen: Screen, stack: ExitStack) -> None:
        self._folder = folder
        self._seed = seed
        self._screen = screen
        self._stack = stack
        self.cloud = Cloud(folder / "cloud", keep=True)
        self._project = folder / "project"
        self._machines: list[Machine] = []
        self.up = False

    @property
    def env(self) -> Mapping[str, str]:
        """What the operator's shell has beside the rest."""
        return {
            **self.cloud.env,
            "PATH": f"{BIN}:{os.environ.get('PATH', os.defpath)}",
            "RUNCTL_DESTINATION": f"s3://{self.cloud.bucket}/{PREFIX}",
            "RUNCTL_INSTANCE_PROFILE": self.cloud.instance_profile,
        }

    def play(self) -> Facts:
        """All acts. Raises Unexpected, CloudError, RunctlError."""
        self._open()
        try:
            self._launch()
            newest = self._lose()
            resumed = self._resume()
            return self._finish(newest, resumed)
        except Unexpected:
            with suppress(Unexpected):
                self._commands.run("status", RUN)  # says why, where the agent knows
            raise

    # --- the acts ---

    def _open(self) -> None:
        self._screen.act(
            "1. A small cloud",
            "A simulated EC2 and a real S3 server (SeaweedFS) are started here; they stand for AWS.",
        )
        self._stack.callback(self.cloud.stop)
        self.cloud.start()
        self.up = True
        self._project.mkdir()
        shutil.copy(TRAIN, self._project / "train.py")
        (self._project / "run.yaml").write_text(SPEC)
        env = {**os.environ, **self.env, "GIT_CEILING_DIRECTORIES": str(self._folder)}
        self._commands = Commands(self._project, env, self._screen)
        session = Session(
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            region_name=self.cloud.region,
        )
        client = connect(self.cloud.region, endpoint=self.cloud.s3_endpoint, session=session)
        self._stack.callback(client.close)
        self._commits = Commits(S3Store(self.cloud.bucket, client=client), Keys(PREFIX, RUN), self._durable)
        self._stack.enter_context(self._commits)
        self._screen.say(f"Both are up, in {self._folder}.")

    def _launch(self) -> None:
        self._screen.act(
            "2. Launch",
            f"A training of {STEPS} steps is launched on a machine of its own. Every {EVERY} steps it writes a checkpoint;",
            "older ones than the last two it deletes. The agent on the machine brings each to S3, verified. How",
            "long that takes, from the last byte on the disk until it is committed, stands in its line below.",
        )
        self._screen.command("cat run.yaml")
        self._screen.output(SPEC.rstrip())
        arguments = ("--steps", str(STEPS), "--seed", str(self._seed))
        said = self._commands.run("launch", "train.py", "--run", RUN, "--config", "run.yaml", "--", *arguments)
        self._arrived(said)
        self._reference = self._stack.enter_context(Reference(self._folder / "uninterrupted", TRAIN, arguments))
        self._until(lambda: LOST_AFTER in self._safe(), f"checkpoint of step {LOST_AFTER} in S3")

    def _lose(self) -> int:
        """The newest step that is safe when the machine is gone."""
        self._screen.act(
            "3. The machine is lost",
            "The power is about to be cut: just when the training has finished its next checkpoint. What is on the",
            "disk of the machine and not in S3 yet is then gone for good. What is still known of the run?",
        )
        machine = self._machines[-1]
        before = machine.checkpoints()
        written = self._until(lambda: machine.checkpoints() - before, "further checkpoint on the disk", pause=0.001)
        self.cloud.lose(machine.id)
        self._screen.say(f"The power of {machine.id} was cut without notice, with the checkpoint of step {max(written)}")
        self._screen.say("just finished on its disk.")
        self._commands.run("status", RUN)
        self._commands.run("wait", RUN, code=11)
        newest = self._commits.newest()
        if newest is None:
            raise Unexpected("nothing was committed before the machine was lost")
        self._tell_of_loss(machine, newest.manifest.step)
        return newest.manifest.step

    def _tell_of_loss(self, machine: Machine, safe: int) -> None:
        """By a look at the lost disk, which nobody has who loses a real one."""
        reached, unsafe = max(machine.steps(), default=safe), machine.checkpoints() - self._safe()
        self._screen.say(f"The training had come to step {reached}; the newest checkpoint in S3 is of step {safe}.")
        if unsafe:
            self._screen.say(f"That of step {max(unsafe)} had been finished, but was not committed yet: it is lost.")
        self._screen.say(f"So {reached - safe} steps must be done again, and no more.")

    def _resume(self) -> int | None:
        """The step at which the second machine's training went on."""
        self._screen.act(
            "4. Resume",
            "The next attempt is launched on a new machine, with an empty disk. Before the training starts, the",
            "agent restores the newest checkpoint that verifies.",
        )
        self._arrived(self._commands.run("resume", RUN))
        machine = self._machines[-1]
        self._until(machine.steps, "training on the second machine")
        step = machine.resumed_at()
        self._screen.say("The training began anew." if step is None else f"Restored: the training goes on from step {step}.")
        self._commands.run("wait", RUN, "--every", "1s")
        return step

    def _finish(self, newest: int, resumed: int | None) -> Facts:
        self._screen.act(
            "5. Compare",
            "The final checkpoint is brought here. The same training, with the same seed, meanwhile ran beside",
            "all this, without any cloud and never interrupted. Both must have the same weights, bit by bit.",
        )
        self._commands.run("pull", RUN, "pulled")
        pulled = _only(self._project / "pulled")
        uninterrupted = self._reference.result(CHECKPOINT.format(STEPS))
        digests = [sha256(path) for path in (pulled, uninterrupted)]
        for digest, path in zip(digests, (pulled, uninterrupted), strict=True):
            self._screen.say(f"SHA-256 {digest}  {path.relative_to(self._folder)}")
        seen, audit = self._commits.seen, self._commits.audit()
        return Facts(
            seen=tuple(commit.key for commit in seen),
            listed=audit.readable + audit.unreadable,
            unreadable=audit.unreadable,
            missing=audit.missing,
            newest_at_loss=newest,
            resumed_at=resumed,
            pulled=pulled.name,
            last=uninterrupted.name,
            pulled_digest=digests[0],
            uninterrupted_digest=digests[1],
        )

    # --- what they share ---

    def _arrived(self, said: str) -> None:
        """A command has told of a new machine."""
        found = re.search(r"\bi-[0-9a-f]{17}\b", said)
        if found is None:
            raise Unexpected(f"no instance is named in: {said}")
        self._machines.append(Machine(found[0], self.cloud.folder(found[0]), RUN))

    def _durable(self, commit: Commit) -> None:
        manifest = commit.manifest
        loss = next((loss for machine in self._machines if (loss := machine.steps().get(manifest.step))), "?")
        self._screen.say(
            f"step {manifest.step:>3}  loss {loss}  {manifest.checkpoint:<26} {size(manifest.size)}"
            f"  safe in S3 after {1000 * commit.latency:.0f} ms"
        )

    def _safe(self) -> frozenset[int]:
        return frozenset(commit.manifest.step for commit in self._commits.seen)

    def _until(self, what: Callable[[], T], name: str, *, pause: float = 0.02) -> T:
        """Look until there is something. Raises Unexpected after `PATIENCE`."""
        deadline = time.monotonic() + PATIENCE
        while not (found := what()):
            if time.monotonic() > deadline:
                raise Unexpected(f"no {name} within {PATIENCE:.0f} s")
            time.sleep(pause)
        return found


def _only(folder: Path) -> Path:
    """What lies in it. Raises Unexpected if that is not one thing."""
    found = sorted(folder.iterdir())
    if len(found) != 1:
        raise Unexpected(f"{folder} should have one checkpoint, and has {[path.name for path in found]}")
    return found[0]
