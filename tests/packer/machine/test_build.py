"""A whole `packer build`: moto for EC2, and as its instance a booted Debian with an ssh daemon, where the provisioners run."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest
from boto3.session import Session

from tests.e2e.moto_server import moto_server
from tests.e2e.seaweed import REGION, free_ports
from tests.packer import page
from tests.packer.machine.template import known, packer_in_shell
from tests.systemd.nspawn import Machine, done, machine, root_tar, unpacked, with_packages

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import ImageTypeDef

PACKAGES = ("openssh-server", "sudo")
BASE = {"root-device-type": "ebs", "root-device-name": "/dev/sda1", "architecture": "x86_64"}
PATH = f"{sys.base_prefix}/bin:/sbin:/bin:/usr/sbin:/usr/bin"
"""What sudo(8) looks in: without /usr/local/bin, as Red Hat's. The host's Python stands for one of the distribution's:
Debian 12 has none that is new enough."""

# What Packer needs to find moto and the machine; on an instance cloud-init puts the key there.
STAND_INS = """
  custom_endpoint_ec2  = "{endpoint}"
  ssh_host             = "127.0.0.1"
  ssh_port             = {port}
  ssh_keypair_name     = "builder"
  ssh_private_key_file = "{key}"
  aws_polling {{
    delay_seconds = 1
  }}
"""


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Iterator[Machine]:
    """Its index is a folder: what install.sh asks pip for is not on the network."""
    folder = tmp_path_factory.mktemp("builder")
    root = unpacked(with_packages(root_tar(), "builder", PACKAGES), folder / "root")
    with machine(root, wheels, folder / "console") as found:
        found.run("umount", "/opt/runctl")
        found.run("rmdir", "/opt/runctl")
        found.run("useradd", "--create-home", "ubuntu")
        found.file("/etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /srv/run\n")
        found.file("/etc/sudoers.d/ubuntu").write_text(f"Defaults secure_path={PATH}\nubuntu ALL=(ALL) NOPASSWD:ALL\n")
        yield found


class Builder:
    """Packer on somebody's laptop, an EC2 of its own, and the machine that stands for every instance of it."""

    def __init__(self, folder: Path, endpoint: str, ec2: EC2Client, booted: Machine, sources: Path) -> None:
        self.folder, self.ec2, self.machine, self._endpoint = folder, ec2, booted, endpoint
        self.base = self.images(**BASE)[0]["ImageId"]
        key = folder / "key"
        done("ssh-keygen", "-q", "-t", "rsa", "-m", "PEM", "-N", "", "-f", str(key))
        ec2.import_key_pair(KeyName="builder", PublicKeyMaterial=key.with_name("key.pub").read_bytes())
        port = self._entered(key.with_name("key.pub").read_text())
        stand_ins = STAND_INS.format(endpoint=endpoint, port=port, key=key)
        self.checkout = known(sources, folder / "checkout", self.base, stand_ins)
        (wheel,) = (self.checkout / "dist").iterdir()
        with zipfile.ZipFile(wheel) as archive:
            self.commit = archive.read("runctl_agent/commit.txt").decode().strip()

    def _entered(self, key: str) -> int:
        """The port of its ssh daemon, which lets `key` in as cloud-init would have it."""
        (port,) = free_ports(1)
        self.machine.file("/etc/ssh/sshd_config.d/test.conf").write_text(f"Port {port}\nListenAddress 127.0.0.1\n")
        self.machine.run("install", "-d", "-o", "ubuntu", "/home/ubuntu/.ssh")
        self.machine.file("/home/ubuntu/.ssh/authorized_keys").write_text(key)
        self.machine.run("ssh-keygen", "-A")
        self.machine.run("sh", "-c", "rm -rf /tmp/runctl /tmp/script_*")  # of a build that failed, for there is but one machine
        self.machine.run("systemctl", "restart", "ssh.service")
        return port

    def build(self, command: str) -> subprocess.CompletedProcess[str]:
        start = urllib.request.Request(f"{self._endpoint}/moto-api/recorder/start-recording", method="POST")
        urllib.request.urlopen(start, timeout=60).close()
        return packer_in_shell(command.replace("packer build", "packer build -color=false"), self.checkout)

    def images(self, **filters: str) -> list[ImageTypeDef]:
        """moto has some of Amazon's."""
        return self.ec2.describe_images(Filters=[{"Name": name, "Values": [value]} for name, value in filters.items()])["Images"]

    def states(self) -> list[str]:
        """Of each instance that there was."""
        found = self.ec2.describe_instances()["Reservations"]
        return [one["State"]["Name"] for reservation in found for one in reservation["Instances"]]

    def asked(self, action: str) -> list[dict[str, str]]:
        """The parameters of each call of that name, as EC2 was sent them."""
        lines = (self.folder / "moto_recording").read_text().splitlines()
        calls = [parse_qs(base64.b64decode(json.loads(line)["body"]).decode()) for line in lines]
        return [{name: values[0] for name, values in call.items()} for call in calls if call.get("Action") == [action]]


