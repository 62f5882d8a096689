"""After the end: what is done with the group and the power, and what has to stand before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.spec import Recover, Spec, Watched
from runctl_agent.errors import GroupError, GroupRefused, WrongStateError
from runctl_agent.life.finish import Finishing, Step, step
from runctl_agent.life.hold import AGAIN, REFUSED_AGAIN
from runctl_agent.records import Instance
from runctl_agent.report import Report
from runctl_agent.store.journal import Journal
from runctl_agent.surroundings import Reached, Surroundings
from runctl_agent.training.state import Life
from tests.fakes.clock import FakeRuntime
from tests.fakes.memory_store import MemoryStore

SPEC = Spec("gpt2", "s3://bucket/runs", (Watched("/w"),))
GROUPED = replace(SPEC, recover=Recover("runctl-gpt2", "hook", 600.0))
OFF = Step(power_off=True)


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("action", ["keep", "stop", "terminate"])
def test_only_an_end_of_its_own_ends_the_machine(phase: Phase, action: str) -> None:
    spec = replace(SPEC, on_finish=action, on_failure=action)
    wanted = step(spec, phase, stood=False, grouped=False)
    assert wanted.power_off == (phase in (Phase.FINISHED, Phase.FAILED) and action != "keep")
    assert wanted.leave is None


@pytest.mark.parametrize(
    ("phase", "on_finish", "on_failure", "wanted"),
    [
        (Phase.FINISHED, "terminate", "keep", OFF),
        (Phase.FAILED, "terminate", "keep", Step()),
        (Phase.FINISHED, "keep", "terminate", Step()),
        (Phase.FAILED, "keep", "terminate", OFF),
    ],
)
def test_each_end_has_its_action(phase: Phase, on_finish: str, on_failure: str, wanted: Step) -> None:
    spec = replace(SPEC, on_finish=on_finish, on_failure=on_failure)
    assert step(spec, phase, stood=False, grouped=False) == wanted


@pytest.mark.parametrize(
    ("action", "wanted"),
    [("keep", Step(leave=False)), ("stop", Step(leave=False, power_off=True)), ("terminate", Step(leave=True))],
)
def test_in_a_group_it_leaves_first(action: str, wanted: Step) -> None:
    spec = replace(GROUPED, on_finish=action)
    assert step(spec, Phase.FINISHED, stood=False, grouped=True) == wanted


def test_what_the_machine_is_taken_for_is_no_reason_to_end_it() -> None:
    spec = replace(GROUPED, on_finish="terminate", on_failure="terminate")
    assert step(spec, Phase.INTERRUPTED, stood=False, grouped=True) == Step()
    assert step(spec, Phase.STOPPED, stood=False, grouped=True) == Step()


def test_an_end_that_stood_before_ends_only_a_replacement() -> None:
    spec = replace(GROUPED, on_finish="stop")
    assert step(spec, Phase.FINISHED, stood=True, grouped=True) == Step(leave=True)
    assert step(spec, Phase.FINISHED, stood=True, grouped=False) == Step(), "somebody started it to look at it"


class Told:
    """Group, power and what is known, as the agent's surroundings: what is called is written down in order."""

    boot_id = "boot"

    def __init__(self) -> None:
        self.did: list[str] = []
        self.refuses: GroupError | None = None
        self.stays_on = False

    def power_off(self) -> None:
        if self.stays_on:
            raise WrongStateError("the machine was not powered off", "no such command", "sudo poweroff")
        self.did.append("power off")

    def leave(self, *, terminate: bool) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.did.append("terminate" if terminate else "detach")

    def heartbeat(self) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.did.append("heartbeat")

    def complete(self) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.did.append("complete")


@dataclass
class Reporting:
    life: Life
    stood: bool = False


class Scene:
    def __init__(self, journal: Journal, spec: Spec, phase: Phase = Phase.FINISHED, *, on_ec2: bool = True) -> None:
        self.journal = journal
        self.spec = spec
        self.told = True
        self.fenced = False
        self.held = False
        self.runtime = FakeRuntime()
        self.around = Told()
        self.report = Reporting(Life("boot", 1, phase, 0))
        instance = Instance("i-1", "eu-west-1", "g5.xlarge", "eu-west-1a", "boot", 0) if on_ec2 else None
        group: Any = self.around
        self.reached = Reached(instance, "i-1", cast(Any, MemoryStore()), None, group=group)
        self.finishing = self.another()

    def another(self) -> Finishing:
        around, report = cast(Surroundings, self.around), cast(Report, self.report)
        return Finishing(self.runtime, self.spec, self.journal, around, report, lambda: self.held)

    def turn(self, finishing: Finishing | None = None) -> list[str]:
        (finishing or self.finishing).turn(self.reached, lambda: self.told, lambda: self.fenced)
        return self.around.did


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


