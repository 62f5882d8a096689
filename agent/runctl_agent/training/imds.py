"""The instance metadata service, version 2: who this instance is, its tags, its life cycle.

Sources: "Use the Instance Metadata Service to access instance metadata", "Instance identity documents" and "View tags for
your EC2 instances using instance metadata" (Amazon EC2 User Guide).
"""

from __future__ import annotations

import http.client
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Protocol
from urllib.parse import quote, urlsplit

from runctl_agent.contract.malformed import Malformed
from runctl_agent.errors import ConfigError, ImdsUnavailable
from runctl_agent.records import Instance

log = logging.getLogger(__name__)

ENDPOINT = "http://169.254.169.254"
TIMEOUT = 2.0
TTL = 21600
"""Seconds that a token is asked for: the most allowed."""
LIMIT = 64 * 1024
"""No answer is longer."""

TOKEN = re.compile(r"[!-~]{1,1024}")
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,63}")
INSTANCE_ID = re.compile(r"i-[A-Za-z0-9-]{1,62}")
TAG_KEY = re.compile(r"[a-zA-Z0-9+\-=.,_:@]{1,128}")

Answer = tuple[int, bytes]
Opener = Callable[[str, str, Mapping[str, str]], Answer]
"""Method, path and headers of one request to its answer: status and body. Raises OSError where nothing answers in time."""


class Metadata(Protocol):
    """What the agent asks of the instance metadata. Every method may raise ImdsUnavailable."""

    def identity(self, boot_id: str, boot_time: int) -> Instance | None:
        """This instance in its present boot; None outside EC2."""

    def tags(self) -> Mapping[str, str] | None:
        """The instance's own tags; None where they can't be had this way."""

    def life_cycle(self) -> str | None:
        """`spot`, `on-demand`, …; None outside EC2."""


class Imds:
    """`opener` is for tests. `kept`: by one connection, for one task that asks all the time: half the CPU of one for each.

    Raises ConfigError where AWS_EC2_METADATA_SERVICE_ENDPOINT is no URL of http.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        opener: Opener | None = None,
        kept: bool = False,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._endpoint = endpoint or environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or ENDPOINT
        self._disabled = environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
        self._open = opener or (_Kept(_connector(self._endpoint)) if kept else _opener(self._endpoint))
        self._token: str | None = None
        self._said: dict[str, str] = {}

    def identity(self, boot_id: str, boot_time: int) -> Instance | None:
        if self._disabled or not self._answers():
            return None
        document = self._get("dynamic/instance-identity/document")
        if document is None:
            return None
        instance = parse_identity(document, boot_id, boot_time)
        if isinstance(instance, Malformed):
            self._say(logging.WARNING, "document", f"is not the metadata service of an EC2 instance: {instance.reason}")
            return None
        self._said.pop("document", None)
        return instance

    def tags(self) -> dict[str, str] | None:
        if self._disabled:
            return None
        listed = self._get("meta-data/tags/instance")
        if listed is None:
            return None
        keys = parse_tag_keys(listed)
        if isinstance(keys, Malformed):
            self._say(logging.WARNING, "tags", f"lists tags that are none: {keys.reason}")
            return None
        self._said.pop("tags", None)
        values = {key: self._get(f"meta-data/tags/instance/{quote(key, safe='')}") for key in keys}
        return {key: value.decode("utf-8", "replace") for key, value in values.items() if value is not None}

    def tag(self, key: str) -> str | None:
        """One of the instance's own tags; None where it is not there, or tags are not had this way."""
        value = None if self._disabled else self._get(f"meta-data/tags/instance/{quote(key, safe='')}")
        return None if value is None else value.decode("utf-8", "replace")

    def event(self, path: str) -> bytes | None:
        """What stands at a path below /latest/; None: nothing, 404."""
        return None if self._disabled else self._get(path)

    def life_cycle(self) -> str | None:
        if self._disabled:
            return None
        word = (self._get("meta-data/instance-life-cycle") or b"").decode("ascii", "replace").strip()
        return word if WORD.fullmatch(word) else None

    def _answers(self) -> bool:
        """Whether anything there speaks IMDSv2; asked twice, for it may be busy while the instance boots."""
        for _ in range(2):
            try:
                return self._renew()
            except OSError as error:
                self._say(logging.INFO, "answer", f"does not answer: {error}")
        return False

    def _get(self, path: str) -> bytes | None:
        """The answer to one path under /latest/, None for 404. A token that is refused is renewed once."""
        try:
            if self._token is None and not self._renew():
                return None
            status, body = self._ask(path)
            if status == 401 and self._renew():
                status, body = self._ask(path)
        except OSError as error:
            raise self._unavailable(path, str(error) or type(error).__name__) from error
        if status == 200:
            return body
        if status == 404:
            return None
        raise self._unavailable(path, f"HTTP {status}")

    def _ask(self, path: str) -> Answer:
        return self._open("GET", f"/latest/{path}", {"X-aws-ec2-metadata-token": self._token or ""})

    def _renew(self) -> bool:
        """Get a new token; False where there is no IMDSv2. Raises OSError, ImdsUnavailable."""
        path = "api/token"
        self._token = None
        status, body = self._open("PUT", f"/latest/{path}", {"X-aws-ec2-metadata-token-ttl-seconds": str(TTL)})
        self._said.pop("answer", None)
        if status == 429 or status >= 500:
            raise self._unavailable(path, f"HTTP {status}")
        token = body.decode("ascii", "replace")
        if status != 200 or not TOKEN.fullmatch(token):
            self._say(logging.WARNING, "token", f"gives no token (HTTP {status}): it is switched off, or no EC2")
            return False
        self._said.pop("token", None)
        self._token = token
        return True

    def _say(self, level: int, subject: str, what: str) -> None:
        """Once, until it changes: everything here is tried again and again."""
        if self._said.get(subject) != what:
            log.log(level, "%s %s", self._endpoint, what)
        self._said[subject] = what

    def _unavailable(self, path: str, why: str) -> ImdsUnavailable:
        return ImdsUnavailable(
            f"GET {self._endpoint}/latest/{path}" if path != "api/token" else f"PUT {self._endpoint}/latest/{path}",
            why,
            "nothing to do: it is tried again; in a container its hop limit has to be 2 (ModifyInstanceMetadataOptions)",
        )


