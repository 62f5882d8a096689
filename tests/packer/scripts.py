"""packer/'s Python scripts, which are no package: they are run by the environment that they are about."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

PACKER = Path(__file__).parents[2] / "packer"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"packer_{name}", PACKER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
