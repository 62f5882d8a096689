"""The calls of AWS that are in the code, found by the names that botocore gives to the operations of a service."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from botocore import xform_name
from botocore.session import get_session

from tests.e2e.seaweed import ROOT

SERVICES = (
    "autoscaling", "cloudwatch", "ec2", "ecr", "iam", "kms", "logs", "pricing", "s3", "service-quotas", "ssm", "sts",
)  # fmt: skip
"""Far more than are used, so that one that is new is seen."""


@cache
def operations() -> frozenset[str]:
    session = get_session()
    names = (xform_name(name) for one in SERVICES for name in session.get_service_model(one).operation_names)
    return frozenset(name for name in names if "_" in name)  # `verify` is anybody's


def calls(folder: str) -> dict[str, str]:
    """Operation to a place that calls it: client.operation(…), get_paginator("operation") and get_waiter("operation")."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for name, line in _called(path):
            found.setdefault(name, f"{path.relative_to(ROOT)}:{line}")
    return found


def _called(path: Path) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and node.attr in operations():
            found.append((node.attr, node.lineno))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("get_"):
            words = [one.value for one in node.args if isinstance(one, ast.Constant) and one.value in operations()]
            found += [(str(word), node.lineno) for word in words]
    return found
