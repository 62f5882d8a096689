"""The tables, texts and helps of the commands that look, as people see them."""

from __future__ import annotations

import inspect
import re
import subprocess
from dataclasses import replace
from typing import Any

import pytest
import typer

from runctl import frame, prices
from runctl.checkpoints import Committed
from runctl.cli import application
from runctl.fleet import machine_of
from runctl.frame import Screen
from runctl.known import Known, known
from runctl.moment import Moments
from runctl.replacing import Replacing, Standing
from runctl.status_text import status_text
from runctl.table import laid_out, wrapped
from runctl.tables import CHECKPOINTS, RUNS, checkpoints_rows, exactly, runs_rows
from runctl.verdict import judge
from runctl_agent.contract.manifest import Rank
from runctl_agent.contract.phases import Condition, ConditionName, Phase
from runctl_agent.contract.tags import PROJECT
from runctl_agent.store.outline import DataObject, Outline
from tests.controller.as_before import same
from tests.controller.described import ID, LAUNCHED, described, posted, state
from tests.controller.stage import RUNCTL

NOW = LAUNCHED + 7200.0
GIB = 2**30
LOOKING = ("list", "status", "watch", "wait", "logs", "checkpoints", "pull", "flush", "stop", "start", "terminate")

TRAINING = state(
    Phase.TRAINING,
    heartbeat=LAUNCHED + 7188,
    step=4200,
    checkpoint="model_step_4200.pt",
    committed_at=LAUNCHED + 7159,
    commits=14,
    attempt=2,
    epoch=3,
    ran=9000,
    pending_checkpoints=1,
    pending_bytes=3 * GIB,
    pending_since=LAUNCHED + 7170,
    sending="model_step_4300.pt",
    sending_bytes=4 * GIB,
    sent_bytes=GIB,
    rate=105 * 2**20,
    eta=29,
    train_step=4312,
    train_steps=9000,
    train_epoch=1.34,
    loss=2.3112,
    cpu=130,
    rss=7 * GIB,
    disk_free=210 * GIB,
    gpu=93,
    gpu_memory=21 * GIB,
    gpu_heat=64,
    conditions=(Condition(ConditionName.AT_RISK, LAUNCHED + 6900, "4.0 GiB take 140 s to send, and a notice leaves 115 s"),),
)
FINISHED = state(Phase.FINISHED, heartbeat=LAUNCHED + 3600, step=900, checkpoint="c", committed_at=LAUNCHED + 3590, exit_code=0)
LOST = replace(TRAINING, conditions=(), heartbeat=LAUNCHED + 3000, committed_at=LAUNCHED + 2990, pending_since=LAUNCHED + 2995)
ENDED = "User initiated (2027-01-15 08:50:00 GMT)"


@pytest.fixture(autouse=True)
def _prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "hourly", lambda kind, spot: None if spot else 1.006)


def runs() -> dict[str, Known]:
    tags = {PROJECT: "gpt2"}
    lost = {**posted(LOST, power="terminated"), "StateTransitionReason": ENDED}
    found = {
        "training": machine_of(posted(TRAINING, spot=True)),
        "finished": machine_of(posted(FINISHED)),
        "silent": machine_of(posted(replace(TRAINING, conditions=(), heartbeat=LAUNCHED + 5000))),
        "lost": machine_of(lost),
        "on-disk": machine_of({**lost, "State": {"Name": "stopped"}}),
        "never-heard": machine_of(described(tags=tags)),
        "booting": machine_of(described(launched=int(NOW) - 20, power="pending", tags=tags)),
    }
    rows = {name: known(name, "s3://bucket/runs", replace(machine, run=name)) for name, machine in found.items()}
    failed = replace(FINISHED, phase=Phase.FAILED, exit_code=1, error="RuntimeError: CUDA\x1b[31m out of memory")
    return {**rows, "forgotten": known("forgotten", "s3://bucket/runs", None, failed)}


@pytest.mark.parametrize(("columns", "exact"), [(80, False), (120, False), (200, True), (None, False)])
def test_list(columns: int | None, *, exact: bool) -> None:
    when = Moments(NOW, exact)
    replaced = {("lost", "s3://bucket/runs")}
    lines = laid_out(exactly(RUNS, when), runs_rows(list(runs().values()), when, replaced, regions=columns is None), columns)
    assert columns is None or all(len(line) <= columns for line in lines)
    same(f"list-{columns or 'whole'}.txt", "\n".join(lines) + "\n")


def test_list_in_colour() -> None:
    coloured = laid_out(RUNS, runs_rows(list(runs().values()), Moments(NOW)), 120, colour=True)
    plain = laid_out(RUNS, runs_rows(list(runs().values()), Moments(NOW)), 120)
    assert "\x1b[32mfinished\x1b[0m" in "".join(coloured)
    assert [re.sub(r"\x1b\[\d*m", "", line).rstrip() for line in coloured] == plain
    assert "\x1b" not in "".join(plain)


