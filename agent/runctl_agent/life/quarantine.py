"""Between the boot and the start: files appear in watched directories that no training wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Quarantine:
    """What keeps the files that come with the code from being taken for checkpoints of the training."""

    hold: Callable[[], None]
    adopt: Callable[[], None]
    held: Callable[[], bool]

    def release(self) -> None:
        """What is there is not the training's; what comes is."""
        if self.held():
            self.adopt()
