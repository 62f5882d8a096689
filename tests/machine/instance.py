"""An EC2 instance: launched by `runctl launch`, booted by systemd and cloud-init, on a disk that outlives its boots."""

from __future__ import annotations

import base64
import fcntl
import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Manifest
from runctl_simulator.imds import Identity, ImdsServer
from tests.controller.stage import Stage
from tests.e2e.committed import committed
from tests.e2e.seaweed import REGION, S3
from tests.machine.disk import disk
from tests.machine.image import EC2, Image, mounts
from tests.machine.network import Network, network
from tests.systemd.nspawn import Machine, running

AGENT, TRAIN = "runctl-agent.service", "runctl-train.service"
TRAINER = Path(__file__).with_name("trainer.py")
SPEC = """
settle: 300ms
publish: {heartbeat: 1s}
training: {saves_on_signal: true, grace: 20s}
"""
DROP_INS = "etc/systemd/system/runctl-agent.service.d"
LARGE, SENT, SLOW = 96 * 2**20, 24 * 2**20, 12_000_000
"""Bytes of a checkpoint, of it that are in S3 when something happens, and per second until then."""


class Instance:
    def __init__(
        self, id_: str, folder: Path, image: Image, s3: S3, stage: Stage, wire: Network, imds: ImdsServer, root: Path
    ) -> None:
        self.id = id_
        self.folder = folder
        self.image = image
        self.s3 = s3
        self.stage = stage
        self.wire = wire
        self.imds = imds
        self.root = root
        self._machine: Machine | None = None

    @contextmanager
    def booted(self) -> Iterator[Machine]:
        """Power on; at the end of this the power is gone."""
        boot = {"RUNCTL_BOOT_ID": str(uuid.uuid4()), "RUNCTL_BOOT_TIME": str(int(time.time()))}
        self.environment("boot", boot)
        network = f"--network-namespace-path={self.wire.path}"
        with running(self.root, self.image.given, self.folder / "console", network, *mounts()) as self._machine:
            yield self._machine

    @property
    def machine(self) -> Machine:
        assert self._machine is not None
        return self._machine

    def environment(self, name: str, variables: Mapping[str, str]) -> None:
        """Of the agent, from its next start on."""
        self.drop_in(name, *(f'Environment="{key}={value}"' for key, value in variables.items()))

    def drop_in(self, name: str, *lines: str) -> None:
        folder = self.root / DROP_INS
        (folder / f"50-{name}.conf").write_text("\n".join(("[Service]", *lines, "")))

    # --- the training ---

    @property
    def workdir(self) -> Path:
        return self.root / "home/trainer" / self.stage.run

    def save(self, step: int, size: int = 1000) -> None:
        """The training saves, and has when this returns."""
        self.ask("save", str(size))
        assert (self.workdir / "checkpoints" / f"model_step_{step}.pt").exists()

    def ask(self, what: str, how: str = "") -> None:
        """It has been tried when this returns."""
        self.write_down(how)
        self.ask_as_written(what)

    def write_down(self, how: str) -> None:
        (self.workdir / "part").write_text(how)

    def ask_as_written(self, what: str) -> None:
        asked = self.workdir / "asked" / what
        (self.workdir / "part").rename(asked)
        self.until(lambda: what == "end" or not asked.exists())

    def uploading(self, step: int) -> int:
        """The training saves LARGE, on a slow wire, and a part of it is in S3: how much."""
        self.wire.slow(SLOW)
        self.save(step, LARGE)
        self.until(lambda: self.status().get("sending") == f"model_step_{step}.pt" and self.status()["sent_bytes"] >= SENT)
        return int(self.status()["sent_bytes"])

    def trainer(self) -> tuple[int, str]:
        """Its pid there, and when it began, in ticks: proc_pid_stat(5)."""
        pid = int((self.workdir / "training.pid").read_text())
        return pid, self.machine.file(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]

    def log(self) -> str:
        return (self.workdir / "training.log").read_text()

    # --- what is seen of it ---

    def until(self, what: Callable[[], object]) -> None:
        """The limit is a safety net and never the thing tested."""
        self.machine.until(lambda: bool(what()))

    def status(self) -> dict[str, Any]:
        """Of the agent's own file."""
        with suppress(FileNotFoundError):
            return dict(json.loads((self.root / "var/lib/runctl/status.json").read_text()))
        return {}

    def state(self) -> dict[str, Any]:
        """As it stands in S3."""
        with self.s3.store() as store:
            got = store.get(Keys(self.s3.prefix, self.stage.run).status)
        return dict(json.loads(got.body)) if got is not None else {}

    def tags(self) -> dict[str, str]:
        return self.stage.tags(self.id)

    def committed(self) -> list[Manifest]:
        """In the order in which they were finished."""
        return sorted(committed(self.s3, self.stage.run), key=lambda one: (one.epoch, one.seq))

    def names(self) -> list[str]:
        return [one.checkpoint for one in self.committed()]

    def until_committed(self, *steps: int) -> dict[str, Any]:
        """All of these in this order, each once, and nothing else; the newest is the one to be restored."""
        names = [f"model_step_{step}.pt" for step in steps]
        self.until(lambda: self.status().get("checkpoint") == names[-1] and self.status().get("pending_checkpoints") == 0)
        found = self.committed()
        assert [one.checkpoint for one in found] == names
        assert all(one.complete for one in found)
        latest = self.stage.document("latest.json")
        assert (latest["checkpoint"], latest["step"]) == (names[-1], steps[-1])
        return self.status()

    def agent(self) -> int:
        """Its pid there; 0: none."""
        return int(self._shown("MainPID") or 0)

    def starting(self) -> bool:
        return self._shown("ActiveState") == "activating"

    def ready(self) -> bool:
        return self._shown("ActiveState") == "active"

    def _shown(self, name: str) -> str:
        """Of its unit; empty where systemd does not answer yet."""
        return self.machine.run("systemctl", "show", AGENT, f"--property={name}", "--value", check=False)

    def restarted(self, before: int) -> float:
        """Seconds until another agent is READY, from the call on."""
        began = time.monotonic()
        self.until(lambda: self.agent() not in (0, before))
        self.until(self.ready)
        return time.monotonic() - began

    def told(self) -> str:
        return self.machine.told()

    def clock(self, machine: Machine) -> float:
        """Seconds since its pid 1 began."""
        return time.monotonic() - self.booted_at(machine)

    @staticmethod
    def booted_at(machine: Machine) -> float:
        """By the clock that it has of this host: CLOCK_MONOTONIC."""
        return int(machine.run("systemctl", "show", "--property=UserspaceTimestampMonotonic", "--value")) / 1e6

    # --- what must not exist ---

    def left(self) -> list[str]:
        """Half of anything: uploads in S3, locks that somebody holds."""
        return self.uploads() + self._locks()

    def uploads(self) -> list[str]:
        client = self.s3.client()
        found = client.list_multipart_uploads(Bucket=self.s3.bucket, Prefix=f"{self.s3.prefix}/{self.stage.run}/")
        return [one["Key"] for one in found.get("Uploads", ())]

    def _locks(self) -> list[str]:
        held = []
        for lock in sorted(self.machine.file("/run/runctl/locks").glob("*.lock")):
            with lock.open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    held.append(lock.name)
        return held


