"""A run that may not go on ends by way of a last checkpoint, as failed, with the reason."""

from __future__ import annotations

from tests.e2e.runs import Operator
from tests.e2e.test_scenarios import wait_for
from tests.e2e.test_spot_notice import configured


def test_max_runtime(operator: Operator) -> None:
    configured(operator, saves=True)
    (operator.folder / "run.yaml").write_text(
        (operator.folder / "run.yaml").read_text() + "limits: {max_runtime: 3s}\non_failure: terminate\n"
    )
    instance = operator.launch("--config", "run.yaml")
    told = operator.wait(code=10)
    assert told["outcome"] == "failed"
    assert "limits.max_runtime is 3 s" in told["why"] + str(told["state"]["details"])
    assert told["state"]["pending_checkpoints"] == 0
    assert len(operator.names()) == 2, "the first, and the last that it made when it was told"
    wait_for(lambda: operator.instance(instance)["State"]["Name"] == "terminated")
