"""Nobody but runtime.py makes a thread, sleeps or reads a clock: this is what lets the simulation run the whole agent."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import runctl_agent

AGENT = Path(runctl_agent.__file__).parent
FORBIDDEN = {"time", "threading", "datetime", "asyncio", "concurrent", "sched", "queue", "multiprocessing", "random"}
ALLOWED = {
    "runtime.py": "it is the runtime",
    "priority.py": "asks which thread it runs in, to change its priority",
    "logs.py": "turns the seconds that logging took into text",
    "training/container.py": "turns docker's RFC 3339 text into seconds",
    "contract/tags.py": "turns seconds into RFC 3339 text and back",
    "contract/want.py": "turns seconds into RFC 3339 text and back",
    "training/notice.py": "turns the times of notices into seconds",
}


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("path", sorted(AGENT.rglob("*.py")), ids=lambda p: str(p.relative_to(AGENT)))
def test_no_other_concurrency_and_no_other_clock(path: Path) -> None:
    name = str(path.relative_to(AGENT))
    assert name in ALLOWED or not imported(path) & FORBIDDEN


def test_what_is_allowed_to_format_times_reads_none() -> None:
    for name in set(ALLOWED) - {"runtime.py"}:
        calls = {ast.unparse(node.func) for node in ast.walk(ast.parse((AGENT / name).read_text())) if isinstance(node, ast.Call)}
        assert not calls & {"time.time", "time.monotonic", "time.sleep", "datetime.now", "datetime.utcnow", "datetime.today"}
