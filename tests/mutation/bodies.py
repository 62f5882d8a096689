"""The functions of a module that is loaded, and other code for one of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType


class Bodies:
    def __init__(self, module: ModuleType, source: str) -> None:
        self._file = str(module.__file__)
        self._around = _around(source)
        self._live = dict(_functions(module, module.__name__))

    def replace(self, source: str) -> bool:
        """Give each function the code that it has in `source`; False: that is not all that is different, and nothing was done."""
        if _around(source) != self._around:
            return False
        found = dict(_codes(compile(source, self._file, "exec", dont_inherit=True)))
        if not all(
            name in found and len(found[name].co_freevars) == len(live.__code__.co_freevars) for name, live in self._live.items()
        ):
            return False
        for name, live in self._live.items():
            live.__code__ = found[name]
        return True


def _around(source: str) -> str:
    """What is done at the import: all but the bodies of functions."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body = []
    return ast.dump(tree)


def _free(code: CodeType) -> int:
    return len(code.co_freevars)


def _codes(code: CodeType) -> Iterator[tuple[str, CodeType]]:
    for one in code.co_consts:
        if isinstance(one, CodeType) and not one.co_name.startswith("<"):
            if one.co_flags & 0x2:  # CO_NEWLOCALS: a function, and not the body of a class
                yield one.co_qualname, one
            else:
                yield from _codes(one)


def _functions(owner: object, module: str) -> Iterator[tuple[str, FunctionType]]:
    for value in list(vars(owner).values()):
        if isinstance(value, type) and value.__module__ == module:
            yield from _functions(value, module)
        inner = getattr(value, "fget", None) or getattr(value, "__func__", None) or value
        inner = getattr(inner, "__wrapped__", inner)
        if isinstance(inner, FunctionType) and inner.__module__ == module and inner.__code__.co_filename != "<string>":
            yield inner.__code__.co_qualname, inner
