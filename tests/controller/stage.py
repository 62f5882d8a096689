"""The real `runctl`, in a process of its own, against moto's EC2 and SeaweedFS; and somebody who acts an agent's part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import lru_cache
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.session import Session

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.status import State, encode_state
from runctl_agent.contract.tags import WANT, Want, decode_want, encode
from tests.controller import schemas
from tests.e2e.seaweed import REGION, S3, SECRET

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

SERVICES = ("EC2", "STS", "IAM", "SERVICE_QUOTAS", "PRICING")
"""All that a launch asks, but S3."""

RUNCTL = str(Path(sys.executable).with_name("runctl"))


class Stage:
    """One user with a folder of code, a destination and an image of their own. Names of runs are unique: moto is shared."""

    def __init__(self, folder: Path, s3: S3, endpoint: str, *, image: str = "") -> None:
        self.folder = folder
        self.s3 = s3
        self.run = f"r{uuid.uuid4().hex[:10]}"
        self._open = ExitStack()
        self.ec2 = _ec2(endpoint)
        self._open.callback(self.ec2.close)
        self.image = image or registered_image(self.ec2)
        (folder / "train.py").write_text("print('training')\n")
        self.env = {
            **os.environ,
            **s3.env,
            **{f"AWS_ENDPOINT_URL_{service}": endpoint for service in SERVICES},
            "AWS_EC2_METADATA_DISABLED": "true",
            "RUNCTL_DESTINATION": s3.destination,
            "RUNCTL_INSTANCE_PROFILE": "",
            "RUNCTL_OWNER": "me",
            "GIT_CEILING_DIRECTORIES": str(folder.parent),
        }

    def close(self) -> None:
        self._open.close()

    # --- the commands ---

    def start(
        self, *arguments: str, env: Mapping[str, str | None] | None = None, stderr: int = subprocess.PIPE
    ) -> subprocess.Popen[str]:
        whole = {**self.env, **(env or {})}
        return subprocess.Popen(
            [RUNCTL, *arguments],
            env={name: value for name, value in whole.items() if value is not None},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def command(
        self, *arguments: str, code: int = 0, env: Mapping[str, str | None] | None = None
    ) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments, env=env) as process:
            return ended(process, code)

    def json(self, *arguments: str, code: int = 0, env: Mapping[str, str | None] | None = None) -> dict[str, Any]:
        """The one document on stdout."""
        document: dict[str, Any] = json.loads(self.command(*_with_json(arguments), code=code, env=env).stdout)
        if arguments[0] in schemas.COMMANDS:
            schemas.check(arguments[0], document)
        return document

    def refused(self, *arguments: str, code: int, env: Mapping[str, str | None] | None = None) -> dict[str, Any]:
        """The error: told in three parts on stderr, and as a document."""
        done = self.command(*_with_json(arguments), code=code, env=env)
        document = json.loads(done.stdout)
        schemas.check(schemas.ERROR, document)
        error: dict[str, Any] = document["error"]
        assert error["exit_code"] == code
        assert error["what"] in done.stderr
        assert error["mend"]
        return error

    def launch(self, *arguments: str, run: str = "") -> str:
        """The id of the instance of the stage's own run."""
        told = self.json("launch", "train.py", "--run", run or self.run, "--ami", self.image, *arguments)
        instance: str = told["instance"]
        return instance

    # --- the agent's part ---

    def instance(self, instance_id: str) -> dict[str, Any]:
        (reservation,) = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        return dict(reservation["Instances"][0])

    def tags(self, instance_id: str) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.instance(instance_id)["Tags"]}

    def instances(self, run: str = "") -> list[dict[str, Any]]:
        pages = self.ec2.describe_instances(Filters=[{"Name": "tag:runctl:run", "Values": [run or self.run]}])
        return [dict(one) for batch in pages["Reservations"] for one in batch["Instances"]]

    def state(self, instance_id: str, phase: Phase, **more: Any) -> State:
        """As an agent on this life of the instance would have it, now."""
        launched = int(self.instance(instance_id)["LaunchTime"].timestamp())
        plain: dict[str, Any] = {"generation": 1, "boot_time": launched + 1, "heartbeat": max(int(time.time()), launched + 1)}
        plain |= {"run": self.run, "instance": instance_id, "agent_version": "0.1.0", **more}
        return State(phase=phase, **plain)

    def posts(self, state: State, slot: str = "a") -> None:
        tags = encode(state, slot, int(time.time()))
        self.tag(state.instance, tags)

    def tag(self, instance_id: str, tags: Mapping[str, str]) -> None:
        self.ec2.create_tags(Resources=[instance_id], Tags=[{"Key": key, "Value": value} for key, value in tags.items()])

    def writes_status(self, state: State) -> None:
        with self.s3.store() as store:
            store.put(Keys(self.s3.prefix, state.run).status, encode_state(state))

    def wanted(self, instance_id: str) -> Want:
        """What a command asks, once it does."""
        end = time.monotonic() + 60
        while not (text := self.tags(instance_id).get(WANT)):
            assert time.monotonic() < end, "nothing was asked"
            time.sleep(0.05)
        want = decode_want(text)
        assert isinstance(want, Want)
        return want

    def objects(self) -> list[str]:
        """Everything below the destination, relative to it."""
        with self.s3.store() as store:
            return [key.removeprefix(self.s3.prefix + "/") for key in store.list(self.s3.prefix)]

    def document(self, name: str) -> dict[str, Any]:
        with self.s3.store() as store:
            got = store.get(f"{self.s3.prefix}/{self.run}/{name}")
        assert got is not None
        found: dict[str, Any] = json.loads(got.body)
        return found


@lru_cache(maxsize=4)
def _ec2(endpoint: str) -> EC2Client:
    """Made once: that takes a second of CPU. After it is closed calls open new connections."""
    return Session("admin", SECRET, region_name=REGION).client("ec2", endpoint_url=endpoint)


def ended(process: subprocess.Popen[str], code: int = 0) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=240)
    assert "Traceback" not in err, err
    assert process.returncode == code, f"{process.returncode}, not {code}:\n{out}{err}"
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _with_json(arguments: tuple[str, ...]) -> tuple[str, ...]:
    command, *rest = arguments
    return (command, "--json", *rest)


def registered_image(ec2: EC2Client) -> str:
    """An own image with an agent."""
    made = ec2.register_image(Name=f"runctl-{uuid.uuid4().hex}", RootDeviceName="/dev/sda1", Architecture="x86_64")["ImageId"]
    ec2.create_tags(Resources=[made], Tags=[{"Key": "runctl:agent-version", "Value": "0.1.0"}])
    return made


def read_terminal(screen: FileIO) -> bytes:
    try:
        return screen.read(4096) or b""
    except OSError:  # EIO: nobody has the other end any more
        return b""


def acknowledged(state: State, want: Want, phase: Phase) -> State:
    return replace(state, want=want.nonce, phase=phase, generation=state.generation + 1, heartbeat=state.heartbeat + 1)
