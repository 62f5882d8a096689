from __future__ import annotations

import fcntl
import os
import stat
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from runctl_agent.contract.manifest import Manifest, encode_manifest
from runctl_agent.errors import NotFoundError, WrongStateError
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store import fetch, scratch
from runctl_agent.store.folder import Owner
from runctl_agent.store.landing import Landing
from runctl_agent.store.objects import Body
from runctl_agent.store.restore import Restorer
from tests.fakes.manifests import KEYS, OwnNonces, committed, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore
from tests.fakes.store_faults import CountsBytes, Wrapped

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
    def open_range(self, key: str, offset: int, length: int) -> AbstractContextManager[Body]:
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


SHARDS = {f"shard-{n}.bin": os.urandom(n * 333) for n in range(10)}


@pytest.mark.parametrize("encoding", ["identity", "zstd"])
@pytest.mark.parametrize("runtime", [OwnNonces, ThreadRuntime])
@pytest.mark.parametrize("part", [100, 1000, 3000])
def test_parts_fetched_side_by_side_come_to_their_places(
    store: MemoryStore, tmp_path: Path, encoding: str, runtime: type[OwnNonces] | type[ThreadRuntime], part: int
) -> None:
    manifest = committed(store, manifest_of("checkpoint-1", 1, SHARDS, part=part, encoding=encoding))
    counted = CountsBytes(store)
    done = Restorer(counted, KEYS, runtime()).restore(str(tmp_path))
    assert content(tmp_path / "checkpoint-1") == SHARDS
    assert done.bytes == manifest.size
    assert counted.asked == counted.read == sum(file.stored for file in manifest.files), "nothing is fetched twice"


def test_neighbouring_parts_are_one_request(store: MemoryStore, tmp_path: Path) -> None:
    committed(store, manifest_of("last.pt", 1, {"last.pt": os.urandom(64_000)}, kind="file", part=100))
    restorer(store).restore(str(tmp_path))
    assert store.count("open_range") <= 4 * fetch.WIDTH + 1


def test_what_is_compressed_and_what_is_only_referenced_come_back(store: MemoryStore, tmp_path: Path) -> None:
    files = {"a.bin": b"a" * 5000, "b.bin": b""}
    old = committed(store, manifest_of("checkpoint-1", 1, files, part=1000, encoding="zstd"))
    new = manifest_of("checkpoint-2", 2, {"c.bin": b"c"}, seq=2)
    put_data(store, new)
    both = replace(new, files=(*new.files, replace(old.files[0], path="was/a.bin"), old.files[1]))
    store.put(KEYS.manifest(1, 2, "checkpoint-2"), encode_manifest(both))
    assert restorer(store).restore(str(tmp_path)).manifest == both
    assert content(tmp_path / "checkpoint-2") == {"c.bin": b"c", "was/a.bin": b"a" * 5000, "b.bin": b""}


