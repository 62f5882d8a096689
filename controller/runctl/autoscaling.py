"""Auto Scaling as the controller needs it, by boto3; every error of botocore leaves here as one of ours.

Sources: CreateAutoScalingGroup, DescribeAutoScalingGroups, DescribeScalingActivities, DeleteAutoScalingGroup (Amazon EC2 Auto
Scaling API Reference).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boto3.session import Session
from botocore.config import Config

from runctl_agent.contract.tags import DESTINATION, RUN

from .ec2 import ATTEMPTS, CONNECT_TIMEOUT, READ_TIMEOUT, Ec2
from .refusals import FOREIGN, Call, code_of, translated

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient


@dataclass(frozen=True, slots=True)
class ScalingGroup:
    """A run's group. `desired` 0: it replaces nothing any more; `deleting`: it is about to go."""

    name: str
    run: str
    destination: str
    desired: int
    instances: tuple[str, ...]
    deleting: bool

    @property
    def replaces(self) -> bool:
        return self.desired > 0 and not self.deleting


class AutoScaling:
    """In the region of `ec2`."""

    def __init__(self, ec2: Ec2) -> None:
        self._ec2 = ec2
        self._made: AutoScalingClient | None = None

    def create(self, request: Mapping[str, Any]) -> None:
        with self._call("CreateAutoScalingGroup", str(request["AutoScalingGroupName"])):
            self._client().create_auto_scaling_group(**request)

    def of(self, run: str, destination: str = "") -> list[ScalingGroup]:
        """The groups of a run, by their tags."""
        found = self._described(f"tag:{RUN}", run)
        return [one for one in found if not destination or one.destination == destination]

    def all(self) -> list[ScalingGroup]:
        """Every group that bears `runctl:run`."""
        return self._described("tag-key", RUN)

    def _described(self, filter_: str, value: str) -> list[ScalingGroup]:
        with self._call("DescribeAutoScalingGroups"):
            paginator = self._client().get_paginator("describe_auto_scaling_groups")
            pages = paginator.paginate(Filters=[{"Name": filter_, "Values": [value]}])
            return [_group(one) for page in pages for one in page["AutoScalingGroups"]]

    def said(self, name: str) -> str:
        """What it last tried and failed at, or is about, for people; empty: nothing."""
        with self._call("DescribeScalingActivities", name):
            found = self._client().describe_scaling_activities(AutoScalingGroupName=name, MaxRecords=1)["Activities"]
        return next((str(one.get("StatusMessage") or one.get("Description") or "") for one in found), "")

    def remove(self, name: str) -> None:
        """With its instances, and without their hooks. One that is gone is no error."""
        with self._call("DeleteAutoScalingGroup", name):
            try:
                self._client().delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
            except FOREIGN as error:
                if code_of(error) != "ValidationError" or "not found" not in str(error):
                    raise

    def _client(self) -> AutoScalingClient:
        if self._made is None:
            config = Config(
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            )
            self._made = Session(region_name=self._ec2.region).client("autoscaling", config=config)
        return self._made

    @contextmanager
    def _call(self, action: str, subject: str = "") -> Iterator[None]:
        region = self._ec2.region
        try:
            yield
        except FOREIGN as error:
            endpoint = self._made.meta.endpoint_url if self._made is not None else ""
            raise translated(error, Call(action, subject, region, endpoint, service="autoscaling")) from error


def _group(described: Mapping[str, Any]) -> ScalingGroup:
    tags = {tag["Key"]: tag.get("Value", "") for tag in described.get("Tags", ())}
    return ScalingGroup(
        name=described["AutoScalingGroupName"],
        run=tags.get(RUN, ""),
        destination=tags.get(DESTINATION, ""),
        desired=int(described["DesiredCapacity"]),
        instances=tuple(one["InstanceId"] for one in described.get("Instances", ())),
        deleting=bool(described.get("Status")),  # only "Delete in progress" stands there
    )
