"""Is this file whole? One small checker per format, by content first, then by suffix.

Files are hostile: nothing is unpickled, unpacked or mapped, every read is bounded, any input gives a Proof.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections import deque
from collections.abc import Callable

import msgspec

from runctl_agent.records import Proof

from .kinds import SUFFIXES, suffix

MAX_JSON = 32 << 20
"""Larger JSON is not read: it would not fit the agent's memory budget."""

_MAX_PARSED = 1 << 20
_MAX_HEADER = 16 << 20
_MAX_TENSORS = 200_000  # of the smallest a header could hold millions, each of them a hundred bytes of memory
_TAIL = 22 + 65_535 + 20  # end of central directory, its longest comment, the zip64 locator before it

# torch/serialization.py, MAGIC_NUMBER: the old torch.save is this pickle, more pickles, then raw storages.
_LEGACY_TORCH = re.compile(rb"\x80.(?:\x95.{8})?\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19\.", re.DOTALL)
_HDF5 = b"\x89HDF\r\n\x1a\n"
_EMPTY_IS_BROKEN = frozenset({".json", ".safetensors", ".pt", ".pth", ".ckpt", ".npz", ".pkl", ".h5"})
_RAW = frozenset({".distcp", ".msgpack", ".ubj"})  # bodies that may begin like a known format by chance or in part
_STEP_KEYS = ("global_step", "step", "iteration", "iter")
_GLOBAL_STEP = re.compile(rb'"global_step"\s*:\s*(\d{1,15})\s*[,}]')


class _Tensor(msgspec.Struct):
    data_offsets: tuple[int, int] = (0, 0)


def prove(name: str, fd: int, size: int) -> Proof:
    """What the format of the open regular file `fd` says about it. `name` decides only what content can't."""
    end = suffix(name)
    if end not in SUFFIXES and name.rpartition("/")[2] != ".metadata":
        return Proof.UNKNOWN
    if size == 0:
        return Proof.BROKEN if end in _EMPTY_IS_BROKEN else Proof.UNKNOWN
    try:
        proof = _checker(end, os.pread(fd, 64, 0))(fd, size)
    except OSError:
        return Proof.UNKNOWN
    # A .distcp is several archives in a row; what ends in the middle of one says nothing of the rest.
    return Proof.UNKNOWN if proof is Proof.BROKEN and end in _RAW else proof


def _checker(end: str, head: bytes) -> Callable[[int, int], Proof]:
    if end == ".json":
        return _json
    if end == ".safetensors":
        return _safetensors
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip
    if head.startswith(_HDF5):
        return _hdf5
    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5 and end not in _RAW:
        return _unrecognised if _LEGACY_TORCH.match(head) else _pickle
    return _unrecognised


def _unrecognised(fd: int, size: int) -> Proof:
    return Proof.UNKNOWN


def _whole(answer: bool) -> Proof:
    return Proof.WHOLE if answer else Proof.BROKEN


def _pickle(fd: int, size: int) -> Proof:
    """Ends in STOP (pickletools: opcode `.`)."""
    return _whole(os.pread(fd, 1, size - 1) == b".")


def _json(fd: int, size: int) -> Proof:
    if size > MAX_JSON:
        return Proof.UNKNOWN
    body = _read(fd, 0, size)
    if body.lstrip(b" \t\r\n")[:1] not in (b"{", b"["):
        return _scalar(body)
    try:
        msgspec.json.decode(body, type=msgspec.Raw)  # checks the syntax, builds nothing
    except RecursionError:
        return Proof.UNKNOWN
    except msgspec.DecodeError as error:
        return Proof.BROKEN if "truncated" in str(error) else _lenient_json(body)
    return Proof.WHOLE


def _scalar(body: bytes) -> Proof:
    """A bare value: the head of a longer number or word can't be told from a whole one."""
    if len(body) > _MAX_PARSED:
        return Proof.UNKNOWN
    return Proof.UNKNOWN if _lenient_json(body) is Proof.WHOLE else Proof.BROKEN


def _lenient_json(body: bytes) -> Proof:
    """As Python writes it: with NaN and Infinity, as a loss may well be."""
    if len(body) > _MAX_PARSED:
        return Proof.UNKNOWN
    try:
        json.loads(body)
    except RecursionError:
        return Proof.UNKNOWN
    except ValueError:
        return Proof.BROKEN
    return Proof.WHOLE


