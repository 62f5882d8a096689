from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from runctl_agent.disk import hold
from runctl_agent.disk.mounts import Mount
from runctl_agent.disk.stage import Stager
from runctl_agent.errors import SourceChanged, WrongStateError
from runctl_agent.records import FileId, Held, Kind, Staged
from tests.fakes.checkpoints import OLD, finished, identity, tree, write

ONE = Mount(1, "/", "ext4")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    made = tmp_path / "state"
    made.mkdir()
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "run" / "checkpoints"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def stager(state: Path, root: Path) -> Stager:
    return Stager(str(state), keep_free=0, roots=[str(root)], superuser=False)


def elsewhere(state: Path, point: str = "/") -> Stager:
    """A stager whose state directory is on a mount of its own."""
    return Stager(
        str(state),
        keep_free=0,
        roots=[],
        superuser=False,
        mount=lambda path: Mount(2, point, "ext4") if path.startswith(str(state)) else Mount(1, point, "ext4"),
    )


def nowhere(state: Path, root: Path) -> Stager:
    """A stager with no place for the root: every directory is on a mount of its own."""
    return Stager(str(state), keep_free=0, roots=[str(root)], superuser=False, mount=lambda path: Mount(hash(path), "/", "ext4"))


def content(stager: Stager, staged: Staged, path: str) -> bytes:
    fd = stager.open(staged, path)
    with open(fd, "rb") as file:
        return file.read()


def test_a_file_is_linked_into_the_state_directory(stager: Stager, state: Path, root: Path) -> None:
    write(root / "last.pt", b"weights")
    before = tree(root)
    done = finished(root, "last.pt")
    staged = stager.stage(done, copy=False, label="nonce")

    assert staged.finished == done
    assert staged.directory == str(state / "staging" / "nonce")
    (file,) = staged.files
    assert (file.path, file.source) == ("last.pt", done.files[0].id)
    assert file.held in {Held.LINK, Held.REFLINK}
    assert content(stager, staged, "last.pt") == b"weights"
    assert tree(root) == before, "nothing was written into the watched directory"
    assert os.stat(state / "staging").st_mode & 0o777 == 0o700
    stager.verify(staged)


def test_a_directory_is_held_with_all_below(stager: Stager, root: Path) -> None:
    long_name = os.fsdecode(b"\xff" * 251 + b".bin")
    write(root / "checkpoint-5" / "model.safetensors", b"m")
    write(root / "checkpoint-5" / "global_step5" / "deep" / long_name, b"d")
    write(root / "checkpoint-5" / ".metadata", b"")
    before = tree(root)
    staged = stager.stage(finished(root, "checkpoint-5", Kind.HUGGINGFACE), copy=False, label="n")
    assert content(stager, staged, f"global_step5/deep/{long_name}") == b"d"
    assert content(stager, staged, ".metadata") == b""
    assert tree(root) == before


def test_files_at_the_top_level_together(stager: Stager, root: Path) -> None:
    write(root / "model.safetensors", b"m")
    write(root / "config.json", b"{}")
    both = finished(root, "model.safetensors")
    final = type(both)(both.root, "final", Kind.FINAL, 1, True, True, (*finished(root, "config.json").files, *both.files), 0.0)
    staged = stager.stage(final, copy=False, label="n")
    assert content(stager, staged, "config.json") == b"{}"
    assert content(stager, staged, "model.safetensors") == b"m"


def test_a_copy_shares_nothing_but_its_times(stager: Stager, root: Path) -> None:
    write(root / "last.pt", b"old" * 100_000)
    staged = stager.stage(finished(root, "last.pt"), copy=True, label="n")
    (file,) = staged.files
    assert file.held in {Held.COPY, Held.REFLINK}
    assert file.held_id.inode != file.source.inode
    assert (file.held_id.size, file.held_id.mtime_ns) == (300_000, OLD)
    write(root / "last.pt", b"new")
    stager.verify(staged)
    assert content(stager, staged, "last.pt") == b"old" * 100_000


