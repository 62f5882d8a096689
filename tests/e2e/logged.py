"""An agent beside a log that the test writes, and what of it has to be in S3."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runctl_agent.contract.keys import Keys
from tests.e2e.committed import everything, grown
from tests.e2e.hurried import HurriedAgent
from tests.e2e.seaweed import S3
from tests.e2e.tiny_training import save


class Logged:
    """`s3` is the server itself; `way`: how the agent reaches it, where that is another."""

    def __init__(self, tmp_path: Path, s3: S3, way: S3 | None = None, *, kind: type[HurriedAgent] = HurriedAgent) -> None:
        self.s3 = s3
        self.watched = tmp_path / "checkpoints"
        self.watched.mkdir()
        self.agent = kind(tmp_path, way or s3, checkpoints=self.watched)
        self.log = self.agent.workdir / "training.log"
        self.keys = Keys(s3.prefix, self.agent.run)
        self.said = b""
        self._step = 0

    def save(self) -> None:
        self._step += 1
        save(self.watched / f"model_step_{self._step}.pt", self._step, 1000)

    def says(self, text: str | bytes) -> None:
        line = text.encode() if isinstance(text, str) else text
        with self.log.open("ab") as log:
            log.write(line)
        self.said += line

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """With one checkpoint more, so that an epoch is held."""
        with self.agent.running() as process:
            before = self.agent.status().get("commits", 0)
            self.save()
            self.agent.wait_for(lambda status: status["commits"] > before, process)
            yield process

    def pieces(self) -> dict[str, int]:
        """The size of each."""
        with self.s3.store() as store:
            keys = list(store.list(self.keys.log(1, "training.log").prefix))
            return {key: found.size for key in keys if (found := store.head(key)) is not None}

    def there(self) -> bytes:
        return grown(self.s3, self.keys.log(1, "training.log"))

    def arrives(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until S3 has all that was said, and not a byte more."""
        self.agent.wait_for(lambda status: self.there() == self.said, process)

    def everything(self) -> list[bytes]:
        """The body of every object."""
        with self.s3.store() as store:
            return [got.body for key in everything(self.s3) if (got := store.get(key)) is not None]
