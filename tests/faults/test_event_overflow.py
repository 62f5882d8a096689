"""The agent does not get to run for so long that the kernel's queue of events overflows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

WATCH = """
import sys
from runctl_agent.disk.watch import DiskWatcher
from runctl_agent.records import Change
from runctl_agent.runtime import ThreadRuntime

def sink(change: Change) -> None:
    if change.path in {"", "ready", "after"}:
        print(change.path or "whole", change.what, flush=True)

watcher = DiskWatcher(ThreadRuntime(), sink, rescan=1e6, poll=1e6, tick=0.05)
watcher.watch(sys.argv[1])
watcher.start()
sys.stdin.read()
watcher.stop()
print("stopped", *watcher.problems(), flush=True)
"""


def test_the_whole_root_is_read_and_watching_goes_on(tmp_path: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    watcher = subprocess.Popen(
        [sys.executable, "-c", WATCH, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with watcher:
        assert watcher.stdin is not None
        assert watcher.stdout is not None
        lines = iter(watcher.stdout.readline, "")
        assert next(lines) == "whole changed\n"
        (tmp_path / "ready").touch()
        while next(lines) != "ready closed\n":
            pass
        watcher.send_signal(signal.SIGSTOP)
        for n in range(limit // 2 + 2000):  # each is created and closed: two events
            (tmp_path / f"{n}.pt").touch()
        watcher.send_signal(signal.SIGCONT)
        assert next(lines) == "whole changed\n"
        (tmp_path / "after").touch()
        while next(lines) != "after closed\n":
            pass
        watcher.stdin.close()
        assert list(lines)[-1] == "stopped\n"