def test_a_copy_without_the_kernels_help(stager: Stager, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "copy_file_range", _not_supported)
    monkeypatch.setattr(hold, "CHUNK", 1000)
    monkeypatch.setattr(hold, "reflink", lambda *_: None)
    write(root / "last.pt", bytes(range(256)) * 10)
    staged = stager.stage(finished(root, "last.pt"), copy=True, label="n")
    assert content(stager, staged, "last.pt") == bytes(range(256)) * 10


def _not_supported(*_: object) -> int:
    raise OSError(errno.EXDEV, "Invalid cross-device link")


def test_a_reflink_is_taken_before_a_link(stager: Stager, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def clone(source: int, directory: int, name: str) -> FileId:
        return hold.copy(source, directory, name)

    monkeypatch.setattr(hold, "reflink", clone)
    write(root / "last.pt", b"x")
    for copy in (False, True):
        (file,) = stager.stage(finished(root, "last.pt"), copy=copy, label=f"n{copy}").files
        assert file.held is Held.REFLINK


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EACCES])
def test_what_can_not_be_linked_is_copied(stager: Stager, root: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(hold, "reflink", lambda *_: None)
    write(root / "last.pt", b"x")
    staged = stager.stage(finished(root, "last.pt"), copy=False, label="n")
    assert staged.files[0].held is Held.COPY
    assert content(stager, staged, "last.pt") == b"x"


def test_on_another_mount_it_is_beside_the_watched_directory(state: Path, root: Path) -> None:
    write(root / "last.pt", b"x")
    before = tree(root)
    staged = elsewhere(state).stage(finished(root, "last.pt"), copy=False, label="n")
    beside = root.parent / ".runctl-staging"
    assert Path(staged.directory).parent.parent == beside
    assert beside.stat().st_mode & 0o777 == 0o700
    assert tree(root) == before
    assert os.listdir(state) == []


def test_the_superuser_takes_the_mount_point_first(tmp_path: Path, state: Path, root: Path) -> None:
    write(root / "last.pt", b"x")
    stager = Stager(
        str(state),
        keep_free=0,
        superuser=True,
        mount=lambda path: ONE if path.startswith(str(state)) else Mount(2, str(tmp_path), "ext4"),
    )
    staged = stager.stage(finished(root, "last.pt"), copy=False, label="n")
    assert Path(staged.directory).parent.parent == tmp_path / ".runctl"
    assert not (root.parent / ".runctl-staging").exists()


def test_a_mount_point_that_is_watched_is_not_staged_in(state: Path, root: Path) -> None:
    write(root / "last.pt", b"x")
    stager = Stager(
        str(state),
        keep_free=0,
        superuser=True,
        mount=lambda path: Mount(2, str(root), "ext4") if path.startswith(str(root)) else ONE,
    )
    before = tree(root.parent)
    staged = stager.stage(finished(root, "last.pt"), copy=False, label="n")
    assert staged.files[0].held is Held.DESCRIPTOR
    assert tree(root.parent) == before


def test_nothing_is_staged_in_any_watched_directory(state: Path, root: Path) -> None:
    write(root / "last.pt", b"x")
    stager = Stager(
        str(state),
        keep_free=0,
        roots=[str(root), str(root.parent)],
        superuser=False,
        mount=lambda path: ONE if path.startswith(str(state)) else Mount(2, "/", "ext4"),
    )
    assert stager.stage(finished(root, "last.pt"), copy=False, label="n").directory == ""
    assert not (root.parent / ".runctl-staging").exists()


def test_on_another_device(root: Path, state: Path) -> None:
    other = Path("/dev/shm" if os.path.isdir("/dev/shm") else "/run")
    assert os.stat(other).st_dev != os.stat(root).st_dev, "this test needs two file systems"
    made = other / f"runctl-test-{os.getpid()}"
    made.mkdir()
    try:
        write(root / "last.pt", b"x")
        staged = Stager(str(made), keep_free=0, superuser=False).stage(finished(root, "last.pt"), copy=False, label="n")
        assert Path(staged.directory).parent.parent == root.parent / ".runctl-staging"
        assert os.listdir(made) == []
    finally:
        made.rmdir()


@pytest.mark.parametrize("obstacle", ["link", "file"])
def test_a_place_that_someone_prepared_is_not_used(state: Path, root: Path, tmp_path: Path, obstacle: str) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    if obstacle == "link":
        (root.parent / ".runctl-staging").symlink_to(trap)
    else:
        (root.parent / ".runctl-staging").write_text("")
    write(root / "last.pt", b"x")
    staged = elsewhere(state).stage(finished(root, "last.pt"), copy=False, label="n")
    assert staged.directory == ""
    assert os.listdir(trap) == []


def test_a_place_of_another_user_is_not_used(state: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root / "last.pt", b"x")
    stager = elsewhere(state)
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    assert stager.stage(finished(root, "last.pt"), copy=False, label="n").directory == ""


def test_descriptors_hold_what_was_deleted(state: Path, root: Path) -> None:
    write(root / "checkpoint-5" / "a.bin", b"a")
    write(root / "checkpoint-5" / "b.bin", b"b")
    stager = nowhere(state, root)
    done = finished(root, "checkpoint-5", Kind.HUGGINGFACE)
    staged = stager.stage(done, copy=False, label="n")
    assert {file.held for file in staged.files} == {Held.DESCRIPTOR}
    for name in ("a.bin", "b.bin"):
        (root / "checkpoint-5" / name).unlink()
    assert content(stager, staged, "a.bin") == b"a"
    assert content(stager, staged, "a.bin") == b"a", "each opening starts at the beginning"
    stager.verify(staged)
    stager.release(staged)
    with pytest.raises(SourceChanged):
        stager.open(staged, "a.bin")


def test_descriptors_are_given_back(state: Path, root: Path) -> None:
    write(root / "last.pt", b"x")
    stager = nowhere(state, root)
    before = len(os.listdir("/proc/self/fd"))
    first = stager.stage(finished(root, "last.pt"), copy=False, label="one")
    second = stager.stage(finished(root, "last.pt"), copy=False, label="two")
    stager.release(first)
    assert content(stager, second, "last.pt") == b"x", "the same snapshot, held twice, is let go twice"
    stager.release(second)
    stager.release(second)
    assert len(os.listdir("/proc/self/fd")) == before


def test_descriptors_end_with_the_agent(state: Path, root: Path) -> None:
    write(root / "last.pt", b"x")
    staged = nowhere(state, root).stage(finished(root, "last.pt"), copy=False, label="n")
    with pytest.raises(SourceChanged, match="ended with the agent"):
        nowhere(state, root).verify(staged)


def test_a_snapshot_outlives_the_agent(state: Path, root: Path, stager: Stager) -> None:
    write(root / "last.pt", b"x")
    staged = stager.stage(finished(root, "last.pt"), copy=False, label="n")
    (root / "last.pt").unlink()
    later = Stager(str(state), keep_free=0, roots=[str(root)], superuser=False)
    later.verify(staged)
    assert content(later, staged, "last.pt") == b"x"
    later.release(staged)
    assert os.listdir(state / "staging") == []


def test_a_device_number_may_change_over_a_reboot(stager: Stager, root: Path) -> None:
    write(root / "last.pt", b"x")
    staged = stager.stage(finished(root, "last.pt"), copy=False, label="n")
    (file,) = staged.files
    renumbered = FileId(file.held_id.device + 1, file.held_id.inode, file.held_id.size, file.held_id.mtime_ns)
    stager.verify(Staged(staged.finished, staged.directory, (type(file)(file.path, file.source, file.held, renumbered),)))


def test_release_leaves_the_trainers_file(stager: Stager, state: Path, root: Path) -> None:
    write(root / "checkpoint-5" / "a.bin", b"a")
    before = tree(root)
    staged = stager.stage(finished(root, "checkpoint-5", Kind.HUGGINGFACE), copy=False, label="n")
    stager.release(staged)
    stager.release(staged)
    assert os.listdir(state / "staging") == []
    assert tree(root) == before
    with pytest.raises(SourceChanged):
        stager.open(staged, "a.bin")


def test_only_what_was_staged_is_opened(stager: Stager, root: Path) -> None:
    write(root / "last.pt", b"x")
    staged = stager.stage(finished(root, "last.pt"), copy=False, label="n")
    with pytest.raises(SourceChanged):
        stager.open(staged, "../../secret")


@pytest.mark.parametrize("label", ["", "..", "a/b", "/x"])
def test_a_label_is_one_name(stager: Stager, root: Path, label: str) -> None:
    write(root / "last.pt", b"x")
    with pytest.raises(WrongStateError):
        stager.stage(finished(root, "last.pt"), copy=False, label=label)


def test_sweeping_removes_what_nobody_knows(state: Path, root: Path) -> None:
    write(root / "last.pt", b"x")
    stager = Stager(str(state), keep_free=0, roots=[str(root)], superuser=False)
    kept = stager.stage(finished(root, "last.pt"), copy=False, label="kept")
    also_kept = stager.stage(finished(root, "last.pt"), copy=False, label="also")
    orphan = stager.stage(finished(root, "last.pt"), copy=False, label="orphan")
    other_place = elsewhere(state)
    beside = other_place.stage(finished(root, "last.pt"), copy=False, label="beside")
    stager.journaled(orphan)
    other_place.journaled(beside)
    assert sorted(stager.sweep({kept.directory, "also"})) == sorted([orphan.directory, beside.directory])
    assert os.listdir(Path(beside.directory).parent) == []
    stager.verify(kept)
    stager.verify(also_kept)
    assert (root / "last.pt").read_bytes() == b"x"
    assert stager.sweep({kept.directory, "also"}) == []


def test_sweeping_leaves_what_another_agent_staged(tmp_path: Path, state: Path, root: Path) -> None:
    (tmp_path / "state2").mkdir()
    write(root / "last.pt", b"x")
    other = elsewhere(tmp_path / "state2")
    theirs = other.stage(finished(root, "last.pt"), copy=False, label="theirs")
    before = elsewhere(state)
    mine = before.stage(finished(root, "last.pt"), copy=False, label="mine")
    other.journaled(theirs)
    before.journaled(mine)
    assert Path(theirs.directory).parent != Path(mine.directory).parent
    stager = Stager(str(state), keep_free=0, roots=[str(root)], superuser=False)
    assert stager.sweep(set()) == [mine.directory]
    other.verify(theirs)


def test_sweeping_where_nothing_is(state: Path, root: Path) -> None:
    assert Stager(str(state), keep_free=0, roots=[str(root), "/nowhere"], superuser=False).sweep(set()) == []


def test_staging_keeps_the_identity_of_the_source(stager: Stager, root: Path) -> None:
    write(root / "last.pt", b"x")
    before = identity(root / "last.pt")
    stager.stage(finished(root, "last.pt"), copy=False, label="n")
    assert identity(root / "last.pt") == before


def test_no_descriptor_is_left(stager: Stager, root: Path) -> None:
    write(root / "checkpoint-5" / "deep" / "a.bin", b"a")
    before = len(os.listdir("/proc/self/fd"))
    staged = stager.stage(finished(root, "checkpoint-5", Kind.HUGGINGFACE), copy=True, label="n")
    stager.verify(staged)
    stager.journaled(staged)
    stager.sweep({"n"})
    stager.release(staged)
    assert len(os.listdir("/proc/self/fd")) == before
