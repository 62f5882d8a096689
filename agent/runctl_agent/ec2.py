"""The instance's own tags; nobody else talks to EC2.

Sources: CreateTags, DescribeTags and DescribeInstances (Amazon EC2 API Reference), "Error codes for the Amazon EC2 API".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from . import aws
from .contract.tags import PHASE
from .errors import TagError, TagsFull, TagsRefused, TagsThrottled, TagsUnavailable
from .records import Instance

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, TagTypeDef

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 10.0

THROTTLED = frozenset(
    {"RequestLimitExceeded", "Throttling", "ThrottlingException", "RequestThrottled", "TooManyRequestsException"}
)
PASSING = frozenset({"InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable", "InsufficientInstanceCapacity"})
DENIED = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException"})
CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
        "SignatureDoesNotMatch",
    }
)


class Ec2Tags:
    """A `TagPort` by botocore. `imds_tags` answers None where the instance does not have its tags in IMDS."""

    def __init__(self, instance: Instance, imds_tags: Callable[[], Mapping[str, str] | None]) -> None:
        self._instance = instance
        self._imds_tags = imds_tags
        self._made: EC2Client | None = None

    def create(self, tags: Mapping[str, str]) -> None:
        pairs: list[TagTypeDef] = [{"Key": key, "Value": value} for key, value in tags.items()]
        try:
            self._client().create_tags(Resources=[self._instance.id], Tags=pairs)
        except (BotoCoreError, ClientError) as error:
            raise self._translated("ec2:CreateTags", error) from error

    def rehearse(self) -> None:
        """Ask whether `create` would be allowed; nothing is written. Raises TagError."""
        pairs: list[TagTypeDef] = [{"Key": PHASE, "Value": ""}]
        try:
            self._client().create_tags(Resources=[self._instance.id], Tags=pairs, DryRun=True)
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response.get("Error", {}).get("Code") == "DryRunOperation":
                return
            raise self._translated("ec2:CreateTags", error) from error

    def read(self) -> Mapping[str, str]:
        tags = self._imds_tags()
        return self._describe() if tags is None else tags

    def launch_time(self) -> int:
        """LaunchTime: of the launch, or of the last start of a stopped instance. Raises TagError."""
        try:
            answer = self._client().describe_instances(InstanceIds=[self._instance.id])
            return int(answer["Reservations"][0]["Instances"][0]["LaunchTime"].timestamp())
        except (BotoCoreError, ClientError) as error:
            raise self._translated("ec2:DescribeInstances", error) from error
        except (LookupError, AttributeError) as error:
            what = f"ec2:DescribeInstances on {self._instance.id}"
            raise TagsUnavailable(what, f"the answer has no LaunchTime ({error!r})") from error

    def _describe(self) -> dict[str, str]:
        own: FilterTypeDef = {"Name": "resource-id", "Values": [self._instance.id]}
        try:
            page = self._client().describe_tags(Filters=[own])  # at most 50 tags: one page
        except (BotoCoreError, ClientError) as error:
            raise self._translated("ec2:DescribeTags", error) from error
        return {tag["Key"]: tag.get("Value", "") for tag in page["Tags"] if "Key" in tag}

    def _client(self) -> EC2Client:
        """Made at the first call. One attempt a call: what botocore sent again by itself could land late, and unnoticed."""
        if self._made is None:
            config = Config(
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                retries={"total_max_attempts": 1, "mode": "standard"},
                max_pool_connections=1,
            )
            self._made = cast("EC2Client", aws.client("ec2", self._instance.region, config=config))
        return self._made

    def _translated(self, action: str, error: BotoCoreError | ClientError) -> TagError:
        what = f"{action} on {self._instance.id}"
        if isinstance(error, ClientError):
            return self._answered(what, action, error)
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return TagsRefused(what, str(error), "attach an instance profile that allows ec2:CreateTags on its own instance")
        return TagsUnavailable(what, str(error), f"check the route to the EC2 endpoint of {self._instance.region}")

    def _answered(self, what: str, action: str, error: ClientError) -> TagError:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        why = f"{code}: {error.response.get('Error', {}).get('Message', '')}"
        if code in THROTTLED:
            return TagsThrottled(
                what, why, "nothing to do: it backs off; CreateTags has 10 calls a second per account and region"
            )
        if code in PASSING or status >= 500:
            return TagsUnavailable(what, why)
        if code == "TagLimitExceeded":
            return TagsFull(what, why, f"delete tags of {self._instance.id} that are not runctl's: 50 are allowed")
        return TagsRefused(what, why, self._mend(action, code))

    def _mend(self, action: str, code: str) -> str:
        if code in DENIED:
            return f"allow the instance's role {action} on its own instance, in the policy of its instance profile"
        if code in CREDENTIALS:
            return f"check the instance profile of {self._instance.id} and its role's trust policy"
        if code == "RequestExpired":
            return "set the clock: `timedatectl` says whether it is synchronized"
        return "`runctl-agent doctor` tries every right by doing"
