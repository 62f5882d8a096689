"""File systems for a test alone, unmounted at its end whoever still uses them. Needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def tmpfs(point: Path, options: str) -> Iterator[Path]:
    """With options of tmpfs(5)."""
    with mounted(point, "-t", "tmpfs", "-o", options, "runctl"):
        yield point


@contextmanager
def mounted(point: Path, *arguments: str) -> Iterator[Path]:
    """What `arguments` of mount(8) say, at `point`."""
    assert os.geteuid() == 0, "these tests mount file systems: run `make faults` as root"
    point.mkdir(exist_ok=True)
    done("mount", *arguments, str(point))
    try:
        yield point
    finally:
        done("umount", "--lazy", str(point))


class Ext4:
    """On a file of its own, by a loop device."""

    def __init__(self, point: Path, image: Path, size: int) -> None:
        self.point = point
        self._image = image
        with image.open("wb") as file:
            file.truncate(size)
        done("mkfs.ext4", "-q", "-F", str(image))

    @contextmanager
    def mounted(self) -> Iterator[Path]:
        with mounted(self.point, "-o", "loop,errors=remount-ro", str(self._image)) as point:
            yield point

    def fail(self) -> None:
        """It finds an error in itself (Documentation/ABI/testing/sysfs-fs-ext4), and takes no write from now on."""
        device = done("findmnt", "--noheadings", "--output", "SOURCE", str(self.point)).strip()
        Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error").write_text("1")

    def mend(self) -> None:
        """As a boot does; it is not mounted."""
        ran = subprocess.run(("e2fsck", "-p", str(self._image)), capture_output=True, text=True, check=False)
        assert ran.returncode in (0, 1), ran.stdout + ran.stderr


def done(*argv: str) -> str:
    """What a command says; AssertionError, with its complaint, where it fails."""
    ran = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{' '.join(argv)}: {ran.stderr}"
    return ran.stdout
