"""Measures that are set by the test; of nothing, at first."""

from __future__ import annotations

from collections.abc import Iterable

from runctl_agent.gpu import Gpus
from runctl_agent.records import ProcessId


class NoMeter:
    def __init__(self) -> None:
        self.seconds, self.rss = 0.0, 0
        self.free: int | None = None
        self.gpu: Gpus | None = None
        self.text = b""
        self.state = b""

    def processes(self, leader: ProcessId, session: Iterable[ProcessId]) -> tuple[float, int]:
        return self.seconds, self.rss

    def disk_free(self, path: str) -> int | None:
        return self.free

    def gpus(self) -> Gpus | None:
        return self.gpu

    def log(self, base: str, path: str, most: int) -> tuple[int, bytes]:
        text = self.state if path.endswith("/trainer_state.json") else self.text
        return len(text), text[-most:]
