"""Texts as they were looked at and found right. RUNCTL_GOLDEN=write puts down what is printed now: look at the difference."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).with_name("golden")


def same(name: str, text: str) -> None:
    path = FOLDER / name
    if os.environ.get("RUNCTL_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path}: RUNCTL_GOLDEN=write puts down what is printed now"
