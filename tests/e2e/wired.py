"""An agent whose every byte goes through a proxy, and what has to be in S3 when the faults are over."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runctl_agent.contract.keys import Keys
from runctl_agent.contract.manifest import Latest, decode_latest
from tests.e2e.committed import committed
from tests.e2e.hurried import HurriedAgent
from tests.e2e.proxy import Proxy
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import save

MIB = 1024**2
PART = 8 * MIB
SIZE = PART + MIB
"""Two parts, the last a short one."""


class Wired:
    """`s3` is the server itself: what is checked there has not gone through the proxy."""

    def __init__(self, tmp_path: Path, s3: S3, proxy: Proxy, **options: Any) -> None:
        self.s3 = s3
        self.proxy = proxy
        self.watched = tmp_path / "checkpoints"
        self.watched.mkdir()
        self.agent = HurriedAgent(tmp_path, proxy.s3, checkpoints=self.watched, **options)
        self.keys = Keys(s3.prefix, self.agent.run)
        self.saved: dict[tuple[str, str], bytes] = {}  # by checkpoint and path

    def save(self, step: int = 1, size: int = SIZE) -> str:
        """A checkpoint as the trainer saves it; its name."""
        path = self.watched / f"model_step_{step}.pt"
        save(path, step, size)
        self.saved[path.name, path.name] = path.read_bytes()
        return path.name

    def save_folder(self, name: str, body: bytes) -> None:
        """A checkpoint of one file in a folder, moved into place whole."""
        made = self.watched.with_name(name)
        made.mkdir()
        (made / "weights.bin").write_bytes(body)
        made.rename(self.watched / name)
        self.saved[name, "weights.bin"] = body

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        with self.agent.running() as process:
            yield process

    def says(self, what: str, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Wait until the published error says so, while the checkpoint counts as pending."""
        return self.agent.wait_for(lambda status: what in status["error"] and status["pending_checkpoints"] > 0, process)

    def durable(self, process: subprocess.Popen[bytes]) -> dict[str, Any]:
        """Wait until every checkpoint saved is committed, and nothing is said to be wrong any more."""
        newest = list(self.saved)[-1][0]
        status = self.agent.wait_for(
            lambda status: status["checkpoint"] == newest and not status["pending_checkpoints"] and not status["error"], process
        )
        assert status["conditions"] == []
        return status

    def arrived(self) -> None:
        """Every checkpoint is there once, byte by byte; and nothing else: no other data, no upload left open."""
        manifests = committed(self.s3)
        assert sorted(manifest.checkpoint for manifest in manifests) == sorted(name for name, _ in self.saved)
        assert all(manifest.complete for manifest in manifests)
        objects = {self.keys.absolute(file.object): (one.checkpoint, file.path) for one in manifests for file in one.files}
        with self.s3.store() as store:
            for key, what in objects.items():
                assert store.get_range(key, 0, len(self.saved[what])) == self.saved[what]
            assert list(store.list(f"{self.keys.base}data/")) == sorted(objects)
            latest = store.get(self.keys.latest)
        assert latest is not None
        pointed = decode_latest(latest.body)
        assert isinstance(pointed, Latest)
        assert pointed.checkpoint == manifests[0].checkpoint
        assert self.uploads() == []

    def uploads(self) -> list[str]:
        """The keys of the multipart uploads that are open."""
        found = self.s3.client().list_multipart_uploads(Bucket=self.s3.bucket, Prefix=self.s3.prefix)
        return [upload["Key"] for upload in found.get("Uploads", [])]
