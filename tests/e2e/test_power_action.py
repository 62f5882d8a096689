"""How an instance ends: by the run's own end, or by a shutdown in the middle of it, which is no end of the run."""

from __future__ import annotations

import pytest

from runctl_agent.contract.history import moments
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.phases import Phase
from tests.e2e.committed import grown
from tests.e2e.runs import Operator, steps
from tests.e2e.test_scenarios import in_s3, wait_for

ENDS_ON_SIGTERM = """
import pathlib, pickle, signal, sys, time, zipfile

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
folder = pathlib.Path("checkpoints")
folder.mkdir(exist_ok=True)
for step in (1, 2):
    with zipfile.ZipFile(folder / f"model_step_{step}.pt", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"step": step}))
        archive.writestr("a/data/0", bytes(100_000))
while not pathlib.Path("enough").exists():
    time.sleep(0.02)
"""


def power(operator: Operator, instance: str) -> str:
    return str(operator.instance(instance)["State"]["Name"])


def logged(operator: Operator, name: str) -> bytes:
    """A log of the first epoch, as S3 has it."""
    return grown(operator.s3, Keys(operator.s3.prefix, operator.run).log(1, name))


@pytest.mark.parametrize(("action", "power_state"), [("stop", "stopped"), ("terminate", "terminated")])
def test_a_finished_run_ends_its_instance(operator: Operator, action: str, power_state: str) -> None:
    instance = operator.train("--steps", "3", options=("--on-finish", action))
    wait_for(lambda: power(operator, instance) == power_state)
    state = in_s3(operator)
    assert (state["phase"], state["pending_checkpoints"], state["exit_code"]) == ("finished", 0, 0), "said before it went"
    assert operator.names() == steps(1, 2, 3)
    assert operator.wait()["outcome"] == "finished"
    training, agent = logged(operator, "training.log"), logged(operator, "agent.log")
    assert training.endswith(b"the last line\n"), "the end of the log is there before the machine goes"
    assert b"committed model_step_3.pt" in agent
    history = moments(grown(operator.s3, Keys(operator.s3.prefix, operator.run).history(1)))
    assert (history[-1].phase, history[-1].instance) == (Phase.FINISHED, instance)
    assert history[0].phase is not Phase.FINISHED


SAYS_MUCH = """
import pathlib, pickle, zipfile

pathlib.Path("checkpoints").mkdir(exist_ok=True)
with zipfile.ZipFile("checkpoints/model_step_1.pt", "w") as archive:
    archive.writestr("a/data.pkl", pickle.dumps({}))
for line in range(100_000):
    print(f"line {line:06d} of a training that says more than anyone reads")
"""


def test_all_of_a_long_log_is_there_before_the_machine_goes(operator: Operator) -> None:
    """More than five megabytes, most of it in the last moment."""
    operator.script(SAYS_MUCH)
    instance = operator.launch("--config", "run.yaml", "--on-finish", "terminate")
    wait_for(lambda: power(operator, instance) == "terminated")
    lines = [line for line in logged(operator, "training.log").splitlines() if line.startswith(b"line ")]
    assert lines == [b"line %06d of a training that says more than anyone reads" % line for line in range(100_000)]


def test_a_failed_run_does_what_is_asked_of_a_failed_one(operator: Operator) -> None:
    (operator.folder / "run.yaml").write_text((operator.folder / "run.yaml").read_text() + "on_failure: terminate\n")
    instance = operator.train("--steps", "2", "--exit-code", "3")
    wait_for(lambda: power(operator, instance) == "terminated")
    state = in_s3(operator)
    assert (state["phase"], state["pending_checkpoints"], state["exit_code"]) == ("failed", 0, 3)
    assert operator.names() == steps(1, 2)


def test_a_run_whose_end_is_not_asked_for_keeps_its_instance(operator: Operator) -> None:
    instance = operator.train("--steps", "1", "--exit-code", "3", options=("--on-finish", "terminate"))
    assert operator.wait(code=10)["outcome"] == "failed"
    wait_for(lambda: in_s3(operator).get("phase") == "failed")
    assert power(operator, instance) == "running"


def test_a_shutdown_in_the_middle_is_no_end_of_the_run(operator: Operator) -> None:
    """The trainer ends with 0 on SIGTERM, as many do: that is not what finished means."""
    operator.script(ENDS_ON_SIGTERM)
    instance = operator.launch("--config", "run.yaml")
    operator.until(lambda state: state.get("phase") == "training" and state.get("step") == 2)
    operator.cloud.execute(instance, "systemctl", "poweroff")
    wait_for(lambda: power(operator, instance) == "stopped")
    state = in_s3(operator)
    assert (state["phase"], state["pending_checkpoints"]) == ("interrupted", 0)
    assert operator.names() == steps(1, 2)

    operator.command("start", operator.run)
    operator.until(lambda state: state.get("phase") == "training" and state["attempt"] == 2)
    operator.disk(instance, "enough").touch()
    assert operator.wait()["outcome"] == "finished"
