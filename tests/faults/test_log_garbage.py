"""The training's log is no text, and one line that does not end: it is sent as it is, byte by byte."""

from __future__ import annotations

from pathlib import Path

from runctl_agent.contract.pieces import PIECE
from tests.e2e.logged import Logged
from tests.e2e.seaweed import S3

GARBAGE = bytes(range(256)) * 8 * 1024
"""2 MiB: every byte there is, newlines too."""


def test_bytes_that_are_no_utf_8(tmp_path: Path, s3: S3) -> None:
    logged = Logged(tmp_path, s3)
    with logged.running() as process:
        logged.says(GARBAGE)
        logged.arrives(process)
        assert max(logged.pieces().values()) <= PIECE
        logged.save()
        logged.agent.wait_for(lambda status: status["commits"] == 2, process)


def test_a_line_without_an_end(tmp_path: Path, s3: S3) -> None:
    """As a progress bar writes it."""
    logged = Logged(tmp_path, s3)
    with logged.running() as process:
        logged.says(b"\r[####      ] 41%" * 150_000)
        logged.arrives(process)
        logged.says(b"\r[##########] 100%")
        logged.arrives(process)
        assert max(logged.pieces().values()) <= PIECE