def parse_identity(document: bytes, boot_id: str, boot_time: int) -> Instance | Malformed:
    """Total.

    >>> parse_identity(b"[1]", "boot", 0)
    Malformed(reason='not a JSON object')
    >>> parse_identity(b'{"instanceId": 5}', "boot", 0)
    Malformed(reason='instanceId is 5')
    """
    try:
        fields = json.loads(document)
    except (ValueError, RecursionError):
        return Malformed("not JSON")
    if not isinstance(fields, dict):
        return Malformed("not a JSON object")
    shapes = {"instanceId": INSTANCE_ID, "region": WORD, "instanceType": WORD, "availabilityZone": WORD}
    for name, shape in shapes.items():
        value = fields.get(name)
        if not isinstance(value, str) or not shape.fullmatch(value):
            return Malformed(f"{name} is {value!r:.80}")
    return Instance(
        id=fields["instanceId"],
        region=fields["region"],
        type=fields["instanceType"],
        zone=fields["availabilityZone"],
        boot_id=boot_id,
        boot_time=boot_time,
    )


def parse_tag_keys(listed: bytes) -> list[str] | Malformed:
    """Total. Only keys of the set that IMDS allows can be asked for.

    >>> parse_tag_keys(b"Name\\nrunctl:run\\n")
    ['Name', 'runctl:run']
    >>> parse_tag_keys(b"<html>")
    Malformed(reason="'<html>' is no key")
    """
    keys = listed.decode("utf-8", "replace").split()
    for key in keys:
        if not TAG_KEY.fullmatch(key):
            return Malformed(f"{key!r:.80} is no key")
    return keys


Connector = Callable[[], tuple[http.client.HTTPConnection, str]]
"""A connection, not open yet, and what comes before every path."""


def _connector(endpoint: str) -> Connector:
    try:
        url = urlsplit(endpoint)
        host, port = url.hostname, url.port
    except ValueError:
        url, host, port = urlsplit(""), None, None
    if url.scheme != "http" or not host:
        raise ConfigError(
            f"the metadata service {endpoint!r} can't be asked",
            "it is no URL of http",
            f"unset AWS_EC2_METADATA_SERVICE_ENDPOINT, or set it to {ENDPOINT}",
        )
    base = url.path.rstrip("/")
    return lambda: (http.client.HTTPConnection(host, port, timeout=TIMEOUT), base)


def _opener(endpoint: str) -> Opener:
    """By http.client: it follows no redirect and asks no proxy."""
    connect = _connector(endpoint)

    def open_once(method: str, path: str, headers: Mapping[str, str]) -> Answer:
        connection, base = connect()
        with closing(connection):
            return _asked(connection, method, base + path, headers)

    return open_once


class _Kept:
    """The same by one connection, made anew where the service has closed it. For one task."""

    def __init__(self, connect: Connector) -> None:
        self._connection, self._base = connect()

    def __call__(self, method: str, path: str, headers: Mapping[str, str]) -> Answer:
        used = self._connection.sock is not None
        try:
            return _asked(self._connection, method, self._base + path, headers)
        except OSError:
            self._connection.close()
            if not used:
                raise
        return _asked(self._connection, method, self._base + path, headers)


def _asked(connection: http.client.HTTPConnection, method: str, path: str, headers: Mapping[str, str]) -> Answer:
    try:
        connection.request(method, path, headers=dict(headers))
        with connection.getresponse() as response:
            body = response.read(LIMIT)
            if response.length:
                raise OSError(f"the answer is cut short after {len(body)} bytes")
            return response.status, body
    except (http.client.HTTPException, ValueError, OverflowError) as error:  # the last two for chunks of -1 bytes
        raise OSError(f"what answered is no web server: {type(error).__name__}") from error
