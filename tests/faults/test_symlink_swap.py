"""A user puts a link, a fifo or another directory where the agent, as root, is about to read or write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runctl_agent.disk.mounts import Mount
from runctl_agent.disk.stage import Stager
from runctl_agent.errors import RunctlError, SourceChanged
from runctl_agent.records import Kind
from tests.fakes.checkpoints import finished, write


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "checkpoints"
    made.mkdir()
    return made


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    write(tmp_path / "etc" / "model.bin", b"secret")
    return tmp_path / "etc"


@pytest.fixture
def stager(tmp_path: Path, root: Path) -> Stager:
    (tmp_path / "state").mkdir()
    return Stager(str(tmp_path / "state"), keep_free=0, roots=[str(root)], superuser=False)


def refused(stager: Stager, root: Path, secret: Path, name: str, kind: Kind, swap: str) -> None:
    """Stage a checkpoint whose recorded identity is the secret's own, so that only the way there can refuse it."""
    done = finished(secret.parent, "etc", Kind.DIRECTORY) if kind is Kind.DIRECTORY else finished(secret, "model.bin")
    before = sorted(os.listdir(root))
    forged = type(done)(str(root), name, kind, 1, True, True, done.files, 0.0)
    for copy in (False, True):
        with pytest.raises(SourceChanged):
            stager.stage(forged, copy=copy, label=f"{swap}-{copy}")
    assert sorted(os.listdir(root)) == before
    assert (secret / "model.bin").stat().st_nlink == 1


def test_a_file_swapped_for_a_link(stager: Stager, root: Path, secret: Path) -> None:
    (root / "model.bin").symlink_to(secret / "model.bin")
    refused(stager, root, secret, "model.bin", Kind.FILE, "file")


def test_a_directory_swapped_for_a_link(stager: Stager, root: Path, secret: Path) -> None:
    (root / "checkpoint-5").symlink_to(secret)
    refused(stager, root, secret, "checkpoint-5", Kind.DIRECTORY, "directory")


def test_a_file_swapped_for_a_fifo(stager: Stager, root: Path) -> None:
    write(root / "last.pt", b"x")
    done = finished(root, "last.pt")
    (root / "last.pt").unlink()
    os.mkfifo(root / "last.pt")
    with pytest.raises(SourceChanged):
        stager.stage(done, copy=False, label="n")


@pytest.mark.parametrize("path", ["../etc/model.bin", "/etc/passwd", "a/../../etc/model.bin", ""])
def test_a_path_that_leads_out(stager: Stager, root: Path, secret: Path, path: str) -> None:
    done = finished(secret, "model.bin")
    entry = type(done.files[0])(path, done.files[0].id)
    forged = type(done)(str(root), "model.bin", Kind.FILE, 1, True, True, (entry,), 0.0)
    with pytest.raises(RunctlError):
        stager.stage(forged, copy=False, label="n")
    assert (secret / "model.bin").stat().st_nlink == 1


def test_staging_swapped_for_a_link_after_staging(tmp_path: Path, root: Path, secret: Path) -> None:
    (tmp_path / "state").mkdir()
    stager = Stager(
        str(tmp_path / "state"),
        keep_free=0,
        roots=[str(root)],
        superuser=False,
        mount=lambda path: Mount(2 if path.endswith("state") else 1, "/", "ext4"),
    )
    write(root / "model.bin", b"mine")
    staged = stager.stage(finished(root, "model.bin"), copy=False, label="n")
    held = Path(staged.directory)
    held.rename(tmp_path / "taken")
    held.symlink_to(secret)
    with pytest.raises(SourceChanged):
        stager.open(staged, "model.bin")
    stager.release(staged)
    assert held.is_symlink(), "what someone else put there is left"
    assert (secret / "model.bin").read_bytes() == b"secret"
