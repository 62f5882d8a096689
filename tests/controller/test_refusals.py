"""Every way in which EC2 and botocore refuse, as an error with an exit code and a mend."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions as boto

from runctl.denial import encoded, told
from runctl.exits import CredentialsError, NoCapacity, Problems, Throttled, Unavailable, document, together
from runctl.refusals import Call, translated
from runctl_agent.errors import ConfigError, NotFoundError, RefusedError, RunctlError, UsageError, WrongStateError

CALL = Call("RunInstances", "i-1", "us-east-1", "https://ec2.us-east-1.amazonaws.com")


@pytest.mark.parametrize(
    ("code", "kind", "exit_code", "mend"),
    [
        ("RequestLimitExceeded", Throttled, 7, "try again"),
        ("UnauthorizedOperation", RefusedError, 4, "allow ec2:RunInstances"),
        ("AuthFailure", CredentialsError, 4, "AWS_ACCESS_KEY_ID"),
        ("ExpiredToken", CredentialsError, 4, "renew"),
        ("RequestExpired", CredentialsError, 4, "clock"),
        ("InsufficientInstanceCapacity", NoCapacity, 4, "--instance-type"),
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
        ("InvalidClientTokenId", CredentialsError, 4, "aws configure"),
        ("UnrecognizedClientException", CredentialsError, 4, "aws sso login"),
        ("ExpiredTokenException", CredentialsError, 4, "aws sso login"),
        ("AccessDenied", RefusedError, 4, "allow ec2:RunInstances"),
        ("OptInRequired", RefusedError, 4, "sign up"),
        ("PendingVerification", RefusedError, 4, "wait"),
        ("Blocked", RefusedError, 4, "Support Center"),
        ("Unsupported", NoCapacity, 4, "--instance-type"),
        ("SpotMaxPriceTooLow", NoCapacity, 4, "--instance-type"),
        ("InsufficientFreeAddressesInSubnet", NoCapacity, 4, "--subnet"),
        ("InstanceLimitExceeded", RefusedError, 4, "quota"),
        ("VolumeLimitExceeded", RefusedError, 4, "quota"),
        ("InvalidAMIID.Unavailable", NotFoundError, 5, "--ami"),
        ("InvalidGroup.NotFound", NotFoundError, 5, "--security-group"),
        ("InvalidSecurityGroupID.NotFound", NotFoundError, 5, "--security-group"),
        ("InvalidInstanceType", NotFoundError, 5, "--instance-type"),
        ("NoSuchEntity", NotFoundError, 5, "AWS_REGION"),
        ("VPCIdNotSpecified", ConfigError, 3, "--subnet"),
        ("MissingInput", ConfigError, 3, "aws ec2 create-default-vpc"),
        ("InvalidBlockDeviceMapping", ConfigError, 3, "--disk"),
        ("Throttling", Throttled, 7, "try again"),
        ("ServiceUnavailable", Unavailable, 7, "try again"),
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
        (boto.NoCredentialsError(), CredentialsError, "AWS_PROFILE"),
        (boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), CredentialsError, "aws configure"),
        (boto.UnauthorizedSSOTokenError(), CredentialsError, "aws sso login"),
        (boto.TokenRetrievalError(provider="sso", error_msg="expired"), CredentialsError, "aws sso login"),
        (boto.NoRegionError(), ConfigError, "AWS_REGION"),
        (boto.ConnectTimeoutError(endpoint_url="https://x"), Unavailable, "route"),
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


def test_an_instance_profile_that_ec2_does_not_know() -> None:
    said = "Value (x) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
    answer = {"Error": {"Code": "InvalidParameterValue", "Message": said}, "ResponseMetadata": {"HTTPStatusCode": 400}}
    error = translated(boto.ClientError(answer, "RunInstances"), CALL)  # type: ignore[arg-type]  # the stubs want all of it
    assert (type(error), "--role" in error.mend) == (NotFoundError, True)


SAID = "You are not authorized to perform this operation. Encoded authorization failure message: AbC-1_x"


def test_what_only_sts_can_read_is_not_shown_to_people() -> None:
    answer = {"Error": {"Code": "UnauthorizedOperation", "Message": SAID}, "ResponseMetadata": {"HTTPStatusCode": 403}}
    error = translated(boto.ClientError(answer, "RunInstances"), CALL)  # type: ignore[arg-type]  # the stubs want all of it
    assert error.why == "UnauthorizedOperation: You are not authorized to perform this operation."
    assert "aws sts decode-authorization-message" in error.mend
    assert encoded(SAID) == "AbC-1_x"


CONTEXT = {"principal": {"arn": "arn:aws:iam::1:user/me"}, "action": "iam:PassRole", "resource": "arn:aws:iam::1:role/agent"}


@pytest.mark.parametrize(
    ("explicit", "why", "mend"),
    [
        (False, "arn:aws:iam::1:user/me may not iam:PassRole on arn:aws:iam::1:role/agent", "allow iam:PassRole on"),
        (True, "is denied iam:PassRole on arn:aws:iam::1:role/agent by a policy", "a Deny goes before every Allow"),
    ],
)
def test_a_denial_names_what_was_really_denied(*, explicit: bool, why: str, mend: str) -> None:
    refused = RefusedError("ec2:RunInstances", "UnauthorizedOperation", "allow ec2:RunInstances")
    error = told(refused, "AbC", lambda _: {"allowed": False, "explicitDeny": explicit, "context": CONTEXT})
    assert why in error.why
    assert mend in error.mend
    assert error.what == refused.what


@pytest.mark.parametrize("decoded", [{}, {"context": {}}, {"context": {"action": "a", "resource": "b", "principal": None}}])
def test_a_denial_that_can_not_be_read_stays_what_it_was(decoded: dict[str, Any]) -> None:
    refused = RefusedError("ec2:RunInstances", "UnauthorizedOperation", "allow ec2:RunInstances")
    assert told(refused, "AbC", lambda _: decoded) is refused

    def denied(message: str) -> dict[str, Any]:
        raise RefusedError("sts:DecodeAuthorizationMessage", "AccessDenied")

    assert told(refused, "AbC", denied) is refused


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
