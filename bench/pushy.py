"""The agent without its manners, to show what they are worth: run as a script in place of `runctl-agent run`.

The first argument says what it leaves: `nice`, `io`, or `all`; the others are the daemon's own.
"""

from __future__ import annotations

import sys
from unittest.mock import patch

from runctl_agent import daemon

LEFT = {
    "nice": ("os.setpriority", lambda *_: None),
    "io": ("runctl_agent.priority._IOPRIO_SET", {}),
    "all": ("runctl_agent.runtime.yield_to_others", lambda: None),
}

if __name__ == "__main__":
    with patch(*LEFT[sys.argv.pop(1)]):
        daemon.main()
