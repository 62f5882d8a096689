"""What botocore raises, as errors of this project with the mend; past here nobody knows botocore.

Sources: "Error responses" (Amazon S3 API Reference); "Actions, resources, and condition keys for Amazon S3" (Service
Authorization Reference); botocore.exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from runctl_agent.errors import (
    BadChecksum,
    NoSuchUpload,
    NotFoundError,
    PreconditionFailed,
    RunctlError,
    SlowDown,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    StoreUnusable,
)

from . import mends

FOREIGN = (boto.BotoCoreError, boto.ClientError, ResponseParserError, HTTPError, OSError, ValueError, KeyError)
"""All that a call of botocore raises. ValueError: an endpoint that is no URL. KeyError: an answer that lacks a part."""

NO_KEY = frozenset({"NoSuchKey", "NoSuchLifecycleConfiguration", "404", "NotFound"})
DENIED = frozenset({"AccessDenied", "AccessForbidden", "AllAccessDisabled", "Forbidden", "UnauthorizedAccess", "403"})
EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"})
UNKNOWN_KEYS = frozenset(
    {"InvalidAccessKeyId", "InvalidClientTokenId", "InvalidToken", "SignatureDoesNotMatch", "AuthorizationQueryParametersError"}
)
OTHER_REGION = frozenset(
    {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301", "400"}
)
SLOW = frozenset(
    {
        "SlowDown",
        "ServiceUnavailable",
        "RequestLimitExceeded",
        "RequestThrottled",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
        "BandwidthLimitExceeded",
        "KMS.ThrottlingException",
        "429",
        "503",
    }
)
PASSING = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "RequestTimeout",
        "IncompleteBody",
        "OperationAborted",
        "TemporaryRedirect",
        "InvalidRange",
        "KMS.InternalException",
        "KMS.DependencyTimeoutException",
    }
)
"""InvalidRange: fewer bytes than were asked for. OperationAborted: another request for the same resource is under way."""
CORRUPTED = frozenset(
    {"BadDigest", "InvalidDigest", "InvalidPart", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "ChecksumMismatch"}
)
"""InvalidPart: a part that is to be joined is not the one that the store has."""
NOT_THERE = frozenset({"NotImplemented", "MethodNotAllowed"})
PRECONDITION = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412"})
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


@dataclass(frozen=True, slots=True)
class Call:
    """One call of S3: what is needed to say what happened to what. `conditional`: with If-Match or If-None-Match."""

    operation: str
    bucket: str
    key: str = ""
    region: str = ""
    endpoint: str = ""
    conditional: bool = False

    @property
    def what(self) -> str:
        return f"{self.operation} {self.url}" if self.bucket else self.operation

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.key}" if self.key else f"s3://{self.bucket}"


@dataclass(frozen=True, slots=True)
class Answer:
    """The parts of an error response that decide. A HEAD's has no body: its `code` is the status."""

    code: str
    status: int
    message: str
    region: str
    request_id: str

    @property
    def why(self) -> str:
        text = f"{self.code}: {self.message}" if self.message else f"HTTP {self.code}"
        return f"{text} (request {self.request_id})" if self.request_id else text

    @property
    def bodiless(self) -> bool:
        return self.code.isdigit()


def translated(error: Exception, call: Call) -> RunctlError:
    """The error to raise for a foreign one. NotFoundError: the object is not there (or its bucket, after a HEAD)."""
    if isinstance(error, boto.ClientError):
        return _answered(_answer(error), call)
    why = _one_line(error)
    if isinstance(error, boto.SSLError) and "CERTIFICATE_VERIFY_FAILED" in why:
        return StoreUnusable(call.what, why, mends.certificate(call.endpoint))
    if isinstance(error, CREDENTIALS):
        return StoreUnusable(call.what, why, mends.CREDENTIALS)
    if isinstance(error, boto.FlexibleChecksumError):
        return StoreUnavailable(call.what, f"what came is not what S3 has: {why}", "nothing to do: it is tried again")
    if isinstance(error, NETWORK):
        return StoreUnavailable(call.what, why, mends.network(call.endpoint, call.region))
    if isinstance(error, boto.ParamValidationError):
        return StoreRefused(call.what, why, "check the bucket and the prefix of `destination` in the run spec")
    return StoreUnusable(call.what, why, mends.CONFIGURATION)


