"""`training.image`: the same life as outside, in a container that docker keeps, whoever of ours dies."""

from __future__ import annotations

import json
import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from runctl_agent.training.record import ExitRecord, decode_record, exit_path
from tests.containers.podman import IMAGE, SHELLLESS, TRAINER, Engine
from tests.e2e.agent import Agent
from tests.e2e.committed import names
from tests.e2e.seaweed import S3

SECRET = "of-nobody-else"


def machine(tmp_path: Path, s3: S3, docker: Engine, name: str, *trainer: object, **own: Any) -> Agent:
    """An instance with docker; its training is the shell script of this folder, unless `own` has another command."""
    folder = tmp_path / name
    (folder / "work").mkdir(parents=True)
    shutil.copy(TRAINER, folder / "work" / "trainer.sh")
    training = {"command": ["sh", "trainer.sh", *map(str, trainer)], "image": IMAGE, **own}
    env = {"RUNCTL_BOOT_ID": name, "DOCKER_HOST": docker.host, **training.pop("agent_env", {})}
    return Agent(folder, s3, checkpoints=folder / "work" / "checkpoints", settle="300ms", env=env, training=training)


def test_doctor_asks_the_daemon(tmp_path: Path, s3: S3, docker: Engine) -> None:
    agent = machine(tmp_path, s3, docker, "doctor")
    told = json.loads(agent.command("doctor", "--json", check=False).stdout)
    (found,) = (finding for finding in told if finding["name"] == "docker")
    assert found["ok"]
    assert found["text"].startswith("version ")


def to_the_end(agent: Agent, phase: str) -> dict[str, Any]:
    with agent.running() as process:
        return agent.wait_for(lambda status: status["phase"] == phase and not status["pending_checkpoints"], process)


def log_of(agent: Agent) -> str:
    return (agent.workdir / "training.log").read_text()


def record_of(agent: Agent) -> ExitRecord:
    found = decode_record(Path(exit_path(str(agent.state_dir), agent.run)).read_bytes())
    assert isinstance(found, ExitRecord), found
    return found


def wrappers(agent: Agent) -> list[psutil.Process]:
    """The processes that wait for the container of this agent's run."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        line, environ = process.info["cmdline"] or [], process.info["environ"] or {}
        if "runctl_agent.training.worker" in line and environ.get("RUNCTL_BOOT_ID") == agent.env["RUNCTL_BOOT_ID"]:
            found.append(process)
    return found


def clients(agent: Agent) -> list[psutil.Process]:
    """Docker's, of those that wait; others come and go while one looks."""
    found = []
    for wrapper in wrappers(agent):
        with suppress(psutil.Error):
            for child in wrapper.children():
                with suppress(psutil.Error):
                    if "wait" in child.cmdline():
                        found.append(child)
    return found


def until(agent: Agent, what: Any, process: Any = None) -> None:
    agent.wait_for(lambda _: bool(what()), process)


def test_it_trains_and_its_end_is_told(tmp_path: Path, s3: S3, docker: Engine) -> None:
    own = {"env": {"A": "spec", "DOCKER_CONFIG": "/nowhere"}, "setup": ["export B=$A-setup", "echo set up"]}
    agent = machine(tmp_path, s3, docker, "one", 3, "", 0, **own)
    status = to_the_end(agent, "finished")
    assert (status["exit_code"], status["attempt"], status["commits"]) == (0, 1, 3)
    assert names(s3) == [f"model_step_{step}.bin" for step in (1, 2, 3)]
    assert (agent.workdir / "training_exit_code.txt").read_text() == "0\n"
    log = log_of(agent).splitlines()
    assert log[:3] == ["runctl: setup: export B=$A-setup", "runctl: setup: echo set up", "set up"]
    user = f"user {os.getuid()}:{os.getgid()} home {agent.workdir} of_image yes a spec b spec-setup init"
    assert log[3].startswith(user)
    assert log[4] == f"resume [] attempt 1 run {agent.run} in {agent.workdir}"
    assert log[5:] == ["the last line"]
    assert docker.names() == [], "its record stands, so it is gone"
    record = record_of(agent)
    assert (record.code, record.signal, record.oom_kill, record.error) == (0, None, False, "")


def test_it_fails_with_its_code(tmp_path: Path, s3: S3, docker: Engine) -> None:
    agent = machine(tmp_path, s3, docker, "one", 1, "", 3)
    status = to_the_end(agent, "failed")
    assert (status["exit_code"], names(s3)) == (3, ["model_step_1.bin"])


