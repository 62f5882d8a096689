"""The demo itself, act by act: launched, made durable, taken away, lost, finished, compared."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
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
from .verdict import Facts, Interruption

T = TypeVar("T")

TRAIN = Path(__file__).with_name("train.py")
RUN, PREFIX = "demo", "runs"
STEPS, EVERY = 200, 10
CHECKPOINT = "model_step_{}.safetensors"
NOTICED_AFTER = 30
"""The notice comes once this step is safe."""
NOTICE = 9
"""Seconds from the notice to the end of the machine, which the agent wants to have at least."""
PATIENCE = 60.0
"""Seconds to wait for what must come: a safety net."""

SPEC = """\
training: {saves_on_signal: true}  # train.py does: on SIGTERM it writes a last checkpoint
publish: {heartbeat: 1s}  # how often status.json is written, by default every 60s; tags follow twice a minute
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
            noticed = self._notice()
            lost = self._lose()
            return self._finish(noticed, lost)
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
        self._ec2 = session.client("ec2", endpoint_url=self.cloud.endpoint)
        self._stack.callback(self._ec2.close)
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
        options = ("--config", "run.yaml", "--spot", "--recover", "--on-finish", "terminate")
        said = self._commands.run("launch", "train.py", "--run", RUN, *options, "--", *arguments)
        self._arrived(_named(said))
        self._reference = self._stack.enter_context(Reference(self._folder / "uninterrupted", TRAIN, arguments))
        self._until(lambda: NOTICED_AFTER in self._safe(), f"checkpoint of step {NOTICED_AFTER} in S3")

    def _notice(self) -> Interruption:
        self._screen.act(
            "3. A notice",
            f"EC2 takes a spot machine back, and says so {NOTICE} seconds before (the real one: two minutes). The agent lets the",
            "training go on for as long as that loses nothing, then asks it for a last checkpoint. Nobody does anything",
            "here: the group that the launch has made puts another machine in its place.",
        )
        machine = self._machine
        self.cloud.interrupt_spot(machine.id, "terminate", datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=NOTICE))
        self._screen.say(f"It was announced to {machine.id} after step {machine.newest_step()}.")
        self._until(lambda: "interrupted: " in self.cloud.console(machine.id), "interrupted training")
        self._screen.say(f"The training has ended, after step {machine.newest_step()}, with the machine still up:")
        self._commands.run("status", RUN)
        return self._replaced(machine)

    def _lose(self) -> Interruption:
        self._screen.act(
            "4. The machine is lost",
            "The power is about to be cut, without notice: just when the training has finished its next checkpoint. What",
            "is on the disk of the machine and not in S3 yet is then gone for good.",
        )
        machine = self._machine
        self._until(lambda: {step for step in self._safe() if step in machine.steps()}, "commit of the second machine")
        before = machine.checkpoints()
        written = self._until(lambda: machine.checkpoints() - before, "further checkpoint on the disk", pause=0.001)
        self.cloud.lose(machine.id)
        self._screen.say(f"The power of {machine.id} was cut, with the checkpoint of step {max(written)} just")
        self._screen.say("finished on its disk.")
        return self._replaced(machine)

    def _replaced(self, machine: Machine) -> Interruption:
        """The group puts another machine in the place of this one, whose training has ended."""
        newest = self._commits.newest()
        if newest is None:
            raise Unexpected("nothing was committed before the machine was gone")
        self._tell_of_loss(machine, newest.manifest.step)
        self._arrived(min(self._until(lambda: self._living() - {machine.id}, "machine in its place")))
        self._until(self._machine.steps, "training on the new machine")
        step = self._machine.resumed_at()
        went_on = "the training began anew" if step is None else f"restored, the training goes on from step {step}"
        self._screen.say(f"The group has launched {self._machine.id}: {went_on}.")
        return Interruption(machine.newest_step(), newest.manifest.step, step)

    def _tell_of_loss(self, machine: Machine, safe: int) -> None:
        """By a look at the lost disk, which nobody has who loses a real one."""
        reached, unsafe = machine.newest_step(), machine.checkpoints() - self._safe()
        self._screen.say(f"The training had come to step {reached}; the newest checkpoint in S3 is of step {safe}.")
        if unsafe:
            self._screen.say(f"That of step {max(unsafe)} had been finished, but was not committed yet: it is lost.")
        self._screen.say(f"So {reached - safe} steps must be done again, and no more." if reached > safe else "No step is lost.")

    def _finish(self, noticed: Interruption, lost: Interruption) -> Facts:
        self._screen.act("5. The end", "What is left of the training is done on the third machine, which ends by itself.")
        self._commands.run("status", RUN)
        self._commands.run("wait", RUN, "--every", "1s")
        self._screen.act(
            "6. Compare",
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
            noticed=noticed,
            lost=lost,
            pulled=pulled.name,
            last=uninterrupted.name,
            pulled_digest=digests[0],
            uninterrupted_digest=digests[1],
        )

    # --- what they share ---

    @property
    def _machine(self) -> Machine:
        """The present one."""
        return self._machines[-1]

    def _arrived(self, instance_id: str) -> None:
        self._machines.append(Machine(instance_id, self.cloud.folder(instance_id), RUN))

    def _living(self) -> set[str]:
        """The ids of the run's instances that are up, or on their way."""
        found = self._ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}])
        return {one["InstanceId"] for reservation in found["Reservations"] for one in reservation["Instances"]}

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


def _named(said: str) -> str:
    """The instance that a command has told of. Raises Unexpected."""
    found = re.search(r"\bi-[0-9a-f]{17}\b", said)
    if found is None:
        raise Unexpected(f"no instance is named in: {said}")
    return found[0]


def _only(folder: Path) -> Path:
    """What lies in it. Raises Unexpected if that is not one thing."""
    found = sorted(folder.iterdir())
    if len(found) != 1:
        raise Unexpected(f"{folder} should have one checkpoint, and has {[path.name for path in found]}")
    return found[0]
