"""The services beside EC2 and S3 that are asked before money is spent: STS, IAM, Service Quotas and the price list. None of
them has to answer: what one does not say is told as not known.

Sources: GetCallerIdentity, DecodeAuthorizationMessage (AWS STS API Reference); GetInstanceProfile (IAM API Reference);
GetServiceQuota (Service Quotas API Reference); GetProducts (AWS Price List Query API Reference).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from boto3.session import Session
from botocore.config import Config

from .refusals import FOREIGN, Call, translated

CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 5.0
ATTEMPTS = 2

PRICE_LIST_REGION = "us-east-1"
"""The price list is served from a few regions only, and has the prices of all: "AWS Price List Query API endpoints"."""


@dataclass(frozen=True, slots=True)
class Identity:
    account: str
    arn: str


class Beside:
    """`region` is that of the run. Every call raises RunctlError."""

    def __init__(self, region: str) -> None:
        self._region = region
        self._session = Session(region_name=region)
        self._made: dict[str, Any] = {}

    def identity(self) -> Identity:
        with self._call("sts", "GetCallerIdentity"):
            found = self._client("sts").get_caller_identity()
            return Identity(found["Account"], found["Arn"])

    def role_of(self, profile: str) -> str:
        """The name of the role in the instance profile, which is given by name or ARN; empty: it has none."""
        name = profile.rpartition("/")[2]
        with self._call("iam", "GetInstanceProfile", name):
            found = self._client("iam").get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
            return next((role["RoleName"] for role in found.get("Roles", ())), "")

    def quota(self, code: str) -> float:
        """vCPUs."""
        with self._call("servicequotas", "GetServiceQuota", code):
            found = self._client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=code)
            return float(found["Quota"]["Value"])

    def on_demand(self, instance_type: str) -> float | None:
        """USD an hour of Linux in the run's region; None: the price list does not know it."""
        wanted = {
            "instanceType": instance_type,
            "regionCode": self._region,
            "operatingSystem": "Linux",
            "tenancy": "Shared",
            "preInstalledSw": "NA",
            "capacitystatus": "Used",
        }
        filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
        with self._call("pricing", "GetProducts"):
            found = self._client("pricing", PRICE_LIST_REGION).get_products(ServiceCode="AmazonEC2", Filters=filters)
            return _price(found["PriceList"])

    def decoded(self, message: str) -> Mapping[str, Any]:
        """What EC2 encodes of a denial."""
        with self._call("sts", "DecodeAuthorizationMessage"):
            found = self._client("sts").decode_authorization_message(EncodedMessage=message)
            decoded: Mapping[str, Any] = json.loads(found["DecodedMessage"])
            return decoded

    def _client(self, service: str, region: str = "") -> Any:
        if service not in self._made:
            config = Config(
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
            )
            make: Any = self._session.client
            self._made[service] = make(service, region_name=region or self._region, config=config)
        return self._made[service]

    @contextmanager
    def _call(self, service: str, action: str, subject: str = "") -> Iterator[None]:
        try:
            yield
        except (
            *FOREIGN,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
        ) as error:  # the last: a document of another shape
            raise translated(error, Call(action, subject, self._region, service=service)) from error


def _price(products: list[str]) -> float | None:
    """Of GetProducts' documents, each JSON in a text: the one price on demand that is not zero."""
    for text in products:
        terms: Mapping[str, Any] = json.loads(text).get("terms", {}).get("OnDemand", {})
        for term in terms.values():
            for dimension in term.get("priceDimensions", {}).values():
                price = float(dimension.get("pricePerUnit", {}).get("USD", 0))
                if price > 0:
                    return price
    return None
