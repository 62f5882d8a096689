"""A limit in bytes per second, shared by all transfers of the process."""

from __future__ import annotations

from runctl_agent.runtime import Runtime

SMALLEST = 16 * 1024
LARGEST = 1024**2


class Limiter:
    """Each taker waits until those before it have had their time: over any while no more than the rate goes through, but
    for the one piece under way. 0 is no limit."""

    def __init__(self, runtime: Runtime, bytes_per_second: int) -> None:
        self._runtime = runtime
        self._rate = bytes_per_second
        self._lock = runtime.lock()
        self._free_at = float("-inf")

    @property
    def limits(self) -> bool:
        return self._rate > 0

    @property
    def piece(self) -> int:
        """Bytes to take at once: what a fiftieth of a second lets through, for each taking costs a wait."""
        return min(max(self._rate // 50, SMALLEST), LARGEST)

    def take(self, count: int) -> None:
        """Wait for the right to send or fetch `count` bytes."""
        if not self._rate:
            return
        with self._lock:
            now = self._runtime.monotonic()
            begin = max(self._free_at, now)
            self._free_at = begin + count / self._rate
        if begin > now:
            self._runtime.sleep(begin - now)
