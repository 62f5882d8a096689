"""Auto Scaling groups, acted out: what dies is replaced, what leaves is not, and hooks hold what ends."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from runctl_simulator.cloud import Cloud
from runctl_simulator.imds import LIFECYCLE_STATE

from .account import Account, gone, pairs, refused, wait_for
from .test_life import imds

if TYPE_CHECKING:
    from mypy_boto3_autoscaling.type_defs import AutoScalingGroupTypeDef

NAME = "runctl-a-run"
HOOK = "runctl-save"


class Group:
    """Min 0, desired 1, max 1, spot: as `launch --recover` makes it."""

    def __init__(self, account: Account, *, agent: bool = False, **changes: Any) -> None:
        self.account = account
        self.autoscaling = account.autoscaling
        template = self.template(account.user_data() if agent else "")
        given: dict[str, Any] = {
            "MinSize": 0,
            "MaxSize": 1,
            "DesiredCapacity": 1,
            "AvailabilityZones": ["us-east-1a"],
            "MixedInstancesPolicy": {
                "LaunchTemplate": {
                    "LaunchTemplateSpecification": {"LaunchTemplateId": template, "Version": "1"},
                    "Overrides": [{"InstanceType": "g5.2xlarge"}, {"InstanceType": "g5.xlarge"}],
                },
                "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": 0},
            },
            "Tags": [{"Key": "runctl:run", "Value": "a-run", "PropagateAtLaunch": True}, {"Key": "other", "Value": "x"}],
            **changes,
        }
        given = {key: value for key, value in given.items() if value is not None}
        self.autoscaling.create_auto_scaling_group(AutoScalingGroupName=NAME, **given)

    def template(self, user_data: str) -> str:
        data: Any = {
            "ImageId": self.account.cloud.image_id,
            "InstanceType": "g5.xlarge",
            "UserData": base64.b64encode(user_data.encode()).decode(),
            "IamInstanceProfile": {"Name": self.account.cloud.instance_profile},
            "MetadataOptions": {"HttpTokens": "required", "InstanceMetadataTags": "enabled"},
            "TagSpecifications": [
                {"ResourceType": "instance", "Tags": pairs({"Name": "from the template"})},
                {"ResourceType": "volume", "Tags": pairs({"Name": "its volume"})},
            ],
        }
        made = self.account.ec2.create_launch_template(LaunchTemplateName=self.account.destination[-20:], LaunchTemplateData=data)
        return made["LaunchTemplate"]["LaunchTemplateId"]

    def describe(self) -> AutoScalingGroupTypeDef:
        return self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[NAME])["AutoScalingGroups"][0]

    def members(self) -> dict[str, str]:
        return {instance["InstanceId"]: instance["LifecycleState"] for instance in self.describe()["Instances"]}

    def only(self) -> str:
        """The one in service."""
        (found,) = [id_ for id_, state in self.members().items() if state == "InService"]
        return found

    def hook(self, timeout: int = 300) -> None:
        self.autoscaling.put_lifecycle_hook(
            LifecycleHookName=HOOK,
            AutoScalingGroupName=NAME,
            LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
            HeartbeatTimeout=timeout,
            DefaultResult="CONTINUE",
        )

    def terminate(self, instance: str, *, decrement: bool) -> None:
        self.autoscaling.terminate_instance_in_auto_scaling_group(InstanceId=instance, ShouldDecrementDesiredCapacity=decrement)

    def complete(self, instance: str, hook: str = HOOK) -> None:
        self.autoscaling.complete_lifecycle_action(
            LifecycleHookName=hook, AutoScalingGroupName=NAME, LifecycleActionResult="CONTINUE", InstanceId=instance
        )


@pytest.fixture
def group(account: Account) -> Group:
    return Group(account)


def test_an_instance_of_the_group_runs_an_agent(account: Account, cloud: Cloud) -> None:
    group = Group(account, agent=True)
    instance = group.only()
    account.wait_for_phase(instance, "waiting")
    described = account.describe(instance)
    assert described["InstanceType"] == "g5.2xlarge", "the first override"
    assert described["InstanceLifecycle"] == "spot"
    assert described["MetadataOptions"]["HttpTokens"] == "required"
    assert described["IamInstanceProfile"]["Arn"].endswith(f"/{cloud.instance_profile}")
    tags = account.tags(instance)
    assert tags["runctl:run"] == "a-run"
    assert tags["Name"] == "from the template"
    assert tags["aws:autoscaling:groupName"] == NAME
    assert "other" not in tags
    assert imds(cloud, instance, LIFECYCLE_STATE) == "InService"
    volumes = account.ec2.describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [instance]}])["Volumes"]
    assert {tag["Key"]: tag["Value"] for tag in volumes[0]["Tags"]} == {"Name": "its volume"}


def test_on_demand_by_a_template_alone(account: Account) -> None:
    template = account.ec2.create_launch_template(
        LaunchTemplateName=f"plain-{account.destination[-20:]}",
        LaunchTemplateData={"ImageId": account.cloud.image_id, "InstanceType": "g5.xlarge"},
    )["LaunchTemplate"]
    group = Group(account, MixedInstancesPolicy=None, LaunchTemplate={"LaunchTemplateId": template["LaunchTemplateId"]})
    described = account.describe(group.only())
    assert described["InstanceType"] == "g5.xlarge"
    assert "InstanceLifecycle" not in described


@pytest.mark.parametrize("how", ["lost", "terminated", "poweroff", "set unhealthy"])
def test_what_dies_is_replaced(account: Account, cloud: Cloud, how: str) -> None:
    group = Group(account, agent=how == "lost")
    first = group.only()
    if how == "lost":
        cloud.lose(first)
    elif how == "terminated":
        account.ec2.terminate_instances(InstanceIds=[first])
    elif how == "poweroff":
        cloud.execute(first, "poweroff")
    else:
        group.autoscaling.set_instance_health(InstanceId=first, HealthStatus="Unhealthy")
    wait_for(lambda: group.members() and first not in group.members())
    second = group.only()
    assert second != first
    account.wait_for_state(first, "terminated")
    if how == "lost":
        account.wait_for_phase(second, "waiting")
    assert account.tags(second)["runctl:run"] == "a-run"
    assert group.describe()["DesiredCapacity"] == 1


def test_terminated_in_the_group_with_and_without_a_successor(group: Group, account: Account) -> None:
    first = group.only()
    group.terminate(first, decrement=False)
    account.wait_for_state(first, "terminated")
    second = group.only()
    group.terminate(second, decrement=True)
    account.wait_for_state(second, "terminated")
    wait_for(lambda: group.members() == {})
    assert group.describe()["DesiredCapacity"] == 0
    with refused("ValidationError", "No managed instance found"):
        group.terminate(second, decrement=True)


def test_a_detached_instance_goes_on_alone(group: Group, account: Account, cloud: Cloud) -> None:
    instance = group.only()
    processes = cloud.processes(instance)
    answer = group.autoscaling.detach_instances(
        AutoScalingGroupName=NAME, InstanceIds=[instance], ShouldDecrementDesiredCapacity=True
    )
    assert answer["Activities"][0]["Description"] == f"Detaching EC2 instance: {instance}"
    assert (group.members(), group.describe()["DesiredCapacity"]) == ({}, 0)
    assert cloud.processes(instance) == processes
    assert "aws:autoscaling:groupName" not in account.tags(instance)
    assert imds(cloud, instance, LIFECYCLE_STATE) == "Detached"
    account.ec2.terminate_instances(InstanceIds=[instance])
    account.wait_for_state(instance, "terminated")
    assert group.members() == {}, "it is nobody's to replace"


def test_a_detached_instance_is_replaced_where_the_capacity_stays(group: Group) -> None:
    instance = group.only()
    group.autoscaling.detach_instances(AutoScalingGroupName=NAME, InstanceIds=[instance], ShouldDecrementDesiredCapacity=False)
    assert group.only() != instance


def test_a_hook_holds_what_ends_until_it_is_completed(group: Group, account: Account, cloud: Cloud) -> None:
    group.hook()
    instance = group.only()
    group.terminate(instance, decrement=True)
    assert group.members() == {instance: "Terminating:Wait"}
    assert imds(cloud, instance, LIFECYCLE_STATE) == "Terminated"
    assert account.state(instance) == "running"
    group.complete(instance)
    account.wait_for_state(instance, "terminated")
    wait_for(lambda: group.members() == {})
    with refused("ValidationError", "No active Lifecycle Action"):
        group.complete(instance)


def test_a_replacement_does_not_wait_for_what_a_hook_holds(group: Group, account: Account) -> None:
    group.hook()
    first = group.only()
    group.terminate(first, decrement=False)
    second = group.only()
    assert group.members() == {first: "Terminating:Wait", second: "InService"}
    assert account.state(first) == "running"


def test_a_hook_times_out_unless_a_heartbeat_comes(group: Group, account: Account, cloud: Cloud) -> None:
    group.hook(timeout=300)
    instance = group.only()
    group.terminate(instance, decrement=True)
    cloud.advance(200)
    group.autoscaling.record_lifecycle_action_heartbeat(LifecycleHookName=HOOK, AutoScalingGroupName=NAME, InstanceId=instance)
    cloud.advance(200)
    assert group.members() == {instance: "Terminating:Wait"}
    assert account.state(instance) == "running"
    cloud.advance(101)
    account.wait_for_state(instance, "terminated")
    with refused("ValidationError", "No active Lifecycle Action"):
        group.autoscaling.record_lifecycle_action_heartbeat(
            LifecycleHookName=HOOK, AutoScalingGroupName=NAME, InstanceId=instance
        )


def test_a_lost_instance_is_not_held_by_a_hook(group: Group, cloud: Cloud) -> None:
    group.hook()
    first = group.only()
    cloud.lose(first)
    assert group.only() != first
    assert len(group.members()) == 1


def test_an_action_of_another_hook_is_refused(group: Group) -> None:
    group.hook()
    instance = group.only()
    group.terminate(instance, decrement=True)
    with refused("ValidationError", "No active Lifecycle Action"):
        group.complete(instance, hook="another")
    assert group.members() == {instance: "Terminating:Wait"}


def test_the_capacity_is_followed(account: Account) -> None:
    group = Group(account, MaxSize=3, DesiredCapacity=2)
    assert len(group.members()) == 2
    group.autoscaling.update_auto_scaling_group(AutoScalingGroupName=NAME, MaxSize=4, DesiredCapacity=3)
    assert len(group.members()) == 3
    assert group.describe()["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"], "kept"
    group.autoscaling.set_desired_capacity(AutoScalingGroupName=NAME, DesiredCapacity=1)
    wait_for(lambda: len(group.members()) == 1)
    with refused("ValidationError", "above max value 4"):
        group.autoscaling.set_desired_capacity(AutoScalingGroupName=NAME, DesiredCapacity=5)


def test_the_least_size_holds(account: Account) -> None:
    group = Group(account, MinSize=1)
    with refused("ValidationError", "min size"):
        group.terminate(group.only(), decrement=True)
    with refused("ValidationError", "min size"):
        group.autoscaling.detach_instances(
            AutoScalingGroupName=NAME, InstanceIds=[group.only()], ShouldDecrementDesiredCapacity=True
        )


def test_a_group_is_deleted_empty_or_by_force(account: Account, cloud: Cloud) -> None:
    group = Group(account, agent=True)
    account.wait_for_phase(group.only(), "waiting")
    instance = group.only()
    group.hook()
    with refused("ResourceInUse"):
        group.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=NAME)
    processes = cloud.processes(instance)
    group.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=NAME, ForceDelete=True)
    assert group.describe()["Status"] == "Delete in progress"
    with refused("AlreadyExists", "is pending delete"):
        group.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=NAME, MinSize=0, MaxSize=1, LaunchTemplate={"LaunchTemplateName": "any"}
        )
    with refused("ValidationError", "pending delete"):
        group.autoscaling.set_desired_capacity(AutoScalingGroupName=NAME, DesiredCapacity=0)
    group.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=NAME, ForceDelete=True)
    account.wait_for_state(instance, "terminated")
    assert group.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"] == []
    assert gone(processes)
    with refused("ValidationError", "not found"):
        group.autoscaling.delete_auto_scaling_group(AutoScalingGroupName=NAME)


def test_what_a_group_needs(group: Group, account: Account) -> None:
    template: Any = {"LaunchTemplateName": account.destination[-20:]}
    with refused("AlreadyExists"):
        group.autoscaling.create_auto_scaling_group(AutoScalingGroupName=NAME, MinSize=0, MaxSize=1, LaunchTemplate=template)
    bad_hook = {"LifecycleHookName": HOOK, "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING", "HeartbeatTimeout": 20}
    for changes, words in (
        ({"MaxSize": -1}, "Max bound"),
        ({"DesiredCapacity": 2}, "above the max"),
        ({"LaunchTemplate": None}, "LaunchTemplate or"),
        ({"LaunchTemplate": {"LaunchTemplateName": "not-there"}}, "does not exist"),
        ({"AvailabilityZones": None}, "At least one Availability Zone"),
        ({"LifecycleHookSpecificationList": [bad_hook]}, "between 30 and 7200"),
        ({"LifecycleHookSpecificationList": [{**bad_hook, "LifecycleTransition": "ending"}]}, "transition"),
        ({"Tags": [{"Key": "aws:mine", "Value": ""}]}, "reserved"),
    ):
        given: dict[str, Any] = {
            "MinSize": 0,
            "MaxSize": 1,
            "AvailabilityZones": ["us-east-1a"],
            "LaunchTemplate": template,
            **changes,
        }
        given = {key: value for key, value in given.items() if value is not None}
        with refused("ValidationError", words):
            group.autoscaling.create_auto_scaling_group(AutoScalingGroupName="another", **given)
    assert [one["AutoScalingGroupName"] for one in group.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]] == [
        NAME
    ]


def mixed(template: str, *types: str, strategy: str = "price-capacity-optimized") -> dict[str, Any]:
    return {
        "LaunchTemplate": {
            "LaunchTemplateSpecification": {"LaunchTemplateName": template, "Version": "$Latest"},
            "Overrides": [{"InstanceType": one} for one in types],
        },
        "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": 0, "SpotAllocationStrategy": strategy},
    }


def test_what_a_mixed_policy_needs(account: Account) -> None:
    data: Any = {"ImageId": account.cloud.image_id, "InstanceType": "g5.xlarge"}
    plain, spot = f"plain-{account.destination[-20:]}", f"spot-{account.destination[-20:]}"
    account.ec2.create_launch_template(LaunchTemplateName=plain, LaunchTemplateData=data)
    data["InstanceMarketOptions"] = {"MarketType": "spot"}
    account.ec2.create_launch_template(LaunchTemplateName=spot, LaunchTemplateData=data)
    for policy, words in (
        (mixed(spot, "g5.xlarge"), "InstanceMarketOptions"),
        (mixed(plain, "g5.xlarge", "g5.none"), "Invalid value 'g5.none'"),
        (mixed(plain, "g5.xlarge", "g5.xlarge"), "duplicate"),
        (mixed(plain, "g5.xlarge", strategy="cheapest"), "SpotAllocationStrategy"),
    ):
        given: Any = {"AvailabilityZones": ["us-east-1a"], "MixedInstancesPolicy": policy}
        with refused("ValidationError", words):
            account.autoscaling.create_auto_scaling_group(AutoScalingGroupName=NAME, MinSize=0, MaxSize=1, **given)
    assert account.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"] == []


def test_a_hook_of_the_creation_holds_too(account: Account) -> None:
    hook = {
        "LifecycleHookName": HOOK,
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "HeartbeatTimeout": 600,
        "DefaultResult": "CONTINUE",
    }
    group = Group(account, LifecycleHookSpecificationList=[hook])
    (found,) = group.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=NAME)["LifecycleHooks"]
    assert (found["HeartbeatTimeout"], found["DefaultResult"]) == (600, "CONTINUE")
    instance = group.only()
    group.terminate(instance, decrement=True)
    assert group.members() == {instance: "Terminating:Wait"}


def test_what_a_group_did_and_tried_is_told(account: Account, cloud: Cloud) -> None:
    group = Group(account)

    def told() -> list[tuple[str, str]]:
        found = group.autoscaling.describe_scaling_activities(AutoScalingGroupName=NAME)["Activities"]
        return [(one["StatusCode"], one.get("StatusMessage") or one["Description"]) for one in found]

    first = group.only()
    assert told() == [("Successful", f"Launching a new EC2 instance: {first}")]
    cloud.exhaust("g5.2xlarge", "g5.xlarge")
    cloud.lose(first)
    why = "InsufficientInstanceCapacity - There is no Spot capacity available that matches your request."
    wait_for(lambda: told()[0] == ("Failed", f"{why} Launching EC2 instance failed."))
    assert told()[1:] == [
        ("Successful", f"Terminating EC2 instance: {first}"),
        ("Successful", f"Launching a new EC2 instance: {first}"),
    ], "one try, gone on with"
    assert group.members() == {}
    cloud.exhaust("g5.2xlarge")
    wait_for(group.members)
    second = group.only()
    assert account.describe(second)["InstanceType"] == "g5.xlarge", "the one that there is"
    assert told()[0] == ("Successful", f"Launching a new EC2 instance: {second}")


def test_a_type_of_which_there_is_none_is_not_launched(account: Account, cloud: Cloud) -> None:
    cloud.exhaust("g5.xlarge")
    with refused("InsufficientInstanceCapacity", "g5.xlarge"):
        account.launch()
    with refused("DryRunOperation"):
        account.launch(DryRun=True)
    assert account.state(account.launch(InstanceType="g5.2xlarge")) == "running"


def test_nothing_is_launched_while_that_is_suspended(group: Group, account: Account, cloud: Cloud) -> None:
    group.autoscaling.suspend_processes(AutoScalingGroupName=NAME, ScalingProcesses=["Launch"])
    first = group.only()
    cloud.lose(first)
    assert group.members() == {}
    group.autoscaling.resume_processes(AutoScalingGroupName=NAME, ScalingProcesses=["Launch"])
    assert group.only() != first
