"""The agent, with somebody who hears what it says of itself before anybody else does."""

from __future__ import annotations

from collections.abc import Callable

from runctl_agent.contract.status import State
from runctl_agent.pipeline import Pipeline
from runctl_agent.report import Facts

Hear = Callable[[State], None]


class Heard(Pipeline):
    """`listen` is called before a state is put together, and gives who hears it."""

    listen: Callable[[], Hear] = staticmethod(lambda: lambda state: None)

    def start(self) -> None:
        tell = self.report.tell

        def heard(facts: Facts) -> State:
            state = tell(facts)
            self._hear(state)
            return state

        vars(self.report)["tell"] = heard
        super().start()

    def _facts(self) -> Facts:
        self._hear = self.listen()
        return super()._facts()

    def die(self) -> None:
        """What the kernel closes."""
        for reader in self.gatherer._readers.values():
            reader.close()
        self._shipping.close()
