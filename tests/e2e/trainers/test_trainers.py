"""Real trainers at full speed, with rotation: every checkpoint that stood is committed, none half, and each resumes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from runctl_agent.contract.keys import Keys, parse_destination
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import Manifest, decode_manifest
from tests.e2e.agent import Agent
from tests.e2e.seaweed import S3
from tests.e2e.trainers.ledger import Written, content, read_ledger

KEPT = 1.0
"""Seconds for which a checkpoint stood: from then on it must have been committed."""


@dataclass(frozen=True)
class Trainer:
    name: str
    pattern: str  # of the checkpoints that it keeps and rotates
    least: int  # checkpoints that stood long enough, at least
    steps: int
    resumed_steps: int
    resumed_from: str  # the newest checkpoint


TRAINERS = [
    Trainer("torch", r"model_step_\d+\.pt|last\.pt", 15, 60, 66, "last.pt"),
    Trainer("transformers", r"checkpoint-\d+", 5, 160, 180, "checkpoint-160"),
    Trainer("lightning", r"epoch=.*\.ckpt|last.*\.ckpt", 5, 3200, 3600, "epoch=49-step=3200.ckpt"),
    Trainer("dcp", r"step-\d+", 6, 50, 55, "step-50"),
]


def train(trainer: Trainer, directory: Path, ledger: Path, *arguments: str) -> list[str]:
    module = f"tests.e2e.trainers.train_{trainer.name}"
    return [sys.executable, "-m", module, "--dir", str(directory), "--ledger", str(ledger), *arguments]


def manifests(s3: S3, run: str) -> list[Manifest]:
    destination = parse_destination(s3.destination)
    assert not isinstance(destination, Malformed)
    store = s3.store()
    found = []
    for key in store.list(Keys(destination.prefix, run).manifests):
        got = store.get(key)
        assert got is not None
        manifest = decode_manifest(got.body)
        assert not isinstance(manifest, Malformed), manifest.reason
        found.append(manifest)
    return found


def digests(manifest: Manifest) -> dict[str, str]:
    return {f.path: f.digest.removeprefix("blake3:") for f in manifest.files}


def final_sum(output: str) -> str:
    found = re.search(r"finished at step \d+: (\S+)", output)
    assert found, output
    return found[1]


@pytest.mark.parametrize("trainer", TRAINERS, ids=lambda t: t.name)
def test_every_checkpoint_that_stood_is_committed_and_resumes(trainer: Trainer, s3: S3, tmp_path: Path) -> None:
    watched = tmp_path / "work" / "checkpoints"
    ledger = tmp_path / f"{trainer.name}.ledger"
    agent = Agent(tmp_path, s3, checkpoints=watched)
    with agent.running():
        began = time.time()
        ended_well = agent.exec(train(trainer, watched, ledger, "--steps", str(trainer.steps)))
        assert ended_well.returncode == 0, ended_well.stderr
        ended = time.time()
        agent.wait_for(lambda status: status["phase"] == "finished")
    seconds = ended - began

    standing = {p.name for p in watched.iterdir()}
    written = [w for w in read_ledger(ledger, ended=ended, standing=standing) if re.fullmatch(trainer.pattern, w.name)]
    committed = [m for m in manifests(s3, agent.run) if re.fullmatch(trainer.pattern, m.checkpoint)]
    assert all(m.complete for m in committed)

    truth = [(w.name, w.files) for w in written]
    half_written = [m.checkpoint for m in committed if (m.checkpoint, digests(m)) not in truth]
    assert half_written == []
    stood = [w for w in written if w.kept >= KEPT or (w.name in standing and is_last(w, written))]
    have = [(m.checkpoint, digests(m)) for m in committed]
    assert [w.name for w in stood if (w.name, w.files) not in have] == []
    assert len(stood) >= trainer.least
    print(
        f"{trainer.name}: {len(written)} written, {len(stood)} stood for {KEPT:g} s or to the end, "
        f"{len(committed)} manifests, {seconds:.1f} s of training"
    )

    top_level = {path: digest for path, digest in content(watched).items() if "/" not in path}
    if "config.json" in top_level:
        finals = [m for m in manifests(s3, agent.run) if m.checkpoint == "final"]
        assert [digests(m) for m in finals if m.complete] == [top_level]

    restored = tmp_path / "restored"
    for name in sorted(standing & {m.checkpoint for m in committed}):
        agent.command("restore", "--to", str(restored), "--checkpoint", name)
        assert content(restored / name) == content(watched / name)
    resume_and_compare(trainer, tmp_path, restored / trainer.resumed_from)


def is_last(one: Written, written: list[Written]) -> bool:
    return [w for w in written if w.name == one.name][-1] is one


def resume_and_compare(trainer: Trainer, tmp_path: Path, checkpoint: Path) -> None:
    """From the restored copy training goes on where it was, to the weights of a run that was never interrupted."""
    steps = str(trainer.resumed_steps)
    resumed = subprocess.run(
        train(trainer, tmp_path / "resumed", tmp_path / "resumed.ledger", "--steps", steps, "--resume", str(checkpoint)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert resumed.returncode == 0, resumed.stderr
    assert f"resumed at step {trainer.steps}" in resumed.stdout
    whole = subprocess.run(
        train(trainer, tmp_path / "whole", tmp_path / "whole.ledger", "--steps", steps),
        capture_output=True,
        text=True,
        check=False,
    )
    assert whole.returncode == 0, whole.stderr
    if trainer.name in {"torch", "dcp"}:
        assert final_sum(resumed.stdout) == final_sum(whole.stdout)
    else:
        assert json.loads(final_sum(resumed.stdout)) == pytest.approx(json.loads(final_sum(whole.stdout)), rel=1e-3)
