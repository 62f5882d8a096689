"""The policies of `runctl iam`: every call of the code is allowed, its neighbours are not, and nothing is allowed in vain."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runctl.policies import Policy, Scope, agent, controller
from runctl_agent.contract.keys import read_destination
from runctl_agent.contract.tags import AGENT_KEYS, WANT
from tests.controller.called import calls
from tests.controller.rights import (
    AGENT,
    BELOW,
    BUCKET,
    BY_AWS,
    BY_DOCKER,
    BY_THE_STORE,
    CONTROLLER,
    GROUP,
    OBJECT,
    OTHER,
    OWN,
    REPOSITORY,
    URL,
    Right,
    asked,
    ec2,
    group,
    listing,
    standing,
    tagging,
)
from tests.controller.stage import RUNCTL
from tests.controller.verdicts import actions, allowed

SCOPE = Scope(read_destination(URL))
KEY = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
AGENTS = agent(SCOPE, retention=True)
OPERATORS = controller(SCOPE, role="runctl-agent")
LONGEST_MANAGED = 6144
"""Characters, white space not counted ("IAM and AWS STS quotas")."""


@pytest.mark.parametrize(("folder", "known"), [("agent", AGENT), ("controller", CONTROLLER)])
def test_the_rights_of_every_call_are_known(folder: str, known: dict[str, list[Right]]) -> None:
    found = calls(folder)
    new = [f"{name} ({found[name]})" for name in found.keys() - known.keys()]
    assert not new, f"give them rights in policies.py and tests/controller/rights.py: {new}"
    assert not known.keys() - found.keys(), "nobody calls these any more"


@pytest.mark.parametrize(
    ("policy", "right"),
    [
        *((AGENTS, right) for rights in AGENT.values() for right in rights),
        *((OPERATORS, right) for rights in (CONTROLLER | BY_THE_STORE).values() for right in rights),
        *((OPERATORS, right) for right in (*BY_AWS, *BY_DOCKER)),
    ],
)
def test_every_call_is_allowed(policy: Policy, right: Right) -> None:
    assert allowed(policy, *right), right


def test_nothing_is_allowed_in_vain() -> None:
    needed = {right.action for rights in AGENT.values() for right in rights}
    assert actions(AGENTS) == needed
    operator = [right for known in (CONTROLLER, BY_THE_STORE) for rights in known.values() for right in rights]
    assert actions(OPERATORS) == {right.action for right in (*operator, *BY_AWS, *BY_DOCKER)}


SPARED = [
    Right("s3:GetObject", f"{BUCKET}/team/runs2/x"),
    Right("s3:GetObject", f"{BUCKET}/team/x"),
    Right("s3:PutObject", f"{BUCKET}/x"),
    Right("s3:PutObject", "arn:aws:s3:::another/team/runs/x"),
    Right("s3:ListBucket", BUCKET),
    listing(""),
    listing("team/"),
    listing("team/runs2/"),
    Right("s3:ListBucket", "arn:aws:s3:::another", {"s3:prefix": "team/runs/"}),
    *(
        Right("s3:DeleteObject", f"{BELOW}/llama-7b/{name}")
        for name in ("epoch.json", "latest.json", "gc.json", "logs/1", "status.json")
    ),
    Right("s3:DeleteObject", f"{BELOW}/code/1.tar.gz"),
    Right("s3:DeleteBucket", BUCKET),
    Right("s3:PutBucketPolicy", BUCKET),
    Right("s3:PutLifecycleConfiguration", BUCKET),
    Right("s3:DeleteObjectVersion", OBJECT),
    Right("s3:PutObjectAcl", OBJECT),
    Right("s3:ListAllMyBuckets", "*"),
    Right("ec2:DeleteTags", ec2("instance", OWN), tagging(["runctl:phase"])),
    Right("ec2:ModifyInstanceAttribute", ec2("instance", OWN), standing()),
    Right("iam:CreateRole", "arn:aws:iam::111122223333:role/runctl-agent"),
    Right("kms:Decrypt", KEY),
    Right("ssm:SendCommand", ec2("instance", OWN), standing()),
]

AGENT_SPARED = [
    Right("s3:DeleteObject", f"{BELOW}/llama-7b/run.json"),
    Right("ec2:CreateTags", ec2("instance", OTHER), tagging(AGENT_KEYS, tagged=OTHER)),
    Right("ec2:CreateTags", ec2("instance", OWN), tagging(["Name"])),
    Right("ec2:CreateTags", ec2("instance", OWN), tagging([*AGENT_KEYS, "owner"])),
    Right("ec2:CreateTags", ec2("instance", OWN), {"aws:TagKeys": ["runctl:phase"], "ec2:InstanceID": OWN}),
    Right("ec2:CreateTags", ec2("instance", OWN), {**tagging([]), "aws:TagKeys": []}),
    Right("ec2:CreateTags", ec2("volume"), {"aws:TagKeys": ["runctl:x"], "ec2:SourceInstanceARN": ec2("instance", OWN)}),
    *(Right(f"ec2:{name}", ec2("instance", OWN), standing()) for name in ("TerminateInstances", "StopInstances", "RunInstances")),
    Right("autoscaling:DetachInstances", group("web"), standing()),
    Right("autoscaling:DetachInstances", group(GROUP)),
    Right("autoscaling:DetachInstances", group(GROUP), standing("s3://another/team/runs")),
    Right("autoscaling:SetDesiredCapacity", group(GROUP), standing()),
    Right("autoscaling:DeleteAutoScalingGroup", group(GROUP), standing()),
    Right("iam:PassRole", "arn:aws:iam::111122223333:role/runctl-agent", {"iam:PassedToService": "ec2.amazonaws.com"}),
]

_TAGS = [{"Key": "runctl:destination", "Value": "s3://another/runs"}]
OPERATOR_SPARED = [
    *(
        Right(f"ec2:{name}", ec2("instance", OTHER), context)
        for name in ("TerminateInstances", "StopInstances", "StartInstances")
        for context in ({}, {"aws:ResourceTag/Name": "x"}, standing("s3://ckpt/team/runs2"), standing("s3://another/team/runs"))
    ),
    Right("ec2:RunInstances", ec2("instance", "*")),
    Right("ec2:RunInstances", ec2("instance", "*"), asked(_TAGS)),
    Right("ec2:CreateTags", ec2("instance", OTHER), {"aws:TagKeys": [WANT]}),
    Right("ec2:CreateTags", ec2("instance", OWN), {**standing(), "aws:TagKeys": ["runctl:run"]}),
    Right("ec2:CreateTags", ec2("instance", OWN), {**standing(), "aws:TagKeys": [WANT, "Name"]}),
    Right("ec2:CreateTags", ec2("instance", OTHER), {**asked(_TAGS), "ec2:CreateAction": "CreateVolume"}),
    Right("ec2:CreateTags", ec2("vpc"), {**asked(_TAGS), "ec2:CreateAction": "RunInstances"}),
    Right("ec2:CreateLaunchTemplate", ec2("launch-template"), asked(_TAGS)),
    Right("ec2:DeleteLaunchTemplate", ec2("launch-template")),
    Right("ec2:ModifyLaunchTemplate", ec2("launch-template"), standing()),
    Right("autoscaling:CreateAutoScalingGroup", group("web"), asked([{"Key": "runctl:destination", "Value": URL}])),
    Right("autoscaling:DeleteAutoScalingGroup", group("web"), standing()),
    Right("autoscaling:DeleteAutoScalingGroup", group(GROUP)),
    Right("iam:PassRole", "arn:aws:iam::111122223333:role/admin", {"iam:PassedToService": "ec2.amazonaws.com"}),
    Right("iam:PassRole", "arn:aws:iam::111122223333:role/runctl-agent", {"iam:PassedToService": "lambda.amazonaws.com"}),
    Right("iam:PassRole", "arn:aws:iam::111122223333:role/runctl-agent"),
    Right("iam:CreateServiceLinkedRole", "arn:aws:iam::1:role/aws-service-role/x.amazonaws.com/X", {"iam:AWSServiceName": "x"}),
    Right("s3:AbortMultipartUpload", OBJECT),
    Right("ecr:PutImage", "arn:aws:ecr:us-east-1:111122223333:repository/web"),
    Right("ecr:PutImage", "arn:aws:ecr:us-east-1:111122223333:repository/runctl-web/x"),
    Right("ecr:DeleteRepository", "arn:aws:ecr:us-east-1:111122223333:repository/runctl/train"),
    Right("ecr:SetRepositoryPolicy", "arn:aws:ecr:us-east-1:111122223333:repository/runctl/train"),
]


@pytest.mark.parametrize(
    ("policy", "right"),
    [
        *((policy, right) for policy in (AGENTS, OPERATORS) for right in SPARED),
        *((AGENTS, right) for right in AGENT_SPARED),
        *((OPERATORS, right) for right in OPERATOR_SPARED),
    ],
)
def test_its_neighbours_are_not(policy: Policy, right: Right) -> None:
    assert not allowed(policy, *right), right


def test_without_retention_the_agent_deletes_nothing() -> None:
    assert "s3:DeleteObject" not in actions(agent(SCOPE, retention=False))
    assert actions(AGENTS) - actions(agent(SCOPE, retention=False)) == {"s3:DeleteObject"}


def test_only_with_images_the_agent_pulls_ours() -> None:
    pulls = agent(SCOPE, retention=True, images=True)
    assert actions(pulls) - actions(AGENTS) == {"ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
    assert allowed(pulls, "ecr:GetAuthorizationToken", "*")
    for action in ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"):
        assert allowed(pulls, action, REPOSITORY)
        assert not allowed(pulls, action, REPOSITORY.replace("repository/runctl/", "repository/other/"))
    assert not allowed(pulls, "ecr:PutImage", REPOSITORY)


def test_a_key_of_ones_own() -> None:
    for policy in (agent(replace(SCOPE, key=KEY), retention=False), controller(replace(SCOPE, key=KEY), role="r")):
        assert allowed(policy, "kms:GenerateDataKey", KEY)
        assert allowed(policy, "kms:Decrypt", KEY)
        assert not allowed(policy, "kms:Decrypt", f"{KEY}0")
        assert not allowed(policy, "kms:ScheduleKeyDeletion", KEY)


def test_a_whole_bucket() -> None:
    policy = agent(Scope(read_destination("s3://ckpt")), retention=True)
    assert allowed(policy, *listing("llama-7b/"))
    assert allowed(policy, "s3:PutObject", f"{BUCKET}/llama-7b/epoch.json")
    assert allowed(policy, "s3:DeleteObject", f"{BUCKET}/llama-7b/data/1")
    assert not allowed(policy, "s3:PutObject", "arn:aws:s3:::ckpt2/llama-7b/epoch.json")


def test_a_star_in_the_prefix_is_a_star() -> None:
    policy = agent(Scope(read_destination("s3://ckpt/a*b")), retention=False)
    assert allowed(policy, "s3:GetObject", f"{BUCKET}/a*b/x")
    assert not allowed(policy, "s3:GetObject", f"{BUCKET}/aXb/x")
    assert not allowed(policy, *listing("aXb/"))


def test_other_partitions() -> None:
    for policy in (
        agent(replace(SCOPE, partition="aws-cn"), retention=True),
        controller(replace(SCOPE, partition="aws-cn"), role="r"),
    ):
        assert '"arn:aws:' not in json.dumps(policy)


@pytest.mark.parametrize("url", [URL, "s3://ckpt", f"s3://{'b' * 63}/{'p' * 512}"])
def test_it_is_short_enough_for_a_managed_policy(url: str) -> None:
    scope = Scope(read_destination(url), "aws-us-gov", KEY)
    for policy in (agent(scope, retention=True), controller(scope, role="r" * 64)):
        short = len(json.dumps(policy, separators=(",", ":")))
        assert short <= LONGEST_MANAGED or len(url) > 500, short


ACCEPTED = {
    ("UNKNOWN_CONDITION_FOR_ACTION", "Unknown condition ec2:SourceInstanceARN for action ec2:CreateTags"):
        "it comes with every request of an instance's role, and so is listed under no action (EC2 User Guide, condition keys)",
    ("RESOURCE_MISMATCH", "ec2:RunInstances"):
        "two statements: only the instance itself has the tags that the first asks for",
}  # fmt: skip


@pytest.mark.parametrize("policy", [AGENTS, agent(replace(SCOPE, key=KEY), retention=False, images=True), OPERATORS])
def test_the_linter_finds_nothing_else(policy: Policy) -> None:
    assert {one for one in linted(policy) if one not in ACCEPTED} == set()


def test_the_linter_finds_what_is_wrong() -> None:
    wrong: Any = {"Sid": "A", "Effect": "Allow", "Action": "s3:GetObjekt", "Resource": "*"}
    assert linted({"Version": "2012-10-17", "Statement": [wrong]})


def linted(policy: Policy) -> set[tuple[str, str]]:
    """(issue, detail) of each finding of parliament; of a resource that does not fit, the action."""
    parliament = Path(sys.executable).with_name("parliament")
    done = subprocess.run([parliament, "--json"], input=json.dumps(policy), capture_output=True, text=True, check=False)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert bool(found) == bool(done.returncode), done.stderr
    return {(one["issue"], action) for one in found for action in _about(one["detail"])}


def _about(detail: Any) -> set[str]:
    return {detail} if isinstance(detail, str) else {one["action"] for one in detail}


def test_the_command_prints_it(tmp_path: Path) -> None:
    def told(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([RUNCTL, "iam", *arguments], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        return done

    where = ("--destination", f"{URL}/")
    assert json.loads(told("agent", *where, "--retention").stdout) == AGENTS
    assert json.loads(told("agent", *where, "--images").stdout) == agent(SCOPE, retention=False, images=True)
    assert json.loads(told("controller", *where, "--json").stdout) == OPERATORS
    assert "aws iam put-role-policy --role-name other" in told("agent", *where, "--role", "other").stderr
    refused = told("agent", code=3).stderr
    assert "no destination is given" in refused
    assert "mend: --destination s3://bucket/prefix" in refused
    assert json.loads(told("agent", "--json", "--destination", "x", code=3).stdout)["error"]["exit_code"] == 3
