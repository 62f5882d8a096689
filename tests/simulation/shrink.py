"""A failing schedule made smaller: whatever can be left out while it still fails, is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from runctl_agent.contract.spec import Retention
from tests.simulation.schedule import Schedule, Training, What

Fails = Callable[[Schedule], bool]


def shrink(schedule: Schedule, fails: Fails) -> Schedule:
    """The smallest that is found by leaving out one thing at a time: no single one of what is left can go."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _smaller(schedule):
            if fails(candidate):
                schedule, smaller = candidate, True
                break
    return schedule


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    """The largest pieces first."""
    yield from _without_the_last_machine(schedule)
    for at, fault in enumerate(schedule.faults):
        if fault.what is not What.JOIN:
            yield replace(schedule, faults=schedule.faults[:at] + schedule.faults[at + 1 :])
    for machine, trainings in enumerate(schedule.trainings):
        for at, training in enumerate(trainings):
            if len(trainings) > 1:
                yield _with(schedule, machine, trainings[:at] + trainings[at + 1 :])
            for without in _less_of(training):
                yield _with(schedule, machine, (*trainings[:at], without, *trainings[at + 1 :]))
    if schedule.retention.wanted:
        yield replace(schedule, retention=Retention())
    if schedule.imds:
        yield replace(schedule, imds=False)


def _without_the_last_machine(schedule: Schedule) -> Iterator[Schedule]:
    last = len(schedule.trainings) - 1
    if last:
        faults = tuple(fault for fault in schedule.faults if fault.machine != last)
        yield replace(schedule, trainings=schedule.trainings[:last], faults=faults)


def _less_of(training: Training) -> Iterator[Training]:
    for at in range(len(training.acts)):
        if len(training.acts) > 1:
            yield replace(training, acts=training.acts[:at] + training.acts[at + 1 :])
    if training.end != "finished":
        yield replace(training, end="finished")


def _with(schedule: Schedule, machine: int, trainings: tuple[Training, ...]) -> Schedule:
    every = schedule.trainings
    return replace(schedule, trainings=(*every[:machine], trainings, *every[machine + 1 :]))