@pytest.fixture
def builder(booted: Machine, checkout: Path, tmp_path: Path) -> Iterator[Builder]:
    with (
        moto_server(tmp_path) as endpoint,
        closing(Session("x", "x", region_name=REGION).client("ec2", endpoint_url=endpoint)) as ec2,
    ):
        yield Builder(tmp_path, endpoint, ec2, booted, checkout)


def test_the_template_builds_an_image(builder: Builder) -> None:
    built = builder.build(page.BUILD)
    assert built.returncode == 0, built.stdout + built.stderr
    (image,) = builder.images(name="runctl-0.1.0-*")
    assert {tag["Key"]: tag["Value"] for tag in image["Tags"]} == {
        "Name": "runctl 0.1.0 on ubuntu-24.04 x86_64",
        "runctl:agent-version": "0.1.0",
        "runctl:commit": builder.commit,
        "runctl:base": "ubuntu-24.04",
        "runctl:source-ami": builder.base,
    }
    manifest = json.loads((builder.checkout / "packer-manifest.json").read_text())
    (made,) = manifest["builds"]
    assert made["artifact_id"] == f"{REGION}:{image['ImageId']}"
    told = {"agent_version": "0.1.0", "commit": builder.commit, "base": "ubuntu-24.04", "architecture": "x86_64"}
    assert made["custom_data"] == {**told, "source_ami": builder.base}

    (launch,) = builder.asked("RunInstances")
    assert (launch["ImageId"], launch["InstanceType"]) == (builder.base, "m6i.large"), "no GPU is paid for"
    disk = {name.partition(".Ebs.")[2]: value for name, value in launch.items() if name.startswith("BlockDeviceMapping.1.Ebs.")}
    assert (disk["Encrypted"], disk["VolumeType"], disk["DeleteOnTermination"]) == ("true", "gp3", "true")
    assert builder.states() == ["terminated"], "nothing is left to be paid for"

    assert "FAIL" not in built.stdout, "doctor --image had the last word"
    assert "systemd finds no fault" in built.stdout
    removed = "/tmp/runctl /tmp/script_* /home/ubuntu/.ssh/* /etc/ssh/*_key /etc/runctl/*"
    assert builder.machine.run("sh", "-c", f"ls -d {removed}", check=False) == ""
    assert builder.machine.run("cat", "/etc/machine-id") == ""


def test_a_wheel_that_is_not_of_that_commit_makes_no_image(builder: Builder) -> None:
    """The tags would not be true."""
    built = builder.build(re.sub(r"\$\(.*?\)", "f" * 12, page.BUILD))
    assert built.returncode == 1
    assert f"the wheel is of another version or commit: runctl-agent 0.1.0 ({builder.commit})" in built.stdout
    assert builder.images(name="runctl-0.1.0-*") == []
    assert builder.states() == ["terminated"]
