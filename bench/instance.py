"""An EC2 instance around the agent: moto for EC2, an IMDS, and a gate that reads the clock at every call of EC2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from boto3.session import Session

from runctl_simulator.imds import Identity, ImdsServer
from tests.e2e.gate import Gate, gate
from tests.e2e.moto_server import moto_server
from tests.e2e.seaweed import REGION, S3, SECRET

AMI = "ami-12c6146b"


@dataclass(frozen=True)
class Instance:
    ec2: Gate
    env: dict[str, str]
    """For the agent."""


@contextmanager
def instance(folder: Path) -> Iterator[Instance]:
    """It runs while this lasts."""
    with moto_server(folder) as endpoint, gate(S3(endpoint, "")) as front:
        with closing(Session("admin", SECRET, region_name=REGION).client("ec2", endpoint_url=endpoint)) as ec2:
            (launched,) = ec2.run_instances(ImageId=AMI, MinCount=1, MaxCount=1)["Instances"]
        with ImdsServer(Identity(instance_id=launched["InstanceId"])) as imds:
            env = {
                "AWS_EC2_METADATA_DISABLED": "",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.endpoint,
                "AWS_ENDPOINT_URL_EC2": front.s3.endpoint,
            }
            yield Instance(front, env)
