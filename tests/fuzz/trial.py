"""One input given to one reader: what came of it, and what it took."""

from __future__ import annotations

import gc
import logging
import re
import resource
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runctl_agent.contract.malformed import Malformed

from .target import Target

CORPUS = Path(__file__).parent / "corpus"

ROOM = 2**30
"""Bytes of address space beyond what is in use: what takes more on a size's word fails, with MemoryError."""

_QUOTED = re.compile(r"'[^']*(?:'|$)|\"[^\"]*(?:\"|$)|[0-9]+")


@dataclass(frozen=True)
class Trial:
    """`outcome` is alike for inputs that fare alike; `failure`: what must not be, empty where all is well."""

    outcome: str
    failure: str = ""
    peak: int = 0
    seconds: float = 0.0


def kept(target: Target) -> list[bytes]:
    """The inputs that an earlier search found worth keeping, with the seeds."""
    return [*target.seeds, *(path.read_bytes() for path in sorted((CORPUS / target.name).glob("*")))]


def attempt(target: Target, body: bytes) -> Trial:
    """Without a measure of memory."""
    began = time.perf_counter()
    try:
        outcome = told(target.read(body))
    except target.raises as error:
        outcome = f"{type(error).__name__}: {shape(str(error))[:50]}"
    except Exception as error:
        outcome = f"{type(error).__name__}: {shape(str(error))}"
        return Trial(outcome, f"{target.name} raises {type(error).__name__}: {error!s:.300}")
    return Trial(outcome, seconds=time.perf_counter() - began)


def weighed(target: Target, body: bytes) -> Trial:
    """With it; `tracemalloc` is on."""
    gc.collect(0)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    trial = attempt(target, body)
    peak = tracemalloc.get_traced_memory()[1] - before
    most = target.room + target.ratio * len(body)
    failure = trial.failure or (f"{target.name} takes {peak} bytes for {len(body)}, of {most} allowed" if peak > most else "")
    return Trial(trial.outcome, failure, peak, trial.seconds)


def told(value: object) -> str:
    """A value as an outcome: what kind it is, and why it is none."""
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return " | ".join(map(told, value))
    if isinstance(value, Malformed):
        return shape(value.reason)
    return str(value) if isinstance(value, bool | str | None) else type(value).__name__


def shape(text: str) -> str:
    """A sentence without what it quotes."""
    return _QUOTED.sub("_", text.split("\n")[0])[:80]


@contextmanager
def bounded() -> Iterator[None]:
    """Memory is weighed, address space is short, and nobody hears the complaints."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + ROOM, hard))
    logging.disable(logging.CRITICAL)
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()
        logging.disable(logging.NOTSET)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
