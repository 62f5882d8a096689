from __future__ import annotations

import errno
import string

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import ProtocolError

from runctl_agent.errors import (
    BadChecksum,
    NoSuchUpload,
    NotFoundError,
    PreconditionFailed,
    RunctlError,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    StoreUnusable,
)
from runctl_agent.store import mends
from runctl_agent.store.body import body_of
from runctl_agent.store.refusals import FOREIGN, Call, translated

CALL = Call("PutObject", "bucket", "some/key", "us-east-1", "https://s3.amazonaws.com")


def descendants(kind: type[boto.BotoCoreError]) -> list[type[boto.BotoCoreError]]:
    found = [one for child in kind.__subclasses__() for one in (child, *descendants(child))]
    return [one for one in found if one.__module__ == boto.__name__ and one is not boto.WaiterError]  # no waiter is used


def made(kind: type[boto.BotoCoreError]) -> boto.BotoCoreError:
    return kind(**{name: "x" for _, name, _, _ in string.Formatter().parse(kind.fmt) if name})


def client_error(code: str, status: int, message: str = "", **headers: str) -> boto.ClientError:
    response = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
    }
    return boto.ClientError(response, "PutObject")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", descendants(boto.BotoCoreError), ids=lambda kind: kind.__name__)
def test_every_exception_of_botocore_has_a_translation(kind: type[boto.BotoCoreError]) -> None:
    error = translated(made(kind), CALL)
    assert isinstance(error, StoreRefused | StoreUnavailable)
    assert error.what == "PutObject s3://bucket/some/key"
    assert error.why
    assert error.mend


@given(
    code=st.sampled_from(["", "AccessDenied", "NoSuchKey", "NoSuchBucket", "SlowDown", "BadDigest", "KMS.X", "404", "301"])
    | st.text(max_size=20),
    status=st.integers(0, 599),
    message=st.text(max_size=40),
    conditional=st.booleans(),
    operation=st.sampled_from([*mends.ACTIONS, "GetBucketLocation"]),
)
def test_every_answer_has_a_translation(code: str, status: int, message: str, conditional: bool, operation: str) -> None:
    call = Call(operation, "bucket", "some/key", "us-east-1", conditional=conditional)
    error = translated(client_error(code, status, message), call)
    assert isinstance(error, StoreError | NotFoundError)
    assert error.what
    assert error.mend
    assert isinstance(error, StoreRefused) == (isinstance(error, StoreError) and error.permanent)


def test_an_answer_of_nothing_has_a_translation() -> None:
    assert isinstance(translated(boto.ClientError({}, "PutObject"), CALL), StoreRefused)


@pytest.mark.parametrize(
    "error",
    [
        boto.EndpointConnectionError(endpoint_url="x", error=OSError("no route")),
        boto.ConnectTimeoutError(endpoint_url="x"),
        boto.ReadTimeoutError(endpoint_url="x"),
        boto.ConnectionClosedError(endpoint_url="x"),
        boto.ProxyConnectionError(proxy_url="x"),
        boto.HTTPClientError(error=ValueError("x")),
        boto.ResponseStreamingError(error=ValueError("x")),
        boto.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        boto.SSLError(endpoint_url="x", error=OSError("EOF occurred in violation of protocol")),
        ResponseParserError("invalid XML received"),
        ProtocolError("connection broken"),
        OSError(errno.ECONNRESET, "reset"),
        TimeoutError("the read timed out"),
        KeyError("ETag"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_network_does_is_tried_again(error: Exception) -> None:
    assert isinstance(error, FOREIGN)
    assert type(translated(error, CALL)) is StoreUnavailable


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (boto.NoCredentialsError(), "instance profile"),
        (boto.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY"), "AWS_SECRET_ACCESS_KEY"),
        (boto.TokenRetrievalError(provider="sso", error_msg="expired"), "aws sts get-caller-identity"),
        (boto.SSLError(endpoint_url="x", error=OSError("[SSL: CERTIFICATE_VERIFY_FAILED]")), "AWS_CA_BUNDLE"),
        (boto.ParamValidationError(report="Invalid bucket name"), "destination"),
        (boto.ProfileNotFound(profile="mine"), "AWS_PROFILE"),
        (ValueError("Invalid endpoint: x"), "AWS_ENDPOINT_URL"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_setting_does_is_refused_with_the_mend(error: Exception, mend: str) -> None:
    refused = translated(error, CALL)
    assert isinstance(refused, StoreRefused)
    assert mend in refused.mend


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", 404, NotFoundError),
        ("404", 404, NotFoundError),
        ("NoSuchUpload", 404, NoSuchUpload),
        ("NoSuchBucket", 404, StoreUnusable),
        ("PreconditionFailed", 412, PreconditionFailed),
        ("ConditionalRequestConflict", 409, PreconditionFailed),
        ("InvalidPart", 400, BadChecksum),
        ("InvalidRange", 416, StoreUnavailable),
        ("ABrandNewCode", 400, StoreRefused),
        ("ABrandNewCode", 500, StoreUnavailable),
    ],
)
def test_the_code_decides(code: str, status: int, kind: type[RunctlError]) -> None:
    assert type(translated(client_error(code, status), CALL)) is kind


def test_a_completion_that_lacks_part_checksums_is_no_bad_checksum() -> None:
    call = Call("CompleteMultipartUpload", "bucket", "key")
    message = "The complete request must include the checksum for each part."
    assert type(translated(client_error("InvalidRequest", 400, message), call)) is StoreRefused


@pytest.mark.parametrize("operation", mends.ACTIONS)
def test_a_denial_names_the_right_and_where(operation: str) -> None:
    mend = mends.denied(operation, "bucket", "some/key")
    assert all(action in mend for action in mends.ACTIONS[operation])
    assert ("arn:aws:s3:::bucket/some/key" in mend) == (operation not in mends.ON_BUCKET)


def test_the_key_of_kms_is_named_where_s3_names_it() -> None:
    message = "not authorized to perform: kms:Decrypt on resource: arn:aws:kms:us-east-1:123:key/a-1 because"
    assert mends.kms(message).startswith("allow kms:Decrypt on arn:aws:kms:us-east-1:123:key/a-1,")
    assert mends.kms("").startswith("allow kms:GenerateDataKey, kms:Decrypt on the key of the bucket")


@given(data=st.binary(max_size=200), start=st.integers(0, 200), length=st.integers(0, 200), pieces=st.integers(1, 50))
def test_a_body_reads_as_the_bytes_of_its_view(data: bytes, start: int, length: int, pieces: int) -> None:
    view = memoryview(bytearray(data))[start : start + length]
    body = body_of(view)
    if isinstance(body, bytes | bytearray):
        assert body == view
        return
    for _ in range(2):  # botocore reads it once to sign, and again for every try
        body.seek(0)
        assert b"".join(iter(lambda: bytes(body.read(pieces)), b"")) == view
    assert body.seek(0, 2) == len(view)
    assert body.read() == b""


def test_a_view_is_read_where_it_lies() -> None:
    buffer = bytearray(b"0123456789")
    for view in (memoryview(buffer), memoryview(buffer)[1:]):
        body = body_of(view)
        assert not isinstance(body, bytes)
        piece: object = body.read(1)
        assert isinstance(piece, memoryview)
        assert piece == view
        assert piece.obj is buffer
    assert body_of(memoryview(buffer)[::-1]) == b"9876543210"
