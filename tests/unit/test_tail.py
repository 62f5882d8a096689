"""What was appended to a log, whatever its owner does to it."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.training import tail
from runctl_agent.training.tail import Place, Tail

MOST = 64 * 1024


def everything(one: Tail, most: int = MOST) -> bytes:
    found = b""
    while text := one.read(most):
        found += text
    return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "training.log"


def test_what_is_appended_is_read_once(log: Path, tmp_path: Path) -> None:
    one = Tail(str(tmp_path), "training.log")
    assert one.read(MOST) == b""
    log.write_bytes(b"one\n")
    assert everything(one) == b"one\n"
    with log.open("ab") as file:
        file.write(b"two\n")
    assert everything(one, most=1) == b"two\n"
    assert one.read(MOST) == b""
    one.close()


def test_an_agent_that_comes_back_goes_on_where_it_was(log: Path, tmp_path: Path) -> None:
    log.write_bytes(b"one\n")
    first = Tail(str(tmp_path), "training.log")
    everything(first)
    first.close()
    with log.open("ab") as file:
        file.write(b"two\n")
    second = Tail(str(tmp_path), "training.log", first.place)
    assert everything(second) == b"two\n"
    third = Tail(str(tmp_path), "training.log", Place(first.place.inode + 1 if first.place else 0, 4))
    assert everything(third) == b"one\ntwo\n", "another file is read from its beginning"
    second.close()
    third.close()


@given(st.lists(st.sampled_from(["append", "rotate", "cut", "look"]), max_size=25))
def test_rotation_and_truncation_lose_nothing_that_was_looked_at_in_time(acts: list[str]) -> None:
    """Looked at before each rotation or cut, every line is read once, in its order."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        log, written, found, number = folder / "training.log", b"", b"", 0
        log.write_bytes(b"")
        one = Tail(str(folder), "training.log")
        for act in acts:
            if act == "append":
                number += 1
                line = b"line %d\n" % number
                written += line
                with log.open("ab") as file:
                    file.write(line)
            elif act == "rotate":
                found += everything(one)
                log.rename(folder / f"training.log.{number}")
                log.write_bytes(b"")
            elif act == "cut":
                found += everything(one)
                os.truncate(log, 0)
                found += everything(one)
            else:
                found += everything(one)
        found += everything(one)
        one.close()
        assert found == written


def test_what_outruns_its_sending_is_cut_and_says_so(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MOST_BEHIND", 10_000)
    monkeypatch.setattr(tail, "KEPT", 1000)
    log.write_bytes(b"x" * 20_000 + b"the end\n")
    one = Tail(str(tmp_path), "training.log")
    found = everything(one)
    assert b"[19008 bytes of this log were left out here]" in found
    assert found.endswith(b"the end\n")
    assert len(found) < 2000
    one.close()


@pytest.mark.parametrize("what", ["link", "link in the way", "fifo", "directory"])
def test_what_is_no_file_of_its_own_is_not_read(tmp_path: Path, what: str) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"of root")
    base = tmp_path / "work"
    base.mkdir()
    path = "training.log"
    if what == "link":
        (base / path).symlink_to(secret)
    elif what == "link in the way":
        (base / "logs").symlink_to(tmp_path)
        path = "logs/secret"
    elif what == "fifo":
        os.mkfifo(base / path)
    else:
        (base / path).mkdir()
    one = Tail(str(base), path)
    assert one.read(MOST) == b""
    assert one.problem
    one.close()


def test_what_was_cut_and_has_grown_past_its_place_is_read_from_its_beginning(log: Path, tmp_path: Path) -> None:
    """By copytruncate, or by a training that begins anew: between two looks it may write more than there was."""
    log.write_bytes(b"of the first training\n")
    one = Tail(str(tmp_path), "training.log")
    everything(one)
    log.write_bytes(b"of the second training, which says much more\n")
    assert everything(one) == b"of the second training, which says much more\n"
    one.close()


def test_an_inode_that_is_used_again_is_another_file(log: Path, tmp_path: Path) -> None:
    log.write_bytes(b"of the second training, which says much more\n")
    place = Place(log.stat().st_ino, 22, mark=12345)
    one = Tail(str(tmp_path), "training.log", place)
    assert everything(one) == b"of the second training, which says much more\n"
    one.close()


