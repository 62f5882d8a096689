"""What tests and the demo do to the cloud, beside the AWS APIs: one method per verb. The caller has the lock."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from .clock import Clock
from .ec2 import Ec2
from .groups import Groups
from .imds import ScheduledEvent
from .machines import Machines


class Control:
    def __init__(
        self,
        ec2: Ec2,
        machines: Machines,
        groups: Groups,
        clock: Clock,
        instance_env: dict[str, str],
        exhausted: set[str],
        detach: Callable[[], None],
    ) -> None:
        self._ec2 = ec2
        self._machines = machines
        self._groups = groups
        self._clock = clock
        self._instance_env = instance_env
        self._exhausted = exhausted
        self._detach = detach

    def call(self, verb: str, arguments: dict[str, Any]) -> object:
        """Raises ValueError, LookupError or TypeError for what can't be done."""
        method = getattr(self, f"do_{verb.replace('-', '_')}", None)
        if method is None:
            raise ValueError("there is no such verb")
        return method(**arguments)

    # --- machines ---

    def do_lose(self, instance_id: str) -> None:
        self._machines.lose(instance_id)

    def do_reboot(self, instance_id: str) -> None:
        self._machines.reboot(instance_id)

    def do_kill_agent(self, instance_id: str) -> int | None:
        return self._machines.get(instance_id).kill_agent()

    def do_execute(self, instance_id: str, command: list[str]) -> None:
        self._machines.get(instance_id).execute(command)

    def do_processes(self, instance_id: str) -> list[int]:
        return self._machines.get(instance_id).processes()

    def do_requests(self, instance_id: str) -> list[tuple[str, str, int]]:
        return list(self._machines.get(instance_id).imds.requests)

    def do_instance_env(self, **variables: str) -> None:
        self._instance_env.clear()
        self._instance_env.update(variables)

    # --- notices ---

    def do_interrupt_spot(self, instance_id: str, action: str, at: str) -> None:
        self._machines.interrupt(instance_id, action, datetime.fromisoformat(at))

    def do_recommend_rebalance(self, instance_id: str, noticed: str) -> None:
        self._machines.get(instance_id).imds.recommend_rebalance(datetime.fromisoformat(noticed))

    def do_schedule(self, instance_id: str, events: list[dict[str, str]]) -> None:
        self._machines.get(instance_id).imds.schedule(*map(_event, events))

    def do_withdraw(self, instance_id: str, path: str) -> None:
        self._machines.withdraw(instance_id, path)

    def do_fail_imds(self, instance_id: str, status: int, times: int, path: str) -> None:
        self._machines.get(instance_id).imds.fail_next(status, times, path)

    # --- the API ---

    def do_throttle(self, action: str, bucket: float, refill: float) -> None:
        self._ec2.throttle.set(action, bucket, refill)

    def do_unthrottle(self) -> None:
        self._ec2.throttle.reset()

    def do_deny(self, action: str, code: str = "", message: str = "", status: int = 403) -> None:
        self._ec2.deny(action, code, message, status)

    def do_allow(self, action: str) -> None:
        self._ec2.denied.pop(action, None)

    def do_exhaust(self, instance_types: list[str]) -> None:
        self._exhausted.clear()
        self._exhausted.update(instance_types)

    def do_delay_tags(self, seconds: float | None, partial: int) -> None:
        self._ec2.late.delay(None if seconds is None or math.isinf(seconds) else seconds, at_once=partial)

    def do_release_tags(self) -> int:
        writes = self._ec2.late.release()
        self._ec2.show(writes)
        return len(writes)

    def do_tags_at_once(self) -> None:
        self._ec2.late.delay(0.0)
        self.do_release_tags()

    # --- the simulator ---

    def do_reset(self) -> None:
        self._ec2.denied.clear()
        self._exhausted.clear()
        self._ec2.throttle.reset()
        self.do_tags_at_once()
        self._instance_env.clear()
        self._groups.delete_all()
        self._machines.lose_all()
        self._clock.reset()

    def do_advance(self, seconds: float) -> None:
        self._clock.advance(seconds)

    def do_detach(self) -> None:
        self._detach()


def _event(plain: dict[str, str]) -> ScheduledEvent:
    not_before, not_after = (datetime.fromisoformat(plain.pop(name)) for name in ("not_before", "not_after"))
    return ScheduledEvent(not_before=not_before, not_after=not_after, **plain)
