"""A failing schedule shows again what it showed, in another process too, and is made smaller while it still fails."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.simulation.mutants import NAMED
from tests.simulation.replay import course
from tests.simulation.schedule import Act, Fault, Schedule, Training, What, schedule_of
from tests.simulation.shrink import shrink
from tests.simulation.sweep import tried

SAYS_ITS_COURSE = """
import sys
from tests.simulation.replay import course
from tests.simulation.schedule import schedule_of
sys.stdout.write("\\n".join(course(schedule_of(int(sys.argv[1])))))
"""


def test_another_process_takes_the_same_course() -> None:
    def elsewhere(hashes: str) -> str:
        environ = {**os.environ, "PYTHONHASHSEED": hashes}
        return subprocess.run([sys.executable, "-c", SAYS_ITS_COURSE, "7"], env=environ, check=True, stdout=-1, text=True).stdout

    assert elsewhere("1") == elsewhere("2") == "\n".join(course(schedule_of(7)))


def test_what_fails_fails_again_at_the_same_step() -> None:
    mutant = NAMED["hints-ignored"]
    with mutant.applied():
        failures = [tried(schedule_of(seed)) for seed in range(20)]
        first = next(failed for failed in failures if failed is not None)
        assert tried(first.schedule) == first
        assert course(first.schedule) == course(first.schedule)


def test_a_schedule_shrinks_to_what_makes_it_fail() -> None:
    schedule = schedule_of(3, long=True)
    kill = Fault(What.KILL, 100.0)
    schedule = Schedule(3, schedule.trainings, (*schedule.faults, kill), schedule.retention, schedule.imds)

    def fails(candidate: Schedule) -> bool:
        """Whether there is a kill, and a training of at least two acts."""
        acts = [len(one.acts) for trainings in candidate.trainings for one in trainings]
        return kill in candidate.faults and max(acts) >= 2

    smallest = shrink(schedule, fails)
    assert fails(smallest)
    assert smallest.faults == (kill,)
    assert [[len(one.acts) for one in trainings] for trainings in smallest.trainings] == [[2]]
    assert (smallest.imds, smallest.retention.wanted) == (False, False)


def test_a_mutant_s_schedule_shrinks_and_still_fails() -> None:
    mutant = NAMED["pointer-before-manifest"]
    with mutant.applied():
        smallest = shrink(schedule_of(0), lambda candidate: tried(candidate) is not None)
        assert tried(smallest) is not None
    assert smallest.faults == ()
    assert [len(trainings) for trainings in smallest.trainings] == [1]
    assert isinstance(smallest.trainings[0][0], Training)
    assert [type(act) for act in smallest.trainings[0][0].acts] == [Act]
