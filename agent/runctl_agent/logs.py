"""Structured logs: one line an event on stderr, in logfmt, so that journald and people can both read it."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from typing import TextIO

LARGEST = 1024 * 1024
"""Bytes of the file that is kept, of which there are two."""


class Logfmt(logging.Formatter):
    """`time=… level=… stage=… msg="…"`; a trace, which only a bug has, is one field too."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        stage = record.name.removeprefix("runctl_agent.")
        level, message = record.levelname.lower(), _quoted(record.getMessage())
        line = f"time={at}.{int(record.msecs):03d}Z level={level} stage={stage} msg={message}"
        if record.exc_info:
            line += f" trace={_quoted(self.formatException(record.exc_info))}"
        return line


def begin(level: int = logging.INFO) -> None:
    """Log to stderr from now on; the SDK's own lines only from warnings up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Logfmt())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("runctl_agent").setLevel(level)


def keep(path: str) -> None:
    """Keep what is logged in a file, too, of bounded size: it goes to S3, and what a crash left is sent by the next agent."""
    handler = _Kept(path, maxBytes=LARGEST, backupCount=1, encoding="ascii", errors="backslashreplace", delay=True)
    handler.setFormatter(Logfmt())
    logging.getLogger().addHandler(handler)


class _Kept(RotatingFileHandler):
    """A line that the disk has no room for is only on stderr: `logging` would print a trace there for each."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as it is called
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)
            return
        stream: TextIO | None = self.stream
        if stream is not None:
            self.stream = None  # the next line opens it anew
            with suppress(OSError):
                stream.close()  # with what it could not write, which would grow


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=True)