def _answer(error: boto.ClientError) -> Answer:
    body: Mapping[str, str] = error.response.get("Error", {})  # type: ignore[assignment]  # the stubs lack Region
    meta = error.response.get("ResponseMetadata", {})
    headers = meta.get("HTTPHeaders", {})
    region = headers.get("x-amz-bucket-region") or body.get("Region") or ""
    code = body.get("Code") or str(meta.get("HTTPStatusCode", ""))
    message = "" if code.isdigit() else body.get("Message") or ""
    return Answer(code, meta.get("HTTPStatusCode", 0), message, region, meta.get("RequestId") or "")


def _answered(answer: Answer, call: Call) -> RunctlError:
    code, status = answer.code, answer.status
    if code in PRECONDITION or status == 412 or (call.conditional and status in (404, 409) and code != "NoSuchBucket"):
        return PreconditionFailed(call.what, answer.why, "nothing to do: what stands there is read and decides")
    if code == "NoSuchUpload":
        return NoSuchUpload(call.what, answer.why, "nothing to do: the file is sent again")
    if code == "NoSuchBucket" or (call.operation == "HeadBucket" and status == 404):
        return StoreUnusable(call.what, f"there is no bucket {call.bucket}", mends.no_bucket(call.bucket, call.region))
    if code in NO_KEY:
        return NotFoundError(call.what, "there is no such object", f"`aws s3 ls {call.url}` lists what is there")
    if code in CORRUPTED or _is_wrong_whole(answer, call):
        return BadChecksum(call.what, answer.why, "nothing to do: it is sent again")
    if code in SLOW or status in (429, 503):
        return SlowDown(call.what, answer.why, "nothing to do: it is tried again, with fewer requests at a time")
    if code in PASSING or (status >= 500 and code not in NOT_THERE):
        return StoreUnavailable(call.what, answer.why, "nothing to do: it is tried again")
    return _refused(answer, call)


def _is_wrong_whole(answer: Answer, call: Call) -> bool:
    """The completed object would not have the size or the checksum that was announced (InvalidRequest on AWS)."""
    about = answer.message.lower()
    return (
        call.operation == "CompleteMultipartUpload"
        and answer.code == "InvalidRequest"
        and ("x-amz-mp-object-size" in about or "checksum" in about)
        and "must include" not in about
    )


def _refused(answer: Answer, call: Call) -> StoreError:
    code, why = answer.code, answer.why
    if answer.region and answer.region != call.region and (code in OTHER_REGION or 300 <= answer.status < 400):
        why = f"the bucket is in {answer.region} and the request went to {call.region or 'no region'}"
        return StoreUnusable(call.what, why, f"set AWS_REGION={answer.region}, or use a bucket in {call.region or 'the region'}")
    if answer.bodiless:
        why += "; the answer to a HEAD has no body, so S3 does not say why"
    if code.startswith("KMS.") or "kms:" in answer.message:
        return StoreRefused(call.what, why, mends.kms(answer.message))
    if code in DENIED or (answer.status == 403 and answer.bodiless):
        return StoreRefused(call.what, why, mends.denied(call.operation, call.bucket, call.key))
    if code in EXPIRED:
        return StoreUnusable(call.what, why, mends.EXPIRED)
    if code in UNKNOWN_KEYS:
        return StoreUnusable(call.what, why, mends.CREDENTIALS)
    if code in OTHER_REGION or 300 <= answer.status < 400:
        return StoreUnusable(call.what, why, mends.region(call.bucket, call.region))
    return StoreRefused(call.what, why, _mend(code, call))


def _mend(code: str, call: Call) -> str:
    if code == "RequestTimeTooSkewed":
        return "set the clock: `timedatectl` says whether it is synchronized, `chronyc makestep` sets it"
    if code == "InvalidObjectState":
        return f"bring it back from the archive: `aws s3api restore-object --bucket {call.bucket} --key {call.key}`"
    if code in NOT_THERE:
        return f"use Amazon S3, or a server that implements {call.operation}"
    return "`runctl-agent doctor` tries every right by doing"


def _one_line(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"the answer lacks {error}: no S3 sent it"
    return " ".join(str(error).split()) or type(error).__name__
