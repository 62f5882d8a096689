"""EC2's rules through real boto3 against the real front: what moto alone would not say."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from runctl_simulator.backend import AGENT_VERSION
from runctl_simulator.cloud import Cloud

from .account import Account, pairs, refused, wait_for

NOBODY = "i-0123456789abcdef0"


def test_the_image_is_our_own_and_says_which_agent_it_has(account: Account) -> None:
    found = account.ec2.describe_images(Owners=["self"])["Images"]
    (image,) = [one for one in found if one["ImageId"] == account.cloud.image_id]
    assert image["RootDeviceName"] == "/dev/sda1"
    assert image["Architecture"] == "x86_64"
    assert {tag["Key"] for tag in image["Tags"]} == {AGENT_VERSION}


@pytest.mark.parametrize(
    ("tags", "code", "words"),
    [
        ({"k" * 128: ""}, "InvalidParameterValue", "127"),
        ({"k": "v" * 257}, "InvalidParameterValue", "256"),
        ({"aws:mine": ""}, "InvalidParameterValue", "reserved"),
        ({"a key": ""}, "InvalidParameterValue", "not a valid tag key"),
        ({f"k{n}": "" for n in range(50)}, "TagLimitExceeded", "50"),
    ],
)
def test_tags_that_are_refused(account: Account, tags: dict[str, str], code: str, words: str) -> None:
    instance = account.launch()
    before = account.tags(instance)
    with refused(code, words):
        account.ec2.create_tags(Resources=[instance], Tags=pairs(tags))
    assert account.tags(instance) == before
    with refused(code, words):
        account.launch(tags={**tags, "Name": "one more"})


def test_a_key_that_imds_can_not_show_is_fine_where_it_need_not(account: Account) -> None:
    instance = account.launch(MetadataOptions={"HttpTokens": "required"}, tags={"a key": "x"})
    account.ec2.create_tags(Resources=[instance], Tags=pairs({"b key": "y"}))
    assert account.tags(instance) == {"a key": "x", "b key": "y"}
    with refused("InvalidParameterValue", "not a valid tag key"):
        account.ec2.modify_instance_metadata_options(InstanceId=instance, InstanceMetadataTags="enabled")


@pytest.mark.parametrize(("id_", "code"), [(NOBODY, "InvalidInstanceID.NotFound"), ("i-nonsense", "InvalidInstanceID.Malformed")])
def test_instances_that_do_not_exist(account: Account, id_: str, code: str) -> None:
    ec2 = account.ec2
    with refused(code, id_):
        ec2.create_tags(Resources=[id_], Tags=pairs({"k": "v"}))
    with refused(code, id_):
        ec2.delete_tags(Resources=[id_], Tags=[{"Key": "k"}])
    with refused(code, id_):
        ec2.stop_instances(InstanceIds=[id_])
    with refused(code, id_):
        ec2.terminate_instances(InstanceIds=[id_])
    with refused(code, id_):
        ec2.describe_instances(InstanceIds=[id_])


def test_the_same_client_token_is_the_same_launch(account: Account) -> None:
    first = account.launch(ClientToken="a-token")
    assert account.launch(ClientToken="a-token") == first
    with refused("IdempotentParameterMismatch"):
        account.launch(ClientToken="a-token", tags={"Name": "another"})
    assert account.launch(ClientToken="another") != first
    with refused("InvalidParameterValue"):
        account.launch(ClientToken="t" * 65)


def test_user_data_of_16_kb_and_a_byte_more(account: Account) -> None:
    account.launch(user_data="#" * 16384)
    with refused("InvalidParameterValue", "16384"):
        account.launch(user_data="#" * 16385)


def test_as_many_as_asked_for(account: Account) -> None:
    started = account.ec2.run_instances(ImageId=account.cloud.image_id, InstanceType="g5.xlarge", MinCount=1, MaxCount=2)
    assert len(started["Instances"]) == 2


def test_images_types_and_profiles_must_exist(account: Account) -> None:
    with refused("InvalidAMIID.NotFound"):
        account.launch(ImageId="ami-0123456789abcdef0")
    with refused("InvalidParameterValue", "InstanceType"):
        account.launch(InstanceType="g5.huge")
    with refused("InvalidParameterValue", "nobody"):
        account.launch(IamInstanceProfile={"Name": "nobody"})
    account.launch(IamInstanceProfile={"Name": account.cloud.instance_profile})


def test_a_dry_run_launches_nothing(account: Account) -> None:
    before = len(account.ec2.describe_instances()["Reservations"])
    with refused("DryRunOperation"):
        account.launch(DryRun=True)
    assert len(account.ec2.describe_instances()["Reservations"]) == before


def test_throttled_after_the_bucket_is_spent(account: Account, cloud: Cloud) -> None:
    instance, ec2 = account.launch(), account.ec2
    cloud.throttle("CreateTags", 2, 0)
    for n in range(2):
        ec2.create_tags(Resources=[instance], Tags=pairs({"n": str(n)}))
    with pytest.raises(ClientError) as raised:
        ec2.create_tags(Resources=[instance], Tags=pairs({"n": "2"}))
    assert raised.value.response["Error"]["Code"] == "RequestLimitExceeded"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert account.tags(instance)["n"] == "1"
    cloud.unthrottle()
    ec2.create_tags(Resources=[instance], Tags=pairs({"n": "2"}))


def test_the_bucket_refills_by_the_clock(account: Account, cloud: Cloud) -> None:
    instance, ec2 = account.launch(), account.ec2
    cloud.throttle("CreateTags", 1, 0.001)
    ec2.create_tags(Resources=[instance], Tags=pairs({"n": "0"}))
    with refused("RequestLimitExceeded"):
        ec2.create_tags(Resources=[instance], Tags=pairs({"n": "1"}))
    cloud.advance(1000)
    ec2.create_tags(Resources=[instance], Tags=pairs({"n": "2"}))


def test_denied_and_allowed_again(account: Account, cloud: Cloud) -> None:
    cloud.deny("RunInstances")
    with refused("UnauthorizedOperation", "ec2:RunInstances"):
        account.launch()
    cloud.allow("RunInstances")
    cloud.deny("*", "ExpiredToken", "The security token included in the request is expired", 400)
    with refused("ExpiredToken"):
        account.launch()
    cloud.allow("*")
    account.launch()
    cloud.deny("DescribeAutoScalingGroups")
    with refused("AccessDenied"):
        account.autoscaling.describe_auto_scaling_groups()


def test_tags_that_land_late_and_in_part(account: Account, cloud: Cloud) -> None:
    instance, ec2 = account.launch(tags={"Name": "old"}), account.ec2
    cloud.delay_tags(partial=1)
    ec2.create_tags(Resources=[instance], Tags=pairs({"Name": "new", "a": "1", "b": "1"}))
    ec2.create_tags(Resources=[instance], Tags=pairs({"a": "2"}))
    assert account.tags(instance) == {"Name": "new", "a": "2"}
    described = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [instance]}])["Tags"]
    assert {tag["Key"] for tag in described} == {"Name", "a"}
    with refused("TagLimitExceeded"):
        ec2.create_tags(Resources=[instance], Tags=pairs({f"k{n}": "" for n in range(48)}))
    assert cloud.release_tags() == 2
    assert account.tags(instance) == {"Name": "new", "a": "1", "b": "1"}, "the older write landed late, over the newer"
    cloud.tags_at_once()
    ec2.create_tags(Resources=[instance], Tags=pairs({"c": "3"}))
    assert account.tags(instance)["c"] == "3"


def test_tags_that_land_at_their_time(account: Account, cloud: Cloud) -> None:
    instance = account.launch()
    cloud.delay_tags(1000.0)
    account.ec2.create_tags(Resources=[instance], Tags=pairs({"late": "1"}))
    assert "late" not in account.tags(instance)
    cloud.advance(1000)
    wait_for(lambda: "late" in account.tags(instance))


def test_what_is_stopped_starts_and_what_is_gone_does_not(account: Account) -> None:
    instance, ec2 = account.launch(), account.ec2
    ec2.start_instances(InstanceIds=[instance])
    ec2.terminate_instances(InstanceIds=[instance])
    account.wait_for_state(instance, "terminated")
    for call in (ec2.start_instances, ec2.stop_instances, ec2.reboot_instances):
        with refused("IncorrectInstanceState", instance):
            call(InstanceIds=[instance])
    (answer,) = ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"]
    assert answer["PreviousState"]["Name"] == "terminated"
    assert account.state(instance) == "terminated"


def test_one_time_spot_can_not_be_stopped(account: Account) -> None:
    spot = account.launch(InstanceMarketOptions={"MarketType": "spot"})
    assert account.describe(spot)["InstanceLifecycle"] == "spot"
    with refused("UnsupportedOperation", "one-time"):
        account.ec2.stop_instances(InstanceIds=[spot])
    options = {"SpotInstanceType": "persistent", "InstanceInterruptionBehavior": "stop"}
    persistent = account.launch(InstanceMarketOptions={"MarketType": "spot", "SpotOptions": options})
    account.ec2.stop_instances(InstanceIds=[persistent])


def test_launch_time_is_in_whole_seconds_of_now(account: Account) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    launched = account.describe(account.launch())["LaunchTime"]
    assert launched.microsecond == 0
    assert before <= launched <= datetime.now(UTC)


def test_user_data_is_kept_as_given(account: Account) -> None:
    instance = account.launch(user_data="#cloud-config\n")
    answer = account.ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")
    assert base64.b64decode(answer["UserData"]["Value"]) == b"#cloud-config\n"


def test_launch_templates(account: Account) -> None:
    data = {"InstanceType": "g5.xlarge", "UserData": base64.b64encode(b"#!/bin/sh").decode()}
    name = f"template-{account.destination[-20:]}"
    with refused("DryRunOperation"):
        account.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "g5.xlarge"}, DryRun=True)
    assert (
        account.ec2.describe_launch_templates(Filters=[{"Name": "launch-template-name", "Values": [name]}])["LaunchTemplates"]
        == []
    )
    first = account.ec2.create_launch_template(LaunchTemplateName=name, ClientToken="a", LaunchTemplateData=data)  # type: ignore[arg-type]
    again = account.ec2.create_launch_template(LaunchTemplateName=name, ClientToken="a", LaunchTemplateData=data)  # type: ignore[arg-type]
    assert first["LaunchTemplate"]["LaunchTemplateId"] == again["LaunchTemplate"]["LaunchTemplateId"]
    with refused("InvalidLaunchTemplateName.AlreadyExistsException"):
        account.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData={"InstanceType": "g5.xlarge"})
    with refused("InvalidLaunchTemplateName.MalformedException"):
        account.ec2.create_launch_template(LaunchTemplateName="a template", LaunchTemplateData={"InstanceType": "g5.xlarge"})
    with refused("InvalidParameterValue", "16384"):
        large = base64.b64encode(b"x" * 16_385).decode()
        account.ec2.create_launch_template(LaunchTemplateName=f"{name}-2", LaunchTemplateData={"UserData": large})
    account.ec2.delete_launch_template(LaunchTemplateName=name)
    with refused("InvalidLaunchTemplateName.NotFoundException"):
        account.ec2.delete_launch_template(LaunchTemplateName=name)
