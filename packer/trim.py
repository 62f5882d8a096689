"""Of botocore's data what the agent and the controller call is kept: run by the environment's own Python, before it is used.

botocore brings the models of 400 services; the agent's own, cut to its few calls, are in the wheel (runctl_agent/models).
"""

from __future__ import annotations

import os
import shutil
import sys

SERVICES = ("autoscaling", "ec2", "ecr", "iam", "pricing", "s3", "service-quotas", "signin", "sso", "sso-oidc", "sts")
"""What is called, and where credentials come from."""


def trim(data: str) -> None:
    for name in sorted(os.listdir(data)):
        path = os.path.join(data, name)
        if os.path.isdir(path) and name not in SERVICES:
            shutil.rmtree(path)


def prove() -> None:
    """Every client can be made, and signs: none needs what was removed. Raises what botocore raises."""
    import boto3
    from botocore.config import Config

    from runctl_agent import aws

    for service in ("autoscaling", "ec2", "s3", "sts"):
        settings = Config(signature_version=None)
        aws.client(service, "us-east-1", config=settings).close()
        boto3.Session(region_name="us-east-1").client(service).close()


def main() -> None:
    import botocore

    data = os.path.join(os.path.dirname(botocore.__file__), "data")
    if not data.startswith(sys.prefix):
        sys.exit(f"trim.py: {data} is not of the environment {sys.prefix}, and left alone\n  mend: run it by that one's python")
    trim(data)
    prove()


if __name__ == "__main__":
    main()
