"""Swapped in at every stage: what stands at a path changes thousands of times while the agent looks, stages and sends."""

from __future__ import annotations

import pytest

from tests.attack.attacker import Attacker, Target

TRIES = 10_000

SWAP = """
import ctypes, itertools, os, sys
libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, EXCHANGE = -100, 2

def exchange(a, b):
    if libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), EXCHANGE):
        raise OSError(ctypes.get_errno(), "renameat2")

secret, tries = sys.argv[1], int(sys.argv[2])
"""

FILE = (
    SWAP
    + """
os.mkdir("swap")
os.symlink(secret + "/model.bin", "swap/link")
for n in itertools.count():
    if n < tries and n % 50 == 0:  # another checkpoint to look at, stage and send; the link goes in and out of its place
        name = f"checkpoints/model_step_{n // 50}.bin"
        with open("swap/new", "wb") as file:
            file.write(b"good" * 1000)
        os.rename("swap/new", name)
        print(name, flush=True)
    elif n >= tries:
        break
    exchange(name, "swap/link")
    exchange(name, "swap/link")
"""
)

FOLDER = (
    SWAP
    + """
os.mkdir("swap")
os.symlink(secret, "swap/link")
for n in itertools.count():
    if n < tries and n % 100 == 0:
        name = f"checkpoints/checkpoint-{n // 100}"
        os.mkdir("swap/new")
        with open("swap/new/model.bin", "wb") as file:
            file.write(b"good" * 1000)
        os.rename("swap/new", name)
        print(name, flush=True)
    elif n >= tries:
        break
    exchange(name, "swap/link")
    exchange(name, "swap/link")
"""
)

ROOT = (
    SWAP
    + """
os.symlink(secret, "link")
for n in range(tries):
    if n % 50 == 0:
        with open(f"checkpoints/model_step_{n // 50}.bin", "wb") as file:
            file.write(b"good" * 1000)
    exchange("checkpoints", "link")
    exchange("checkpoints", "link")
print("checkpoints", flush=True)
"""
)


@pytest.mark.parametrize("script", [FILE, FOLDER, ROOT], ids=["file", "folder", "watched directory"])
def test_nothing_leaks_and_what_is_good_gets_through(target: Target, attacker: Attacker, script: str) -> None:
    with target.running() as agent:
        attacker.runs(script, target.secret, TRIES)
        attacker.runs("open('checkpoints/last.bin', 'wb').write(b'last' * 100)")
        target.committed("last.bin")
        target.wait_for(lambda status: status["pending_checkpoints"] == 0, agent)
    assert target.leaks() == []
    assert target.untouched()
    assert (target.secret / "model.bin").stat().st_nlink == 1
