"""S3 as one simulated machine has it: what is asked may never arrive, its answer never come back, or both come late or wrong."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from runctl_agent.errors import BadChecksum, SlowDown, StoreError, StoreRefused, StoreUnavailable
from tests.fakes.memory_store import MemoryStore
from tests.simulation.ports import Stepping
from tests.simulation.schedule import S3, What
from tests.simulation.seeded import Seeded
from tests.simulation.weather import Weather

WRITES = frozenset({"put", "put_part", "copy_part", "create_multipart", "complete_multipart", "abort_multipart", "delete"})


class Wire(Stepping):
    """S3 as one machine has it."""

    def __init__(
        self, inner: MemoryStore, runtime: Seeded, weather: Weather, machine: int, sees: Callable[[str, str], None]
    ) -> None:
        """`sees` is told of each call, by method and key, before it goes out."""
        super().__init__(inner, runtime)
        self._sees = sees
        self._store = inner
        self._weather = weather
        self._machine = machine

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            sent = tuple(bytes(one) if isinstance(one, memoryview) else one for one in arguments)
            struck = self._weather.strikes(self._machine, *S3, What.PARTITION, What.REFUSED)
            self._runtime.step()
            self._sees(name, str(sent[0]) if sent else "")
            answer = found(*sent, **options) if struck is None else self._struck(struck, name, found, sent, options)
            if (roll := self._runtime.random()) < 0.5:
                self._runtime.sleep(0.02 * roll)
            return answer

        setattr(self, name, call)
        return call

    def _struck(self, what: What, name: str, found: Callable[..., Any], sent: tuple[Any, ...], options: dict[str, Any]) -> Any:
        silence = StoreUnavailable(f"{name} got no answer", "the connection was reset")
        match what:
            case What.THROTTLED:
                raise SlowDown(f"{name} was refused", "503 SlowDown")
            case What.REFUSED:
                raise StoreRefused(f"{name} was refused", "403 AccessDenied", "allow it")
            case What.SLOW:
                self._runtime.sleep(3.0 * self._runtime.random())
                answer = found(*sent, **options)
                self._runtime.sleep(3.0 * self._runtime.random())
                return answer
            case What.CORRUPT if name in {"put", "put_part", "get"}:
                raise BadChecksum(f"{name} did not arrive as it was sent", "400 BadDigest")
            case What.DAMAGED:
                return self._damaged(name, found, sent, options)
            case What.LOST:
                found(*sent, **options)
            case What.LATE if name in WRITES:
                self._later(found, sent, options)
        raise silence

    def _later(self, found: Callable[..., Any], sent: tuple[Any, ...], options: dict[str, Any]) -> None:
        scheduler, delay = self._runtime.scheduler, 8.0 * self._runtime.random()

        def land() -> None:
            scheduler.block(delay, None)
            try:
                found(*sent, **options)
            except StoreError:
                pass  # nobody is left to be told

        scheduler.spawn("s3", "late", land)

    def _damaged(self, name: str, found: Callable[..., Any], sent: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """A part, or a whole, that is stored otherwise than it was sent, and no checksum compared."""
        if name == "put_part":
            key, upload, number, body, _ = sent
            other = bytes([body[0] ^ 1]) + body[1:]
            self._weather.damaged.add(key)
            return found(key, upload, number, other, zlib.crc32(other))
        if name == "complete_multipart":
            key, upload, parts, _ = sent
            stored = self._store.uploads.get(upload)
            if stored is not None and parts and all(part.number in stored.parts for part in parts):
                self._weather.damaged.add(key)
                first = stored.parts[parts[0].number]
                stored.parts[parts[0].number] = replace(first, body=bytes([first.body[0] ^ 1]) + first.body[1:])
                return found(key, upload, parts, zlib.crc32(b"".join(stored.parts[part.number].body for part in parts)))
        return found(*sent, **options)
