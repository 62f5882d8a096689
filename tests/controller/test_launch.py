"""`runctl launch`, as a user gives it: what it checks, what it sends, and what it leaves behind."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from runctl_agent.contract.spec import Spec, decode_run
from runctl_agent.contract.tags import MOST_TAGS, all_keys
from tests.controller.stage import Stage


def spec_in(user_data: str) -> dict[str, Any]:
    """As cloud-init would write it."""
    (entry,) = yaml.safe_load(user_data)["write_files"]
    assert (entry["path"], entry["permissions"], entry["encoding"]) == ("/etc/runctl/run.yaml", "0600", "b64")
    found: dict[str, Any] = yaml.safe_load(base64.b64decode(entry["content"]))
    return found


def code(stage: Stage) -> tarfile.TarFile:
    (key,) = (key for key in stage.objects() if key.startswith("code/"))
    with stage.s3.store() as store:
        got = store.get(f"{stage.s3.prefix}/{key}")
    assert got is not None
    return tarfile.open(fileobj=io.BytesIO(got.body))


def test_one_instance_with_the_spec_the_tags_and_the_code(stage: Stage) -> None:
    told = stage.json(
        "launch",
        *("train.py", "--run", stage.run, "--ami", stage.image, "--project", "mine", "--checkpoints", "out"),
        *("--on-finish", "stop", "--env", "A=b=c", "--", "--epochs", "3"),
    )
    instance = told["instance"]
    assert (told["run"], told["destination"], told["region"]) == (stage.run, stage.s3.destination, "us-east-1")
    assert {key.partition("/")[0] for key in stage.objects()} == {"code", stage.run}

    spec = stage.document("run.json")
    assert spec["training"]["command"] == ["python3", "train.py", "--epochs", "3"]
    assert spec["training"]["env"] == {"A": "b=c"}
    assert spec["training"]["code"] == told["code"]
    assert (spec["project"], spec["workdir"], spec["checkpoints"][0]["path"]) == ("mine", "", "out")
    attribute = stage.ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")["UserData"]["Value"]
    assert spec_in(base64.b64decode(attribute).decode()) == spec
    assert isinstance(decode_run(json.dumps(spec).encode()), Spec)

    tags = stage.tags(instance)
    assert {*tags} == {*all_keys()}
    assert len(tags) <= MOST_TAGS
    given = {key: value for key, value in tags.items() if value}
    assert given == {
        "Name": stage.run,
        "runctl:run": stage.run,
        "runctl:project": "mine",
        "runctl:owner": "me",
        "runctl:destination": stage.s3.destination,
        "runctl:version": "0.1.0",
    }
    seen = stage.instance(instance)
    assert seen["MetadataOptions"]["HttpTokens"] == "required"
    assert seen["MetadataOptions"]["InstanceMetadataTags"] == "enabled"
    assert stage.document("launch.json")["token"] == seen["ClientToken"]
    with code(stage) as archive:
        assert archive.getnames() == ["train.py"]


def test_for_people_it_says_the_id(stage: Stage) -> None:
    done = stage.command("launch", "train.py", "--run", stage.run, "--ami", stage.image)
    (instance,) = stage.instances()
    assert done.stdout == f"{stage.run}: launched {instance['InstanceId']}\n"
    assert "no --instance-profile" in done.stderr


def test_a_default_name_from_the_script_and_the_newest_own_image(stage: Stage) -> None:
    (stage.folder / "Fine Tune_2.py").write_text("")
    told = stage.json("launch", "Fine Tune_2.py")
    assert told["run"].startswith("fine-tune-2-")
    assert told["image"].startswith("ami-")


def test_a_dry_run_shows_the_request_and_does_nothing(stage: Stage) -> None:
    shown = stage.json("launch", "train.py", "--run", stage.run, "--ami", stage.image, "--spot", "--dry-run")
    request = shown["request"]
    assert request["ImageId"] == stage.image
    assert request["InstanceMarketOptions"]["SpotOptions"]["SpotInstanceType"] == "one-time"
    assert request["InstanceInitiatedShutdownBehavior"] == "terminate"
    assert spec_in(request["UserData"])["run"] == stage.run
    told = stage.command("launch", "train.py", "--run", stage.run, "--ami", stage.image, "--spot", "--dry-run").stdout
    assert told.startswith(f"{stage.run} would be launched:\n")
    assert f"{stage.s3.destination}/{stage.run}/" in told
    assert "4 vCPUs, 16 GiB, 1 × A10G (22 GiB)" in told
    assert "nothing was spent, uploaded or written; --json shows the request to the letter" in told
    assert stage.objects() == []
    assert stage.instances() == []


def test_the_same_code_is_sent_once(stage: Stage) -> None:
    stage.launch()
    with stage.s3.store() as store:
        (before,) = ((key, store.head(key)) for key in store.list(f"{stage.s3.prefix}/code/"))
        stage.launch(run=f"{stage.run}-2")
        (after,) = ((key, store.head(key)) for key in store.list(f"{stage.s3.prefix}/code/"))
    assert before == after


def test_a_spec_to_start_from(stage: Stage) -> None:
    (stage.folder / "base.yaml").write_text("settle: 7s\ncheckpoints: [{path: ckpt}]\ntraining: {setup: [pip install x]}\n")
    stage.launch("--config", "base.yaml")
    spec = stage.document("run.json")
    assert (spec["settle"], spec["checkpoints"][0]["path"], spec["training"]["setup"]) == (7.0, "ckpt", ["pip install x"])


def test_a_spec_too_large_for_user_data_is_pointed_to(stage: Stage) -> None:
    (stage.folder / "base.yaml").write_text(yaml.safe_dump({"training": {"setup": [f"echo {'x' * 20_000}"]}}))
    instance = stage.launch("--config", "base.yaml")
    attribute = stage.ec2.describe_instance_attribute(InstanceId=instance, Attribute="userData")["UserData"]["Value"]
    assert spec_in(base64.b64decode(attribute).decode()) == {"spec": f"{stage.s3.destination}/{stage.run}/run.json"}
    assert len(stage.document("run.json")["training"]["setup"][0]) > 20_000


def test_what_git_tracks_and_does_not_ignore_goes_along(stage: Stage) -> None:
    folder = stage.folder
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    (folder / "src").mkdir()
    (folder / "src" / "job.py").write_text("")
    (folder / ".gitignore").write_text("data/\n*.log\n")
    (folder / "data").mkdir()
    (folder / "data" / "huge.bin").write_bytes(b"x" * 100)
    (folder / "run.log").write_text("")
    stage.json("launch", "src/job.py", "--run", stage.run, "--ami", stage.image)
    with code(stage) as archive:
        assert archive.getnames() == [".gitignore", "src/job.py", "train.py"]
    assert stage.document("run.json")["training"]["command"] == ["python3", "src/job.py"]

    error = stage.refused("launch", "data/huge.bin", "--ami", stage.image, code=3)
    assert error["why"] == "git ignores it"


def test_a_name_that_is_taken(stage: Stage) -> None:
    instance = stage.launch()
    error = stage.refused("launch", "train.py", "--run", stage.run, "--ami", stage.image, code=6)
    assert f"runctl resume {stage.run}" in error["mend"]
    assert [one["InstanceId"] for one in stage.instances()] == [instance]


def test_everything_that_stands_in_the_way_is_told_at_once(stage: Stage) -> None:
    error = stage.refused("launch", "trian.py", "--run", "Not A Name", "--on-finish", "burn", code=5)
    script, spec = error["problems"]
    assert (script["mend"], script["exit_code"]) == ("did you mean train.py?", 5)
    assert "run: 'Not A Name' is not a run name" in spec["why"]
    assert "--on-finish: expected keep, stop or terminate" in spec["why"]
    stage.launch()
    error = stage.refused("launch", "train.py", "--run", stage.run, "--ami", "ami-00000000000000000", code=6)
    assert [problem["exit_code"] for problem in error["problems"]] == [6, 5]
    assert stage.s3.destination in error["problems"][0]["why"]


@pytest.mark.parametrize(
    ("options", "code", "what"),
    [
        (["--run", "code"], 3, "a run can't be named code"),
        (["--spot", "--on-finish", "stop"], 3, "on_finish can't be stop with --spot"),
        (["--env", "NOTHING"], 2, "--env takes NAME=VALUE"),
        (["--config", "nowhere.yaml"], 3, "can't read the run spec nowhere.yaml"),
        (["--destination", "s3://"], 3, "the options have a mistake"),
        (["--checkpoints", "~/out"], 3, "the options have a mistake"),
        (["--nonsense"], 2, "--nonsense"),
    ],
)
def test_what_can_not_be_launched(stage: Stage, options: list[str], code: int, what: str) -> None:
    error = stage.refused("launch", "train.py", "--ami", stage.image, *options, code=code)
    assert what in error["what"]
    assert stage.objects() == []


def test_no_destination(stage: Stage) -> None:
    error = stage.refused("launch", "train.py", "--ami", stage.image, code=3, env={"RUNCTL_DESTINATION": ""})
    assert error["mend"].startswith("--destination s3://")


def test_a_link_out_of_the_code_is_left_out_and_said(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    (stage.folder / "data").symlink_to(tmp_path / "outside")
    (stage.folder / "inside").symlink_to("train.py")
    done = stage.command("launch", "train.py", "--run", stage.run, "--ami", stage.image)
    assert "left out of the code: data: a link that leads out" in done.stderr
    with code(stage) as archive:
        assert archive.getnames() == ["inside", "train.py"]


def test_a_secret_is_warned_of_and_not_shown(stage: Stage) -> None:
    done = stage.command("launch", "train.py", "--run", stage.run, "--ami", stage.image, "--env", "HF_TOKEN=hunter2")
    assert "HF_TOKEN" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_what_the_agent_does_not_carry_out_is_said_before_anything_is_spent(stage: Stage) -> None:
    (stage.folder / "unmet.yaml").write_text("isolate_credentials: true\n")
    done = stage.command("launch", "train.py", "--ami", stage.image, "--config", "unmet.yaml", "--dry-run")
    assert "isolate_credentials is not done by this version" in done.stderr
    assert stage.objects() == []
