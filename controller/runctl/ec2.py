"""EC2 as the controller needs it, by boto3; every error of botocore leaves here as one of ours.

Sources: DescribeInstances, DescribeImages, RunInstances, CreateTags, StopInstances, StartInstances, TerminateInstances,
CreateLaunchTemplate, DeleteLaunchTemplate, DescribeAvailabilityZones, DescribeRegions, DescribeInstanceTypes,
DescribeInstanceTypeOfferings, DescribeSpotPriceHistory (Amazon EC2 API Reference).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import botocore.session
from boto3.session import Session
from botocore.config import Config

from runctl_agent.errors import RefusedError, RunctlError

from .denial import encoded, told
from .refusals import DRY_RUN, FOREIGN, Call, code_of, message_of, translated

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0
ATTEMPTS = 3
"""Inside one call; RunInstances has a ClientToken, the rest may be done twice."""
READ = """
InstanceId InstanceType ImageId InstanceLifecycle State StateReason StateTransitionReason LaunchTime Placement Tags ClientToken
"""
"""What is read of an instance: `machine_of` in fleet.py."""
PAGE = 1000
"""The most that EC2 puts into one ("MaxResults", DescribeInstances)."""


class Ec2:
    """One region. `region`: default AWS_REGION, else what the SDK's own settings say."""

    def __init__(self, region: str = "") -> None:
        self._wanted = region or os.environ.get("AWS_REGION") or None  # boto3 itself reads only AWS_DEFAULT_REGION
        self._session: Session | None = None
        self._made: EC2Client | None = None
        self._impatient: EC2Client | None = None
        self._known: bool | None = None

    def of_region(self, region: str) -> Ec2:
        """Another region, by what is loaded already: the model of EC2 takes long. Not from several threads."""
        found = Ec2(region)
        found._session = self._session
        found._client("")
        return found

    def regions(self) -> list[str]:
        """Every region that the account uses."""
        with self._call("DescribeRegions"):
            return [one["RegionName"] for one in self._client("DescribeRegions").describe_regions()["Regions"]]

    @property
    def region(self) -> str:
        return self._client("").meta.region_name

    def instances(self, filters: Mapping[str, Sequence[str]]) -> list[Mapping[str, Any]]:
        """Every instance that matches all of `filters`, as DescribeInstances writes it: one call, paginated."""
        plain = [{"Name": name, "Values": list(values)} for name, values in filters.items()]
        return self._described(Filters=plain, PaginationConfig={"PageSize": PAGE})

    def instance(self, instance_id: str) -> Mapping[str, Any]:
        """Raises NotFoundError."""
        return self._described(instance_id, InstanceIds=[instance_id])[0]

    def images(self, *, ids: Sequence[str] = (), tag: str = "") -> list[Mapping[str, Any]]:
        """Those of `ids`, which may be anybody's, or the own ones that bear `tag` and are available."""
        wanted: dict[str, Any] = {"ImageIds": list(ids)}
        if tag:
            filters = [{"Name": "tag-key", "Values": [tag]}, {"Name": "state", "Values": ["available"]}]
            wanted = {"Owners": ["self"], "Filters": filters}
        with self._call("DescribeImages", " ".join(ids)):
            return [dict(image) for image in self._client("DescribeImages").describe_images(**wanted)["Images"]]

    def rehearse(self, request: Mapping[str, Any]) -> None:
        """Ask whether `run` would be allowed and the request is sound; nothing is launched."""
        with self._call("RunInstances"):
            try:
                self._client("RunInstances").run_instances(**request, DryRun=True)
            except FOREIGN as error:
                if code_of(error) != DRY_RUN:
                    raise

    def run(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The one instance that was launched, asked for once. Raises Unavailable also where only the answer was lost."""
        with self._call("RunInstances"):
            return dict(self._once().run_instances(**request)["Instances"][0])

    def create_template(self, name: str, data: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        with self._call("CreateLaunchTemplate", name):
            wanted: Any = dict(data)
            own: Any = [{"ResourceType": "launch-template", "Tags": [{"Key": key, "Value": tags[key]} for key in tags]}]
            self._client("CreateLaunchTemplate").create_launch_template(
                LaunchTemplateName=name, LaunchTemplateData=wanted, TagSpecifications=own
            )

    def delete_template(self, name: str) -> None:
        """One that is gone is no error."""
        with self._call("DeleteLaunchTemplate", name):
            try:
                self._client("DeleteLaunchTemplate").delete_launch_template(LaunchTemplateName=name)
            except FOREIGN as error:
                if not code_of(error).startswith("InvalidLaunchTemplateName.NotFound"):
                    raise

    def zones(self) -> list[str]:
        """Every availability zone of the region that takes instances without further ado."""
        own: Any = [{"Name": "opt-in-status", "Values": ["opt-in-not-required"]}, {"Name": "state", "Values": ["available"]}]
        with self._call("DescribeAvailabilityZones"):
            found = self._client("DescribeAvailabilityZones").describe_availability_zones(Filters=own)
            return [zone["ZoneName"] for zone in found["AvailabilityZones"]]

    def types(self, *names: str) -> list[Mapping[str, Any]]:
        """Those of `names`, which may have wildcards, that the region has, as DescribeInstanceTypes writes them."""
        wanted: Any = [{"Name": "instance-type", "Values": list(names)}]
        with self._call("DescribeInstanceTypes", " ".join(names)):
            pages = self._client("DescribeInstanceTypes").get_paginator("describe_instance_types").paginate(Filters=wanted)
            return [dict(one) for page in pages for one in page["InstanceTypes"]]

    def zones_with(self, instance_type: str) -> list[str]:
        """The availability zones that have the type, whether or not there is capacity."""
        wanted: Any = [{"Name": "instance-type", "Values": [instance_type]}]
        with self._call("DescribeInstanceTypeOfferings", instance_type):
            client = self._client("DescribeInstanceTypeOfferings")
            found = client.describe_instance_type_offerings(LocationType="availability-zone", Filters=wanted)
            return sorted(one["Location"] for one in found["InstanceTypeOfferings"])

    def spot_prices(self, names: Sequence[str], now: datetime) -> list[Mapping[str, Any]]:
        """What stands now, of each type in each zone: DescribeSpotPriceHistory, from `now` on."""
        wanted: Any = list(names)
        with self._call("DescribeSpotPriceHistory", " ".join(names)):
            client = self._client("DescribeSpotPriceHistory")
            pages = client.get_paginator("describe_spot_price_history").paginate(
                InstanceTypes=wanted, ProductDescriptions=["Linux/UNIX"], StartTime=now
            )
            return [dict(one) for page in pages for one in page["SpotPriceHistory"]]

    def tag(self, instance_id: str, key: str, value: str) -> None:
        with self._call("CreateTags", instance_id):
            self._client("CreateTags").create_tags(Resources=[instance_id], Tags=[{"Key": key, "Value": value}])

    def stop(self, instance_id: str) -> None:
        with self._call("StopInstances", instance_id):
            self._client("StopInstances").stop_instances(InstanceIds=[instance_id])

    def start(self, instance_id: str) -> None:
        with self._call("StartInstances", instance_id):
            self._client("StartInstances").start_instances(InstanceIds=[instance_id])

    def terminate(self, instance_id: str) -> None:
        with self._call("TerminateInstances", instance_id):
            self._client("TerminateInstances").terminate_instances(InstanceIds=[instance_id])

    def _described(self, subject: str = "", **options: Any) -> list[Mapping[str, Any]]:
        with self._call("DescribeInstances", subject):
            pages = self._client("DescribeInstances").get_paginator("describe_instances").paginate(**options)
            return [dict(one) for page in pages for batch in page["Reservations"] for one in batch.get("Instances", ())]

    def _client(self, action: str) -> EC2Client:
        """Made at the first call: what can't be made is that call's error."""
        if self._made is None:
            config = Config(
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            )
            try:
                session = self._session = self._session or Session(botocore_session=_core(), region_name=self._wanted)
                self._known = (self._wanted or session.region_name) in session.get_available_regions("ec2")
                self._made = _sparing(session.client("ec2", region_name=self._wanted, config=config))
            except FOREIGN as error:
                raise translated(error, Call(action or "DescribeInstances", region=self._wanted or "")) from error
        return self._made

    def _once(self) -> EC2Client:
        """Without the SDK's retries: it takes no capacity, which is a 500, for something that passes."""
        if self._impatient is None:
            config = Config(connect_timeout=CONNECT_TIMEOUT, read_timeout=READ_TIMEOUT, retries={"total_max_attempts": 1})
            self._impatient = Session(region_name=self.region).client("ec2", config=config)
        return self._impatient

    @contextmanager
    def _call(self, action: str, subject: str = "") -> Iterator[None]:
        client = self._client(action)
        try:
            yield
        except FOREIGN as error:
            meta = client.meta
            call = Call(action, subject, meta.region_name, meta.endpoint_url, bool(self._known))
            refused = translated(error, call)
            raise self._decoded(refused, encoded(message_of(error))) from error

    def _decoded(self, refused: RunctlError, message: str) -> RunctlError:
        """A denial in which EC2 says more, to whoever may have it decoded."""
        if not message or not isinstance(refused, RefusedError):
            return refused
        from .beside import Beside  # which needs half a second, and only here

        return told(refused, message, Beside(self.region).decoded)


def _core() -> botocore.session.Session:
    """A session whose times the standard library reads: dateutil takes a fifth of all the time of 10,000 instances."""
    core = botocore.session.get_session()
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=datetime.fromisoformat)
    return core


def _sparing(client: EC2Client) -> EC2Client:
    """The rest of an instance is not parsed: of 10,000 that is half of all the time."""
    answer: Any = client.meta.service_model.operation_model("DescribeInstances").output_shape
    members = answer.members["Reservations"].member.members["Instances"].member.members
    for name in set(members) - set(READ.split()):
        del members[name]
    return client
