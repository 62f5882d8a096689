"""40,000 files made and removed while the agent can't run: the kernel's queue (16,384 events) overflows, checkpoints in it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.proof.proven import Proven

FILES, EVERY = 40_000, 10_000


def test_the_checkpoints_among_them_are_found(proven: Proven) -> None:
    assert int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()) < 2 * FILES, "the queue has to overflow"
    with proven.running() as process:
        for stopped in (True, False):
            if stopped:
                process.send_signal(signal.SIGSTOP)
            for number in range(FILES):
                passing = proven.watched / f"shard-{number}.tmp"
                passing.touch()
                if number % EVERY == 0:
                    proven.save(len(proven.sizes) + 1, 1_000_000)
                passing.unlink()
            if stopped:
                process.send_signal(signal.SIGCONT)
            proven.until_all_is_sent(process)  # nothing is written meanwhile that would lead the agent there
    assert len(os.listdir(proven.watched)) == len(proven.sizes)
    print(f"two bursts of {FILES} files: {proven.prove()}")
