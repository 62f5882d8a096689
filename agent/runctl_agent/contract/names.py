"""Readers of the names that become keys or paths: nothing gets through that could leave its directory or its prefix."""

from __future__ import annotations

import re

from .document import Reader, Wrong, show, text

RUN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
LONGEST_KEY = 1024
"""Bytes of an S3 key ("Naming Amazon S3 objects", Amazon S3 User Guide)."""


def matching(pattern: str, expected: str) -> Reader[str]:
    """Text of which the whole matches `pattern`."""
    compiled = re.compile(pattern)

    def read(value: object) -> str:
        if not compiled.fullmatch(text(value)):
            raise Wrong(f"{show(value)} is not {expected}")
        return text(value)

    return read


run_name = matching(RUN.pattern, "a run name: 1 to 63 of a-z, 0-9 and -, not starting with -")
digest = matching(r"[a-z0-9-]{1,32}:[0-9a-f]{1,256}", "a digest such as blake3:<hexadecimal>")
word = matching(r"[a-z0-9-]{1,32}", "a word of a-z, 0-9 and -")
nonce = matching(r"[A-Za-z0-9_.-]{0,64}", "a nonce of at most 64 characters from a-z, A-Z, 0-9, _ . -")


def choice(*allowed: str) -> Reader[str]:
    expected = ", ".join(allowed[:-1]) + " or " + allowed[-1]

    def read(value: object) -> str:
        if value not in allowed:
            raise Wrong(f"expected {expected}, not {show(value)}")
        return text(value)

    return read


def script(value: object) -> str:
    """Text that can be an argument of a program or a line of a shell."""
    given = text(value)
    if "\0" in given:
        raise Wrong(f"{show(given)} has a NUL")
    file_bytes(given)
    return given


def line(value: object) -> str:
    """Text without control characters."""
    given = script(value)
    if not all(char >= " " and char != "\x7f" for char in given):
        raise Wrong(f"{show(given)} has a control character")
    return given


def local_path(value: object) -> str:
    """A path on the instance, absolute or not; empty: none. `~` would be the agent's home, not the training's."""
    path = script(value)
    if path.startswith("~"):
        raise Wrong(f"{show(path)} begins with ~, which is not expanded: write the whole path")
    return path


def glob(value: object) -> str:
    """A pattern for a checkpoint's own name."""
    pattern = script(value)
    if not pattern or "/" in pattern:
        raise Wrong(f"expected a pattern for a checkpoint's own name, without slash, not {show(pattern)}")
    return pattern


def component(value: object) -> str:
    """One name in a directory, as `os.fsdecode` gives it."""
    name = text(value)
    _fits_a_file_name(name)
    if "/" in name:
        raise Wrong(f"{show(name)} has a slash")
    return name


def relative_path(value: object) -> str:
    """A path that stays below where it starts: no empty, `.` or `..` component, not absolute."""
    path = text(value)
    for part in path.split("/"):
        _fits_a_file_name(part, path)
    return path


def object_key(value: object) -> str:
    """A key relative to `<destination>/<run>/`."""
    key = relative_path(value)
    if len(file_bytes(key)) > LONGEST_KEY:
        raise Wrong(f"{show(key)} is longer than {LONGEST_KEY} bytes")
    return key


def file_bytes(name: str) -> bytes:
    """The bytes that `os.fsdecode` made `name` of under UTF-8; the same on every machine, whatever its locale."""
    try:
        return name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Wrong(f"{show(name)} has half a surrogate pair") from None


def _fits_a_file_name(part: str, whole: str | None = None) -> None:
    shown = show(part if whole is None else whole)
    if part == "":
        raise Wrong(f"{shown} has an empty name" if whole else "the name is empty")
    if part in {".", ".."}:
        raise Wrong(f"{shown} has a name that is {part}")
    if "\0" in part:
        raise Wrong(f"{shown} has a NUL")
    file_bytes(part)
