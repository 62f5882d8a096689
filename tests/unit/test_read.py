from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runctl_agent.contract.spec import Watched
from runctl_agent.disk import formats, lease
from runctl_agent.disk.read import Reader
from runctl_agent.errors import NotFoundError, WrongStateError
from runctl_agent.records import Kind, Proof, Reading, Writer

PICKLE = pickle.dumps({"step": 1, "w": bytes(1000)})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints"
    path.mkdir()
    return path


@pytest.fixture
def reader(root: Path) -> Iterator[Reader]:
    with closing(Reader(Watched(str(root)))) as opened:
        yield opened


def put(path: Path, body: bytes = PICKLE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def read(reader: Reader, name: str) -> Reading:
    reading = reader.read(name)
    assert reading is not None
    return reading


def test_a_file(reader: Reader, root: Path) -> None:
    path = put(root / "step=500.pt")
    reading = read(reader, "step=500.pt")
    status = path.stat()
    (only,) = reading.files
    assert (reading.root, reading.name, reading.kind, reading.weights, reading.step) == (
        str(root),
        "step=500.pt",
        Kind.FILE,
        True,
        500,
    )
    assert (only.path, only.id.inode, only.id.size) == ("step=500.pt", status.st_ino, status.st_size)
    assert (only.id.mtime_ns, only.proof, only.writer, only.holes) == (status.st_mtime_ns, Proof.WHOLE, Writer.NONE, False)
    assert not reading.trainer_lock


def test_what_does_not_count_does_not_show(reader: Reader, root: Path) -> None:
    put(root / "last.pt")
    for name in ("a.tmp", ".hidden.pt", "tmp-checkpoint-5/a.pt", "notes.txt", "last.pt.lock", "b.pt.tmp"):
        put(root / name)
    for name in ("runs/a.pt", "wandb/a.pt", "lightning_logs/version_0/checkpoints/x.ckpt", ".runctl/staged/a.pt"):
        put(root / name)
    put(root / "empty.pt", b"")
    (root / "link.pt").symlink_to("last.pt")
    (root / "link").symlink_to(root / "runs")
    os.mkfifo(root / "fifo.pt")
    put(root / "tensorboard" / "events.out.tfevents.1")
    assert reader.names() == ("last.pt", "tensorboard")
    hidden = {entry.name for entry in root.iterdir()} - {"last.pt"}
    assert {name: reader.read(name) for name in hidden} == dict.fromkeys(hidden)
    for name in ("../checkpoints/last.pt", "runs/a.pt", "..", ".", "", "absent.pt", "final"):
        assert reader.read(name) is None


def test_globs_are_on_the_checkpoints_own_name(root: Path) -> None:
    for name in ("best-1.pt", "best-2.pt", "last.pt", "Best-3.pt"):
        put(root / name)
    with closing(Reader(Watched(str(root), include=("best*",), exclude=("*-2*",)))) as reader:
        assert reader.names() == ("best-1.pt",)
        assert reader.read("last.pt") is None
        assert reader.read("best-2.pt") is None


def test_a_directory_goes_whole(reader: Reader, root: Path, tmp_path: Path) -> None:
    secret = put(tmp_path / "secret.pt")
    for name in (".metadata", "__0_0.distcp", "__1_0.distcp", "deep/er/config.json"):
        put(root / "step-100" / name, b"{}" if name.endswith("json") else PICKLE)
    put(root / "step-100" / "empty", b"")
    (root / "step-100" / "link.pt").symlink_to(secret)
    (root / "step-100" / "linked").symlink_to(tmp_path)
    os.mkfifo(root / "step-100" / "fifo.pt")
    reading = read(reader, "step-100")
    assert [f.path for f in reading.files] == [".metadata", "__0_0.distcp", "__1_0.distcp", "deep/er/config.json", "empty"]
    assert (reading.kind, reading.step, reading.weights) == (Kind.DCP, 100, True)


def test_a_directory_without_weights_is_none(reader: Reader, root: Path) -> None:
    put(root / "tensorboard" / "events.out.tfevents.1")
    put(root / "tensorboard" / "meta.json", b"{}")
    assert reader.read("tensorboard") is None
    put(root / "tensorboard" / "embeddings" / "a.npz")
    assert read(reader, "tensorboard").kind is Kind.DIRECTORY


def test_hugging_faces_files_at_the_top_are_final(reader: Reader, root: Path) -> None:
    for name in ("tokenizer.json", "generation_config.json"):
        put(root / name, b"{}")
    for name in ("model.safetensors", "last.pt", "training_args.bin"):
        put(root / name)
    assert "final" not in reader.names()
    assert read(reader, "tokenizer.json").kind is Kind.FILE
    put(root / "config.json", b"{}")
    put(root / "trainer_state.json", json.dumps({"global_step": 900}).encode())
    assert reader.names() == ("final", "last.pt")
    reading = read(reader, "final")
    assert (reading.kind, reading.step, reading.weights) == (Kind.FINAL, 900, True)
    assert [f.path for f in reading.files] == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "trainer_state.json",
        "training_args.bin",
    ]
    assert reader.read("tokenizer.json") is None
    put(root / "final" / "model.pt")
    assert reader.names() == ("final", "final-model", "last.pt")
    assert read(reader, "final").kind is Kind.DIRECTORY
    assert read(reader, "final-model").kind is Kind.FINAL


