"""A text to the letter, as it stands in golden/: who changes it sees the change in the diff."""

from __future__ import annotations

from pathlib import Path

GOLDEN = Path(__file__).with_name("golden")


def same(name: str, text: str) -> None:
    """`text` is what golden/`name` has; where that file is not there it is written, and the test fails once."""
    path = GOLDEN / name
    if not path.exists():
        path.write_text(text, encoding="utf-8")
        raise AssertionError(f"{path} was not there and is written now: look at it, and commit it")
    assert text == path.read_text(encoding="utf-8"), f"look at it, and remove {path} to have it written anew"
