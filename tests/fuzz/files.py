"""Files of the training, objects of S3, archives of code: binary, and with sizes that they only claim."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator

import zstandard

from runctl_agent.account import Account
from runctl_agent.contract.malformed import Malformed
from runctl_agent.disk.formats import prove, step_from_json
from runctl_agent.errors import BadChecksum
from runctl_agent.store.codec import decoded, encode, filling
from runctl_agent.training.job import Unpack
from runctl_agent.training.worker import unpack

from .target import MIB, Reading, Target

PIECE = 64 * 1024
CONTENT = 4 * PIECE
"""What the manifest promises of a frame."""


@contextlib.contextmanager
def _file(body: bytes) -> Iterator[int]:
    fd = os.memfd_create("checkpoint")
    try:
        os.pwrite(fd, body, 0)
        yield fd
    finally:
        os.close(fd)


def _proofs(*names: str) -> Reading:
    """As a file of each of these names; also with a size that it had a moment ago, for others write to it."""

    def read(body: bytes) -> object:
        with _file(body) as fd:
            sizes = (len(body), len(body) + 1000, max(len(body) - 7, 0))
            return tuple(prove(name, fd, size).value for name in names for size in sizes)

    return read


def _step(body: bytes) -> object:
    with _file(body) as fd:
        step = step_from_json(fd, len(body))
    assert step is None or 0 <= step < 10**15
    return prove_json(body), step is not None


prove_json = _proofs("trainer_state.json")


def _frame(body: bytes) -> object:
    """Never more than was promised, nor larger pieces."""
    made = 0
    for piece in decoded(io.BytesIO(body), CONTENT, PIECE):
        assert len(piece) <= PIECE
        made += len(piece)
    assert made <= CONTENT
    return made > 0


def _unpacked(body: bytes) -> object:
    """A gzip, or the tar inside of one, whose checksums are made right: a mutation is to get past them."""
    if not body.startswith(b"\x1f\x8b"):
        body = gzip.compress(_summed(body), 1, mtime=0)
    user = Account("u", os.geteuid(), os.getegid(), "/", "/bin/sh")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, _file(body) as fd:
        workdir = f"{folder}/code"
        error = unpack(Unpack(user, workdir), os.dup(fd)).error
        assert os.listdir(folder) in ([], ["code"]), "something was written beside the workdir"
        for above, _, _ in os.walk(workdir):
            os.chmod(above, 0o700)
    return Malformed(error) if error else "unpacked"


def _summed(tar: bytes) -> bytes:
    whole = bytearray(tar)
    for at in range(0, len(whole) - 511, 512):
        if whole[at + 257 : at + 262] == b"ustar":
            whole[at + 148 : at + 156] = b"%06o\0 " % (sum(whole[at : at + 148]) + 8 * 32 + sum(whole[at + 156 : at + 512]))
    return bytes(whole)


def _tar(form: int) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        for name, type_, link, body in (
            ("train.py", tarfile.REGTYPE, "", b"print(1)\n"),
            ("a/" + "b" * (90 if form == tarfile.USTAR_FORMAT else 120), tarfile.REGTYPE, "", b""),
            ("latest", tarfile.SYMTYPE, "train.py", b""),
            ("hard", tarfile.LNKTYPE, "train.py", b""),
            ("data", tarfile.DIRTYPE, "", b""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size, info.mtime = type_, link, len(body), 1_700_000_000
            if form == tarfile.PAX_FORMAT:
                info.pax_headers = {"mtime": "1700000000.5", "comment": "x"}
            tar.addfile(info, io.BytesIO(body))
    return made.getvalue()


def _sparse() -> bytes:
    """GNU's: a member that claims to be 2**60 bytes long, of which none is there."""
    header = bytearray(_tar(tarfile.GNU_FORMAT)[:512])
    header[156:157] = b"S"
    header[124:136] = b"00000000000\0"
    header[386:410] = b"%011o\0%011o\0" % (0, 0)
    header[482:483] = b"\0"
    header[483:495] = b"\x80" + (2**60).to_bytes(11, "big")
    return bytes(header) + bytes(1024)


def _claiming(size: int, type_: bytes = b"0") -> bytes:
    """A member, or what describes one, that claims to be so long."""
    header = bytearray(_tar(tarfile.GNU_FORMAT)[:512])
    header[124:136] = b"\x80" + size.to_bytes(11, "big")
    header[156:157] = type_
    return bytes(header) + bytes(1024)


def _safetensors(header: object, body: int = 8) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(body)


def _zip(*, comment: bytes = b"", zip64: bool = False) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        with archive.open("archive/data.pkl", "w", force_zip64=zip64) as file:
            file.write(b"\x80\x02.")
        archive.comment = comment
    return made.getvalue()


def _zip64() -> bytes:
    """As torch ends every archive: the record of 64 bits, its locator, the short record."""
    plain = _zip()
    at = plain.rindex(b"PK\x05\x06")
    entries, length, offset = struct.unpack_from("<HII", plain, at + 10)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, entries, entries, length, offset)
    return plain[:at] + record + struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1) + plain[at:]


def _hdf5(version: int) -> bytes:
    if version < 2:
        block = b"\x89HDF\r\n\x1a\n" + bytes([version, 0, 0, 0, 0, 8, 8, 0]) + bytes(8 + (4 if version else 0))
        return block + struct.pack("<QQQQ", 0, 2**64 - 1, 128, 2**64 - 1) + bytes(128 - len(block) - 32)
    return (b"\x89HDF\r\n\x1a\n" + bytes([version, 8, 8, 0]) + struct.pack("<QQQQ", 0, 2**64 - 1, 128, 0)).ljust(128, b"\0")


TENSORS = {"__metadata__": {"format": "pt"}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
STATE = b'{"epoch": 1.5, "global_step": 500, "log_history": [{"loss": NaN, "step": 400}], "best": -Infinity}'


def _frames() -> list[bytes]:
    content = b"checkpoint " * 1000
    small = zstandard.ZstdCompressor(level=1, write_checksum=False, write_content_size=False)
    claims = b"\x28\xb5\x2f\xfd\xe0" + (2**63).to_bytes(8, "little") + b"\x01\0\0"
    window = b"\x28\xb5\x2f\xfd\x00\xff" + b"\x01\0\0"  # the largest that the format has: 3.75 TiB
    bomb = small.compress(bytes(2**20))
    return [encode(content) + filling(30), small.compress(content), encode(b""), filling(9), claims, window, bomb]


TARS = [_tar(form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)]
CLAIMS = [_claiming(size, type_) for size in (2**40, 2**62, 2**70) for type_ in (b"0", b"L", b"x", b"g")]

TARGETS = (
    Target("json-files", _step, [STATE, b"[1, 2]", b'{"step": 7}', b"1.5", b"\xff\xfe{\0}\0"], ratio=256),
    Target("safetensors", _proofs("a.safetensors"), [_safetensors(TENSORS), _safetensors({}, 0)], ratio=256),
    Target(
        "archives",
        _proofs("a.pt", "a.npz", "a.distcp", "a.h5", ".metadata"),
        [_zip(), _zip(comment=b"PK\x05\x06"), _zip(zip64=True), _zip64(), LEGACY, *map(_hdf5, (0, 1, 2, 3))],
        room=2 * MIB,
    ),
    Target("frames", _frame, _frames(), (BadChecksum,), room=16 * MIB),
    Target("code-archive", _unpacked, [*TARS, gzip.compress(TARS[1], mtime=0), _sparse(), *CLAIMS], room=4 * MIB, ratio=4096),
)
