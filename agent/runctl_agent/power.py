"""The machine's own power: whether it is being shut down, and shutting it down; systemctl(1)."""

from __future__ import annotations

import logging
import subprocess

from .errors import WrongStateError

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds that the service manager has to answer."""


def shutting_down() -> bool:
    """Whether a shutdown or reboot is under way; False where nobody can tell. Costs a process."""
    return _systemctl("is-system-running").strip() == "stopping"


def power_off() -> None:
    """Begin an orderly shutdown: stop or termination, as InstanceInitiatedShutdownBehavior has it. Raises WrongStateError."""
    try:
        done = subprocess.run(
            ["systemctl", "poweroff"], capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed(str(error)) from error
    if done.returncode != 0:
        raise _failed(done.stderr.strip()[:200] or f"exit code {done.returncode}")


def _failed(why: str) -> WrongStateError:
    return WrongStateError("the machine was not powered off", f"systemctl poweroff: {why}", "sudo poweroff, or runctl terminate")


def _systemctl(verb: str) -> str:
    try:
        done = subprocess.run(
            ["systemctl", verb], capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.debug("systemctl %s: %s", verb, error)
        return ""
    return done.stdout
