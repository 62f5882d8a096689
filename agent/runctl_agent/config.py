"""The run spec's file: YAML to `Spec`, with every mistake in it reported at once, each with its line."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from dataclasses import replace

import yaml

from .account import account
from .contract.document import show
from .contract.settings import Mistake
from .contract.spec import Spec, SpecPointer, check_pointer, check_spec, is_pointer
from .errors import ConfigError
from .runtime import Runtime

LARGEST = 2**20
"""Bytes of a spec file."""

SYSTEM = "/etc/runctl"
"""Where an instance's own spec lies: no place for a training to work in."""

PATIENCE = 10
"""Seconds for which a spec that does not parse may still be being written (cloud-init does not write atomically)."""

_NOTHING: Mapping[str, object] = {}
_TEXTS = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge", "tag:yaml.org,2002:value"})
_SCALARS = frozenset({f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")})
_MAP = "tag:yaml.org,2002:map"
_SEQ = "tag:yaml.org,2002:seq"


def parse_spec(text: str, *, source: str, folder: str) -> Spec:
    """The spec in `text`, its relative paths resolved against its workdir, and that against `folder`.

    Raises ConfigError with every mistake; `source` is what messages call the file.
    """
    return _whole(parse_document(text, source=source, folder=folder), source)


def parse_document(text: str, *, source: str, folder: str) -> Spec | SpecPointer:
    """As `parse_spec`, or the pointer to a spec that lies elsewhere."""
    document = _Document(text)
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


def draft_spec(path: str, given: Mapping[str, object], defaults: Mapping[str, object] = _NOTHING) -> Spec:
    """A spec to launch: the file at `path` (empty: none), over it the settings `given`, of a command's options, and
    `defaults` for the top-level keys that neither has.

    Raises ConfigError with every mistake. Paths stay as they are written: they are those of another machine.
    """
    source = path or "the run spec"
    document = _Document(_decoded(_read(path), path) if path else "{}")
    if not document.readable:
        document.refuse(source)
    document.lay_over({key: value for key, value in defaults.items() if not document.has(key)})
    document.lay_over(given)
    spec, mistakes = check_spec(document.value)
    somewhere = _resolved(replace(spec, workdir=os.path.join("/", spec.workdir)), "/")
    document.add(mistakes + _watched_twice(spec, somewhere))
    document.refuse(source)
    return spec


def _whole(document: Spec | SpecPointer, source: str) -> Spec:
    if isinstance(document, SpecPointer):
        raise ConfigError(
            f"{source} is no whole spec",
            f"it points to {document.url}, where the spec lies",
            f"aws s3 cp {document.url} run.yaml, and give that file",
        )
    return document


class _Document:
    """A YAML text as plain values, the line of each path, and what the text itself has wrong."""

    def __init__(self, text: str) -> None:
        self.mistakes: list[Mistake] = []
        self.value: object = None
        self.readable = False
        self._lines: dict[str, int] = {"": 1}
        self._seen: set[int] = set()
        self._constructor = yaml.constructor.SafeConstructor()
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.value = None if node is None else self._plain(node, "")
            self.readable = self.value is not None
        except RecursionError:
            self._note("", "nested too deeply")
        except (yaml.YAMLError, ValueError, OverflowError, LookupError) as error:  # also what chr() and int() refuse in escapes
            self._unreadable(text, error)
        if self.value is None and not self.mistakes:
            self._note("", "there is nothing in it; at the least it needs run, destination and checkpoints")

    def add(self, mistakes: list[Mistake]) -> None:
        """Mistakes in the values; one about a value that could not even be read would be its echo."""
        known = {mistake.path for mistake in self.mistakes}
        self.mistakes.extend(mistake for mistake in mistakes if mistake.path not in known)

    def refuse(self, source: str) -> None:
        """Raises ConfigError if there is any mistake."""
        if not self.mistakes:
            return
        placed = sorted({(self._line(mistake.path), str(mistake)) for mistake in self.mistakes})
        many = "a mistake" if len(placed) == 1 else f"{len(placed)} mistakes"
        lines = "".join(f"\n  line {line}: {text}" if line else f"\n  {text}" for line, text in placed)
        where = f"{source} at the lines named" if any(line for line, _ in placed) else "the options of the command"
        raise ConfigError(f"{source} has {many}", lines, f"correct {where}")

    def has(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def lay_over(self, given: Mapping[str, object]) -> None:
        """Put settings that stand in no line, which is line 0, over those of the text; mappings are merged."""
        self.value = self._merged(self.value, given, "")

    def _merged(self, value: object, given: Mapping[str, object], path: str) -> object:
        if value is not None and not isinstance(value, dict):
            return value  # a mistake, which check_spec notes
        merged: dict[object, object] = dict(value or {})
        for key, over in given.items():
            inner = f"{path}.{key}" if path else key
            if isinstance(over, Mapping):
                merged[key] = self._merged(merged.get(key), over, inner)
                continue
            merged[key] = over
            replaced = [known for known in self._lines if known.startswith((f"{inner}.", f"{inner}["))]
            self._lines = {known: line for known, line in self._lines.items() if known not in replaced} | {inner: 0}
        return merged

    def _line(self, path: str) -> int:
        """The line of `path`, or of the nearest thing around it that stands in the file."""
        while path not in self._lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self._lines[path]

    def _note(self, path: str, reason: str) -> None:
        self.mistakes.append(Mistake(path, reason))

    def _unreadable(self, text: str, error: Exception) -> None:
        line, why = 1, str(error)
        if isinstance(error, yaml.MarkedYAMLError):
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            why = ", ".join(part for part in (error.context, error.problem) if part)
        elif isinstance(error, yaml.reader.ReaderError):
            line = text.count("\n", 0, error.position) + 1
            why = f"the character U+{ord(text[error.position]):04X} can't stand in YAML"
        self._lines[""] = line
        self._note("", f"not YAML: {why}")

    def _plain(self, node: yaml.Node, path: str) -> object:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self._seen:  # also keeps aliases of aliases from growing without bound
            self._note(path, "an alias: write its value out")
            return None
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == _MAP:
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _SEQ:
            return [self._plain(item, f"{path}[{place}]") for place, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[object, object]:
        found: dict[object, object] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._lines.setdefault(path, line)
                self._note(path, "a key that is itself a list or a mapping")
                continue
            key = self._scalar(key_node, path)
            inner = ".".join(filter(None, (path, key if isinstance(key, str) else show(key))))
            if key in found:
                self._note(inner, f"stands twice: in line {self._lines[inner]}, and again in line {line}")
                continue
            self._lines[inner] = line
            found[key] = self._plain(value_node, inner)
        return found

    def _scalar(self, node: yaml.Node, path: str) -> object:
        if isinstance(node, yaml.ScalarNode) and node.tag in _TEXTS:
            return str(node.value)
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            if ":" in node.value:  # YAML 1.1 would read 1:30 as ninety
                return str(node.value)
            value: object = self._constructor.construct_object(node)
            return value
        self._note(path, f"a value of the kind {show(node.tag)}: expected plain text, a number, a list or a mapping")
        return None


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
