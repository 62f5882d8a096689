"""What the agent logs: to stderr, and into a file of bounded size, from which it goes to S3."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest

from runctl_agent import logs

ROOT = logging.getLogger()


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    before = list(ROOT.handlers)
    yield
    for handler in set(ROOT.handlers) - set(before):
        handler.close()
        ROOT.removeHandler(handler)


def test_what_is_logged_is_kept(tmp_path: Path) -> None:
    logs.keep(str(tmp_path / "agent.log"))
    (kept_by,) = (handler for handler in ROOT.handlers if isinstance(handler, RotatingFileHandler))
    # Past pytest's own capture, whose report can't carry half a character.
    kept_by.handle(logging.LogRecord("runctl_agent.sender", logging.WARNING, "", 0, "no\nnews \ud800", None, None))
    kept = (tmp_path / "agent.log").read_text()
    assert 'level=warning stage=sender msg="no\\nnews \\ud800"' in kept
    assert kept.count("\n") == 1


def test_its_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LARGEST", 10_000)
    logs.keep(str(tmp_path / "agent.log"))
    for number in range(2000):
        logging.getLogger("runctl_agent").warning("%d", number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent.log", "agent.log.1"]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    assert 'msg="1999"' in (tmp_path / "agent.log").read_text()


def test_a_disk_without_room_makes_no_noise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`/dev/full` answers ENOSPC to every write, full(4)."""
    (tmp_path / "agent.log").symlink_to("/dev/full")
    logs.keep(str(tmp_path / "agent.log"))
    logging.getLogger("runctl_agent").warning("there is no room")
    assert "Traceback" not in capsys.readouterr().err
