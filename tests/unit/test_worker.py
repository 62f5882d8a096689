"""Jobs done in a process of their own, with the rights of the training's user."""

from __future__ import annotations

import gzip
import io
import os
import pwd
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.account import Account
from runctl_agent.training.exec import take_lock
from runctl_agent.training.job import (
    Done,
    Job,
    Running,
    Setup,
    Train,
    Unpack,
    Workers,
    decode_done,
    decode_job,
    encode_done,
    encode_job,
    login_env,
    tail_of,
)
from runctl_agent.training.needs import Needs
from runctl_agent.training.record import was_started
from runctl_agent.training.surveyed import answered
from runctl_agent.training.trainer import LinuxProcesses
from runctl_agent.training.worker import parse_env

ME = pwd.getpwuid(os.geteuid())
USER = Account(ME.pw_name, ME.pw_uid, ME.pw_gid, ME.pw_dir, ME.pw_shell)
ENV = {"PATH": os.environ["PATH"], "HOME": ME.pw_dir}


def to_the_end(running: Running) -> Done:
    end = time.monotonic() + 60
    while (done := running.outcome()) is None:
        assert time.monotonic() < end
        time.sleep(0.01)
    return done


def done(job: Job, archive: int | None = None) -> Done:
    return to_the_end(Workers().start(job, archive=archive))


def set_up(workdir: Path, *lines: str, env: Mapping[str, str] = ENV) -> Done:
    return done(Setup(USER, str(workdir), env, lines, "setup.log"))


def archive_of(path: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> int:
    with tarfile.open(path, "w:gz") as tar:
        for entry, body in entries:
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
    return os.open(path, os.O_RDONLY)


def link(name: str, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    return entry


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=9)), st.lists(st.text(max_size=9)))
def test_jobs_and_outcomes_survive_the_way(env: dict[str, str], words: list[str]) -> None:
    setup = Setup(USER, "/w", env, tuple(words), "log")
    train = Train(USER, "/w", env, tuple(words), "log", "run", 2, "/s", "pid", "code", "")
    for job in (setup, train, Unpack(USER, "/w", tuple(words))):
        assert decode_job(encode_job(job)) == job
    outcome = Done("why", tuple(words), env)
    assert decode_done(encode_done(outcome)) == outcome


# --- setup ---


def test_what_setup_exports_stays_and_what_is_the_shells_own_does_not(tmp_path: Path) -> None:
    outcome = set_up(tmp_path, "export A='two\nlines'", "B=not-exported; cd /", 'export C="$A$B"')
    assert outcome.error == ""
    assert (outcome.env["A"], outcome.env["C"]) == ("two\nlines", "two\nlinesnot-exported")
    assert outcome.env["PWD"] == str(tmp_path)
    assert outcome.env.keys().isdisjoint({"B", "_", "OLDPWD", "SHLVL"})


def test_without_lines_it_gives_what_a_login_shell_has(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".bash_profile").write_text("export FROM_PROFILE=yes\n")
    outcome = set_up(tmp_path, env={**ENV, "HOME": str(home)})
    assert outcome.env["FROM_PROFILE"] == "yes"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("false", "setup ended with exit code 1"),
        ("echo one; (exit 7)", "setup ended with exit code 7"),
        ("kill -9 $$", "setup ended with SIGKILL"),
        ("exit 0", "setup left no environment"),
        ("if then", "setup ended with exit code 2"),
    ],
)
def test_a_line_that_fails_ends_it(tmp_path: Path, line: str, why: str) -> None:
    outcome = set_up(tmp_path, "echo first", line, "echo never > never")
    assert outcome.error.startswith(why)
    assert not (tmp_path / "never").exists()
    assert outcome.env == {}


def test_the_last_lines_of_this_setup_are_told_and_not_those_before(tmp_path: Path) -> None:
    (tmp_path / "setup.log").write_text("of yesterday\n")
    outcome = set_up(tmp_path, "echo of today; false")
    assert "of today" in outcome.tail
    assert "of yesterday" not in outcome.tail
    assert (tmp_path / "setup.log").read_text().startswith("of yesterday\nrunctl: setup: ")


