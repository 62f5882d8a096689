"""What the demo says: a line at a time, each with the elapsed seconds at its left, as fit for a log as for a terminal."""

from __future__ import annotations

import os
import threading
import time
from typing import TextIO

BOLD, DIM, GREEN, RED, CYAN, _PLAIN = "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[36m", "\033[0m"
YES, NO = "✓", "✗"


class Screen:
    """Colour only on a terminal, and not where NO_COLOR is set. Safe to use from several threads."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._colour = out.isatty() and "NO_COLOR" not in os.environ
        self._began = time.monotonic()
        self._lock = threading.Lock()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    def act(self, title: str, *sentences: str) -> None:
        """What is about to happen."""
        self._line("")
        self._line(title, BOLD)
        for sentence in sentences:
            self._line(sentence)

    def say(self, text: str, colour: str = "") -> None:
        self._line(f"  {text}", colour)

    def command(self, line: str) -> None:
        self._line(f"$ {line}", CYAN)

    def output(self, line: str) -> None:
        """One line of what a command says."""
        self._line(line, DIM)

    def check(self, text: str, *, true: bool) -> None:
        self._line(f"  {YES if true else NO} {text}", GREEN if true else RED)

    def _line(self, text: str, colour: str = "") -> None:
        with self._lock:
            for line in text.split("\n"):
                shown = f"{colour}{line}{_PLAIN}" if colour and self._colour else line
                self._out.write(self._written(f"{self.elapsed:5.1f}s  {shown}" if line else "") + "\n")
            self._out.flush()

    def _written(self, line: str) -> str:
        """A terminal or log that is not UTF-8 gets what it can show."""
        encoding = self._out.encoding or "utf-8"
        try:
            line.encode(encoding)
        except UnicodeEncodeError:
            line = line.replace(YES, "ok").replace(NO, "NOT").encode(encoding, "replace").decode(encoding)
        return line
