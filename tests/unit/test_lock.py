from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.disk.lock import Holder, Locks, default_runtime_dir, lock_file_name, trainer_lock_held
from runctl_agent.errors import WrongStateError

ROOT = "/data/checkpoints"


@pytest.fixture
def locks(tmp_path: Path) -> Locks:
    return Locks(str(tmp_path / "run" / "locks"), pid=42, boot_id="boot")


def test_a_lock_is_held_once(locks: Locks) -> None:
    mine = locks.acquire(ROOT, "last.pt", "upload", 1.5)
    assert mine is not None
    assert Locks(locks.directory).acquire(ROOT, "last.pt", "flush", 2.0) is None
    other = locks.acquire(ROOT, "best.pt", "upload", 1.5)
    assert other is not None
    other.release()
    mine.release()
    again = Locks(locks.directory).acquire(ROOT, "last.pt", "flush", 2.0)
    assert again is not None
    again.release()


def test_the_file_says_who_and_why_and_stays_empty(locks: Locks) -> None:
    with_lock = locks.acquire(ROOT, "last.pt", "upload", 1.5)
    assert with_lock is not None
    assert json.loads(Path(with_lock.path).read_text()) == {"pid": 42, "boot_id": "boot", "since": 1.5, "purpose": "upload"}
    assert locks.holder(ROOT, "last.pt") == Holder(42, "boot", 1.5, "upload")
    with_lock.release()
    with_lock.release()
    assert Path(with_lock.path).read_bytes() == b""
    assert locks.holder(ROOT, "last.pt") is None
    assert locks.holder(ROOT, "other.pt") is None


def test_it_is_released_at_the_end_of_a_block(locks: Locks) -> None:
    lock = locks.acquire(ROOT, "last.pt", "upload", 1.5)
    assert lock is not None
    with lock as entered:
        assert entered.still_ours()
    assert not lock.still_ours()


def test_a_lock_file_that_was_replaced_or_removed_is_not_ours(locks: Locks) -> None:
    lock = locks.acquire(ROOT, "last.pt", "upload", 1.5)
    assert lock is not None
    os.unlink(lock.path)
    assert not lock.still_ours()
    other = Locks(locks.directory).acquire(ROOT, "last.pt", "flush", 2.0)
    assert other is not None
    assert other.still_ours()
    assert not lock.still_ours()
    lock.release()
    assert locks.holder(ROOT, "last.pt") is not None, "the other's lock says what it said"
    other.release()


def test_one_checkpoint_by_two_spellings_of_its_root(locks: Locks, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    lock = locks.acquire(str(tmp_path / "real"), "last.pt", "upload", 1.5)
    assert lock is not None
    with lock:
        assert Locks(locks.directory).acquire(str(tmp_path / "link"), "last.pt", "flush", 2.0) is None


def test_the_directory_is_for_others_to_read_only(locks: Locks, tmp_path: Path) -> None:
    (tmp_path / "run" / "locks").mkdir(parents=True)
    (tmp_path / "run" / "locks").chmod(0o777)
    before = os.umask(0o077)
    try:
        lock = locks.acquire(ROOT, "last.pt", "upload", 1.5)
    finally:
        os.umask(before)
    assert lock is not None
    with lock:
        assert stat.S_IMODE(os.stat(locks.directory).st_mode) == 0o755
        assert stat.S_IMODE(os.stat(lock.path).st_mode) == 0o644


def test_a_link_in_the_place_of_the_directory_is_refused(locks: Locks, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / "locks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WrongStateError) as caught:
        locks.acquire(ROOT, "last.pt", "upload", 1.5)
    assert caught.value.mend.startswith("remove it")
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_link_in_the_place_of_the_file_is_refused(locks: Locks, tmp_path: Path) -> None:
    os.makedirs(locks.directory)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.symlink(victim, os.path.join(locks.directory, lock_file_name(f"{ROOT}/last.pt")))
    with pytest.raises(WrongStateError):
        locks.acquire(ROOT, "last.pt", "upload", 1.5)
    assert locks.holder(ROOT, "last.pt") is None
    assert victim.read_text() == "precious"


def test_a_directory_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WrongStateError):
        Locks(str(tmp_path / "file" / "locks")).acquire(ROOT, "last.pt", "upload", 1.5)


@given(st.binary(min_size=1, max_size=255).filter(lambda name: not set(name) & {0, 47} and name not in {b".", b".."}))
def test_every_name_has_a_lock_file(name: bytes) -> None:
    file = os.fsencode(lock_file_name(os.fsdecode(b"/data/" + name)))
    assert len(file) <= 255
    assert b"/" not in file
    assert file.startswith(name[:200])
    assert file.endswith(b".lock")
    assert file != os.fsencode(lock_file_name(os.fsdecode(b"/other/" + name)))


def test_the_longest_and_strangest_name_is_locked(locks: Locks) -> None:
    lock = locks.acquire(ROOT, os.fsdecode(b"\xff" * 255), "upload", 1.5)
    assert lock is not None
    with lock:
        assert lock.still_ours()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b'{"pid": "x"}', b'{"pid": 1e999}', b"[" * 4000, b"\xff"])
