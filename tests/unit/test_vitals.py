"""What is measured of a living training, and for how long it ran."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runctl_agent.contract.spec import Limits, Spec, Watched
from runctl_agent.errors import RunctlError
from runctl_agent.gpu import Gpus
from runctl_agent.records import Finishes, ProcessId
from runctl_agent.store.journal import Journal
from runctl_agent.training.said import Said
from runctl_agent.vitals import EVERY, SOON, Vitals
from tests.fakes.clock import FakeRuntime
from tests.fakes.meter import NoMeter
from tests.fakes.processes import FakeProcesses

NONE = Finishes()
SPEC = Spec("gpt2", "s3://bucket/runs", (Watched("/w"),), workdir="/w")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(str(tmp_path / "journal.db"), owner="me", alive=lambda owner: owner == "me")
    yield journal
    journal.close()


class Bench:
    def __init__(self, journal: Journal, spec: Spec = SPEC) -> None:
        self.runtime = FakeRuntime()
        self.meter = NoMeter()
        self.processes = FakeProcesses()
        self.process: ProcessId = self.processes.start(4000)
        self.vitals = Vitals(self.runtime, spec, journal, self.processes, self.meter)

    def live(self, seconds: float, *, cpu: float = 0.0) -> None:
        for _ in range(round(seconds / EVERY)):
            self.vitals.turn(self.process, NONE, alive=True)
            self.runtime.advance(EVERY)
            self.meter.seconds += cpu * EVERY
        self.vitals.turn(self.process, NONE, alive=True)


def test_a_look_at_a_living_training(journal: Journal) -> None:
    bench = Bench(journal)
    bench.meter.rss, bench.meter.free, bench.meter.gpu = 1000, 2000, Gpus(97, 3000, 71)
    bench.meter.text = b"step 5 loss 0.5\r\nstep 6 loss 0.25\n"
    bench.live(30, cpu=1.9)
    found = bench.vitals.measured
    assert (found.cpu, found.rss, found.disk_free, found.gpus) == (190, 1000, 2000, Gpus(97, 3000, 71))
    assert (found.said, found.ran) == (Said(6, None, 0.25), 30)
    bench.vitals.turn(bench.process, NONE, alive=False)
    found = bench.vitals.measured
    assert (found.cpu, found.rss, found.said, found.ran) == (None, None, Said(), 30)


STATE = b"""{
  "epoch": 1.5,
  "global_step": 30,
  "log_history": [
    {
      "epoch": 0.5,
      "loss": 2.5,
      "step": 10
    },
    {
      "epoch": 1.0,
      "loss": %s,
      "step": 20
    },
    {
      "epoch": 1.5,
      "eval_loss": 9.5,
      "step": 30
    }
  ],
  "logging_steps": 10,
  "max_steps": 1000,
  "num_train_epochs": 3
}"""


def test_processes_that_can_not_be_looked_at_are_as_they_were(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(journal)
    bench.meter.rss = 1000
    bench.live(20)

    def refused(leader: ProcessId) -> list[ProcessId]:
        raise RunctlError("can't look at process 4000", "Too many open files")

    with monkeypatch.context() as for_now:
        for_now.setattr(bench.processes, "session", refused)
        bench.live(20)
    assert (bench.vitals.measured.rss, bench.vitals.measured.ran) == (1000, 40), "it lives on"
    bench.meter.rss = 2000
    bench.live(10)
    assert (bench.vitals.measured.rss, bench.vitals.measured.ran) == (2000, 50)


def test_what_the_log_does_not_say_a_checkpoint_does(journal: Journal) -> None:
    bench = Bench(journal)
    bench.meter.state, bench.meter.text = STATE % b"1.25", b"hello\n"
    bench.vitals.turn(bench.process, Finishes(1, "/w", "checkpoint-30"), alive=True)
    assert bench.vitals.measured.said == Said(30, 1.5, 1.25, steps=1000)
    bench.meter.state, bench.meter.text = b"", b"step 31\n"
    bench.runtime.advance(EVERY)
    bench.vitals.turn(bench.process, Finishes(2, "/w", "another-kind"), alive=True)
    assert bench.vitals.measured.said == Said(31, 1.5, 1.25, steps=1000), "the log is newer"
    bench.meter.state = STATE.replace(b"\n", b"") % b"NaN"
    bench.runtime.advance(EVERY)
    bench.vitals.turn(bench.process, Finishes(3, "/w", "checkpoint-40"), alive=True)
    assert bench.vitals.measured.said == Said(31, 1.5, None, broken=True, steps=1000)


def test_time_without_a_training_is_not_counted_and_what_ran_before_is(journal: Journal) -> None:
    bench = Bench(journal)
    bench.live(100)
    bench.vitals.turn(bench.process, NONE, alive=False)
    bench.runtime.advance(1000)
    bench.live(50)
    bench.vitals.turn(bench.process, NONE, alive=False)
    assert bench.vitals.measured.ran == 150
    again = Bench(journal)
    assert again.vitals.measured.ran == 150
    again.vitals.goes_on_from(500)
    again.live(10)
    assert again.vitals.measured.ran == 510


def test_a_run_that_would_go_on_for_ever(journal: Journal) -> None:
    bench = Bench(journal, replace(SPEC, limits=Limits(max_runtime=3600.0)))
    bench.live(3590)
    assert bench.vitals.over_the_limit() == ""
    bench.live(10)
    assert bench.vitals.over_the_limit() == "it has run for 60 min, and limits.max_runtime is 60 min"


@pytest.mark.parametrize(("on_failure", "ends"), [("keep", False), ("terminate", True), ("stop", True)])
def test_idle_gpus_end_a_run_only_where_that_gives_the_machine_back(journal: Journal, on_failure: str, ends: bool) -> None:
    bench = Bench(journal, replace(SPEC, limits=Limits(idle_gpu_after=600.0), on_failure=on_failure))
    bench.meter.gpu = Gpus(0, 0, 30)
    bench.live(700)
    assert "idle for 11 min" in bench.vitals.measured.idle
    assert bool(bench.vitals.over_the_limit()) == ends


def test_without_limits_nothing_ends(journal: Journal) -> None:
    bench = Bench(journal)
    bench.live(10_000)
    assert bench.vitals.over_the_limit() == ""
    assert bench.vitals.measured.stalled, "it is only said"


def test_what_it_says_is_as_new_as_its_checkpoints(journal: Journal) -> None:
    """The step is told beside the newest checkpoint: it would look as if the training were behind that."""
    bench = Bench(journal)
    bench.meter.text = b"step 10/90\n"
    bench.vitals.turn(bench.process, NONE, alive=True)
    before = bench.vitals.measured
    bench.meter.text = b"step 20/90\n"
    bench.runtime.advance(SOON)
    bench.vitals.turn(bench.process, NONE, alive=True)
    assert bench.vitals.measured == before, "nothing was finished"
    bench.vitals.turn(bench.process, Finishes(1, "/w", "m.pt"), alive=True)
    assert bench.vitals.measured == replace(before, said=Said(20, steps=90)), "and nothing else was measured"
    bench.meter.text = b"step 30/90\n"
    bench.vitals.turn(bench.process, Finishes(2, "/w", "n.pt"), alive=True)
    assert bench.vitals.measured.said.step == 20, "not at every one of many a second"
    bench.runtime.advance(SOON)
    bench.vitals.turn(bench.process, Finishes(2, "/w", "n.pt"), alive=True)
    assert bench.vitals.measured.said.step == 30
