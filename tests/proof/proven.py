"""An agent, a trainer that writes what is known byte for byte, and what must be so at the end: all of it, once."""

from __future__ import annotations

import os
import random
from pathlib import Path

from runctl_agent.contract.keys import Keys
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.restore import Restorer
from tests.e2e.agent import Agent
from tests.e2e.committed import committed
from tests.e2e.seaweed import S3


def body(step: int, size: int) -> bytes:
    return random.Random(step).randbytes(size)


class Proven(Agent):
    def __init__(self, tmp_path: Path, s3: S3) -> None:
        self.s3 = s3
        self.place = tmp_path
        self.watched = tmp_path / "checkpoints"
        self.watched.mkdir()
        self.sizes: dict[int, int] = {}
        super().__init__(tmp_path, s3, checkpoints=self.watched, settle="300ms", publish={"heartbeat": "1s"})

    def save(self, step: int, size: int) -> None:
        """As trainers do that know what they do: whole, or not there."""
        new = self.place / "new"
        new.write_bytes(body(step, size))
        self.sizes[step] = size
        os.rename(new, self.watched / f"model_step_{step}.bin")

    def until_all_is_safe(self) -> None:
        with self.running() as process:
            self.wait_for(
                lambda status: status["pending_checkpoints"] == 0 and len(self._names()) >= len(self.sizes), process, seconds=300
            )

    def _names(self) -> list[str]:
        return sorted(manifest.checkpoint for manifest in committed(self.s3, self.run))

    def prove(self) -> str:
        """Every checkpoint is there once, verifies byte for byte, and no upload is left; the counts, for people."""
        wanted = sorted(f"model_step_{step}.bin" for step in self.sizes)
        found = self._names()
        assert found == wanted, (
            f"lost: {set(wanted) - set(found)}; doubled: {[name for name in set(found) if found.count(name) > 1]}"
        )
        back = self.place / "back"
        with self.s3.store() as store:
            restorer = Restorer(store, Keys(self.s3.prefix, self.run), ThreadRuntime())
            for step, size in self.sizes.items():
                restored = restorer.restore(str(back), checkpoint=f"model_step_{step}.bin")
                assert Path(restored.path).read_bytes() == body(step, size)
                os.unlink(restored.path)
        uploads = self.s3.client().list_multipart_uploads(Bucket=self.s3.bucket).get("Uploads", [])
        assert uploads == []
        return f"{len(wanted)} checkpoints, 0 lost, 0 doubled, {sum(self.sizes.values()) / 2**20:.0f} MiB verified"
