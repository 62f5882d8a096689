from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from runctl_agent.contract.manifest import Manifest, encode_manifest
from runctl_agent.errors import NotFoundError, WrongStateError
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store import fetch
from runctl_agent.store.folder import Owner
from runctl_agent.store.landing import Landing
from runctl_agent.store.restore import Restorer
from tests.fakes.manifests import KEYS, OwnNonces, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import Wrapped

TREE = {"config.json": b"{}", "model.safetensors": b"w" * 1000, "global/rank-0/empty": b"", "global/.metadata": b"m"}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def put(store: MemoryStore, manifest: Manifest, files: Mapping[str, bytes] | None = None) -> Manifest:
    put_data(store, manifest, files)
    store.put(KEYS.manifest(manifest.epoch, manifest.seq, manifest.checkpoint), encode_manifest(manifest))
    return manifest


def tree(store: MemoryStore, name: str = "checkpoint-500", step: int = 500, *, seq: int = 1) -> Manifest:
    return put(store, manifest_of(name, step, TREE, seq=seq), TREE)


def restorer(store: MemoryStore | Wrapped, owner: Owner | None = None) -> Restorer:
    return Restorer(store, KEYS, OwnNonces(), owner)


def content(folder: Path) -> dict[str, bytes]:
    """Everything below, hidden or not."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class NoDownloads(Wrapped):
    def get_range(self, key: str, offset: int, length: int) -> bytes:
        raise AssertionError(f"{key} was downloaded")


def test_a_directory_checkpoint_comes_back_with_its_bytes_and_times(store: MemoryStore, tmp_path: Path) -> None:
    manifest = tree(store)
    done = restorer(store).restore(str(tmp_path))
    assert (done.path, done.manifest, done.passed_by) == (str(tmp_path / "checkpoint-500"), manifest, ())
    assert done.bytes == manifest.size == sum(map(len, TREE.values()))
    assert content(tmp_path) == {f"checkpoint-500/{path}": body for path, body in TREE.items()}
    assert os.listdir(tmp_path) == ["checkpoint-500"]
    for file in manifest.files:
        assert (tmp_path / "checkpoint-500" / file.path).stat().st_mtime_ns == file.mtime_ns
    assert (tmp_path / "checkpoint-500").stat().st_mtime_ns == manifest.files[0].mtime_ns


def test_a_file_checkpoint_lies_in_the_destination(store: MemoryStore, tmp_path: Path) -> None:
    put(store, manifest_of("last.pt", 7, {"last.pt": b"zip"}, kind="file"), {"last.pt": b"zip"})
    assert restorer(store).restore(str(tmp_path)).path == str(tmp_path / "last.pt")
    assert content(tmp_path) == {"last.pt": b"zip"}


def test_a_final_checkpoint_is_laid_beside_what_is_there(store: MemoryStore, tmp_path: Path) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"ww"}
    put(store, manifest_of("final", 7, files, kind="final"), files)
    (tmp_path / "notes.txt").write_bytes(b"mine")
    (tmp_path / "config.json").write_bytes(b"{}")
    assert restorer(store).restore(str(tmp_path)).path == str(tmp_path)
    assert content(tmp_path) == {**files, "notes.txt": b"mine"}


def test_a_missing_destination_is_made(store: MemoryStore, tmp_path: Path) -> None:
    tree(store)
    restorer(store).restore(str(tmp_path / "a" / "b"))
    assert (tmp_path / "a" / "b" / "checkpoint-500" / "config.json").exists()


def test_a_name_that_is_not_utf_8_comes_back_as_it_was(store: MemoryStore, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9 100%.pt")
    put(store, manifest_of(name, 7, {name: b"zip"}, kind="file"), {name: b"zip"})
    restorer(store).restore(str(tmp_path))
    assert os.listdir(os.fsencode(tmp_path)) == [b"caf\xe9 100%.pt"]


def test_large_files_come_in_ranges_in_order(store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "RANGE", 100)
    files = {"a.bin": os.urandom(1050), "b.bin": os.urandom(100), "c.bin": b"", "d.bin": os.urandom(1)}
    put(store, manifest_of("checkpoint-1", 1, files), files)
    restorer(store).restore(str(tmp_path))
    assert content(tmp_path / "checkpoint-1") == files


def test_ranges_fetched_side_by_side_are_put_in_order(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "RANGE", 100)
    files = {f"shard-{n}.bin": os.urandom(n * 333) for n in range(10)}
    put(store, manifest_of("checkpoint-1", 1, files), files)
    Restorer(store, KEYS, ThreadRuntime()).restore(str(tmp_path))
    assert content(tmp_path / "checkpoint-1") == files


def test_the_highest_rank_is_restored_whatever_latest_says(store: MemoryStore, tmp_path: Path) -> None:
    put(store, manifest_of("checkpoint-900", 900, seq=1))
    put(store, manifest_of("checkpoint-100", 100, seq=2))
    put(store, manifest_of("checkpoint-999", 999, seq=3, complete=False))
    store.put(KEYS.latest, b"garbage")
    assert [one.manifest.step for one in restorer(store).candidates()] == [900, 100]
    assert restorer(store).restore(str(tmp_path)).manifest.step == 900


def test_a_named_checkpoint_is_its_own_highest_rank(store: MemoryStore, tmp_path: Path) -> None:
    put(store, manifest_of("last.pt", 1, {"last.pt": b"old"}, seq=1, kind="file"), {"last.pt": b"old"})
    put(store, manifest_of("last.pt", 2, {"last.pt": b"new"}, seq=2, kind="file"), {"last.pt": b"new"})
    put(store, manifest_of("checkpoint-9", 9, seq=3))
    assert restorer(store).restore(str(tmp_path), "last.pt").manifest.step == 2
    assert content(tmp_path) == {"last.pt": b"new"}


def test_an_unknown_name_lists_the_nearest(store: MemoryStore, tmp_path: Path) -> None:
    for seq, step in enumerate((100, 200, 500), 1):
        put(store, manifest_of(f"checkpoint-{step}", step, seq=seq))
    with pytest.raises(NotFoundError) as caught:
        restorer(store).restore(str(tmp_path / "new"), "checkpoint-50")
    assert "'checkpoint-500'" in caught.value.mend
    assert not (tmp_path / "new").exists()


def test_an_incomplete_checkpoint_is_not_restored_by_name_and_says_why(store: MemoryStore, tmp_path: Path) -> None:
    put(store, manifest_of("checkpoint-1", 1, seq=1))
    put(store, manifest_of("checkpoint-2", 2, seq=2, complete=False))
    with pytest.raises(NotFoundError, match="never complete"):
        restorer(store).restore(str(tmp_path), "checkpoint-2")


def test_an_empty_run_has_nothing_to_restore_and_makes_nothing(store: MemoryStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing was committed yet"):
        restorer(store).restore(str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_malformed_manifests_are_reported(store: MemoryStore, tmp_path: Path) -> None:
    tree(store)
    store.put(KEYS.manifest(1, 9, "checkpoint-9"), b"{")
    mine = restorer(store)
    assert mine.restore(str(tmp_path)).manifest.step == 500
    assert [key for key, _ in mine.malformed] == ["manifests/000001-00000009-checkpoint-9.json"]
    assert mine.malformed[0][1]


def test_what_is_there_already_is_left_and_nothing_is_downloaded(store: MemoryStore, tmp_path: Path) -> None:
    tree(store)
    restorer(store).restore(str(tmp_path))
    before = (tmp_path / "checkpoint-500").stat().st_ino
    done = restorer(NoDownloads(store)).restore(str(tmp_path))
    assert done.bytes == 0
    assert (tmp_path / "checkpoint-500").stat().st_ino == before


@pytest.mark.parametrize("change", ["other content", "one file less", "one file more", "a link", "a file", "a linked file"])
def test_what_differs_is_never_overwritten(store: MemoryStore, tmp_path: Path, change: str) -> None:
    tree(store)
    there = tmp_path / "to" / "checkpoint-500"
    restorer(store).restore(str(tmp_path / "to"))
    if change == "other content":
        (there / "config.json").write_bytes(b"[]")
    elif change == "one file less":
        (there / "config.json").unlink()
    elif change == "one file more":
        (there / "more").write_bytes(b"")
    elif change == "a linked file":
        (there / "config.json").rename(tmp_path / "config.json")
        (there / "config.json").symlink_to(tmp_path / "config.json")
    else:
        there.rename(tmp_path / "elsewhere")
        there.symlink_to(tmp_path / "elsewhere") if change == "a link" else there.write_bytes(b"mine")
    before = content(tmp_path)
    with pytest.raises(WrongStateError) as caught:
        restorer(store).restore(str(tmp_path / "to"))
    assert "checkpoint-500" in caught.value.what
    assert "--to" in caught.value.mend
    assert content(tmp_path) == before
    assert os.listdir(tmp_path / "to") == ["checkpoint-500"]


def test_a_file_that_differs_is_never_overwritten(store: MemoryStore, tmp_path: Path) -> None:
    put(store, manifest_of("last.pt", 1, {"last.pt": b"S3"}, kind="file"), {"last.pt": b"S3"})
    (tmp_path / "last.pt").write_bytes(b"local")
    with pytest.raises(WrongStateError, match=r"last\.pt"):
        restorer(store).restore(str(tmp_path))
    assert content(tmp_path) == {"last.pt": b"local"}


class SomebodyWrites(Wrapped):
    """A file appears in the destination while the download runs."""

    def __init__(self, inner: MemoryStore, path: Path) -> None:
        super().__init__(inner)
        self.path = path

    def get_range(self, key: str, offset: int, length: int) -> bytes:
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_bytes(b"mine")
        return super().get_range(key, offset, length)


@pytest.mark.parametrize("name", ["last.pt", "checkpoint-500"])
def test_what_appears_meanwhile_is_never_overwritten(store: MemoryStore, tmp_path: Path, name: str) -> None:
    if name == "last.pt":
        put(store, manifest_of("last.pt", 1, {"last.pt": b"S3"}, kind="file"), {"last.pt": b"S3"})
    else:
        tree(store)
    path = tmp_path / name / "x" if name == "checkpoint-500" else tmp_path / name
    with pytest.raises(WrongStateError, match="already"):
        restorer(SomebodyWrites(store, path)).restore(str(tmp_path))
    assert content(tmp_path) == {str(path.relative_to(tmp_path)): b"mine"}


def test_a_destination_that_is_a_link_is_followed_and_what_is_no_directory_is_an_error(
    store: MemoryStore, tmp_path: Path
) -> None:
    tree(store)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    restorer(store).restore(str(tmp_path / "link"))
    assert os.listdir(tmp_path / "real") == ["checkpoint-500"]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(WrongStateError, match="Not a directory"):
        restorer(store).restore(str(tmp_path / "file"))


def test_without_room_nothing_is_begun(store: MemoryStore, tmp_path: Path) -> None:
    with Landing(str(tmp_path)) as landing, pytest.raises(WrongStateError, match="are free") as caught:
        landing.require_room(1 << 62)
    assert caught.value.mend
    assert os.listdir(tmp_path) == []


def test_what_a_killed_restore_left_is_removed_and_a_living_ones_is_not(store: MemoryStore, tmp_path: Path) -> None:
    tree(store)
    dead, living = tmp_path / ".runctl-restore-dead", tmp_path / ".runctl-restore-living"
    (dead / "tree" / "sub").mkdir(parents=True)
    (dead / "tree" / "sub" / "half").write_bytes(b"x")
    outside = tmp_path / "outside"
    outside.write_bytes(b"kept")
    (dead / "link").symlink_to(outside)
    living.mkdir()
    (tmp_path / ".runctl-restore-link").symlink_to(tmp_path)
    held = os.open(living, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        restorer(store).restore(str(tmp_path))
    finally:
        os.close(held)
    assert sorted(os.listdir(tmp_path)) == [".runctl-restore-link", ".runctl-restore-living", "checkpoint-500", "outside"]
    assert outside.read_bytes() == b"kept"


def test_files_belong_to_the_owner(store: MemoryStore, tmp_path: Path) -> None:
    tree(store)
    owner = Owner(65534, 65534) if os.geteuid() == 0 else Owner(os.getuid(), os.getgid())
    destination = tmp_path / "to"
    destination.mkdir()
    os.chown(destination, *owner)
    restorer(store, owner).restore(str(destination / "new"))
    for path in [destination / "new", *(destination / "new").rglob("*")]:
        assert (path.stat().st_uid, path.stat().st_gid) == owner


@pytest.mark.parametrize("below", ["", "new"])
def test_nothing_is_restored_for_a_user_where_that_user_could_not_write(store: MemoryStore, tmp_path: Path, below: str) -> None:
    tree(store)
    (tmp_path / "etc").mkdir(mode=0o755)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "checkpoints").symlink_to(tmp_path / "etc")
    stranger = Owner(os.getuid() + 4242, os.getgid() + 4242)
    with pytest.raises(WrongStateError, match="may not write there"):
        restorer(store, stranger).restore(str(tmp_path / "home" / "checkpoints" / below))
    assert os.listdir(tmp_path / "etc") == []


def test_the_mode_is_the_usual_one_and_the_scratch_is_private(store: MemoryStore, tmp_path: Path) -> None:
    tree(store)
    modes: list[int] = []

    class Looks(Wrapped):
        def get_range(self, key: str, offset: int, length: int) -> bytes:
            modes.extend(stat.S_IMODE(p.stat().st_mode) for p in tmp_path.glob(".runctl-restore-*"))
            return super().get_range(key, offset, length)

    restorer(Looks(store)).restore(str(tmp_path))
    assert set(modes) == {0o700}
    mask = os.umask(0o022)
    os.umask(mask)
    assert stat.S_IMODE((tmp_path / "checkpoint-500" / "config.json").stat().st_mode) == 0o666 & ~mask


def test_what_only_a_later_version_can_read_is_passed_by_and_said_so(store: MemoryStore, tmp_path: Path) -> None:
    tree(store, "checkpoint-1", 1)
    put(store, replace(manifest_of("checkpoint-2", 2, seq=2), kind="tensorstore"))
    done = restorer(store).restore(str(tmp_path))
    assert done.manifest.step == 1
    assert [(one.checkpoint, "tensorstore" in one.reason) for one in done.passed_by] == [("checkpoint-2", True)]
