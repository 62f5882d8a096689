"""Nobody but retain.py deletes what a run has in S3: nothing remote goes because something local vanished."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import runctl
import runctl_agent

ROOTS = (Path(runctl_agent.__file__).parent, Path(runctl.__file__).parent)
ALLOWED = {
    "runctl_agent/store/retain.py": "it is the deleter",
    "runctl_agent/store/s3.py": "the port on S3",
    "runctl/claim.py": "takes back the run.json of a run that was never launched",
    "runctl/doctor.py": "what it has written itself a moment before, below code/",
}
PATHS = [(root, path) for root in ROOTS for path in sorted(root.rglob("*.py"))]


@pytest.mark.parametrize(("root", "path"), PATHS, ids=[str(path.relative_to(root.parent)) for root, path in PATHS])
def test_no_other_deletes(root: Path, path: Path) -> None:
    called = {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert str(path.relative_to(root.parent)) in ALLOWED or not called & {"delete", "delete_object", "delete_objects"}
