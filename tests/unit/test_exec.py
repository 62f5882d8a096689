"""`exec` leaves on disk who ran and how it ended, and is as if it were not there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from runctl_agent.errors import NotFoundError, UsageError, WrongStateError
from runctl_agent.records import ProcessId
from runctl_agent.training.cgroup import oom_kills
from runctl_agent.training.evidence import Evidence, Outcome, Verdict, judge
from runctl_agent.training.exec import run_exec
from runctl_agent.training.markers import MarkerSet
from runctl_agent.training.record import ExitRecord
from runctl_agent.training.trainer import LinuxProcesses, adopt
from tests.fakes.wrapped import Wrapped, line


@pytest.fixture
def wrapped(tmp_path: Path) -> Wrapped:
    return Wrapped(tmp_path)


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_is_returned_written_and_recorded(wrapped: Wrapped, code: int) -> None:
    ended = wrapped.run("sh", "-c", f"echo $$; exit {code}")
    assert ended.returncode == code
    assert ended.stdout.strip() == wrapped.pid_file.read_text().strip()
    assert wrapped.exit_code_file.read_text() == f"{code}\n"
    record = wrapped.record()
    assert (record.run, record.attempt, record.code, record.signal, record.error) == ("gpt2", 1, code, None, "")
    assert record.process.pid == int(ended.stdout)
    assert record.process.ticks > 0
    assert record.process.boot_id == LinuxProcesses().boot_id
    assert record.peak_rss > 100_000
    assert 0 < record.start <= record.end
    assert wrapped.names() == ["training.pid", "training_exit_code.txt"]
    assert sorted(os.listdir(wrapped.state_dir)) == ["exec-gpt2.json", "exec-gpt2.lock", "exit-gpt2.json"]


def test_the_record_has_the_names_of_the_design(wrapped: Wrapped) -> None:
    wrapped.run("true")
    plain = json.loads((wrapped.state_dir / "exit-gpt2.json").read_text())
    assert set(plain) >= {"run", "attempt", "boot_id", "ticks", "pid", "code", "signal", "oom_kill", "start", "end", "peak_rss"}


def test_the_end_by_a_signal_is_128_and_its_number(wrapped: Wrapped) -> None:
    assert wrapped.run("sh", "-c", "kill -9 $$").returncode == 137
    assert wrapped.exit_code_file.read_text() == "137\n"
    assert (wrapped.record().code, wrapped.record().signal) == (137, 9)


@pytest.mark.parametrize(("command", "code"), [("no-such-command", 127), ("/etc/passwd", 126), ("/etc/passwd/x", 127)])
def test_what_can_not_be_started_ends_as_in_a_shell(wrapped: Wrapped, command: str, code: int) -> None:
    ended = wrapped.run(command)
    assert ended.returncode == code
    assert f"'{command}' could not be started" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert wrapped.exit_code_file.read_text() == f"{code}\n"
    assert wrapped.record().code == code
    assert wrapped.record().process == ProcessId(0, 0, LinuxProcesses().boot_id)
    assert wrapped.names() == ["training_exit_code.txt"]


def test_while_it_runs_there_is_a_pid_and_no_exit_code(wrapped: Wrapped) -> None:
    with wrapped.start("sh", "-c", "echo $$; read go") as wrapper:
        pid = int(line(wrapper.stdout))
        assert wrapped.pid() == pid
        assert os.getsid(pid) == pid != os.getsid(wrapper.pid)
        assert wrapped.names() == ["training.pid"]
        assert not (wrapped.state_dir / "exit-gpt2.json").exists()
        wrapper.communicate("\n", timeout=60)
    assert wrapper.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_signals_are_passed_on_to_the_command(wrapped: Wrapped, number: signal.Signals) -> None:
    script = f"trap 'exit 42' {number.value}; echo up; while :; do read x; done"
    with wrapped.start("sh", "-c", script) as wrapper:
        assert line(wrapper.stdout) == "up"
        wrapper.send_signal(number)
        assert wrapper.wait(60) == 42
    assert wrapped.exit_code_file.read_text() == "42\n"


def test_a_signal_ignored_before_stays_ignored(wrapped: Wrapped) -> None:
    script = "grep SigIgn /proc/$$/status; read go"
    nohup = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *wrapped.argv(["sh", "-c", script])]
    with subprocess.Popen(nohup, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as wrapper:
        assert int(line(wrapper.stdout).split()[1], 16) & 1
        wrapper.send_signal(signal.SIGHUP)
        wrapper.communicate("\n", timeout=60)
    assert wrapper.returncode == 0


def test_what_was_there_before_is_set_aside_and_not_lost(wrapped: Wrapped) -> None:
    wrapped.exit_code_file.write_text("7\n")
    wrapped.complete_file.write_text("done")
    wrapped.run("true")
    wrapped.run("false")
    assert wrapped.names() == [
        "training.pid",
        "training.pid.stale-1",
        "training_complete.txt.stale-1",
        "training_exit_code.txt",
        "training_exit_code.txt.stale-1",
        "training_exit_code.txt.stale-2",
    ]
    read = [(wrapped.workdir / f"training_exit_code.txt{end}").read_text() for end in (".stale-1", ".stale-2", "")]
    assert read == ["7\n", "0\n", "1\n"]


def test_a_link_in_a_markers_place_is_set_aside_and_its_target_untouched(wrapped: Wrapped, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    for path in (wrapped.pid_file, wrapped.exit_code_file):
        path.symlink_to(target)
    assert wrapped.run("true").returncode == 0
    assert target.read_text() == "precious"
    assert wrapped.exit_code_file.read_text() == "0\n"
    assert not wrapped.exit_code_file.is_symlink()


def test_a_second_command_of_the_same_run_is_refused_while_the_first_lives(wrapped: Wrapped) -> None:
    with wrapped.start("sh", "-c", "read go") as wrapper:
        pid = wrapped.pid()
        second = wrapped.run("touch", "started")
        assert second.returncode != 0
        assert f"its process {pid} is still alive" in second.stderr
        assert wrapped.names() == ["training.pid"]
        assert wrapped.pid() == pid
        wrapper.communicate("\n", timeout=60)
    assert wrapped.run("true").returncode == 0


def test_only_the_main_process_counts(wrapped: Wrapped) -> None:
    """A child that it left behind holds the output open; `exec` ends all the same."""
    script = "sh -c 'echo $$; read go' 0<&3 & exit 5"
    with wrapped.start("sh", "-c", f"exec 3<&0; {script}") as wrapper:
        left_behind = int(line(wrapper.stdout))
        assert wrapper.wait(60) == 5
        processes = LinuxProcesses()
        process = processes.identify(left_behind)
        assert process is not None
        assert processes.alive(process)
        wrapper.communicate("\n", timeout=60)
    assert wrapped.record().code == 5


def test_an_agent_beside_it_sees_its_end_by_its_record(wrapped: Wrapped) -> None:
    processes, markers = LinuxProcesses(), MarkerSet()
    markers.observe(wrapped.look(), 0.0)
    with wrapped.start("sh", "-c", "read go") as wrapper:
        process = adopt(processes, wrapped.pid(), "")
        assert isinstance(process, ProcessId)
        assert not processes.exited(process)
        wrapper.communicate("\n", timeout=60)
    assert processes.exited(process)
    seen = markers.observe(wrapped.look(), 1.0)
    assert isinstance(seen.record, ExitRecord)
    evidence = Evidence("gpt2", processes.boot_id, process, gone_since=1.0, record=seen.record, record_new=seen.record_new)
    assert judge(evidence, 1.0) == Verdict(Outcome.FINISHED, 0, "the training ended with exit code 0 (exit record)")
    unseen = Evidence("gpt2", processes.boot_id, record=seen.record, record_new=seen.record_new)
    assert judge(unseen, 1.0).outcome is Outcome.FINISHED


def test_training_goes_on_where_nothing_can_be_written_about_it(wrapped: Wrapped) -> None:
    wrapped.state_dir.write_text("a file in the state directory's place")
    ended = wrapped.run("sh", "-c", "rm -r ../work; exit 3")
    assert ended.returncode == 3
    assert "can't make" in ended.stderr
    assert "can't write" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_nothing_is_started_where_the_markers_have_no_place(tmp_path: Path) -> None:
    started = tmp_path / "started"
    with pytest.raises(NotFoundError, match="there is no directory") as error:
        run_exec(
            ["touch", str(started)],
            pid_file=str(tmp_path / "absent" / "pid"),
            exit_code_file=str(tmp_path / "code"),
            state_dir=str(tmp_path),
            run="gpt2",
        )
    assert error.value.mend == f"mkdir -p {tmp_path / 'absent'}"
    assert not started.exists()


def test_no_command_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        run_exec([], pid_file="p", exit_code_file="e", state_dir=str(tmp_path), run="gpt2")


def test_a_live_pid_that_is_not_ours_does_not_stop_a_start(wrapped: Wrapped) -> None:
    """After a reboot its pid may be anyone's."""
    wrapped.pid_file.write_text(f"{os.getpid()}\n")
    assert wrapped.run("true").returncode == 0


def test_the_handlers_are_as_before(tmp_path: Path) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = run_exec(
            ["true"], pid_file=str(tmp_path / "p"), exit_code_file=str(tmp_path / "e"), state_dir=str(tmp_path), run="gpt2"
        )
    except WrongStateError as error:  # pragma: no cover - shows the reason
        pytest.fail(error.full)
    assert code == 0
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize(
    ("cgroup", "files", "kills"),
    [
        ("0::/a/b\n", {"a/b/memory.events": "low 0\noom 3\noom_kill 2\noom_group_kill 9\n"}, 2),
        ("0::/\n", {}, None),
        ("4:cpu,memory:/a\n0::/\n", {"memory/a/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"}, 5),
        ("4:memory:/a\n0::/b\n", {"b/memory.events": "oom_kill 1\n"}, 1),
        ("garbage", {}, None),
        ("0::/a\0b\n", {}, None),
    ],
)
def test_memory_kills_are_counted_in_either_version(
    tmp_path: Path, cgroup: str, files: dict[str, str], kills: int | None
) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text(cgroup)
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    assert oom_kills(str(tmp_path), str(tmp_path)) == kills
