"""A YAML text as plain values, with the line of each, and every mistake in it at once."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from .contract.document import show
from .contract.settings import Mistake
from .errors import ConfigError

_TEXTS = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge", "tag:yaml.org,2002:value"})
_SCALARS = frozenset({f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null")})
_MAP = "tag:yaml.org,2002:map"
_SEQ = "tag:yaml.org,2002:seq"


class YamlText:
    """A YAML text as plain values, the line of each path, and what the text itself has wrong.

    `least`: what an empty one is told that it needs; empty: it may have nothing in it.
    """

    def __init__(self, text: str, least: str = "") -> None:
        self.mistakes: list[Mistake] = []
        self.value: object = None
        self.readable = False
        self._lines: dict[str, int] = {"": 1}
        self._origins: dict[str, str] = {}
        self._seen: set[int] = set()
        self._constructor = yaml.constructor.SafeConstructor()
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            self.value = None if node is None else self._plain(node, "")
            self.readable = self.value is not None
        except RecursionError:
            self.note("", "nested too deeply")
        except (yaml.YAMLError, ValueError, OverflowError, LookupError) as error:  # also what chr() and int() refuse in escapes
            self._unreadable(text, error)
        if self.value is None and not self.mistakes:
            if least:
                self.note("", f"there is nothing in it; at the least it needs {least}")
            else:
                self.value, self.readable = {}, True

    def add(self, mistakes: list[Mistake]) -> None:
        """Mistakes in the values; one about a value that could not even be read would be its echo."""
        known = {mistake.path for mistake in self.mistakes}
        self.mistakes.extend(mistake for mistake in mistakes if mistake.path not in known)

    def refuse(self, source: str) -> None:
        """Raises ConfigError if there is any mistake. `source` is the file's name; empty: there is none, but options."""
        if not self.mistakes:
            return
        placed = sorted({(self.line(mistake.path), self._told(mistake)) for mistake in self.mistakes})
        many = "a mistake" if len(placed) == 1 else f"{len(placed)} mistakes"
        options = [text.partition(":")[0] for line, text in placed if not line]
        if not source or len(options) == len(placed):
            lines = "".join(f"\n  {text}" for _, text in placed)
            mend = f"correct {', '.join(dict.fromkeys(options))}" if options else "--help tells the options"
            raise ConfigError(f"the options have {many}", lines, mend)
        lines = "".join(f"\n  line {line}: {text}" if line else f"\n  {text}" for line, text in placed)
        beside = f", and {', '.join(dict.fromkeys(options))}" if options else ""
        raise ConfigError(f"{source} has {many}", lines, f"correct {source} at the lines named{beside}")

    def _told(self, mistake: Mistake) -> str:
        """One that no line has is put down to the option, or whatever else, that it came by."""
        if self.line(mistake.path):
            return str(mistake)
        path = mistake.path
        while path not in self._origins and path:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        origin = self._origins.get(path)
        return f"{origin}: {mistake.reason}" if origin else str(mistake)

    def has(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def lay_over(self, given: Mapping[str, object], origins: Mapping[str, str]) -> None:
        """Put settings that stand in no line, which is line 0, over those of the text; mappings are merged."""
        self._origins |= {path: origin for path, origin in origins.items() if path.partition(".")[0] in given}
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

    def line(self, path: str) -> int:
        """The line of `path`, or of the nearest thing around it that stands in the file."""
        while path not in self._lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self._lines[path]

    def note(self, path: str, reason: str) -> None:
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
        self.note("", f"not YAML: {why}")

    def _plain(self, node: yaml.Node, path: str) -> object:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self._seen:  # also keeps aliases of aliases from growing without bound
            self.note(path, "an alias: write its value out")
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
                self.note(path, "a key that is itself a list or a mapping")
                continue
            key = self._scalar(key_node, path)
            inner = ".".join(filter(None, (path, key if isinstance(key, str) else show(key))))
            if key in found:
                first = self._lines.get(inner, self._lines[path])  # not there where `1` stands again as `true`
                self.note(inner, f"stands twice: in line {first}, and again in line {line}")
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
        self.note(path, f"a value of the kind {show(node.tag)}: expected plain text, a number, a list or a mapping")
        return None
