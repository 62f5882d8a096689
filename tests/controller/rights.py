"""Which rights each call of the code takes, on what, and with what in the request. A call that is not here has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from runctl import recovering
from runctl.image import Image
from runctl.launched import Launched
from runctl.request import request
from runctl_agent.contract.spec import Spec, Watched
from runctl_agent.contract.tags import AGENT_KEYS, WANT
from tests.controller.verdicts import Context

URL = "s3://ckpt/team/runs"
BUCKET = "arn:aws:s3:::ckpt"
BELOW = f"{BUCKET}/team/runs"
OBJECT = f"{BELOW}/llama-7b/data/000001-00000001/model.pt/model.pt"
SPEC = Spec(run="llama-7b", destination=URL, checkpoints=(Watched("checkpoints"),))
LAUNCHED = Launched("g5.xlarge", profile="runctl-agent", spot=True, owner="me", recover=True, token="t")
OWN, OTHER = "i-00000000000000001", "i-00000000000000002"
REPOSITORY = "arn:aws:ecr:us-east-1:111122223333:repository/runctl/train"
GROUP = recovering.group_name(SPEC.run, URL)


class Right(NamedTuple):
    action: str
    resource: str
    context: Context = {}  # noqa: RUF012 - nobody changes it


def ec2(kind: str, name: str = "x") -> str:
    return f"arn:aws:ec2:us-east-1:111122223333:{kind}/{name}"


def group(name: str) -> str:
    return f"arn:aws:autoscaling:us-east-1:111122223333:autoScalingGroup:0e5f:autoScalingGroupName/{name}"


def asked(tags: Sequence[Mapping[str, str]]) -> Context:
    """What a request brings along that tags what it makes."""
    return {**{f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tags}, "aws:TagKeys": [tag["Key"] for tag in tags]}


def standing(url: str = URL) -> Context:
    """What is known of a resource that was launched so."""
    return {"aws:ResourceTag/runctl:run": SPEC.run, "aws:ResourceTag/runctl:destination": url}


def tagging(keys: Sequence[str], *, asks: str = OWN, tagged: str = OWN) -> Context:
    return {
        "aws:TagKeys": list(keys),
        "ec2:SourceInstanceARN": ec2("instance", asks),
        "ec2:InstanceID": tagged,
    }


def specifications() -> dict[str, Sequence[Mapping[str, str]]]:
    """The tags of each kind of resource that the real request of a launch asks for."""
    made: Mapping[str, Any] = request(SPEC, f"{URL}/llama-7b/run.json", LAUNCHED, Image("ami-1", "/dev/sda1", 8, "0.1.0"))
    return {one["ResourceType"]: one["Tags"] for one in made["TagSpecifications"]}


def listing(prefix: str) -> Right:
    return Right("s3:ListBucket", BUCKET, {"s3:prefix": prefix})


READ = Right("s3:GetObject", OBJECT)
WRITE = Right("s3:PutObject", OBJECT)
LIST = listing("team/runs/llama-7b/manifests/")

S3: dict[str, list[Right]] = {
    "abort_multipart_upload": [Right("s3:AbortMultipartUpload", OBJECT)],
    "complete_multipart_upload": [WRITE],
    "create_multipart_upload": [WRITE],
    "delete_object": [Right("s3:DeleteObject", f"{BELOW}/llama-7b/{one}") for one in ("data/1", "manifests/1", "pins/1")],
    "get_bucket_lifecycle_configuration": [Right("s3:GetLifecycleConfiguration", BUCKET)],
    "get_object": [READ, Right("s3:GetObject", f"{BELOW}/code/1.tar.gz")],
    "head_bucket": [],  # for the server's clock: a refusal tells it as well
    "head_object": [READ, listing("team/runs/llama-7b/latest.json")],
    "list_objects_v2": [LIST, listing("team/runs/")],
    "list_parts": [Right("s3:ListMultipartUploadParts", OBJECT)],
    "put_object": [WRITE],
    "upload_part": [WRITE],
    "upload_part_copy": [READ, WRITE],
}

_LEAVING = {
    "complete_lifecycle_action": "CompleteLifecycleAction",
    "detach_instances": "DetachInstances",
    "record_lifecycle_action_heartbeat": "RecordLifecycleActionHeartbeat",
    "terminate_instance_in_auto_scaling_group": "TerminateInstanceInAutoScalingGroup",
}

AGENT: dict[str, list[Right]] = S3 | {
    "create_tags": [Right("ec2:CreateTags", ec2("instance", OWN), tagging(AGENT_KEYS))],
    "describe_instances": [Right("ec2:DescribeInstances", "*")],
    "describe_tags": [Right("ec2:DescribeTags", "*")],
    **{
        name: [Right(f"autoscaling:{''.join(map(str.capitalize, name.split('_')))}", group(GROUP), standing())]
        for name in _LEAVING
    },
}

_INSTANCE, _VOLUME = specifications()["instance"], specifications()["volume"]
_TEMPLATE = [{"Key": key, "Value": value} for key, value in recovering.known(SPEC, "me").items()]
_GROUP = recovering.group(SPEC, LAUNCHED, GROUP, ["us-east-1a"])["Tags"]


def created(kind: str, by: str, tags: Sequence[Mapping[str, str]]) -> Right:
    return Right("ec2:CreateTags", ec2(kind), {**asked(tags), "ec2:CreateAction": by})


def _on_runs(action: str) -> list[Right]:
    return [Right(f"ec2:{action}", ec2("instance", OWN), standing())]


CONTROLLER: dict[str, list[Right]] = {
    "create_auto_scaling_group": [Right("autoscaling:CreateAutoScalingGroup", group(GROUP), asked(_GROUP))],
    "create_launch_template": [
        Right("ec2:CreateLaunchTemplate", ec2("launch-template"), asked(_TEMPLATE)),
        created("launch-template", "CreateLaunchTemplate", _TEMPLATE),
    ],
    "create_repository": [Right("ecr:CreateRepository", REPOSITORY)],
    "create_tags": [Right("ec2:CreateTags", ec2("instance", OWN), {**standing(), "aws:TagKeys": [WANT]})],
    "delete_auto_scaling_group": [Right("autoscaling:DeleteAutoScalingGroup", group(GROUP), standing())],
    "delete_launch_template": [Right("ec2:DeleteLaunchTemplate", ec2("launch-template"), standing())],
    "describe_auto_scaling_groups": [Right("autoscaling:DescribeAutoScalingGroups", "*")],
    "describe_availability_zones": [Right("ec2:DescribeAvailabilityZones", "*")],
    "describe_regions": [Right("ec2:DescribeRegions", "*")],
    "describe_images": [Right("ec2:DescribeImages", "*")],
    "decode_authorization_message": [Right("sts:DecodeAuthorizationMessage", "*")],
    "describe_instance_type_offerings": [Right("ec2:DescribeInstanceTypeOfferings", "*")],
    "describe_instance_types": [Right("ec2:DescribeInstanceTypes", "*")],
    "describe_instances": [Right("ec2:DescribeInstances", "*")],
    "describe_repositories": [Right("ecr:DescribeRepositories", REPOSITORY)],
    "describe_scaling_activities": [Right("autoscaling:DescribeScalingActivities", "*")],
    "get_authorization_token": [Right("ecr:GetAuthorizationToken", "*")],
    "describe_spot_price_history": [Right("ec2:DescribeSpotPriceHistory", "*")],
    "get_caller_identity": [],  # needs none: GetCallerIdentity (AWS STS API Reference)
    "get_instance_profile": [Right("iam:GetInstanceProfile", "arn:aws:iam::111122223333:instance-profile/runctl-agent")],
    "get_products": [Right("pricing:GetProducts", "*")],
    "get_service_quota": [Right("servicequotas:GetServiceQuota", "*")],
    "head_bucket": [],  # for the bucket's region: a refusal tells it as well
    "list_objects_v2": S3["list_objects_v2"],
    "run_instances": [
        Right("ec2:RunInstances", ec2("instance", "*"), asked(_INSTANCE)),
        Right("ec2:RunInstances", "arn:aws:ec2:us-east-1::image/ami-1"),
        *(
            Right("ec2:RunInstances", ec2(kind))
            for kind in ("key-pair", "launch-template", "network-interface", "security-group", "subnet", "volume")
        ),
        created("instance", "RunInstances", _INSTANCE),
        created("volume", "RunInstances", _VOLUME),
        Right("iam:PassRole", "arn:aws:iam::111122223333:role/runctl-agent", {"iam:PassedToService": "ec2.amazonaws.com"}),
    ],
    "start_instances": _on_runs("StartInstances"),
    "stop_instances": _on_runs("StopInstances"),
    "terminate_instances": _on_runs("TerminateInstances"),
}

BY_THE_STORE: dict[str, list[Right]] = {
    "delete_object": [
        *S3["delete_object"],
        *(Right("s3:DeleteObject", f"{BELOW}/llama-7b/{one}.json") for one in ("run", "launch")),
    ],
    "get_object": S3["get_object"],
    "head_object": S3["head_object"],
    "put_object": [WRITE, Right("s3:PutObject", f"{BELOW}/code/1.tar.gz")],
}
"""What the controller asks of S3 by the agent's store (runctl_agent.store.s3)."""

_ROLES = {"autoscaling": "AWSServiceRoleForAutoScaling", "spot": "AWSServiceRoleForEC2Spot"}
BY_AWS: list[Right] = [
    Right(
        "iam:CreateServiceLinkedRole",
        f"arn:aws:iam::111122223333:role/aws-service-role/{service}.amazonaws.com/{name}",
        {"iam:AWSServiceName": f"{service}.amazonaws.com"},
    )
    for service, name in _ROLES.items()
]
"""No call of ours: AWS makes these roles in the name of who first needs them."""

BY_DOCKER = [
    Right(f"ecr:{name}", REPOSITORY)
    for name in (
        "BatchCheckLayerAvailability",
        "BatchGetImage",
        "CompleteLayerUpload",
        "InitiateLayerUpload",
        "PutImage",
        "UploadLayerPart",
    )
]
"""No call of ours: what `docker push` does there ("Pushing a Docker image to an Amazon ECR private repository")."""
