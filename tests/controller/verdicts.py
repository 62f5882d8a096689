"""What a policy says to a request, as IAM decides it: "Policy evaluation logic", "Condition operators", "Policy variables" (IAM
User Guide), as far as ours go; what it does not know is an error, and never a guess."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

Context = Mapping[str, str | Sequence[str]]
"""Condition keys to their values, as they come with a request. Names of keys are compared without regard to case."""


def allowed(policy: Mapping[str, Any], action: str, resource: str, context: Context | None = None) -> bool:
    """Of policies that only allow."""
    found = {key.lower(): value for key, value in (context or {}).items()}
    return any(_applies(statement, action, resource, found) for statement in policy["Statement"])


def actions(policy: Mapping[str, Any]) -> set[str]:
    return {action for statement in policy["Statement"] for action in _listed(statement["Action"])}


def _applies(statement: Mapping[str, Any], action: str, resource: str, context: Context) -> bool:
    assert statement.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}
    assert statement["Effect"] == "Allow"
    return (
        any(_like(action.lower(), one.lower(), {}) for one in _listed(statement["Action"]))
        and any(_like(resource, one, context) for one in _listed(statement["Resource"]))
        and all(
            _holds(operator, key.lower(), _listed(values), context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _holds(operator: str, key: str, wanted: Sequence[str], context: Context) -> bool:
    if operator == "Null":
        return any((not context.get(key)) == (one == "true") for one in wanted)
    quantifier, _, name = operator.rpartition(":")
    matches = _OPERATORS[name]
    given = _listed(context.get(key, ()))
    if quantifier == "ForAllValues":
        return all(any(matches(value, one, context) for one in wanted) for value in given)
    assert quantifier == ""
    assert len(given) <= 1, f"{key} has several values"
    return any(matches(value, one, context) for value in given for one in wanted)


def _like(value: str, pattern: str, context: Context) -> bool:
    """`*` and `?` in a pattern; `${*}` is a star, `${key}` what the request says of that key, and if it does not, no match."""
    parts = re.split(r"(\$\{[^}]*\}|[*?])", pattern)
    expression = ""
    for part in parts:
        if part in ("*", "?"):
            expression += {"*": ".*", "?": "."}[part]
        elif part in ("${*}", "${?}", "${$}"):
            expression += re.escape(part[2])
        elif part.startswith("${"):
            known = context.get(part[2:-1].lower())
            if not isinstance(known, str):
                return False
            expression += re.escape(known)
        else:
            expression += re.escape(part)
    return re.fullmatch(expression, value, re.DOTALL) is not None


def _arn_like(value: str, pattern: str, context: Context) -> bool:
    """Part by part: a `*` reaches over no colon but in the last of the six."""
    ours, theirs = value.split(":", 5), re.split(r":(?![^{]*\})", pattern, maxsplit=5)
    return len(ours) == len(theirs) == 6 and all(_like(one, two, context) for one, two in zip(ours, theirs, strict=True))


_OPERATORS: Mapping[str, Callable[[str, str, Context], bool]] = {
    "StringEquals": lambda value, wanted, context: value == wanted,
    "StringLike": _like,
    "ArnLike": _arn_like,
}


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