def test_cancelling_ends_all_that_it_started(tmp_path: Path) -> None:
    running = Workers().start(Setup(USER, str(tmp_path), ENV, ("sleep 600 & echo $! > pid; wait",), "setup.log"))
    end = time.monotonic() + 60
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()):
        assert time.monotonic() < end
        time.sleep(0.01)
    pid = int((tmp_path / "pid").read_text())
    running.cancel()
    assert to_the_end(running).error == "it was cancelled"
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_fifo_in_the_place_of_the_log_does_not_hold_it_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "setup.log")
    outcome = set_up(tmp_path, "echo x")
    assert outcome.error == "" or "No such device" in outcome.error


def test_the_environment_as_env_prints_it() -> None:
    assert parse_env(b"A=1\0B=x=y\0_=/usr/bin/env\0SHLVL=1\0broken\0C=two\nlines\0") == {"A": "1", "B": "x=y", "C": "two\nlines"}


# --- unpacking ---


def test_the_archive_is_unpacked_and_the_directories_are_made(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "code.tar.gz", (tarfile.TarInfo("package/train.py"), b"print()"))
    workdir = tmp_path / "home" / "run"
    assert done(Unpack(USER, str(workdir), (str(workdir / "checkpoints"),)), archive) == Done()
    os.close(archive)
    assert (workdir / "package" / "train.py").read_bytes() == b"print()"
    assert os.listdir(workdir / "checkpoints") == []


@pytest.mark.parametrize(
    "entry",
    [tarfile.TarInfo("../out"), tarfile.TarInfo("a/../../out"), link("out", "/etc/passwd"), link("out", "../../etc")],
    ids=["above", "above, in the middle", "link to a whole path", "link above"],
)
def test_nothing_is_unpacked_out_of_the_workdir(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    archive = archive_of(tmp_path / "code.tar.gz", (entry, b"x" if entry.isreg() else b""))
    outcome = done(Unpack(USER, str(tmp_path / "work")), archive)
    os.close(archive)
    assert outcome.error.startswith("the code archive can't be unpacked")
    assert not (tmp_path / "out").exists()
    assert os.listdir(tmp_path / "work") == []


def test_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "code").write_bytes(b"no gzip")
    archive = os.open(tmp_path / "code", os.O_RDONLY)
    assert "can't be unpacked" in done(Unpack(USER, str(tmp_path / "work")), archive).error
    os.close(archive)


# --- training ---


def train(tmp_path: Path, *command: str) -> Train:
    state_dir = tmp_path / "state"
    state_dir.mkdir(exist_ok=True)
    names = ("training.pid", "training_exit_code.txt", "")
    return Train(USER, str(tmp_path), ENV, command, "training.log", "gpt2", 3, str(state_dir), *names)


def test_it_holds_the_lock_from_before_its_start_to_its_end(tmp_path: Path) -> None:
    boot_id = LinuxProcesses().boot_id
    job = train(tmp_path, "sh", "-c", "echo started; read wait < fifo; exit 3")
    os.mkfifo(tmp_path / "fifo")
    assert not was_started(job.state_dir, "gpt2", boot_id)
    lock = take_lock(job.state_dir, "gpt2")
    assert lock is not None
    running = Workers().start(job, lock=lock)
    os.close(lock)
    assert was_started(job.state_dir, "gpt2", boot_id), "before the worker has written anything"
    assert take_lock(job.state_dir, "gpt2") is None
    (tmp_path / "fifo").write_text("go\n")
    assert to_the_end(running) == Done()
    assert (tmp_path / "training_exit_code.txt").read_text() == "3\n"
    assert (tmp_path / "training.log").read_text() == "started\n"
    again = take_lock(job.state_dir, "gpt2")
    assert again is not None
    os.close(again)
    assert was_started(job.state_dir, "gpt2", boot_id), "its record stays"
    assert not was_started(job.state_dir, "gpt2", "another boot")


# --- the environment ---


def test_another_user_gets_nothing_of_the_agents_environment() -> None:
    own = {"AWS_SECRET_ACCESS_KEY": "s", "PATH": "/agent", "LANG": "C.UTF-8", "NOTIFY_SOCKET": "@n"}
    env = login_env(Account("joe", 4711, 4711, "/home/joe", "/bin/zsh"), own, euid=0)
    assert env.keys() == {"PATH", "LANG", "HOME", "USER", "LOGNAME", "SHELL"}
    assert (env["HOME"], env["LOGNAME"], env["SHELL"]) == ("/home/joe", "joe", "/bin/zsh")
    assert env["PATH"] != "/agent"


