"""The agent without its manners, to show what they are worth: run as a script in place of `runctl-agent run`.

The first argument says what it leaves: `nice`, `io`, or `all`; the others are the daemon's own.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from unittest.mock import patch

from runctl_agent import daemon, priority

NICE: Mapping[str, object] = {"_may_come_back": lambda: False}
IO: Mapping[str, object] = {"_IOPRIO_SET": {}}
LEFT = {"nice": NICE, "io": IO, "all": {**NICE, **IO}}

if __name__ == "__main__":
    with ExitStack() as patches:
        for name, value in LEFT[sys.argv.pop(1)].items():
            patches.enter_context(patch.object(priority, name, value))
        daemon.main()
