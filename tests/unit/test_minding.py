"""Whoever waits for a container is replaced when it dies; what is known already is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from runctl_agent.account import Account
from runctl_agent.contract.spec import Spec, Training, Watched
from runctl_agent.life.minding import Minding, inner, job_of
from runctl_agent.records import ProcessId
from runctl_agent.training.exec import take_lock
from runctl_agent.training.job import Done, Inside, Job, Running, Train
from runctl_agent.training.record import ExitRecord, encode_process, encode_record, exit_path, started_path

USER = Account("ubuntu", 1000, 1000, "/home/ubuntu", "/bin/bash")
IMAGE = Training(
    command=("python", "train.py"), image="x", grace=1.5, signal_to="group", env={"A": "b"}, log_file="/mnt/logs/a.log"
)
SPEC = Spec("gpt2", "s3://bucket/runs", (Watched("/mnt/out"),), workdir="/home/ubuntu/gpt2", training=IMAGE)
DIED = Done("the worker process ended with code -9 and said nothing")


class Ended:
    """A worker at its end."""

    def __init__(self, done: Done) -> None:
        self._done = done

    def outcome(self) -> Done | None:
        return self._done

    def cancel(self) -> None:
        raise AssertionError("a training is not cancelled")


class Workers:
    """Each does what is next in `does`, and has its outcome."""

    def __init__(self, *does: Callable[[], Done]) -> None:
        self.does = list(does)
        self.started: list[Inside] = []

    def start(self, job: Job, *, archive: int | None = None, lock: int | None = None) -> Running:
        assert isinstance(job, Inside)
        assert lock is not None
        self.started.append(job)
        return Ended(self.does.pop(0)())


def minded(state_dir: Path, workers: Workers, running: Running | None, looks: int = 5) -> str:
    job = job_of(SPEC, str(state_dir), USER, 3, {}, "/run/locks")
    assert isinstance(job, Inside)
    left = iter([False] * looks)
    return Minding(workers, job, "boot", lambda _: next(left, True)).run(running)


def left_a_word(state_dir: Path) -> None:
    Path(started_path(str(state_dir), "gpt2")).write_bytes(encode_process(ProcessId(7, 8, "boot")))


def recorded(state_dir: Path) -> Done:
    record = ExitRecord("gpt2", 3, ProcessId(7, 8, "boot"), 0, None, None, 1.0, 2.0, 0)
    Path(exit_path(str(state_dir), "gpt2")).write_bytes(encode_record(record))
    return Done()


def test_one_that_died_is_replaced_and_never_makes_a_second_container(tmp_path: Path) -> None:
    left_a_word(tmp_path)
    workers = Workers(lambda: DIED, lambda: recorded(tmp_path))
    assert minded(tmp_path, workers, Ended(DIED)) == ""
    assert [job.adopt for job in workers.started] == [True, True]


def test_what_kept_it_from_being_made_is_told(tmp_path: Path) -> None:
    """Looked for once, for it may have died in between; then it is the end."""
    workers = Workers(Done)
    assert minded(tmp_path, workers, Ended(Done("this machine has no docker"))) == "this machine has no docker"
    assert [job.adopt for job in workers.started] == [True]


def test_nothing_is_started_beside_another_that_waits(tmp_path: Path) -> None:
    left_a_word(tmp_path)
    held = take_lock(str(tmp_path), "gpt2")
    workers = Workers()
    assert minded(tmp_path, workers, None) == ""
    assert (held is not None, workers.started) == (True, [])


def test_nothing_is_started_where_the_end_is_known(tmp_path: Path) -> None:
    recorded(tmp_path)
    workers = Workers()
    assert minded(tmp_path, workers, None) == ""
    assert workers.started == []


def test_the_job_of_an_image() -> None:
    env = {"RUNCTL_RESUME_FROM": "/mnt/elsewhere/model.pt"}
    job = job_of(SPEC, "/state", USER, 3, env, "/run/locks")
    assert isinstance(job, Inside)
    assert set(job.mounts) == {SPEC.workdir, "/mnt/out", "/run/locks", "/mnt/logs", "/mnt/elsewhere/model.pt"}
    assert (job.stop_timeout, job.to_group, job.adopt) == (2, True, False)
    assert "" not in job_of(SPEC, "/state", USER, 3, {"RUNCTL_RESUME_FROM": ""}, "/l").mounts  # type: ignore[attr-defined]


def test_the_job_without_one() -> None:
    job = job_of(replace(SPEC, training=replace(IMAGE, image="")), "/state", USER, 3, {}, "/run/locks")
    assert type(job) is Train


def test_what_the_spec_adds_to_the_images_environment() -> None:
    assert inner(SPEC, USER) == {"HOME": SPEC.workdir, "USER": "ubuntu", "LOGNAME": "ubuntu", "A": "b"}
