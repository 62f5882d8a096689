"""The machine image: the one asked for, or the newest own one that has an agent in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runctl_agent.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from .ec2 import Ec2

AGENT_VERSION = "runctl:agent-version"
"""The tag of an image that has the agent; its value is the agent's version."""


@dataclass(frozen=True, slots=True)
class Image:
    """`root_device` is as the image names it; `disk` is the size of its root volume in GiB, 0 if it does not say."""

    id: str
    root_device: str
    disk: int
    agent_version: str  # empty: its tags don't say
    architecture: str = ""
    created: str = ""  # as EC2 writes it


def find_image(ec2: Ec2, wanted: str, instance_type: str = "") -> Image:
    """The image `wanted`; empty: the newest available own one with the agent's tag. Raises NotFoundError, ConfigError.

    Where own ones are of several architectures, the newest that `instance_type` can start; if none can, that is told with it.
    """
    if wanted:
        found = ec2.images(ids=[wanted])
        if not found:
            raise NotFoundError(f"there is no image {wanted}", f"EC2 knows none in {ec2.region}", "correct --ami, or AWS_REGION")
        return image_of(found[0])
    own = ec2.images(tag=AGENT_VERSION)
    if not own:
        raise NotFoundError(
            f"there is no image with an agent in {ec2.region}",
            f"none of the account's own images has the tag {AGENT_VERSION}",
            "build one: packer build, see docs/image.md; or name one that has the agent with --ami",
        )
    if instance_type and len({one.get("Architecture") for one in own}) > 1:
        processors = [one.get("ProcessorInfo", {}) for one in ec2.types(instance_type)]
        able = {name for one in processors for name in one.get("SupportedArchitectures", ())}
        own = [one for one in own if one.get("Architecture") in able] or own
    return image_of(max(own, key=lambda one: (one.get("CreationDate", ""), one["ImageId"])))


def image_of(described: Mapping[str, Any]) -> Image:
    """One image as DescribeImages writes it. Raises ConfigError for one that does not start from EBS."""
    device = described.get("RootDeviceName", "")
    if not device or described.get("RootDeviceType") == "instance-store":
        raise ConfigError(
            f"the image {described['ImageId']} can't be used",
            "its root is an instance store, which can't be encrypted nor stopped" if device else "it names no root device",
            "choose an image that starts from EBS with --ami",
        )
    volumes = (mapping for mapping in described.get("BlockDeviceMappings", ()) if mapping.get("DeviceName") == device)
    disk = next((mapping.get("Ebs", {}).get("VolumeSize", 0) for mapping in volumes), 0)
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", ())}
    whose, when = described.get("Architecture", ""), described.get("CreationDate", "")
    return Image(described["ImageId"], device, disk, tags.get(AGENT_VERSION, ""), whose, when)
