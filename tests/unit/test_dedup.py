"""What is stored already is referred to or copied inside S3, and every checkpoint is whole all the same."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runctl_agent.contract.gc import Gc, Span, encode_gc
from runctl_agent.contract.manifest import Manifest, decode_manifest, encode_manifest
from runctl_agent.errors import BadChecksum, SlowDown, StoreRefused, StoreUnavailable
from tests.fakes.memory_store import MemoryStore
from tests.fakes.uploads import BIG, KEYS, LEAST, PART, Bench

FIVE = random.Random(5).randbytes(5 * PART + 77)


def changed(content: bytes, *parts: int) -> bytes:
    """With the first byte of some parts (from 1) another one."""
    body = bytearray(content)
    for number in parts:
        if (number - 1) * PART < len(body):
            body[(number - 1) * PART] ^= 1
    return bytes(body)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(str(tmp_path), {BIG: FIVE}, dedup=True)
    yield bench
    bench.close()


@pytest.fixture
def first(bench: Bench) -> Bench:
    """One checkpoint is committed."""
    bench.finish()
    bench.store.calls.clear()
    return bench


class TestWholeFiles:
    def test_the_same_file_again_is_not_sent(self, first: Bench) -> None:
        (file,) = first.commit("checkpoint-6", {BIG: FIVE}).values()
        assert file.object.startswith("data/000007-00000001/checkpoint-5/")
        assert [first.store.count(method) for method in ("put_part", "copy_part", "create_multipart")] == [0, 0, 0]
        assert not [key for key in first.store.objects if "/data/000007-00000002/" in key]
        assert first.content(file) == FIVE

    def test_nor_a_copy_under_another_name(self, first: Bench) -> None:
        (file,) = first.commit("best", {"sub/other.bin": FIVE}).values()
        assert (file.path, file.object) == ("sub/other.bin", f"data/000007-00000001/checkpoint-5/{BIG}")
        assert first.store.count("put_part") == 0

    def test_nor_a_small_one(self, first: Bench) -> None:
        first.commit("checkpoint-6", {"config.json": b"{}"})
        puts = first.store.count("put", "/data/")
        (file,) = first.commit("checkpoint-7", {"config.json": b"{}"}).values()
        assert file.object == "data/000007-00000002/checkpoint-6/config.json"
        assert first.store.count("put", "/data/") == puts

    def test_many_small_ones_cost_one_manifest_and_not_one_for_each_checkpoint_that_has_them(self, tmp_path: Path) -> None:
        names = [f"part-{number}" for number in range(20)]
        bench = Bench(str(tmp_path), {name: name.encode() for name in names}, dedup=True)
        try:
            bench.finish()
            for step in range(6, 11):
                before = bench.store.count("get", "/manifests/")
                files = bench.commit(f"checkpoint-{step}", {name: name.encode() for name in names})
                assert {file.object for file in files.values()} == {f"data/000007-00000001/checkpoint-5/{name}" for name in names}
                assert bench.store.count("get", "/manifests/") - before <= 4, "one for each task at the most"
        finally:
            bench.close()

    @pytest.mark.parametrize("elsewhere", ["x", "data/x", "data/1-2/x", "manifests/000007-00000001-x.json"])
    def test_what_lies_elsewhere_than_in_a_checkpoints_data_is_not_referenced(self, first: Bench, elsewhere: str) -> None:
        """No pin can hold it. Only a foreign writer makes such a manifest, and no agent may end by it."""
        key = KEYS.manifest(7, 1, "checkpoint-5")
        manifest = decode_manifest(first.store.objects[key].body)
        assert isinstance(manifest, Manifest)
        (file,) = manifest.files
        first.store.objects[KEYS.absolute(elsewhere)] = first.store.objects[KEYS.absolute(file.object)]
        first.store.put(key, encode_manifest(replace(manifest, files=(replace(file, object=elsewhere),))))
        first.live()
        (again,) = first.commit("checkpoint-6", {BIG: FIVE}).values()
        assert again.object == f"data/000007-00000002/checkpoint-6/{BIG}"
        assert first.content(again) == FIVE

    def test_its_mtime_is_its_own(self, first: Bench) -> None:
        first.add({BIG: FIVE}, "checkpoint-6")
        (file,) = first.finish().values()
        assert file.mtime_ns == first.row.staged.files[0].source.mtime_ns

    def test_it_is_pinned_before_the_manifest(self, first: Bench) -> None:
        first.commit("checkpoint-6", {BIG: FIVE})
        calls = [key for method, key in first.store.calls if method == "put"]
        assert calls.index(KEYS.pin(7, 2)) < calls.index(KEYS.manifest(7, 2, "checkpoint-6"))

    def test_what_is_condemned_is_sent_instead(self, first: Bench) -> None:
        first.store.put(KEYS.gc, encode_gc(Gc(condemned=(Span(7, 1, 1),), nonce="a" * 32)))
        (file,) = first.commit("checkpoint-6", {BIG: FIVE}).values()
        assert file.object.startswith("data/000007-00000002/")
        assert first.store.count("copy_part") == 0
        assert first.content(file) == FIVE

    def test_what_is_gone_is_sent_instead(self, first: Bench) -> None:
        for key in [key for key in first.store.objects if "/data/" in key]:
            del first.store.objects[key]
        (file,) = first.commit("checkpoint-6", {BIG: FIVE}).values()
        assert first.content(file) == FIVE

    def test_what_was_damaged_is_sent_instead(self, first: Bench) -> None:
        key = next(key for key in first.store.objects if "/data/" in key)
        del first.store.objects[key]
        first.store.put(key, changed(FIVE, 2))
        (file,) = first.commit("checkpoint-6", {BIG: FIVE}).values()
        assert file.object.startswith("data/000007-00000002/")
        assert first.content(file) == FIVE

    def test_without_dedup_everything_is_sent(self, tmp_path: Path) -> None:
        bench = Bench(str(tmp_path), {BIG: FIVE})
        bench.finish()
        sent = bench.journal.totals().sent_bytes
        bench.commit("checkpoint-6", {BIG: FIVE})
        assert bench.journal.totals().sent_bytes == 2 * sent
        bench.close()


class TestParts:
    def test_only_what_changed_is_sent(self, first: Bench) -> None:
        sent = first.journal.totals().sent_bytes
        new = changed(FIVE, 3)
        (file,) = first.commit("checkpoint-6", {BIG: new}).values()
        assert first.content(file) == new
        assert first.journal.totals().sent_bytes - sent == PART
        assert file.copied == len(FIVE) - PART
        assert first.store.count("put_part") == 1

    def test_the_object_is_one_of_its_own(self, first: Bench) -> None:
        (file,) = first.commit("checkpoint-6", {BIG: changed(FIVE, 1)}).values()
        for key in [key for key in first.store.objects if "/000007-00000001/" in key]:
            del first.store.objects[key]
        assert first.content(file) == changed(FIVE, 1)

    def test_what_was_appended_is_sent_and_the_rest_copied(self, first: Bench) -> None:
        new = FIVE[: 5 * PART] + b"more" * PART
        (file,) = first.commit("checkpoint-6", {BIG: new}).values()
        assert first.content(file) == new
        assert file.copied == 5 * PART

    def test_any_error_of_a_copy_means_send_it(self, first: Bench) -> None:
        for n, error in enumerate((StoreUnavailable("no answer"), StoreRefused("denied")), 6):
            first.store.fail_next("copy_part", error)
            content = changed(FIVE, n - 4)
            (file,) = first.commit(f"checkpoint-{n}", {BIG: content}).values()
            assert first.content(file) == content

    def test_a_copy_that_the_store_has_no_time_for_is_asked_for_again(self, first: Bench) -> None:
        first.store.fail_next("copy_part", SlowDown("503"))
        (file,) = first.commit("checkpoint-6", {BIG: changed(FIVE, 2)}).values()
        assert file.copied == len(FIVE) - PART
        assert first.store.count("put_part") == 1

    def test_a_source_that_is_another_object_now_is_not_copied(self, first: Bench) -> None:
        key = next(key for key in first.store.objects if "/data/" in key)
        first.store.put(key, bytes(len(FIVE)))
        (file,) = first.commit("checkpoint-6", {BIG: changed(FIVE, 2)}).values()
        assert first.content(file) == changed(FIVE, 2)

    def test_a_copy_that_was_not_what_it_should_be_is_sent_the_next_time(self, tmp_path: Path) -> None:
        first = Bench(str(tmp_path), {BIG: FIVE}, dedup=True, store=MemoryStore(keeps_crc=False))
        first.finish()
        key = next(key for key in first.store.objects if "/data/" in key)
        first.store.put(key, bytes(len(FIVE)))
        first.add({BIG: changed(FIVE, 2)}, "checkpoint-6")
        with pytest.raises(BadChecksum):  # only the whole shows it
            first.send()
        (file,) = first.finish().values()
        assert file.copied == 0
        assert first.content(file) == changed(FIVE, 2)
        first.uploader.settle_aborts()
        assert first.store.uploads == {}
        first.close()

    def test_after_a_kill_what_was_copied_is_not_copied_again(self, first: Bench) -> None:
        first.add({BIG: changed(FIVE, 2)}, "checkpoint-6")
        first.store.fail_next("complete_multipart", StoreUnavailable("down"))
        with pytest.raises(StoreUnavailable):
            first.send()
        copied = first.store.count("copy_part")
        first.live()
        (file,) = first.finish().values()
        assert first.store.count("copy_part") == copied == 5
        assert first.content(file) == changed(FIVE, 2)
        assert file.copied == len(FIVE) - PART

    def test_a_checkpoint_that_is_one_file_succeeds_the_one_before_of_another_name(self, first: Bench) -> None:
        first.commit("model_step_10.pt", {"model_step_10.pt": FIVE})
        (file,) = first.commit("model_step_20.pt", {"model_step_20.pt": changed(FIVE, 2)}).values()
        assert file.copied == len(FIVE) - PART
        first.commit("metrics.json", {"metrics.json": b"{}"})
        (file,) = first.commit("model_step_30.pt", {"model_step_30.pt": changed(FIVE, 2, 3)}).values()
        assert file.copied == len(FIVE) - PART, "the newest of its size is what it succeeds"

    def test_one_name_succeeds_itself_whatever_lies_between(self, first: Bench) -> None:
        other = bytes(5 * PART + 77)
        first.commit("last.pt", {"last.pt": FIVE})
        first.commit("other.pt", {"other.pt": other})
        (file,) = first.commit("last.pt", {"last.pt": changed(FIVE, 1)}).values()
        assert file.copied == len(FIVE) - PART


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_whatever_changes_each_checkpoint_is_whole(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("dedup")
    compression = data.draw(st.sampled_from(["none", "zstd", "auto"]))
    bench = Bench(str(folder), {BIG: FIVE}, dedup=True, compression=compression)
    try:
        bench.finish()
        content, expected = FIVE, []
        for step in range(6, 6 + data.draw(st.integers(1, 4))):
            if data.draw(st.booleans()):
                content = changed(content, *data.draw(st.lists(st.integers(1, 5), max_size=3)))
            else:
                content = content[: data.draw(st.integers(1, len(content)))]
                content += data.draw(st.sampled_from([b"", b"x" * 999, bytes(4096)]))
            bench.compression = data.draw(st.sampled_from([compression, "none"]))
            bench.live()
            (file,) = bench.commit(f"checkpoint-{step}", {BIG: content}).values()
            expected.append((file, content))
        assert [bench.content(file) == content for file, content in expected] == [True] * len(expected)
        assert bench.store.uploads == {}
    finally:
        bench.close()
        shutil.rmtree(folder)


def test_the_least_part_is_kept(tmp_path: Path) -> None:
    """S3 refuses smaller ones when it joins them."""
    bench = Bench(str(tmp_path), {BIG: bytes(40 * PART) + FIVE}, dedup=True, compression="zstd")
    bench.store.fail_next("complete_multipart")
    with pytest.raises(StoreUnavailable):
        bench.send()
    (file,) = bench.journal.files(bench.row.id)
    assert min(part.stored for part in file.parts[:-1]) == LEAST
    assert file.part_size > PART, "what compresses well is put together"
    assert bench.content(bench.finish()[BIG]) == bytes(40 * PART) + FIVE
    bench.close()
