"""Ctrl-C that waits until what was begun can be undone."""

from __future__ import annotations

import signal
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Noted:
    """A context manager in which SIGINT, SIGTERM and SIGHUP are only noted; `check` raises KeyboardInterrupt if one was."""

    def __init__(self) -> None:
        self.noted = False
        self._before: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Noted:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def check(self) -> None:
        if self.noted:
            raise KeyboardInterrupt

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.noted = True
