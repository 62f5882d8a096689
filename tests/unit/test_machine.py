"""Where the machine's own facts come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_agent.machine import host_name, on_ec2


@pytest.mark.parametrize(("vendor", "expected"), [(b"Amazon EC2\n", True), (b"QEMU\n", False), (b"", False)])
def test_the_firmware_says_whether_this_is_ec2(tmp_path: Path, vendor: bytes, expected: bool) -> None:
    file = tmp_path / "sys_vendor"
    file.write_bytes(vendor)
    assert on_ec2({}, str(file)) is expected
    assert on_ec2({"AWS_EC2_METADATA_DISABLED": "true"}, str(file)) is False


def test_no_firmware_to_ask_is_not_ec2(tmp_path: Path) -> None:
    assert on_ec2({}, str(tmp_path / "missing")) is False


def test_a_host_has_a_printable_name() -> None:
    assert host_name().startswith("host-")
    assert host_name().isprintable()
    assert len(host_name()) <= 64
