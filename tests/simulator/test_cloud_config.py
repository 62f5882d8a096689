"""User-data is unpacked as cloud-init documents it, and never outside the instance."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

import pytest

from runctl_simulator.cloud_config import File, parse, write
from tests.simulator.account import cloud_config

TEXT = b"run: a\n"
GZIPPED = gzip.compress(TEXT, mtime=0)
B64 = base64.b64encode(TEXT).decode()
GZ_B64 = base64.b64encode(GZIPPED).decode()


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        (None, TEXT.decode()),
        ("text/plain", TEXT.decode()),
        ("b64", B64),
        ("base64", B64),
        ("gz+b64", GZ_B64),
        ("gz+base64", GZ_B64),
        ("gzip+b64", GZ_B64),
        ("gzip+base64", GZ_B64),
    ],
)
def test_encodings(encoding: str | None, content: str) -> None:
    entry: dict[str, object] = {"path": "/etc/a", "content": content}
    files, warnings = parse(cloud_config(entry if encoding is None else {**entry, "encoding": encoding}).encode())
    assert (files, warnings) == ([File("/etc/a", TEXT)], [])


@pytest.mark.parametrize("encoding", ["gz", "gzip"])
def test_gzip_as_yaml_binary(encoding: str) -> None:
    document = f"#cloud-config\nwrite_files:\n- path: /a\n  encoding: {encoding}\n  content: !!binary {GZ_B64}\n"
    assert parse(document.encode()) == ([File("/a", TEXT)], [])


def test_gzipped_as_a_whole() -> None:
    assert parse(gzip.compress(cloud_config({"path": "/a", "content": "x"}).encode())) == ([File("/a", b"x")], [])


@pytest.mark.parametrize(
    ("given", "mode"), [('"0600"', 0o600), ("'0755'", 0o755), ("0600", 0o600), ("0o600", 0o600), ("rw", 0o644)]
)
def test_permissions(given: str, mode: int) -> None:
    (file,), warnings = parse(f"#cloud-config\nwrite_files: [{{path: /a, permissions: {given}}}]\n".encode())
    assert file.mode == mode
    assert bool(warnings) == (given == "rw")


@pytest.mark.parametrize(
    ("user_data", "words"),
    [
        (b"#!/bin/sh\necho hello\n", "Unhandled non-multipart"),
        (b"#cloud-config\nwrite_files: [\n", "Failed loading yaml blob"),
        (b"#cloud-config\n- a list\n", "got list instead"),
        (b"\xff\xfe", "Failed to decode user-data"),
        (b"\x1f\x8bnot gzip", "Failed to decode user-data"),
        (b"#cloud-config\nwrite_files: {path: /a}\n", "not of type 'array'"),
        (b"#cloud-config\nwrite_files: [{content: x}, text]\n", "No path provided"),
        (b"#cloud-config\nwrite_files: [{path: /a, encoding: b64, content: '*'}]\n", ""),
        (b"#cloud-config\nwrite_files: [{path: /a, encoding: gz, content: text}]\n", "can't be decoded"),
    ],
)
def test_what_cloud_init_warns_of_is_not_written(user_data: bytes, words: str) -> None:
    files, warnings = parse(user_data)
    assert [file.content for file in files] in ([], [b""])
    assert words in "\n".join(warnings)


def test_an_unknown_encoding_is_text() -> None:
    files, warnings = parse(cloud_config({"path": "/a", "content": "x", "encoding": "rot13"}).encode())
    assert files == [File("/a", b"x")]
    assert warnings == ["Unknown encoding type rot13, assuming text/plain"]


@pytest.mark.parametrize("user_data", [b"", b"\n", b"#cloud-config\n", b"#cloud-config\nruncmd: [reboot]\n"])
def test_nothing_to_write(user_data: bytes) -> None:
    assert parse(user_data) == ([], [])


def test_written_below_the_root_with_modes_in_order(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    entries: list[dict[str, object]] = [
        {"path": "/last", "content": "z", "defer": True, "append": True},
        {"path": "/etc/runctl/run.yaml", "content": "a", "permissions": "0600"},
        {"path": "relative", "content": "a"},
        {"path": "/last", "content": "y"},
    ]
    files, warnings = parse(cloud_config(*entries).encode())
    assert warnings + write(files, root) == []
    assert (root / "etc/runctl/run.yaml").stat().st_mode & 0o7777 == 0o600
    assert (root / "relative").read_text() == "a"
    assert (root / "last").read_text() == "yz"


def test_nothing_leads_out_of_the_root(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    root.mkdir()
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "file")
    paths = ["../../outside/a", "/../outside/b", "/link/c", "/file"]
    files, _ = parse(cloud_config(*[dict[str, object](path=path, content="x") for path in paths]).encode())
    warnings = write(files, root)
    assert list(outside.iterdir()) == []
    assert (root / "outside/a").exists()
    assert len(warnings) == 2


def test_what_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "etc").write_text("a file")
    assert write([File("/etc/a", b"")], tmp_path) == ["/etc/a: File exists"]
