"""A machine of the demo, looked at from the host: what its training says and what lies on its disk, alive or dead."""

from __future__ import annotations

import re
from pathlib import Path

_STEP = re.compile(r"^step (\d+) loss (\S+)$", re.MULTILINE)
_RESUMED = re.compile(r"^resumed from (.+) at step (\d+)$", re.MULTILINE)
_CHECKPOINT = re.compile(r"model_step_(\d+)\.safetensors")


class Machine:
    def __init__(self, instance_id: str, folder: Path, run: str) -> None:
        self.id = instance_id
        self._homes = folder / "root" / "home"
        self._run = run

    @property
    def log(self) -> Path | None:
        """The training's own, once there is one."""
        return next(iter(self._homes.glob(f"*/{self._run}/training.log")), None)

    def steps(self) -> dict[int, str]:
        """Every step that the training has done, and its loss."""
        return {int(step): loss for step, loss in _STEP.findall(self._said())}

    def resumed_at(self) -> int | None:
        """The step at which the training went on; None: it began anew, or did not begin yet."""
        match = _RESUMED.search(self._said())
        return int(match[2]) if match else None

    def newest_step(self) -> int:
        """0: none was done yet."""
        return max(self.steps(), default=0)

    def checkpoints(self) -> frozenset[int]:
        """The steps of the finished checkpoints on its disk."""
        found = self._homes.glob(f"*/{self._run}/checkpoints/*")
        return frozenset(int(match[1]) for path in found if (match := _CHECKPOINT.fullmatch(path.name)))

    def _said(self) -> str:
        log = self.log
        return log.read_text(errors="replace") if log is not None else ""
