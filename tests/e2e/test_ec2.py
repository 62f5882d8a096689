"""On an instance: who the agent is comes from IMDS, and what becomes of the training stands in the instance's tags."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from boto3.session import Session

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.status import State, decode_state
from runctl_agent.contract.tags import CONTROLLER_KEYS, EXIT, MOST_TAGS, PHASE, SLACK, STEP, SUMMARY, Posted, all_keys, read
from runctl_simulator.imds import Identity, ImdsServer
from tests.e2e.agent import Agent
from tests.e2e.committed import committed
from tests.e2e.seaweed import REGION, S3, SECRET
from tests.e2e.tiny_training import training

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import TagSpecificationTypeDef, TagTypeDef

AMI = "ami-12c6146b"


@dataclass(frozen=True)
class Machine:
    """An instance in moto, with the tags that the controller writes at launch."""

    id: str
    launch_time: int
    ec2: EC2Client

    def tags(self) -> dict[str, str]:
        found = self.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [self.id]}])["Tags"]
        return {tag["Key"]: tag["Value"] for tag in found}

    def posted(self) -> Posted:
        return read(self.tags(), instance=self.id, launch_time=self.launch_time)

    def phase(self) -> Phase | None:
        state = self.posted().state
        return state.phase if state is not None else None


@pytest.fixture
def machine(_moto: str) -> Iterator[Machine]:
    session = Session("admin", SECRET, region_name=REGION)
    at_launch: list[TagTypeDef] = [{"Key": key, "Value": "x"} for key in CONTROLLER_KEYS]
    with closing(session.client("ec2", endpoint_url=_moto)) as ec2:
        specification: TagSpecificationTypeDef = {"ResourceType": "instance", "Tags": at_launch}
        (instance,) = ec2.run_instances(ImageId=AMI, MinCount=1, MaxCount=1, TagSpecifications=[specification])["Instances"]
        # moto launched it just now; as if it had been this machine, that was when this one booted.
        yield Machine(instance["InstanceId"], int(psutil.boot_time()), ec2)


@pytest.fixture
def imds(machine: Machine) -> Iterator[ImdsServer]:
    with ImdsServer(Identity(instance_id=machine.id)) as server:
        yield server


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def agent(tmp_path: Path, s3: S3, watched: Path, imds: ImdsServer, _moto: str) -> Agent:
    env = {
        "AWS_EC2_METADATA_DISABLED": "",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.endpoint,
        "AWS_ENDPOINT_URL_EC2": _moto,
    }
    return Agent(tmp_path, s3, checkpoints=watched, settle="300ms", env=env)


def test_the_phases_stand_in_the_tags(tmp_path: Path, s3: S3, agent: Agent, machine: Machine, watched: Path) -> None:
    end = tmp_path / "end"
    with agent.running() as process:
        agent.wait_for(lambda _: machine.phase() is Phase.WAITING, process)
        command = agent.argv("exec", "--", *training(watched, steps=2, until=end))
        with subprocess.Popen(command, env=agent.env) as trainer:
            agent.wait_for(lambda _: machine.phase() is Phase.TRAINING, process)
            end.touch()
            assert trainer.wait(60) == 0
        agent.wait_for(lambda _: machine.phase() is Phase.FINISHED, process)

        posted = machine.posted()
        state = posted.state
        assert state is not None
        assert (posted.another_life, posted.reason) == (False, "")
        assert (state.instance, state.exit_code, state.step, state.commits) == (machine.id, 0, 2, 2)
        assert state.generation >= 3
    tags = machine.tags()
    assert tags.keys() <= {*all_keys()}
    assert len(tags) <= MOST_TAGS
    assert {key: tags[key] for key in CONTROLLER_KEYS} == dict.fromkeys(CONTROLLER_KEYS, "x"), "the controller's are left alone"
    assert (tags[PHASE], tags[EXIT], tags[STEP]) == ("finished", "0", "2")
    assert tags[SUMMARY].startswith("step 2 safe ")
    assert {manifest.instance for manifest in committed(s3)} == {machine.id}

    with s3.store() as store:
        got = store.get(Keys(s3.prefix, agent.run).status)
    assert got is not None
    remote = decode_state(got.body)
    assert isinstance(remote, State)
    assert (remote.phase, remote.instance) == (Phase.FINISHED, machine.id)
    later = read(tags, instance=machine.id, launch_time=machine.launch_time + SLACK + 1)
    assert later.another_life, "stopped and started since: that was not this boot"


def test_the_exit_code_of_one_that_failed(agent: Agent, machine: Machine, watched: Path) -> None:
    with agent.running() as process:
        agent.exec(training(watched, steps=1, exit_code=42))
        agent.wait_for(lambda _: machine.phase() is Phase.FAILED, process)
    assert machine.tags()[EXIT] == "42"
    state = machine.posted().state
    assert state is not None
    assert state.exit_code == 42


def test_the_next_agent_goes_on_with_the_generation(agent: Agent, machine: Machine) -> None:
    generations = []
    for _ in range(2):
        with agent.running() as process:
            agent.wait_for(lambda _: machine.phase() is Phase.WAITING, process)
        posted = machine.posted()
        assert posted.state is not None
        assert posted.reason == ""
        generations.append(posted.state.generation)
    assert generations == sorted(set(generations))


def test_a_metadata_service_that_is_busy_while_the_instance_boots(
    agent: Agent, machine: Machine, imds: ImdsServer, s3: S3, watched: Path
) -> None:
    imds.fail_next(503, times=3)
    with agent.running() as process:
        agent.exec(training(watched, steps=1))
        agent.wait_for(lambda _: machine.phase() is Phase.FINISHED, process)
    assert [status for *_, status in imds.requests[:3]] == [503] * 3
    assert {manifest.instance for manifest in committed(s3)} == {machine.id}


def test_outside_ec2_no_tags_are_posted(agent: Agent, machine: Machine, s3: S3, watched: Path) -> None:
    agent.env["AWS_EC2_METADATA_DISABLED"] = "true"
    before = machine.tags()
    with agent.running() as process:
        agent.exec(training(watched, steps=1))
        status = agent.wait_for(lambda status: status["phase"] == "finished", process)
    assert status["instance"] == ""
    assert machine.tags() == before
    (manifest,) = committed(s3)
    assert manifest.instance.startswith("host-")


def test_before_any_agent_has_posted(machine: Machine) -> None:
    posted = machine.posted()
    assert posted.state is None
    assert posted.reason.startswith("no slot proves itself")
