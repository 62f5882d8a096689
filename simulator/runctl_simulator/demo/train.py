"""A small but real training: a neural network learns which points lie inside a circle. Standard library only.

Every few steps all that is needed to go on is written to one file: weights, momentum, step and random state. A training
that ends anywhere and goes on from such a file comes to the same weights, bit by bit, as one that was never interrupted.
On SIGTERM it finishes its step, saves, and ends.

    python3 train.py --steps 160
"""

# ruff: noqa: B905, RUF007 - zip(strict=) and pairwise() came with Python 3.10; this runs on whatever Python a machine has

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import signal
import struct
import sys
import time
from operator import mul
from pathlib import Path

Matrix = list[list[float]]
"""One row for each output; the last number of a row is its bias."""

LAYERS = [2, 48, 48, 1]  # a point's two coordinates, two hidden layers, the answer: 1 inside the circle, -1 outside
RADIUS = 0.75
BATCH, RATE, MOMENTUM = 64, 0.05, 0.9
KEPT = 2
"""Checkpoints that stay on the disk: older ones are deleted, as most trainings do."""


class Training:
    """All that a checkpoint holds: `weights` and `velocity` have a matrix for each layer."""

    def __init__(self, seed: int) -> None:
        self.step = 0
        self.random = random.Random(seed)
        self.weights = [[self._row(inputs) for _ in range(outputs)] for inputs, outputs in zip(LAYERS, LAYERS[1:])]
        self.velocity = [zeros(layer) for layer in self.weights]

    def _row(self, inputs: int) -> list[float]:
        return [self.random.gauss(0.0, 1 / math.sqrt(inputs)) for _ in range(inputs)] + [0.0]

    def train(self) -> float:
        """One step of gradient descent on points never seen before; the mean loss over them."""
        loss = 0.0
        gradients = [zeros(layer) for layer in self.weights]
        for _ in range(BATCH):
            point = [self.random.uniform(-1, 1), self.random.uniform(-1, 1)]
            target = 1.0 if math.hypot(*point) < RADIUS else -1.0
            outputs = self._forward(point)
            loss += (outputs[-1][0] - target) ** 2 / BATCH
            self._backward(outputs, target, gradients)
        for layer, speeds, slopes in zip(self.weights, self.velocity, gradients):
            for row, speed, slope in zip(layer, speeds, slopes):
                speed[:] = [MOMENTUM * v - RATE / BATCH * g for v, g in zip(speed, slope)]
                row[:] = [w + v for w, v in zip(row, speed)]
        self.step += 1
        return loss

    def _forward(self, point: list[float]) -> Matrix:
        """The outputs of every layer, the point itself first."""
        outputs = [point]
        for layer in self.weights:
            inputs = [*outputs[-1], 1.0]
            outputs.append([math.tanh(sum(map(mul, row, inputs))) for row in layer])
        return outputs

    def _backward(self, outputs: Matrix, target: float, gradients: list[Matrix]) -> None:
        """Add how the loss of one point changes with each weight: the chain rule, from the last layer to the first."""
        errors = [2 * (outputs[-1][0] - target)]
        for layer, gradient, inputs, said in reversed(list(zip(self.weights, gradients, outputs, outputs[1:]))):
            errors = [error * (1 - y * y) for error, y in zip(errors, said)]  # the slope of tanh
            for slopes, error in zip(gradient, errors):
                slopes[:] = [slope + error * x for slope, x in zip(slopes, [*inputs, 1.0])]
            errors = [sum(map(mul, errors, column)) for column in list(zip(*layer))[:-1]]

    def tensors(self) -> dict[str, Matrix]:
        weights = {f"layer{n}.weight": layer for n, layer in enumerate(self.weights)}
        return {**weights, **{f"layer{n}.velocity": layer for n, layer in enumerate(self.velocity)}}


def zeros(like: Matrix) -> Matrix:
    return [[0.0] * len(row) for row in like]


def save(training: Training, path: Path) -> None:
    """As a safetensors file: the length of a header, the header in JSON, then all numbers, little-endian.

    It is written under another name, brought to the disk, and only then gets its own: `path` is whole or not there.
    """
    state = {"step": training.step, "random": training.random.getstate()}
    header: dict[str, object] = {"__metadata__": {"training": json.dumps(state)}}
    body = b""
    for name, matrix in training.tensors().items():
        start = len(body)
        body += b"".join(struct.pack(f"<{len(row)}d", *row) for row in matrix)
        header[name] = {"dtype": "F64", "shape": [len(matrix), len(matrix[0])], "data_offsets": [start, len(body)]}
    head = json.dumps(header).encode()
    partial = path.with_name(path.name + ".tmp")
    with partial.open("wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + body)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(training: Training, path: Path) -> None:
    """Be where the training was that wrote `path`."""
    content = path.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header = json.loads(content[8 : 8 + length])
    for name, matrix in training.tensors().items():
        at = 8 + length + header[name]["data_offsets"][0]
        for row in matrix:
            row[:] = struct.unpack_from(f"<{len(row)}d", content, at)
            at += 8 * len(row)
    state = json.loads(header["__metadata__"]["training"])
    version, words, spare = state["random"]
    training.step = state["step"]
    training.random.setstate((version, tuple(words), spare))


def rotate(folder: Path) -> None:
    """Delete all checkpoints but the newest `KEPT`."""
    named = ((re.fullmatch(r"model_step_(\d+)\.safetensors", path.name), path) for path in folder.iterdir())
    found = sorted((int(match[1]), path) for match, path in named if match)
    for _, path in found[:-KEPT]:
        path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--every", type=int, default=10, help="steps from one checkpoint to the next")
    parser.add_argument("--pace", type=float, default=0.06, help="seconds that a step takes at least")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    training = Training(options.seed)
    resume_from = os.environ.get("RUNCTL_RESUME_FROM")  # a checkpoint, restored and verified by runctl; empty at first
    if resume_from:
        load(training, Path(resume_from))
        print(f"resumed from {resume_from} at step {training.step}", flush=True)

    folder = Path(os.environ.get("RUNCTL_CHECKPOINT_DIR") or "checkpoints")
    folder.mkdir(parents=True, exist_ok=True)
    asked = []  # to end
    signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    while training.step < options.steps and not asked:
        due = time.monotonic() + options.pace
        loss = training.train()
        print(f"step {training.step} loss {loss:.4f}", flush=True)
        if training.step % options.every == 0 or training.step == options.steps:
            save(training, folder / f"model_step_{training.step}.safetensors")
            rotate(folder)
        time.sleep(max(0.0, due - time.monotonic()))
    if training.step < options.steps:
        if training.step % options.every:
            save(training, folder / f"model_step_{training.step}.safetensors")
            rotate(folder)
        sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
