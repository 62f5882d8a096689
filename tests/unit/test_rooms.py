from __future__ import annotations

import errno
import mmap

import pytest

from runctl_agent.store.plan import SMALLEST_PART
from runctl_agent.store.rooms import Rooms


def test_a_room_is_used_again() -> None:
    rooms = Rooms()
    with rooms.lend(5) as room:
        room[:] = b"first"
    with rooms.lend(SMALLEST_PART) as room:
        assert len(room) == SMALLEST_PART
        assert bytes(room[:5]) == b"first"
    rooms.clear()
    with rooms.lend(5) as room:
        assert bytes(room) == bytes(5), "it was given back"


def test_two_that_are_lent_at_once_are_two() -> None:
    rooms = Rooms()
    with rooms.lend(3) as one, rooms.lend(3) as other:
        one[:], other[:] = b"one", b"two"
        assert (bytes(one), bytes(other)) == (b"one", b"two")


def test_a_larger_part_gets_a_larger_room() -> None:
    rooms = Rooms()
    for size in (1, SMALLEST_PART + 1, 0, SMALLEST_PART + 1):
        with rooms.lend(size) as room:
            assert len(room) == size


def test_after_it_was_lent_nothing_can_be_written_to_it() -> None:
    with Rooms().lend(1) as room:
        pass
    with pytest.raises(ValueError, match="released"):
        room[0] = 1


def test_what_an_error_still_shows_is_let_go_with_it() -> None:
    rooms = Rooms()
    kept: list[memoryview] = []

    def fail() -> None:
        with rooms.lend(4) as room:
            kept.append(room[1:])
            raise OSError("reset")

    with pytest.raises(OSError, match="reset"):
        fail()
    with rooms.lend(4) as room:
        kept.append(room[1:])
    rooms.clear()
    assert [bytes(view) for view in kept] == [bytes(3), bytes(3)]


class _NoHugePages(mmap.mmap):
    """As on a kernel without CONFIG_TRANSPARENT_HUGEPAGE (madvise(2))."""

    def madvise(self, option: int, start: int = 0, length: int = 0) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")


def test_a_kernel_without_huge_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmap, "mmap", _NoHugePages)
    with Rooms().lend(3) as room:
        assert bytes(room) == bytes(3)
