"""The image of a launch that names none: the newest own one with an agent that the instance type can start.

EC2's answers are made up here: moto forgets an image's architecture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from runctl.ec2 import Ec2
from runctl.image import find_image

TYPES = {"g5.xlarge": ["x86_64"], "g5g.xlarge": ["arm64"], "t2.micro": ["i386", "x86_64"]}


def described(name: str, architecture: str, day: int) -> dict[str, Any]:
    created = f"2026-11-{day:02}T00:00:00.000Z"
    return {"ImageId": name, "Architecture": architecture, "CreationDate": created, "RootDeviceName": "/dev/sda1"}


class Answers:
    def __init__(self, *images: dict[str, Any]) -> None:
        self.own, self.asked = images, 0
        self.region = "us-east-1"

    def images(self, *, tag: str) -> list[Mapping[str, Any]]:
        assert tag
        return list(self.own)

    def types(self, name: str) -> list[Mapping[str, Any]]:
        self.asked += 1
        return [{"ProcessorInfo": {"SupportedArchitectures": TYPES[name]}}] if name in TYPES else []


OLD, INTEL, ARM = described("ami-1", "x86_64", 1), described("ami-2", "x86_64", 2), described("ami-3", "arm64", 3)


@pytest.mark.parametrize(
    ("kind", "chosen"),
    [("g5.xlarge", "ami-2"), ("g5g.xlarge", "ami-3"), ("t2.micro", "ami-2"), ("g5.xlrage", "ami-3"), ("", "ami-3")],
)
def test_the_newest_that_the_type_can_start(kind: str, chosen: str) -> None:
    assert find_image(cast("Ec2", Answers(OLD, INTEL, ARM)), "", kind).id == chosen


def test_none_that_it_can_start_is_left_to_whoever_compares_them() -> None:
    assert find_image(cast("Ec2", Answers(OLD, ARM)), "", "g5g.xlarge").id == "ami-3"
    assert find_image(cast("Ec2", Answers(ARM)), "", "g5.xlarge").architecture == "arm64"


def test_images_of_one_architecture_cost_no_call() -> None:
    answers = Answers(OLD, INTEL)
    assert find_image(cast("Ec2", answers), "", "g5.xlarge").id == "ami-2"
    assert answers.asked == 0
