"""Jobs as transient units. Here a script in the place of systemd-run starts the same worker; a real systemd: tests/systemd."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from runctl_agent.contract.spec import Training
from runctl_agent.errors import WrongStateError
from runctl_agent.training import handover
from runctl_agent.training.cgroup import in_unit
from runctl_agent.training.exec import take_lock
from runctl_agent.training.job import Done, Inside, Setup, Train, Unpack, torchrun_env, without_managers
from runctl_agent.training.record import was_started
from runctl_agent.training.trainer import LinuxProcesses
from runctl_agent.training.unit import AGENT, GoingDown, Units, properties, served
from tests.unit.test_worker import ENV, USER, to_the_end

TRAINING = Training(grace=20.0)

STARTS = """#!/bin/sh
echo "$@" >> "{said}"
while test "$1" != "--"; do shift; done
shift
setsid "$@" < /dev/null > /dev/null 2>&1 &
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where systemd-run's arguments go."""
    return manager(tmp_path, monkeypatch, STARTS)


def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "systemd-run").write_text(script.format(said=tmp_path / "said"))
    (folder / "systemd-run").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "said"


def units(tmp_path: Path, going_down: Callable[[], bool] = lambda: False) -> Units:
    return Units(str(tmp_path / "runtime"), TRAINING, going_down)


def train(tmp_path: Path, script: str) -> Train:
    command = ("sh", "-c", script)
    return Train(USER, str(tmp_path), ENV, command, "log", "gpt2", 1, str(tmp_path / "state"), "pid", "code", "")


def arguments(training: Training = TRAINING, *, image: bool = False) -> dict[str, str]:
    job = train(Path("/w"), "true")
    inside = Inside(USER, "/w", ENV, ("true",), "log", "gpt2", 1, "/s", "pid", "code", "", image="i")
    given = properties(inside if image else job, training)
    return dict(one.removeprefix("--property=").split("=", 1) for one in given)


def test_a_setup_goes_there_and_comes_back(tmp_path: Path, said: Path) -> None:
    job = Setup(USER, str(tmp_path), {**ENV, "SECRET": "of-nobody-else"}, ("export A=$SECRET-b",), "log")
    done = to_the_end(units(tmp_path).start(job))
    assert (done.error, done.env["A"]) == ("", "of-nobody-else-b")
    told = said.read_text()
    assert f"--unit=runctl-setup-{os.getpid()}-1 " in told
    assert "of-nobody-else" not in told, "anybody can read a unit's properties"
    assert list((tmp_path / "runtime").iterdir()) == [], "where it called is gone"


def test_an_archive_goes_along(tmp_path: Path, said: Path) -> None:
    with open(tmp_path / "archive", "wb") as file:
        file.write(b"no archive")
    archive = os.open(tmp_path / "archive", os.O_RDONLY)
    done = to_the_end(units(tmp_path).start(Unpack(USER, str(tmp_path / "w")), archive=archive))
    os.close(archive)
    assert "the code archive can't be unpacked" in done.error


