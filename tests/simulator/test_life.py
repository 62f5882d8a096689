"""The life of an instance: what EC2 answers of it, and what its processes and its disk really do."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from runctl_simulator.cloud import Cloud, CloudError
from runctl_simulator.imds import REBALANCE, SCHEDULED, SPOT, ScheduledEvent

from .account import Account, alive, cloud_config, environ, gone, pairs, wait_for

AT = datetime(2126, 9, 18, 8, 22, tzinfo=UTC)


def imds(cloud: Cloud, instance: str, path: str) -> str:
    """What the instance sees; empty for a 404."""
    url = urlsplit(cloud.environment(instance)["AWS_EC2_METADATA_SERVICE_ENDPOINT"])
    with closing(HTTPConnection(url.hostname or "", url.port, timeout=60)) as connection:
        connection.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        token = connection.getresponse().read().decode()
        connection.request("GET", f"/latest/{path}", headers={"X-aws-ec2-metadata-token": token})
        response = connection.getresponse()
        body = response.read().decode()
        return body if response.status == 200 else ""


def waiting(account: Account, run: str = "a-run", **parameters: Any) -> str:
    """An instance whose agent has told of itself."""
    instance = account.launch(user_data=account.user_data(run), **parameters)
    account.wait_for_phase(instance, "waiting")
    return instance


def test_the_agent_runs_and_tells_of_itself(account: Account, cloud: Cloud) -> None:
    instance = waiting(account)
    assert account.state(instance) == "running"
    init, agent = cloud.processes(instance)[:2]
    root = cloud.folder(instance) / "root"
    spec = root / "etc/runctl/run.yaml"
    assert spec.stat().st_mode & 0o777 == 0o600
    env = environ(agent)
    assert env["RUNTIME_DIRECTORY"] == str(root / "run/runctl")
    assert abs(int(env["RUNCTL_BOOT_TIME"]) - account.describe(instance)["LaunchTime"].timestamp()) < 60
    assert env["PATH"].split(":")[:2] == [str(root / "usr/sbin"), str(Path(sys.executable).parent)]
    assert not [name for name in env if name.startswith(("PYTEST", "VIRTUAL_ENV"))], "it is a clean one"
    assert environ(init).keys() & {"AWS_SECRET_ACCESS_KEY"} == set()
    assert "level=info" in cloud.console(instance)


def test_without_a_run_spec_nothing_is_started(account: Account, cloud: Cloud) -> None:
    instance = account.launch(user_data="#!/bin/sh\nreboot\n")
    wait_for(lambda: "there is no run spec" in cloud.console(instance))
    assert "cloud-init: WARNING: Unhandled non-multipart" in cloud.console(instance)
    assert len(cloud.processes(instance)) == 1
    assert account.state(instance) == "running"


def test_stop_and_start_keep_the_disk_and_change_boot_and_launch_time(account: Account, cloud: Cloud) -> None:
    instance = waiting(account)
    launched, first = account.describe(instance)["LaunchTime"], cloud.processes(instance)
    boot, endpoint = (cloud.environment(instance)[name] for name in ("RUNCTL_BOOT_ID", "AWS_EC2_METADATA_SERVICE_ENDPOINT"))
    (cloud.folder(instance) / "root/home/kept").write_text("kept")
    wait_for(lambda: datetime.now(UTC) >= launched + timedelta(seconds=1))

    (answer,) = account.ec2.stop_instances(InstanceIds=[instance])["StoppingInstances"]
    assert answer["CurrentState"]["Name"] == "stopping"
    assert account.state(instance) in ("stopping", "stopped")
    account.wait_for_state(instance, "stopped")
    assert gone(first)
    assert cloud.processes(instance) == []
    assert account.describe(instance)["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert account.describe(instance)["LaunchTime"] == launched

    (answer,) = account.ec2.start_instances(InstanceIds=[instance])["StartingInstances"]
    assert answer["CurrentState"]["Name"] == "pending"
    wait_for(lambda: len(cloud.processes(instance)) > 1)
    env = cloud.environment(instance)
    assert env["RUNCTL_BOOT_ID"] != boot
    assert env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] != endpoint
    assert account.describe(instance)["LaunchTime"] > launched
    assert (cloud.folder(instance) / "root/home/kept").read_text() == "kept"


@pytest.mark.parametrize("how", ["api", "cloud", "inside"])
def test_a_reboot_keeps_launch_time(account: Account, cloud: Cloud, how: str) -> None:
    instance = account.launch()
    wait_for(lambda: cloud.processes(instance))
    launched, first = account.describe(instance)["LaunchTime"], cloud.processes(instance)
    boot = cloud.environment(instance)["RUNCTL_BOOT_ID"]
    if how == "api":
        account.ec2.reboot_instances(InstanceIds=[instance])
    elif how == "cloud":
        cloud.reboot(instance)
    else:
        cloud.execute(instance, "bash", "-lc", "shutdown -r now")
    wait_for(lambda: gone(first) and cloud.processes(instance), lambda: cloud.console(instance))
    wait_for(lambda: cloud.environment(instance)["RUNCTL_BOOT_ID"] != boot)
    assert account.describe(instance)["LaunchTime"] == launched
    assert account.state(instance) == "running"


def test_user_data_is_unpacked_once_per_instance(account: Account, cloud: Cloud) -> None:
    instance = account.launch(user_data=cloud_config({"path": "/etc/motd", "content": "from user-data"}))
    motd = cloud.folder(instance) / "root/etc/motd"
    wait_for(lambda: "no run spec" in cloud.console(instance))
    motd.write_text("changed")
    cloud.reboot(instance)
    wait_for(lambda: cloud.console(instance).count("no run spec") == 2)
    assert motd.read_text() == "changed"


def test_terminate_ends_its_processes_and_removes_its_disk(account: Account, cloud: Cloud) -> None:
    instance = waiting(account)
    processes = cloud.processes(instance)
    (answer,) = account.ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"]
    assert answer["CurrentState"]["Name"] == "shutting-down"
    account.wait_for_state(instance, "terminated")
    assert gone(processes)
    assert not (cloud.folder(instance) / "root").exists()
    assert "told to end" in cloud.console(instance), "in order"


def test_lost_with_a_tree_that_forks(account: Account, cloud: Cloud) -> None:
    instance = account.launch()
    root = cloud.folder(instance) / "root"
    bomb = root / "tmp/bomb.sh"
    # Each hands over to the next, in a session of its own: no list of them holds for longer than a moment.
    bomb.write_text(f"#!/bin/sh\necho >> {root}/tmp/forked\nsleep 0.01\nsetsid -f {bomb}\n")
    bomb.chmod(0o755)
    for _ in range(3):
        cloud.execute(instance, str(bomb))
    wait_for(lambda: (root / "tmp/forked").exists() and len((root / "tmp/forked").read_text()) > 20)
    before = cloud.processes(instance)
    cloud.lose(instance)
    assert gone(before)
    assert running(str(bomb)) == []
    assert cloud.processes(instance) == []
    described = account.describe(instance)
    assert described["State"]["Name"] == "terminated"
    assert described["StateReason"]["Code"] == "Server.InternalError"
    assert "shutting down" not in cloud.console(instance), "without a word"


def running(argument: str) -> list[int]:
    """Processes with this in their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), open(f"/proc/{name}/cmdline", "rb") as file:
            if argument.encode() in file.read() and alive(int(name)):
                found.append(int(name))
    return found


