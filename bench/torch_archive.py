"""Archives as torch.save lays them out (2.x, inline_container.cc): stored, each record at a multiple of 64."""

from __future__ import annotations

import pickle
import random
import struct
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ALIGNED = 64
HEADER = 30
KIB, MIB = 1 << 10, 1 << 20

LAYER = (4 * MIB,) * 4 + (16 * MIB,) * 2 + (4 * KIB,) * 6
"""The tensors of a transformer's layer of width 1024, in fp32: attention, MLP, norms and biases."""


@dataclass(frozen=True)
class Tensor:
    """Its content follows from its seed."""

    size: int
    seed: int

    def blocks(self) -> Iterator[bytes]:
        block = random.Random(self.seed).randbytes(min(self.size, MIB))
        for begin in range(0, self.size, MIB):
            piece = block[: self.size - begin]
            yield (begin.to_bytes(8, "big") + piece[8:])[: len(piece)]


def tensors(size: int) -> list[Tensor]:
    """Layer by layer, about `size` bytes of them."""
    found: list[Tensor] = []
    left = size
    while left > 0:
        for length in LAYER:
            found.append(Tensor(min(length, max(left, 1)), len(found)))
            left -= length
            if left <= 0:
                break
    return found


def trained(before: list[Tensor], fraction: float) -> list[Tensor]:
    """The same with so much of it changed: the last layers, as where all others are frozen."""
    wanted = fraction * sum(tensor.size for tensor in before)
    after = list(before)
    for place in range(len(before) - 1, -1, -1):
        if wanted <= 0:
            break
        wanted -= before[place].size
        after[place] = Tensor(before[place].size, before[place].seed + 1_000_000)
    return after


def save(path: Path, content: Iterable[Tensor]) -> None:
    """As torch.save(state, path): the archive bears the file's name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _record(archive, f"{path.stem}/data.pkl", [pickle.dumps({"step": 1})])
        _record(archive, f"{path.stem}/byteorder", [b"little"])
        for number, tensor in enumerate(content):
            _record(archive, f"{path.stem}/data/{number}", tensor.blocks())
        _record(archive, f"{path.stem}/version", [b"3\n"])


def _record(archive: zipfile.ZipFile, name: str, blocks: Iterable[bytes]) -> None:
    info = zipfile.ZipInfo(name)
    assert archive.fp is not None
    begins = archive.fp.tell() + HEADER + len(name) + 4
    padding = -begins % ALIGNED
    info.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    with archive.open(info, "w") as record:
        for block in blocks:
            record.write(block)
