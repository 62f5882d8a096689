"""How a run stands, in one line each: pure text, for people."""

from __future__ import annotations

from runctl_agent.contract.summary import age, size

from .known import STATUS, Known


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


def safe(known: Known, now: float) -> str:
    """Such as `step 40 safe 3 s ago, 0 B behind`."""
    state = known.state
    if state is None:
        return "nothing known to be safe"
    behind = f"{size(state.pending_bytes)} behind"
    if state.committed_at is None:
        return f"nothing safe yet, {behind}"
    what = "last" if state.step is None else f"step {state.step}"
    return f"{what} safe {age(max(0, int(now) - state.committed_at))} ago, {behind}"


def heard(known: Known, now: float) -> str:
    """When the agent was heard last, and where it was read."""
    if known.state is None:
        return "its agent never reported"
    ago = age(max(0, int(now) - known.state.heartbeat))
    return f"heard {ago} ago" + (f", in {STATUS}" if known.source == STATUS else "")


def heard_nothing(known: Known) -> str:
    """Why an agent may not have reported, the likeliest first."""
    instance = "the instance" if known.machine is None else known.machine.id
    if known.source == STATUS and known.current:
        return (
            f"the agent of {instance} works, as {STATUS} shows, but posts no tags: allow its role ec2:CreateTags on its own"
            " instance, and the route to the EC2 endpoint"
        )
    return (
        f"the agent of {instance} has not reported since the launch. Likely: the image has no agent; the instance has no"
        " profile, or its role lacks ec2:CreateTags; there is no route to EC2; the user-data failed. Look at:"
        f" aws ec2 get-console-output --latest --instance-id {instance}"
    )


def _power(known: Known) -> str:
    machine = known.machine
    return "" if machine is None or machine.power == "running" else f" ({machine.power})"
