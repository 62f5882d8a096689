"""One checkpoint from S3 as the agent and `runctl pull` bring it: `python -m bench.restore_ours FOLDER PREFIX`.

Listed, confirmed by HEAD, fetched, verified by hash and checksum, synced, renamed into place.
"""

from __future__ import annotations

import sys

from bench.sink_state import BUCKET
from runctl_agent.contract.keys import Keys
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.restore import Restorer
from runctl_agent.store.s3 import S3Store

RUN = "run"

if __name__ == "__main__":
    with S3Store(BUCKET) as store:
        Restorer(store, Keys(sys.argv[2], RUN), ThreadRuntime()).restore(sys.argv[1])