STOPS = replace(GROUPED, on_finish="stop", on_failure="stop")


def test_nothing_happens_before_the_end_stands_where_it_is_looked_for(journal: Journal) -> None:
    scene = Scene(journal, STOPS)
    scene.told = False
    assert scene.turn() == []
    scene.told = True
    assert scene.turn() == ["detach", "power off"]


@pytest.mark.parametrize("phase", [Phase.TRAINING, Phase.FINISHING, Phase.SAVING, Phase.STOPPED])
def test_nothing_happens_without_an_end_of_its_own(journal: Journal, phase: Phase) -> None:
    assert Scene(journal, STOPS, phase).turn() == []


def test_it_happens_once_whichever_agent_does_it(journal: Journal) -> None:
    scene = Scene(journal, STOPS)
    for _ in range(3):
        scene.turn()
    scene.turn(scene.another())
    assert scene.around.did == ["detach", "power off"]


def test_a_fenced_agent_ends_nothing(journal: Journal) -> None:
    scene = Scene(journal, STOPS)
    scene.fenced = True
    assert scene.turn() == []
    assert "another instance has the run" in scene.finishing.problem


def test_a_machine_outside_ec2_keeps_its_power(journal: Journal) -> None:
    scene = Scene(journal, replace(SPEC, on_finish="terminate"), on_ec2=False)
    assert scene.turn() == []
    assert "no EC2 instance" in scene.finishing.problem


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (GroupError("autoscaling:DetachInstances on i-1", "Throttling"), AGAIN),
        (GroupRefused("autoscaling:DetachInstances on i-1", "AccessDenied", "allow the instance's role"), REFUSED_AGAIN),
    ],
)
def test_a_group_that_is_not_left_keeps_the_machine_up(journal: Journal, error: GroupError, pause: float) -> None:
    """Powered off in its group it would only be replaced, by one that has nothing to do."""
    scene = Scene(journal, STOPS)
    scene.around.refuses = error
    assert scene.turn() == []
    assert "DetachInstances" in scene.finishing.problem
    assert scene.finishing._not_before == pytest.approx(scene.runtime.monotonic() + pause)
    scene.around.refuses = None
    scene.runtime.sleep(pause)
    assert scene.turn() == ["detach", "power off"]
    assert scene.finishing.problem == ""


def test_a_power_off_that_fails_is_said_and_tried_again(journal: Journal) -> None:
    scene = Scene(journal, replace(SPEC, on_finish="terminate"))
    scene.around.stays_on = True
    assert scene.turn() == []
    assert "no such command; sudo poweroff" in scene.finishing.problem
    scene.around.stays_on = False
    scene.runtime.sleep(AGAIN)
    assert scene.turn() == ["power off"]


@pytest.mark.parametrize("text", ["", "x", "[]", '["boot", 1, "asleep"]', "{}"])
def test_a_memory_that_cannot_be_read_is_none(journal: Journal, text: str) -> None:
    journal.put("finish", text)
    assert Scene(journal, STOPS).turn() == ["detach", "power off"]


def test_a_hook_is_prolonged_until_everything_is_durable_and_then_let_go(journal: Journal) -> None:
    scene = Scene(journal, GROUPED, Phase.SAVING)
    assert scene.turn() == [], "nobody ends it"
    scene.held = True
    assert scene.turn() == ["heartbeat"]
    assert scene.turn() == ["heartbeat"], "not with every look"
    scene.runtime.sleep(150.0)
    assert scene.turn() == ["heartbeat"] * 2
    scene.report.life = replace(scene.report.life, phase=Phase.INTERRUPTED)
    scene.told = False
    assert scene.turn() == ["heartbeat"] * 2, "its end does not stand in S3 yet"
    scene.told = True
    for _ in range(2):
        assert scene.turn() == [*["heartbeat"] * 2, "complete"]


def test_what_ends_itself_in_its_group_is_not_held(journal: Journal) -> None:
    """The group's hook holds that too, and nobody else lets it go before its timeout."""
    scene = Scene(journal, replace(GROUPED, on_finish="terminate"))
    assert scene.turn() == ["terminate"]
    scene.held = True
    assert scene.turn() == ["terminate", "complete"]


def test_a_hook_that_refuses_is_said_and_tried_again(journal: Journal) -> None:
    scene = Scene(journal, GROUPED, Phase.SAVING)
    scene.held = True
    scene.around.refuses = GroupRefused("autoscaling:RecordLifecycleActionHeartbeat on i-1", "AccessDenied", "allow it")
    assert scene.turn() == []
    assert "AccessDenied; allow it" in scene.finishing.hold.problem
    scene.around.refuses = None
    assert scene.turn() == []
    scene.runtime.sleep(REFUSED_AGAIN)
    assert scene.turn() == ["heartbeat"]
    assert scene.finishing.hold.problem == ""
