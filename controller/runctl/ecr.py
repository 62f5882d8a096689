"""Amazon ECR as a push needs it, by boto3; every error of botocore leaves here as one of ours.

Sources: GetAuthorizationToken, DescribeRepositories, CreateRepository (Amazon ECR API Reference).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from boto3.session import Session
from botocore.config import Config

from .ec2 import ATTEMPTS, CONNECT_TIMEOUT, READ_TIMEOUT
from .refusals import FOREIGN, Call, code_of, translated

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient


@dataclass(frozen=True, slots=True)
class Login:
    """Twelve hours long. `registry` is the account's own."""

    registry: str
    user: str
    password: str = field(repr=False)


class Ecr:
    """One region; `account` empty: one's own."""

    def __init__(self, region: str = "", account: str = "") -> None:
        self._region = region or os.environ.get("AWS_REGION") or None  # boto3 itself reads only AWS_DEFAULT_REGION
        self._of: Any = {"registryId": account} if account else {}
        self._made: ECRClient | None = None

    def login(self) -> Login:
        with self._call("GetAuthorizationToken") as client:
            (found,) = client.get_authorization_token()["authorizationData"]
            user, _, password = base64.b64decode(found["authorizationToken"]).decode().partition(":")
            return Login(urlsplit(found["proxyEndpoint"]).netloc, user, password)

    def make(self, repository: str) -> bool:
        """Whether it was not there. Two who make it at a time are both content."""
        if self._there(repository):
            return False
        with self._call("CreateRepository", repository) as client:
            try:
                client.create_repository(repositoryName=repository, **self._of)
            except FOREIGN as error:
                if code_of(error) != "RepositoryAlreadyExistsException":
                    raise
                return False
        return True

    def _there(self, repository: str) -> bool:
        with self._call("DescribeRepositories", repository) as client:
            try:
                client.describe_repositories(repositoryNames=[repository], **self._of)
            except FOREIGN as error:
                if code_of(error) != "RepositoryNotFoundException":
                    raise
                return False
        return True

    @contextmanager
    def _call(self, action: str, subject: str = "") -> Iterator[ECRClient]:
        endpoint = ""
        try:
            client = self._client()
            endpoint = client.meta.endpoint_url
            yield client
        except FOREIGN as error:
            raise translated(error, Call(action, subject, self._region or "", endpoint, service="ecr")) from error

    def _client(self) -> ECRClient:
        if self._made is None:
            config = Config(
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            )
            self._made = Session(region_name=self._region).client("ecr", config=config)
        return self._made
