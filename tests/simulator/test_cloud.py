"""The simulator's own process: nothing that it started outlives it, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from runctl_simulator.cloud import MOTO, Cloud, CloudError
from runctl_simulator.processes import below
from tests.e2e.seaweed import S3

from .account import Account, gone, wait_for


def everything(cloud: Cloud) -> list[int]:
    return [cloud.pid, *below(cloud.pid)]


def names(pids: list[int]) -> set[str]:
    found = set()
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            found.add(psutil.Process(pid).name())
    return found


def with_an_agent(cloud: Cloud, destination: str = "s3://ckpt/own") -> list[int]:
    """Every process, once there is an instance with an agent and with something of its own session."""
    with closing(Account(cloud, destination)) as account:
        instance = account.launch(user_data=account.user_data())
        account.wait_for_phase(instance, "waiting")
        cloud.execute(instance, "setsid", "-f", "sleep", "600")
        wait_for(lambda: {"sleep"} <= names(cloud.processes(instance)) and "setsid" not in names(cloud.processes(instance)))
    return everything(cloud)


def stop(cloud: Cloud) -> None:
    cloud.stop()


def kill(cloud: Cloud) -> None:
    os.kill(cloud.pid, signal.SIGKILL)


def terminate(cloud: Cloud) -> None:
    os.kill(cloud.pid, signal.SIGTERM)


@pytest.mark.parametrize("end", [stop, kill, terminate])
def test_nothing_is_left_running(tmp_path: Path, s3: S3, end: Callable[[Cloud], None]) -> None:
    with Cloud(tmp_path / "cloud", s3_endpoint=s3.endpoint) as cloud:
        processes = with_an_agent(cloud)
        assert len(processes) >= 4
        end(cloud)
        wait_for(lambda: gone(processes))
        assert not (tmp_path / "cloud/s3").exists()


def test_with_an_s3_of_its_own(tmp_path: Path) -> None:
    """From start to end, in one: it is started and ended with the server."""
    cloud = Cloud(tmp_path / "cloud")
    with cloud:
        processes = with_an_agent(cloud)
        assert "weed" in [psutil.Process(pid).name() for pid in processes]
        assert cloud.env["AWS_ENDPOINT_URL_S3"] == cloud.s3_endpoint
        assert cloud.env["AWS_EC2_METADATA_DISABLED"] == "true"
    assert gone(processes)
    cloud.stop()


STARTER = """
import sys
from pathlib import Path
from runctl_simulator.cloud import Cloud
cloud = Cloud(Path(sys.argv[1]), s3_endpoint=sys.argv[2])
cloud.start()
if sys.argv[3] == "detach":
    assert cloud.detach() == cloud.pid
print(cloud.pid, cloud.endpoint, flush=True)
if sys.argv[3] == "hang":
    sys.stdin.read()
"""


def start_elsewhere(tmp_path: Path, s3_endpoint: str, how: str) -> tuple[subprocess.Popen[str], int, str]:
    argv = [sys.executable, "-W", "ignore", "-c", STARTER, str(tmp_path / "cloud"), s3_endpoint, how]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pid, endpoint = process.stdout.readline().split()
    return process, int(pid), endpoint


def test_it_ends_with_a_killed_starter(tmp_path: Path, s3: S3) -> None:
    process, pid, _ = start_elsewhere(tmp_path, s3.endpoint, "hang")
    with process:
        assert not gone([pid])
        process.kill()
    wait_for(lambda: gone([pid]))


def test_detached_it_stays_until_it_is_told(tmp_path: Path, s3: S3) -> None:
    process, pid, endpoint = start_elsewhere(tmp_path, s3.endpoint, "detach")
    with process:
        process.communicate()
    assert process.returncode == 0
    with urlopen(f"{endpoint}/moto-api/data.json", timeout=60) as response:
        assert response.status == 200
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: gone([pid]))


def test_what_hinders_its_start_is_said(tmp_path: Path) -> None:
    with pytest.raises(CloudError, match=r"the simulator did not start: (.|\n)*nowhere-1"):
        Cloud(tmp_path, s3_endpoint="http://127.0.0.1:1", region="nowhere-1").start()


def test_the_disk_is_kept_when_asked(tmp_path: Path, s3: S3) -> None:
    with (
        Cloud(tmp_path / "cloud", s3_endpoint=s3.endpoint, keep=True) as cloud,
        closing(Account(cloud, "s3://ckpt/x")) as account,
    ):
        instance = account.launch()
        cloud.lose(instance)
        assert account.state(instance) == "terminated"
        assert (cloud.folder(instance) / "root/home").is_dir()
        cloud.instance_env({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:2"})
        second = account.launch(user_data=account.user_data())
        wait_for(lambda: len(cloud.processes(second)) > 1)
        with open(f"/proc/{cloud.processes(second)[1]}/environ", "rb") as file:
            assert b"AWS_ENDPOINT_URL_S3=http://127.0.0.1:2" in file.read().split(b"\0")


def test_no_setting_of_this_machine_gets_in(tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "somebody")
    monkeypatch.setenv("MOTO_ENABLE_AMI_VALIDATION", "")
    with Cloud(tmp_path / "cloud", s3_endpoint=s3.endpoint) as cloud:
        env = psutil.Process(cloud.pid).environ()
    assert {name: value for name, value in env.items() if name.startswith(("AWS_", "MOTO_"))} == MOTO
