"""The training's log is rotated under the agent's eyes, and while no agent looks: every line is in S3, once, in its order."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.logged import Logged
from tests.e2e.seaweed import S3


def test_rename_and_a_new_file(tmp_path: Path, s3: S3) -> None:
    logged = Logged(tmp_path, s3)
    with logged.running() as process:
        for day in range(3):
            logged.says(f"day {day}\n")
            logged.arrives(process)
            logged.log.rename(logged.log.with_name(f"training.log.{day}"))
            logged.log.touch()
            logged.says(f"the morning of day {day + 1}\n")
        logged.arrives(process)


def test_while_no_agent_looks(tmp_path: Path, s3: S3) -> None:
    logged = Logged(tmp_path, s3)
    with logged.running() as process:
        logged.says("one\n")
        logged.arrives(process)
    logged.says("two\n")
    logged.log.rename(logged.log.with_name("training.log.1"))
    logged.says("three\n")
    with logged.running() as process:
        logged.arrives(process)


def test_deleted(tmp_path: Path, s3: S3) -> None:
    """What S3 has of it stays, and what is written anew goes on behind it."""
    logged = Logged(tmp_path, s3)
    with logged.running() as process:
        logged.says("one\n")
        logged.arrives(process)
        logged.log.unlink()
        logged.says("two\n")
        logged.arrives(process)
