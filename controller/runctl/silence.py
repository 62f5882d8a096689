"""An agent that is not heard: since when, and why that may be. Pure."""

from __future__ import annotations

from runctl_agent.contract.phases import TERMINAL
from runctl_agent.contract.summary import age

from .known import STATUS, Known

STALE = 600.0
"""Seconds without a heartbeat after which an agent is silent: an unchanged state is posted every 5 minutes."""
NEVER = 300.0
"""Seconds after the launch within which an agent should have reported."""


def silent_for(known: Known, now: float) -> int | None:
    """Seconds since something was due of an instance that runs and has not ended its run; None: it is heard, or need not be."""
    machine, state = known.machine, known.state if known.current else None
    if machine is None or machine.power != "running" or (state is not None and state.phase in TERMINAL):
        return None
    silent, limit = (now - machine.launch_time, NEVER) if state is None else (now - state.heartbeat, STALE)
    return int(silent) if silent > limit else None


def reasons(known: Known, now: float) -> list[str]:
    """Why it may not be heard, the likeliest first; nothing where it is."""
    silent = silent_for(known, now)
    if known.source == STATUS and known.current and known.machine is not None and known.machine.power == "running" and not silent:
        return [heard_nothing(known)]
    if silent is None:
        return []
    if known.state is None or not known.current:
        return [heard_nothing(known)]
    instance = "" if known.machine is None else known.machine.id
    return [
        f"its agent has said nothing for {age(silent)}, and should every 5 min; the training may go on all the same",
        "likely: the machine hangs or is out of memory; the agent is stopped; its network or its right to tag is gone",
        f"look at: aws ec2 get-console-output --latest --instance-id {instance}",
    ]


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
