"""A process is who it was when it was adopted, or it is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.malformed import Malformed
from runctl_agent.errors import NotFoundError, RunctlError, WrongStateError
from runctl_agent.records import ProcessId
from runctl_agent.training.trainer import PID_MAX, LinuxProcesses, Stat, adopt, parse_stat, send_signal, uid_of
from tests.fakes.processes import FakeProcesses


@pytest.fixture
def processes() -> Iterator[LinuxProcesses]:
    linux = LinuxProcesses()
    yield linux
    linux.close()


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Lives until its input ends."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        yield process


def ended(child: subprocess.Popen[bytes]) -> None:
    """Wait until it is a zombie, and leave it one."""
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)


def pidfds() -> int:
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return sum("pidfd" in os.readlink(link) for link in links if os.path.lexists(link))


def identified(processes: LinuxProcesses, pid: int) -> ProcessId:
    process = processes.identify(pid)
    assert process is not None
    return process


@given(
    comm=st.binary(max_size=15).filter(lambda name: b"\n" not in name),
    ticks=st.integers(0, 2**63),
    state=st.sampled_from("RSDZTtX"),
)
def test_a_command_may_be_called_anything(comm: bytes, ticks: int, state: str) -> None:
    between = b" ".join(b"%d" % n for n in range(18))
    assert parse_stat(b"42 (%s) %s %s %d 0 1\n" % (comm, state.encode(), between, ticks)) == Stat(state, ticks, 2)


@given(st.binary())
def test_the_parser_is_total(line: bytes) -> None:
    assert isinstance(parse_stat(line), Stat | Malformed)


def test_this_process_is_alive_and_ours(processes: LinuxProcesses) -> None:
    me = identified(processes, os.getpid())
    assert processes.alive(me)
    assert not processes.exited(me)
    assert processes.owner(me) == os.getuid()
    assert me == identified(LinuxProcesses(), os.getpid())


@pytest.mark.parametrize("pid", [0, -1, PID_MAX, PID_MAX + 1, 2**40])
def test_nobody_has_an_impossible_pid(processes: LinuxProcesses, pid: int) -> None:
    assert processes.identify(pid) is None


def test_a_zombie_has_a_pid_and_is_not_alive(processes: LinuxProcesses, child: subprocess.Popen[bytes]) -> None:
    process = identified(processes, child.pid)
    assert processes.alive(process)
    ended(child)
    assert processes.identify(child.pid) == process
    assert not processes.alive(process)
    assert processes.exited(process)


def test_the_end_is_seen_on_the_held_descriptor_also_after_the_reaping(
    processes: LinuxProcesses, child: subprocess.Popen[bytes]
) -> None:
    process = identified(processes, child.pid)
    assert not processes.exited(process)
    ended(child)
    child.wait()
    assert not processes.alive(process)
    assert processes.exited(process)
    assert processes.exited(process)
    assert processes.owner(process) is None


def test_watching_holds_one_descriptor_and_lets_it_go_with_the_process(child: subprocess.Popen[bytes]) -> None:
    processes = LinuxProcesses()
    process = identified(processes, child.pid)
    before = pidfds()
    assert not processes.exited(process)
    assert not processes.exited(process)
    assert pidfds() == before + 1
    ended(child)
    assert processes.exited(process)
    assert pidfds() == before


def test_without_pidfds_the_process_is_still_told_from_its_zombie(
    processes: LinuxProcesses, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(pid: int) -> int:
        raise OSError(24, "Too many open files")

    process = identified(processes, child.pid)
    monkeypatch.setattr(os, "pidfd_open", refused)
    assert processes.alive(process)
    assert not processes.exited(process)
    with pytest.raises(WrongStateError, match="Too many open files"):
        processes.signal(process, signal.SIGTERM)
    ended(child)
    assert not processes.alive(process)
    assert processes.exited(process)


def test_a_session_that_can_not_be_looked_at_is_not_an_empty_one(
    processes: LinuxProcesses, child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    process = identified(processes, child.pid)

    def refused(path: str) -> list[str]:
        raise OSError(24, "Too many open files", path)

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(RunctlError, match="Too many open files") as caught:
        processes.session(process)
    assert "LimitNOFILE" in caught.value.mend


def test_a_thread_is_not_a_process(processes: LinuxProcesses) -> None:

    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        assert processes.identify(thread.native_id) is None
    finally:
        done.set()
        thread.join()


def test_a_signal_reaches_the_very_process(processes: LinuxProcesses, child: subprocess.Popen[bytes]) -> None:
    process = identified(processes, child.pid)
    send_signal(processes, process, signal.SIGTERM, user="", written_by=os.getuid())
    assert child.wait() == -signal.SIGTERM
    with pytest.raises(NotFoundError, match="it has ended"):
        send_signal(processes, process, signal.SIGTERM, user="", written_by=os.getuid())


def test_no_signal_goes_to_another_boots_process(processes: LinuxProcesses, child: subprocess.Popen[bytes]) -> None:
    stranger = replace(identified(processes, child.pid), boot_id="another")
    with pytest.raises(NotFoundError):
        processes.signal(stranger, signal.SIGKILL)
    assert child.poll() is None


@pytest.mark.parametrize(
    ("owner", "user", "euid", "believed"),
    [
        (1000, "", 0, True),
        (0, "", 0, True),
        (1000, "1000", 0, True),
        (0, "1000", 0, False),
        (1001, "1000", 0, False),
        (1000, "", 1000, True),
        (1001, "", 1000, False),
        (0, "", 1000, False),
        (1000, "1000", 1000, True),
        (1001, "1001", 1000, False),
        (1000, "nobody-has-this-name", 0, False),
    ],
)
def test_a_pid_is_believed_if_it_belongs_to_the_trainings_user(owner: int, user: str, euid: int, believed: bool) -> None:
    processes = FakeProcesses()
    process = processes.start(77, owner)
    answer = adopt(processes, 77, user, euid=euid)
    assert answer == process if believed else isinstance(answer, str)


def test_what_is_not_believed_says_why() -> None:
    processes = FakeProcesses()
    processes.end(processes.start(8))
    processes.start(9, 1001)
    assert adopt(processes, 7, "") == "no process with pid 7 is alive"
    assert adopt(processes, 8, "") == "no process with pid 8 is alive"
    assert adopt(processes, 9, "1000", euid=0) == "process 9 belongs to uid 1001, not to the training's user"
    assert adopt(processes, 1, "") == "pid 1 is the machine's own"
    assert adopt(processes, os.getpid(), "") == f"pid {os.getpid()} is the agent itself"


@pytest.mark.parametrize(
    ("owner", "user", "written_by", "sent"),
    [
        (1000, "1000", 0, True),
        (0, "1000", 0, False),
        (1000, "", 1000, True),
        (0, "", 1000, False),
        (1001, "", 1000, False),
        (1000, "", 0, True),
        (1000, "", None, False),
        (1000, "nobody-has-this-name", 1000, False),
        (1000, "0", 1000, False),
    ],
)
def test_only_the_trainings_own_process_is_signalled(owner: int, user: str, written_by: int | None, sent: bool) -> None:
    processes = FakeProcesses()
    process = processes.start(77, owner)
    if sent:
        send_signal(processes, process, signal.SIGTERM, user=user, written_by=written_by)
        assert processes.signalled == [(process, signal.SIGTERM)]
    else:
        with pytest.raises(WrongStateError, match="belongs to uid"):
            send_signal(processes, process, signal.SIGTERM, user=user, written_by=written_by)
        assert processes.signalled == []


def test_users_are_known_by_name_or_number() -> None:
    assert (uid_of("root"), uid_of("1234"), uid_of("no-such-user"), uid_of("-1"), uid_of("a\0b")) == (0, 1234, None, None, None)
