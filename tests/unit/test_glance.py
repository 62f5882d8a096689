"""What stands still is told by its status, and not opened; whatever changes in it is seen all the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from runctl_agent.contract.spec import Watched
from runctl_agent.disk import look
from runctl_agent.disk.read import Reader
from runctl_agent.records import Proof, Reading, Writer
from tests.unit.test_read import put, read

NAME = "checkpoint-5"
ENOUGH = look._LOOKS + 1


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "checkpoints"
    for name in ("a.bin", "deep/b.pt", "trainer_state.json"):
        put(root / NAME / name, b'{"global_step": 5}' if name.endswith("json") else b"\x80\x04N.")
    return root


@pytest.fixture
def reader(root: Path) -> Iterator[Reader]:
    with closing(Reader(Watched(str(root)))) as opened:
        yield opened


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were opened to be looked at."""
    opened: list[str] = []
    examine = look.Looker._examine

    def noted(self: look.Looker, fd: int, path: str, known: look._Known | None) -> look._Known | None:
        opened.append(path)
        return examine(self, fd, path, known)

    monkeypatch.setattr(look.Looker, "_examine", noted)
    return opened


def settled(reader: Reader) -> Reading:
    for _ in range(ENOUGH):
        reading = read(reader, NAME)
    return reading


def rewritten(path: Path) -> None:
    """In place, with as many bytes."""
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    os.rename(other, path)


def linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("trainer_state.json")


@pytest.mark.parametrize("change", [rewritten, replaced, linked, Path.unlink, lambda path: put(path.with_name("c.bin"))])
@pytest.mark.parametrize("where", ["a.bin", "deep/b.pt"])
def test_a_change_is_seen(reader: Reader, root: Path, change: Callable[[Path], object], where: str) -> None:
    before = settled(reader)
    assert read(reader, NAME) is before
    change(root / NAME / where)
    after = read(reader, NAME)
    assert after.signature != before.signature
    with closing(Reader(Watched(str(root)))) as fresh:
        assert after == read(fresh, NAME)
    assert settled(reader) == after


def test_what_stands_still_is_not_opened(reader: Reader, opens: list[str]) -> None:
    settled(reader)
    opens.clear()
    read(reader, NAME)
    assert opens == []


def test_the_trainers_lock_is_looked_at_all_the_same(reader: Reader, root: Path) -> None:
    before = settled(reader)
    with FileLock(root / f"{NAME}.lock"):
        assert read(reader, NAME) == replace(before, trainer_lock=True)
    assert read(reader, NAME) == before


def test_a_directory_that_goes_and_comes_back(reader: Reader, root: Path) -> None:
    before = settled(reader)
    (root / NAME).rename(root / "away")
    assert reader.read(NAME) is None
    assert NAME not in reader.names()
    (root / "away").rename(root / NAME)
    assert settled(reader) == before


def test_what_an_earlier_life_looked_at_is_not_opened(reader: Reader, root: Path, opens: list[str]) -> None:
    put(root / "step_7.pt")
    known = {name: read(reader, name) for name in (NAME, "step_7.pt")}
    opens.clear()
    with closing(Reader(Watched(str(root)))) as successor:
        for name, reading in known.items():
            successor.assume(name, reading.signature)
        for name, reading in known.items():
            found = read(successor, name)
            assert (found.signature, found.kind, found.step, found.weights) == (
                reading.signature,
                reading.kind,
                reading.step,
                reading.weights,
            )
        assert opens == []
        assert successor.changed() == (NAME,), "a directory is glanced at, a file is not even that"


def test_once_it_changes_all_of_it_is_looked_at(reader: Reader, root: Path, opens: list[str]) -> None:
    signature = read(reader, NAME).signature
    with closing(Reader(Watched(str(root)))) as successor:
        successor.assume(NAME, signature)
        assert {file.proof for file in read(successor, NAME).files} == {Proof.UNKNOWN}
        opens.clear()
        rewritten(root / NAME / "a.bin")
        found = {file.path: file for file in read(successor, NAME).files}
    assert sorted(opens) == ["a.bin", "deep/b.pt", "trainer_state.json"]
    assert found["deep/b.pt"].proof is Proof.WHOLE
    assert found["deep/b.pt"].writer is Writer.NONE


def test_another_content_is_not_taken_for_the_one_that_is_known(reader: Reader, root: Path) -> None:
    signature = read(reader, NAME).signature
    rewritten(root / NAME / "a.bin")
    with closing(Reader(Watched(str(root)))) as successor:
        successor.assume(NAME, signature)
        found = read(successor, NAME)
    assert found.signature != signature
    assert {file.proof for file in found.files if file.path != "a.bin"} == {Proof.WHOLE}


def test_a_step_that_only_its_json_says_is_read(root: Path) -> None:
    (root / NAME).rename(root / "best")
    with closing(Reader(Watched(str(root)))) as before, closing(Reader(Watched(str(root)))) as after:
        after.assume("best", read(before, "best").signature)
        assert read(after, "best").step == 5
