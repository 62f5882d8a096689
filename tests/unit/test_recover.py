"""What a training resumes from, and that it is not sent again."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runctl_agent.account import Account
from runctl_agent.contract.manifest import Manifest, encode_manifest
from runctl_agent.contract.spec import Spec, Watched
from runctl_agent.disk.read import Reader
from runctl_agent.errors import NotFoundError
from runctl_agent.life.recover import ASIDE, Recovery, where
from runctl_agent.store.journal import Journal
from tests.fakes.manifests import KEYS, RUN, OwnNonces, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore

ME = pwd.getpwuid(os.geteuid())
USER = Account(ME.pw_name, ME.pw_uid, ME.pw_gid, ME.pw_dir, ME.pw_shell)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def put(store: MemoryStore, manifest: Manifest) -> Manifest:
    put_data(store, manifest)
    store.put(KEYS.manifest(manifest.epoch, manifest.seq, manifest.checkpoint), encode_manifest(manifest))
    return manifest


def recovery(tmp_path: Path, store: MemoryStore, journal: Journal, *roots: str) -> Recovery:
    workdir = tmp_path / "work"
    watched = tuple(Watched(str(workdir / root)) for root in roots or ("checkpoints",))
    spec = Spec(RUN, "s3://bucket/runs", watched, workdir=str(workdir))
    return Recovery(spec, KEYS, store, OwnNonces(), journal, USER, os.geteuid())


def test_nothing_was_committed_yet(tmp_path: Path, store: MemoryStore, journal: Journal) -> None:
    assert recovery(tmp_path, store, journal).newest().path == ""
    put(store, manifest_of("checkpoint-1", 1, complete=False))
    assert recovery(tmp_path, store, journal).newest().path == "", "incomplete ones are passed by"


@pytest.mark.parametrize("kind", ["huggingface", "file"])
def test_the_newest_comes_back_and_the_journal_knows_it(tmp_path: Path, store: MemoryStore, journal: Journal, kind: str) -> None:
    name = "model_step_7.pt" if kind == "file" else "checkpoint-7"
    files = {name: b"w" * 100} if kind == "file" else {"model.safetensors": b"w", ".metadata": b"", "a/b.pt": b"x"}
    put(store, manifest_of("checkpoint-3", 3))
    put(store, manifest_of(name, 7, files, seq=2, kind=kind))
    path = recovery(tmp_path, store, journal).newest().path
    root = str(tmp_path / "work" / "checkpoints")
    assert path == f"{root}/{name}"
    assert os.listdir(root) == [name]
    reading = Reader(Watched(root)).read(name)
    assert reading is not None
    assert journal.known() == {(root, name): reading.signature}, "what the agent will find there is journaled already"
    newest = journal.totals().newest
    assert newest is not None
    assert (newest.checkpoint, newest.step, journal.behind().checkpoints) == (name, 7, 0)


def test_what_is_there_already_is_left_as_it_is(tmp_path: Path, store: MemoryStore, journal: Journal) -> None:
    put(store, manifest_of("checkpoint-7", 7))
    first = recovery(tmp_path, store, journal).newest().path
    inode = os.stat(first).st_ino
    assert recovery(tmp_path, store, journal).newest().path == first
    assert os.stat(first).st_ino == inode


def test_in_the_place_of_what_a_power_cut_left_it_goes_aside(tmp_path: Path, store: MemoryStore, journal: Journal) -> None:
    put(store, manifest_of("last.pt", 7, {"last.pt": b"whole"}, kind="file"))
    broken = tmp_path / "work" / "checkpoints" / "last.pt"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"who")
    for _ in range(2):
        path = recovery(tmp_path, store, journal).newest().path
        assert path == str(tmp_path / "work" / ASIDE / "last.pt")
        assert Path(path).read_bytes() == b"whole"
        put(store, manifest_of("last.pt", 8, {"last.pt": b"whole"}, kind="file", seq=2))
    assert broken.read_bytes() == b"who"
    assert journal.known() == {}, "what lies aside is not watched"


def test_some_are_there_and_none_verifies(tmp_path: Path, store: MemoryStore, journal: Journal) -> None:
    manifest = put(store, manifest_of("checkpoint-7", 7))
    store.delete(KEYS.absolute(manifest.files[0].object))
    with pytest.raises(NotFoundError, match=r"no checkpoint under .* verifies"):
        recovery(tmp_path, store, journal).newest()


def test_some_were_committed_and_no_manifest_can_be_read(tmp_path: Path, store: MemoryStore, journal: Journal) -> None:
    """To begin from nothing is an operator's to decide."""
    store.put(KEYS.manifest(1, 1, "checkpoint-7"), b"{")
    with pytest.raises(NotFoundError, match="1 manifests can't be read"):
        recovery(tmp_path, store, journal).newest()


def test_it_goes_to_the_directory_that_its_like_was_written_in(tmp_path: Path, store: MemoryStore, journal: Journal) -> None:
    manifest = replace(manifest_of("checkpoint-7", 7), directory="/home/other/run/out/optimizer")
    put(store, manifest)
    path = recovery(tmp_path, store, journal, "out/model", "out/optimizer").newest().path
    assert path == str(tmp_path / "work" / "out" / "optimizer" / "checkpoint-7")


@pytest.mark.parametrize(
    ("directory", "expected"), [("/a/x", "/a/x"), ("/b/x", "/a/x"), ("/b/y", "/a/y"), ("", "/a/x"), ("/z", "/a/x")]
)
def test_where(directory: str, expected: str) -> None:
    assert where(directory, ["/a/x", "/a/y"]) == expected
