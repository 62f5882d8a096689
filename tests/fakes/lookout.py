"""An agent's look-out for notices: the real readers and a real HTTP client, before a metadata service that a test spoils."""

from __future__ import annotations

from datetime import UTC, datetime

from runctl_agent.life.notices import Notices
from runctl_agent.store.journal import Journal
from runctl_agent.training.imds import Imds
from runctl_simulator.imds import ImdsServer
from tests.fakes.clock import FakeRuntime


class Lookout:
    """`news` counts what it took for new. Its clock is the test's."""

    def __init__(self, journal: Journal, server: ImdsServer, *, boot_id: str = "boot") -> None:
        self.runtime = FakeRuntime()
        self.news = 0
        self.notices = Notices(self.runtime, journal, boot_id, 0.0, self._noticed)
        self._imds = Imds(server.endpoint, environ={})

    def _noticed(self) -> None:
        self.news += 1

    def look(self, times: int = 1) -> float:
        """The seconds until the next look, which is taken then."""
        pause = 0.0
        for _ in range(times):
            self.runtime.advance(pause)
            pause = self.notices.turn(self._imds.event)
        return pause

    @property
    def shown(self) -> list[tuple[str, float | None]]:
        return [(one.notice.text, one.at) for one in self.notices.standing]

    def time(self, ahead: float) -> datetime:
        """A whole second, from now."""
        return datetime.fromtimestamp(self.runtime.now() // 1 + ahead, UTC)
