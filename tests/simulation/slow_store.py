"""A store at the end of a slow line."""

from __future__ import annotations

from tests.fakes.memory_store import MemoryStore
from tests.simulation.seeded import Scheduler


class SlowStore(MemoryStore):
    """One uplink of so many bytes a virtual second; what is sent beside each other shares it."""

    def __init__(self, scheduler: Scheduler, rate: float) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._rate = rate
        self._free_at = 0.0

    def put(
        self, key: str, body: bytes | memoryview, *, crc: int | None = None, if_absent: bool = False, if_match: str | None = None
    ) -> str:
        self._send(len(body))
        return super().put(key, body, crc=crc, if_absent=if_absent, if_match=if_match)

    def put_part(self, key: str, upload_id: str, number: int, body: bytes | memoryview, crc: int) -> str:
        self._send(len(body))
        return super().put_part(key, upload_id, number, body, crc)

    def _send(self, size: int) -> None:
        self._free_at = max(self._scheduler.mono, self._free_at) + size / self._rate
        self._scheduler.block(self._free_at - self._scheduler.mono, None)
