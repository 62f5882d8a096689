"""The simulated cloud as its users have it: `with Cloud(folder) as cloud: …`.

`cloud.env` is all that a controller needs to take it for AWS; the methods are what happens to it: power
cuts, notices, throttling.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .imds import ScheduledEvent
from .init import Boot
from .seaweed import BUCKET, REGION, SECRET
from .wire import CONTROL

MOTO = {
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    "MOTO_ENABLE_AMI_VALIDATION": "1",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "1",
}
"""moto's own settings, read by it as it is imported: the errors that EC2 has for images and types that are not there."""

_PATIENCE = 60
"""Seconds for an answer: a safety net."""


class CloudError(Exception):
    """The simulator could not do what it was asked; its own words say why."""


class Cloud:
    """A server in a process of its own, with S3 at `s3_endpoint`, else with its own SeaweedFS.

    `grace`: seconds that a training, and then an agent, has to end at a shutdown. `keep`: root disks outlive their instances.
    Raises CloudError if it does not start.
    """

    def __init__(
        self,
        directory: Path,
        *,
        s3_endpoint: str | None = None,
        bucket: str = BUCKET,
        region: str = REGION,
        access_key: str = "admin",
        secret_key: str = SECRET,
        grace: float = 20.0,
        keep: bool = False,
    ) -> None:
        self.directory = directory.absolute()
        self.log = self.directory / "simulator.log"
        self.bucket = bucket
        self.region = region
        self._options = ["--region", region, "--access-key", access_key, "--secret-key", secret_key, "--grace", str(grace)]
        self._options += ["--s3-endpoint", s3_endpoint or ""] + (["--keep"] if keep else [])
        self._process: subprocess.Popen[bytes] | None = None
        self._told: dict[str, Any] = {}

    def __enter__(self) -> Cloud:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "runctl_simulator.server", "--directory", str(self.directory), *self._options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # an interrupt from the terminal is for us, and we end it
                env={name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))} | MOTO,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.stop()
            raise CloudError(f"the simulator did not start: {self.log.read_text(errors='replace')[-3000:]}")
        self._told = json.loads(line)

    def stop(self) -> None:
        """Nothing is left running. Once detached, it has no effect."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None and process.stdout is not None:
            process.stdin.close()
            process.wait()
            process.stdout.close()

    def detach(self) -> int:
        """Leave it running; the pid to send SIGTERM to."""
        self._ask("detach")
        process, self._process = self._process, None
        if process is not None and process.stdin is not None and process.stdout is not None:
            process.stdin.close()
            process.stdout.close()
            process.returncode = 0  # it is nobody's child any more, as far as Popen is concerned
        return self.pid

    # --- what there is ---

    @property
    def pid(self) -> int:
        return int(self._told["pid"])

    @property
    def endpoint(self) -> str:
        """Of every service but S3."""
        return str(self._told["endpoint"])

    @property
    def s3_endpoint(self) -> str:
        return str(self._told["s3_endpoint"])

    @property
    def image_id(self) -> str:
        """Owned by self, tagged `runctl:agent-version`, root device /dev/sda1."""
        return str(self._told["image_id"])

    @property
    def instance_profile(self) -> str:
        return str(self._told["instance_profile"])

    @property
    def env(self) -> dict[str, str]:
        """For a controller, on top of a PATH; where it runs there is no metadata service."""
        return {**self._told["env"], "AWS_EC2_METADATA_DISABLED": "true"}

    def folder(self, instance_id: str) -> Path:
        """With root/ (its disk) and console.log."""
        return self.directory / "instances" / instance_id

    def console(self, instance_id: str) -> str:
        return (self.folder(instance_id) / "console.log").read_text(errors="replace")

    def environment(self, instance_id: str) -> dict[str, str]:
        """What processes on it are given at its last boot."""
        return Boot.read(self.folder(instance_id)).environment

    def processes(self, instance_id: str) -> list[int]:
        """Init first; none if it is off."""
        return list(self._ask("processes", instance_id=instance_id))

    def instance_env(self, variables: Mapping[str, str]) -> None:
        """Further environment of every instance that boots from now on, in place of what was set before."""
        self._ask("instance-env", **variables)

    # --- what happens to a machine ---

    def lose(self, instance_id: str) -> None:
        """The power is cut: every process is gone when this returns, and EC2 shows the instance terminated."""
        self._ask("lose", instance_id=instance_id)

    def reboot(self, instance_id: str) -> None:
        self._ask("reboot", instance_id=instance_id)

    def kill_agent(self, instance_id: str) -> int | None:
        """SIGKILL; init starts it again. Its pid, None if none was running."""
        pid = self._ask("kill-agent", instance_id=instance_id)
        return None if pid is None else int(pid)

    def execute(self, instance_id: str, *command: str) -> None:
        """Start a command on the instance, as a person would who has logged in; what it says goes to the console."""
        self._ask("execute", instance_id=instance_id, command=command)

    # --- notices in its metadata service; times are aware ---

    def interrupt_spot(self, instance_id: str, action: str, at: datetime) -> None:
        """The notice; at its time the instance is stopped or terminated."""
        self._ask("interrupt-spot", instance_id=instance_id, action=action, at=at.isoformat())

    def recommend_rebalance(self, instance_id: str, noticed: datetime) -> None:
        self._ask("recommend-rebalance", instance_id=instance_id, noticed=noticed.isoformat())

    def schedule(self, instance_id: str, *events: ScheduledEvent) -> None:
        plain = [
            {**asdict(event), "not_before": event.not_before.isoformat(), "not_after": event.not_after.isoformat()}
            for event in events
        ]
        self._ask("schedule", instance_id=instance_id, events=plain)

    def withdraw(self, instance_id: str, path: str) -> None:
        """Take back what was set on `imds.SPOT`, REBALANCE or SCHEDULED."""
        self._ask("withdraw", instance_id=instance_id, path=path)

    def fail_imds(self, instance_id: str, status: int, times: int = 1, path: str = "") -> None:
        self._ask("fail-imds", instance_id=instance_id, status=status, times=times, path=path)

    # --- what happens to the API ---

    def throttle(self, action: str, bucket: float, refill: float) -> None:
        """RequestLimitExceeded once `bucket` calls are spent; `refill` a second."""
        self._ask("throttle", action=action, bucket=bucket, refill=refill)

    def unthrottle(self) -> None:
        """Back to AWS's own limits, all unspent."""
        self._ask("unthrottle")

    def deny(self, action: str, code: str = "", message: str = "", status: int = 403) -> None:
        """UnauthorizedOperation for an EC2 or Auto Scaling action, or another error; `*`: for all."""
        self._ask("deny", action=action, code=code, message=message, status=status)

    def allow(self, action: str) -> None:
        self._ask("allow", action=action)

    def exhaust(self, *instance_types: str) -> None:
        """From now on there is no capacity of these types, and of every other there is; no type given: of each."""
        self._ask("exhaust", instance_types=instance_types)

    def delay_tags(self, seconds: float | None = None, *, partial: int = 0) -> None:
        """CreateTags answers at once; its tags are seen `seconds` later (None: at `release_tags`), `partial` keys at once."""
        self._ask("delay-tags", seconds=seconds, partial=partial)

    def release_tags(self) -> int:
        """What is held is seen now; how many calls that were."""
        return int(self._ask("release-tags"))

    def tags_at_once(self) -> None:
        """No more delay, and nothing is held."""
        self._ask("tags-at-once")

    def advance(self, seconds: float) -> None:
        """The simulator's own clock (throttling, hooks, notices, late tags), not that of the instances."""
        self._ask("advance", seconds=seconds)

    def reset(self) -> None:
        """No instance runs and no group is left; the API is as AWS's own again."""
        self._ask("reset")

    def _ask(self, verb: str, **arguments: object) -> Any:
        """Raises CloudError."""
        url = urlsplit(self.endpoint)
        with closing(http.client.HTTPConnection(url.hostname or "", url.port, timeout=_PATIENCE)) as connection:
            connection.request("POST", f"{CONTROL}{verb}", json.dumps(arguments))
            with connection.getresponse() as response:
                status, said = response.status, json.loads(response.read() or b"null")
        if status != 200:
            raise CloudError(str(said))
        return said