def test_a_setup_that_nobody_wants_any_more_ends(tmp_path: Path, said: Path) -> None:
    running = units(tmp_path).start(Setup(USER, str(tmp_path), ENV, ("echo $$ > pid; sleep 600",), "log"))
    end = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
    running.cancel()
    assert to_the_end(running).error == "it was cancelled"
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_training_keeps_the_lock_that_was_handed_over(tmp_path: Path, said: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    job, boot_id = train(tmp_path, "read go < fifo; exit 3"), LinuxProcesses().boot_id
    os.mkdir(job.state_dir)
    lock = take_lock(job.state_dir, "gpt2")
    running = units(tmp_path).start(job, lock=lock)
    assert lock is not None
    os.close(lock)
    assert was_started(job.state_dir, "gpt2", boot_id)
    assert take_lock(job.state_dir, "gpt2") is None
    (tmp_path / "fifo").write_text("go\n")
    assert to_the_end(running) == Done()
    assert (tmp_path / "code").read_text() == "3\n"
    assert "--unit=runctl-train " in said.read_text()


def test_a_refusal_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager(tmp_path, monkeypatch, "#!/bin/sh\necho Unit runctl-train.service was already loaded. >&2\nexit 1\n")
    with pytest.raises(WrongStateError) as caught:
        units(tmp_path).start(train(tmp_path, "true"))
    assert str(caught.value) == "the unit runctl-train was not started: Unit runctl-train.service was already loaded."
    assert "systemctl stop runctl-train" in caught.value.mend
    assert not isinstance(caught.value, GoingDown)
    with pytest.raises(GoingDown):
        units(tmp_path, lambda: True).start(train(tmp_path, "true"))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(WrongStateError, match="systemd-run"):
        units(tmp_path).start(train(tmp_path, "true"))
    assert not (tmp_path / "log").exists()


def test_a_worker_that_does_not_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager(tmp_path, monkeypatch, "#!/bin/sh\n")
    monkeypatch.setattr(handover, "PATIENCE", 0.05)
    with pytest.raises(WrongStateError, match="does not answer"):
        units(tmp_path).start(train(tmp_path, "true"))
    assert list((tmp_path / "runtime").iterdir()) == []


def test_a_worker_that_comes_too_late_does_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen(1)
        child = os.fork()
        if not child:
            try:
                handover.take_over(str(tmp_path / "s"))
            except ConnectionAbortedError:
                os._exit(3)
            os._exit(4)
        listener.accept()[0].close()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_what_dies_says_where_to_look(tmp_path: Path, said: Path) -> None:
    running = units(tmp_path).start(Setup(USER, str(tmp_path), ENV, ("kill -9 $PPID",), "log"))
    assert to_the_end(running).error.endswith(f"journalctl -u runctl-setup-{os.getpid()}-1")


def test_how_it_is_ended_and_in_which_order() -> None:
    given = arguments()
    assert (given["KillMode"], given["TimeoutStopSec"], given["KillSignal"]) == ("mixed", "20s", "SIGTERM")
    assert (given["After"], given["OOMPolicy"]) == (AGENT, "continue")
    assert given.keys().isdisjoint({"PartOf", "BindsTo", "Requires", "Environment", "User"})
    assert arguments(Training(stop_signal="SIGUSR1"))["KillSignal"] == "SIGUSR1"
    assert arguments(Training(stop_signal="SIGALRM"))["KillSignal"] == "SIGTERM", "exec would die of it"
    assert arguments(image=True)["After"] == f"{AGENT} docker.service"
    setup = "\n".join(properties(Setup(USER, "/w", ENV, (), "log"), TRAINING))
    assert f"Before={AGENT}" in setup
    assert "After=" not in setup


def test_only_a_service_of_systemd_has_units(tmp_path: Path) -> None:
    here = str(tmp_path)
    assert served({"SYSTEMD_EXEC_PID": "7"}, euid=0, pid=7, booted=here)
    assert not served({"SYSTEMD_EXEC_PID": "8"}, euid=0, pid=7, booted=here), "it was inherited"
    assert not served({}, euid=0, pid=7, booted=here)
    assert not served({"SYSTEMD_EXEC_PID": "7"}, euid=1000, pid=7, booted=here)
    assert not served({"SYSTEMD_EXEC_PID": "7"}, euid=0, pid=7, booted=f"{here}/none")


@pytest.mark.parametrize(
    ("cgroup", "cmdline", "inside"),
    [
        ("0::/system.slice/runctl-train.service\n", b"python\0train.py\0", True),
        ("0::/system.slice/runctl-train.service/below\n", b"python\0train.py\0", True),
        ("3:memory:/x\n1:name=systemd:/system.slice/runctl-train.service\n0::/\n", b"python\0", True),
        ("0::/system.slice/runctl-train.service\n", b"python\0-m\0runctl_agent.training.worker\0/run/s\0", False),
        ("0::/system.slice/other-runctl-train.service\n", b"python\0", False),
        ("3:memory:/runctl-train.service\n0::/\n", b"python\0", False),
        ("0::/system.slice/runctl-agent.service\n", b"python\0", False),
        ("", b"", False),
        ("garbage\n", b"", False),
    ],
)
def test_who_is_in_a_unit(tmp_path: Path, cgroup: str, cmdline: bytes, *, inside: bool) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text(cgroup)
    (tmp_path / "7" / "cmdline").write_bytes(cmdline)
    assert in_unit(7, "runctl-train", str(tmp_path)) is inside
    assert not in_unit(8, "runctl-train", str(tmp_path))


def test_torchrun_has_a_moment_less_than_the_training() -> None:
    assert [torchrun_env(grace)["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] for grace in (60.0, 600.0, 10.0, 0.5)] == [
        "55",
        "595",
        "9",
        "1",
    ]


def test_what_a_manager_told_the_agent_is_not_handed_on() -> None:
    own = {"DOCKER_HOST": "d", "NOTIFY_SOCKET": "n", "SYSTEMD_EXEC_PID": "1", "INVOCATION_ID": "i", "RUNCTL_BOOT_ID": "b"}
    assert without_managers(own) == {"DOCKER_HOST": "d", "RUNCTL_BOOT_ID": "b"}
