"""One checkpoint of 10,000 small files, written beside others."""

from __future__ import annotations

import os
from pathlib import Path

from runctl_agent.contract.keys import Keys
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.restore import Restorer
from tests.e2e.committed import committed
from tests.proof.proven import Proven
from tests.proof.trainer import body

FILES, SIZE = 10_000, 2_000


def content(number: int) -> bytes:
    """None begins as a pickle does, by chance: it would not be whole."""
    return b"weights" + body(1_000_000 + number, SIZE)


def test_all_of_them_are_one_checkpoint(proven: Proven) -> None:
    new = proven.place / "shards"
    new.mkdir()
    for number in range(FILES):
        (new / f"{number:05}.bin").write_bytes(content(number))
    with proven.running() as process:
        proven.save(1, 1_000_000)
        os.rename(new, proven.watched / "checkpoint-2")
        proven.save(3, 1_000_000)
        proven.wait_for(lambda status: status["pending_checkpoints"] == 0 and status["commits"] == 3, process, seconds=400)
    with proven.s3.store() as store:
        restored = Restorer(store, Keys(proven.s3.prefix, proven.run), ThreadRuntime()).restore(
            str(proven.place / "back"), checkpoint="checkpoint-2"
        )
    back = Path(restored.path)
    assert sorted(os.listdir(back)) == [f"{number:05}.bin" for number in range(FILES)]
    assert all((back / f"{number:05}.bin").read_bytes() == content(number) for number in range(FILES))
    named = [one.checkpoint for one in committed(proven.s3, proven.run)]
    assert sorted(named) == ["checkpoint-2", "model_step_1.bin", "model_step_3.bin"]
    print(f"one checkpoint of {FILES} files of 2 KB, and two beside it: 3 checkpoints, 0 lost, 0 doubled, compared")
