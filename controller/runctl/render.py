"""What people see. The only import of rich; everything that came from outside is escaped before it is shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runctl_agent.contract.summary import age, progress, size
from runctl_agent.store.fetch import Progress, unheard
from runctl_agent.store.restore import Restored
from runctl_agent.store.retained import Retained

from .checkpoints import Committed
from .known import Known
from .prune import Pruning
from .replacing import Standing, comes_back
from .shown import shown
from .sight import heard, safe
from .verdict import Outcome, Verdict, judge

WIDE = 250
"""Columns where nobody's terminal limits them: what is piped into grep must not be wrapped."""


STEPS = 200
"""How often a bar is drawn, from nothing to all."""


def runs_table(rows: Sequence[Known], now: float, replaced: frozenset[tuple[str, str]] = frozenset()) -> None:
    """`replaced`: run and destination of those whose group launches the next instance."""
    table = _table("RUN", "PHASE", "STEP", "SAFE", "BEHIND", "INSTANCE", "STATE", "TYPE", "HEARD")
    for row in rows:
        state, machine = row.state, row.machine
        table.add_row(
            *map(
                _cell,
                (
                    row.run,
                    _listed(row, replaced=(row.run, row.destination) in replaced),
                    "" if state is None or state.step is None else str(state.step),
                    "" if state is None or state.committed_at is None else f"{age(max(0, int(now) - state.committed_at))} ago",
                    "" if state is None else size(state.pending_bytes),
                    "" if machine is None else machine.id,
                    "gone" if machine is None else machine.power,
                    "" if machine is None else machine.type + (" spot" if machine.spot else ""),
                    "" if state is None else f"{age(max(0, int(now) - state.heartbeat))} ago",
                ),
            )
        )
    _print(table)


def checkpoints_table(rows: Sequence[Committed], now: float) -> None:
    table = _table("CHECKPOINT", "STEP", "SIZE", "EPOCH-SEQ", "AGE", "COMPLETE", "WHERE")
    for row in rows:
        manifest = row.manifest
        table.add_row(
            *map(
                _cell,
                (
                    manifest.checkpoint,
                    str(manifest.step),
                    size(manifest.size),
                    f"{manifest.epoch}-{manifest.seq}",
                    age(max(0, int(now - manifest.created))),
                    "yes" if manifest.complete else "no",
                    row.where,
                ),
            )
        )
    _print(table)


def status_text(standing: Standing, now: float) -> str:
    """Some lines; how the run stands is the first."""
    known, next_one = standing.known, standing.replacing
    state, machine = known.state, known.machine
    ended = judge(known)
    gone = ended is not None and ended.outcome is Outcome.GONE
    head = f"{known.run}: " + ("gone, last known: " if gone else "") + _phase(known)
    if state is not None and known.current and state.exit_code is not None:
        head += f", exit code {state.exit_code}"
    lines = [head]
    if state is not None and not known.current:
        old = f"{state.phase.value}, {safe(known, now)}, {heard(known, now)}"
        lines.append(f"  what is known is of another life of its instance: {old}")
    elif state is not None:
        lines.append(f"  {safe(known, now)}; {heard(known, now)}")
        lines += [f"  {line}" for line in progress(state, int(now))]
        lines += [f"  {condition.name.value}: {condition.message}" for condition in state.conditions]
        if state.error:
            lines.append(f"  last error: {state.error}")
        if state.attempt:
            lines.append(f"  attempt {state.attempt}, epoch {state.epoch}, {state.commits} committed in it")
    elif machine is not None and (plain := {key: value for key, value in machine.posted.plain.items() if value}):
        lines.append("  its tags say, and prove nothing: " + ", ".join(f"{key}={value}" for key, value in sorted(plain.items())))
    if known.reason and machine is not None and (known.state is not None or any(machine.posted.plain.values())):
        lines.append(f"  there may be something newer: {known.reason}")
    if machine is None:
        lines.append("  no instance: EC2 has none of it" + ("" if next_one is not None else " any more"))
    else:
        since = datetime.fromtimestamp(machine.launch_time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        kind = machine.type + (", spot" if machine.spot else "")
        reason = f" ({machine.reason})" if machine.reason and machine.power != "running" else ""
        lines.append(f"  instance {machine.id}: {machine.power}{reason}, {kind}, {machine.zone}, launched {since}")
    if next_one is not None:
        lines.append(f"  {next_one.text}")
    if known.destination:
        lines.append(f"  in {known.destination}/{known.run}/")
    return "\n".join(lines)


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
        lines.append(f"  last known: {known.state.phase.value}{other}, {safe(known, now)}; {heard(known, now)}")
    return "\n".join(lines)


def restored_text(restored: Restored) -> str:
    manifest = restored.manifest
    what = f"{manifest.checkpoint} (step {manifest.step}, {size(manifest.size)}, verified)"
    return f"pulled {what} to {os.path.relpath(restored.path)}"


@contextmanager
def arriving_bar() -> Iterator[Progress]:
    """On stderr, where that is a terminal, and gone afterwards: what is here of what is pulled."""
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


def _listed(known: Known, *, replaced: bool) -> str:
    """The phase, unless nothing can be in it any more: as `status` and `wait` have it."""
    ended = judge(known)
    if replaced and comes_back(ended):
        return f"waits for an instance ({_phase(known)})"
    gone = ended is not None and ended.outcome is Outcome.GONE
    return f"gone ({_phase(known)})" if gone else _phase(known)


def _phase(known: Known) -> str:
    if known.state is None:
        return "not reported"
    return known.state.phase.value if known.current else f"not reported (before: {known.state.phase.value})"


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, no_wrap=True, overflow="ignore")
    return table


def _cell(text: str) -> Text:
    return Text(shown(text))


def _print(table: Table, file: TextIO | None = None) -> None:
    out = file or sys.stdout
    Console(file=out, width=None if out.isatty() else WIDE, highlight=False, color_system="auto").print(table, soft_wrap=True)