def test_step_from_its_own_json(reader: Reader, root: Path) -> None:
    put(root / "best" / "model.pt")
    assert read(reader, "best").step is None
    put(root / "best" / "trainer_state.json", b'{"global_step": 42}')
    assert read(reader, "best").step == 42
    put(root / "state.json", b'{"step": 7}')
    assert read(reader, "state.json").step == 7


def test_an_open_writer_is_seen(reader: Reader, root: Path) -> None:
    path = put(root / "last.pt")
    with path.open("r+b"):
        assert read(reader, "last.pt").files[0].writer is Writer.OPEN
    assert read(reader, "last.pt").files[0].writer is Writer.NONE


def test_without_leases_nobody_knows(root: Path) -> None:
    put(root / "last.pt")
    with closing(Reader(Watched(str(root)), leases=False)) as reader:
        assert read(reader, "last.pt").files[0].writer is Writer.UNKNOWN


def test_a_reader_in_the_way_of_a_writer_survives(tmp_path: Path) -> None:
    """The kernel signals whoever holds the lease that a writer waits for."""
    path = put(tmp_path / "last.pt")
    body = """
import fcntl, os, signal, sys
from runctl_agent.disk import lease
fd = os.open(sys.argv[1], os.O_RDONLY)
release = lambda: None
taken = fcntl.fcntl
def while_a_writer_comes(fd_, command, value):
    if (command, value) != (fcntl.F_SETLEASE, fcntl.F_UNLCK):
        return taken(fd_, command, value)
    child = os.fork()
    if child == 0:
        try:
            os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
        except BlockingIOError:
            os._exit(7)
        os._exit(8)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    return taken(fd_, command, value)
fcntl.fcntl = while_a_writer_comes
print(lease.writer_of(fd))
"""
    done = subprocess.run([sys.executable, "-c", body, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "none"), done.stderr


def test_sigio_can_be_ignored() -> None:
    before = signal.getsignal(signal.SIGIO)
    try:
        lease.ignore_lease_breaks()
        os.kill(os.getpid(), signal.SIGIO)
        assert signal.getsignal(signal.SIGIO) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGIO, before)


def test_holes_are_seen(reader: Reader, root: Path) -> None:
    path = put(root / "sparse.bin", b"head")
    os.truncate(path, 1 << 20)
    assert read(reader, "sparse.bin").files[0].holes
    put(root / "full.bin", bytes(1 << 20))
    assert not read(reader, "full.bin").files[0].holes


HOLD_LOCK = "import fcntl,sys; f=open(sys.argv[1]); fcntl.flock(f, 2); print(flush=True); input()"


