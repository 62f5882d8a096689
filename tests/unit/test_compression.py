"""Compressed objects: frames that resume and copy as parts do, and an ordinary file for whoever reads them otherwise."""

from __future__ import annotations

import io
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.errors import SourceChanged, StoreUnavailable
from runctl_agent.store.compression import Choice, choose, sampled_ratio
from tests.fakes.uploads import BIG, KEYS, PART, Bench, Killed

NOISE = random.Random(1).randbytes(4 * PART + 50)
TEXT = b"".join(b"step %d loss %f\n" % (n, 1 / (n + 1)) for n in range(2000))


def test_what_was_begun_under_another_setting_goes_on_under_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload id is good for the key alone that it was made for."""
    bench = Bench(str(tmp_path), {BIG: NOISE})

    def down(*_: object) -> str:
        raise StoreUnavailable("PUT", "503")

    with monkeypatch.context() as at_first:
        at_first.setattr(bench.store, "put_part", down)
        with pytest.raises(StoreUnavailable):
            bench.send()
    bench.compression = "zstd"
    bench.live()
    (file,) = bench.send().values()
    bench.close()
    assert (file.encoding, bench.content(file)) == ("identity", NOISE)
    assert not bench.store.uploads


def test_what_was_begun_compressed_is_begun_anew_where_the_extra_is_gone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.store.fail_next("put_part", skip=2)
    with pytest.raises(StoreUnavailable):
        bench.send()
    bench.compression = "none"
    bench.live()
    monkeypatch.setitem(sys.modules, "zstandard", None)
    (file,) = bench.send().values()
    assert (file.encoding, file.object[-6:]) == ("identity", "big.pt")
    assert bench.content(file) == TEXT
    assert [owed.key for owed in bench.journal.owed_aborts()] == [KEYS.absolute(file.object) + ".zst"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(str(tmp_path), {BIG: TEXT}, compression="zstd")
    yield bench
    bench.close()


def test_the_object_is_what_zstd_reads(bench: Bench) -> None:
    (file,) = bench.send().values()
    assert (file.encoding, file.object[-8:]) == ("zstd", "g.pt.zst")
    body = bench.store.objects[KEYS.absolute(file.object)].body
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(body), read_across_frames=True)
    assert reader.read() == TEXT
    assert len(body) == file.stored
    assert file.stored < len(TEXT)
    assert not [key for key in bench.store.objects if key.endswith("big.pt")]


def test_each_content_part_has_a_frame_of_its_own(bench: Bench) -> None:
    (file,) = bench.send().values()
    assert [part.size for part in file.parts[:-1]] == [PART] * (len(file.parts) - 1)
    assert bench.content(file) == TEXT


def test_one_part_is_one_frame(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path), {"a.json": b"{}" * 100, "empty": b""}, compression="zstd")
    files = bench.send()
    bench.close()
    assert (files["a.json"].encoding, len(files["a.json"].parts)) == ("zstd", 1)
    assert bench.content(files["a.json"]) == b"{}" * 100
    assert (files["empty"].encoding, files["empty"].size) == ("identity", 0)


def test_the_digest_is_that_of_the_content(tmp_path: Path, bench: Bench) -> None:
    plain = Bench(str(tmp_path / "plain"), {BIG: TEXT})
    (there,), (here,) = plain.send().values(), bench.send().values()
    plain.close()
    assert here.digest == there.digest
    assert here.crc != there.crc


def test_auto_declines_what_does_not_pay_and_says_so(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path), {BIG: NOISE, "log.txt": TEXT}, compression="auto")
    files = bench.send()
    bench.close()
    assert (files[BIG].encoding, files["log.txt"].encoding) == ("identity", "zstd")
    assert 0.9 < (files[BIG].sampled or 0.0) < 1.1
    assert files["log.txt"].sampled is None
    assert bench.content(files[BIG]) == NOISE


def test_what_does_not_compress_is_still_whole(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path), {BIG: NOISE}, compression="zstd")
    (file,) = bench.send().values()
    bench.close()
    assert bench.content(file) == NOISE
    assert file.stored > len(NOISE)


def test_two_files_never_get_one_key(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path), {"a.pt": TEXT, "a.pt.zst": NOISE}, compression="zstd")
    files = bench.send()
    bench.close()
    assert len({file.object for file in files.values()}) == 2
    assert [bench.content(files[path]) for path in ("a.pt", "a.pt.zst")] == [TEXT, NOISE]


@pytest.mark.parametrize("sent", [1, 2, 3])
def test_after_a_kill_only_what_is_missing_is_sent(tmp_path: Path, sent: int) -> None:
    bench = Bench(str(tmp_path), {BIG: NOISE}, compression="zstd")

    def die(method: str, key: str) -> None:
        if method == "put_part" and bench.store.count("put_part") >= sent:
            raise Killed

    bench.store.on_call = die
    with pytest.raises(Killed):
        bench.send()
    bench.store.on_call = lambda method, key: None
    bench.live()
    (file,) = bench.send().values()
    assert bench.content(file) == NOISE
    assert bench.store.count("put_part") == 5
    assert bench.store.count("create_multipart") == 1
    bench.close()


def test_a_setting_that_changed_meanwhile_lets_what_was_begun_go_on(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path), {BIG: NOISE}, compression="zstd")
    bench.store.fail_next("put_part", skip=2)
    with pytest.raises(StoreUnavailable):
        bench.send()
    bench.compression = "none"
    bench.live()
    (file,) = bench.send().values()
    assert file.encoding == "zstd"
    assert bench.content(file) == NOISE
    bench.close()


def test_a_file_that_changed_after_the_kill_is_noticed(tmp_path: Path) -> None:
    bench = Bench(str(tmp_path), {BIG: NOISE}, compression="zstd")
    bench.store.fail_next("put_part", skip=2)
    with pytest.raises(StoreUnavailable):
        bench.send()
    at = os.stat(bench.path(BIG))
    with open(bench.path(BIG), "r+b") as stream:
        stream.write(b"other")
    os.utime(bench.path(BIG), ns=(at.st_atime_ns, at.st_mtime_ns))
    bench.live()
    with pytest.raises(SourceChanged):
        bench.send()
    bench.close()


@given(st.sampled_from(["zstd", "auto"]), st.floats(0, 1000))
def test_what_compresses_better_goes_in_larger_groups(setting: str, ratio: float) -> None:
    choice = choose(setting, ratio)
    if setting == "auto" and ratio < 1.1:
        assert choice == Choice("identity", 1, round(ratio, 3))
    else:
        assert choice.encoding == "zstd"
        assert choice.grouped == min(max(int(ratio), 1), 8)


@pytest.mark.parametrize("size", [1, 1000, 300_000, 3_000_000])
def test_a_sample_is_taken_of_any_size(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert sampled_ratio(descriptor, size, "file") > 0
    finally:
        os.close(descriptor)


def test_what_another_zstandard_had_sent_is_sent_as_it_is(tmp_path: Path) -> None:
    """Its single PUT landed, its answer was lost, and the frames are others now: that key can never be had."""
    bench = Bench(str(tmp_path), {"a.bin": NOISE[:500]}, compression="zstd")
    bench.store.put("team/run/data/000007-00000001/checkpoint-5/a.bin.zst", b"frames of another version")
    with pytest.raises(StoreUnavailable, match="sent anew, as it is"):
        bench.send()
    (file,) = bench.send().values()
    assert file.encoding == "identity"
    assert bench.content(file) == NOISE[:500]
    bench.close()