def test_the_own_user_keeps_it_but_for_what_is_the_agents_own() -> None:
    own = {"CUDA_VISIBLE_DEVICES": "1", "PATH": "/mine", "NOTIFY_SOCKET": "@n", "RUNCTL_BOOT_ID": "b", "WATCHDOG_USEC": "1"}
    env = login_env(USER, own, euid=USER.uid)
    assert (env["CUDA_VISIBLE_DEVICES"], env["PATH"]) == ("1", "/mine")
    assert env.keys().isdisjoint({"NOTIFY_SOCKET", "RUNCTL_BOOT_ID", "WATCHDOG_USEC"})


@pytest.mark.parametrize(
    "name",
    ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "CREDENTIALS_DIRECTORY"],
)
def test_no_credentials_of_the_agents_but_where_it_works(name: str) -> None:
    own = {name: "secret", "AWS_REGION": "eu-north-1", "AWS_ENDPOINT_URL": "http://s3"}
    env = login_env(USER, own, euid=USER.uid)
    assert name not in env
    assert (env["AWS_REGION"], env["AWS_ENDPOINT_URL"]) == ("eu-north-1", "http://s3")


def test_a_tail_is_bounded() -> None:
    told = tail_of(b"\n".join(b"%d " % n + b"x" * 500 for n in range(50)) + b"\n\n\xff\n")
    assert len(told) == 12
    assert told[-1] == "\ufffd"
    assert max(map(len, told)) == 200


CLAIMS = [(2**40, b"x"), (2**62, b"g"), (2**70, b"L"), (8 * 2**30, b"K")]


@pytest.mark.parametrize(("size", "type_"), CLAIMS)
def test_what_a_header_only_claims_takes_no_memory(tmp_path: Path, size: int, type_: bytes) -> None:
    header = bytearray(tarfile.TarInfo("train.py").tobuf(tarfile.GNU_FORMAT))
    header[124:136], header[156:157] = b"\x80" + size.to_bytes(11, "big"), type_
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    path = tmp_path / "code.tar.gz"
    path.write_bytes(gzip.compress(bytes(header) + bytes(1024)))
    error = done(Unpack(USER, str(tmp_path / "work")), os.open(path, os.O_RDONLY)).error
    assert error.startswith("the code archive can't be unpacked: a header claims to have ")


def test_a_link_to_what_the_archive_does_not_have_fails_the_unpacking_with_a_reason(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("hard")
    entry.type, entry.linkname = tarfile.LNKTYPE, "absent.py"
    outcome = done(Unpack(USER, str(tmp_path / "work")), archive_of(tmp_path / "code.tar.gz", (entry, b"")))
    assert "the code archive can't be unpacked" in outcome.error


def test_a_time_that_no_file_can_have_fails_the_unpacking_with_a_reason(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("train.py")
    entry.pax_headers = {"mtime": "1e300"}
    outcome = done(Unpack(USER, str(tmp_path / "work")), archive_of(tmp_path / "code.tar.gz", (entry, b"")))
    assert "the code archive can't be unpacked" in outcome.error


WHOLE = encode_done(Done("", ("a",), {"A": "b"}, Needs(("python",))))


BROKEN = (WHOLE[:-1], WHOLE.replace(b"command", b"commands"))
OF_OTHER_TYPES = (WHOLE.replace(b'"b"', b"5"), WHOLE.replace(b'["a"]', b"[1]"), WHOLE.replace(b'""', b'["x"]', 1))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"needs": 1}', b"[" * 100_000, *BROKEN, *OF_OTHER_TYPES])
def test_what_a_worker_says_wrongly_is_its_failure(body: bytes) -> None:
    assert decode_done(body).error == f"what the worker process said of {len(body)} bytes can't be read"


@pytest.mark.parametrize("said", [b"", b"5", b"null", b"hello\n[true]\n", b"[" * 100_000, b"\xff"])
def test_a_python_that_does_not_say_what_it_is_asked(said: bytes) -> None:
    """A wrapper of somebody's, or a sitecustomize that prints: it is taken for an ordinary one."""
    assert answered(said) == (False, True)


def test_a_python_that_says_other_things_first() -> None:
    assert answered(b"hello\n[true, false]\n") == (True, False)
