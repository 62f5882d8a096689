"""A marker is read while its writer is in the middle of it."""

from __future__ import annotations

from pathlib import Path

from runctl_agent.training.markers import MarkerSet
from tests.fakes.wrapped import Wrapped


def test_half_an_exit_code_is_not_believed(tmp_path: Path) -> None:
    wrapped = Wrapped(tmp_path)
    markers = MarkerSet()
    markers.observe(wrapped.look(), 0.0)
    with wrapped.exit_code_file.open("w") as writer:
        for at, so_far in ((1.0, "1"), (1.9, "3"), (2.8, "7\n")):
            writer.write(so_far)
            writer.flush()
            assert markers.observe(wrapped.look(), at).exit_code is None
    markers.observe(wrapped.look(), 3.0)
    assert markers.observe(wrapped.look(), 4.0).exit_code == 137


def test_a_writer_that_never_closes_is_believed_once_it_is_quiet(tmp_path: Path) -> None:
    wrapped = Wrapped(tmp_path)
    markers = MarkerSet()
    markers.observe(wrapped.look(), 0.0)
    with wrapped.complete_file.open("w") as writer:
        writer.write("done")
        writer.flush()
        assert markers.observe(wrapped.look(), 1.0).complete_since is None
        assert markers.observe(wrapped.look(), 1.9).complete_since is None
        assert markers.observe(wrapped.look(), 2.0).complete_since == 2.0
