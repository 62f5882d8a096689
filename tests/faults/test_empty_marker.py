"""A marker that was created and not written, or not yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from runctl_agent.training.markers import Markers, MarkerSet
from tests.fakes.wrapped import Wrapped


@pytest.mark.parametrize("body", ["", "\n", "  \t\r\n"])
def test_an_empty_marker_is_not_there_yet(tmp_path: Path, body: str) -> None:
    wrapped = Wrapped(tmp_path)
    markers = MarkerSet()
    markers.observe(wrapped.look(), 0.0)
    for path in (wrapped.exit_code_file, wrapped.complete_file):
        path.write_text(body)
    for now in (1.0, 100.0):
        assert markers.observe(wrapped.look(), now) == Markers()
    wrapped.complete_file.write_text("done")
    markers.observe(wrapped.look(), 200.0)
    assert markers.observe(wrapped.look(), 201.0).complete_since in (200.0, 201.0)


def test_an_empty_pid_file_names_nobody(tmp_path: Path) -> None:
    wrapped = Wrapped(tmp_path)
    wrapped.pid_file.write_text("")
    assert MarkerSet().observe(wrapped.look(), 0.0).pid is None