def _safetensors(fd: int, size: int) -> Proof:
    """Eight bytes of header length, the header, then exactly the bytes up to the last tensor's end."""
    if size < 10:
        return Proof.BROKEN
    length = int.from_bytes(os.pread(fd, 8, 0), "little")
    if length < 2 or length > size - 8:
        return Proof.BROKEN
    if length > _MAX_HEADER:
        return Proof.UNKNOWN
    header = _read(fd, 8, length)
    if header.count(b"{") > _MAX_TENSORS:
        return Proof.UNKNOWN
    try:
        tensors = msgspec.json.decode(header, type=dict[str, _Tensor])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # the second for a name that is no UTF-8
        return Proof.BROKEN
    last = max((t.data_offsets[1] for t in tensors.values()), default=0)
    return _whole(8 + length + last == size)


def _zip(fd: int, size: int) -> Proof:
    """The end record lies at the very end and leads to the central directory (APPNOTE 4.3.12 to 4.3.16)."""
    start = max(0, size - _TAIL)
    tail = _read(fd, start, size - start)
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if _ends_here(fd, tail, at, start):
            return Proof.WHOLE
        at = tail.rfind(b"PK\x05\x06", 0, at + 3)
    return Proof.BROKEN


def _ends_here(fd: int, tail: bytes, at: int, start: int) -> bool:
    if len(tail) - at < 22:
        return False
    entries, length, offset, comment = struct.unpack_from("<HIIH", tail, at + 10)
    if at + 22 + comment != len(tail):
        return False
    end = start + at
    located = _zip64(fd, tail, at)  # torch writes one always, also where the short record has room
    if located is not None:
        entries, length, offset, end = located
    elif entries == 0xFFFF or 0xFFFFFFFF in (length, offset):
        return False
    begin = end - length  # an archive after other data has offsets from its own start
    if begin < 0 or offset > begin:
        return False
    return entries == 0 or os.pread(fd, 4, begin) == b"PK\x01\x02"


def _zip64(fd: int, tail: bytes, at: int) -> tuple[int, int, int, int] | None:
    """Entries, length and offset of the central directory, and where its zip64 end record begins."""
    if at < 20 or tail[at - 20 : at - 16] != b"PK\x06\x07":
        return None
    (where,) = struct.unpack_from("<Q", tail, at - 12)
    if where >= 1 << 62:
        return None
    record = os.pread(fd, 56, where)
    if len(record) < 56 or record[:4] != b"PK\x06\x06":
        return None
    entries, length, offset = struct.unpack_from("<QQQ", record, 32)
    return entries, length, offset, where


def _hdf5(fd: int, size: int) -> Proof:
    """The superblock's end-of-file address (HDF5 File Format Specification 3.0, II.A), set when the file is closed."""
    block = os.pread(fd, 96, 0)
    if len(block) < 48:
        return Proof.BROKEN
    version = block[8]
    if version > 3:
        return Proof.UNKNOWN
    width, base = (block[13], 24 + (4 if version == 1 else 0)) if version < 2 else (block[9], 12)
    if version == 3 and block[11] & 1:  # still marked as open for writing
        return Proof.BROKEN
    if width not in (2, 4, 8):
        return Proof.UNKNOWN
    field = base + 2 * width
    return _whole(int.from_bytes(block[field : field + width], "little") == size)


def step_from_json(fd: int, size: int) -> int | None:
    """The step a JSON file speaks of: `global_step`, else `step` or `iteration`, at its top level."""
    if size > MAX_JSON:
        return None
    body = _read(fd, 0, size)
    if len(body) > _MAX_PARSED:
        last = deque(_GLOBAL_STEP.finditer(body), maxlen=1)
        return int(last[0][1]) if last else None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    values = (document.get(key) for key in _STEP_KEYS)
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 10**15), None)


def _read(fd: int, offset: int, length: int) -> bytes:
    """Exactly `length` bytes unless the file ends before; one pread may give less."""
    pieces = []
    while length > 0:
        piece = os.pread(fd, min(length, 1 << 20), offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return b"".join(pieces)
