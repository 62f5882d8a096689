"""The mutants of one module: its source with one small change each, by cosmic-ray's operators and one of our own."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

# Of each comparison and each sign those that no other mutant of it stands for: a < b is told by <=, != and >.
_COMPARISONS = {
    "Eq": ("NotEq", "LtE", "GtE"),
    "NotEq": ("Eq", "Lt", "Gt"),
    "Lt": ("LtE", "NotEq", "Gt"),
    "LtE": ("Lt", "Eq", "GtE"),
    "Gt": ("GtE", "NotEq", "Lt"),
    "GtE": ("Gt", "Eq", "LtE"),
    "Is": ("IsNot",),
    "IsNot": ("Is",),
}
_SIGNS = (
    *("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul"),
    *("BitOr_BitAnd", "BitAnd_BitOr", "BitXor_BitOr", "LShift_RShift", "RShift_LShift"),
)
_OPERATORS = (
    *(f"core/ReplaceComparisonOperator_{was}_{now}" for was, others in _COMPARISONS.items() for now in others),
    *(f"core/ReplaceBinaryOperator_{sign}" for sign in _SIGNS),
    "core/ReplaceUnaryOperator_USub_UAdd",
    "core/ReplaceUnaryOperator_Delete_Not",
    "core/AddNot",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue",
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
    "core/ReplaceBreakWithContinue",
    "core/ReplaceContinueWithBreak",
    "core/ExceptionReplacer",
    "core/NumberReplacer",
    "core/RemoveDecorator",
    "core/ZeroIterationForLoop",
)


@dataclass(frozen=True)
class Mutant:
    """`line`: where it is; `change`: the function, and its lines as they were and are, for people and for the judgement."""

    line: int
    change: str
    source: str


def mutants_of(path: Path) -> list[Mutant]:
    source = path.read_text()
    text = _Text(source)
    found: dict[str, Mutant] = {}
    for operator in (*(get_operator(name)() for name in _OPERATORS), RemoveStatement()):
        for node in ast_nodes(get_ast(source)):
            for index, ((line, _), _) in enumerate(operator.mutation_positions(node)):
                changed = text.with_node(node, operator, index)
                if changed not in found and not text.same(changed, line):
                    found[changed] = Mutant(line, f"{text.function(line)}: {text.difference(changed)}", changed)
    return sorted(found.values(), key=lambda one: (one.line, one.change))


class RemoveStatement(Operator):  # type: ignore[misc]
    """An assignment, a call, a `raise` or a `return` in a function that is left out."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
        if node.type == "simple_stmt" and node.search_ancestor("funcdef") is not None:
            first = node.children[0]
            called = first.type in ("atom_expr", "power") and first.children[-1].type == "trailer"
            if called or first.type in ("expr_stmt", "raise_stmt", "return_stmt", "del_stmt"):
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        first = node.children[0]
        node.children[0] = parso.python.tree.Name("pass", first.start_pos, first.get_first_leaf().prefix)
        return node

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


class _Text:
    """The source of a module, and what is different in a mutant of it."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._lines = source.splitlines(keepends=True)
        self._meaning = _meaning(source)
        self._tree = ast.parse(source)

    def with_node(self, node: Any, operator: Operator, index: int) -> str:
        copied = copy.deepcopy(node, {id(node.parent): node.parent})
        try:
            mutated = operator.mutate(copied, index)
        except AttributeError:  # an exception of another module's, which cosmic-ray does not know
            return self._source
        (from_line, from_column), (to_line, to_column) = node.get_start_pos_of_prefix(), node.end_pos
        before = "".join(self._lines[: from_line - 1]) + self._line(from_line)[:from_column]
        after = self._line(to_line)[to_column:] + "".join(self._lines[to_line:])
        return before + (mutated.get_code() if mutated is not None else "") + after

    def same(self, changed: str, line: int) -> bool:
        """Whether nothing else runs: an annotation is different, how arguments are given, what a dataclass's decorator says."""
        return _meaning(changed) in (self._meaning, None) or self._lines[line - 1].lstrip().startswith("@dataclass(")

    def function(self, line: int) -> str:
        names: list[str] = []
        body: Sequence[ast.stmt] = self._tree.body
        while inside := next(
            (one for one in body if isinstance(one, ast.FunctionDef | ast.ClassDef) and _holds(one, line)), None
        ):
            names.append(inside.name)
            body = inside.body
        return ".".join(names) or "module"

    def difference(self, changed: str) -> str:
        was, now = self._source.splitlines(), changed.splitlines()
        first = _equal(was, now)
        last = _equal(was[first:][::-1], now[first:][::-1])
        was, now = was[first : len(was) - last], now[first : len(now) - last]
        return " => ".join(" ".join(" ".join(line.partition("  # ")[0] for line in lines).split()) for lines in (was, now))

    def _line(self, number: int) -> str:
        return self._lines[number - 1] if number <= len(self._lines) else ""


def _equal(some: Sequence[str], others: Sequence[str]) -> int:
    """How many lines at the beginning are equal."""
    shorter = min(len(some), len(others))
    return next((place for place in range(shorter) if some[place] != others[place]), shorter)


def _meaning(source: str) -> str | None:
    """What runs of it: annotations don't. None: nothing, as it isn't Python."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arguments):
            node.args, node.posonlyargs, node.kwonlyargs = [*node.posonlyargs, *node.args, *node.kwonlyargs], [], []
            node.defaults, node.kw_defaults = [*node.defaults, *(one for one in node.kw_defaults if one is not None)], []
    return ast.dump(tree)


def _holds(one: ast.stmt, line: int) -> TypeGuard[ast.FunctionDef | ast.ClassDef]:
    if not isinstance(one, ast.FunctionDef | ast.ClassDef):
        return False
    return min([one.lineno, *(decorator.lineno for decorator in one.decorator_list)]) <= line <= (one.end_lineno or 0)
