"""An AWS account in the simulated cloud, by real boto3 clients, with a run spec that the agent attaches by."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import ClientError

from runctl_simulator.cloud import Cloud

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

ONCE = Config(retries={"total_max_attempts": 1})


@dataclass(frozen=True)
class Account:
    """`destination`: where the runs of this test go."""

    cloud: Cloud
    destination: str
    _open: ExitStack = field(default_factory=ExitStack, repr=False)

    @cached_property
    def ec2(self) -> EC2Client:
        client = self._session().client("ec2", endpoint_url=self.cloud.endpoint, config=ONCE)
        self._open.callback(client.close)
        return client

    @cached_property
    def autoscaling(self) -> AutoScalingClient:
        client = self._session().client("autoscaling", endpoint_url=self.cloud.endpoint, config=ONCE)
        self._open.callback(client.close)
        return client

    def _session(self) -> Session:
        env = self.cloud.env
        return Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], region_name=self.cloud.region)

    def close(self) -> None:
        self._open.close()

    def launch(self, *, user_data: str = "", tags: Mapping[str, str] | None = None, **parameters: Any) -> str:
        """The id of a new instance, by default without an agent and with its tags in IMDS."""
        given = {
            "ImageId": self.cloud.image_id,
            "InstanceType": "g5.xlarge",
            "MinCount": 1,
            "MaxCount": 1,
            "UserData": user_data,
            "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
            "TagSpecifications": [{"ResourceType": "instance", "Tags": pairs(tags or {"Name": "a machine"})}],
            **parameters,
        }
        return self.ec2.run_instances(**given)["Instances"][0]["InstanceId"]

    def user_data(self, run: str = "a-run") -> str:
        """With a run spec that attaches to a training, which there is not."""
        spec = {"run": run, "destination": self.destination, "checkpoints": [{"path": "checkpoints"}]}
        content = base64.b64encode(json.dumps(spec).encode()).decode()
        return cloud_config({"path": "/etc/runctl/run.yaml", "permissions": "0600", "encoding": "b64", "content": content})

    def describe(self, id_: str) -> InstanceTypeDef:
        return self.ec2.describe_instances(InstanceIds=[id_])["Reservations"][0]["Instances"][0]

    def state(self, id_: str) -> str:
        return self.describe(id_)["State"]["Name"]

    def tags(self, id_: str) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self.describe(id_).get("Tags", [])}

    def wait_for_state(self, id_: str, state: str) -> None:
        wait_for(lambda: self.state(id_) == state, lambda: f"{self.state(id_)}: {self.cloud.console(id_)}")

    def wait_for_phase(self, id_: str, phase: str) -> None:
        wait_for(lambda: self.tags(id_).get("runctl:phase") == phase, lambda: f"{self.tags(id_)}: {self.cloud.console(id_)}")


def pairs(tags: Mapping[str, str]) -> list[Any]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def cloud_config(*files: dict[str, object]) -> str:
    return "#cloud-config\n" + json.dumps({"write_files": list(files)})


def wait_for(what: Callable[[], object], said: Callable[[], str] = str, seconds: float = 60.0) -> None:
    """Poll; the limit is a safety net and never the thing tested."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, said()
        time.sleep(0.1)


def alive(pid: int) -> bool:
    """A zombie is not: whoever adopts it may take its time."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def gone(pids: list[int]) -> bool:
    return not any(map(alive, pids))


@contextmanager
def refused(code: str, words: str = "") -> Iterator[None]:
    """By an error with this code, as boto3 raises it."""
    with pytest.raises(ClientError) as raised:
        yield
    error = raised.value.response.get("Error", {})
    assert error.get("Code") == code, error
    assert words in error.get("Message", ""), error


def environ(pid: int) -> dict[str, str]:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return dict(part.split("=", 1) for part in os.fsdecode(file.read()).split("\0") if "=" in part)
