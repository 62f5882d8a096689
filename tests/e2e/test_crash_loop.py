"""Machine after machine dies before anything was saved: the run fails, and nothing is launched any more."""

from __future__ import annotations

from tests.e2e.runs import Operator
from tests.e2e.test_recovery import groups, living
from tests.e2e.test_scenarios import in_s3, wait_for

SAVES_NOTHING = "import time\n\nwhile True:\n    time.sleep(1)\n"


def trains(operator: Operator, attempt: int) -> None:
    wait_for(lambda: (in_s3(operator).get("phase"), in_s3(operator).get("attempt")) == ("training", attempt))


def test_attempts_without_progress_end_a_run(operator: Operator) -> None:
    operator.script(SAVES_NOTHING)
    (operator.folder / "run.yaml").write_text(
        (operator.folder / "run.yaml").read_text() + "limits: {attempts_without_progress: 2}\n"
    )
    operator.launch("--config", "run.yaml", "--recover", "--spot")
    for attempt in (1, 2):
        trains(operator, attempt)
        (instance,) = living(operator)
        operator.cloud.lose(instance)
    told = operator.wait(code=10)
    assert told["outcome"] == "failed"
    assert "2 attempts in a row were cut short before they had saved a checkpoint" in told["why"]
    wait_for(lambda: not living(operator))
    assert groups(operator)[0]["DesiredCapacity"] == 0
    assert "is started" not in operator.cloud.console(in_s3(operator)["instance"])