def launched(stage: Stage, folder: Path, *options: str) -> str:
    """By the real command; the id of the instance."""
    (stage.folder / "train.py").write_text(TRAINER.read_text())
    (stage.folder / "run.yaml").write_text(SPEC)
    return stage.launch("--config", "run.yaml", *options)


@contextmanager
def instance(folder: Path, image: Image, s3: S3, stage: Stage, *options: str, size: str = "1g") -> Iterator[Instance]:
    """Launched, and not booted. `options` of the launch; `size` of its disk."""
    id_ = launched(stage, folder, *options)
    described = stage.ec2.describe_instance_attribute(InstanceId=id_, Attribute="userData")["UserData"]["Value"]
    life_cycle = "spot" if "--spot" in options else "on-demand"
    with (
        ImdsServer(
            Identity(instance_id=id_, region=REGION),
            life_cycle=life_cycle,
            live_tags=lambda: stage.tags(id_),
            user_data=base64.b64decode(described).decode(),
        ) as imds,
        network(int(imds.endpoint.rpartition(":")[2])) as wire,
        disk(image.layers, folder / "disk", size) as root,
    ):
        (root / EC2).write_text(f"ec2{str(uuid.uuid4())[3:]}\n")
        made = Instance(id_, folder, image, s3, stage, wire, imds, root)
        environ = {**s3.env, "AWS_ENDPOINT_URL_EC2": stage.env["AWS_ENDPOINT_URL_EC2"]}
        made.environment("aws", {name: value.replace("127.0.0.1", wire.gateway) for name, value in environ.items()})
        yield made


def tell(fault: str, **figures: float | str) -> None:
    """One line of the report."""
    shown = (f"{value:.1f} s" if isinstance(value, float) else value for value in figures.values())
    print(f"{fault}: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in zip(figures, shown, strict=True)))
