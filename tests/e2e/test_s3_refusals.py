"""What S3 refuses arrives as an error that says what, why and what mends it; nothing of botocore gets out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from boto3.session import Session

from runctl_agent.errors import (
    BadChecksum,
    NoSuchUpload,
    NotFoundError,
    PreconditionFailed,
    RunctlError,
    SlowDown,
    StoreRefused,
    StoreUnavailable,
)
from runctl_agent.store.objects import SentPart
from runctl_agent.store.s3 import S3Store, connect
from tests.e2e.answering import REQUEST_ID, Answer, answering, s3_error
from tests.e2e.seaweed import BUCKET, S3

BODY = b"body"
CRC = zlib.crc32(BODY)
ABSENT_BUCKET = "there-is-no-such-bucket"

Use = Callable[[S3Store, str], object]

WRITES: dict[str, Use] = {
    "PutObject": lambda store, key: store.put(key, BODY, crc=CRC),
    "CreateMultipartUpload": lambda store, key: store.create_multipart(key),
    "DeleteObject": lambda store, key: store.delete(key),
}
READS: dict[str, Use] = {
    "GetObject": lambda store, key: store.get(key),
    "ListObjectsV2": lambda store, key: list(store.list(key)),
}
HEADS: dict[str, Use] = {"HeadObject": lambda store, key: store.head(key)}
PARTS: dict[str, Use] = {
    "UploadPart": lambda store, key: store.put_part(key, "upload", 1, BODY, CRC),
    "ListParts": lambda store, key: store.list_parts(key, "upload"),
    "CompleteMultipartUpload": lambda store, key: store.complete_multipart(key, "upload", [SentPart(1, 4, '"e"')], CRC),
}
ACTIONS = {
    "PutObject": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "UploadPart": "s3:PutObject",
    "ListParts": "s3:ListMultipartUploadParts",
    "CompleteMultipartUpload": "s3:PutObject",
}


def refusal_of(use: Use, store: S3Store, key: str = "some/key") -> StoreRefused:
    with pytest.raises(StoreRefused) as caught:
        use(store, key)
    error = caught.value
    assert error.permanent
    assert error.exit_code == 4
    assert error.what
    assert error.why
    assert error.mend
    return error


@contextmanager
def store_that_answers(answer: Answer, *, region: str = "us-east-1") -> Iterator[S3Store]:
    """One attempt a call, so that botocore's own backoff is not waited for."""
    with answering(answer) as server:
        place = S3(server.endpoint, "")
        try:
            yield place.store(region=region, attempts=1)
        finally:
            place.close()


# --- SeaweedFS says no ---


@pytest.mark.parametrize("operation", WRITES)
def test_who_may_only_read_is_told_which_right_is_missing(s3: S3, operation: str) -> None:
    key = f"{s3.prefix}/key"
    s3.store().put(key, b"stays")
    error = refusal_of(WRITES[operation], s3.acting_as("reader").store(), key)
    assert error.what == f"{operation} s3://{BUCKET}/{key}"
    assert f"{ACTIONS[operation]} on arn:aws:s3:::{BUCKET}/{key}" in error.mend
    got = s3.store().get(key)
    assert got is not None
    assert got.body == b"stays"


@pytest.mark.parametrize("operation", READS)
def test_a_stranger_may_not_read(s3: S3, operation: str) -> None:
    error = refusal_of(READS[operation], s3.acting_as("stranger").store(), f"{s3.prefix}/key")
    assert ACTIONS[operation] in error.mend
    assert "AccessDenied" in error.why


def test_a_denied_head_says_that_s3_does_not_say_why(s3: S3) -> None:
    error = refusal_of(HEADS["HeadObject"], s3.acting_as("stranger").store(), f"{s3.prefix}/key")
    assert "HTTP 403" in error.why
    assert "has no body" in error.why
    assert "s3:GetObject" in error.mend
    assert "s3:ListBucket" in error.mend


