"""An agent, a trainer that writes what is known byte for byte, and what must be so at the end: all of it, once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runctl_agent.contract.keys import Keys
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.restore import Restorer
from tests.e2e.agent import Agent
from tests.e2e.committed import committed
from tests.e2e.seaweed import S3
from tests.proof.trainer import body, save


@contextmanager
def cut_off(endpoint: str) -> Iterator[None]:
    """Of the server at `endpoint`: both ways, and without a word: no connection is refused or reset."""
    port = endpoint.rpartition(":")[2]
    rules = [["-p", "tcp", side, port, "-j", "DROP"] for side in ("--dport", "--sport")]
    with ExitStack() as after:
        for rule in rules:
            subprocess.run(["iptables", "-w", "-I", "INPUT", "-i", "lo", *rule], check=True)
            after.callback(subprocess.run, ["iptables", "-w", "-D", "INPUT", "-i", "lo", *rule], check=True)
        yield


RESTORED = 100
"""Of so many, the last ones, the real restore is tried as well: each reads the whole list of manifests."""


class Proven(Agent):
    def __init__(self, tmp_path: Path, s3: S3, *, disk: Path | None = None) -> None:
        """`disk`: where the checkpoints lie."""
        self.s3 = s3
        self.place = tmp_path
        self.disk = disk or tmp_path
        self.watched = self.disk / "checkpoints"
        self.watched.mkdir()
        self.sizes: dict[int, int] = {}
        super().__init__(tmp_path, s3, checkpoints=self.watched, settle="300ms", publish={"heartbeat": "1s"})

    def save(self, step: int, size: int) -> None:
        assert save(self.disk, step, size) == "saved"
        self.sizes[step] = size

    def until_it_sends(self, process: subprocess.Popen[bytes], step: int, size: int) -> None:
        """A new one, in the middle of its upload or just after it."""
        before = self.status()["sent_total"]
        self.save(step, size)
        self.wait_for(lambda status: status["sent_total"] > before or status["sent_bytes"] > 0, process)

    def until_all_is_sent(self, process: subprocess.Popen[bytes]) -> None:
        """All that was saved is committed, and nothing is wrong any more."""
        wanted = {"commits": len(self.sizes), "pending_checkpoints": 0, "error": "", "conditions": []}
        self.wait_for(lambda status: status.items() >= wanted.items(), process, seconds=300)

    def until_all_is_safe(self) -> None:
        with self.running() as process:
            self.wait_for(
                lambda status: status["pending_checkpoints"] == 0 and len(self._names()) >= len(self.sizes), process, seconds=300
            )

    def _names(self) -> list[str]:
        return sorted(manifest.checkpoint for manifest in committed(self.s3, self.run))

    def prove(self, fleeting: int = 0) -> str:
        """Every checkpoint is there once, verifies byte for byte, and no upload is left; the counts, for people.

        `fleeting`: up to this step they stood for less than a second, and may have been missed.
        """
        wanted = {f"model_step_{step}.bin" for step in self.sizes}
        manifests = committed(self.s3, self.run)
        found = [manifest.checkpoint for manifest in manifests]
        missed = {step for step in self.sizes if step <= fleeting and f"model_step_{step}.bin" not in found}
        lost = wanted - set(found) - {f"model_step_{step}.bin" for step in missed}
        doubled = sorted({name for name in found if found.count(name) > 1})
        assert (lost, doubled, set(found) - wanted) == (set(), [], set())
        back = self.place / "back"
        with self.s3.store() as store:
            keys = Keys(self.s3.prefix, self.run)
            restorer = Restorer(store, keys, ThreadRuntime())
            for manifest in manifests:
                (file,) = manifest.files
                got = store.get(keys.absolute(file.object))
                assert got is not None
                assert got.body == body(manifest.step, self.sizes[manifest.step]), manifest.checkpoint
            for step in sorted(self.sizes.keys() - missed)[-RESTORED:]:
                restored = restorer.restore(str(back), checkpoint=f"model_step_{step}.bin")
                assert Path(restored.path).read_bytes() == body(step, self.sizes[step])
                os.unlink(restored.path)
        uploads = self.s3.client().list_multipart_uploads(Bucket=self.s3.bucket).get("Uploads", [])
        assert uploads == []
        size = sum(size for step, size in self.sizes.items() if step not in missed) / 2**20
        return f"{len(found)} checkpoints, {len(missed)} missed, 0 lost, 0 doubled, {size:.0f} MiB verified"