def test_what_was_rotated_while_nobody_looked_is_read_first(log: Path, tmp_path: Path) -> None:
    log.write_bytes(b"one\n")
    first = Tail(str(tmp_path), "training.log")
    everything(first)
    first.close()
    with log.open("ab") as file:
        file.write(b"two\n")
    log.rename(tmp_path / "training.log.1")
    log.write_bytes(b"three\n")
    second = Tail(str(tmp_path), "training.log", first.place)
    assert everything(second) + everything(second) == b"two\nthree\n"
    second.close()


def test_one_that_was_rotated_is_followed_until_the_new_one_has_something(log: Path, tmp_path: Path) -> None:
    """logrotate(8) makes the new file before it tells the training."""
    one = Tail(str(tmp_path), "training.log")
    log.write_bytes(b"one\n")
    everything(one)
    log.rename(tmp_path / "training.log.1")
    log.touch()
    assert everything(one) == b""
    with (tmp_path / "training.log.1").open("ab") as file:
        file.write(b"two\n")
    assert everything(one) == b"two\n"
    log.write_bytes(b"three\n")
    assert everything(one) == b"three\n"
    one.close()


def test_half_a_line_does_not_run_into_the_next_file(log: Path, tmp_path: Path) -> None:
    one = Tail(str(tmp_path), "training.log")
    log.write_bytes(b"step 1 of 1")
    found = everything(one)
    log.write_bytes(b"7\n")
    found += everything(one)
    assert found == b"step 1 of 1\n7\n"
    one.close()


def test_a_hole_is_left_out_and_said(log: Path, tmp_path: Path) -> None:
    """What copytruncate makes of a log whose writer goes on where it was."""
    one = Tail(str(tmp_path), "training.log")
    log.write_bytes(b"one\n")
    everything(one)
    log.write_bytes(b"")
    with log.open("r+b") as file:
        file.seek(1024 * 1024)
        file.write(b"two\n")
    assert everything(one) == b"\n[1048576 bytes of this log were left out here]\ntwo\n"
    os.truncate(log, 2**40)
    assert everything(one) == b"", "room made beforehand is no text"
    one.close()


def test_a_deleted_log_is_not_held(log: Path, tmp_path: Path) -> None:
    one = Tail(str(tmp_path), "training.log")
    log.write_bytes(b"one\n")
    everything(one)
    with log.open("ab") as file:
        file.write(b"two\n")
    log.unlink()
    assert one.read(MOST) == b"two\n"
    assert one.read(MOST) == b""
    held = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{fd}")]
    assert not any(str(log) in path for path in held), "its space is given back"
    assert one.problem == ""
    log.write_bytes(b"three\n")
    assert everything(one) == b"three\n"
    one.close()


def test_a_disk_that_fails_is_a_problem_and_read_again(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write_bytes(b"one\n")
    one = Tail(str(tmp_path), "training.log")

    def fails(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", fails)
        assert one.read(MOST) == b""
        assert "Input/output error" in one.problem
    assert everything(one) == b"one\n"
    assert one.problem == ""
    one.close()


def test_a_second_name_of_somebody_elses_file_is_not_read(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel lets a user link what he may not read (fs.protected_hardlinks, proc_sys_fs(5))."""
    (tmp_path / "secret").write_bytes(b"of root")
    log.hardlink_to(tmp_path / "secret")
    own = Tail(str(tmp_path), "training.log")
    assert everything(own) == b"of root", "the owner of the directory may"
    own.close()
    fstat = os.fstat

    def owned_by_another(fd: int) -> os.stat_result:
        status = fstat(fd)
        return os.stat_result([*status[:4], status.st_uid + 1, *status[5:10]]) if stat.S_ISDIR(status.st_mode) else status

    monkeypatch.setattr(os, "fstat", owned_by_another)
    one = Tail(str(tmp_path), "training.log")
    assert one.read(MOST) == b""
    assert "second name" in one.problem
    one.close()


def test_only_whole_lines_where_they_are_asked_for(log: Path, tmp_path: Path) -> None:
    log.write_bytes(b"one\ntwo\nthr")
    one = Tail(str(tmp_path), "training.log", lines=True)
    assert [one.read(6), one.read(6), one.read(6)] == [b"one\n", b"two\n", b""]
    with log.open("ab") as file:
        file.write(b"ee\n")
    assert everything(one) == b"three\n"
    one.close()
