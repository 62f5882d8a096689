from __future__ import annotations

import zlib
from dataclasses import replace
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from blake3 import blake3
from hypothesis import given

from runctl_agent.contract.manifest import ManifestFile, Part
from runctl_agent.store.check import Sum, portions, unknown, whole_fault
from runctl_agent.store.piece import digest_of_parts
from tests.fakes.manifests import file_entry, manifest_of

CHUNKS = st.lists(st.binary(max_size=40), min_size=1, max_size=6)


def in_parts(content: list[bytes]) -> ManifestFile:
    """A file whose parts are these."""
    parts: list[Part] = []
    for body in content:
        offset = parts[-1].offset + parts[-1].size if parts else 0
        parts.append(Part(offset, len(body), f"blake3:{blake3(body).hexdigest()}"))
    whole = b"".join(content)
    digest = digest_of_parts(blake3(body).hexdigest() for body in content)
    return ManifestFile("model.pt", len(whole), 0, digest, zlib.crc32(whole), "data/x", parts=tuple(parts))


def fault(file: ManifestFile, content: bytes, cuts: list[int]) -> str:
    crcs: list[int] = []
    for portion in portions(file):
        found = Sum()
        for chunk in rechunked(content[portion.offset : portion.offset + portion.size], cuts):
            found.update(chunk)
        if reason := found.fault(portion):
            return reason
        crcs.append(found.crc)
    return whole_fault(file, crcs)


def rechunked(content: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    return [content[a:b] for a, b in pairwise(at)]


@given(CHUNKS, st.lists(st.integers(0, 1000), max_size=5))
def test_content_is_accepted_however_it_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(parts)
    assert fault(file_entry("a", whole, "data/x"), whole, cuts) == ""
    assert fault(in_parts(parts), whole, cuts) == ""


@given(CHUNKS, st.lists(st.integers(0, 1000), max_size=5), st.integers(0, 10**6), st.integers(1, 255))
def test_one_changed_byte_is_found(parts: list[bytes], cuts: list[int], place: int, flip: int) -> None:
    whole = b"".join(parts)
    if not whole:
        return
    damaged = bytearray(whole)
    damaged[place % len(whole)] ^= flip
    for file in (file_entry("a", whole, "data/x"), in_parts(parts)):
        matching_crc = replace(file, crc=zlib.crc32(damaged))
        assert "digest" in fault(file, bytes(damaged), cuts)
        assert "digest" in fault(matching_crc, bytes(damaged), cuts)
        assert fault(matching_crc, whole, cuts).startswith("the CRC-32")


@given(st.binary(min_size=1, max_size=40))
def test_a_short_content_is_found(whole: bytes) -> None:
    file = file_entry("a", whole, "data/x")
    assert fault(file, whole[:-1], []) == f"{len(whole) - 1} bytes from byte 0 instead of {len(whole)}"


@given(CHUNKS, st.lists(st.integers(0, 99), min_size=6, max_size=6))
def test_the_portions_cover_the_file_and_its_object(parts: list[bytes], stored: list[int]) -> None:
    plain = in_parts(parts)
    sizes = zip(plain.parts, stored, strict=False)
    packed = replace(plain, encoding="zstd", parts=tuple(replace(part, stored=size, crc=0) for part, size in sizes))
    for file in (plain, packed):
        at = offset = 0
        for number, portion in enumerate(portions(file)):
            assert (portion.number, portion.offset, portion.at) == (number, offset, at)
            at, offset = at + portion.stored, offset + portion.size
        assert (offset, at) == (file.size, file.stored)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a\0b"])
def test_a_path_that_leaves_its_directory_is_refused(path: str) -> None:
    manifest = manifest_of("checkpoint-1", 1)
    hostile = replace(manifest, files=(replace(manifest.files[0], path=path),))
    assert "is not a path that it may have" in unknown(hostile)
    assert unknown(manifest) == ""


def test_what_lies_in_place_has_no_directories() -> None:
    assert "is not a path" in unknown(manifest_of("final", 1, {"a/config.json": b"{}"}, kind="final"))
    assert unknown(manifest_of("final", 1, {"config.json": b"{}"}, kind="final")) == ""


def test_a_manifest_without_files_is_refused() -> None:
    assert "no files" in unknown(manifest_of("last.pt", 1, {}, kind="file"))


def test_what_a_later_version_wrote_is_named() -> None:
    manifest = manifest_of("checkpoint-1", 1)
    file = manifest.files[0]
    assert "'tensorstore' is not known" in unknown(replace(manifest, kind="tensorstore"))
    assert "'lzma'" in unknown(replace(manifest, files=(replace(file, encoding="lzma"),)))
    assert "digest algorithm" in unknown(replace(manifest, files=(replace(file, digest="sha512:00"),)))
    assert "digest algorithm" in unknown(replace(manifest, files=(replace(file, digest=f"blake3-parts:{'0' * 64}"),)))


def test_a_digest_that_is_not_that_of_the_parts_is_refused() -> None:
    manifest = manifest_of("checkpoint-1", 1)
    good = in_parts([b"one", b"two"])
    assert unknown(replace(manifest, files=(good,))) == ""
    assert "not that of its parts" in unknown(replace(manifest, files=(replace(good, digest=f"blake3-parts:{'0' * 64}"),)))


@pytest.mark.parametrize("length", [1, 63, 65, 256])
def test_a_digest_of_another_length_is_refused(length: int) -> None:
    """The contract takes any hexadecimal, of algorithms to come; this one's has 64 digits."""
    good = in_parts([b"one", b"two"])
    parts = (replace(good.parts[0], digest=f"blake3:{'0' * length}"), good.parts[1])
    for file in (replace(good, parts=parts), replace(good, parts=(), digest=f"blake3:{'0' * length}")):
        assert "is none of BLAKE3" in unknown(replace(manifest_of("checkpoint-1", 1), files=(file,)))
