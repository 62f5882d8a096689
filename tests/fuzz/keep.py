"""Which inputs are worth keeping: those with an outcome, or lines of ours, that no smaller one has."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from types import FrameType
from typing import Any

from .target import Target
from .trial import CORPUS, attempt, kept

ROOM = 8 * 1024
"""Bytes of the corpus for each target."""

LOOKED_AT = 600
"""So many inputs, the smallest, are traced line by line, which is slow."""

OURS = ("/runctl/", "/runctl_agent/")

Feature = str | tuple[str, int, int]


def keep_new(target: Target, inputs: Iterable[bytes]) -> int:
    """Add to the kept corpus what shows something new; how many."""
    folder = CORPUS / target.name
    folder.mkdir(parents=True, exist_ok=True)
    room = ROOM - sum(path.stat().st_size for path in folder.iterdir())
    seen: set[Feature] = set()
    for body in kept(target):
        seen |= features(target, body)
    added = 0
    for body in sorted(set(inputs), key=lambda one: (len(one), one))[:LOOKED_AT]:
        if len(body) > room:
            break
        found = features(target, body)
        if found <= seen:
            continue
        seen |= found
        (folder / hashlib.sha256(body).hexdigest()[:12]).write_bytes(body)
        room -= len(body)
        added += 1
    return added


def features(target: Target, body: bytes) -> set[Feature]:
    """The outcome, and each step from line to line in our own code."""
    steps: set[Feature] = set()

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if not any(part in frame.f_code.co_filename for part in OURS):
            return None
        steps.add((frame.f_code.co_filename, frame.f_lineno, 0))
        return line

    sys.settrace(line)
    try:
        outcome = attempt(target, body).outcome
    finally:
        sys.settrace(None)
    return {*steps, outcome}
