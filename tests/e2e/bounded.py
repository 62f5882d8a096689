"""The agent without the right to read everything: for the superuser too, permission bits hold."""

from __future__ import annotations

import os
import pwd

from tests.e2e.agent import Agent

USER = pwd.getpwuid(os.geteuid()).pw_name
DROP = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""setpriv(1) of util-linux. Without root there is nothing to drop, and no right to."""


class BoundedAgent(Agent):
    def argv(self, command: str, *arguments: str) -> list[str]:
        before = DROP if os.geteuid() == 0 else []
        return [*before, *super().argv(command, *arguments)]


def denied(status: dict[str, object]) -> str:
    """What NoPermission says; empty while it does not stand."""
    return condition(status, "NoPermission")


def condition(status: dict[str, object], name: str) -> str:
    conditions = status.get("conditions") or []
    assert isinstance(conditions, list)
    return next((str(one["message"]) for one in conditions if one["name"] == name), "")
