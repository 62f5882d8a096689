"""What systemd hears of the agent: READY once everything on disk was looked at, and never later for the network's sake."""

from __future__ import annotations

import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.agent import Agent
from tests.e2e.committed import names
from tests.e2e.gate import gate
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import save

PATIENCE = 60.0


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(PATIENCE)
        yield listener


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    directory = tmp_path / "checkpoints"
    directory.mkdir()
    for step in (1, 2):
        save(directory / f"model_step_{step}.pt", step, 1000)
    return directory


def staged(agent: Agent) -> int:
    """Checkpoints in the journal, as another process finds them."""
    (path,) = agent.state_dir.glob("runs/*/journal.db")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as journal:
        return int(journal.execute("SELECT count(*) FROM rows").fetchone()[0])


def hears(systemd: socket.socket, wanted: bytes) -> list[bytes]:
    """Everything up to and with `wanted`."""
    heard = [systemd.recv(4096)]
    while heard[-1] != wanted:
        heard.append(systemd.recv(4096))
    return heard


@pytest.mark.parametrize("network", ["refused", "silent"])
def test_ready_without_a_network(
    tmp_path: Path, s3: S3, watched: Path, systemd: socket.socket, network: str, refused: str
) -> None:
    with gate(s3) as closed:
        closed.hold(lambda request: True)
        place = closed.s3 if network == "silent" else S3(refused, "x")
        agent = Agent(tmp_path, place, checkpoints=watched, settle="300ms", env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        process = agent.start()
        before_ready = hears(systemd, b"READY=1")[:-1]
        assert set(before_ready) <= {b"WATCHDOG=1"}
        assert staged(agent) == 2, "what was finished before is safe from rotation"
        assert process.poll() is None
        hears(systemd, b"WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        assert b"READY=1" not in hears(systemd, b"STOPPING=1")
        assert process.wait(PATIENCE) == 0
        assert closed.passed == []
    assert names(s3) == []


def test_not_ready_where_it_can_not_begin(tmp_path: Path, s3: S3, watched: Path, systemd: socket.socket) -> None:
    agent = Agent(tmp_path, s3, checkpoints=watched, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    agent.state_dir.write_text("a file in its place")
    assert agent.command("run", check=False).returncode == 6
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(4096)
