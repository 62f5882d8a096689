"""The RunInstances request. Pure.

Sources: RunInstances (Amazon EC2 API Reference); "Use instance metadata options"; "Block device mappings for volumes on
Amazon EC2 instances"; "Change instance initiated shutdown behavior" (Amazon EC2 User Guide).
"""

from __future__ import annotations

from typing import Any

from runctl_agent import __version__
from runctl_agent.contract.spec import Spec
from runctl_agent.contract.tags import DESTINATION, NAME, OWNER, PROJECT, RUN, VERSION, all_keys

from .image import Image
from .launched import Launched
from .userdata import user_data

HOPS = 2
"""With one hop a container on the instance can't reach its metadata ("Instance metadata: hop limit", Amazon EC2 User Guide)."""


def request(spec: Spec, spec_url: str, launched: Launched, image: Image) -> dict[str, Any]:
    """One instance, as RunInstances takes it; `spec_url` is where the spec lies in S3."""
    wanted: dict[str, Any] = {
        "ImageId": image.id,
        "InstanceType": launched.instance_type,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": launched.token,
        "UserData": user_data(spec, spec_url),
        "InstanceInitiatedShutdownBehavior": _shutdown(spec, launched),
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpEndpoint": "enabled",
            "InstanceMetadataTags": "enabled",
            "HttpPutResponseHopLimit": HOPS,
        },
        "BlockDeviceMappings": [{"DeviceName": image.root_device, "Ebs": _volume(launched, image)}],
        "TagSpecifications": _tags(spec, launched),
    }
    if launched.spot:
        options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
        wanted["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
    if launched.key_name:
        wanted["KeyName"] = launched.key_name
    if launched.subnet:
        wanted["SubnetId"] = launched.subnet
    if launched.security_groups:
        wanted["SecurityGroupIds"] = list(launched.security_groups)
    if launched.profile:
        wanted["IamInstanceProfile"] = {"Arn" if launched.profile.startswith("arn:") else "Name": launched.profile}
    return wanted


def _shutdown(spec: Spec, launched: Launched) -> str:
    """What `poweroff` on the instance means. One-time spot can't be stopped."""
    return "terminate" if launched.spot or "terminate" in (spec.on_finish, spec.on_failure) else "stop"


def _volume(launched: Launched, image: Image) -> dict[str, Any]:
    volume: dict[str, Any] = {"VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    if size := max(launched.disk, image.disk):
        volume["VolumeSize"] = size
    return volume


def _tags(spec: Spec, launched: Launched) -> list[dict[str, Any]]:
    """All of the project's tags, so that none can fail later for want of room; the agent fills its own."""
    known = {NAME: spec.run, RUN: spec.run, PROJECT: spec.project, OWNER: launched.owner}
    on_instance = known | {DESTINATION: spec.destination, VERSION: __version__}
    return [
        {"ResourceType": "instance", "Tags": [_tag(key, on_instance.get(key, "")) for key in all_keys()]},
        {"ResourceType": "volume", "Tags": [_tag(key, value) for key, value in known.items()]},
    ]


def _tag(key: str, value: str) -> dict[str, str]:
    return {"Key": key, "Value": value}
