"""What is proven with a training beside the agent: it is disturbed by nothing, and what is wrong is told in S3 meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runctl_agent.contract.keys import Keys
from tests.e2e.bounded import condition
from tests.e2e.seaweed import ROOT, S3
from tests.proof.proven import Proven

Told = dict[str, Any]


class Trained(Proven):
    """`disk`: where the checkpoints lie, and what is not yet one; `state`: the agent's own."""

    def __init__(self, tmp_path: Path, s3: S3, *, disk: Path, state: Path) -> None:
        super().__init__(tmp_path, s3, disk=disk)
        self.state_dir = state
        self._training: subprocess.Popen[str] | None = None

    @contextmanager
    def training(self) -> Iterator[None]:
        """It lives, and nobody signals it, until the end of this."""
        argv = [sys.executable, "-m", "tests.proof.trainer", str(self.disk)]
        with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as self._training:
            try:
                before = int(self._ask("steps"))
                (self.workdir / "training.pid").write_text(f"{self._training.pid}\n")
                yield
                assert int(self._ask("steps")) > before
                assert self._ask("end") == "", "the training got signals"
                assert self._training.wait(60) == 0
            finally:
                self._training.kill()

    def save(self, step: int, size: int) -> None:
        assert self.tried(step, size) == "saved"

    def tried(self, step: int, size: int) -> str:
        """What became of it."""
        answer = self._ask(f"save {step} {size}")
        if answer == "saved":
            self.sizes[step] = size
        return answer

    def told(self) -> Told:
        """The state as it stands in S3."""
        with self.s3.store() as store:
            got = store.get(Keys(self.s3.prefix, self.run).status)
        return dict(json.loads(got.body)) if got is not None else {}

    def until_told(self, what: Callable[[Told], object], process: subprocess.Popen[bytes]) -> Told:
        """The limit is a safety net and never the thing tested."""
        end = time.monotonic() + 120
        while not ((told := self.told()) and what(told)):
            assert process.poll() is None, f"the agent ended: {process.returncode}\n{self.log.read_text()}"
            assert time.monotonic() < end, f"{told}\n{self.log.read_text()}"
            time.sleep(0.05)
        return told

    def until_committed(self, process: subprocess.Popen[bytes]) -> Told:
        """All that was saved, as S3 has it."""
        return self.until_told(lambda told: not told["pending_checkpoints"] and told["commits"] == len(self.sizes), process)

    def until_quiet(self, process: subprocess.Popen[bytes]) -> Told:
        """All is committed, and nothing is said to be wrong, in S3 and beside the agent."""
        self.until_told(self._quiet, process)
        return self.wait_for(self._quiet, process)

    def _quiet(self, told: Told) -> bool:
        done = not told["pending_checkpoints"] and told["commits"] == len(self.sizes)
        return done and told["phase"] == "training" and wrong(told) == []

    def _ask(self, what: str) -> str:
        training = self._training
        assert training is not None
        assert training.stdin is not None
        assert training.stdout is not None
        training.stdin.write(f"{what}\n")
        training.stdin.flush()
        answer = training.stdout.readline()
        assert answer.endswith("\n"), f"the training ended: {training.wait(60)}"
        return answer.removesuffix("\n")


def wrong(told: Told) -> list[str]:
    """All that a state says is wrong. Among its details are the phases that it came through, which is nothing wrong."""
    conditions = [f"{one['name']}: {condition(told, one['name'])}" for one in told.get("conditions") or []]
    phases = ("starting:", "waiting:", "training:")
    details = [line for line in told.get("details") or [] if not line.startswith(phases)]
    return [*conditions, *filter(None, [told.get("error")]), *details]


class Watch:
    """Seconds since it was begun."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __str__(self) -> str:
        return f"{time.monotonic() - self._began:.1f} s"
