"""README.md as the tests take it: its sessions, and what differs from one to the next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARYING = re.compile(r"\b(?!0 )\d+(?:\\\.\d+)? (?:s|min|B|KiB|MiB)\b")
"""Ages and sizes, in an escaped pattern. None of either is as it stands."""


@dataclass(frozen=True)
class Step:
    command: str
    output: str

    @property
    def pattern(self) -> str:
        escaped = re.sub(r"\\([ \n])", r"\1", re.escape(self.output))
        return VARYING.sub(r"\\d+(?:\\.\\d+)? (?:s|min|B|KiB|MiB)", escaped)


def steps(session: str) -> list[Step]:
    """`$ ` at the left edge begins a command, all else is what the one before it prints."""
    first, *commands = re.split(r"^\$ ", session, flags=re.MULTILINE)
    assert not first, f"output before any command: {first}"
    return [Step(command, output) for command, _, output in (text.partition("\n") for text in commands)]


WRITTEN = [steps(body) for kind, body in FENCE.findall(README) if kind == "console"]
(DEMO,) = (session[0] for session in WRITTEN if session[0].command == "make demo")
MASKS = (
    (r"^ *[0-9.]+s", "<elapsed>"),
    (r"i-[0-9a-f]{17}", "<instance>"),
    (r"\b[0-9]+ ms", "<latency>"),
    (r"\bstep +[0-9]+(?=;|\.|,| was| just| *$|\n)", "<step>"),
    (r"\b[0-9]+ (?=manifests)", "<number> "),
)
"""What differs from one demo to the next: times, ids, and how far the training had come when its machine was gone."""


def masked(text: str) -> list[str]:
    for shape, name in MASKS:
        text = re.sub(shape, name, text, flags=re.MULTILINE)
    return text.splitlines()


def assert_shown(demo: str) -> None:
    """That README.md shows what the demo printed; `…` stands for lines that are left out."""
    printed, left_out = iter(masked(demo)), False
    for line in masked(DEMO.output):
        if line == "…":
            left_out = True
            continue
        found = next((one for one in printed if one == line), None) if left_out else next(printed, None)
        assert found == line, f"{line!r} is not what the demo printed there:\n{demo}"
        left_out = False
