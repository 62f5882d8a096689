"""How many vCPUs an account may run: which quota a type counts against, and whether one more fits. Pure.

Sources: "Amazon EC2 instance type quotas", "Spot Instance quotas" (Amazon EC2 User Guide): quotas count vCPUs of pending and
running instances; the codes: Service Quotas, service code ec2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from runctl_agent.errors import RefusedError

from .hardware import Hardware

FIRST_OF_P5 = 5

_G = ("G and VT", "L-DB2E81BA", "L-3819A6DF")
_P = ("P", "L-417A185B", "L-7212CCBC")
_P5 = ("P", "L-417A185B", "L-C4BD4855")
_STANDARD = ("Standard (A, C, D, H, I, M, R, T, Z)", "L-1216C47A", "L-34B43A08")
_FAMILIES: dict[str, tuple[str, str, str]] = {
    **dict.fromkeys(("g", "gr", "vt"), _G),
    "p": _P,
    "trn": ("Trn", "L-2C3B7624", "L-6B0D517C"),
    "inf": ("Inf", "L-1945791B", "L-B5D1601B"),
    "dl": ("DL", "L-6E869C2A", "L-85EED4F7"),
    "f": ("F", "L-74FC7D96", "L-88CF9481"),
    "x": ("X", "L-7295265B", "L-E3A00192"),
    **dict.fromkeys(("a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"), _STANDARD),
}
"""Letters that a type begins with: name, code on demand, code of spot."""


@dataclass(frozen=True, slots=True)
class Quota:
    """`limit` and `used` in vCPUs."""

    code: str
    name: str
    limit: float
    used: float

    def __str__(self) -> str:
        return f"{self.used:.0f} of {self.limit:.0f} vCPUs of {self.name} are in use"


def quota_of(instance_type: str, *, spot: bool) -> tuple[str, str] | None:
    """Code and name; None: no quota of vCPUs is known for it."""
    found = re.match(r"([a-z]+)([0-9]+)", instance_type)
    if found is None or found[1] not in _FAMILIES:
        return None
    family = _P5 if found[1] == "p" and int(found[2]) >= FIRST_OF_P5 else _FAMILIES[found[1]]
    return (family[2], f"{family[0]} spot") if spot else (family[1], f"{family[0]} on demand")


def counting(instances: Iterable[Mapping[str, Any]], code: str) -> list[str]:
    """The type of each instance, as DescribeInstances writes them, that counts against the quota."""
    found = (
        (one["InstanceType"], quota_of(one["InstanceType"], spot=one.get("InstanceLifecycle") == "spot")) for one in instances
    )
    return [name for name, quota in found if quota is not None and quota[0] == code]


def exceeded(quota: Quota, wanted: Hardware, region: str) -> RefusedError | None:
    if quota.used + wanted.vcpus <= quota.limit:
        return None
    more = int(quota.used + wanted.vcpus)
    mend = (
        f"aws service-quotas request-service-quota-increase --service-code ec2 --quota-code {quota.code} "
        f"--desired-value {more} --region {region}"
    )
    return RefusedError(f"the quota does not allow a {wanted.type}", f"it has {wanted.vcpus} vCPUs, and {quota}", mend)