@pytest.mark.parametrize("run", runs())
def test_status(run: str) -> None:
    found = runs()[run]
    group = Replacing("runctl-lost", "Launching a new EC2 instance") if run == "lost" else None
    whole = status_text(Standing(found, group), Moments(NOW))
    exact = status_text(Standing(found, group), Moments(NOW, exact=True))
    narrow = wrapped(whole, 80)
    assert all(len(line) <= 80 for line in narrow)
    lines = [*wrapped(whole, 999), "", "--exact", *wrapped(exact, 999), "", "80 columns", *narrow]
    same(f"status-{run}.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
def test_watch(columns: int, rows: int) -> None:
    screen, when = Screen(columns, rows), Moments(NOW)
    log = [f"step {step} loss {9000 / step:.3f}" for step in range(4200, 4313)]
    footer = frame.footer(NOW - 2, 5.0, "")
    one = frame.one(runs()["training"], log, footer, when, screen)
    many = frame.many(list(runs().values()), footer, when, screen)
    same(f"watch-{columns}.txt", "\n".join([*one, "-" * columns, *many]) + "\n")


@pytest.mark.parametrize("columns", [80, 200])
def test_checkpoints(columns: int) -> None:
    lines = laid_out(CHECKPOINTS, checkpoints_rows(committed(), Moments(NOW)), columns)
    same(f"checkpoints-{columns}.txt", "\n".join(lines) + "\n")


def committed() -> list[Committed]:
    def outline(seq: int, *objects: DataObject, complete: bool = True, copied: int = 0, unknown: str = "") -> Outline:
        size = sum(one.stored for one in objects)
        rank, name = Rank(True, 1, 10 * seq, seq), f"model_step_{10 * seq}.pt"
        whole = (1, seq, name, 10 * seq, rank, "file", complete, LAUNCHED + 60.0 * seq, ID, "/w", "n", size, objects, unknown)
        return Outline(*whole, copied)

    first = DataObject("data/000001-00000001/model_step_10.pt/model_step_10.pt", GIB, 1, True)
    second = DataObject("data/000001-00000002/model_step_20.pt/model_step_20.pt", GIB, 2, True)
    where = "s3://bucket/runs/gpt2/data/000001-0000000{}/".format
    return [
        Committed(outline(4, first, unknown="encoding lz9"), where(4)),
        Committed(outline(3, second, complete=False), where(3), missing=(second.object,)),
        Committed(outline(2, first, second, second, copied=GIB // 4), where(2), missing=()),
        Committed(outline(1, first), where(1)),
    ]


def test_what_was_sent_and_what_was_there_is_all_there_is() -> None:
    for row in committed():
        assert row.sent + row.saved == sum(one.stored for one in row.manifest.objects)
    assert [(row.sent, row.saved) for row in committed()[2:]] == [(GIB * 3 // 4, GIB * 9 // 4), (GIB, 0)]


def test_of_every_run_the_table_and_the_text_agree() -> None:
    for run, found in runs().items():
        row = dict(zip([one.name for one in RUNS], runs_rows([found], Moments(NOW))[0], strict=True))
        text = status_text(Standing(found, None), Moments(NOW))
        assert (row["PHASE"].text.startswith("gone")) == text.startswith(f"{run}: gone"), text
        assert (row["PHASE"].text.startswith("silent")) == text.startswith(f"{run}: silent"), text
        if judge(found) is not None:
            assert "\n  sending" not in text
            assert "done in" not in text


def commands() -> dict[str, Any]:
    found: Any = typer.main.get_command(application())
    return dict(found.commands)


def helped(*command: str) -> str:
    env = {"COLUMNS": "80", "TERM": "dumb", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    return subprocess.run([RUNCTL, *command, "--help"], capture_output=True, text=True, check=True, env=env).stdout


@pytest.mark.parametrize("command", LOOKING)
def test_help(command: str) -> None:
    """What is said of each option; how it is laid out is typer's, and another with its next version."""
    found = commands()[command]
    lines = [*inspect.cleandoc(found.help or "").split("\n"), ""]
    for one in found.params:
        names = [] if one.param_type_name == "argument" else sorted(one.opts, key=len)
        lines.append(" ".join(filter(None, [", ".join(names), one.metavar, one.help])))
    same(f"help-{command}.txt", "\n".join(lines) + "\n")
    shown = " ".join(helped(command).split())
    assert all(word in shown for line in lines for word in line.split())


def test_in_the_list_of_commands_no_sentence_is_cut() -> None:
    listed = helped()
    assert "..." not in listed.partition("Commands:")[2]
    assert all(f"\n  {command.name} " in listed for command in application().registered_commands)
