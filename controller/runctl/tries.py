"""What else to ask EC2 for where it has no capacity: the same type in each zone, then the next type. Pure but for the zones.

Source: "Insufficient capacity errors" (Amazon EC2 User Guide): another zone, another type, later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runctl_agent.errors import RunctlError
from runctl_agent.runtime import Runtime

from .ec2 import Ec2
from .launched import Launched


@dataclass(frozen=True, slots=True)
class Try:
    """`request` has a ClientToken of its own, that of `launched`: EC2 refuses another request with the token of one before."""

    what: str
    launched: Launched
    request: Mapping[str, Any]


def others(ec2: Ec2, runtime: Runtime, launched: Launched, request: Mapping[str, Any]) -> Iterator[Try]:
    """After `request`, which let EC2 choose the zone. A subnet that was asked for is of one zone: there only the type changes."""
    for name in (launched.instance_type, *launched.more_types):
        if name != launched.instance_type:
            yield _try(name, "", runtime, launched, request)
        for zone in [] if launched.subnet else _zones(ec2, name):
            yield _try(name, zone, runtime, launched, request)


def _zones(ec2: Ec2, name: str) -> list[str]:
    """None where EC2 does not say: then the next type is asked for."""
    try:
        return ec2.zones_with(name)
    except RunctlError:
        return []


def _try(name: str, zone: str, runtime: Runtime, launched: Launched, request: Mapping[str, Any]) -> Try:
    begun = launched.begun(runtime.nonce(), int(runtime.now()))
    asked = {**request, "InstanceType": name, "ClientToken": begun.token}
    if zone:
        asked["Placement"] = {"AvailabilityZone": zone}
    return Try(f"{name} in {zone}" if zone else name, begun, asked)
