"""A file system is remounted read-only while the agent works, and later as it was: the checkpoints' and the agent's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.proof.mounts import Ext4, done
from tests.proof.trained import Trained, Watch, wrong

MIB = 2**20
READ_ONLY = "Read-only file system"


def test_that_of_the_checkpoints(tmp_path: Path, small: Callable[[str], Path], trained: Callable[[Path, Path], Trained]) -> None:
    disk = small("size=256m")
    proven = trained(disk, tmp_path / "state")
    with proven.training(), proven.running() as process:
        proven.save(1, MIB)
        proven.until_committed(process)
        proven.save(2, 64 * MIB)
        proven.wait_for(lambda status: status["sending"] == "model_step_2.bin" or status["commits"] == 2, process)
        done("mount", "-o", "remount,ro", str(disk))
        watch = Watch()
        assert proven.tried(3, MIB) == READ_ONLY, "nor can the training save"
        proven.until_committed(process)
        sent = str(watch)
        told = proven.until_told(lambda told: "has become read-only" in told["error"], process)
        said = str(watch)
        done("mount", "-o", "remount,rw", str(disk))
        watch = Watch()
        proven.save(3, MIB)
        proven.until_quiet(process)
        quiet = str(watch)
        # What was let go meanwhile is no longer in anybody's way.
        proven.wait_for(lambda _: not any(path.is_file() for path in (disk / ".runctl").rglob("*")), process)
    print(f"checkpoints read-only: {proven.prove()}; what stood was safe after {sent}")
    print(f"told after {said} ({told['error']}); quiet {quiet} after it was writable")


def test_that_of_the_state(tmp_path: Path, small: Callable[[str], Path], trained: Callable[[Path, Path], Trained]) -> None:
    """By an error that the file system finds in itself: a remount is refused while somebody writes, and so is one back after
    an error. It comes back as it does for people: unmounted, checked, mounted, and the agent started again."""
    own = Ext4(tmp_path / "own", tmp_path / "image", 64 * MIB)
    proven = trained(small("size=256m"), own.point / "state")
    with proven.training():
        with own.mounted(), proven.running() as process:
            proven.save(1, MIB)
            proven.until_committed(process)
            own.fail()
            watch = Watch()
            proven.save(2, MIB)
            told = proven.until_told(lambda told: "journal" in told["error"] and told["heartbeat"], process)
            said = str(watch)
            proven.until_told(lambda later: later["heartbeat"] >= told["heartbeat"] + 10, process)  # it lives on, and says so
            assert any(READ_ONLY in line for line in wrong(proven.told()))
            assert proven.told()["commits"] == 1, "what the journal can't take is not sent"
        own.mend()
        with own.mounted(), proven.running() as process:
            watch = Watch()
            proven.save(3, MIB)
            proven.until_quiet(process)
            quiet = str(watch)
    print(f"state read-only: {proven.prove()}; told after {said} ({told['error']})")
    print(f"quiet {quiet} after an agent had it back, all of it safe")
