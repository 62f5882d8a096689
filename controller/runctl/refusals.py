"""What EC2 and botocore refuse, as errors of this project with the mend; past here nobody knows botocore.

Source of the codes: "Error codes for the Amazon EC2 API" (Amazon EC2 Developer Guide).
"""

from __future__ import annotations

from dataclasses import dataclass

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from runctl_agent.errors import ConfigError, NotFoundError, RefusedError, RunctlError, WrongStateError

from .exits import Throttled, Unavailable

FOREIGN = (boto.BotoCoreError, boto.ClientError, ResponseParserError, HTTPError, OSError, ValueError, KeyError)
"""All that a call of botocore raises. ValueError: an endpoint that is no URL. KeyError: an answer that lacks a part."""

DRY_RUN = "DryRunOperation"
THROTTLED = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "TooManyRequestsException"}
)
PASSING = frozenset({"InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable"})
DENIED = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})
KEYS = frozenset({"AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "Blocked"})
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})
CAPACITY = frozenset(
    {"InsufficientInstanceCapacity", "InsufficientHostCapacity", "InsufficientCapacity", "SpotMaxPriceTooLow", "Unsupported"}
)
QUOTA = frozenset(
    {
        "InstanceLimitExceeded",
        "MaxSpotInstanceCountExceeded",
        "VcpuLimitExceeded",
        "VolumeLimitExceeded",
        "PendingVerification",
        "OptInRequired",
    }
)
STATE = frozenset({"IncorrectInstanceState", "IncorrectState", "UnsupportedOperation", "OperationNotPermitted"})
TWICE = frozenset({"IdempotentParameterMismatch", "IdempotentInstanceTerminated"})
NO_INSTANCE = frozenset({"InvalidInstanceID.NotFound", "InvalidInstanceID.Malformed", "InvalidInstanceId.NotFound"})
MISSING = frozenset({"NoSuchEntity"})
CREDENTIALS = (
    boto.CredentialRetrievalError,
    boto.MetadataRetrievalError,
    boto.NoAuthTokenError,
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.SSOError,
    boto.TokenRetrievalError,
    boto.UnknownCredentialError,
)
NETWORK = (
    boto.ConnectionError,
    boto.HTTPClientError,
    boto.IncompleteReadError,
    ResponseParserError,
    HTTPError,
    OSError,
    KeyError,
)

MEND_KEYS = (
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or correct them; "
    "`aws sts get-caller-identity` shows which credentials are used"
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of EC2, or of Auto Scaling. `known_region`: whether botocore has heard of it; `endpoint`: where it goes."""

    action: str
    subject: str = ""
    region: str = ""
    endpoint: str = ""
    known_region: bool = True
    service: str = "ec2"

    @property
    def what(self) -> str:
        return f"{self.service}:{self.action} {self.subject}".rstrip()


def translated(error: Exception, call: Call) -> RunctlError:
    """The error to raise for a foreign one."""
    if isinstance(error, boto.ClientError):
        return _answered(error, call)
    why = _one_line(error)
    if isinstance(error, CREDENTIALS):
        return RefusedError(call.what, why, MEND_KEYS)
    if isinstance(error, boto.NoRegionError | boto.InvalidRegionError):
        return ConfigError(call.what, why, "set AWS_REGION, such as AWS_REGION=us-east-1")
    if isinstance(error, boto.SSLError) and "CERTIFICATE_VERIFY_FAILED" in why:
        return RefusedError(call.what, why, f"trust the certificate of {call.endpoint}: AWS_CA_BUNDLE names the file")
    if isinstance(error, boto.EndpointConnectionError) and not call.known_region:
        return ConfigError(call.what, f"{why}; {call.region} is no region that this program knows", "correct AWS_REGION")
    if isinstance(error, NETWORK):
        return Unavailable(
            call.what, why, f"check the route to {call.endpoint or 'EC2'} and AWS_REGION ({call.region or 'unset'})"
        )
    return ConfigError(call.what, why, "check AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL and ~/.aws/config: `aws configure list`")


def code_of(error: Exception) -> str:
    """The error code of an answer of EC2; empty for what is none."""
    return error.response.get("Error", {}).get("Code", "") if isinstance(error, boto.ClientError) else ""


def _answered(error: boto.ClientError, call: Call) -> RunctlError:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    why = f"{code}: {' '.join(error.response.get('Error', {}).get('Message', '').split())}"
    if code in THROTTLED:
        return Throttled(call.what, why, "try again: the limit is of the whole account and region, and refills by itself")
    if code in CAPACITY:
        return RefusedError(call.what, why, "choose another --instance-type, --subnet (zone) or region, or try again later")
    if code in QUOTA:
        return RefusedError(call.what, why, "ask for a higher quota: `aws service-quotas list-service-quotas --service-code ec2`")
    if code in DENIED:
        return RefusedError(call.what, why, f"allow {call.service}:{call.action} in the policy of the role or user in use")
    if code in KEYS:
        return RefusedError(call.what, why, MEND_KEYS)
    if code in EXPIRED:
        return RefusedError(call.what, why, "renew the credentials: `aws sso login`, or set new ones")
    if code == "RequestExpired":
        return RefusedError(call.what, why, "set the clock: `timedatectl` says whether it is synchronized")
    if code in PASSING or status >= 500:
        return Unavailable(call.what, why, "try again")
    return _about_the_request(code, why, call)


def _about_the_request(code: str, why: str, call: Call) -> RunctlError:
    where = f" in {call.region}" if call.region else ""
    if code in NO_INSTANCE:
        return NotFoundError(call.what, why, f"`runctl list` shows the runs{where}; another region: AWS_REGION")
    if code in MISSING or code.endswith(".NotFound") or code.startswith("InvalidAMIID"):
        return NotFoundError(call.what, why, f"correct the option, or AWS_REGION: it must be there{where}")
    if code in STATE:
        return WrongStateError(call.what, why, "`runctl status` shows the state; try again once it has changed")
    if code in TWICE:
        return WrongStateError(call.what, why, "`runctl list` shows what another command launched meanwhile")
    if code.startswith(("InvalidParameter", "Invalid", "Missing", "Malformed", "Unknown")):
        return ConfigError(call.what, why, "correct the option that EC2 names")
    return RefusedError(call.what, why, f"see `{code}` in the error codes of the Amazon EC2 API")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
