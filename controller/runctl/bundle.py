"""The code of a training as an archive that is named by its own hash: the same files give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import mmap
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from runctl_agent.contract.summary import size as shown_size
from runctl_agent.errors import ConfigError, PreconditionFailed
from runctl_agent.store.objects import ObjectStore

LARGEST = 512 * 2**20
"""Bytes of all files together: it is code; data belongs in S3."""
LEVEL = 6
NAMED = 5


@dataclass(frozen=True, slots=True)
class Bundle:
    """`file` is the archive, readable from its start; `left_out` has (path, why) of what could not go along."""

    file: IO[bytes]
    sha256: str
    files: int
    bytes: int  # of the archive
    left_out: tuple[tuple[str, str], ...]


@contextmanager
def packed(root: str, paths: Sequence[str]) -> Iterator[Bundle]:
    """The archive of `paths`, relative to `root`; gone afterwards. Raises ConfigError."""
    members: list[str] = []
    left_out: list[tuple[str, str]] = []
    for path in paths:
        reason = _unfit(root, path)
        if reason:
            left_out.append((path, reason))
        else:
            members.append(path)
    _require_code(root, members)
    with tempfile.TemporaryFile() as file:
        _write(file, root, members)
        length = file.tell()
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        yield Bundle(file, sha256, len(members), length, tuple(left_out))


def upload(bundle: Bundle, store: ObjectStore, key: str) -> bool:
    """Put the archive where it belongs, unless it lies there already; whether it was sent."""
    head = store.head(key)
    if head is not None and head.size == bundle.bytes:
        return False
    mapped = mmap.mmap(bundle.file.fileno(), 0, access=mmap.ACCESS_READ)  # closed with its last view, which botocore may hold
    try:
        store.put(key, memoryview(mapped), if_absent=head is None)
    except PreconditionFailed:
        return False  # another launch sent it meanwhile: the key is the hash of the content
    return True


def _unfit(root: str, path: str) -> str:
    """Why a file can't go along; empty: it can."""
    whole = os.path.join(root, path)
    mode = os.lstat(whole).st_mode
    if stat.S_ISLNK(mode):
        target = os.readlink(whole)
        real = os.path.normpath(os.path.join(root, os.path.dirname(path), target))
        if os.path.isabs(target) or os.path.relpath(real, root).split("/")[0] == "..":
            return f"a link that leads out of {root}"
        return ""
    return "" if stat.S_ISREG(mode) else "neither a file nor a link"


def _require_code(root: str, members: list[str]) -> None:
    sizes = {path: os.lstat(os.path.join(root, path)).st_size for path in members}
    total = sum(sizes.values())
    if total <= LARGEST:
        return
    largest = sorted(sizes, key=lambda path: (-sizes[path], path))[:NAMED]
    named = ", ".join(f"{path} ({shown_size(sizes[path])})" for path in largest)
    raise ConfigError(
        f"{root} is too large to send along as code",
        f"{shown_size(total)} in {len(sizes)} files, the limit is {shown_size(LARGEST)}; the largest: {named}",
        "put data in S3, and what is not code in .gitignore",
    )


def _write(file: IO[bytes], root: str, members: list[str]) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=file, mtime=0) as zipped,
        tarfile.open(mode="w", fileobj=zipped, format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape") as archive,
    ):
        for path in sorted(members, key=lambda one: one.encode("utf-8", "surrogateescape")):
            _add(archive, root, path)


def _add(archive: tarfile.TarFile, root: str, path: str) -> None:
    """With nothing in it that differs between two checkouts: no times, no owners, of the mode only whether it can be run."""
    whole = os.path.join(root, path)
    member = tarfile.TarInfo(path)
    if os.path.islink(whole):
        member.type, member.linkname = tarfile.SYMTYPE, os.readlink(whole)
        archive.addfile(member)
        return
    try:
        with open(whole, "rb") as source:
            at = os.fstat(source.fileno())
            member.size, member.mode = at.st_size, 0o755 if at.st_mode & stat.S_IXUSR else 0o644
            archive.addfile(member, source)
    except OSError as error:
        raise ConfigError(
            f"can't read {whole}", error.strerror or str(error), "make it readable, or put it in .gitignore"
        ) from error
