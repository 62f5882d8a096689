"""Links to what the attacker may not read, wherever a path of the run leads through a folder of theirs."""

from __future__ import annotations

import json
import os

import pytest

from tests.attack.attacker import GID, UID, Attacker, Target

GOOD = "open('checkpoints/good.bin', 'wb').write(b'good' * 100)"


def problems(status: dict[str, object]) -> str:
    return json.dumps([status.get("details"), status.get("error")])


def test_the_watched_directory_is_a_link_to_a_folder_of_roots(target: Target, attacker: Attacker) -> None:
    attacker.runs("import os, sys; os.rmdir('checkpoints'); os.symlink(sys.argv[1], 'checkpoints')", target.secret)
    with target.running() as agent:
        target.wait_for(lambda status: "leads where that user may not go" in problems(status), agent)
        attacker.runs("import os; os.unlink('checkpoints'); os.mkdir('checkpoints'); " + GOOD)
        target.committed("good.bin")
    assert target.leaks() == []
    assert target.untouched()


def test_a_folder_on_the_way_is_a_link_to_one_of_roots(target: Target, attacker: Attacker) -> None:
    """The folder that the link leads to has one with the watched directory's name in it."""
    inner = target.secret / "checkpoints"
    inner.mkdir(mode=0o700)
    (target.secret / "model.bin").rename(inner / "model.bin")
    attacker.home.chmod(0o755)
    os.rename(attacker.home, f"{attacker.home}.real")
    os.symlink(target.secret, attacker.home)
    os.lchown(attacker.home, UID, GID)
    with target.running() as agent:
        target.wait_for(lambda status: "leads where that user may not go" in problems(status), agent)
    assert target.leaks() == []


def test_a_link_to_a_folder_of_ones_own_is_followed(target: Target, attacker: Attacker) -> None:
    """As people put checkpoints on the large disk."""
    attacker.runs("import os; os.mkdir('disk'); os.rmdir('checkpoints'); os.symlink('disk', 'checkpoints'); " + GOOD)
    with target.running():
        target.committed("good.bin")


@pytest.mark.parametrize("name", ["model.bin", "checkpoint-5/model.bin"])
def test_a_second_name_of_roots_file(target: Target, attacker: Attacker, name: str) -> None:
    """Made by root here, as a kernel without fs.protected_hardlinks lets anybody."""
    attacker.runs("import os; os.mkdir('checkpoints/checkpoint-5'); " + GOOD)
    os.link(target.secret / "model.bin", target.watched / name)
    with target.running() as agent:
        target.committed("good.bin")
        target.wait_for(lambda status: "may not read" in problems(status), agent)
    assert target.leaks() == []
    assert (target.secret / "model.bin").stat().st_nlink == 2, "and it has no third, in staging"


def test_a_link_in_place_of_a_checkpoint_or_of_a_file_in_it(target: Target, attacker: Attacker) -> None:
    made = """
import os, sys
os.symlink(sys.argv[1], "checkpoints/a.bin")
os.mkdir("checkpoints/checkpoint-5")
os.symlink(sys.argv[1], "checkpoints/checkpoint-5/model.bin")
open("checkpoints/checkpoint-5/own.bin", "wb").write(b"own")
os.symlink(os.path.dirname(sys.argv[1]), "checkpoints/checkpoint-6")
"""
    attacker.runs(made + GOOD, target.secret / "model.bin")
    with target.running():
        target.committed("good.bin", "checkpoint-5")
    assert target.leaks() == []


@pytest.mark.parametrize("key", ["exit_code_file", "complete_file", "pid_file", "log_file"])
def test_a_marker_or_the_log_is_another_name_of_roots_file(target: Target, attacker: Attacker, key: str) -> None:
    name = {"exit_code_file": "training_exit_code.txt", "complete_file": "training_complete.txt", "pid_file": "training.pid"}
    for made in (os.link, os.symlink):
        path = attacker.home / name.get(key, "training.log")
        made(target.secret / "model.bin", path)
        attacker.runs(GOOD)
        with target.running():
            target.committed("good.bin")
        assert target.leaks() == []
        path.unlink()
    assert target.untouched()
