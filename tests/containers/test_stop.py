"""`runctl launch` with an image, and `runctl stop`: the order reaches the trainer inside, which saves."""

from __future__ import annotations

from tests.containers.podman import IMAGE, TRAINER, Engine
from tests.e2e.runs import Operator


def test_the_stop_reaches_the_trainer_inside(operator: Operator, docker: Engine) -> None:
    operator.cloud.instance_env({"DOCKER_HOST": docker.host})
    try:
        operator.script(TRAINER.read_text())
        text = f"settle: 300ms\ncheckpoints: [{{path: checkpoints}}]\ntraining: {{image: '{IMAGE}', saves_on_signal: true}}\n"
        (operator.folder / "run.yaml").write_text(text)
        instance = operator.launch("--config", "run.yaml", "--", "1", "never")
        operator.until(lambda state: state.get("phase") == "training" and bool(state.get("checkpoint")))
        operator.command("stop", operator.run)
        assert operator.wait(code=11)["outcome"] == "stopped"
    finally:
        operator.cloud.instance_env({})
    assert "saving on TERM" in operator.disk(instance, "training.log").read_text()
    assert operator.names() == ["model_step_1.bin", "model_step_99.bin"]
    assert operator.status()["state"]["exit_code"] == 0
    assert docker.names() == []
