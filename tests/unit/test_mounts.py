from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.disk.mounts import is_network, mount_of, parse_mountinfo


def test_this_machine(tmp_path: Path) -> None:
    mount = mount_of(str(tmp_path))
    assert mount is not None
    assert str(tmp_path).startswith(mount.point)
    assert os.stat(mount.point).st_dev == os.stat(tmp_path).st_dev
    assert mount_of("/proc") != mount


def test_types() -> None:
    assert is_network("nfs4")
    assert is_network("fuse.sshfs")
    assert not is_network("fuseblk")
    assert not is_network("ext4")


def test_a_point_with_spaces() -> None:
    line = rb"36 35 98:0 /mnt1 /my\040disk\134 rw,noatime master:1 - ext3 /dev/root rw"
    assert parse_mountinfo(line)[36].point == "/my disk\\"


@given(st.binary())
def test_any_text_is_read(text: bytes) -> None:
    parse_mountinfo(text)


@given(st.binary(min_size=1).filter(lambda name: not set(name) & {0}))
def test_every_point_is_read_back(name: bytes) -> None:
    escaped = b"".join(rb"\%03o" % byte if byte in b" \t\n\\" or byte in b"\r\x0b\x0c" else bytes([byte]) for byte in name)
    assert parse_mountinfo(b"1 0 0:1 / /%s rw - ext4 /dev/x rw\n" % escaped)[1].point == "/" + os.fsdecode(name)


def test_a_number_that_no_mount_has_is_left_out() -> None:
    line = b" 35 98:0 / / rw - ext3 /dev/root rw\n"
    assert list(parse_mountinfo(b"9" * 5000 + line + b"7" + line)) == [7]
