"""The training writes more than anyone can send: memory, requests and pieces stay bounded, and the log says what it lacks."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

from runctl_agent.contract.pieces import PIECE
from runctl_agent.training.tail import KEPT, MOST_BEHIND
from tests.e2e.logged import Logged
from tests.e2e.seaweed import S3

SECOND = b"a line of a training that prints all that it has in its memory\n" * 800_000
"""50 MB."""

LEFT_OUT = re.compile(rb"\[(\d+) bytes of this log were left out here\]\n")


def most_memory(pid: int) -> int:
    """Bytes that the process ever had (VmHWM, proc_pid_status(5))."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def committed(count: int, status: dict[str, Any]) -> bool:
    return bool(status["commits"] == count)


def test_fifty_megabytes_a_second(tmp_path: Path, s3: S3) -> None:
    logged = Logged(tmp_path, s3)
    with logged.running() as process:
        logged.says("the first line\n")
        logged.arrives(process)
        before = most_memory(process.pid)
        written = len(logged.said)
        for second in range(4):
            with logged.log.open("ab") as log:
                written += log.write(SECOND) + log.write(b"second %d\n" % second)
            logged.save()
            logged.agent.wait_for(partial(committed, second + 2), process)
        logged.agent.wait_for(lambda status: logged.there().endswith(b"second 3\n"), process)
        assert most_memory(process.pid) - before < len(SECOND) // 2
        there, sizes = logged.there(), logged.pieces().values()
        status = logged.agent.status()
    assert status["conditions"] == []
    assert there.startswith(b"the first line\n")
    assert max(sizes) <= PIECE
    missing = [int(found[1]) for found in LEFT_OUT.finditer(there)]
    said = sum(len(found[0]) for found in LEFT_OUT.finditer(there)) + len(missing)  # and the newline before each
    assert len(there) - said + sum(missing) == written, "what is missing is what it says"
    assert 1 <= len(missing) <= 4
    assert len(there) < 4 * (MOST_BEHIND + KEPT)
