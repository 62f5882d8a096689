"""The machine is being taken away: until when training goes on, and what is sent first."""

from __future__ import annotations

import logging

from runctl_agent.contract.phases import Phase
from runctl_agent.outlook import Outlook
from runctl_agent.runtime import Runtime
from runctl_agent.training.deadline import Plan
from runctl_agent.training.notice import Source
from runctl_agent.training.order import Cause, Order

from .notices import Notices
from .orders import Orders

log = logging.getLogger(__name__)


class Taking:
    """`turn` a few times a second, from the task that looks at the training: every look makes the plan anew."""

    def __init__(self, runtime: Runtime, notices: Notices, outlook: Outlook, orders: Orders) -> None:
        self._runtime = runtime
        self._notices = notices
        self._outlook = outlook
        self._orders = orders
        self._said = ""
        self.plan: Plan | None = None

    def turn(self, *, alive: bool, ended: bool) -> None:
        """`alive`: the training is; `ended`: by itself, and what it left is all there will be."""
        seen = self._notices.taking
        if seen is None or seen.at is None:
            return
        plan = self._outlook.plan(seen.at, alive=alive)
        self._outlook.apply(plan)
        self.plan = plan
        said = f"{len(plan.send)} {len(plan.give_up)} {plan.save} {alive}"
        if said != self._said:
            log.info("%s: %s", seen.notice.text, plan.message)
            self._said = said
        group = seen.notice.source is Source.GROUP
        # A group starts the replacement beside it: what is trained from now on, the run does not go on from.
        if not ended and (not alive or (group and plan.save) or self._runtime.now() >= plan.signal_at):
            cause = Cause.GROUP if group else Cause.NOTICE
            self._orders.give(Order(cause, Phase.INTERRUPTED, f"{seen.notice.text}: {plan.message}", seen.at))
