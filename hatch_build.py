"""What a wheel is built from, baked into it as runctl_agent/commit.txt: `runctl-agent --version` shows it.

An editable install has no such file: it asks git when it is asked, as a checkout moves on.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BAKED = os.path.join("agent", "runctl_agent", "commit.txt")
DESCRIBE = ("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")


class CommitHook(BuildHookInterface[Any]):
    """For wheels and source archives; a wheel of an unpacked source archive keeps that archive's commit."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        inside = BAKED if self.target_name == "sdist" else BAKED.removeprefix("agent" + os.sep)
        baked = os.path.join(self.root, BAKED)
        if not os.path.exists(baked):
            with tempfile.NamedTemporaryFile("w", suffix="-commit.txt", delete=False) as file:
                file.write(f"{self._commit()}\n")
            baked = self._made = file.name
            os.chmod(baked, 0o644)
        build_data["force_include"][baked] = inside

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        made = getattr(self, "_made", "")
        if made:
            os.unlink(made)

    def _commit(self) -> str:
        """RUNCTL_COMMIT is for who builds from files without their git."""
        try:
            done = subprocess.run(DESCRIBE, cwd=self.root, capture_output=True, text=True, check=False)
            found = done.stdout.strip() if done.returncode == 0 else ""
        except FileNotFoundError:
            found = ""
        return found or os.environ.get("RUNCTL_COMMIT", "") or "of no commit"
