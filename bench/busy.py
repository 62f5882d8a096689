"""A busy trainer beside what is measured: a process whose threads burn a core each. Run as a script: the number of threads."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runctl_simulator.processes import die_with_parent

BLOCK = 1 << 20


@contextmanager
def busy(threads: int = 2) -> Iterator[None]:
    """While this lasts; it burns from the first moment on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.busy", str(threads)],
        stdout=subprocess.PIPE,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, no lock
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"burning\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _burn() -> None:
    block = bytes(BLOCK)
    while True:
        hashlib.sha256(block)  # without the GIL: as torch's own threads


def main() -> None:
    for _ in range(int(sys.argv[1])):
        threading.Thread(target=_burn, daemon=True).start()
    print("burning", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
