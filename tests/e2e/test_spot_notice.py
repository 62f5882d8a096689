"""A spot notice on the simulated EC2, with the real agent and real processes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.e2e.runs import Operator

SAVES = """
import pathlib, pickle, signal, sys, time, zipfile

told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(time.time()))
folder = pathlib.Path("checkpoints")
folder.mkdir(exist_ok=True)

def save(step):
    with zipfile.ZipFile(folder / f"model_step_{step}.pt", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"step": step}))
        archive.writestr("a/data/0", bytes(100_000))

save(1)
step = 1
while not told:
    time.sleep(0.05)
    step += 1
pathlib.Path("told.txt").write_text(f"{told[0]} {step}")
SAVING
sys.exit(0)
"""


def configured(operator: Operator, *, saves: bool) -> None:
    operator.script(SAVES.replace("SAVING", "save(step)" if saves else "pass"))
    settings = (operator.folder / "run.yaml").read_text()
    (operator.folder / "run.yaml").write_text(f"{settings}training: {{saves_on_signal: {str(saves).lower()}}}\n")


@pytest.mark.parametrize("saves", [True, False], ids=["saves on the signal", "does not"])
def test_a_training_is_interrupted(operator: Operator, saves: bool) -> None:
    configured(operator, saves=saves)
    instance = operator.launch("--config", "run.yaml", "--spot")
    operator.until(lambda state: state.get("phase") == "training" and state.get("step") == 1)
    at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=32)
    operator.cloud.interrupt_spot(instance, "terminate", at)
    state = operator.until(lambda state: bool(state.get("notice")))
    assert (state["notice"], state["notice_at"]) == ("spot terminate", int(at.timestamp()))
    state = operator.until(lambda state: state.get("phase") == "interrupted")
    assert datetime.now(UTC) < at, "it was said in time"
    assert operator.instance(instance)["State"]["Name"] == "running", "it is never terminated because of a notice"
    told, step = operator.disk(instance, "told.txt").read_text().split()
    left = at.timestamp() - float(told)
    if saves:
        assert operator.names() == ["model_step_1.pt", f"model_step_{step}.pt"]
        assert left < 25, "and trained for as long as that lost nothing"
    else:
        assert operator.names() == ["model_step_1.pt"]
        assert left < 14, "a trainer that does not save is signalled only at the end"
    assert state["pending_checkpoints"] == 0
    told_in_the_end = operator.wait(code=11)
    assert told_in_the_end["outcome"] == "interrupted"


def test_a_hibernation_is_no_end(operator: Operator) -> None:
    configured(operator, saves=True)
    instance = operator.launch("--config", "run.yaml", "--spot")
    operator.until(lambda state: state.get("phase") == "training" and state.get("step") == 1)
    operator.cloud.interrupt_spot(instance, "hibernate", datetime.now(UTC) + timedelta(hours=1))
    state = operator.until(lambda state: bool(state.get("notice")))
    assert (state["notice"], state["phase"]) == ("spot hibernate", "training")
    operator.cloud.lose(instance)
