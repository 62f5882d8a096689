"""Which boot this is: the kernel's word, or that of a machine that shares its kernel."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from runctl_agent.boot import boot_id, boot_time
from runctl_agent.errors import ConfigError


def test_the_kernel_says_it() -> None:
    assert boot_id({}) == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert boot_time({}) == int(psutil.boot_time())


def test_a_machine_that_shares_its_kernel_says_it_itself() -> None:
    assert boot_id({"RUNCTL_BOOT_ID": "second-boot"}) == "second-boot"
    assert boot_time({"RUNCTL_BOOT_TIME": "1800000000"}) == 1_800_000_000


@pytest.mark.parametrize("value", ["a/b", "x" * 65, "é"])
def test_an_id_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"RUNCTL_BOOT_ID can.t be used") as caught:
        boot_id({"RUNCTL_BOOT_ID": value})
    assert (caught.value.exit_code, caught.value.mend) == (3, "correct it, or unset RUNCTL_BOOT_ID")


@pytest.mark.parametrize("value", ["now", "-1", "1.5", "12345678901"])
def test_a_time_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"RUNCTL_BOOT_TIME can.t be used"):
        boot_time({"RUNCTL_BOOT_TIME": value})