def test_what_a_killed_init_leaves_behind_ends_too(account: Account, cloud: Cloud) -> None:
    instance = account.launch()
    cloud.execute(instance, "setsid", "-f", "sleep", "600")
    wait_for(lambda: len(cloud.processes(instance)) > 1)
    before = cloud.processes(instance)
    os.kill(before[0], signal.SIGKILL)
    account.wait_for_state(instance, "stopped")
    wait_for(lambda: gone(before))


def test_a_killed_agent_is_started_again(account: Account, cloud: Cloud) -> None:
    instance = waiting(account)
    agent = cloud.processes(instance)[1]
    assert cloud.kill_agent(instance) == agent
    wait_for(lambda: gone([agent]) and len(cloud.processes(instance)) > 1)
    assert "the agent ended with -9: it is started again in" in cloud.console(instance)
    assert account.state(instance) == "running"


def test_an_agent_that_ends_well_is_not_started_again(account: Account, cloud: Cloud) -> None:
    instance = waiting(account)
    os.kill(cloud.processes(instance)[1], signal.SIGTERM)
    wait_for(lambda: "init: the agent ended\n" in cloud.console(instance))
    assert len(cloud.processes(instance)) == 1
    assert cloud.kill_agent(instance) is None


@pytest.mark.parametrize(("behavior", "state"), [(None, "stopped"), ("stop", "stopped"), ("terminate", "terminated")])
@pytest.mark.parametrize("command", ["poweroff", "shutdown -h now", "systemctl poweroff", "bash -lc poweroff"])
def test_poweroff_inside_follows_the_shutdown_behavior(
    account: Account, cloud: Cloud, behavior: str | None, state: str, command: str
) -> None:
    given: dict[str, Any] = {"InstanceInitiatedShutdownBehavior": behavior} if behavior else {}
    instance = account.launch(**given)
    processes = cloud.processes(instance)
    cloud.execute(instance, *command.split())
    account.wait_for_state(instance, state)
    assert account.describe(instance)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"
    assert gone(processes)


def test_halt_inside_stays_on(account: Account, cloud: Cloud) -> None:
    instance = waiting(account)
    agent = cloud.processes(instance)[1]
    cloud.execute(instance, "halt")
    wait_for(lambda: gone([agent]))
    assert account.state(instance) == "running"
    assert len(cloud.processes(instance)) == 1
    account.ec2.stop_instances(InstanceIds=[instance])
    account.wait_for_state(instance, "stopped")


