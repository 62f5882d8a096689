"""What a launch asks before money is spent, through the real command: type, role, quota, price, and runctl.yaml's part in it."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.controller.aside import aside
from tests.controller.stage import Stage

G = "L-DB2E81BA"


@pytest.fixture
def profile(stage: Stage) -> str:
    return made(stage, role=True)


def made(stage: Stage, *, role: bool) -> str:
    """An instance profile."""
    from boto3.session import Session

    from tests.e2e.seaweed import REGION, SECRET

    name = f"p{uuid.uuid4().hex[:10]}"
    make: Any = Session("admin", SECRET, region_name=REGION).client
    iam = make("iam", endpoint_url=stage.env["AWS_ENDPOINT_URL_IAM"])
    try:
        iam.create_instance_profile(InstanceProfileName=name)
        if role:
            iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    finally:
        iam.close()
    return name


def test_everything_that_aws_can_tell_is_told_at_once(stage: Stage) -> None:
    profile = made(stage, role=False)
    options = ("--instance-type", "g5.xlrage,c5.large", "--gpus", "1", "--role", profile, "--ami", "ami-00000000")
    error = stage.refused("launch", "train.py", "--destination", "s3://no-such-bucket-here/x", *options, code=4)
    assert [problem["what"].split(" s3://")[0] for problem in error["problems"]] == [
        "ListObjectsV2",
        "ec2:DescribeImages ami-00000000",
        "there is no instance type g5.xlrage",
        "c5.large has no GPU",
        f"the instance profile {profile} has no role",
    ]
    assert "did you mean g5.xlarge" in error["problems"][2]["mend"]
    assert stage.instances() == []


def test_a_role_that_there_is_not_is_told_once(stage: Stage) -> None:
    error = stage.refused("launch", "train.py", "--ami", stage.image, "--role", "nobody", code=5)
    assert error["what"] == "there is no instance profile nobody"
    assert "problems" not in error


def test_prices_and_quota_of_aws(stage: Stage, profile: str) -> None:
    options = ("--ami", stage.image, "--role", profile, "--instance-type", "g5.xlarge,g6.xlarge")
    with aside(prices={"g5.xlarge": 1.25, "g6.xlarge": 0.8}, quotas={G: 9999.0}) as beside:
        shown = stage.json("launch", "train.py", *options, "--dry-run", env=beside.env)
    first, second = shown["costs"]
    assert (first["instance_type"], first["hourly"], first["on_demand"], first["spot"]) == ("g5.xlarge", 1.25, 1.25, None)
    assert (first["source"], first["region"], second["hourly"]) == ("AWS's price list", "", 0.8)
    assert shown["unknown"] == []
    assert beside.asked == ["GetServiceQuota", "GetProducts", "GetProducts"]


def test_the_table_where_the_price_list_does_not_answer(stage: Stage) -> None:
    (cost,) = stage.json("launch", "train.py", "--ami", stage.image, "--dry-run")["costs"]
    assert (cost["on_demand"], cost["source"], cost["as_of"], cost["region"]) == (1.006, "a table", "2026-09-24", "")
    done = stage.command("launch", "train.py", "--run", stage.run, "--ami", stage.image)
    assert "g5.xlarge: $1.01 an hour (a table of 2026-09-24, " in done.stderr


def test_spot_against_on_demand(stage: Stage) -> None:
    (cost,) = stage.json("launch", "train.py", "--ami", stage.image, "--spot", "--dry-run")["costs"]
    assert cost["hourly"] == cost["spot"]
    assert cost["spot"] > 0
    assert cost["zone"].startswith("us-east-1")


def test_a_quota_that_is_too_small(stage: Stage) -> None:
    with aside(quotas={G: 0.0}) as beside:
        error = stage.refused("launch", "train.py", "--ami", stage.image, code=4, env=beside.env)
        assert error["what"] == "the quota does not allow a g5.xlarge"
        assert f"--quota-code {G}" in error["mend"]
        either = ("--instance-type", "g5.xlarge,m5.large", "--dry-run")
        shown = stage.json("launch", "train.py", "--ami", stage.image, *either, env=beside.env)
    assert any("another type is taken instead" in one for one in shown["unknown"])
    assert stage.instances() == []


def test_who_may_ask_for_nothing_beside_launches_all_the_same(stage: Stage) -> None:
    nobody = {f"AWS_ENDPOINT_URL_{name}": "http://127.0.0.1:1" for name in ("PRICING", "SERVICE_QUOTAS", "IAM", "STS")}
    done = stage.command("launch", "train.py", "--run", stage.run, "--ami", stage.image, "--role", "", env=nobody)
    assert "not known: quota: servicequotas:GetServiceQuota" in done.stderr
    assert len(stage.instances()) == 1


def test_runctl_yaml_stands_in_for_options_and_the_run_spec_goes_before_it(stage: Stage) -> None:
    (stage.folder / "runctl.yaml").write_text(
        f"destination: {stage.s3.destination}\nimage: {stage.image}\n"
        "project: file\ncheckpoints: [out]\non_finish: terminate\nspot: true\n"
    )
    (stage.folder / "spec.yaml").write_text("project: spec\n")
    env = {"RUNCTL_DESTINATION": None}
    told = stage.json("launch", "train.py", "--run", stage.run, "--config", "spec.yaml", env=env)
    assert (told["image"], told["spot"], told["destination"]) == (stage.image, True, stage.s3.destination)
    spec = stage.document("run.json")
    assert (spec["project"], spec["on_finish"], spec["checkpoints"][0]["path"]) == ("spec", "terminate", "out")
    shown = stage.json("launch", "train.py", "--on-demand", "--project", "option", "--config", "spec.yaml", "--dry-run", env=env)
    assert "InstanceMarketOptions" not in shown["request"]
    (tags, _) = shown["request"]["TagSpecifications"]
    assert {"Key": "runctl:project", "Value": "option"} in tags["Tags"]
    assert stage.json("status", stage.run, env=env)["run"] == stage.run


def test_a_mistake_is_put_down_to_what_it_came_by(stage: Stage) -> None:
    (stage.folder / "spec.yaml").write_text("settle: soon\n")
    options = ("--config", "spec.yaml", "--on-finish", "burn", "--env", "A=1")
    told = stage.command("launch", "train.py", *options, code=3).stderr
    assert "spec.yaml has 2 mistakes:\n  --on-finish: expected keep, stop or terminate, not 'burn'\n  line 1: settle: " in told
    assert "correct spec.yaml at the lines named, and --on-finish" in told
    (stage.folder / "spec.yaml").write_text("settle: 2s\n")
    error = stage.refused("launch", "train.py", *options, code=3)
    assert (error["what"], error["mend"]) == ("the options have a mistake", "correct --on-finish")


def test_the_forgotten_dashes(stage: Stage) -> None:
    error = stage.refused("launch", "train.py", "--epochs", "3", code=2)
    assert error["what"] == "launch has no option --epochs"
    assert error["mend"] == "runctl launch --json train.py -- --epochs 3"
    assert "launch has no option" not in stage.command("launch", "--epochs", "3", "train.py", code=2).stderr


def test_several_types_need_no_group_and_the_next_is_said(stage: Stage) -> None:
    told = stage.json("launch", "train.py", "--run", stage.run, "--ami", stage.image, "--instance-type", "g5.xlarge,g6.xlarge")
    assert told["instance_type"] == "g5.xlarge"
    assert stage.document("launch.json")["more_types"] == ["g6.xlarge"]


def test_doctor(stage: Stage, profile: str) -> None:
    with aside(quotas={G: 9999.0}, prices={"g5.xlarge": 1.0}) as beside:
        found = stage.json("doctor", "--ami", stage.image, "--role", profile, env=beside.env)
        text = stage.command("doctor", "--ami", stage.image, "--role", profile, env=beside.env).stdout
    assert found["ok"], found
    assert not [one for one in stage.json("list")["runs"] if "doctor" in one["run"]], "it leaves nothing that looks like a run"
    assert {one["name"] for one in found["findings"]} >= {
        "credentials",
        "s3 bucket",
        "s3 write",
        "image",
        "type",
        "price",
        "launch",
    }
    assert all(line.startswith("ok   ") for line in text.splitlines()), text
    assert stage.objects() == [], "what it wrote is gone again"
    assert stage.instances() == []


def test_doctor_tells_one_cause_once(stage: Stage) -> None:
    told = stage.json("doctor", code=4, env={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None})
    failed = [one for one in told["findings"] if one["ok"] is False]
    assert [one["name"] for one in failed] == ["credentials"]
    assert "aws configure" in failed[0]["mend"]
    assert told["findings"][-1]["name"] == "not tried"


def test_doctor_of_what_is_not_well(stage: Stage) -> None:
    nothing = {"RUNCTL_DESTINATION": None}
    told = stage.json("doctor", "--ami", "ami-00000000", "--role", "nobody", code=3, env=nothing)
    failed = {one["name"]: one for one in told["findings"] if one["ok"] is False}
    assert {*failed} == {"destination", "image", "role"}
    assert failed["destination"]["mend"].startswith("runctl init")
    read_only = stage.json("doctor", "--ami", stage.image, code=4, env={"AWS_ACCESS_KEY_ID": "lister"})
    assert "s3:PutObject" in next(one["mend"] for one in read_only["findings"] if one["name"] == "s3 write")
