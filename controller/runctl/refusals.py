"""What EC2 and botocore refuse, as errors of this project with the mend; past here nobody knows botocore.

Source of the codes: "Error codes for the Amazon EC2 API" (Amazon EC2 Developer Guide).
"""

from __future__ import annotations

from dataclasses import dataclass

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from runctl_agent.errors import ConfigError, NotFoundError, RefusedError, RunctlError, WrongStateError

from .denial import DECODE, encoded, without_encoded
from .exits import CredentialsError, NoCapacity, Throttled, Unavailable

FOREIGN = (boto.BotoCoreError, boto.ClientError, ResponseParserError, HTTPError, OSError, ValueError, KeyError)
"""All that a call of botocore raises. ValueError: an endpoint that is no URL. KeyError: an answer that lacks a part."""

DRY_RUN = "DryRunOperation"
THROTTLED = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "TooManyRequestsException"}
)
PASSING = frozenset({"InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable"})
DENIED = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "UnauthorizedException"})
KEYS = frozenset(
    {"AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidAccessKeyId"}
)
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})
CLOCK = frozenset({"RequestExpired", "RequestInTheFuture"})
CAPACITY = frozenset(
    {
        "InsufficientInstanceCapacity",
        "InsufficientHostCapacity",
        "InsufficientCapacity",
        "InsufficientFreeAddressesInSubnet",
        "SpotMaxPriceTooLow",
        "Unsupported",
    }
)
"""Unsupported: of this type in this zone. InsufficientFreeAddressesInSubnet: of this subnet, so of this zone."""
QUOTA = frozenset(
    {
        "InstanceLimitExceeded",
        "MaxIOPSLimitExceeded",
        "MaxSpotInstanceCountExceeded",
        "VcpuLimitExceeded",
        "VolumeLimitExceeded",
    }
)
ACCOUNT = {
    "Blocked": "AWS has blocked the account: its owner has a mail, or the console's Support Center says why",
    "OptInRequired": "sign up for the service, or enable the region: https://console.aws.amazon.com/billing/home#/account",
    "PendingVerification": "wait, four hours at most: AWS verifies the account for this region, and sends a mail",
}
"""What only the account's owner can mend."""
THINGS = {
    "InvalidAMIID": "correct --ami; without it the newest own image is taken. It must be there{where}: AWS_REGION",
    "InvalidGroup": "`aws ec2 describe-security-groups` lists them: correct the option --security-group, or AWS_REGION",
    "InvalidSecurityGroupID": "`aws ec2 describe-security-groups` lists them: correct the option --security-group, or AWS_REGION",
    "InvalidKeyPair": "`aws ec2 describe-key-pairs` lists them: correct the option --key-name, or AWS_REGION",
    "InvalidSubnetID": "`aws ec2 describe-subnets` lists them: correct the option --subnet, or AWS_REGION",
    "InvalidInstanceType": "`aws ec2 describe-instance-type-offerings` lists them: correct --instance-type, or AWS_REGION",
}
"""By the code's beginning: what was named and is not there, and how to see what is."""
NO_NETWORK = frozenset({"VPCIdNotSpecified", "MissingInput", "DefaultVpcDoesNotExist"})
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
    "`aws configure`, or `aws sso login`, or AWS_PROFILE=name of a profile that has some, or AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY; `aws sts get-caller-identity` shows which are used"
)
MEND_EXPIRED = "renew the credentials: `aws sso login`, or set new ones; `aws sts get-caller-identity` shows which are used"
MEND_QUOTA = "ask for a higher quota: `aws service-quotas list-service-quotas --service-code ec2` lists them{where}"


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
    if isinstance(error, boto.UnauthorizedSSOTokenError | boto.SSOTokenLoadError):
        return CredentialsError(call.what, why, MEND_EXPIRED)
    if isinstance(error, CREDENTIALS):
        return CredentialsError(call.what, why, MEND_KEYS)
    if isinstance(error, boto.NoRegionError | boto.InvalidRegionError):
        return ConfigError(call.what, why, "AWS_REGION=us-east-1, or region in runctl.yaml (runctl init), or `aws configure`")
    if isinstance(error, boto.ProfileNotFound):
        return ConfigError(call.what, why, "`aws configure list-profiles` lists them: correct AWS_PROFILE")
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


def message_of(error: Exception) -> str:
    """What EC2 says beside the code."""
    return error.response.get("Error", {}).get("Message", "") if isinstance(error, boto.ClientError) else ""


def _answered(error: boto.ClientError, call: Call) -> RunctlError:
    code = code_of(error)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    why = f"{code}: {' '.join(without_encoded(message_of(error)).split())}".removesuffix(": ")
    if code in THROTTLED:
        return Throttled(call.what, why, "try again: the limit is of the whole account and region, and refills by itself")
    if code in CAPACITY:
        mend = "choose another --instance-type (several: a,b), --subnet (zone) or region; --recover: a group tries until there is"
        return NoCapacity(call.what, why, mend)
    if code in QUOTA:
        return RefusedError(call.what, why, MEND_QUOTA.format(where=f" in {call.region}" if call.region else ""))
    if code in DENIED:
        more = f"; {DECODE}" if encoded(message_of(error)) else ""
        return RefusedError(call.what, why, f"allow {call.service}:{call.action} in the policy of the role or user in use{more}")
    if code in PASSING or status >= 500:
        return Unavailable(call.what, why, "try again")
    return _about_the_account(code, why, call) or _about_the_request(code, why, call)


def _about_the_account(code: str, why: str, call: Call) -> RunctlError | None:
    if code in ACCOUNT:
        return RefusedError(call.what, why, ACCOUNT[code])
    if code in KEYS:
        return CredentialsError(call.what, why, MEND_KEYS)
    if code in EXPIRED:
        return CredentialsError(call.what, why, MEND_EXPIRED)
    if code in CLOCK:
        return CredentialsError(call.what, why, "set the clock: `timedatectl` says whether it is synchronized")
    return None


def _about_the_request(code: str, why: str, call: Call) -> RunctlError:
    where = f" in {call.region}" if call.region else ""
    if code in NO_INSTANCE:
        return NotFoundError(call.what, why, f"`runctl list` shows the runs{where}; another region: AWS_REGION")
    thing = next((mend for beginning, mend in THINGS.items() if code.startswith(beginning)), "")
    if thing:
        return NotFoundError(call.what, why, thing.format(where=where))
    if code in NO_NETWORK:
        return ConfigError(call.what, why, "there is no default network: name a --subnet, or `aws ec2 create-default-vpc`")
    if "iaminstanceprofile" in why.lower():
        return NotFoundError(call.what, why, "correct --role: `aws iam list-instance-profiles` lists them")
    if code.startswith("InvalidBlockDeviceMapping"):
        return ConfigError(call.what, why, "a larger --disk: the root volume is no smaller than the image's")
    if code in MISSING or code.endswith(".NotFound"):
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
