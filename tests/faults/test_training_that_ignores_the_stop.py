"""A training that does not answer its stop signal: SIGKILL after its grace, and its workers go with it."""

from __future__ import annotations

from pathlib import Path

import psutil

from tests.e2e.runs import Operator
from tests.e2e.test_scenarios import wait_for

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
worker = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
with open("pids.part", "w") as file:
    file.write(f"{os.getpid()} {worker.pid}")
os.rename("pids.part", "pids")
time.sleep(600)
"""


def test_it_is_killed_with_all_of_its_session(operator: Operator) -> None:
    operator.script(STUBBORN)
    (operator.folder / "run.yaml").write_text("checkpoints: [{path: checkpoints}]\ntraining: {grace: 1s}\n")
    instance = operator.launch("--config", "run.yaml")
    pids: Path = operator.disk(instance, "pids")
    operator.until(lambda state: state.get("phase") == "training")
    wait_for(pids.exists)
    operator.command("stop", operator.run)
    assert operator.wait(code=11)["outcome"] == "stopped"
    assert operator.status()["state"]["exit_code"] == 137
    assert not any(psutil.pid_exists(int(pid)) for pid in pids.read_text().split())