def test_the_bucket_is_checked_without_being_made(s3: S3) -> None:
    store = s3.store(ABSENT_BUCKET)
    error = refusal_of(lambda store, key: store.check_bucket(key), store)
    assert f"aws s3 mb s3://{ABSENT_BUCKET}" in error.mend
    assert ABSENT_BUCKET not in [bucket["Name"] for bucket in s3.client().list_buckets()["Buckets"]]
    s3.store().check_bucket(s3.prefix)


def test_another_ones_bucket_is_refused(s3: S3) -> None:
    error = refusal_of(lambda store, key: store.check_bucket(key), s3.acting_as("stranger").store())
    assert f"s3:ListBucket on arn:aws:s3:::{BUCKET}" in error.mend


@pytest.mark.parametrize("operation", ["PutObject", "CreateMultipartUpload", "GetObject", "ListObjectsV2", "HeadObject"])
def test_a_missing_bucket_is_named_by_every_call(s3: S3, operation: str) -> None:
    use = {**WRITES, **READS, **HEADS}[operation]
    error = refusal_of(use, s3.store(ABSENT_BUCKET))
    assert ABSENT_BUCKET in error.why
    assert "aws s3 mb" in error.mend
    assert ABSENT_BUCKET not in [bucket["Name"] for bucket in s3.client().list_buckets()["Buckets"]]


def test_a_range_of_a_missing_bucket_is_no_missing_object(s3: S3) -> None:
    refusal_of(lambda store, key: store.get_range(key, 0, 1), s3.store(ABSENT_BUCKET))


@pytest.mark.parametrize(
    ("access_key", "secret", "code"),
    [("nobody-has-this-key", "secret", "InvalidAccessKeyId"), ("admin", "wrong", "SignatureDoesNotMatch")],
)
def test_wrong_credentials_are_refused(s3: S3, access_key: str, secret: str, code: str) -> None:
    error = refusal_of(WRITES["PutObject"], s3.acting_as(access_key, secret).store())
    assert code in error.why
    assert "aws sts get-caller-identity" in error.mend


# --- nothing reaches a server ---


def test_no_credentials_at_all(s3: S3) -> None:
    client = connect("us-east-1", endpoint=s3.endpoint, session=Session())
    with S3Store(BUCKET, client=client) as store:
        error = refusal_of(WRITES["PutObject"], store)
    assert "instance profile" in error.mend


@pytest.mark.parametrize("use", [*WRITES.values(), *READS.values(), *HEADS.values(), *PARTS.values()])
def test_a_dead_endpoint_is_tried_again(use: Use, refused: str) -> None:
    place = S3(refused, "")
    with pytest.raises(StoreUnavailable) as caught:
        use(place.store(attempts=1), "key")
    place.close()
    assert not caught.value.permanent
    assert refused in caught.value.full


@pytest.mark.parametrize("endpoint", ["not a url", "http://", "127.0.0.1:80"])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str) -> None:
    with pytest.raises(StoreRefused, match=r"S3") as caught:
        connect("us-east-1", endpoint=endpoint)
    assert "AWS_ENDPOINT_URL" in caught.value.mend


def test_a_bucket_name_that_cannot_be_is_refused(s3: S3) -> None:
    error = refusal_of(WRITES["PutObject"], s3.store("No Bucket!"))
    assert "destination" in error.mend


def test_a_region_that_cannot_be_is_refused(s3: S3) -> None:
    with pytest.raises(StoreRefused) as caught:
        connect("no region!", endpoint=s3.endpoint)
    assert "AWS_REGION" in caught.value.mend