def test_the_trainers_lock(reader: Reader, root: Path) -> None:
    put(root / "last.pt")
    put(root / "last.pt.lock", b"")
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(root / "last.pt.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with held:
        assert held.stdout is not None
        held.stdout.readline()
        assert read(reader, "last.pt").trainer_lock
        held.kill()
    assert not read(reader, "last.pt").trainer_lock
    assert reader.names() == ("last.pt",)


def test_a_missing_root_is_an_error_and_its_return_is_seen(reader: Reader, root: Path) -> None:
    put(root / "a.pt")
    assert reader.names() == ("a.pt",)
    root.rename(root.parent / "moved")
    with pytest.raises(NotFoundError) as caught:
        reader.names()
    assert str(root) in caught.value.what
    assert "mkdir" in caught.value.mend
    put(root / "b.pt")
    assert reader.names() == ("b.pt",)
    assert reader.read("a.pt") is None


def test_a_root_that_is_a_file_is_an_error(root: Path) -> None:
    put(root / "file.pt")
    with closing(Reader(Watched(str(root / "file.pt")))) as reader, pytest.raises(WrongStateError, match="not a directory"):
        reader.names()


def test_a_root_behind_a_link_is_read(root: Path, tmp_path: Path) -> None:
    put(root / "a.pt")
    (tmp_path / "latest").symlink_to(root)
    with closing(Reader(Watched(str(tmp_path / "latest")))) as reader:
        assert reader.names() == ("a.pt",)
        assert read(reader, "a.pt").root == str(tmp_path / "latest")


def test_names_that_are_not_utf8(reader: Reader, root: Path) -> None:
    name = os.fsdecode(b"caf\xe9-5.pt")
    long = "n" * 252 + ".pt"
    put(root / name)
    put(root / long)
    assert set(reader.names()) == {name, long}
    assert read(reader, name).step == 5
    assert read(reader, long).kind is Kind.FILE
    assert len(read(reader, name).signature) == 64


def test_a_tree_too_deep_is_no_checkpoint(reader: Reader, root: Path) -> None:
    put(root / "a.pt")
    put(root.joinpath("deep", *["d"] * 40, "a.pt"))
    assert reader.read("deep") is None
    assert reader.read("a.pt") is not None


def test_what_is_known_is_not_opened_again(reader: Reader, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = put(root / "whole.pt"), put(root / "broken.json", b"{")
    for _ in range(6):
        read(reader, "whole.pt")
        read(reader, "broken.json")
    seen: list[str] = []
    prove = formats.prove

    def noting(name: str, fd: int, size: int) -> Proof:
        seen.append(name)
        return prove(name, fd, size)

    monkeypatch.setattr(formats, "prove", noting)
    assert read(reader, "whole.pt").files[0].proof is Proof.WHOLE
    assert read(reader, "broken.json").files[0].proof is Proof.BROKEN
    assert seen == ["broken.json"]
    put(root / "checkpoint-5" / "model.pt")
    assert reader.changed() == ("broken.json", "checkpoint-5")
    whole.write_bytes(PICKLE[:-1])
    assert reader.changed() == ("broken.json", "checkpoint-5", "whole.pt")
    assert read(reader, "whole.pt").files[0].proof is Proof.BROKEN
    broken.unlink()
    assert reader.read("broken.json") is None


def test_a_file_that_changes_while_it_is_read_has_a_writer(reader: Reader, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(root / "last.pt")
    prove = formats.prove

    def meanwhile(name: str, fd: int, size: int) -> Proof:
        found = prove(name, fd, size)
        path.write_bytes(PICKLE + b"more")
        return found

    monkeypatch.setattr(formats, "prove", meanwhile)
    assert read(reader, "last.pt").files[0].writer is Writer.OPEN
    monkeypatch.undo()
    assert read(reader, "last.pt").files[0].writer is Writer.NONE


UNREADABLE = """
import os, sys
from runctl_agent.contract.spec import Watched
from runctl_agent.disk.read import Reader
from runctl_agent.errors import WrongStateError
os.chdir(sys.argv[1])
if os.getuid() == 0:  # whom no mode keeps out
    os.chown(".", 65534, 65534)
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
os.makedirs("checkpoints/checkpoint-5")
for name in ("good.pt", "checkpoint-5/model.pt"):
    with open("checkpoints/" + name, "wb") as file:
        file.write(b"weights")
os.chmod("checkpoints/checkpoint-5/model.pt", 0)
reader = Reader(Watched(os.path.abspath("checkpoints")))
assert reader.names() == ("checkpoint-5", "good.pt")
try:
    reader.read("checkpoint-5")
except WrongStateError as error:
    print(error.full)
assert reader.read("good.pt") is not None
"""


def test_an_unreadable_file_is_an_error_with_its_mend() -> None:
    with tempfile.TemporaryDirectory() as directory:  # pytest's own is closed to other users
        done = subprocess.run([sys.executable, "-c", UNREADABLE, directory], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "checkpoints/checkpoint-5/model.pt" in done.stdout
    assert "Permission denied" in done.stdout
    assert "chmod" in done.stdout


def test_ten_thousand_files(reader: Reader, root: Path) -> None:
    for n in range(10_000):
        (root / f"step={n}.json").write_bytes(b"{}")
    names = reader.names()
    assert len(names) == 10_000
    assert {read(reader, name).step for name in names} == set(range(10_000))
