"""What lies in S3 at one destination: the runs, and the small documents of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from runctl_agent.contract.keys import Destination, Keys, parse_destination
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.names import RUN
from runctl_agent.contract.spec import Spec, decode_run
from runctl_agent.contract.status import State, decode_state
from runctl_agent.errors import ConfigError, WrongStateError
from runctl_agent.runtime import Runtime
from runctl_agent.store.objects import Got
from runctl_agent.store.refusals import FOREIGN, Call, translated
from runctl_agent.store.retry import patiently
from runctl_agent.store.s3 import S3Store, connect

from .launched import Launched, decode_launched

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")

CODE = "code"
"""The folder of the code archives, beside the runs: no run can have this name."""


@dataclass(frozen=True, slots=True)
class Standing:
    """`launch.json` as it stands, with the etag that a conditional write needs."""

    launched: Launched
    etag: str


def destination_of(url: str) -> Destination:
    """Raises ConfigError."""
    destination = parse_destination(url)
    if isinstance(destination, Malformed):
        raise ConfigError(f"the destination {url!r} is none", destination.reason, "--destination s3://bucket/prefix")
    return destination


class Shelf:
    """One destination. Documents that are not there are None; what is there and can't be read is an error, never nothing."""

    def __init__(self, url: str, runtime: Runtime) -> None:
        self.destination = destination_of(url)
        self.runtime = runtime
        self._made: tuple[S3Client, S3Store] | None = None

    @property
    def url(self) -> str:
        return self.destination.url

    @property
    def store(self) -> S3Store:
        return self._connected()[1]

    def _connected(self) -> tuple[S3Client, S3Store]:
        """Made at the first use."""
        if self._made is None:
            client = connect()
            self._made = client, S3Store(self.destination.bucket, client=client)
        return self._made

    def keys(self, run: str) -> Keys:
        return Keys(self.destination.prefix, run)

    def url_of(self, key: str) -> str:
        return f"s3://{self.destination.bucket}/{key}"

    def code_key(self, sha256: str) -> str:
        folder = f"{self.destination.prefix}/{CODE}" if self.destination.prefix else CODE
        return f"{folder}/{sha256}.tar.gz"

    def taken(self, run: str) -> bool:
        """Whether anything lies under the run's name. Raises StoreRefused where the bucket can't be listed."""
        base = self.keys(run).base
        return patiently(self.runtime, lambda: next(iter(self.store.list(base)), None)) is not None

    def region(self) -> str:
        """The bucket's, as S3 says even where it refuses (HeadBucket); empty: it does not say."""
        client, _ = self._connected()
        try:
            answer: Mapping[str, Any] = client.head_bucket(Bucket=self.destination.bucket)
        except ClientError as refused:
            answer = refused.response
        except FOREIGN:
            return ""
        found: str = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("x-amz-bucket-region", "")
        return found

    def runs(self, beginning: str = "") -> list[str]:
        """The names of all runs that begin so, in order."""
        names = patiently(self.runtime, lambda: list(self._folders(beginning)))
        return [name for name in names if RUN.fullmatch(name) and name != CODE]

    def _folders(self, beginning: str) -> Iterator[str]:
        client, store = self._connected()
        base = f"{self.destination.prefix}/" if self.destination.prefix else ""
        try:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket, Prefix=base + beginning, Delimiter="/")
            for page in pages:
                for found in page.get("CommonPrefixes", ()):
                    yield found.get("Prefix", "").removeprefix(base).rstrip("/")
        except FOREIGN as error:
            call = Call("ListObjectsV2", store.bucket, base + beginning, store.region, client.meta.endpoint_url)
            raise translated(error, call) from error

    def status(self, run: str) -> State | None:
        """`status.json`, the last state that an agent published."""
        return self._document(self.keys(run).status, decode_state)

    def spec(self, run: str) -> Spec | None:
        """`run.json`, the spec as launched."""
        return self._document(self.keys(run).run_spec, decode_run)

    def launched(self, run: str) -> Standing | None:
        """`launch.json`, what the newest attempt was launched with."""
        key = launch_key(self.keys(run))
        got = self._get(key)
        return None if got is None else Standing(self._decoded(key, got.body, decode_launched), got.etag)

    def _document(self, key: str, decode: Callable[[bytes], T | Malformed]) -> T | None:
        got = self._get(key)
        return None if got is None else self._decoded(key, got.body, decode)

    def _get(self, key: str) -> Got | None:
        return patiently(self.runtime, lambda: self.store.get(key))

    def _decoded(self, key: str, body: bytes, decode: Callable[[bytes], T | Malformed]) -> T:
        found = decode(body)
        if isinstance(found, Malformed):
            raise WrongStateError(
                f"{self.url_of(key)} can't be read", found.reason, f"see what is in it: aws s3 cp {self.url_of(key)} -"
            )
        return found


def launch_key(keys: Keys) -> str:
    return keys.base + "launch.json"
