"""A run on a machine with systemd: what is asked of it, and what is seen of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from runctl_agent.training.record import ExitRecord, decode_record
from tests.e2e.seaweed import S3
from tests.systemd.nspawn import Machine, install

UNIT = "runctl-train.service"
AGENT = "runctl-agent.service"
RUN = "test-run"
END = "/srv/run/work/end"


class Run:
    def __init__(
        self, machine: Machine, s3: S3, *, steps: int = 2, code: int = 0, whole: Mapping[str, Any] | None = None, **training: Any
    ) -> None:
        """`whole`: of the spec, beside its `training`."""
        self.machine = machine
        self.s3 = s3
        self.workdir = machine.shared / "work"
        self.workdir.mkdir()
        os.chown(self.workdir, 4711, 4711)
        shutil.copy(Path(__file__).with_name("trainer.py"), self.workdir / "trainer.py")
        command = ["/usr/bin/python3", "trainer.py", str(steps), END, str(code)]
        spec = {
            "run": RUN,
            "destination": s3.destination,
            "workdir": "/srv/run/work",
            "checkpoints": [{"path": "checkpoints"}],
            "settle": "300ms",
            "training": {"command": command, "user": "trainer", "grace": "20s", **training},
            **(whole or {}),
        }
        install(machine, yaml.safe_dump(spec), {**s3.env, "AWS_EC2_METADATA_DISABLED": "true"})
        machine.run("systemctl", "start", AGENT)

    def status(self) -> dict[str, Any]:
        path = self.machine.file("/var/lib/runctl/status.json")
        return json.loads(path.read_text()) if path.exists() else {"phase": "starting"}

    def until(self, **wanted: Any) -> dict[str, Any]:
        """The status once it has all of `wanted`."""
        self.machine.until(lambda: wanted.items() <= self.status().items())
        return self.status()

    def training(self, commits: int = 2) -> dict[str, Any]:
        return self.until(phase="training", commits=commits)

    def told_in_s3(self) -> dict[str, Any]:
        with self.s3.store() as store:
            got = store.get(f"{self.s3.prefix}/{RUN}/status.json")
        assert got is not None
        return dict(json.loads(got.body))

    def end(self) -> None:
        (self.workdir / "end").touch()

    def log(self) -> str:
        return (self.workdir / "training.log").read_text()

    def record(self) -> ExitRecord:
        found = decode_record(self.machine.file(f"/var/lib/runctl/exit-{RUN}.json").read_bytes())
        assert isinstance(found, ExitRecord), found
        return found

    def cgroup(self, pid: int) -> set[str]:
        """Of the machine's process `pid`, in systemd's hierarchy, v1 or v2."""
        lines = [line.split(":", 2) for line in self.machine.file(f"/proc/{pid}/cgroup").read_text().splitlines()]
        return {path for _, name, path in lines if name in ("", "name=systemd")}
