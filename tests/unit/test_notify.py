from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runctl_agent import notify


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    name = str(tmp_path / "notify") if request.param == "path" else f"@runctl-test-{os.getpid()}-{tmp_path.name}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind("\0" + name[1:] if name.startswith("@") else name)
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield listener


def test_what_systemd_hears(systemd: socket.socket) -> None:
    notify.ready()
    notify.status("2 checkpoints pending\nREADY=1")
    notify.watchdog()
    notify.stopping()
    assert [systemd.recv(4096) for _ in range(4)] == [
        b"READY=1",
        b"STATUS=2 checkpoints pending READY=1",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


def test_a_loop_that_hangs_is_not_told_alive(systemd: socket.socket) -> None:
    pulse = notify.Pulse()
    for turns in (0, 1, 1, 1, 2):
        pulse.beat(turns)
    notify.stopping()
    assert [systemd.recv(4096) for _ in range(3)] == [b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify.ready()
    assert not caplog.records


@pytest.mark.parametrize("address", ["/nowhere/at/all", "@runctl-nobody-listens", "vsock:2:1234", "/" + "x" * 300])
def test_a_systemd_that_does_not_listen_is_logged(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with caplog.at_level(logging.WARNING):
        notify.ready()
    assert "READY=1" in caplog.text


def test_a_full_queue_does_not_block(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = str(tmp_path / "notify")
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listener:
        listener.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        for _ in range(2000):
            notify.watchdog()
            if caplog.records:
                break
        assert "WATCHDOG=1" in caplog.text
