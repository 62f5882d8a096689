"""What people do without runctl: user-data that copies the checkpoints down, trains, and runs `aws s3 sync` every 60 s beside it.

It is given what such a script seldom has: a group that replaces the machine, checkpoints that appear by rename, a training that
resumes from the newest it can read, a loop that keeps its period whatever a sync takes and never runs two at once. It reads no
notice, and does nothing at a shutdown; that is the difference that is measured. It copies all checkpoints
down, as sync does.
"""

from __future__ import annotations

import base64
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from boto3.session import Session

from bench import interrupted_trainer
from runctl_simulator.cloud import Cloud
from runctl_simulator.image import login_user

if TYPE_CHECKING:
    from mypy_boto3_autoscaling import AutoScalingClient
    from mypy_boto3_ec2 import EC2Client

START = """\
aws s3 sync --only-show-errors {place} checkpoints
touch restored
exec {python} train.py --dir checkpoints {arguments}
"""

LOOP = """\
until [ -e restored ]; do sleep 0.05; done
while true; do
  aws s3 sync --only-show-errors --exclude '*.tmp' checkpoints {place} &
  sleep {period}
  wait
done
"""


class Loop:
    """One training under it."""

    def __init__(self, cloud: Cloud, run: str, place: str, period: float) -> None:
        self._cloud = cloud
        self._run = run
        self._place = place
        self._period = period

    def launch(self, arguments: Sequence[str]) -> None:
        """A group of one on spot, as `runctl launch --recover` makes it, but for the hook, which nobody would answer."""
        env = self._cloud.env
        session = Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"], region_name=self._cloud.region)
        ec2: EC2Client = session.client("ec2", endpoint_url=self._cloud.endpoint)
        scaling: AutoScalingClient = session.client("autoscaling", endpoint_url=self._cloud.endpoint)
        data: Any = {
            "ImageId": self._cloud.image_id,
            "InstanceType": "g5.xlarge",
            "UserData": base64.b64encode(self._user_data(arguments).encode()).decode(),
            "InstanceInitiatedShutdownBehavior": "terminate",
            "MetadataOptions": {"HttpTokens": "required"},
        }
        try:
            ec2.create_launch_template(LaunchTemplateName=self._run, LaunchTemplateData=data)
            scaling.create_auto_scaling_group(
                AutoScalingGroupName=self._run,
                MinSize=0,
                MaxSize=1,
                DesiredCapacity=1,
                AvailabilityZones=["us-east-1a"],
                MixedInstancesPolicy={
                    "LaunchTemplate": {
                        "LaunchTemplateSpecification": {"LaunchTemplateName": self._run, "Version": "$Latest"},
                        "Overrides": [{"InstanceType": "g5.xlarge"}],
                    },
                    "InstancesDistribution": {"OnDemandPercentageAboveBaseCapacity": 0},
                },
            )
        finally:
            ec2.close()
            scaling.close()

    def booted(self, instance: str) -> None:
        """cloud-init's runcmd, which the simulator has not: two services, so that a shutdown ends both."""
        for script in ("start", "loop"):
            self._cloud.execute(instance, "/bin/sh", "-c", f"cd work && exec /bin/sh {script}.sh")

    def _user_data(self, arguments: Sequence[str]) -> str:
        told = {
            "place": shlex.quote(self._place),
            "python": shlex.quote(sys.executable),
            "arguments": shlex.join(arguments),
            "period": f"{self._period:g}",
        }
        texts = {
            "start.sh": START.format(**told),
            "loop.sh": LOOP.format(**told),
            "train.py": Path(interrupted_trainer.__file__).read_text(),
        }
        files = [{"path": f"/home/{login_user()}/work/{name}", "content": text} for name, text in texts.items()]
        return f"#cloud-config\n{yaml.safe_dump({'write_files': files})}"
