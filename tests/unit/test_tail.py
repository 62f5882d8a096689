"""What was appended to a log, whatever its owner does to it."""

from __future__ import annotations

import os
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
