"""The demo's training: it learns, its files are whole, and where it is cut off makes no difference, to the bit."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runctl_agent.disk.formats import prove
from runctl_agent.records import Proof
from runctl_simulator.demo import train

STEPS = 24
EVERY = 5


def run(folder: Path, steps: int = STEPS, *, resume_from: Path | None = None, seed: int = 1) -> list[str]:
    """The script as it is launched, but for its pace; what it says."""
    arguments = ["--steps", str(steps), "--every", str(EVERY), "--seed", str(seed), "--pace", "0"]
    env = {**os.environ, "RUNCTL_CHECKPOINT_DIR": str(folder), "RUNCTL_RESUME_FROM": str(resume_from or "")}
    command = [sys.executable, "-I", train.__file__, *arguments]
    return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.splitlines()


def checkpoint(folder: Path, step: int) -> Path:
    return folder / f"model_step_{step}.safetensors"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert [line.split()[:2] for line in run(folder)] == [["step", str(step)] for step in range(1, STEPS + 1)]
    return folder


@pytest.mark.parametrize("cut", [5, 7, 14, 20, 23])
def test_where_it_is_cut_off_makes_no_difference(cut: int, uninterrupted: Path, tmp_path: Path) -> None:
    """At a checkpoint, and between two: then some steps are done again."""
    run(tmp_path, cut)
    newest = checkpoint(tmp_path, cut - cut % EVERY)
    said = run(tmp_path, resume_from=newest)
    assert said[0] == f"resumed from {newest} at step {cut - cut % EVERY}"
    assert checkpoint(tmp_path, STEPS).read_bytes() == checkpoint(uninterrupted, STEPS).read_bytes()


def test_on_sigterm_it_saves_what_it_has_done(uninterrupted: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-I", train.__file__, "--steps", str(STEPS), "--every", str(2 * STEPS), "--pace", "0.05"]
    env = {**os.environ, "RUNCTL_CHECKPOINT_DIR": str(tmp_path)}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline()]
        process.terminate()
        said += process.stdout
    step = int(said[-1].split()[1])
    assert (process.returncode, step < STEPS, [*tmp_path.iterdir()]) == (143, True, [checkpoint(tmp_path, step)])
    run(tmp_path, resume_from=checkpoint(tmp_path, step))
    assert checkpoint(tmp_path, STEPS).read_bytes() == checkpoint(uninterrupted, STEPS).read_bytes()


def test_another_seed_is_another_training(uninterrupted: Path, tmp_path: Path) -> None:
    run(tmp_path, seed=2)
    assert checkpoint(tmp_path, STEPS).read_bytes() != checkpoint(uninterrupted, STEPS).read_bytes()


def test_only_the_last_two_stay(uninterrupted: Path) -> None:
    assert sorted(uninterrupted.iterdir()) == sorted(checkpoint(uninterrupted, step) for step in (20, STEPS))


def test_the_agent_can_prove_its_files_whole(uninterrupted: Path, tmp_path: Path) -> None:
    whole = checkpoint(uninterrupted, STEPS).read_bytes()
    assert proof(checkpoint(uninterrupted, STEPS)) is Proof.WHOLE
    for length in (len(whole) - 1, len(whole) // 2, 100):
        cut = checkpoint(tmp_path, 1)
        cut.write_bytes(whole[:length])
        assert proof(cut) is Proof.BROKEN


def test_it_learns() -> None:
    training = train.Training(seed=1)
    losses = [training.train() for _ in range(80)]
    assert sum(losses[-10:]) < sum(losses[:10]) / 2
    assert all(map(math.isfinite, losses))


def test_the_gradient_is_that_of_the_loss() -> None:
    """By moving single weights a little, of every layer, and its bias."""
    training, point, target, little = train.Training(seed=3), [0.3, -0.4], 1.0, 1e-6

    def loss() -> float:
        return (training._forward(point)[-1][0] - target) ** 2

    gradients = [train.zeros(layer) for layer in training.weights]
    training._backward(training._forward(point), target, gradients)
    for layer, gradient in zip(training.weights, gradients, strict=True):
        for column in (0, -1):
            before = loss()
            layer[0][column] += little
            slope = (loss() - before) / little
            layer[0][column] -= little
            assert slope == pytest.approx(gradient[0][column], rel=1e-3, abs=1e-5)


def proof(path: Path) -> Proof:
    with path.open("rb") as file:
        return prove(path.name, file.fileno(), path.stat().st_size)
