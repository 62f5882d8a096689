"""All that AWS is asked before money is spent, put together: every problem, each told once, and the plan where there is none."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from runctl_agent.contract.spec import Spec
from runctl_agent.errors import ConfigError, NotFoundError, RunctlError, TimedOutError
from runctl_agent.runtime import Runtime

from .beside import Beside
from .checks import Checks, Examined
from .ec2 import Ec2
from .exits import CredentialsError
from .image import find_image
from .launched import Launched
from .plan import Plan
from .request import request
from .shelf import Shelf

NO_PROFILE = "no --instance-profile: its agent can reach S3 and tag the instance only if the image brings credentials"


def checked(
    ec2: Ec2, runtime: Runtime, spec: Spec, launched: Launched, spec_url: str, problems: list[RunctlError], gpus: int = 0
) -> Plan | None:
    """What stands in the way is added to `problems`; None: it is such that no plan could be made."""
    image, examined = None, Examined()
    try:
        image = find_image(ec2, launched.image, launched.instance_type)
    except RunctlError as error:
        problems.append(error)
        if isinstance(error, CredentialsError | TimedOutError):
            return None  # every other question would get the same answer
    try:
        examined = Checks(ec2, Beside(ec2.region), runtime.now).examine(launched, gpus, image)
    except RunctlError as error:
        problems.append(error)
    problems += examined.problems
    if image is None:
        return None
    begun = replace(launched, image=image.id, region=ec2.region, token=runtime.nonce(), at=int(runtime.now()))
    wanted = request(spec, spec_url, begun, image)
    if (refused := _rehearsed(ec2, wanted, examined)) is not None:
        problems.append(refused)
    return Plan(spec, begun, image, wanted, tuple(examined.offers), tuple(examined.remarks))


def _rehearsed(ec2: Ec2, wanted: dict[str, object], examined: Examined) -> RunctlError | None:
    """What EC2 says of a dry run; of a request that is known to be wrong only what it says of rights."""
    try:
        ec2.rehearse(wanted)
    except RunctlError as error:
        return None if examined.problems and isinstance(error, ConfigError | NotFoundError) else error
    return None


def said(plan: Plan, say: Callable[[str], None]) -> None:
    """Beside the launch itself: what it costs, and what nobody could check."""
    if not plan.launched.profile:
        say(NO_PROFILE)
    if plan.offers:
        say(f"{plan.cost}")
    for one in plan.remarks:
        say(f"not known: {one}")


def elsewhere(shelf: Shelf, region: str) -> RunctlError | None:
    """A bucket of another region than the instance's. Only Amazon's own S3 is asked."""
    if os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"):
        return None
    found = shelf.region()
    return other_region(shelf.destination.bucket, found, region)


def other_region(bucket: str, found: str, region: str) -> ConfigError | None:
    """Pure. Empty `found`: nobody said."""
    if not found or found == region:
        return None
    why = f"it is in {found}: every byte of a checkpoint would cross regions, which is slow, and billed"
    mend = f"AWS_REGION={found}, or region in runctl.yaml; or a bucket in {region}"
    return ConfigError(f"the bucket {bucket} is not in {region}", why, mend)
