"""The least that the agent's role and the operator's need, as IAM policies. Pure.

Sources: "Actions, resources, and condition keys" of Amazon S3, EC2, EC2 Auto Scaling, IAM, ECR and KMS (Service Authorization
Reference); "IAM JSON policy elements: Condition", "Grant permission to tag Amazon EC2 resources during creation" (EC2 User
Guide); "Pushing a Docker image to an Amazon ECR private repository", "Pulling an image" (Amazon ECR
User Guide).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from runctl_agent.contract.keys import Destination
from runctl_agent.contract.tags import DESTINATION, WANT

Statement = dict[str, Any]


class Policy(TypedDict):
    """As IAM has it ("IAM JSON policy elements reference")."""

    Version: str
    Statement: list[Statement]


OURS = "runctl"
"""What the names of groups and of image repositories begin with, and all of the project's tags."""

SERVICE_ROLES = {
    "autoscaling.amazonaws.com": "AWSServiceRoleForAutoScaling",
    "spot.amazonaws.com": "AWSServiceRoleForEC2Spot",
}
"""AWS makes each by itself, in the name of whoever first creates a group or asks for spot in an account."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a policy holds. `key`: the ARN of the KMS key that encrypts the bucket; empty: S3's own."""

    destination: Destination
    partition: str = "aws"
    key: str = ""

    @property
    def bucket(self) -> str:
        return f"arn:{self.partition}:s3:::{self.destination.bucket}"

    def below(self, *folders: str) -> list[str]:
        """What lies in `folders` of any run; without: everything below the destination. A `*` of the prefix is itself."""
        base = "/".join(filter(None, (self.destination.bucket, _plain(self.destination.prefix))))
        tails = [f"*/{folder}/*" for folder in folders] or ["*"]
        return [f"arn:{self.partition}:s3:::{base}/{tail}" for tail in tails]

    def ec2(self, kind: str) -> str:
        return f"arn:{self.partition}:ec2:*:*:{kind}/*"

    @property
    def groups(self) -> str:
        return f"arn:{self.partition}:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/{OURS}-*"

    @property
    def repositories(self) -> str:
        return f"arn:{self.partition}:ecr:*:*:repository/{OURS}/*"

    def role(self, path: str) -> str:
        return f"arn:{self.partition}:iam::*:role/{path}"

    def profile(self, name: str) -> str:
        return f"arn:{self.partition}:iam::*:instance-profile/{name}"

    def tagged(self, of: str) -> dict[str, Any]:
        """`of`: aws:ResourceTag, what stands there already, or aws:RequestTag, what is asked for now."""
        url = f"s3://{self.destination.bucket}"
        url += f"/{_plain(self.destination.prefix)}" if self.destination.prefix else ""
        return {"StringLike": {f"{of}/{DESTINATION}": [url, f"{url}/*"]}}


