"""Keys as they are pressed, without Return; the terminal is as it was afterwards, whatever happens."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Any


class Keys:
    """A context manager over stdin. Where that is no terminal nothing is ever pressed."""

    def __init__(self) -> None:
        self._before: Any = None

    def __enter__(self) -> Keys:
        if sys.stdin.isatty():
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._before is not None:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def pressed(self, seconds: float) -> str:
        """What was pressed within so many seconds; empty: nothing."""
        watched = [sys.stdin] if self._before is not None else []
        ready, _, _ = select.select(watched, [], [], seconds)
        return os.read(sys.stdin.fileno(), 64).decode("utf-8", "replace") if ready else ""
