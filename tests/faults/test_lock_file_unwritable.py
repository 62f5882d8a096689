"""The disk of the lock files is full or broken: what a lock says is for people, so the lock itself is not lost to it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from runctl_agent.disk.lock import Locks
from runctl_agent.errors import WrongStateError

ROOT = "/data/checkpoints"


@pytest.fixture
def locks(tmp_path: Path) -> Locks:
    return Locks(str(tmp_path / "locks"), pid=42, boot_id="boot")


def refuse(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["pwrite", "ftruncate"])
def test_the_lock_is_held_and_given_back_all_the_same(locks: Locks, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, call, refuse)
    lock = locks.acquire(ROOT, "last.pt", "upload", 1.5)
    assert lock is not None
    assert lock.still_ours()
    assert Locks(locks.directory).acquire(ROOT, "last.pt", "flush", 2.0) is None
    lock.release()
    assert len(os.listdir("/proc/self/fd")) == before
    again = locks.acquire(ROOT, "last.pt", "upload", 2.0)
    assert again is not None
    again.release()


def test_a_lock_whose_path_cant_be_looked_at_leaves_nothing(locks: Locks, monkeypatch: pytest.MonkeyPatch) -> None:
    locks_before = len(os.listdir("/proc/self/fd"))
    real = os.fstat

    def fail(fd: int) -> os.stat_result:
        if os.readlink(f"/proc/self/fd/{fd}").endswith(".lock"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", fail)
        with pytest.raises(WrongStateError):
            locks.acquire(ROOT, "last.pt", "upload", 1.5)
    assert len(os.listdir("/proc/self/fd")) == locks_before
    again = locks.acquire(ROOT, "last.pt", "upload", 2.0)
    assert again is not None
    again.release()


def test_a_path_that_leads_nowhere_any_more_is_not_ours(locks: Locks, tmp_path: Path) -> None:
    lock = locks.acquire(ROOT, "last.pt", "upload", 1.5)
    assert lock is not None
    os.rename(tmp_path / "locks", tmp_path / "moved")
    (tmp_path / "locks").write_text("")
    assert not lock.still_ours()
    lock.release()
