"""User-data and the RunInstances request: pure, and so to the letter."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runctl.image import AGENT_VERSION, Image, image_of
from runctl.launched import Launched, decode_launched, encode_launched
from runctl.request import request
from runctl.userdata import LIMIT, cloud_config, user_data
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.spec import (
    Spec,
    SpecPointer,
    Training,
    Watched,
    check_pointer,
    decode_run,
    decode_spec,
    encode_run,
    is_pointer,
)
from runctl_agent.contract.tags import all_keys
from runctl_agent.errors import ConfigError

GOLDEN = Path(__file__).with_name("golden") / "request.json"
SPEC = Spec("gpt2", "s3://bucket/runs", (Watched("out"),), project="demo", training=Training(command=("python3", "train.py")))
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
URL = "s3://bucket/runs/gpt2/run.json"
LAUNCHED = Launched(
    instance_type="g5.xlarge",
    image="ami-1",
    key_name="key",
    subnet="subnet-1",
    security_groups=("sg-1", "sg-2"),
    profile="profile",
    region="us-east-1",
    owner="me",
    token="t" * 32,
    at=1_800_000_000,
)
IMAGE = Image("ami-1", "/dev/sda1", 75, "0.1.0")


def written(text: str) -> object:
    """What cloud-init would write."""
    assert text.startswith("#cloud-config\n")
    document = yaml.safe_load(text)
    (entry,) = document["write_files"]
    assert [*document] == ["write_files"]
    assert {key: entry[key] for key in ("path", "permissions", "encoding")} == {
        "path": "/etc/runctl/run.yaml",
        "permissions": "0600",
        "encoding": "b64",
    }
    return yaml.safe_load(base64.b64decode(entry["content"], validate=True).decode("utf-8"))


def test_the_request_as_it_was() -> None:
    assert request(SPEC, URL, LAUNCHED, IMAGE) == json.loads(GOLDEN.read_text())


def test_all_tags_of_the_project_are_made_with_the_instance() -> None:
    instance, volume = request(SPEC, URL, LAUNCHED, IMAGE)["TagSpecifications"]
    assert [tag["Key"] for tag in instance["Tags"]] == [*all_keys()]
    assert volume["Tags"] == [
        {"Key": "Name", "Value": "gpt2"},
        {"Key": "runctl:run", "Value": "gpt2"},
        {"Key": "runctl:project", "Value": "demo"},
        {"Key": "runctl:owner", "Value": "me"},
    ]


@pytest.mark.parametrize(
    ("on_finish", "on_failure", "spot", "shutdown"),
    [
        ("keep", "keep", False, "stop"),
        ("stop", "keep", False, "stop"),
        ("terminate", "keep", False, "terminate"),
        ("keep", "terminate", False, "terminate"),
        ("keep", "keep", True, "terminate"),
    ],
)
def test_what_poweroff_means(on_finish: str, on_failure: str, spot: bool, shutdown: str) -> None:
    wanted = request(replace(SPEC, on_finish=on_finish, on_failure=on_failure), URL, replace(LAUNCHED, spot=spot), IMAGE)
    assert wanted["InstanceInitiatedShutdownBehavior"] == shutdown
    assert ("InstanceMarketOptions" in wanted) == spot


@pytest.mark.parametrize(("disk", "size"), [(0, 75), (10, 75), (200, 200)])
def test_the_root_volume_is_never_smaller_than_the_images(disk: int, size: int) -> None:
    (mapping,) = request(SPEC, URL, replace(LAUNCHED, disk=disk), IMAGE)["BlockDeviceMappings"]
    assert mapping == {
        "DeviceName": "/dev/sda1",
        "Ebs": {"VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True, "VolumeSize": size},
    }


def test_a_profile_by_arn_and_what_is_not_given() -> None:
    bare = request(SPEC, URL, Launched("g5.xlarge", profile="arn:aws:iam::1:instance-profile/x"), IMAGE)
    assert bare["IamInstanceProfile"] == {"Arn": "arn:aws:iam::1:instance-profile/x"}
    assert not {"KeyName", "SubnetId", "SecurityGroupIds"} & bare.keys()


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,8}", fullmatch=True), VALUES), st.lists(VALUES, max_size=3))
def test_any_spec_comes_through_user_data(env: dict[str, str], arguments: list[str]) -> None:
    spec = replace(SPEC, training=Training(command=("python3", *arguments, os.fsdecode(b"\xff")), env=env))
    assert decode_spec(written(user_data(spec, URL))) == spec
    assert decode_run(encode_run(spec)) == spec
    assert decode_spec(yaml.safe_load(encode_run(spec))) == spec, "where a pointer leads, YAML is read"


@settings(max_examples=30)
@given(st.integers(-8, 8))
def test_at_the_border_of_16_kb(offset: int) -> None:
    def padded(count: int) -> Spec:
        return replace(SPEC, training=replace(SPEC.training, setup=("x" * count,)))

    room = LIMIT - len(cloud_config(b""))
    count = room // 4 * 3 - len(json.dumps(written(user_data(SPEC, URL)), separators=(",", ":"))) - 2 + offset
    found = user_data(padded(count), URL)
    assert len(found.encode()) <= LIMIT
    plain = written(found)
    if is_pointer(plain):
        assert check_pointer(plain) == (SpecPointer(URL), [])
        assert offset > 0
    else:
        assert decode_spec(plain) == padded(count)
        assert offset <= 0


@given(
    st.builds(
        Launched,
        instance_type=st.just("g5.xlarge"),
        spot=st.booleans(),
        security_groups=st.lists(st.just("sg-1")).map(tuple),
        disk=st.integers(0, 16384),
        token=st.from_regex(r"[a-f0-9]{1,64}", fullmatch=True),
        at=st.integers(0, 2**33),
    )
)
def test_launch_json_round_trip(launched: Launched) -> None:
    assert decode_launched(encode_launched(launched)) == launched


@given(st.binary() | st.sampled_from([b"{}", b"[]", b'{"version": 2, "token": "x", "instance_type": "y"}', b'{"token": 3}']))
def test_garbage_is_no_launch(body: bytes) -> None:
    assert isinstance(decode_launched(body), Malformed)


def test_the_image_names_its_root_device() -> None:
    plain: dict[str, Any] = {
        "ImageId": "ami-1",
        "RootDeviceName": "/dev/xvda",
        "RootDeviceType": "ebs",
        "BlockDeviceMappings": [{"DeviceName": "/dev/sdb"}, {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30}}],
        "Tags": [{"Key": AGENT_VERSION, "Value": "0.1.0"}],
    }
    assert image_of(plain) == Image("ami-1", "/dev/xvda", 30, "0.1.0")
    for wrong in ({"RootDeviceName": ""}, {"RootDeviceType": "instance-store"}):
        with pytest.raises(ConfigError):
            image_of(plain | wrong)