def test_without_the_extra_what_is_compressed_is_an_error_and_no_older_one_is_taken(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(store, "checkpoint-1", 1)
    committed(store, manifest_of("checkpoint-2", 2, {"a.bin": b"a"}, seq=2, encoding="zstd"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(WrongStateError) as caught:
        restorer(store).restore(str(tmp_path))
    assert caught.value.mend == "pip install 'runctl[compress]'"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("runtime", [OwnNonces, ThreadRuntime])
def test_progress_is_told_from_nothing_to_all(
    store: MemoryStore, tmp_path: Path, runtime: type[OwnNonces] | type[ThreadRuntime]
) -> None:
    manifest = committed(store, manifest_of("checkpoint-1", 1, SHARDS, part=1000))
    store.corrupt_next("open_range", key="shard-9")
    told: list[tuple[int, int]] = []
    Restorer(store, KEYS, runtime(), progress=lambda done, total: told.append((done, total))).restore(str(tmp_path))
    assert {total for _, total in told} == {manifest.size}
    assert told[-1][0] == max(done for done, _ in told) == manifest.size
    assert any(later < sooner for (sooner, _), (later, _) in pairwise(told)), "what arrived damaged is not there"


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

    def open_range(self, key: str, offset: int, length: int) -> AbstractContextManager[Body]:
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_bytes(b"mine")
        return super().open_range(key, offset, length)


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


def test_what_a_killed_restore_of_another_checkpoint_left_is_removed_and_a_living_ones_is_not(
    store: MemoryStore, tmp_path: Path
) -> None:
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


def test_what_is_left_is_removed_too_where_nothing_has_to_be_fetched(store: MemoryStore, tmp_path: Path) -> None:
    manifest = tree(store)
    restorer(store).restore(str(tmp_path))
    (tmp_path / scratch.name_of(manifest)).mkdir()
    restorer(NoDownloads(store)).restore(str(tmp_path))
    assert os.listdir(tmp_path) == ["checkpoint-500"]


def left(tmp_path: Path, manifest: Manifest) -> Path:
    """As a killed restore leaves it, with nothing in it yet."""
    folder = tmp_path / scratch.name_of(manifest) / "tree"
    folder.mkdir(parents=True)
    return folder


def test_what_a_killed_restore_left_is_verified_and_only_the_rest_is_fetched(store: MemoryStore, tmp_path: Path) -> None:
    body = os.urandom(4500)
    files = {"a/model.bin": body, "b.bin": b"b" * 1500, "c.bin": b"c" * 10}
    manifest = committed(store, manifest_of("checkpoint-1", 1, files, part=1000))
    half = left(tmp_path, manifest) / "a" / "model.bin"
    half.parent.mkdir()
    with half.open("wb") as written:
        written.write(body[:2000] + b"wrong" * 200 + body[3000:4000])
    counted = CountsBytes(store)
    done = restorer(counted).restore(str(tmp_path))
    assert content(tmp_path / "checkpoint-1") == files
    assert sorted((offset, length) for key, offset, length in counted.opened if "model" in key) == [(2000, 1000), (4000, 500)]
    assert done.bytes == counted.read == 1500 + 1500 + 10


def test_for_another_user_only_what_is_his_is_gone_on_with(store: MemoryStore, tmp_path: Path) -> None:
    """Killed between the making of a file and its change of hands, root is left with one that would stay root's."""
    root = os.geteuid() == 0
    owner = Owner(65534, 65534) if root else Owner(os.getuid(), os.getgid())
    files = {"a/his.bin": b"h" * 100, "b/roots.bin": b"r" * 100, "roots.bin": b"r" * 100}
    manifest = committed(store, manifest_of("checkpoint-1", 1, files))
    os.chown(tmp_path, *owner)
    folder = left(tmp_path, manifest)
    for name, body in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(body)
    for path in (folder, folder / "a", folder / "a" / "his.bin", folder / "b" / "roots.bin"):
        os.chown(path, *owner)
    counted = CountsBytes(store)
    restorer(counted, owner).restore(str(tmp_path))
    assert content(tmp_path / "checkpoint-1") == files
    assert counted.read == (200 if root else 0)
    for path in [tmp_path / "checkpoint-1", *(tmp_path / "checkpoint-1").rglob("*")]:
        assert (path.stat().st_uid, path.stat().st_gid) == owner


def test_a_hole_is_not_taken_for_zeros_that_were_fetched_but_zeros_on_disk_are(store: MemoryStore, tmp_path: Path) -> None:
    manifest = committed(store, manifest_of("last.pt", 1, {"last.pt": bytes(1 << 20)}, kind="file", part=1 << 18))
    with (left(tmp_path, manifest) / "last.pt").open("wb") as half:
        half.write(bytes(1 << 18))
        half.truncate(1 << 20)
    counted = CountsBytes(store)
    restorer(counted).restore(str(tmp_path))
    assert (tmp_path / "last.pt").read_bytes() == bytes(1 << 20)
    assert counted.read == 3 << 18


def test_nothing_that_the_checkpoint_has_not_comes_with_it(store: MemoryStore, tmp_path: Path) -> None:
    """Of what lies in the directory that is gone on with."""
    manifest = tree(store)
    folder, outside = left(tmp_path, manifest), tmp_path / "outside"
    outside.mkdir()
    (outside / "config.json").write_bytes(b"mine")
    (folder / "more").write_bytes(b"x")
    (folder / "empty" / "directory").mkdir(parents=True)
    (folder / "global").symlink_to(outside)
    (folder / "config.json").symlink_to(outside / "config.json")
    (folder / "model.safetensors").mkdir()
    restorer(store).restore(str(tmp_path))
    assert content(tmp_path / "checkpoint-500") == TREE
    assert content(outside) == {"config.json": b"mine"}


def test_a_file_that_stands_in_its_place_already_is_not_written_through_its_other_name(
    store: MemoryStore, tmp_path: Path
) -> None:
    """A restore of two files was killed after the first was linked, and the trainer has written to it since."""
    files = {"config.json": b"{}", "model.safetensors": b"ww"}
    manifest = committed(store, manifest_of("final", 1, files, kind="final"))
    folder = left(tmp_path, manifest)
    (folder / "config.json").write_bytes(b"[]")
    os.link(folder / "config.json", tmp_path / "linked")
    restorer(store).restore(str(tmp_path))
    assert content(tmp_path) == {**files, "linked": b"[]"}


def test_two_at_once_do_not_share_what_was_left(store: MemoryStore, tmp_path: Path) -> None:
    manifest = committed(store, manifest_of("last.pt", 1, {"last.pt": b"whole"}, kind="file"))
    (left(tmp_path, manifest) / "last.pt").write_bytes(b"half.")
    held = os.open(tmp_path / scratch.name_of(manifest), os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        restorer(store).restore(str(tmp_path))
    finally:
        os.close(held)
    assert content(tmp_path) == {"last.pt": b"whole", f"{scratch.name_of(manifest)}/tree/last.pt": b"half."}


def test_the_room_that_it_takes_already_is_not_asked_for_again(
    store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = committed(store, manifest_of("last.pt", 1, {"last.pt": b"w" * 1_000_000}, kind="file", part=100_000))
    (left(tmp_path, manifest) / "last.pt").write_bytes(b"w" * 500_000)
    asked: list[int] = []
    monkeypatch.setattr(Landing, "require_room", lambda self, size: asked.append(size))
    restorer(store).restore(str(tmp_path))
    assert len(asked) == 1
    assert 450_000 < asked[0] <= 500_000


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
        def open_range(self, key: str, offset: int, length: int) -> AbstractContextManager[Body]:
            modes.extend(stat.S_IMODE(p.stat().st_mode) for p in tmp_path.glob(".runctl-restore-*"))
            return super().open_range(key, offset, length)

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