def test_an_instance_can_not_reboot_the_host(account: Account, cloud: Cloud) -> None:
    instance = account.launch()
    out = cloud.folder(instance) / "root/tmp/status"
    cloud.execute(instance, "bash", "-lc", f"grep -E 'CapBnd|NoNewPrivs' /proc/self/status > {out}.part; mv {out}.part {out}")
    wait_for(out.exists)
    status = dict(line.split(":\t") for line in out.read_text().splitlines())
    assert int(status["CapBnd"], 16) & 1 << 22 == 0, "CAP_SYS_BOOT"
    assert status["NoNewPrivs"] == "1"


def test_a_training_is_told_before_the_agent(account: Account, cloud: Cloud) -> None:
    instance = waiting(account)
    root = cloud.folder(instance) / "root"
    seen = f"pgrep -f {root}/etc/runctl > {root}/home/seen"
    script = f"trap '{seen}; exit' TERM; touch {root}/home/up; while :; do sleep 0.05; done"
    agent = cloud.processes(instance)[1]
    cloud.execute(instance, "bash", "-c", script)
    wait_for((root / "home/up").exists)
    account.ec2.stop_instances(InstanceIds=[instance])
    account.wait_for_state(instance, "stopped")
    assert str(agent) in (root / "home/seen").read_text().split()


def test_tags_in_imds_are_live(account: Account, cloud: Cloud) -> None:
    instance = account.launch()
    tags = "meta-data/tags/instance"
    assert imds(cloud, instance, f"{tags}/Name") == "a machine"
    account.ec2.create_tags(Resources=[instance], Tags=pairs({"runctl:want": "1"}))
    assert imds(cloud, instance, f"{tags}/runctl:want") == "1"
    cloud.delay_tags()
    account.ec2.create_tags(Resources=[instance], Tags=pairs({"runctl:want": "2"}))
    assert imds(cloud, instance, f"{tags}/runctl:want") == "1"
    cloud.release_tags()
    assert imds(cloud, instance, f"{tags}/runctl:want") == "2"
    account.ec2.delete_tags(Resources=[instance], Tags=[{"Key": "runctl:want"}])
    assert imds(cloud, instance, f"{tags}/runctl:want") == ""
    account.ec2.modify_instance_metadata_options(InstanceId=instance, InstanceMetadataTags="disabled")
    assert imds(cloud, instance, tags) == ""


def test_imds_says_who_it_is(account: Account, cloud: Cloud) -> None:
    instance = account.launch(InstanceMarketOptions={"MarketType": "spot"})
    described = account.describe(instance)
    document = json.loads(imds(cloud, instance, "dynamic/instance-identity/document"))
    assert document["instanceId"] == instance
    assert document["imageId"] == cloud.image_id
    assert document["availabilityZone"] == described["Placement"]["AvailabilityZone"]
    assert document["privateIp"] == described["PrivateIpAddress"]
    assert imds(cloud, instance, "meta-data/instance-life-cycle") == "spot"


def test_notices(account: Account, cloud: Cloud) -> None:
    instance = account.launch()
    assert imds(cloud, instance, SPOT) == ""
    cloud.interrupt_spot(instance, "terminate", AT)
    assert json.loads(imds(cloud, instance, SPOT)) == {"action": "terminate", "time": "2126-09-18T08:22:00Z"}
    cloud.withdraw(instance, SPOT)
    assert imds(cloud, instance, SPOT) == ""
    cloud.recommend_rebalance(instance, AT)
    assert json.loads(imds(cloud, instance, REBALANCE)) == {"noticeTime": "2126-09-18T08:22:00Z"}
    cloud.schedule(instance, ScheduledEvent("system-reboot", AT, AT + timedelta(hours=2)))
    assert json.loads(imds(cloud, instance, SCHEDULED))[0]["Code"] == "system-reboot"
    cloud.fail_imds(instance, 503, path="meta-data/ami-id")
    assert imds(cloud, instance, "meta-data/ami-id") == ""
    assert imds(cloud, instance, "meta-data/ami-id") == cloud.image_id


@pytest.mark.parametrize(("action", "state"), [("terminate", "terminated"), ("stop", "stopped")])
def test_a_spot_instance_is_interrupted_at_its_time(account: Account, cloud: Cloud, action: str, state: str) -> None:
    instance = account.launch(InstanceMarketOptions={"MarketType": "spot"})
    cloud.interrupt_spot(instance, action, datetime.now(UTC) + timedelta(hours=1))
    assert account.state(instance) == "running"
    cloud.advance(3600)
    account.wait_for_state(instance, state)
    assert account.describe(instance)["StateReason"]["Code"] == "Server.SpotInstanceTermination"


def test_what_can_not_be_done_is_said(cloud: Cloud, account: Account) -> None:
    with pytest.raises(CloudError, match="there is no instance i-nobody"):
        cloud.lose("i-nobody")
    instance = account.launch()
    with pytest.raises(CloudError, match="sleep is none of terminate"):
        cloud.interrupt_spot(instance, "sleep", AT)
    cloud.lose(instance)
    with pytest.raises(CloudError, match="not running"):
        cloud.recommend_rebalance(instance, AT)
