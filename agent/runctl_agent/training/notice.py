"""What EC2 says will happen to this instance, as its metadata tells it. Pure: one small total reader for each source.

Sources: "Spot Instance interruption notices", "EC2 instance rebalance recommendations", "Scheduled events for your instances"
(Amazon EC2 User Guide); "Retrieve the target lifecycle state through instance metadata" (EC2 Auto Scaling User Guide).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType

from runctl_agent.contract.document import LAST_SECOND


class Source(StrEnum):
    """Where it is told; the earlier in this list, the more it matters."""

    SPOT = "spot"  # EC2 takes the capacity back
    GROUP = "group"  # an Auto Scaling group ends the instance
    REBALANCE = "rebalance"  # it is likelier than usual that EC2 will
    EVENT = "event"  # maintenance


PATHS: Mapping[Source, str] = MappingProxyType(
    {
        Source.SPOT: "meta-data/spot/instance-action",
        Source.GROUP: "meta-data/autoscaling/target-lifecycle-state",
        Source.REBALANCE: "meta-data/events/recommendations/rebalance",
        Source.EVENT: "meta-data/events/maintenance/scheduled",
    }
)
"""Below /latest/; 404 is the normal answer."""

HIBERNATE = "hibernate"
TERMINATED = "Terminated"

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_GMT = re.compile(r"([0-9]{1,2}) ([A-Z][a-z]{2}) ([0-9]{4}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) GMT")
_WORD = re.compile(r"[A-Za-z0-9-]{1,32}")


@dataclass(frozen=True, slots=True)
class Notice:
    """`at`: wall-clock seconds at which it happens; None: not told, or not understood, as `problem` says."""

    source: Source
    action: str
    at: float | None = None
    problem: str = ""

    @property
    def takes(self) -> bool:
        """Whether the machine is gone afterwards, with every process. A hibernated one goes on where it was."""
        return self.source is Source.GROUP or (self.source is Source.SPOT and self.action != HIBERNATE)

    @property
    def text(self) -> str:
        return f"{self.source} {self.action}"


def read_spot(body: bytes) -> Notice:
    """Whatever stands there is a notice: nothing at all does, as long as there is none.

    >>> read_spot(b'{"action": "terminate", "time": "2017-09-18T08:22:00Z"}')
    Notice(source=<Source.SPOT: 'spot'>, action='terminate', at=1505722920.0, problem='')
    >>> read_spot(b"<html>")
    Notice(source=<Source.SPOT: 'spot'>, action='interruption', at=None, problem="no time in '<html>'")
    """
    plain = _object(body)
    action = plain.get("action")
    at = rfc3339(plain.get("time"))
    return Notice(
        Source.SPOT,
        action if isinstance(action, str) and _WORD.fullmatch(action) else "interruption",
        at,
        "" if at is not None else f"no time in {_shown(body)}",
    )


def read_group(body: bytes) -> Notice | None:
    """`InService`, `Detached`, `Standby`, … are none."""
    return Notice(Source.GROUP, "terminate") if body.decode("ascii", "replace").strip() == TERMINATED else None


def read_rebalance(body: bytes) -> Notice:
    at = rfc3339(_object(body).get("noticeTime"))
    return Notice(Source.REBALANCE, "recommended", at, "" if at is not None else f"no time in {_shown(body)}")


def read_event(body: bytes) -> Notice | None:
    """The first of the active events. Their times are not RFC 3339.

    >>> read_event(b'[{"Code": "system-reboot", "NotBefore": "1 Jan 2019 09:00:43 GMT", "State": "active"}]')
    Notice(source=<Source.EVENT: 'event'>, action='system-reboot', at=1546333243.0, problem='')
    >>> read_event(b"[]")
    """
    try:
        events = json.loads(body)
    except (ValueError, RecursionError):
        events = None
    if not isinstance(events, list):
        return Notice(Source.EVENT, "unknown", None, f"no list of events: {_shown(body)}")
    found = [_event(one) for one in events if isinstance(one, dict) and one.get("State", "active") == "active"]
    return min(found, key=lambda one: (one.at is None, one.at or 0.0, one.action), default=None)


READERS: Mapping[Source, Callable[[bytes], Notice | None]] = MappingProxyType(
    {Source.SPOT: read_spot, Source.GROUP: read_group, Source.REBALANCE: read_rebalance, Source.EVENT: read_event}
)


def _event(plain: Mapping[object, object]) -> Notice:
    code, when = plain.get("Code"), plain.get("NotBefore")
    at = gmt(when)
    action = code if isinstance(code, str) and _WORD.fullmatch(code) else "unknown"
    return Notice(Source.EVENT, action, at, "" if at is not None else f"{when!r:.60} is no time")


def rfc3339(value: object) -> float | None:
    """Seconds since the epoch; None for anything else than a time with its zone."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if at is None or at.tzinfo is None else _within(at)


def gmt(value: object) -> float | None:
    """`21 Jan 2019 09:00:43 GMT`, the day not padded; the other form is taken too. Without strptime, which asks the locale."""
    found = _GMT.fullmatch(value) if isinstance(value, str) else None
    if found is None or found[2] not in MONTHS:
        return rfc3339(value)
    day, year, hour, minute, second = (int(found[n]) for n in (1, 3, 4, 5, 6))
    try:
        return _within(datetime(year, MONTHS.index(found[2]) + 1, day, hour, minute, second, tzinfo=UTC))
    except ValueError:
        return None


def _within(at: datetime) -> float | None:
    try:
        seconds = at.timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if 0 <= seconds <= LAST_SECOND else None


def _object(body: bytes) -> Mapping[str, object]:
    try:
        plain = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _shown(body: bytes) -> str:
    return f"{body.decode('utf-8', 'replace')!r:.80}"
