"""Every way in which EC2 and botocore refuse, as an error with an exit code and a mend."""

from __future__ import annotations

import pytest
from botocore import exceptions as boto

from runctl.exits import Problems, Throttled, Unavailable, document, together
from runctl.refusals import Call, translated
from runctl_agent.errors import ConfigError, NotFoundError, RefusedError, RunctlError, UsageError, WrongStateError

CALL = Call("RunInstances", "i-1", "us-east-1", "https://ec2.us-east-1.amazonaws.com")


@pytest.mark.parametrize(
    ("code", "kind", "exit_code", "mend"),
    [
        ("RequestLimitExceeded", Throttled, 7, "try again"),
        ("UnauthorizedOperation", RefusedError, 4, "allow ec2:RunInstances"),
        ("AuthFailure", RefusedError, 4, "AWS_ACCESS_KEY_ID"),
        ("ExpiredToken", RefusedError, 4, "renew"),
        ("RequestExpired", RefusedError, 4, "clock"),
        ("InsufficientInstanceCapacity", RefusedError, 4, "--instance-type"),
        ("VcpuLimitExceeded", RefusedError, 4, "quota"),
        ("MaxSpotInstanceCountExceeded", RefusedError, 4, "quota"),
        ("InvalidInstanceID.NotFound", NotFoundError, 5, "runctl list"),
        ("InvalidInstanceID.Malformed", NotFoundError, 5, "runctl list"),
        ("InvalidAMIID.NotFound", NotFoundError, 5, "AWS_REGION"),
        ("InvalidAMIID.Malformed", NotFoundError, 5, "AWS_REGION"),
        ("InvalidKeyPair.NotFound", NotFoundError, 5, "correct the option"),
        ("InvalidSubnetID.NotFound", NotFoundError, 5, "correct the option"),
        ("IncorrectInstanceState", WrongStateError, 6, "runctl status"),
        ("OperationNotPermitted", WrongStateError, 6, "runctl status"),
        ("IdempotentParameterMismatch", WrongStateError, 6, "runctl list"),
        ("InvalidParameterValue", ConfigError, 3, "correct the option"),
        ("InvalidParameterCombination", ConfigError, 3, "correct the option"),
        ("InternalError", Unavailable, 7, "try again"),
        ("SomethingNew", RefusedError, 4, "SomethingNew"),
    ],
)
def test_what_ec2_answers(code: str, kind: type[RunctlError], exit_code: int, mend: str) -> None:
    answer = {"Error": {"Code": code, "Message": "said\n  so"}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    error = translated(boto.ClientError(answer, "RunInstances"), CALL)  # type: ignore[arg-type]  # the stubs want all of it
    assert type(error) is kind
    assert (error.exit_code, error.why) == (exit_code, f"{code}: said so")
    assert error.what == "ec2:RunInstances i-1"
    assert mend in error.mend


@pytest.mark.parametrize(
    ("foreign", "kind", "mend"),
    [
        (boto.NoCredentialsError(), RefusedError, "AWS_PROFILE"),
        (boto.NoRegionError(), ConfigError, "AWS_REGION"),
        (boto.ProfileNotFound(profile="x"), ConfigError, "AWS_PROFILE"),
        (boto.EndpointConnectionError(endpoint_url="https://x"), Unavailable, "route"),
        (boto.ReadTimeoutError(endpoint_url="https://x"), Unavailable, "route"),
        (OSError("broken"), Unavailable, "route"),
        (ValueError("Invalid endpoint"), ConfigError, "AWS_ENDPOINT_URL"),
        (boto.SSLError(endpoint_url="https://x", error=OSError("CERTIFICATE_VERIFY_FAILED")), RefusedError, "AWS_CA_BUNDLE"),
    ],
)
def test_what_botocore_raises(foreign: Exception, kind: type[RunctlError], mend: str) -> None:
    error = translated(foreign, CALL)
    assert type(error) is kind
    assert mend in error.mend


def test_a_region_that_nobody_has_heard_of() -> None:
    call = Call("DescribeInstances", region="mars-1", known_region=False)
    assert isinstance(translated(boto.EndpointConnectionError(endpoint_url="https://x"), call), ConfigError)


def test_several_at_once() -> None:
    one, two = UsageError("a", "b", "c"), ConfigError("d", "e", "f")
    together("x", [])
    with pytest.raises(UsageError):
        together("x", [one])
    with pytest.raises(Problems) as caught:
        together("x was not launched", [one, two])
    assert caught.value.exit_code == 2
    assert caught.value.full.split("\n") == [
        "x was not launched: 2 things stand in the way",
        "- a: b",
        "    mend: c",
        "- d: e",
        "    mend: f",
    ]
    whole = document(caught.value)
    assert isinstance(whole["error"], dict)
    assert [problem["exit_code"] for problem in whole["error"]["problems"]] == [2, 3]
    assert document(one) == {"error": {"what": "a", "why": "b", "mend": "c", "exit_code": 2}}
