"""A large body on the short way to S3: signed by botocore, sent by ourselves.

Through botocore and urllib3 a request takes 1.2 ms of CPU, a third of what it takes to encrypt a part; on this way 0.3. Only
what goes well goes this way: at any refusal, error or doubt the request is botocore's, which sends the whole body again and
tries, redirects, refreshes and explains as ever.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.httpsession import get_cert_path
from botocore.session import get_session
from botocore.signers import RequestSigner

from .bandwidth import Limiter
from .client import CONNECT_TIMEOUT, READ_TIMEOUT
from .refusals import FOREIGN
from .wire import OK, Server, Wire

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LEAST = 1024**2
"""Bytes: what is smaller costs about the same on either way."""
MOST_PASSED = 256
"""Parts that go by botocore after this way has failed again and again, before it is tried once more."""
SIGNATURES = frozenset({"s3v4", "v4"})
AGENT = "runctl-agent"


class _Way(NamedTuple):
    """To a bucket: `base` is the URL of a key less the key; and who signs for it."""

    base: str
    wire: Wire
    signer: RequestSigner
    service: str
    region: str


class Direct:
    """To one bucket, by the settings and credentials of a client. Used from several tasks."""

    def __init__(self, client: S3Client, bucket: str, limiter: Limiter | None) -> None:
        self._client = client
        self._bucket = bucket
        self._limiter = limiter if limiter is not None and limiter.limits else None
        self._config: Config = client.meta.config
        self._way: _Way | None = None
        self._asked = ""
        self._failures = 0
        self._to_pass = 0
        self._suits = _suits(client, bucket)
        if self._suits:
            # What is signed, and by whom, is told with every request ("Extensibility guide", boto3): the first goes by botocore.
            for operation in ("PutObject", "UploadPart"):
                client.meta.events.register(f"before-sign.s3.{operation}", self._notice)

    def close(self) -> None:
        way, self._way = self._way, None
        if way is not None:
            way.wire.close()

    def put(self, key: str, query: Mapping[str, str], headers: Mapping[str, str], body: memoryview) -> str | None:
        """The etag that S3 answers; None: send it by botocore, whether this came to nothing or was not tried."""
        if not self._suits or body.nbytes < LEAST or not body.c_contiguous:
            return None
        way = self._way
        if way is None or self._to_pass:
            self._to_pass = max(0, self._to_pass - 1)
            self._asked = quote(key, safe="/~")
            return None
        try:
            etag = self._send(way, key, query, headers, body.cast("B"))
        except FOREIGN:
            etag = None
        if etag is None:
            self._failures += 1
            self._to_pass = min(2**self._failures - 1, MOST_PASSED)
            self._asked = quote(key, safe="/~")
            self.close()
        else:
            self._failures = 0
        return etag

    def _send(self, way: _Way, key: str, query: Mapping[str, str], headers: Mapping[str, str], body: memoryview) -> str | None:
        named = "&".join(f"{name}={quote(value, safe='-_.~')}" for name, value in sorted(query.items()))
        url = f"{way.base}{quote(key, safe='/~')}" + (f"?{named}" if named else "")
        request = AWSRequest("PUT", url, {"Host": _host(url), "User-Agent": AGENT, **headers}, body)
        request.headers["Content-Length"] = str(len(body))
        request.context["client_config"] = self._config  # says whether the body is signed
        way.signer.get_auth_instance(way.service, way.region, "s3v4").add_auth(request)
        answer = way.wire.put(url[url.index("/", len("https://")) :], dict(request.headers.items()), self._pieces(body))
        return answer.headers.get("etag") if answer.status == OK else None

    def _pieces(self, body: memoryview) -> Iterator[memoryview]:
        if self._limiter is None:
            yield body
            return
        most = self._limiter.piece
        for begin in range(0, len(body), most):
            piece = body[begin : begin + most]
            self._limiter.take(len(piece))
            yield piece

    def _notice(
        self,
        request: AWSRequest,
        request_signer: RequestSigner,
        signing_name: str,
        region_name: str,
        signature_version: object,
        **_: object,
    ) -> None:
        """Learn the way from the request that botocore sends in our place: style, endpoint and region are settled in it."""
        url = (request.url or "").partition("?")[0]
        if not self._asked or not url.endswith(f"/{self._asked}"):
            return
        base = url.removesuffix(self._asked)
        self._asked = ""
        signing: Mapping[str, str] = request.context.get("signing", {})
        region, service = signing.get("region") or region_name, signing.get("signing_name") or signing_name
        before, self._way = self._way, None
        if isinstance(signature_version, str) and signature_version in SIGNATURES and region:
            wire = before.wire if before is not None and before.base == base else _wire(base)
            self._way = _Way(base, wire, request_signer, service, region)


def _wire(base: str) -> Wire:
    url = urlsplit(base)
    secured = url.scheme == "https"
    # It trusts whom botocore trusts.
    trusted = get_cert_path(get_session().get_config_variable("ca_bundle") or True) if secured else None
    tls = ssl.create_default_context(cafile=trusted) if secured else None
    return Wire(Server(url.hostname or "", url.port or (443 if secured else 80), tls, CONNECT_TIMEOUT, READ_TIMEOUT))


def _suits(client: S3Client, bucket: str) -> bool:
    """Whether a plain signed PUT is all that it takes: no proxy, no certificate of the client's, a bucket like any other."""
    config: Any = client.meta.config  # its attributes are its arguments, which the stubs leave out
    url = urlsplit(client.meta.endpoint_url)
    proxied = config.proxies or (url.scheme in getproxies() and not proxy_bypass(url.netloc))
    return not (proxied or config.client_cert or ":" in bucket or bucket.endswith("--x-s3"))


def _host(url: str) -> str:
    """As RFC 9110 has it and botocore signs it: without the scheme's own port."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    return host if parts.port in (None, default) else f"{host}:{parts.port}"
