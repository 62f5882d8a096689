"""The training's log is cut: nothing of it goes from S3, and what is written then is read from its beginning."""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.logged import Logged
from tests.e2e.seaweed import S3


def test_cut_and_grown_again(tmp_path: Path, s3: S3) -> None:
    logged = Logged(tmp_path, s3)
    with logged.running() as process:
        logged.says("of the first training\n")
        logged.arrives(process)
        os.truncate(logged.log, 0)
        logged.says("of the second training\n")
        logged.says("which says more than the first had said\n")
        logged.arrives(process)


def test_cut_under_a_writer_that_goes_on_where_it_was(tmp_path: Path, s3: S3) -> None:
    """copytruncate beside a writer without O_APPEND leaves a hole: said, and not sent as zeros."""
    logged = Logged(tmp_path, s3)
    with logged.running() as process:
        logged.says("before\n" * 100_000)
        logged.arrives(process)
        size = logged.log.stat().st_size
        os.truncate(logged.log, 0)
        os.truncate(logged.log, size)
        logged.says("after\n")
        hole = size // 4096 * 4096
        logged.said = logged.said.removesuffix(b"after\n") + b"\n[%d bytes of this log were left out here]\n" % hole
        logged.said += b"\0" * (size - hole) + b"after\n"
        logged.arrives(process)