def test_the_environment_says_which_s3(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with S3Store(s3.bucket) as store:
        store.put(f"{s3.prefix}/key", BODY, crc=CRC)
        assert store.region == "eu-central-1"
    assert s3.store().get(f"{s3.prefix}/key") is not None


# --- answers that no server at hand gives: the documented ones, from a server of one answer ---


@pytest.mark.parametrize(
    ("status", "code", "message", "mend"),
    [
        (400, "ExpiredToken", "The provided token has expired.", "renew the credentials"),
        (400, "InvalidToken", "The provided token is malformed or otherwise not valid.", "aws sts get-caller-identity"),
        (403, "RequestTimeTooSkewed", "The difference between the request time and the server's time is too large.", "clock"),
        (403, "AccessDenied", "User: arn:aws:sts::1:x is not authorized to perform: s3:PutObject", "s3:PutObject"),
        (
            403,
            "AccessDenied",
            "User: x is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:us-east-1:1:key/abc-1",
            "allow kms:GenerateDataKey on arn:aws:kms:us-east-1:1:key/abc-1",
        ),
        (400, "KMS.DisabledException", "arn:aws:kms:us-east-1:1:key/abc-1 is disabled.", "enable the key"),
        (403, "InvalidObjectState", "The operation is not valid for the object's storage class", "restore-object"),
        (501, "NotImplemented", "A header that you provided implies functionality that is not implemented.", "Amazon S3"),
        (400, "KeyTooLongError", "Your key is too long.", "runctl-agent doctor"),
    ],
)
def test_what_trying_again_cannot_mend(status: int, code: str, message: str, mend: str) -> None:
    with store_that_answers(Answer(status, s3_error(code, message))) as store:
        error = refusal_of(WRITES["PutObject"], store)
    assert mend in error.mend
    assert code in error.why
    assert message in error.why
    assert REQUEST_ID in error.why


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (503, "SlowDown", SlowDown),
        (503, "ServiceUnavailable", SlowDown),
        (500, "InternalError", StoreUnavailable),
        (400, "RequestTimeout", StoreUnavailable),
        (400, "IncompleteBody", StoreUnavailable),
        (409, "OperationAborted", StoreUnavailable),
        (502, "", StoreUnavailable),
        (400, "BadDigest", BadChecksum),
        (400, "InvalidDigest", BadChecksum),
        (400, "XAmzContentChecksumMismatch", BadChecksum),
        (400, "XAmzContentSHA256Mismatch", BadChecksum),
        (404, "NoSuchUpload", NoSuchUpload),
        (412, "PreconditionFailed", PreconditionFailed),
    ],
)
def test_what_is_tried_again_or_decided_by_reading_back(status: int, code: str, kind: type[RunctlError]) -> None:
    body = s3_error(code, "said the server") if code else b"<html>a proxy</html>"
    with store_that_answers(Answer(status, body)) as store, pytest.raises(kind) as caught:
        store.put("some/key", BODY, crc=CRC)
    assert type(caught.value) is kind
    assert caught.value.what == f"PutObject s3://{BUCKET}/some/key"


@pytest.mark.parametrize(
    ("status", "code"), [(409, "ConditionalRequestConflict"), (409, "OperationAborted"), (404, "NoSuchKey"), (412, "")]
)
@pytest.mark.parametrize("condition", [{"if_absent": True}, {"if_match": '"etag"'}])
def test_a_lost_condition_is_decided_by_reading_back(status: int, code: str, condition: dict[str, object]) -> None:
    with store_that_answers(Answer(status, s3_error(code, "no"))) as store, pytest.raises(PreconditionFailed):
        store.put("some/key", BODY, **condition)  # type: ignore[arg-type]


def test_the_missing_bucket_of_a_conditional_write_is_no_lost_condition() -> None:
    with store_that_answers(Answer(404, s3_error("NoSuchBucket", "no"))) as store:
        refusal_of(lambda store, key: store.put(key, BODY, if_absent=True), store)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("BadDigest", "The CRC32 you specified did not match the calculated checksum."),
        ("InvalidPart", "One or more of the specified parts could not be found."),
        ("InvalidRequest", "The provided 'x-amz-mp-object-size' header value 7 does not match what was computed: 4"),
    ],
)
def test_a_whole_that_did_not_arrive_as_announced(code: str, message: str) -> None:
    with store_that_answers(Answer(400, s3_error(code, message))) as store, pytest.raises(BadChecksum):
        PARTS["CompleteMultipartUpload"](store, "key")


