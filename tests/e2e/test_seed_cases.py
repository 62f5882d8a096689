"""Case by case what trainings leave on the disk, from launch to the operator's answer; through the real commands only."""

from __future__ import annotations

import os
import textwrap
import time

import pytest

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.status import State as AgentState
from runctl_agent.contract.status import plain_state
from runctl_agent.contract.tags import DESTINATION, NAME, OWNER, PROJECT, RUN, VERSION, all_keys
from tests.e2e.committed import committed
from tests.e2e.runs import Operator
from tests.e2e.test_scenarios import wait_for
from tests.fakes.sized_state import FULL, ONE, ONE_AND_A_BIT, SIX, sized

SAVE = """
import json, os, pathlib, pickle, signal, struct, subprocess, sys, time, zipfile

workdir, saved = pathlib.Path.cwd(), pathlib.Path(os.environ["RUNCTL_CHECKPOINT_DIR"])

def save(name, step=1):
    with zipfile.ZipFile(saved / (name + ".part"), "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"step": step}))
    os.replace(saved / (name + ".part"), saved / name)

def wait_for(path):
    while not pathlib.Path(path).exists():
        time.sleep(0.02)
"""


def script(body: str) -> str:
    return SAVE + textwrap.dedent(body)


def run(operator: Operator, body: str, *options: str) -> str:
    operator.script(script(body))
    return operator.launch("--config", "run.yaml", *options)


# --- markers ---


def test_an_empty_marker_says_nothing(operator: Operator) -> None:
    instance = run(operator, "save('m.pt'); open('training_complete.txt', 'w').close(); wait_for('end')")
    wait_for(lambda: operator.names() == ["m.pt"])
    operator.command("flush", operator.run)
    assert operator.status()["state"]["phase"] == "training"
    operator.disk(instance, "end").touch()
    assert operator.wait()["outcome"] == "finished"


def test_a_marker_that_is_still_being_written_is_not_believed(operator: Operator) -> None:
    body = """
        marker = open("training_complete.txt", "w", buffering=1)
        marker.write("almost done, writing")
        save("m.pt")
        while not os.path.exists("end"):
            marker.write(".")
            time.sleep(0.02)
    """
    instance = run(operator, body)
    wait_for(lambda: operator.names() == ["m.pt"])
    operator.command("flush", operator.run)
    assert operator.status()["state"]["phase"] == "training"
    operator.disk(instance, "end").touch()
    assert operator.wait()["outcome"] == "finished"


def test_without_any_marker_the_exit_code_decides(operator: Operator) -> None:
    instance = run(operator, "save('m.pt')")
    told = operator.wait()
    assert (told["outcome"], told["exit_code"]) == ("finished", 0)
    assert not operator.disk(instance, "training_complete.txt").exists()


def test_a_marker_beside_a_live_process_is_finishing_and_not_the_end(operator: Operator) -> None:
    instance = run(
        operator, "save('m.pt'); pathlib.Path('training_complete.txt').write_text('done'); wait_for('end'); sys.exit(4)"
    )
    operator.until(lambda state: state.get("phase") == "finishing")
    operator.disk(instance, "end").touch()
    told = operator.wait(code=10)
    assert (told["outcome"], told["exit_code"]) == ("failed", 4), "an exit code other than 0 beats the marker"


def test_markers_of_an_earlier_attempt_are_set_aside(operator: Operator) -> None:
    body = """
        if os.environ["RUNCTL_ATTEMPT"] == "1":
            save("m.pt")
            pathlib.Path("training_complete.txt").write_text("done")
            sys.exit(5)
        wait_for("end")
    """
    instance = run(operator, body)
    assert operator.wait(code=10)["exit_code"] == 5
    operator.command("stop", operator.run)
    operator.command("start", operator.run)
    told = operator.until(lambda state: state.get("phase") == "training")
    assert (told["attempt"], told["exit_code"]) == (2, None)
    assert operator.disk(instance, "training_complete.txt.stale-1").read_text() == "done"
    assert operator.disk(instance, "training_exit_code.txt.stale-1").read_text() == "5\n"
    operator.disk(instance, "end").touch()
    assert operator.wait()["exit_code"] == 0


def test_one_that_is_over_before_anybody_looks(operator: Operator) -> None:
    run(operator, "save('m.pt'); pathlib.Path('training_complete.txt').write_text('done'); os._exit(0)")
    assert operator.wait()["outcome"] == "finished"
    assert operator.names() == ["m.pt"]


# --- checkpoint directories ---


def test_an_empty_checkpoint_directory(operator: Operator) -> None:
    run(operator, "assert os.listdir(saved) == []")
    assert operator.wait()["outcome"] == "finished"
    assert operator.json("checkpoints", operator.run)["checkpoints"] == []


