"""What an instance type has, as DescribeInstanceTypes (Amazon EC2 API Reference) writes it. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runctl_agent.errors import ConfigError, NotFoundError, RunctlError

from . import prices
from .image import Image

GIB = 1024
"""MiB."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """Memory in MiB; `gpu` is the name of its GPUs, `gpu_memory` that of one of them."""

    type: str
    vcpus: int
    memory: int
    gpus: int = 0
    gpu: str = ""
    gpu_memory: int = 0
    architectures: tuple[str, ...] = ()
    spot: bool = True

    def __str__(self) -> str:
        cpu = f"{self.vcpus} vCPUs, {self.memory / GIB:.0f} GiB"
        return f"{cpu}, {self.gpus} × {self.gpu} ({self.gpu_memory / GIB:.0f} GiB)" if self.gpus else f"{cpu}, no GPU"


def hardware_of(described: Mapping[str, Any]) -> Hardware:
    gpus: Sequence[Mapping[str, Any]] = described.get("GpuInfo", {}).get("Gpus", ())
    first: Mapping[str, Any] = gpus[0] if gpus else {}
    return Hardware(
        type=described["InstanceType"],
        vcpus=described.get("VCpuInfo", {}).get("DefaultVCpus", 0),
        memory=described.get("MemoryInfo", {}).get("SizeInMiB", 0),
        gpus=sum(one.get("Count", 0) for one in gpus),
        gpu=first.get("Name", ""),
        gpu_memory=first.get("MemoryInfo", {}).get("SizeInMiB", 0),
        architectures=tuple(described.get("ProcessorInfo", {}).get("SupportedArchitectures", ())),
        spot="spot" in described.get("SupportedUsageClasses", ("spot",)),
    )


def unknown(name: str, region: str, siblings: Iterable[str]) -> RunctlError:
    """`siblings`: the types of its family that the region has."""
    sizes = sorted(siblings)
    near = difflib.get_close_matches(name, sizes or list(prices.table().prices), n=3, cutoff=0.5) or sizes[:3]
    mend = f"did you mean {', '.join(near)}?" if near else "`aws ec2 describe-instance-type-offerings` lists what there is."
    return NotFoundError(
        f"there is no instance type {name}", f"{region} has none of that name", f"{mend} Another region: AWS_REGION"
    )


def unfit(found: Hardware, image: Image | None, *, gpus: int, spot: bool) -> list[RunctlError]:
    """Why a type that is there can't be launched so."""
    problems: list[RunctlError] = []
    if found.gpus < gpus:
        has = f"{found.gpus} of the {gpus} GPUs asked for" if found.gpus else "no GPU"
        problems.append(ConfigError(f"{found.type} has {has}", str(found), "another --instance-type, or a smaller --gpus"))
    if image is not None and image.architecture and found.architectures and image.architecture not in found.architectures:
        why = f"the image {image.id} is of {image.architecture}, the type of {', '.join(found.architectures)}"
        problems.append(ConfigError(f"{found.type} can't start that image", why, "another --instance-type, or another --ami"))
    if spot and not found.spot:
        problems.append(ConfigError(f"{found.type} is not to be had as spot", "EC2 sells it on demand only", "--on-demand"))
    return problems
