"""Twenty interruptions, with nobody watching: the run ends with the weights of one that nothing interrupted."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from runctl_agent.contract.pieces import put_together
from tests.e2e.runs import Operator
from tests.e2e.test_scenarios import in_s3
from tests.interruptions import trainer

LAST = 3000
PACE = 0.05
PATIENCE = 180.0

KINDS = ["lost in training", "notice", "agent killed", "lost in setup", "lost at a save", "lost while restoring"]
INTERRUPTIONS = [KINDS[n % len(KINDS)] for n in range(20)]

CONFIG = """
settle: 300ms
publish: {heartbeat: 1s}
checkpoints: [{path: checkpoints}]
training: {saves_on_signal: true, setup: ["sleep 0.5"]}
limits: {attempts_without_progress: 0}
"""


class Run:
    """What S3 and the consoles of its instances say: the launching side looks at nothing else."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator

    def until(self, what: Callable[[], object]) -> None:
        """Poll; the limit is a safety net and never the thing tested."""
        end = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < end, self.operator.consoles()[-4000:]
            time.sleep(0.05)

    def committed(self) -> int:
        """The newest step that can be resumed from."""
        return int(in_s3(self.operator).get("step") or 0)

    def living(self) -> list[str]:
        return [one["InstanceId"] for one in self.operator.instances() if one["State"]["Name"] in ("pending", "running")]

    def next(self, but: set[str]) -> str:
        """The instance that the group launches."""
        self.until(lambda: set(self.living()) - but)
        (found,) = set(self.living()) - but
        return found

    def console(self, instance: str) -> str:
        return self.operator.cloud.console(instance)

    def started(self, instance: str) -> None:
        self.until(lambda: "is started" in self.console(instance))

    def resumed(self, instance: str) -> int:
        found = re.search(r"to resume from: \S+, step (\d+)", self.console(instance))
        return int(found[1]) if found is not None else 0

    def saved_last(self, epoch: int) -> int:
        """By the training's log of that epoch, as S3 has it."""
        prefix = f"{self.operator.s3.prefix}/{self.operator.run}/logs/{epoch:06d}/training.log."
        with self.operator.s3.store() as store:
            found = {key: store.get(key) for key in store.list(prefix)}
        text = put_together((int(key.removeprefix(prefix)), got.body) for key, got in found.items() if got is not None)
        return max((int(step) for step in re.findall(rb"saved step (\d+)", text)), default=0)


def interrupt(run: Run, kind: str, instance: str) -> tuple[bool, int]:
    """Whether the instance is gone by it, and the step that must not be lost."""
    cloud = run.operator.cloud
    if kind == "lost in setup":
        run.until(lambda: "setup" in run.console(instance))
    elif kind == "lost while restoring":
        run.until(lambda: "restoring" in run.console(instance) or "is started" in run.console(instance))
    else:
        run.started(instance)
        before = run.committed()
        run.until(lambda: run.committed() > before or not run.living())
    if kind == "agent killed":
        cloud.kill_agent(instance)
        return False, run.committed()
    if kind == "notice":
        cloud.interrupt_spot(instance, "terminate", datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=14))
        run.until(lambda: "interrupted: " in run.console(instance))
        (epoch,) = re.findall(r"epoch (\d+) taken", run.console(instance))[-1:]
        run.until(lambda: instance not in run.living())
        return True, run.saved_last(int(epoch))
    if kind == "lost at a save":
        folder: Path = run.operator.disk(instance, "checkpoints")
        there = len(list(folder.glob("*.pt")))
        run.until(lambda: len(list(folder.glob("*.pt"))) > there)
    safe = run.committed()
    cloud.lose(instance)
    return True, safe


@pytest.mark.timeout(1500)
def test_twenty_interruptions_lose_nothing_that_was_safe(operator: Operator) -> None:
    operator.script(Path(trainer.__file__).read_text())
    (operator.folder / "run.yaml").write_text(CONFIG)
    options = ("--config", "run.yaml", "--recover", "--spot", "--on-finish", "terminate")
    instance = operator.launch(*options, "--", str(LAST), str(PACE))
    run, gone = Run(operator), set[str]()
    for kind in INTERRUPTIONS:
        ended, safe = interrupt(run, kind, instance)
        if ended:
            gone.add(instance)
            instance = run.next(gone)
            if "setup" not in kind and "restoring" not in kind:
                run.started(instance)
                assert run.resumed(instance) >= safe, f"{kind}: a step that was safe was lost"
    told = operator.wait()
    assert (told["outcome"], told["exit_code"]) == ("finished", 0)
    operator.command("pull", operator.run, str(operator.folder / "pulled"))
    step, weights = trainer.load(str(operator.folder / "pulled" / f"model_step_{LAST}.pt"))
    assert step == LAST
    assert weights == trainer.trained(LAST), "the weights of a training that nothing interrupted"
    run.until(lambda: not run.living())
    assert 1 < told["state"]["attempt"] <= 1 + sum(1 for kind in INTERRUPTIONS if kind != "agent killed")