def test_an_error_inside_a_completion_of_200() -> None:
    answer = Answer(200, s3_error("InternalError", "We encountered an internal error. Please try again."))
    with store_that_answers(answer) as store, pytest.raises(StoreUnavailable, match="InternalError"):
        PARTS["CompleteMultipartUpload"](store, "key")


# --- the wrong region ---


def test_a_request_to_the_wrong_region_is_sent_again_to_the_right_one() -> None:
    body = s3_error("AuthorizationHeaderMalformed", "the region is wrong", Region="eu-west-1")
    with answering(Answer(400, body, times=1)) as server:
        place = S3(server.endpoint, "")
        place.store(attempts=2).put("key", BODY)
        place.close()
    first, second = server.requests
    assert "/us-east-1/s3/" in first[2]
    assert "/eu-west-1/s3/" in second[2]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(400, s3_error("AuthorizationHeaderMalformed", "the region 'us-east-1' is wrong", Region="eu-west-1")),
        Answer(301, s3_error("PermanentRedirect", "use that endpoint"), headers={"x-amz-bucket-region": "eu-west-1"}),
        Answer(301, headers={"x-amz-bucket-region": "eu-west-1"}),
    ],
    ids=["AuthorizationHeaderMalformed", "PermanentRedirect", "bare 301"],
)
@pytest.mark.parametrize("operation", ["PutObject", "GetObject", "ListObjectsV2", "HeadObject"])
def test_the_wrong_region_names_both(answer: Answer, operation: str) -> None:
    if operation == "HeadObject":
        answer = Answer(answer.status, headers={"x-amz-bucket-region": "eu-west-1"})
    with store_that_answers(answer) as store:
        error = refusal_of({**WRITES, **READS, **HEADS}[operation], store)
    assert "eu-west-1" in error.why
    assert "us-east-1" in error.why
    assert "AWS_REGION=eu-west-1" in error.mend


def test_a_bare_400_may_be_the_region_or_the_credentials() -> None:
    with store_that_answers(Answer(400)) as store:
        error = refusal_of(HEADS["HeadObject"], store)
    assert "has no body" in error.why
    assert "get-bucket-location" in error.mend
    assert "get-caller-identity" in error.mend


# --- answers that are no S3's ---


GARBAGE = [b"<html>log in to the hotel's wifi", b"\x00\xff\xfe", b"{}", b"<ListBucketResult>"]


@pytest.mark.parametrize("operation", [*WRITES, *READS, *PARTS])
def test_garbage_never_gets_out_as_anything_else(operation: str) -> None:
    use = {**WRITES, **READS, **PARTS}[operation]
    with answering(Answer(200)) as server:
        place = S3(server.endpoint, "")
        store = place.store(attempts=1)
        for server.answer in [Answer(status, body) for status in (200, 400, 403, 404, 500) for body in GARBAGE]:
            if server.answer.status >= 400 and not (operation in ("GetObject", "DeleteObject") and server.answer.status == 404):
                with pytest.raises(RunctlError):
                    use(store, "key")
            else:
                with suppress(RunctlError):
                    use(store, "key")
        place.close()


@pytest.mark.parametrize("body", [b"", b"four"])
def test_a_body_that_ends_too_early_is_no_object(body: bytes) -> None:
    with store_that_answers(Answer(200, body, cut_short=True)) as store:
        with pytest.raises(StoreUnavailable):
            store.get("key")
        with pytest.raises(StoreUnavailable):
            store.get_range("key", 0, len(body) + 1)


def test_a_server_that_ignores_the_range_gives_no_bytes() -> None:
    with store_that_answers(Answer(200, b"the whole object")) as store, pytest.raises(StoreUnavailable, match="16 bytes"):
        store.get_range("key", 4, 5)


def test_a_missing_object_is_none_only_where_the_answer_says_so() -> None:
    with store_that_answers(Answer(404, s3_error("NoSuchKey", "The specified key does not exist."))) as store:
        assert store.get("key") is None
        with pytest.raises(NotFoundError):
            store.get_range("key", 0, 1)
