"""`AtRisk`: what is written could not be sent within a spot notice. Pure: sizes in bytes, rates in bytes per second."""

from __future__ import annotations

from runctl_agent.contract.summary import size as shown

from .deadline import MARGIN

NOTICE = 120.0
"""Seconds between a spot notice and its time ("Spot Instance interruption notices", Amazon EC2 User Guide)."""

RELIEF = 0.9
"""It stands until what is there would take this share of the time: a rate that wavers does not make it flap."""


def at_risk(size: int | None, rate: float, spread: float, *, standing: bool, limited: bool) -> str:
    """The message; empty where there is none. `size`: of a checkpoint as they are now; `limited`: by `bandwidth`.

    `rate` 0: nothing was measured yet, and nothing is said.
    """
    if not size or rate <= 0:
        return ""
    sure = max(rate - spread, rate / 2)
    seconds, room = size / sure, NOTICE - MARGIN
    if seconds <= room * (RELIEF if standing else 1.0):
        return ""
    faster = "raise `bandwidth`" if limited else "take an instance with a faster network"
    return (
        f"a checkpoint of {shown(size)} takes {seconds:.0f} s to send at {shown(int(sure))}/s, and a notice gives {room:.0f} s: "
        f"{faster}, set compression: auto, or save less at a time"
    )
