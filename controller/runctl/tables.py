"""The tables of `list` and `checkpoints`: which columns, and what a row says in them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.summary import size

from .checkpoints import Committed
from .cost import so_far
from .known import Known
from .moment import Moments
from .sight import listed
from .table import Cell, Column

RUNS = (
    Column("RUN"),
    Column("PHASE"),
    Column("STEP", 2, right=True),
    Column("SAFE", 4),
    Column("BEHIND", 3, right=True),
    Column("CONDITIONS", 1, optional=True),
    Column("AS OF", 5),
    Column("AGE", 6),
    Column("COST", 7, optional=True, right=True),
    Column("INSTANCE", 8),
    Column("STATE", 9),
    Column("TYPE", 10),
    Column("REGION", 11, optional=True),
    Column("PROJECT", 12, optional=True),
)

CHECKPOINTS = (
    Column("CHECKPOINT"),
    Column("STEP", 1, right=True),
    Column("SIZE", 2, right=True),
    Column("SENT", 4, right=True),
    Column("SAVED", 5, right=True),
    Column("COMPLETE", 3),
    Column("VERIFIED", 6),
    Column("AGE", 7),
    Column("EPOCH-SEQ", 8),
    Column("WHERE", 9),
)

PHASES = {Phase.FINISHED: "green", Phase.FAILED: "red", Phase.TRAINING: "cyan", Phase.FINISHING: "cyan", Phase.SAVING: "yellow"}


def exactly(columns: Sequence[Column], when: Moments) -> tuple[Column, ...]:
    """With the names that exact times have."""
    names = {"AGE": "SINCE"} if when.exact else {}
    return tuple(replace(one, name=names.get(one.name, one.name)) for one in columns)


def runs_rows(
    rows: Sequence[Known], when: Moments, replaced: Collection[tuple[str, str]] = (), *, regions: bool = False
) -> list[list[Cell]]:
    """`replaced`: run and destination of those whose group launches the next instance; `regions`: say which."""
    return [_run(row, when, replaced=(row.run, row.destination) in replaced, regions=regions) for row in rows]


def _run(row: Known, when: Moments, *, replaced: bool, regions: bool) -> list[Cell]:
    state, machine = row.state, row.machine
    said, cost = listed(row, when.now, replaced=replaced), so_far(row, when.now)
    step = None if state is None else state.step if state.train_step is None else state.train_step
    conditions = () if state is None or not row.current else state.conditions
    return [
        Cell(row.run),
        Cell(said, _style(row, said)),
        Cell("" if step is None else str(step)),
        Cell("" if state is None or state.committed_at is None else when.ago(state.committed_at)),
        Cell("" if state is None else size(state.pending_bytes)),
        Cell(",".join(condition.name.value for condition in conditions), "yellow"),
        Cell("" if state is None else when.ago(state.heartbeat)),
        Cell("" if machine is None else when.age(machine.launch_time)),
        Cell("" if cost is None else cost.text),
        Cell("" if machine is None else machine.id),
        Cell("gone" if machine is None else machine.power),
        Cell("" if machine is None else machine.type + (" spot" if machine.spot else "")),
        Cell(machine.region if machine is not None and regions else ""),
        Cell("" if machine is None else machine.project),
    ]


def _style(row: Known, said: str) -> str:
    if row.state is None or said != row.state.phase.value:
        return "yellow"
    return PHASES.get(row.state.phase, "")


def checkpoints_rows(rows: Sequence[Committed], when: Moments) -> list[list[Cell]]:
    return [_checkpoint(row, when) for row in rows]


def _checkpoint(row: Committed, when: Moments) -> list[Cell]:
    manifest = row.manifest
    return [
        Cell(manifest.checkpoint),
        Cell(str(manifest.step)),
        Cell(size(manifest.size)),
        Cell(size(row.sent)),
        Cell(size(row.saved)),
        Cell("yes") if manifest.complete else Cell("no", "yellow"),
        Cell(row.verified, "" if row.sound else "red"),
        Cell(when.age(manifest.created)),
        Cell(f"{manifest.epoch}-{manifest.seq}"),
        Cell(row.where),
    ]
