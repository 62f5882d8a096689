"""Another version of runctl, as an upgrade has it."""

from __future__ import annotations

import zipfile
from pathlib import Path


def another(wheel: Path, folder: Path, commit: str) -> Path:
    """The same version from another commit."""
    folder.mkdir()
    made = folder / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "runctl_agent/commit.txt":
                data = f"{commit}\n".encode()
            if name.endswith("/RECORD"):
                data = b"\n".join(line for line in data.split(b"\n") if b"commit.txt" not in line)
            new.writestr(name, data)
    return made
