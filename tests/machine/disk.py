"""What a machine's disk is made of: layers that nobody writes to, and one of its own that outlives its boots. Needs root."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.systemd.nspawn import done


@contextmanager
def disk(layers: list[Path], folder: Path, size: str) -> Iterator[Path]:
    """The root of it. `layers`: the topmost first; `size`: of what may be written, as tmpfs(5) has it."""
    own, root = folder / "own", folder / "root"
    for made in (own, root):
        made.mkdir(parents=True)
    with ExitStack() as cleanup:
        done("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "runctl", str(own))
        cleanup.callback(done, "umount", str(own))
        yield cleanup.enter_context(overlay(layers, own, root))


@contextmanager
def overlay(layers: list[Path], own: Path, root: Path) -> Iterator[Path]:
    """`layers` below, `own`/upper above, seen at `root`."""
    for made in (own / "upper", own / "work", root):
        made.mkdir(parents=True, exist_ok=True)
    lower = ":".join(map(str, layers))
    done("mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={own}/upper,workdir={own}/work", "runctl", str(root))
    try:
        yield root
    finally:
        done("umount", str(root))
