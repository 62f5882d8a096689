"""The run spec's file: YAML to `Spec`, with every mistake in it reported at once, each with its line."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import replace

from .account import account
from .contract.document import show
from .contract.settings import Mistake
from .contract.spec import Spec, SpecPointer, check_pointer, check_spec, is_pointer
from .errors import ConfigError
from .runtime import Runtime
from .yaml_text import YamlText

LARGEST = 2**20
"""Bytes of a spec file."""

SYSTEM = "/etc/runctl"
"""Where an instance's own spec lies: no place for a training to work in."""

PATIENCE = 10
"""Seconds for which a spec that does not parse may still be being written (cloud-init does not write atomically)."""

LEAST = "run, destination and checkpoints"

_NOTHING: Mapping[str, object] = {}
_NOWHERE: Mapping[str, str] = {}


def parse_spec(text: str, *, source: str, folder: str) -> Spec:
    """The spec in `text`, its relative paths resolved against its workdir, and that against `folder`.

    Raises ConfigError with every mistake; `source` is what messages call the file.
    """
    return _whole(parse_document(text, source=source, folder=folder), source)


def parse_document(text: str, *, source: str, folder: str) -> Spec | SpecPointer:
    """As `parse_spec`, or the pointer to a spec that lies elsewhere."""
    document = YamlText(text, LEAST)
    if not document.readable:
        document.refuse(source)
    if is_pointer(document.value):
        pointer, mistakes = check_pointer(document.value)
        document.add(mistakes)
        document.refuse(source)
        return pointer
    spec, mistakes = check_spec(document.value)
    resolved = _resolved(spec, folder)
    document.add(mistakes + _watched_twice(spec, resolved))
    document.refuse(source)
    return resolved


def load_spec(path: str, runtime: Runtime, *, patience: int = PATIENCE) -> Spec:
    """The spec in the file at `path`, read again every second, `patience` times, while it does not parse. Raises ConfigError."""
    return _whole(load_document(path, runtime, patience=patience), path)


def load_document(path: str, runtime: Runtime, *, patience: int = PATIENCE) -> Spec | SpecPointer:
    """As `load_spec`, or the pointer to a spec that lies elsewhere."""
    folder = os.path.dirname(os.path.abspath(path))
    for _ in range(patience):
        body = _read(path)
        try:
            return parse_document(_decoded(body, path), source=path, folder=folder)
        except ConfigError:
            runtime.sleep(1)
    return parse_document(_decoded(_read(path), path), source=path, folder=folder)


def draft_spec(
    path: str, given: Mapping[str, object], defaults: Mapping[str, object] = _NOTHING, origins: Mapping[str, str] = _NOWHERE
) -> Spec:
    """A spec to launch: the file at `path` (empty: none), over it the settings `given`, of a command's options, and
    `defaults` for the top-level keys that neither has. `origins`: what a mistake in one of those is put down to.

    Raises ConfigError with every mistake. Paths stay as they are written: they are those of another machine.
    """
    source = path or "the run spec"
    document = YamlText(_decoded(_read(path), path) if path else "{}", LEAST)
    if not document.readable:
        document.refuse(source)
    document.lay_over({key: value for key, value in defaults.items() if not document.has(key)}, origins)
    document.lay_over(given, origins)
    spec, mistakes = check_spec(document.value)
    somewhere = _resolved(replace(spec, workdir=os.path.join("/", spec.workdir)), "/")
    document.add(mistakes + _watched_twice(spec, somewhere))
    document.refuse(path)
    return spec


def _whole(document: Spec | SpecPointer, source: str) -> Spec:
    if isinstance(document, SpecPointer):
        raise ConfigError(
            f"{source} is no whole spec",
            f"it points to {document.url}, where the spec lies",
            f"aws s3 cp {document.url} run.yaml, and give that file",
        )
    return document


def _resolved(spec: Spec, folder: str) -> Spec:
    if not spec.workdir and (spec.training.code or folder == SYSTEM):
        folder = _home(spec.training.user, folder, spec.run)
    workdir = os.path.normpath(os.path.join(folder, spec.workdir))
    watched = tuple(replace(w, path=os.path.normpath(os.path.join(workdir, w.path))) for w in spec.checkpoints)
    return replace(spec, workdir=workdir, checkpoints=watched)


def _home(user: str, folder: str, run: str) -> str:
    """Where an instance's training works. A user who is not there is the agent's to tell, and no mistake of the file."""
    try:
        return os.path.join(account(user).home, run)
    except ConfigError:
        return folder


def _watched_twice(spec: Spec, resolved: Spec) -> list[Mistake]:
    mistakes: list[Mistake] = []
    seen: set[str] = set()
    for place, (written, watched) in enumerate(zip(spec.checkpoints, resolved.checkpoints, strict=True)):
        if written.path and watched.path in seen:
            mistakes.append(Mistake(f"checkpoints[{place}].path", f"{show(written.path)} is watched already"))
        seen.add(watched.path)
    return mistakes


def _read(path: str) -> bytes:
    """The file's bytes. Raises ConfigError where there is no such file, or it can't be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not block
        try:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            body = _bytes(descriptor) if regular else b""
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise _unread(path, _reason(error)) from None
    if not regular:
        raise _unread(path, "it is not a regular file")
    if len(body) > LARGEST:
        raise _unread(path, f"it is larger than {LARGEST} bytes")
    return body


def _bytes(descriptor: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(LARGEST + 1)


def _unread(path: str, why: str) -> ConfigError:
    return ConfigError(f"can't read the run spec {path}", why, f"write the run spec to {path}, or name another with --config")


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)} ({errno.errorcode.get(error.errno, error.errno)})"
    return str(error)


def _decoded(body: bytes, source: str) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{source} has a mistake", f"\n  line {line}: not UTF-8", f"save {source} as UTF-8") from None