def partition_of(region: str) -> str:
    """
    >>> partition_of("eu-central-1"), partition_of("cn-north-1"), partition_of("us-gov-west-1")
    ('aws', 'aws-cn', 'aws-us-gov')
    """
    return {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(region.rpartition("-")[0].rpartition("-")[0], "aws")


def agent(scope: Scope, *, retention: bool, images: bool = False) -> Policy:
    """Of the role in the instance profile. `retention`: it deletes what the run's retention lets go; `images`: it pulls ours."""
    # Which instance asks, and which is tagged: equal only for its own, whatever its account and region.
    own = {"ArnLike": {"ec2:SourceInstanceARN": f"arn:{scope.partition}:ec2:*:*:instance/${{ec2:InstanceID}}"}}
    keys = {"ForAllValues:StringLike": {"aws:TagKeys": f"{OURS}:*"}, "Null": {"aws:TagKeys": "false"}}
    wanted = [
        _list(scope),
        _allow("ReadAndWriteRuns", [*_OBJECTS, "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"], scope.below()),
        *([_delete(scope)] if retention else []),
        _allow("LookForLifecycleRulesThatDelete", ["s3:GetLifecycleConfiguration"], scope.bucket),
        _allow("TagItself", ["ec2:CreateTags"], scope.ec2("instance"), {**own, **keys}),
        _allow("ReadItsTagsAndLaunchTime", ["ec2:DescribeInstances", "ec2:DescribeTags"], "*"),
        _allow("LeaveItsGroup", _LEAVE, scope.groups, scope.tagged("aws:ResourceTag")),
        *([_LOGIN, _allow("PullImages", _PULL, scope.repositories)] if images else []),
    ]
    return _policy(scope, wanted)


def controller(scope: Scope, *, role: str) -> Policy:
    """Of whoever gives the commands. `role` is the agent's, which they may hand to an instance, in a profile of that name."""
    tagging = {"StringEquals": {"ec2:CreateAction": ["CreateLaunchTemplate", "RunInstances"]}}
    ours, asked = scope.tagged("aws:ResourceTag"), scope.tagged("aws:RequestTag")
    only_want = {"ForAllValues:StringEquals": {"aws:TagKeys": WANT}, "Null": {"aws:TagKeys": "false"}}
    templates = scope.ec2("launch-template")
    made = [scope.ec2(kind) for kind in ("instance", "launch-template", "volume")]
    wanted = [
        _list(scope),
        _allow("ReadAndWriteRuns", _OBJECTS, scope.below()),
        _delete(scope, "TakeALaunchBackAndPrune", "run.json", "launch.json"),
        _allow("Look", _LOOK, "*"),
        _allow("Launch", ["ec2:RunInstances"], scope.ec2("instance"), asked),
        _allow("LaunchOutOfThese", ["ec2:RunInstances"], _launched_with(scope)),
        _allow(
            "TagWhatIsLaunched",
            ["ec2:CreateTags"],
            made,
            tagging,
        ),
        _allow("AskAnAgent", ["ec2:CreateTags"], scope.ec2("instance"), {**ours, **only_want}),
        _allow("StopStartAndTerminateRuns", _POWER, scope.ec2("instance"), ours),
        _allow("MakeATemplate", ["ec2:CreateLaunchTemplate"], templates, asked),
        _allow("DeleteATemplate", ["ec2:DeleteLaunchTemplate"], templates, ours),
        _allow("MakeAGroup", ["autoscaling:CreateAutoScalingGroup"], scope.groups, asked),
        _allow("DeleteAGroup", ["autoscaling:DeleteAutoScalingGroup"], scope.groups, ours),
        _allow("SeeThatTheAgentHasARole", ["iam:GetInstanceProfile"], scope.profile(role)),
        _allow("GiveTheAgentItsRole", ["iam:PassRole"], scope.role(role), {"StringEquals": {"iam:PassedToService": _EC2}}),
        _service_roles(scope),
        _LOGIN,
        _allow("PushImages", _PUSH, scope.repositories),
    ]
    return _policy(scope, wanted)


_EC2 = "ec2.amazonaws.com"
_OBJECTS = ["s3:GetObject", "s3:PutObject"]
_LEAVE = [
    "autoscaling:CompleteLifecycleAction",
    "autoscaling:DetachInstances",
    "autoscaling:RecordLifecycleActionHeartbeat",
    "autoscaling:TerminateInstanceInAutoScalingGroup",
]
_LOOK = [
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeScalingActivities",
    "ec2:DescribeAvailabilityZones",
    "ec2:DescribeRegions",
    "ec2:DescribeImages",
    "ec2:DescribeInstanceTypeOfferings",
    "ec2:DescribeInstanceTypes",
    "ec2:DescribeInstances",
    "ec2:DescribeSpotPriceHistory",
    "pricing:GetProducts",
    "servicequotas:GetServiceQuota",
    "sts:DecodeAuthorizationMessage",
]
"""None of these can be narrowed to some resources."""
_PUSH = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:CreateRepository",
    "ecr:DescribeRepositories",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
]
"""Of `docker build --push`, whose repositories are named so (reference.py); one that --tag names has to be allowed by itself."""
_PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
_POWER = ["ec2:StartInstances", "ec2:StopInstances", "ec2:TerminateInstances"]


def _list(scope: Scope) -> Statement:
    """S3 asks for it where a key is missing, too: without it the answer would be that reading is denied."""
    prefix = scope.destination.prefix
    only = {"StringLike": {"s3:prefix": f"{_plain(prefix)}/*"}} if prefix else None
    return _allow("ListRuns", ["s3:ListBucket"], scope.bucket, only)


def _delete(scope: Scope, sid: str = "DeleteByRetention", *documents: str) -> Statement:
    """What retention deletes, and never the spec, the epoch, the pointer or the logs."""
    whole = [f"{scope.below()[0]}/{name}" for name in documents]
    return _allow(sid, ["s3:DeleteObject"], [*scope.below("data", "manifests", "pins"), *whole])


def _launched_with(scope: Scope) -> list[str]:
    own = ("key-pair", "launch-template", "network-interface", "security-group", "subnet", "volume")
    return [f"arn:{scope.partition}:ec2:*::image/*", *map(scope.ec2, own)]


def _service_roles(scope: Scope) -> Statement:
    roles = [scope.role(f"aws-service-role/{service}/{name}") for service, name in SERVICE_ROLES.items()]
    only = {"StringEquals": {"iam:AWSServiceName": list(SERVICE_ROLES)}}
    return _allow("LetAwsMakeItsRoles", ["iam:CreateServiceLinkedRole"], roles, only)


def _policy(scope: Scope, statements: list[Statement]) -> Policy:
    if scope.key:
        statements.append(_allow("UseTheBucketsKey", ["kms:Decrypt", "kms:GenerateDataKey"], scope.key))
    return {"Version": "2012-10-17", "Statement": statements}


def _allow(sid: str, actions: Sequence[str], resources: str | Sequence[str], only: Mapping[str, Any] | None = None) -> Statement:
    where = resources if isinstance(resources, str) else list(resources)
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": where} | (
        {"Condition": dict(only)} if only else {}
    )


def _plain(text: str) -> str:
    """A prefix may have a `*` in it, which IAM would take for anything."""
    return text.replace("*", "${*}")


_LOGIN = _allow("LogInToTheRegistry", ["ecr:GetAuthorizationToken"], "*")