def test_how_it_is_made(tmp_path: Path, s3: S3, docker: Engine) -> None:
    end = tmp_path / "one" / "work" / "end"
    outside = tmp_path / "disk"
    outside.mkdir()
    agent = machine(tmp_path, s3, docker, "one", 1, end, 0, env={"KEY": SECRET})
    (agent.workdir / "checkpoints").symlink_to(outside)
    with agent.running() as process:
        status = agent.wait_for(lambda status: status.get("commits") == 1 and status["phase"] == "training", process)
        (name,) = docker.names()
        (found,) = json.loads(docker.docker("inspect", name))
        spaces = {name: Path(f"/proc/{status['trainer_pid']}/ns/{name}").readlink() for name in ("ipc", "net", "pid")}
        lines = [" ".join(one.cmdline()) for one in (*wrappers(agent), *clients(agent))]
        end.touch()
        agent.wait_for(lambda status: status["phase"] == "finished", process)
    assert name == f"runctl-{agent.run}-1"
    assert found["State"]["Pid"] == status["trainer_pid"]
    labels = found["Config"]["Labels"]
    assert (labels["runctl.run"], labels["runctl.attempt"]) == (agent.run, "1")
    host = found["HostConfig"]
    assert (host["Privileged"], host["NetworkMode"], host["AutoRemove"]) == (False, "host", False)
    assert spaces["ipc"] == Path("/proc/self/ns/ipc").readlink()
    assert spaces["net"] == Path("/proc/self/ns/net").readlink()
    assert spaces["pid"] != Path("/proc/self/ns/pid").readlink()
    mounted = {mount["Destination"]: mount["Source"] for mount in found["Mounts"]}
    assert {str(agent.workdir), str(outside)} <= mounted.keys(), "a link in the workdir leads somewhere"
    assert all(target == source for target, source in mounted.items())
    assert f"KEY={SECRET}" in found["Config"]["Env"]
    assert lines
    assert not any(SECRET in line for line in lines)
    assert (outside / "model_step_1.bin").exists()


def test_an_agent_that_is_killed_finds_it_again(tmp_path: Path, s3: S3, docker: Engine) -> None:
    end = tmp_path / "one" / "work" / "end"
    agent = machine(tmp_path, s3, docker, "one", 2, end, 4)
    process = agent.start()
    status = agent.wait_for(lambda status: status.get("commits") == 2 and status["phase"] == "training", process)
    before = docker.docker("inspect", "--format", "{{.Id}}", f"runctl-{agent.run}-1")
    process.kill()
    process.wait()
    with agent.running() as process:
        again = agent.wait_for(lambda status: status["phase"] == "training" and status["epoch"], process)
        assert (again["trainer_pid"], again["attempt"]) == (status["trainer_pid"], 1)
        assert docker.docker("inspect", "--format", "{{.Id}}", f"runctl-{agent.run}-1") == before
        assert len(wrappers(agent)) == 1
        end.touch()
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
    assert status["exit_code"] == 4
    assert log_of(agent).count("the last line") == 1


def test_agent_and_whoever_waits_are_killed_and_it_ends_meanwhile(tmp_path: Path, s3: S3, docker: Engine) -> None:
    end = tmp_path / "one" / "work" / "end"
    agent = machine(tmp_path, s3, docker, "one", 1, end, 5)
    process = agent.start()
    agent.wait_for(lambda status: status.get("commits") == 1 and status["phase"] == "training", process)
    for one in [psutil.Process(process.pid), *clients(agent), *wrappers(agent)]:
        one.kill()
    process.wait()
    end.touch()
    assert docker.docker("wait", f"runctl-{agent.run}-1") == "5"
    status = to_the_end(agent, "failed")
    assert (status["exit_code"], status["attempt"]) == (5, 1)
    assert docker.names() == []
    assert log_of(agent).count("the last line") == 1


@pytest.mark.parametrize("victims", [clients, wrappers])
def test_whoever_waits_is_killed(tmp_path: Path, s3: S3, docker: Engine, victims: Any) -> None:
    end = tmp_path / "one" / "work" / "end"
    agent = machine(tmp_path, s3, docker, "one", 1, end, 6)
    with agent.running() as process:
        agent.wait_for(lambda status: status.get("commits") == 1 and status["phase"] == "training", process)
        until(agent, lambda: clients(agent), process)
        (victim,) = victims(agent)
        victim.kill()
        until(agent, lambda: any(one.pid != victim.pid for one in victims(agent)), process)
        assert agent.status()["phase"] == "training"
        end.touch()
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
    assert status["exit_code"] == 6
    assert (docker.names(), names(s3)) == ([], ["model_step_1.bin"])


