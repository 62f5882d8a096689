"""Reading and hashing stand back, and nothing else does."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest
from blake3 import blake3

from runctl_agent import priority
from runctl_agent.priority import NICER, standing_back
from runctl_agent.store import piece
from runctl_agent.store.plan import Span

IDLE = "idle"


def _of_this_thread() -> tuple[int, str]:
    thread = threading.get_native_id()
    nice = os.getpriority(os.PRIO_PROCESS, thread)
    shown = subprocess.run(["ionice", "-p", str(thread)], capture_output=True, text=True, check=True).stdout
    return nice, shown.partition(":")[0].strip()


def test_within_it_the_thread_is_nicer_and_of_the_idle_class_and_after_it_as_before() -> None:
    nice, _ = before = _of_this_thread()
    with standing_back():
        within = _of_this_thread()
    assert within == (nice + NICER, IDLE)
    assert _of_this_thread() == before


def test_who_may_not_come_back_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    nice, _ = _of_this_thread()
    monkeypatch.setattr(priority, "_may_come_back", lambda: False)
    with standing_back():
        assert _of_this_thread() == (nice, IDLE)
    assert _of_this_thread()[0] == nice


def test_an_error_within_it_ends_it_too() -> None:
    before = _of_this_thread()
    with pytest.raises(ValueError, match="x"), standing_back():
        raise ValueError("x")
    assert _of_this_thread() == before


def test_a_part_is_read_and_hashed_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"content")
    found: list[tuple[int, str]] = []

    def telling(*arguments: bytes) -> object:
        found.append(_of_this_thread())
        return blake3(*arguments)

    monkeypatch.setattr("runctl_agent.store.piece.blake3", telling)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    try:
        piece.read_facts(descriptor, [Span(1, 0, 7)], "file")
    finally:
        os.close(descriptor)
    assert [of for _, of in found] == [IDLE]
    assert _of_this_thread()[1] != IDLE
