"""A botocore client of S3, set up so that what it does to a body is one pass over it: into the socket.

By botocore alone: boto3 adds to a client what nobody here uses, at 0.1 s of CPU and 8 MiB.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Literal, cast

from botocore.config import Config

from runctl_agent import aws

from .refusals import FOREIGN, Call, translated

if TYPE_CHECKING:
    from boto3.session import Session
    from mypy_boto3_s3 import S3Client

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 60.0
ATTEMPTS = 3
"""Inside one call; between calls the journal backs off, and remembers over a restart."""
CONNECTIONS = 16


def connect(
    region: str | None = None,
    *,
    endpoint: str | None = None,
    connections: int = CONNECTIONS,
    attempts: int = ATTEMPTS,
    session: Session | None = None,
) -> S3Client:
    """A client of S3. `region`: default AWS_REGION; `endpoint`: default AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL.

    Raises StoreRefused where the settings make no client; nothing is sent yet.
    """
    region = region or os.environ.get("AWS_REGION") or None  # botocore itself reads only AWS_DEFAULT_REGION
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    secured = endpoint is None or endpoint.lower().startswith("https:")
    make = session.client if session is not None else _by_botocore
    try:
        client = make("s3", region_name=region, endpoint_url=endpoint, config=_config(endpoint, connections, attempts, secured))
        if secured and not client.meta.endpoint_url.startswith("https:"):  # the endpoint stands in ~/.aws/config
            client = make("s3", region_name=region, endpoint_url=endpoint, config=_config(endpoint, connections, attempts, False))
    except FOREIGN as error:
        raise translated(error, Call("make a client of S3", "", region=region or "", endpoint=endpoint or "")) from error
    # A round trip for each part, and a wait of a second where the server does not know it (RFC 9110, section 10.1.1).
    client.meta.events.register("before-call.s3", _expect_nothing)
    return client


def _config(endpoint: str | None, connections: int, attempts: int, secured: bool) -> Config:
    style: Literal["path", "auto"] = "path" if endpoint else "auto"
    return Config(
        signature_version="s3v4",
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        # Not adaptive: concurrency.py goes slower for a store that has no time, and botocore would hold every request of the
        # client, status and pointer too, to one in two seconds, so that a storm of 503 was told after half a minute.
        retries={"total_max_attempts": attempts, "mode": "standard"},
        max_pool_connections=connections,
        request_checksum_calculation="when_required",  # the CRC is computed once, by whoever reads the file
        response_checksum_validation="when_required",  # the restorer checks what it gets against the manifest
        # TLS proves a body as well as its signature would, which costs 0.7 s of CPU a GiB.
        s3={"addressing_style": style, "payload_signing_enabled": not secured},
        tcp_keepalive=True,
    )


def _by_botocore(service: Literal["s3"], region_name: str | None, endpoint_url: str | None, config: Config) -> S3Client:
    return cast("S3Client", aws.client(service, region_name, endpoint=endpoint_url, config=config))


def _expect_nothing(params: MutableMapping[str, MutableMapping[str, str]], **_: object) -> None:
    params["headers"].pop("Expect", None)
