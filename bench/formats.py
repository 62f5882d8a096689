"""Checkpoints of every format that the agent knows, written as their trainers do."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Write = Callable[[Path, int, bytes], str]
"""Writes checkpoint number n into a directory as its trainer does; returns its name. The last close, or rename, ends it."""


def archive(stem: str, body: bytes) -> bytes:
    """As torch.save lays it out: stored, not compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        written.writestr(f"{stem}/data.pkl", pickle.dumps({"step": 1}))
        written.writestr(f"{stem}/data/0", body)
    return buffer.getvalue()


def safetensors(body: bytes) -> bytes:
    header = json.dumps({"weight": {"dtype": "U8", "shape": [len(body)], "data_offsets": [0, len(body)]}}).encode()
    return struct.pack("<Q", len(header)) + header + body


def npz(body: bytes) -> bytes:
    head = str({"descr": "|u1", "fortran_order": False, "shape": (len(body),)}).encode() + b"\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as written:
        written.writestr("weight.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body)
    return buffer.getvalue()


def hdf5(body: bytes) -> bytes:
    """A superblock of version 0 and what it says is the end of the file."""
    head = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + bytes(8)
    undefined = b"\xff" * 8
    return head + bytes(8) + undefined + struct.pack("<Q", len(head) + 32 + len(body)) + undefined + body


def plain(directory: Path, name: str, body: bytes) -> str:
    (directory / name).write_bytes(body)
    return name


def write_torch(directory: Path, number: int, body: bytes) -> str:
    return plain(directory, f"model_step_{number}.pt", archive(f"model_step_{number}", body))


def write_safetensors(directory: Path, number: int, body: bytes) -> str:
    """The rename comes before the close (safetensors 0.8)."""
    name = f"step_{number}.safetensors"
    with (directory / f".tmp{number}").open("wb") as file:
        file.write(safetensors(body))
        os.rename(file.name, directory / name)
    return name


def write_npz(directory: Path, number: int, body: bytes) -> str:
    return plain(directory, f"step_{number}.npz", npz(body))


def write_pickle(directory: Path, number: int, body: bytes) -> str:
    return plain(directory, f"step_{number}.pkl", pickle.dumps({"step": number, "weights": body}))


def write_json(directory: Path, number: int, body: bytes) -> str:
    return plain(directory, f"step_{number}.json", json.dumps({"step": number, "weights": body.hex()}).encode())


def write_hdf5(directory: Path, number: int, body: bytes) -> str:
    return plain(directory, f"step_{number}.h5", hdf5(body))


def write_huggingface(directory: Path, number: int, body: bytes) -> str:
    """transformers' Trainer: straight into the directory, trainer_state.json last."""
    name = f"checkpoint-{number}"
    (directory / name).mkdir()
    plain(directory / name, "config.json", b"{}")
    plain(directory / name, "model.safetensors", safetensors(body))
    plain(directory / name, "optimizer.pt", archive("optimizer", body))
    plain(directory / name, "trainer_state.json", json.dumps({"global_step": number}).encode())
    return name


def write_unknown(directory: Path, number: int, body: bytes) -> str:
    return plain(directory, f"step_{number}.bin", b"no known head" + body)


@dataclass(frozen=True)
class Format:
    name: str
    write: Write
    proves_itself: bool = True


FORMATS = [
    Format("safetensors", write_safetensors),
    Format("torch zip", write_torch),
    Format("npz", write_npz),
    Format("pickle", write_pickle),
    Format("json", write_json),
    Format("h5", write_hdf5),
    Format("HF directory", write_huggingface),
    Format("unknown", write_unknown, proves_itself=False),
]
