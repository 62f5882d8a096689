"""EC2 tags of one instance, with all that EC2 does not promise: reads that lag, writes that tear, come late, or get lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from operator import attrgetter

from runctl_agent.errors import TagError, TagsFull, TagsRefused, TagsThrottled, TagsUnavailable

MOST_TAGS = 50
LONGEST_KEY = 127
LONGEST_VALUE = 256


class Fate(Enum):
    """What becomes of one CreateTags call."""

    FINE = "fine"
    THROTTLED = "throttled"
    DENIED = "denied"
    LOST = "lost"  # never arrives, and no answer
    NO_ANSWER = "no answer"  # arrives at once, and no answer
    LATE = "late"  # no answer, and arrives `delay` later
    TORN = "torn"  # answered; every other key arrives `delay` later
    LATE_TORN = "late and torn"  # no answer; half `delay` later, the rest twice that


@dataclass(frozen=True)
class Call:
    """How the next CreateTags call goes; `delay` in seconds."""

    fate: Fate = Fate.FINE
    delay: float = 0.0


@dataclass(frozen=True)
class _Write:
    at: float
    number: int
    key: str
    value: str


_ORDER = attrgetter("at", "number")


class TagStore:
    """A TagPort. `script` says how the calls go, FINE after its end. Reads show each tag as it was one of `lags` seconds ago."""

    def __init__(
        self, clock: Callable[[], float], script: Iterable[Call | Fate] = (), tags: Mapping[str, str] | None = None
    ) -> None:
        self._clock = clock
        self._script: Iterator[Call | Fate] = iter(script)
        self._writes: list[_Write] = [_Write(float("-inf"), -1, key, value) for key, value in (tags or {}).items()]
        self.lags: Sequence[float] = (0.0,)
        self.reading: TagError | None = None  # raised by every read
        self.most_tags = MOST_TAGS
        self.calls: list[tuple[float, dict[str, str]]] = []  # every CreateTags call, whatever became of it
        self.reads = 0

    def meets(self, call: Call) -> None:
        """The next CreateTags call goes so, and the script goes on after it."""
        self._script = chain((call,), self._script)

    def create(self, tags: Mapping[str, str]) -> None:
        self._check(tags)
        self.calls.append((self._clock(), dict(tags)))
        call = next(self._script, Call())
        if isinstance(call, Fate):
            call = Call(call)
        if call.fate is Fate.THROTTLED:
            raise TagsThrottled("ec2:CreateTags", "RequestLimitExceeded")
        if call.fate is Fate.DENIED:
            raise TagsRefused("ec2:CreateTags", "UnauthorizedOperation", "allow it")
        self._land(tags, call)
        if call.fate in {Fate.LOST, Fate.NO_ANSWER, Fate.LATE, Fate.LATE_TORN}:
            raise TagsUnavailable("ec2:CreateTags", "no answer")

    def read(self) -> Mapping[str, str]:
        self.reads += 1
        if self.reading is not None:
            raise self.reading
        return self.mixed(self._clock(), self.lags)

    def mixed(self, when: float, lags: Sequence[float]) -> dict[str, str]:
        """The tags as a reader may see them at `when`, each from a replica that lags differently."""
        views = [self.at(when - lag) for lag in lags]
        keys = sorted(set().union(*views))
        shown = {key: views[index % len(views)].get(key) for index, key in enumerate(keys)}
        return {key: value for key, value in shown.items() if value is not None}

    def at(self, when: float) -> dict[str, str]:
        """The tags as they truly stood at `when`."""
        landed = [write for write in self._writes if write.at <= when]
        landed.sort(key=_ORDER)
        return {write.key: write.value for write in landed}

    @property
    def now(self) -> dict[str, str]:
        return self.at(self._clock())

    def moments(self) -> list[float]:
        """Every moment at which something changed."""
        return sorted({write.at for write in self._writes if write.number >= 0})

    def _check(self, tags: Mapping[str, str]) -> None:
        assert all(len(key) <= LONGEST_KEY and len(value) <= LONGEST_VALUE for key, value in tags.items())
        if len(self.now.keys() | tags.keys()) > self.most_tags:
            raise TagsFull("ec2:CreateTags", "TagLimitExceeded", "delete some")

    def _land(self, tags: Mapping[str, str], call: Call) -> None:
        if call.fate is Fate.LOST:
            return
        first, second = 0.0, 0.0
        if call.fate in {Fate.LATE, Fate.LATE_TORN}:
            first = second = call.delay
        if call.fate in {Fate.TORN, Fate.LATE_TORN}:
            second += call.delay
        number = len(self.calls)
        for index, (key, value) in enumerate(tags.items()):
            self._writes.append(_Write(self._clock() + (second if index % 2 else first), number, key, value))


class Facts(dict[str, str]):
    """A Memory that lives as long as the test: what the journal keeps over a restart."""

    def put(self, key: str, value: str) -> None:
        self[key] = value
