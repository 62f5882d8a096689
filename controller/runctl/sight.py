"""How a run stands, in one line each: pure text, for people."""

from __future__ import annotations

from runctl_agent.contract.summary import size

from .known import STATUS, Known, durable
from .moment import Moments
from .silence import silent_for
from .verdict import Outcome, comes_back, judge


def line(known: Known) -> str:
    """Such as `training on i-0123456789abcdef0`."""
    machine = known.machine
    where = "no instance" if machine is None else machine.id
    if known.state is None:
        power = "" if machine is None else f" ({machine.power})"
        return f"nothing reported yet by {where}{power}"
    if not known.current:
        return f"nothing reported yet by {where}{_power(known)}; what is posted is of an earlier life: {known.state.phase.value}"
    conditions = "".join(f", {condition.name.value}" for condition in known.state.conditions)
    return f"{known.state.phase.value} on {where}{_power(known)}{conditions}"


def news(known: Known) -> tuple[object, ...]:
    """What is worth a line of its own once it differs."""
    return line(known), None if known.state is None or not known.current else known.state.step


def news_text(known: Known, now: float) -> str:
    return f"{known.run}: {line(known)}, {standing(known, Moments(now))}"


def safe(known: Known, when: Moments) -> str:
    """Such as `step 40 safe 30 s ago`: that stays true, whatever was saved since."""
    state = known.state
    if state is None:
        return "nothing known to be safe"
    if state.committed_at is None:
        return "nothing safe yet"
    what = "last" if state.step is None else f"step {state.step}"
    return f"{what} safe {when.since(state.committed_at)}"


def standing(known: Known, when: Moments) -> str:
    """Such as `step 40 safe 30 s ago, 2.0 KiB behind as of 12 s ago`: what was told is as old as the telling."""
    state = known.state
    if state is None:
        return f"{safe(known, when)}: its agent never reported"
    if known.current and durable(state):
        return f"{safe(known, when)}, everything is durable"
    lives = known.machine is not None and known.machine.power not in ("stopped", "terminated") and known.current
    told = f"as of {told_at(known, when)}" if lives else f"when last heard, {told_at(known, when)}"
    return f"{safe(known, when)}, {size(state.pending_bytes)} behind {told}"


def told_at(known: Known, when: Moments) -> str:
    """When the agent told its state, and where that was read if not in the tags."""
    heartbeat = 0 if known.state is None else known.state.heartbeat
    return when.ago(heartbeat) + (f", in {STATUS}" if known.source == STATUS else "")


def phase(known: Known) -> str:
    if known.state is None:
        return "not reported"
    return known.state.phase.value if known.current else f"not reported (before: {known.state.phase.value})"


def listed(known: Known, now: float, *, replaced: bool = False) -> str:
    """The phase, unless nothing can be in it any more, or nobody knows whether anything is; `replaced`: its group goes on."""
    ended = judge(known)
    if replaced and comes_back(ended):
        return f"waits for an instance ({phase(known)})"
    if ended is not None and ended.outcome is Outcome.GONE:
        return f"gone ({phase(known)})"
    silent = silent_for(known, now) is not None and known.state is not None and known.current
    return f"silent ({phase(known)})" if silent else phase(known)


def _power(known: Known) -> str:
    machine = known.machine
    return "" if machine is None or machine.power == "running" else f" ({machine.power})"
