"""What people see: everything that came from outside is escaped before it is shown."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from runctl_agent.contract.summary import size
from runctl_agent.store.fetch import Progress, unheard
from runctl_agent.store.restore import Restored
from runctl_agent.store.retained import Retained

from .moment import Moments
from .prune import Pruning
from .sight import standing
from .table import Cell, Column, laid_out, wrapped
from .verdict import Verdict

STEPS = 200
"""How often a bar is drawn, from nothing to all."""


def table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], *, wide: bool = False) -> None:
    """On stdout: as wide as the terminal; `wide`, and where there is none: every column."""
    terminal = sys.stdout.isatty()
    width = None if wide or not terminal else shutil.get_terminal_size().columns
    encoding = sys.stdout.encoding or "utf-8"
    for line in laid_out(columns, rows, width, colour=coloured(sys.stdout)):
        sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def paragraphs(text: str) -> str:
    """As wide as the terminal, where stdout is one."""
    return "\n".join(wrapped(text, shutil.get_terminal_size().columns)) if sys.stdout.isatty() else text


def coloured(out: TextIO) -> bool:
    """Whether it takes colours: https://no-color.org, and a terminal that knows some."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"


def pruning_text(pruning: Pruning) -> str:
    """What goes, checkpoint by checkpoint, and what stays of it."""
    what, would = pruning.what, "" if pruning.done else "would be "
    if not pruning.something:
        return f"{pruning.run}: nothing to delete" + "".join(f"\n  {line}" for line in _kept(what))
    count = f"{len(pruning.rows)} checkpoint{'' if len(pruning.rows) == 1 else 's'}"
    objects = f"{what.objects} object{'' if what.objects == 1 else 's'}"
    lines = [f"{pruning.run}: {count} {would}deleted, {objects} of data, {size(what.bytes)} {would}freed"]
    lines += [f"  {row.manifest.checkpoint}, step {row.manifest.step}, {size(row.manifest.size)}" for row in pruning.rows]
    return "\n".join([*lines, *(f"  {line}" for line in _kept(what))])


def _kept(what: Retained) -> list[str]:
    return [f"{size(kept.bytes)} of {kept.name} stays: {kept.by} names it" for kept in what.kept]


def verdict_text(verdict: Verdict, now: float) -> str:
    known = verdict.known
    lines = [f"{known.run}: {verdict.outcome.value}: {verdict.why}"]
    if known.state is None:
        lines.append("  nothing is known to be safe: its agent never reported")
    else:
        other = "" if known.current else " (of another life)"
        lines.append(f"  last known: {known.state.phase.value}{other}, {standing(known, Moments(now))}")
    return "\n".join(lines)


def restored_text(restored: Restored, destination: str) -> str:
    """`destination` as it was given: what was absolute is told so."""
    manifest = restored.manifest
    what = f"{manifest.checkpoint} (step {manifest.step}, {size(manifest.size)}, verified)"
    return f"pulled {what} to {restored.path if os.path.isabs(destination) else os.path.relpath(restored.path)}"


@contextmanager
def arriving_bar() -> Iterator[Progress]:
    """On stderr, where that is a terminal, and gone afterwards: what is here of what is pulled."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield unheard
        return
    from rich import progress as bars

    columns = (
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.DownloadColumn(binary_units=True),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console, transient=True, auto_refresh=False) as bar:
        task, shown_at = bar.add_task("", total=None), -1

        def told(done: int, total: int) -> None:
            nonlocal shown_at
            before, shown_at = shown_at, done * STEPS // max(total, 1)
            bar.update(task, completed=done, total=total, refresh=before != shown_at)

        yield told
