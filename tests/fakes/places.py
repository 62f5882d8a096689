"""Everything a publisher writes to, as fakes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from runctl_agent.contract import tags as contract
from runctl_agent.contract.status import State, decode_state
from runctl_agent.publish import Publisher, TagPort
from tests.fakes.agent_state import INSTANCE
from tests.fakes.clock import FakeRuntime
from tests.fakes.tag_store import Facts, TagStore


class Places:
    """Everything a publisher writes to, and the virtual clock."""

    def __init__(self) -> None:
        self.runtime = FakeRuntime()
        self.tags = TagStore(self.runtime.monotonic)
        self.facts = Facts()
        self.local: list[bytes] = []
        self.remote: list[tuple[float, bytes]] = []
        self.remote_error: Exception | None = None
        self.local_error: Exception | None = None

    def put_status(self, body: bytes) -> None:
        self.remote.append((self.runtime.monotonic(), body))
        if self.remote_error is not None:
            raise self.remote_error

    def write_local(self, body: bytes) -> None:
        if self.local_error is not None:
            raise self.local_error
        self.local.append(body)

    def publisher(
        self,
        tags: TagPort | None = None,
        *,
        on_ec2: bool = True,
        status: bool = True,
        metrics: Callable[[State], None] | None = None,
    ) -> Publisher:
        return Publisher(
            self.runtime,
            tags=(tags or self.tags) if on_ec2 else None,
            status=self.put_status if status else None,
            memory=self.facts,
            write_local=self.write_local,
            metrics=metrics,
            heartbeat=60.0,
            instance=INSTANCE,
        )

    def posted(self) -> State | None:
        return contract.read(self.tags.now, instance=INSTANCE, launch_time=None).state

    def hints(self) -> list[contract.Hint]:
        """Slot and generation of every CreateTags call, in order."""
        found = [contract.decode_hint(tags[contract.STATE]) for _, tags in self.tags.calls]
        return [hint for hint in found if isinstance(hint, contract.Hint)]

    def last_local(self) -> State:
        return decoded(self.local[-1])


def decoded(body: bytes) -> State:
    found = decode_state(body)
    assert isinstance(found, State)
    return found


def same(one: State | None, other: State) -> bool:
    """Equal but for what a post adds."""
    return one is not None and replace(one, generation=0, heartbeat=0) == other
