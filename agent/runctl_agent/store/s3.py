"""The object store on S3, by botocore. Every error of botocore leaves here as one of `errors.py`.

Sources: Amazon S3 API Reference; "Checking object integrity" and "Conditional requests" (Amazon S3 User Guide).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypedDict, cast

from botocore.exceptions import ClientError

from runctl_agent.contract.document import LARGEST_BODY
from runctl_agent.errors import NoSuchUpload, NotFoundError, StoreUnavailable

from .bandwidth import Limiter
from .body import body_of
from .client import CONNECTIONS
from .client import connect as connect
from .crc import crc32
from .direct import Direct
from .downlink import Downlink
from .lifecycle import Lifecycle
from .objects import Got, Head, SentPart, Source
from .ranged import RangedBody, Stream, short
from .refusals import FOREIGN, Call, translated

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef


class _PutOptions(TypedDict, total=False):
    ChecksumCRC32: str
    IfNoneMatch: str
    IfMatch: str


class S3Store:
    """One bucket. Safe to use from several threads."""

    def __init__(
        self,
        bucket: str,
        *,
        region: str | None = None,
        client: S3Client | None = None,
        connections: int = CONNECTIONS,
        limiter: Limiter | None = None,
    ) -> None:
        self.bucket = bucket
        self._limiter = limiter
        self._client = client or connect(region, connections=connections)
        self._downlink = Downlink(self._client)
        self._direct = Direct(self._client, bucket, limiter)

    def __enter__(self) -> S3Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; calls after it open new ones."""
        self._downlink.close()
        self._direct.close()
        self._client.close()

    @property
    def region(self) -> str:
        """Where requests go; empty if none is configured, and botocore finds it out."""
        name = self._client.meta.region_name or ""
        return "" if name == "aws-global" else name

    def check_bucket(self, prefix: str) -> None:
        """Raise StoreRefused if the bucket is not there or not ours: some servers make a missing one at the first write.

        By a list below `prefix`: the answer to a HEAD does not say why, and who may list only a prefix is refused it.
        """
        with self._call("ListObjectsV2", prefix):
            self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, MaxKeys=1)

    def lifecycle(self) -> Lifecycle:
        """The bucket's lifecycle rules; none where it has none."""
        try:
            with self._call("GetBucketLifecycleConfiguration"):
                found: Mapping[str, Any] = self._client.get_bucket_lifecycle_configuration(Bucket=self.bucket)
        except NotFoundError:
            return Lifecycle(())
        return Lifecycle(tuple(found.get("Rules", ())), found.get("TransitionDefaultMinimumObjectSize", ""))

    def server_time(self) -> float:
        """The server's clock, in seconds since the epoch: whatever it answers bears a Date (RFC 9110). Raises StoreError."""
        with self._call("HeadBucket"):
            try:
                answer: Mapping[str, Any] = self._client.head_bucket(Bucket=self.bucket)
            except ClientError as refused:
                answer = refused.response
            date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        try:
            return parsedate_to_datetime(date).timestamp()
        except (ValueError, OverflowError) as error:
            raise StoreUnavailable(f"the clock of {self._client.meta.endpoint_url}", f"it says {date!r:.80}") from error

    def put(
        self,
        key: str,
        body: bytes | memoryview,
        *,
        crc: int | None = None,
        if_absent: bool = False,
        if_match: str | None = None,
    ) -> str:
        crc = crc32(body) if crc is None else crc
        etag = None if if_match is not None else self._direct.put(key, {}, _put_headers(crc, if_absent), memoryview(body))
        if etag is not None:
            return etag
        options = _options(crc, if_absent, if_match)
        with self._call("PutObject", key, conditional=if_absent or if_match is not None):
            return self._client.put_object(Bucket=self.bucket, Key=key, Body=body_of(body, self._limiter), **options)["ETag"]

    def get(self, key: str) -> Got | None:
        try:
            with self._call("GetObject", key):
                # botocore compares the body with the checksum that S3 kept of it, where that is the whole object's.
                answer = self._client.get_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
                with closing(answer["Body"]) as body:
                    return Got(_at_most(body, answer["ContentLength"]), answer["ETag"])
        except NotFoundError:
            return None

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        if length == 0:
            return self._nothing_of(key)
        with self.open_range(key, offset, length) as body:
            return body.whole()

    @contextmanager
    def open_range(self, key: str, offset: int, length: int) -> Iterator[RangedBody]:
        call = self._described("GetObject", key)
        with self._call("GetObject", key):
            answer = self._client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={offset}-{offset + length - 1}")
        with closing(answer["Body"]) as body:
            if answer["ContentLength"] != length:
                raise short(call, f"{answer['ContentLength']} bytes came instead of the {length} from byte {offset}")
            yield RangedBody(cast("Stream", body), length, call, self._limiter)

    def _nothing_of(self, key: str) -> bytes:
        """S3 has no empty range: only whether the object is there can be asked."""
        if self.head(key) is None:
            raise NotFoundError(f"GetObject s3://{self.bucket}/{key}", "there is no such object")
        return b""

    def head(self, key: str) -> Head | None:
        try:
            with self._call("HeadObject", key):
                answer = self._client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
                return Head(answer["ContentLength"], answer["ETag"], _full_crc(answer))
        except NotFoundError:
            self.check_bucket(key)  # the answer to a HEAD has no body: a missing bucket looks like a missing key
            return None

    def list(self, prefix: str) -> Iterator[str]:
        with self._call("ListObjectsV2", prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                yield from (entry["Key"] for entry in page.get("Contents", ()))

    def create_multipart(self, key: str) -> str:
        with self._call("CreateMultipartUpload", key):
            return self._client.create_multipart_upload(
                Bucket=self.bucket, Key=key, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
            )["UploadId"]

    def put_part(self, key: str, upload_id: str, number: int, body: bytes | memoryview, crc: int) -> str:
        query, headers = {"partNumber": str(number), "uploadId": upload_id}, {"x-amz-checksum-crc32": _encoded(crc)}
        etag = self._direct.put(key, query, headers, memoryview(body))
        if etag is not None:
            return etag
        with self._call("UploadPart", key):
            return self._client.upload_part(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                Body=body_of(body, self._limiter),
                ChecksumCRC32=_encoded(crc),
            )["ETag"]

    def copy_part(self, key: str, upload_id: str, number: int, source: Source) -> str:
        with self._call("UploadPartCopy", key):
            answer = self._client.upload_part_copy(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload_id,
                PartNumber=number,
                CopySource={"Bucket": self.bucket, "Key": source.key},
                CopySourceIfMatch=source.etag,
                CopySourceRange=f"bytes={source.offset}-{source.offset + source.length - 1}",
            )
            etag = answer["CopyPartResult"]["ETag"]
            return etag if etag.startswith('"') else f'"{etag}"'  # as ListParts gives it; SeaweedFS leaves them away here

    def list_parts(self, key: str, upload_id: str) -> Sequence[SentPart]:
        parts: list[SentPart] = []
        with self._call("ListParts", key):
            for page in self._client.get_paginator("list_parts").paginate(Bucket=self.bucket, Key=key, UploadId=upload_id):
                parts += (SentPart(part["PartNumber"], part["Size"], part["ETag"]) for part in page.get("Parts", ()))
        return list(dict.fromkeys(parts))  # SeaweedFS may list a part that was sent twice twice

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[SentPart], crc: int) -> str:
        named: list[CompletedPartTypeDef] = [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
        with self._call("CompleteMultipartUpload", key):
            return self._client.complete_multipart_upload(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": named},
                ChecksumCRC32=_encoded(crc),
                ChecksumType="FULL_OBJECT",
                MpuObjectSize=sum(part.size for part in parts),
            )["ETag"]

    def abort_multipart(self, key: str, upload_id: str) -> None:
        with suppress(NoSuchUpload, NotFoundError), self._call("AbortMultipartUpload", key):
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)

    def delete(self, key: str) -> None:
        # S3 answers 204 where nothing is, other stores 404.
        with suppress(NotFoundError), self._call("DeleteObject", key):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    @contextmanager
    def _call(self, operation: str, key: str = "", *, conditional: bool = False) -> Iterator[None]:
        try:
            yield
        except FOREIGN as error:
            raise translated(error, self._described(operation, key, conditional=conditional)) from error

    def _described(self, operation: str, key: str, *, conditional: bool = False) -> Call:
        return Call(operation, self.bucket, key, self.region, self._client.meta.endpoint_url, conditional)


