"""What the agent says of itself, held against what is so: every state is true, and the tags show one that was said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from operator import attrgetter

from runctl_agent.contract.phases import TERMINAL, ConditionName, Phase
from runctl_agent.contract.status import VITALS, State
from tests.simulation.machine import Machine
from tests.simulation.promises import Promises
from tests.simulation.schedule import What
from tests.simulation.trainers import Stood

LAG = 5.0
"""Seconds within which what is complete on the disk is committed, or among what is pending, beside an agent with every hint."""

RESCAN = 35.0
"""The same where hints are lost."""


class Told:
    """Hears one machine's agents."""

    def __init__(self, machine: Machine, promises: Promises) -> None:
        self._machine = machine
        self._promises = promises
        self._said: set[tuple[object, ...]] = set()
        self._tags: dict[str, str] = {}
        machine.listen = self.listen

    def listen(self) -> Callable[[State], None]:
        """Called as a state is about to be put together; what is returned, once it is."""
        self._posted()
        machine, resting = self._machine, self._machine.trained
        overdue = [one for one in self._promises.missing(machine.number) if self._is_overdue(one)]
        unsaved = self._promises.missing(machine.number) if resting else []

        def hear(state: State) -> None:
            self._said.add(_core(state))
            self._names_what_is_there(state)
            self._ended_as_it_says(state)
            self._publishes_what_is_behind(state, [one for one in overdue if not self._promises.committed(one)])
            if state.phase in TERMINAL and not state.pending_checkpoints:
                lost = [one.name for one in unsaved if not self._promises.committed(one)]
                assert not lost, f"{state.phase} with nothing pending was said, and {lost} is not committed"

        return hear

    def _posted(self) -> None:
        """What the tags say is something that was said."""
        tags = self._machine.tags.now
        if tags == self._tags:
            return
        self._tags = tags
        posted = self._machine.posted()
        assert posted is None or _core(posted) in self._said, f"the tags show what nobody said: {posted}"

    def _names_what_is_there(self, state: State) -> None:
        if state.checkpoint is not None:
            found = [m for m in self._promises.ever() if m.checkpoint == state.checkpoint and m.step == state.step]
            assert any(m.complete for m in found), f"{state.checkpoint}, step {state.step}, is said to be safe"

    def _ended_as_it_says(self, state: State) -> None:
        codes = self._machine.ended.codes
        if state.phase is Phase.FINISHED:
            assert 0 in codes, "no training has finished"
        if state.phase in TERMINAL and state.exit_code is not None:
            assert state.exit_code in codes, f"no training ended with {state.exit_code}"

    def _is_overdue(self, one: Stood) -> bool:
        machine, life, now = self._machine, self._machine.life, self._machine.scheduler.mono
        lag = RESCAN if machine.weather.spans(machine.number, What.DEAF) else LAG
        since = max(one.since, life.began, *(end for _, end in machine.weather.spans(machine.number, What.JOURNAL_FULL)), 0.0)
        return life.ready and now >= since + lag

    def _publishes_what_is_behind(self, state: State, overdue: list[Stood]) -> None:
        said = state.pending_checkpoints >= len(overdue)
        excused = any(condition.name is ConditionName.DISK_FULL for condition in state.conditions)
        assert said or excused, (
            f"{[one.name for one in overdue]} are not committed, and {state.pending_checkpoints} are said to be pending"
        )


_CHANGED = {"generation", "heartbeat", "instance", "details", "sending", "error", "ran", *VITALS}
"""On the way to the tags, or dropped where room is short."""

_core = attrgetter(*(field.name for field in fields(State) if field.name not in _CHANGED))
