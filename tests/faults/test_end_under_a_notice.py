"""A training that ends by itself after a notice has finished, also where its exit code comes a moment after its end."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.spec import Spec, Watched
from runctl_agent.life.conductor import Conductor
from runctl_agent.life.quarantine import Quarantine
from runctl_agent.life.wants import Flushing
from runctl_agent.outlook import Outlook
from runctl_agent.report import Report
from runctl_agent.store.course import Course
from runctl_agent.training.evidence import Outcome
from runctl_agent.training.notice import PATHS, Source
from tests.faults.test_order_of_evidence import Scene, go
from tests.faults.test_order_of_evidence import scene as scene
from tests.unit.test_report import FACTS


class Life:
    """The loop that looks, decides and tells, by hand."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self._scene = scene
        spec = Spec(
            "gpt2", "s3://bucket/runs", (Watched(str(scene.workdir)),), workdir=str(scene.workdir), training=scene.training
        )
        self.report = Report(scene.clock, "gpt2", scene.journal, scene.processes.boot_id, 1_700_000_000)
        self.report.recovered()
        around: Any = SimpleNamespace(
            boot_id=scene.processes.boot_id,
            processes=lambda: scene.processes,
            shutting_down=lambda: False,
            jobs=lambda: None,
            power_off=lambda: None,
        )
        self.conductor = Conductor(
            scene.clock,
            spec,
            cast(Any, None),
            str(scene.wrapped.state_dir),
            str(folder),
            scene.journal,
            around,
            self.report,
            Flushing(lambda: None, lambda: True),
            Quarantine(lambda: None, lambda: None, lambda: False),
            None,
            Outlook(scene.clock, spec, scene.journal, Course(), scene.clock.event()),
        )

    def look(self) -> Phase:
        verdict = self._scene.agent.turn()
        self.conductor.turn(self._scene.agent)
        self.report.tell(replace(FACTS, verdict=verdict, conduct=self.conductor.conduct()))
        return self.report.life.phase

    def notice(self) -> None:
        at = datetime.fromtimestamp(self._scene.clock.now() + 120, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = json.dumps({"action": "terminate", "time": at}).encode()
        self.conductor._notices.turn(lambda path: body if path == PATHS[Source.SPOT] else None)


@pytest.mark.parametrize("late", [False, True], ids=["at once", "a moment after its end"])
def test_it_is_finished(scene: Scene, tmp_path: Path, late: bool) -> None:
    life = Life(scene, tmp_path)
    wrapper = scene.under_exec("exit 0")
    scene.outcome(Outcome.RUNNING)
    assert life.look() is Phase.TRAINING
    life.notice()
    assert life.look() is Phase.TRAINING, "there is time: it trains on"
    if late:
        os.kill(wrapper.pid, signal.SIGSTOP)  # who is to write down what it saw has not come to it
        assert wrapper.stdin is not None
        assert scene.agent.process is not None
        wrapper.stdin.write("\n")
        wrapper.stdin.flush()
        while scene.processes.alive(scene.agent.process):
            scene.real.sleep(0.01)
        assert life.look() is not Phase.SAVING
        os.kill(wrapper.pid, signal.SIGCONT)
        wrapper.communicate(timeout=60)
    else:
        go(wrapper)
    for _ in range(20):
        scene.clock.advance(0.25)
        life.look()
    assert (life.report.life.phase, life.report.life.exit_code) == (Phase.FINISHED, 0)
