"""User-data as cloud-init takes it: `#cloud-config` with `write_files`, below a root folder.

Sources: cloud-init's documentation, "User-data formats" (gzip, the first line says the kind) and "Module reference: Write Files"
(keys, encodings, defaults; run once per instance). What cloud-init would warn of is answered as text; nothing is raised.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

import yaml

HEADER = "#cloud-config"
DEFAULT_MODE = 0o644
LARGEST = 64 * 2**20
"""Bytes of one file once unpacked: a guard against a bomb, not cloud-init's."""

_GZIP = frozenset({"gz", "gzip"})
_BASE64 = frozenset({"b64", "base64"})
_BOTH = frozenset(f"{outer}+{inner}" for outer in _GZIP for inner in _BASE64)
_PLAIN = "text/plain"


@dataclass(frozen=True)
class File:
    """One entry of `write_files`; `path` is absolute and has no `..`."""

    path: str
    content: bytes
    mode: int = DEFAULT_MODE
    append: bool = False
    deferred: bool = False


def parse(user_data: bytes) -> tuple[list[File], list[str]]:
    """The files in the order in which they are written, and the warnings. Total."""
    try:
        text = _gunzip(user_data).decode() if user_data.startswith(b"\x1f\x8b") else user_data.decode()
    except (OSError, EOFError, zlib.error, ValueError) as error:
        return [], [f"Failed to decode user-data: {error}"]
    if not text.strip():
        return [], []
    first = text.partition("\n")[0].rstrip()
    if first != HEADER:
        return [], [f"Unhandled non-multipart (text/x-not-multipart) userdata: {first[:60]!r}"]
    try:
        document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return [], [f"Failed loading yaml blob. {' '.join(str(error).split())[:300]}"]
    if document is None:
        return [], []
    if not isinstance(document, dict):
        return [], [f"Failed loading yaml blob. Yaml load allows (dict) root types, but got {type(document).__name__} instead"]
    return _files(document.get("write_files"))


def write(files: list[File], root: Path) -> list[str]:
    """Write them below `root`, deferred ones last; the warnings."""
    warnings = []
    for file in sorted(files, key=lambda file: file.deferred):
        target = Path(os.path.normpath(f"{root}/{file.path}"))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.parent.resolve().is_relative_to(root.resolve()) or target.is_symlink():
                warnings.append(f"{file.path} leads out of the instance: not written")
                continue
            with target.open("ab" if file.append else "wb") as out:
                os.fchmod(out.fileno(), file.mode)
                out.write(file.content)
        except OSError as error:
            warnings.append(f"{file.path}: {error.strerror}")
    return warnings


def _files(entries: object) -> tuple[list[File], list[str]]:
    files: list[File] = []
    warnings: list[str] = []
    if entries is None:
        return files, warnings
    if not isinstance(entries, list):
        return files, [f"Invalid cloud-config provided: write_files: {type(entries).__name__} is not of type 'array'"]
    for number, entry in enumerate(entries, 1):
        path = entry.get("path") if isinstance(entry, dict) else None
        if not isinstance(entry, dict) or not path:
            warnings.append(f"No path provided to write for entry {number} in module write_files")
            continue
        content = _content(entry, warnings)
        if content is not None:
            absolute = os.path.normpath(f"/{path}").replace("//", "/")
            mode = _mode(entry.get("permissions"), warnings)
            files.append(File(absolute, content, mode, entry.get("append") is True, entry.get("defer") is True))
    return files, warnings


def _content(entry: dict[object, object], warnings: list[str]) -> bytes | None:
    value = entry.get("content", "")
    content = value if isinstance(value, bytes) else str(value if value is not None else "").encode()
    encoding = str(entry.get("encoding") or _PLAIN).lower().strip()
    try:
        if encoding in _BASE64 | _BOTH:
            content = base64.b64decode(content)
        if encoding in _GZIP | _BOTH:
            content = _gunzip(content)
    except (binascii.Error, OSError, EOFError, zlib.error, ValueError) as error:
        warnings.append(f"Failed to write {entry.get('path')}: {encoding} can't be decoded: {error}")
        return None
    if encoding not in _BASE64 | _GZIP | _BOTH | {_PLAIN}:
        warnings.append(f"Unknown encoding type {encoding}, assuming {_PLAIN}")
    return content


def _gunzip(packed: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes")
    return content


def _mode(value: object, warnings: list[str]) -> int:
    """Octal digits in quotes, or what YAML made of a bare 0600."""
    if value is None:
        return DEFAULT_MODE
    try:
        mode = int(value) if isinstance(value, int | float) else int(str(value).strip(), 8)
        if 0 <= mode <= 0o7777:
            return mode
    except ValueError:
        pass
    warnings.append(f"Undecodable permissions {value!r}, returning default {DEFAULT_MODE:#o}")
    return DEFAULT_MODE
