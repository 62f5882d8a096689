"""One machine from its first boot to its last: user-data by cloud-init, cgroup v2, the power button, and out of memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from boto3.session import Session

from runctl.userdata import user_data
from runctl_agent.contract.spec import Publish, Spec, Training, Watched
from runctl_simulator.imds import Identity, ImdsServer
from tests.controller.stage import registered_image
from tests.e2e.committed import committed, names
from tests.e2e.seaweed import REGION, S3
from tests.systemd.nspawn import unpacked
from tests.vm.vm import HOST, Vm, install, machine_tar

RUN = "test-run"
TRAINER = """
import os, signal, sys, time, zipfile
folder, resumed = os.environ["RUNCTL_CHECKPOINT_DIR"], os.environ["RUNCTL_RESUME_FROM"]
step = int(resumed.rpartition("_")[2].partition(".")[0]) if resumed else 0
told = []
signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
def save():
    with zipfile.ZipFile(os.path.join(folder, "part.tmp"), "w") as archive:
        archive.writestr("a/data.pkl", b"\\x80\\x04N.")
        archive.writestr("a/data/0", os.urandom(100_000))
    os.replace(os.path.join(folder, "part.tmp"), os.path.join(folder, "model_step_%d.pt" % step))
os.makedirs(folder, exist_ok=True)
print(open("/proc/self/cgroup").read(), "from", step, flush=True)
hog = []
while not told:
    step += 1
    time.sleep(1)
    if resumed:
        hog.append(bytearray(os.urandom(1)) * 200_000_000)
    elif step <= 3:
        save()
save()
sys.exit(143)
"""


def instance(moto: S3) -> str:
    with closing(Session(moto.access_key, moto.secret_key, region_name=REGION).client("ec2", endpoint_url=moto.endpoint)) as ec2:
        image = registered_image(ec2)
        made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="g5.xlarge")
        return made["Instances"][0]["InstanceId"]


def posted(moto: S3, instance_id: str) -> dict[str, str]:
    with closing(Session(moto.access_key, moto.secret_key, region_name=REGION).client("ec2", endpoint_url=moto.endpoint)) as ec2:
        found = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [instance_id]}])["Tags"]
    return {tag["Key"]: tag["Value"] for tag in found}


def state(s3: S3) -> dict[str, Any]:
    with s3.store() as store:
        got = store.get(f"{s3.prefix}/{RUN}/status.json")
    return dict(json.loads(got.body)) if got is not None else {}


@pytest.fixture
def machine(tmp_path: Path, s3: S3, moto_s3: S3) -> Iterator[tuple[Vm, str]]:
    training = Training(command=("/usr/bin/python3", "-c", TRAINER), saves_on_signal=True)
    spec = Spec(RUN, s3.destination, (Watched("checkpoints"),), training=training, publish=Publish(heartbeat=5.0))
    own = instance(moto_s3)
    root = unpacked(machine_tar(), tmp_path / "root")
    environ = {**s3.env, "AWS_ENDPOINT_URL_EC2": moto_s3.endpoint}
    install(root, {name: value.replace("127.0.0.1", HOST) for name, value in environ.items()})
    with ImdsServer(Identity(instance_id=own, region=REGION), user_data=user_data(spec, "")) as imds:
        yield Vm(tmp_path, root, int(imds.endpoint.rpartition(":")[2])), own


def test_from_the_first_boot_to_the_last(machine: tuple[Vm, str], s3: S3, moto_s3: S3) -> None:
    vm, own = machine
    with vm.booted():
        vm.until(lambda: state(s3).get("commits") == 3)
        assert (state(s3)["phase"], state(s3)["instance"]) == ("training", own)
        vm.until(lambda: posted(moto_s3, own).get("runctl:phase") == "training")
        assert "cloud-init" in vm.told()
        vm.power_button()
        vm.until(lambda: vm.off)
    told = vm.told()
    assert told.index("Stopped runctl-train.service") < told.index("Stopped runctl-agent.service"), told[-6000:]
    assert names(s3) == [f"model_step_{step}.pt" for step in range(1, 4)] + [names(s3)[-1]], "and that of SIGTERM"
    assert len(names(s3)) == 4
    ended = state(s3)
    assert (ended["phase"], ended["exit_code"], ended["pending_checkpoints"]) == ("interrupted", 143, 0)
    last = committed(s3)[0].step

    with vm.booted():
        vm.until(lambda: state(s3).get("phase") == "failed")
        ended = state(s3)
        assert (ended["attempt"], ended["exit_code"]) == (2, 137)
        assert "memory" in " ".join(ended["details"]), ended
        vm.power_button()
        vm.until(lambda: vm.off)
    assert committed(s3)[0].step == last, "what ended for want of memory saved nothing, and lost nothing"
    assert re.search(r"0::/system\.slice/runctl-train\.service", log(s3)), "in a cgroup of its own, of version 2"


def log(s3: S3) -> str:
    with s3.store() as store:
        keys = [key for key in store.list(f"{s3.prefix}/{RUN}/logs/") if "training.log" in key]
        return "".join(got.body.decode(errors="replace") for key in keys if (got := store.get(key)) is not None)