def test_whoever_waits_passes_signals_on(tmp_path: Path, s3: S3, docker: Engine) -> None:
    agent = machine(tmp_path, s3, docker, "one", 1, "never", 0)
    with agent.running() as process:
        agent.wait_for(lambda status: status.get("commits") == 1 and status["phase"] == "training", process)
        (wrapper,) = wrappers(agent)
        wrapper.send_signal(signal.SIGTERM)
        agent.wait_for(lambda status: status["phase"] == "finished", process)
    assert "saving on TERM" in log_of(agent)
    assert names(s3) == ["model_step_1.bin", "model_step_99.bin"]


def test_it_is_killed_from_outside(tmp_path: Path, s3: S3, docker: Engine) -> None:
    agent = machine(tmp_path, s3, docker, "one", 1, "never", 0)
    with agent.running() as process:
        agent.wait_for(lambda status: status.get("commits") == 1 and status["phase"] == "training", process)
        docker.docker("kill", f"runctl-{agent.run}-1")
        status = agent.wait_for(lambda status: status["phase"] == "failed", process)
    assert status["exit_code"] == 137


def test_another_machine_resumes_in_a_container(tmp_path: Path, s3: S3, docker: Engine) -> None:
    first = machine(tmp_path, s3, docker, "one", 2, "", 9)
    assert to_the_end(first, "failed")["commits"] == 2
    second = machine(tmp_path, s3, docker, "two", command=["sh", "-c", 'echo "$RUNCTL_ATTEMPT $(cat "$RUNCTL_RESUME_FROM")"'])
    assert to_the_end(second, "finished")["epoch"] == 2
    assert log_of(second) == "1 step 2\n"


def test_a_setup_line_fails(tmp_path: Path, s3: S3, docker: Engine) -> None:
    agent = machine(tmp_path, s3, docker, "one", 1, setup=["(exit 4)", "echo never"])
    assert to_the_end(agent, "failed")["exit_code"] == 4
    assert log_of(agent).splitlines()[-1] == "runctl: setup failed, exit code 4: (exit 4)"
    assert "never" not in log_of(agent).replace("echo never", "")


def test_a_command_that_is_not_in_it(tmp_path: Path, s3: S3, docker: Engine) -> None:
    agent = machine(tmp_path, s3, docker, "one", command=["no-such-trainer"])
    assert to_the_end(agent, "failed")["exit_code"] == 127
    assert "no-such-trainer" in log_of(agent)


def test_an_image_without_a_shell(tmp_path: Path, s3: S3, docker: Engine) -> None:
    agent = machine(tmp_path, s3, docker, "one", image=SHELLLESS)
    assert to_the_end(agent, "failed")["exit_code"] not in (0, None)
    assert "No such file" in record_of(agent).error, "docker's own init says it, where no log could be opened"
    assert docker.names() == []


def test_an_image_that_is_not_there(tmp_path: Path, s3: S3, docker: Engine) -> None:
    agent = machine(tmp_path, s3, docker, "one", 1, image="127.0.0.1:9/no/such:image")
    with agent.running() as process:
        said = "image 127.0.0.1:9/no/such:image can't be had"
        status = agent.wait_for(lambda status: said in json.dumps(status), process)
    assert status["phase"] == "setup", "the network may come back"
    assert docker.names() == []


def test_a_machine_without_docker(tmp_path: Path, s3: S3, docker: Engine) -> None:
    (tmp_path / "bin").mkdir()
    agent = machine(tmp_path, s3, docker, "one", 1, agent_env={"PATH": str(tmp_path / "bin")})
    told = json.dumps(to_the_end(agent, "failed"))
    assert "this machine has no docker" in told
    assert "apt-get install docker.io" in agent.log.read_text()
    assert not (agent.workdir / "training.pid").exists()


def test_a_daemon_that_answers_nobody_is_waited_for(tmp_path: Path, s3: S3, docker: Engine) -> None:
    agent = machine(tmp_path, s3, docker, "one", 1, agent_env={"DOCKER_HOST": f"unix://{tmp_path}/nobody"})
    with agent.running() as process:
        status = agent.wait_for(lambda status: "tried again" in json.dumps(status), process)
        assert status["phase"] == "setup"
        (tmp_path / "nobody").symlink_to(docker.host.removeprefix("unix://"))
        agent.wait_for(lambda status: status["phase"] == "finished", process)
    assert names(s3) == ["model_step_1.bin"]


def test_somebody_elses_container_has_the_name(tmp_path: Path, s3: S3, docker: Engine) -> None:
    agent = machine(tmp_path, s3, docker, "one", 1)
    docker.docker("create", "--name", f"runctl-{agent.run}-1", IMAGE, "sh")
    assert "docker rm -f" in json.dumps(to_the_end(agent, "failed"))
    assert docker.names() == [f"runctl-{agent.run}-1"], "it is not ours to remove"
