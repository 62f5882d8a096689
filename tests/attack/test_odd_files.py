"""What is no regular file, claims to be larger than any disk, or is called what no key, terminal or path should be."""

from __future__ import annotations

import json
import os
import socket
import stat

import pytest

from tests.attack.attacker import Attacker, Target
from tests.e2e.committed import committed

TERABYTES = 4 << 40

ODD = """
import os, socket
os.chdir("checkpoints")
os.mkfifo("fifo.bin")
os.mkdir("checkpoint-1")
os.mkfifo("checkpoint-1/fifo.bin")
one = socket.socket(socket.AF_UNIX); one.bind("socket.bin")
open("checkpoint-1/own.bin", "wb").write(b"own")
open("good.bin", "wb").write(b"good" * 100)
"""


def test_fifos_sockets_and_devices_are_passed_by(target: Target, attacker: Attacker) -> None:
    attacker.runs(ODD)
    os.mknod(target.watched / "zero.bin", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    os.mknod(target.watched / "checkpoint-1" / "zero.bin", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    with target.running():
        target.committed("good.bin", "checkpoint-1")
    assert sorted(one.checkpoint for one in committed(target.s3)) == ["checkpoint-1", "good.bin"]
    (found,) = (one for one in committed(target.s3) if one.checkpoint == "checkpoint-1")
    assert [file.path for file in found.files] == ["own.bin"]


def test_a_sparse_file_of_terabytes_holds_nothing_else_up(target: Target, attacker: Attacker) -> None:
    """It has a hole where its data should be: it is still being written, or never was."""
    attacker.runs(f"open('checkpoints/huge.bin', 'wb').truncate({TERABYTES}); open('checkpoints/good.bin', 'wb').write(b'good')")
    with target.running():
        target.committed("good.bin")
    assert target.leaks() == []


NAMES = (
    b"two\nlines.bin",
    b"\x1b]0;owned\x07.bin",
    "\u202egnp.bin".encode(),
    b"a\\..\\b.bin",
    b"%2e%2e%2fetc.bin",
    b"-rf.bin",
    b"$(reboot).bin",
    b"a;b.bin",
    b"\xed\xa0\x80.bin",
    b"x" * 251 + b".bin",
)
HIDDEN = (b"..bin", b"...bin")
TOP = {"data", "manifests", "pins", "logs", "history", "epoch.json", "latest.json", "status.json", "probe.json"}


def test_names_are_only_names(target: Target, attacker: Attacker) -> None:
    attacker.runs(
        "import sys\nfor name in sys.argv[1:]: open(b'checkpoints/' + bytes.fromhex(name), 'wb').write(b'good')",
        *(name.hex() for name in NAMES + HIDDEN),
    )
    names = sorted(map(os.fsdecode, NAMES))
    with target.running() as agent:
        target.committed(*names)
        status = target.wait_for(lambda status: status["pending_checkpoints"] == 0, agent)
    assert sorted(one.checkpoint for one in committed(target.s3)) == names
    for told in (target.log.read_text(), json.dumps(status, ensure_ascii=False)):
        assert not set("\x1b\x07\u202e") & set(told), "none of them commands whoever reads it"
    keys = [key.removeprefix(f"{target.s3.prefix}/{target.run}/").split("/") for key in _keys(target)]
    assert {parts[0] for parts in keys} <= TOP
    assert not any(part in ("", ".", "..") for parts in keys for part in parts)


def _keys(target: Target) -> list[str]:
    with target.s3.store() as store:
        return list(store.list(f"{target.s3.prefix}/"))


@pytest.mark.parametrize("depth", [200])
def test_folders_deeper_than_any_checkpoint(target: Target, attacker: Attacker, depth: int) -> None:
    attacker.runs(
        f"""
import os
os.chdir("checkpoints")
open("good.bin", "wb").write(b"good")
for _ in range({depth}):
    os.mkdir("d"); os.chdir("d")
open("model.bin", "wb").write(b"deep")
"""
    )
    with target.running():
        target.committed("good.bin")
    assert [one.checkpoint for one in committed(target.s3)] == ["good.bin"]


def test_a_socket_that_is_answered_is_not_read(target: Target, attacker: Attacker) -> None:
    """Nothing connects to what lies in the folder."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(target.watched / "model.bin"))
        listening.listen()
        listening.setblocking(False)
        attacker.runs("open('checkpoints/good.bin', 'wb').write(b'good')")
        with target.running():
            target.committed("good.bin")
        with pytest.raises(BlockingIOError):
            listening.accept()
