"""The clock of the machine is set forth and back in the middle of uploads: by what S3 bears, and by an hour and right again.

Real SeaweedFS, which refuses what is signed at another hour, and the real agent, whose clock is libfaketime's
(https://github.com/wolfcw/libfaketime); only the wall clock is, as in a real step.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.proof.proven import Proven

STEPS = (120, -120)
"""Seconds beside the right time that S3 bears."""

TOO_FAR = (3600, -3600)
"""S3 refuses what is signed more than 15 minutes beside its own time (RequestTimeTooSkewed)."""


@pytest.fixture(scope="session")
def faketime() -> Path:
    def found() -> Path | None:
        return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

    if found() is None:
        assert shutil.which("apt-get"), "libfaketime is missing, and there is no apt-get to install it"
        subprocess.run(["apt-get", "-q", "update"], check=False, capture_output=True, timeout=300)
        subprocess.run(["apt-get", "-q", "-y", "install", "libfaketime"], check=True, capture_output=True, timeout=300)
    library = found()
    assert library is not None
    return library


def test_it_is_told_and_all_is_sent_once_the_clock_is_right(proven: Proven, faketime: Path) -> None:
    told = proven.place / "time"
    told.write_text("+0s\n")
    proven.env |= {
        "LD_PRELOAD": str(faketime),
        "FAKETIME_TIMESTAMP_FILE": str(told),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    with proven.running() as process:
        for step in (*STEPS, *TOO_FAR):
            proven.until_it_sends(process, len(proven.sizes) + 1, 30_000_000)
            told.write_text(f"{step:+}s\n")
            proven.save(len(proven.sizes) + 1, 1_000_000)
            if step in TOO_FAR:
                status = proven.wait_for(lambda status: "RequestTimeTooSkewed" in status["error"], process)
                refused = next(one for one in status["conditions"] if one["name"] == "NoPermission")
                assert "set the clock" in refused["message"]
                told.write_text("+0s\n")
            proven.until_all_is_sent(process)
    print(f"clock set {len(STEPS) + 2 * len(TOO_FAR)} times: {proven.prove()}")
