"""Mounts: which one a path lies on, and whether inotify sees there what others write (proc(5), mountinfo and fdinfo)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

NETWORK = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "davfs",
        "efs",
        "fuse",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "wekafs",
    }
)
"""Types of file systems that other machines write to without this kernel's knowledge; and every `fuse.*`."""


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount. Links work within one mount only, even where two mounts show the same device."""

    id: int
    point: str
    type: str


def is_network(type_: str) -> bool:
    """Whether changes may be made elsewhere, where this kernel's inotify can't see them."""
    return type_ in NETWORK or type_.startswith("fuse.")


def parse_mountinfo(text: bytes) -> dict[int, Mount]:
    """Mounts by their id. Lines that aren't of mountinfo's form are left out."""
    mounts: dict[int, Mount] = {}
    for line in text.splitlines():
        before, separator, after = line.partition(b" - ")
        fields = before.split(b" ")
        if not separator or len(fields) < 6 or not re.fullmatch(rb"[0-9]{1,10}", fields[0]):
            continue
        mount = Mount(int(fields[0]), _unescape(fields[4]), os.fsdecode(after.split(b" ")[0]))
        mounts[mount.id] = mount
    return mounts


def mount_of(path: str) -> Mount | None:
    """The mount that `path` lies on; None where /proc doesn't say. Raises OSError if the path can't be reached."""
    fd = os.open(path, os.O_PATH)
    try:
        info = _read(f"/proc/self/fdinfo/{fd}")
    finally:
        os.close(fd)
    found = re.search(rb"^mnt_id:\s*(\d+)", info, re.MULTILINE)
    return parse_mountinfo(_read("/proc/self/mountinfo")).get(int(found[1])) if found else None


def _unescape(field: bytes) -> str:
    return os.fsdecode(re.sub(rb"\\([0-3][0-7]{2})", lambda octal: bytes([int(octal[1], 8)]), field))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
