"""The instance metadata as one dictionary: what stands at each path."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from runctl_agent.training.notice import PATHS, Source


class FakeMetadata:
    def __init__(self) -> None:
        self.stands: dict[str, bytes] = {}
        self.asked: list[str] = []

    def read(self, path: str) -> bytes | None:
        self.asked.append(path)
        return self.stands.get(path)

    def spot(self, at: float | str, action: str = "terminate") -> None:
        time = at if isinstance(at, str) else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self.stands[PATHS[Source.SPOT]] = json.dumps({"action": action, "time": time}).encode()

    def group(self, state: str) -> None:
        self.stands[PATHS[Source.GROUP]] = state.encode()

    def rebalance(self, at: str = "2027-01-15T08:00:00Z") -> None:
        self.stands[PATHS[Source.REBALANCE]] = json.dumps({"noticeTime": at}).encode()

    def events(self, *events: dict[str, str]) -> None:
        self.stands[PATHS[Source.EVENT]] = json.dumps(list(events)).encode()

    def withdraw(self, source: Source) -> None:
        del self.stands[PATHS[source]]
