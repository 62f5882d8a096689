"""What is said before money is spent, to the letter."""

from __future__ import annotations

import io

import pytest
from botocore import exceptions as boto

from runctl import starting
from runctl.bundle import Bundle
from runctl.defaults import SETTINGS, Defaults
from runctl.doctor import Finding
from runctl.exits import Problems
from runctl.hardware import Hardware, unknown
from runctl.image import Image
from runctl.launched import Launched
from runctl.offer import PRICE_LIST, Offer
from runctl.plan import Plan
from runctl.refusals import (
    ACCOUNT,
    CAPACITY,
    CLOCK,
    DENIED,
    EXPIRED,
    KEYS,
    NO_NETWORK,
    QUOTA,
    STATE,
    THINGS,
    THROTTLED,
    TWICE,
    Call,
    translated,
)
from runctl_agent.contract.spec import Spec, Training, Watched
from tests.controller.golden_text import same

G5 = Hardware("g5.xlarge", 4, 16384, 1, "A10G", 24576)
SPEC = Spec(
    "gpt2-20261127-7f3a",
    "s3://bucket/runs",
    (Watched("checkpoints"),),
    on_finish="terminate",
    training=Training(command=("python3", "train.py", "--epochs", "3")),
)
IMAGE = Image("ami-1", "/dev/sda1", 75, "0.1.0", "x86_64", "2026-11-20T10:00:00.000Z")
LAUNCHED = Launched("g5.xlarge", "ami-1", True, profile="runctl-agent", region="us-east-1", more_types=("g6.xlarge",))
OFFERS = (
    Offer("g5.xlarge", G5, 1.006, 0.4123, "us-east-1b", "a table", "2026-09-24", 64),
    Offer("g6.xlarge", None, 0.8048, 0.3, "us-east-1a", PRICE_LIST, "2026-11-27"),
)


def test_the_file_that_init_writes() -> None:
    same("init.yaml", starting.text({"region": "us-east-1", "destination": "s3://my-bucket/runs", "spot": "true"}))


def test_config(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (name for one in SETTINGS for name in one.variables):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNCTL_PROJECT", "gpt2")
    found = starting.settings(Defaults("/home/me/runctl.yaml", {"spot": True, "region": "us-east-1"}, {"spot": 4, "region": 1}))
    same("config.txt", starting.settings_text(found, "/home/me/runctl.yaml") + "\n")


def test_the_plan_of_a_dry_run() -> None:
    bundle = Bundle(io.BytesIO(), "0a", 12, 34_567, ())
    remarks = ("quota: servicequotas:GetServiceQuota L-3819A6DF: AccessDeniedException: no",)
    same("plan.txt", Plan(SPEC, LAUNCHED, IMAGE, {}, OFFERS, remarks, bundle).text() + "\n")


def test_what_doctor_says() -> None:
    error = unknown("g5.xlrage", "us-east-1", ["g5.xlarge", "g5.2xlarge"])
    found = [
        Finding("region", "us-east-1"),
        Finding("type", error=error),
        Finding("not tried", "EC2: mend that first", known=False),
    ]
    same("doctor.txt", "\n".join(map(str, found)) + "\n")


def test_every_error_of_ec2() -> None:
    codes = [
        *CAPACITY,
        *QUOTA,
        *ACCOUNT,
        *DENIED,
        *KEYS,
        *EXPIRED,
        *CLOCK,
        *THROTTLED,
        *STATE,
        *TWICE,
        *NO_NETWORK,
        "NoSuchEntity",
    ]
    codes += [f"{thing}.NotFound" for thing in THINGS] + [
        "InvalidInstanceID.NotFound",
        "InternalError",
        "InvalidParameterValue",
        "New",
    ]
    call = Call("RunInstances", "", "us-east-1", "https://ec2.us-east-1.amazonaws.com")
    told = []
    for code in sorted(codes):
        answer = {"Error": {"Code": code, "Message": "as EC2 says"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        error = translated(boto.ClientError(answer, "RunInstances"), call)  # type: ignore[arg-type]  # the stubs want all of it
        told.append(f"{error.full}\n  exit {error.exit_code}")
    same("ec2_errors.txt", "\n".join(told) + "\n")


def test_every_error_of_botocore() -> None:
    call = Call("DescribeInstances", "", "us-east-1", "https://ec2.us-east-1.amazonaws.com")
    foreign = [
        boto.NoCredentialsError(),
        boto.PartialCredentialsError(provider="env", cred_var="aws_secret_access_key"),
        boto.UnauthorizedSSOTokenError(),
        boto.NoRegionError(),
        boto.ProfileNotFound(profile="work"),
        boto.EndpointConnectionError(endpoint_url="https://ec2.us-east-1.amazonaws.com"),
        boto.ReadTimeoutError(endpoint_url="https://ec2.us-east-1.amazonaws.com"),
        boto.SSLError(endpoint_url="https://x", error=OSError("CERTIFICATE_VERIFY_FAILED")),
    ]
    told = [f"{error.full}\n  exit {error.exit_code}" for error in (translated(one, call) for one in foreign)]
    same("sdk_errors.txt", "\n".join(told) + "\n")


def test_several_problems() -> None:
    errors = [unknown("g5.xlrage", "us-east-1", ["g5.xlarge"]), unknown("q9.huge", "us-east-1", [])]
    same("problems.txt", Problems("gpt2 was not launched", errors).full + "\n")