def test_a_file_that_says_nothing(locks: Locks, text: bytes) -> None:
    os.makedirs(locks.directory)
    Path(locks.directory, lock_file_name(f"{ROOT}/last.pt")).write_bytes(text)
    assert locks.holder(ROOT, "last.pt") is None


@pytest.mark.parametrize(
    ("uid", "environ", "expected"),
    [
        (0, {"XDG_RUNTIME_DIR": "/run/user/0"}, "/run/runctl"),
        (1000, {"XDG_RUNTIME_DIR": "/run/user/1000"}, "/run/user/1000/runctl"),
        (1000, {"XDG_RUNTIME_DIR": ""}, "/state"),
        (1000, {}, "/state"),
    ],
)
def test_the_runtime_directory(uid: int, environ: dict[str, str], expected: str) -> None:
    assert default_runtime_dir("/state", uid=uid, environ=environ) == expected


@pytest.mark.parametrize(("operation", "held"), [(fcntl.LOCK_EX, True), (fcntl.LOCK_SH, False), (fcntl.LOCK_UN, False)])
def test_the_trainers_lock(tmp_path: Path, operation: int, held: bool) -> None:
    root = os.open(tmp_path, os.O_RDONLY)
    with open(tmp_path / "last.pt.lock", "w") as file:
        fcntl.flock(file, operation)
        assert trainer_lock_held(root, "last.pt") is held
        assert not trainer_lock_held(root, "best.pt")
    assert not trainer_lock_held(root, "last.pt")
    with open(tmp_path / "last.pt.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(root)


def test_what_is_no_lock_of_the_trainers(tmp_path: Path) -> None:
    with open(tmp_path / "real", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (tmp_path / "link.lock").symlink_to("real")
        os.mkfifo(tmp_path / "fifo.lock")
        (tmp_path / "directory.lock").mkdir()
        root = os.open(tmp_path, os.O_RDONLY)
        for name in ("link", "fifo", "directory", "n" * 255):
            assert not trainer_lock_held(root, name)
        os.close(root)


HOLD = """
import os, subprocess, sys
from runctl_agent.disk.lock import Locks
lock = Locks(sys.argv[1]).acquire("/data/checkpoints", "last.pt", "upload", 1.0)
assert lock is not None
child = subprocess.Popen(["sleep", "600"], close_fds=False)
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_a_lock_ends_with_its_holder_though_its_child_lives(locks: Locks) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, locks.directory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        assert locks.acquire(ROOT, "last.pt", "upload", 1.5) is None
        said = locks.holder(ROOT, "last.pt")
        assert said is not None
        assert said.pid == holder.pid
        holder.kill()
        holder.wait()
        os.kill(child, 0)
        lock = locks.acquire(ROOT, "last.pt", "upload", 1.5)
        os.kill(child, 9)
    assert lock is not None
    lock.release()