def _at_most(body: Any, length: int) -> bytes:
    """A document, whole; of what is too large to be one, as much as tells that, whatever somebody put there."""
    read: bytes = body.read() if length <= LARGEST_BODY else body.read(LARGEST_BODY + 1)
    return read


def _options(crc: int, if_absent: bool, if_match: str | None) -> _PutOptions:
    options = _PutOptions(ChecksumCRC32=_encoded(crc))
    if if_absent:
        options["IfNoneMatch"] = "*"
    if if_match is not None:
        options["IfMatch"] = if_match
    return options


def _put_headers(crc: int, if_absent: bool) -> dict[str, str]:
    return {"x-amz-checksum-crc32": _encoded(crc)} | ({"If-None-Match": "*"} if if_absent else {})


def _encoded(crc: int) -> str:
    """As S3 takes a CRC-32: base64 of four bytes, big-endian."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode("ascii")


def _full_crc(answer: Mapping[str, Any]) -> int | None:
    """The CRC-32 of the whole object; None where there is none, or only a checksum of the parts' checksums."""
    if answer.get("ChecksumType", "FULL_OBJECT") != "FULL_OBJECT":
        return None
    try:
        value = base64.b64decode(answer.get("ChecksumCRC32", ""), validate=True)
    except ValueError:
        return None  # "<checksum>-<number of parts>"
    return int.from_bytes(value, "big") if len(value) == 4 else None