def test_a_checkpoint_directory_that_the_training_removes_and_makes_again(operator: Operator) -> None:
    instance = run(operator, "saved.rmdir(); wait_for('now'); saved.mkdir(); save('m.pt'); wait_for('end')")
    operator.until(lambda state: state.get("phase") == "training" and "does not exist" in state["error"])
    operator.disk(instance, "now").touch()
    wait_for(lambda: operator.names() == ["m.pt"])
    operator.disk(instance, "end").touch()
    assert operator.wait()["outcome"] == "finished"


def test_a_checkpoint_directory_that_cant_be_read_is_said_until_it_is_mended(operator: Operator) -> None:
    """Nobody knows what is not safe: the training has ended, and the run is not said to be finished."""
    instance = run(operator, "saved.rmdir(); saved.write_text('a file'); wait_for('end')")
    operator.until(lambda state: state.get("phase") == "training")
    operator.disk(instance, "end").touch()
    told = operator.until(lambda state: state.get("phase") == "finishing" and state["error"] != "")
    assert "checkpoints" in told["error"]
    operator.disk(instance, "checkpoints").unlink()
    assert operator.wait()["exit_code"] == 0


def test_several_kinds_of_file_at_once(operator: Operator) -> None:
    body = """
        header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
        (saved / "model.safetensors.part").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
        os.replace(saved / "model.safetensors.part", saved / "a-2.safetensors")
        save("b-1.pt")
        with open(saved / "c-3.pkl", "wb") as file:
            pickle.dump({"step": 3}, file)
        (saved / "metrics.json").write_text('{"loss": 1}')
        (saved / "notes.txt").write_text("not a checkpoint")
        (saved / "d.pt.tmp").write_text("half")
        (saved / ".hidden.pt").write_text("hidden")
        (saved / "empty.pt").touch()
        directory = saved / "checkpoint-4"
        directory.mkdir()
        for name in ("config.json", "trainer_state.json"):
            (directory / name).write_text('{"global_step": 4}')
        (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
        (directory / "trainer_state.json").write_text('{"global_step": 4}')
    """
    run(operator, body)
    assert operator.wait()["outcome"] == "finished"
    assert operator.names() == ["a-2.safetensors", "b-1.pt", "c-3.pkl", "checkpoint-4", "metrics.json"]
    assert operator.latest()["checkpoint"] == "checkpoint-4", "the highest step that carries weights"


def test_rapid_checkpoints_have_the_right_latest(operator: Operator, tmp_path: os.PathLike[str]) -> None:
    run(operator, "for step in range(1, 41): save(f'model_step_{step}.pt', step)")
    assert operator.wait()["outcome"] == "finished"
    assert operator.latest()["checkpoint"] == "model_step_40.pt"
    assert len(operator.names()) == 40
    seqs = [manifest.seq for manifest in sorted(committed(operator.s3, operator.run), key=lambda one: one.step)]
    assert seqs == sorted(seqs), "in the order of finishing"
    assert operator.json("pull", operator.run, os.fspath(tmp_path) + "/pulled")["checkpoint"] == "model_step_40.pt"


# --- what fits into the tags ---


def without_agent(operator: Operator) -> str:
    """An instance of the run as the controller tags it, on which nothing runs."""
    written = {NAME: operator.run, RUN: operator.run, PROJECT: "code", OWNER: "me", DESTINATION: operator.s3.destination}
    tags = {**dict.fromkeys(all_keys(), ""), **written, VERSION: "0.1.0"}
    (instance,) = operator.ec2.run_instances(
        ImageId=operator.image,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}],
    )["Instances"]
    wait_for(lambda: operator.instance(instance["InstanceId"])["State"]["Name"] == "running")
    return instance["InstanceId"]


@pytest.mark.parametrize(
    ("characters", "chunks"), [(ONE, 1), (FULL, 1), (ONE_AND_A_BIT, 2), (SIX, 6)], ids=["below one", "one", "above one", "six"]
)
def test_a_state_of_any_size_through_the_tags_and_back(operator: Operator, characters: int, chunks: int) -> None:
    """By EC2 and the real command; no agent runs here, so that the state is exactly this one."""
    instance = without_agent(operator)
    launched = int(operator.instance(instance)["LaunchTime"].timestamp())
    bare = AgentState(operator.run, Phase.TRAINING, instance, launched + 1, 1, max(int(time.time()), launched + 1), "0.1.0")
    state = sized(bare, characters)
    operator.posts(state)
    tags = operator.tags(instance)
    assert sum(bool(tags[f"runctl:a.{n}"]) for n in range(6)) == chunks
    assert operator.status()["state"] == plain_state(state)
