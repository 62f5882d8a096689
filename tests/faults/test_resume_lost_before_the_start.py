"""What was restored is removed or changed before the training has begun: it is restored again, or nothing is started.

The worker and the training are real processes; what goes wrong does so after the agent has decided to start.
"""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runctl_agent.contract.manifest import encode_manifest
from runctl_agent.contract.spec import Spec, Training, Watched
from runctl_agent.life.quarantine import Quarantine
from runctl_agent.life.starter import Starter
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.journal import Journal
from runctl_agent.training.job import Job, Running, Train, Workers
from runctl_agent.training.opening import Decision, Opening
from runctl_agent.training.record import started_path
from runctl_agent.training.trainer import LinuxProcesses
from tests.fakes.manifests import KEYS, RUN, manifest_of, put_data
from tests.fakes.memory_store import MemoryStore

ME = pwd.getpwuid(os.geteuid()).pw_name
FILES = {"model.safetensors": b"weights", ".metadata": b"m", "part/b.pt": b"x" * 100}
TELL = """
import os, pathlib
path = pathlib.Path(os.environ["RUNCTL_RESUME_FROM"])
with open("told", "a") as told:
    print(path, *(file.read_bytes().hex() for file in sorted(path.rglob("*")) if file.is_file()), file=told)
"""


def gone(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint)


def its_root_gone(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint.parent)


def truncated(checkpoint: Path) -> None:
    os.truncate(checkpoint / "part/b.pt", 50)


def rewritten(checkpoint: Path) -> None:
    (checkpoint / "part/b.pt").write_bytes(b"y" * 100)


def replaced(checkpoint: Path) -> None:
    (checkpoint / "other").write_bytes(b"y" * 100)
    (checkpoint / "other").rename(checkpoint / "part/b.pt")


def a_file_gone(checkpoint: Path) -> None:
    (checkpoint / ".metadata").unlink()


def a_link(checkpoint: Path) -> None:
    (checkpoint / ".metadata").unlink()
    (checkpoint / ".metadata").symlink_to("/etc/passwd")


def a_file_in_its_place(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint)
    checkpoint.write_text("")


class Meddled:
    """Real workers. Before a training's own looks at anything, `meddle` with what it is to resume from."""

    def __init__(self, meddle: Callable[[Path], None], times: int) -> None:
        self._meddle = meddle
        self._times = times
        self.asked: list[Train] = []

    def start(self, job: Job, *, archive: int | None = None, lock: int | None = None) -> Running:
        if isinstance(job, Train):
            self.asked.append(job)
            if len(self.asked) <= self._times:
                self._meddle(Path(job.env["RUNCTL_RESUME_FROM"]))
        return Workers().start(job, archive=archive, lock=lock)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


def begun(tmp_path: Path, journal: Journal, jobs: Meddled) -> Starter:
    store = MemoryStore()
    manifest = manifest_of("checkpoint-7", 7, FILES)
    put_data(store, manifest)
    store.put(KEYS.manifest(1, 1, manifest.checkpoint), encode_manifest(manifest))
    state = tmp_path / "state"
    state.mkdir()
    workdir = str(tmp_path / "work")
    training = Training(command=(sys.executable, "-c", TELL), user=ME)
    spec = Spec(RUN, "s3://bucket/runs", (Watched(f"{workdir}/checkpoints"),), workdir=workdir, training=training)
    boot = LinuxProcesses().boot_id
    quarantine = Quarantine(lambda: None, lambda: None, lambda: False)
    starter = Starter(ThreadRuntime(), spec, KEYS, str(state), str(state), journal, jobs, boot, quarantine)
    starter.run(Decision(Opening.BEGIN, 1), store, lambda bucket: store, str(tmp_path / "run" / "locks"), lambda: True)
    return starter


@pytest.mark.parametrize(
    "meddle", [gone, its_root_gone, truncated, rewritten, replaced, a_file_gone, a_link, a_file_in_its_place]
)
def test_it_is_restored_again_and_resumed_from(tmp_path: Path, journal: Journal, meddle: Callable[[Path], None]) -> None:
    jobs = Meddled(meddle, times=1)
    starter = begun(tmp_path, journal, jobs)
    assert starter.failure == ()
    assert starter.launched
    assert len(jobs.asked) == 2
    (told,) = (tmp_path / "work" / "told").read_text().splitlines()
    path, *contents = told.split()
    assert path == jobs.asked[-1].env["RUNCTL_RESUME_FROM"]
    assert contents == [FILES[name].hex() for name in sorted(FILES)], "whole, whatever became of the first"


@pytest.mark.parametrize("meddle", [gone, rewritten])
def test_what_is_lost_each_time_is_never_resumed_from(tmp_path: Path, journal: Journal, meddle: Callable[[Path], None]) -> None:
    jobs = Meddled(meddle, times=100)
    starter = begun(tmp_path, journal, jobs)
    assert not (tmp_path / "work" / "told").exists()
    assert not (tmp_path / "work" / "training.pid").exists()
    assert not os.path.exists(started_path(str(tmp_path / "state"), RUN))
    assert len(jobs.asked) == 3
    assert not starter.launched
    what, mend = starter.failure
    assert " is not resumed from: " in what
    assert mend.startswith("  mend: see what else writes there")


def test_what_is_left_alone_is_resumed_from_at_once(tmp_path: Path, journal: Journal) -> None:
    jobs = Meddled(gone, times=0)
    starter = begun(tmp_path, journal, jobs)
    assert starter.failure == ()
    assert len(jobs.asked) == 1
    assert (tmp_path / "work" / "told").read_text().split()[0] == str(tmp_path / "work" / "checkpoints" / "checkpoint-7")
