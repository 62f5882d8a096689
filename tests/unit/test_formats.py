from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runctl_agent.disk.formats import MAX_JSON, prove, step_from_json
from runctl_agent.records import Proof

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def _memory(body: bytes) -> int:
    fd = os.memfd_create("body")
    os.write(fd, body)
    return fd


def proof(name: str, body: bytes) -> Proof:
    fd = _memory(body)
    try:
        return prove(name, fd, len(body))
    finally:
        os.close(fd)


def archive(*, comment: bytes = b"", compression: int = zipfile.ZIP_STORED, entries: int = 3) -> bytes:
    """As torch.save and numpy.savez write it: a zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as zip_:
        for n in range(entries):
            zip_.writestr(f"archive/data/{n}", bytes(100 * (n + 1)))
        zip_.comment = comment
    return out.getvalue()


def archive64(*, filled: bool = False) -> bytes:
    """The same with a zip64 end record. `filled`: the short record has the numbers too, as torch.save always writes it."""
    body = archive()
    at = body.rfind(b"PK\x05\x06")
    entries, length, offset = struct.unpack_from("<HII", body, at + 10)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, length, offset)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
    numbers = (entries, entries, length, offset) if filled else (0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, *numbers, 0)
    return body[:at] + record + locator + end


def safetensors(*, metadata: bool = True, padding: int = 0) -> bytes:
    header: dict[str, object] = {
        "a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
        "b": {"dtype": "F32", "shape": [2, 2], "data_offsets": [16, 32]},
    }
    if metadata:
        header["__metadata__"] = {"format": "pt"}
    text = json.dumps(header).encode() + b" " * padding
    return struct.pack("<Q", len(text)) + text + bytes(32)


def hdf5(version: int, body: int = 500, *, open_: bool = False) -> bytes:
    signature = b"\x89HDF\r\n\x1a\n"
    if version < 2:
        head = signature + bytes([version, 0, 0, 0, 0, 8, 8, 0]) + bytes(8) + (bytes(4) if version == 1 else b"")
    else:
        head = signature + bytes([version, 8, 8, 1 if open_ else 0])
    size = len(head) + 32 + body
    undefined = b"\xff" * 8
    return head + bytes(8) + undefined + struct.pack("<Q", size) + undefined + bytes(body)


WHOLE: list[tuple[str, bytes]] = [
    ("last.pt", archive()),
    ("last.ckpt", archive(comment=b"a comment")),
    ("weights.npz", archive(compression=zipfile.ZIP_DEFLATED)),
    ("big.pth", archive64()),
    ("torch.pth", archive64(filled=True)),
    ("pytorch_model.bin", archive()),
    ("empty.npz", archive(entries=0)),
    ("state.pkl", pickle.dumps({"step": 3, "w": bytes(5000)}, protocol=4)),
    ("old.pt", pickle.dumps([1, 2, 3], protocol=2)),
    ("dir/.metadata", pickle.dumps({"state_dict_metadata": {}}, protocol=2)),
    ("model.safetensors", safetensors()),
    ("model.safetensors", safetensors(metadata=False, padding=7)),
    ("state.json", b'{"a": [1, 2, {"b": null}]}\n'),
    ("list.json", b"[]"),
    ("model.h5", hdf5(0)),
    ("model.h5", hdf5(1)),
    ("model.h5", hdf5(2)),
    ("model.h5", hdf5(3)),
]


@pytest.mark.parametrize(("name", "body"), WHOLE)
def test_whole(name: str, body: bytes) -> None:
    assert proof(name, body) is Proof.WHOLE


@pytest.mark.parametrize(("name", "body"), WHOLE)
def test_no_head_of_a_whole_file_is_whole(name: str, body: bytes) -> None:
    for size in {*range(0, len(body), max(1, len(body) // 50)), len(body) - 1}:
        if name.endswith(".json") and body[:size].strip() == body.strip():
            continue  # less the line feed at the end, it is whole
        if name.endswith(".pkl") and body[size - 1 : size] == b".":
            continue
        assert proof(name, body[:size]) is not Proof.WHOLE, size


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("last.pt", archive()[:-1]),
        ("last.pt", archive() + b"more"),
        ("last.pt", archive()[:200]),
        ("model.safetensors", safetensors()[:-1]),
        ("model.safetensors", safetensors() + b"\0"),
        ("model.safetensors", b"\xff" * 100),
        ("model.safetensors", struct.pack("<Q", 4) + b"[[]]"),
        ("model.safetensors", struct.pack("<Q", 12) + b'{"a":{"x":1}'),
        ("model.safetensors", struct.pack("<Q", 8) + b'{"\xe3":{}}'),
        ("state.json", b'{"a": '),
        ("state.json", b'{"a": 1} x'),
        ("state.json", b""),
        ("state.json", b"tru"),
        ("state.pkl", pickle.dumps([1] * 100)[:-1]),
        ("model.h5", hdf5(0)[:-1]),
        ("model.h5", hdf5(2) + b"\0"),
        ("model.h5", hdf5(3, open_=True)),
        ("last.pt", b""),
    ],
)
def test_broken(name: str, body: bytes) -> None:
    assert proof(name, body) is Proof.BROKEN


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("last.pt", pickle.dumps(LEGACY_MAGIC, protocol=2) + pickle.dumps(1001, protocol=2) + b"raw storages."),
        ("last.pt", pickle.dumps(LEGACY_MAGIC, protocol=4) + b"raw"),
        ("weights.bin", b"GGUF" + bytes(100)),
        ("rank0.distcp", archive() + b"the next shard, half writ"),
        ("state.msgpack", b"\x80\x02abc"),
        ("model.ubj", b"{U\x03abc"),
        ("README.md", b"\x80\x02 not a pickle"),
        ("number.json", b"12"),
        ("deep.json", b"[" * 200_000),
        ("weights.bin", b""),
    ],
)
def test_unknown(name: str, body: bytes) -> None:
    assert proof(name, body) is Proof.UNKNOWN


def test_archives_in_a_row_as_in_a_distcp_are_whole() -> None:
    assert proof("__0_0.distcp", archive() + archive()) is Proof.WHOLE


def test_python_writes_nan() -> None:
    assert proof("trainer_state.json", json.dumps({"loss": float("nan")}).encode()) is Proof.WHOLE
    assert proof("trainer_state.json", b'{"loss": NaN, "b": ') is Proof.BROKEN


def test_large_json_is_not_read() -> None:
    fd = _memory(b"{")
    try:
        os.truncate(fd, MAX_JSON + 1)
        assert prove("large.json", fd, MAX_JSON + 1) is Proof.UNKNOWN
        assert step_from_json(fd, MAX_JSON + 1) is None
    finally:
        os.close(fd)


def test_a_header_too_large_to_read_is_unknown() -> None:
    fd = _memory(struct.pack("<Q", 1 << 30))
    try:
        os.truncate(fd, 2 << 30)
        assert prove("model.safetensors", fd, 2 << 30) is Proof.UNKNOWN
    finally:
        os.close(fd)


def test_a_header_of_millions_of_tensors_is_not_taken_into_memory() -> None:
    """As large as a header may be, and of the smallest: what the agent may use in all is 100 MiB."""
    header = b"{" + b",".join(b'"%x":{}' % number for number in range(1_400_000)) + b"}"
    assert len(header) < 16 << 20
    tracemalloc.start()
    try:
        assert proof("model.safetensors", struct.pack("<Q", len(header)) + header) is Proof.UNKNOWN
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_what_a_large_json_says_a_million_times_is_not_gathered() -> None:
    body = b'{"global_step":123456789012345,' * (MAX_JSON // 31)
    fd = _memory(body)
    tracemalloc.start()
    try:
        assert step_from_json(fd, len(body)) == 123456789012345
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()
        os.close(fd)


def test_a_pickle_that_would_run_code_is_not_loaded(tmp_path: Path) -> None:
    trap = tmp_path / "trap"

    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
            return (os.mkdir, (str(trap),))

    assert proof("evil.pkl", pickle.dumps(Evil())) is Proof.WHOLE
    assert not trap.exists()


NAMES = st.sampled_from(["a.pt", "a.safetensors", "a.json", "a.h5", "a.npz", "a.pkl", "a.bin", "a.distcp", ".metadata", "a"])
HEADS = st.sampled_from([b"", b"PK\x03\x04", b"PK\x05\x06", b"\x89HDF\r\n\x1a\n", b"\x80\x02", b"\x80\x04\x95", b"{", b"[[["])


@settings(deadline=None)
@given(NAMES, HEADS, st.binary(max_size=400), st.integers(min_value=-50, max_value=50))
def test_any_bytes_give_a_proof(name: str, head: bytes, tail: bytes, wrong_by: int) -> None:
    body = head + tail
    fd = _memory(body)
    try:
        # The size may be wrong by now: the file is being written.
        assert prove(name, fd, max(0, len(body) + wrong_by)) in Proof
        step_from_json(fd, len(body))
    finally:
        os.close(fd)


@settings(deadline=None)
@given(st.sampled_from([body for _, body in WHOLE]), NAMES, st.integers(min_value=0), st.integers(0, 255))
def test_any_flipped_byte_gives_a_proof(body: bytes, name: str, at: int, value: int) -> None:
    changed = bytearray(body)
    changed[at % len(body)] = value
    assert proof(name, bytes(changed)) in Proof


@pytest.fixture
def step_of() -> Iterator[Callable[[bytes], int | None]]:
    fds: list[int] = []

    def read(body: bytes) -> int | None:
        fds.append(_memory(body))
        return step_from_json(fds[-1], len(body))

    yield read
    for fd in fds:
        os.close(fd)


def test_step_from_json(step_of: Callable[[bytes], int | None]) -> None:
    assert step_of(b'{"global_step": 500, "step": 3}') == 500
    assert step_of(b'{"step": 7}') == 7
    assert step_of(b'{"log": [{"step": 7}]}') is None
    assert step_of(b'{"step": true}') is None
    assert step_of(b'{"step": -1}') is None
    assert step_of(b'{"step": 1e400}') is None
    assert step_of(b'{"step": ' + b"9" * 5000 + b"}") is None
    assert step_of(b'{"x": "' + b"y" * (2 << 20) + b'", "global_step": 900}') == 900
    assert step_of(b"[" * 100_000) is None
    assert step_of(b"\xff\xfe") is None
