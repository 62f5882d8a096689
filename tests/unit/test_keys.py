"""Names in S3."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.contract.keys import Destination, Keys, Series, parse_destination, parse_manifest_key, snapshot_of
from runctl_agent.contract.malformed import Malformed
from tests.contract.strategies import RELAXED, components, epochs, paths, seqs

KEYS = Keys("prefix/deep", "gpt2-7f3a")


def test_the_layout_is_that_of_the_design() -> None:
    assert KEYS.base == "prefix/deep/gpt2-7f3a/"
    assert Keys("", "r").base == "r/"
    relative = {
        "run.json": KEYS.run_spec,
        "epoch.json": KEYS.epoch,
        "latest.json": KEYS.latest,
        "status.json": KEYS.status,
        "gc.json": KEYS.gc,
        "probe.json": KEYS.probe,
        "manifests/": KEYS.manifests,
        "manifests/000002-00000007-checkpoint-500.json": KEYS.manifest(2, 7, "checkpoint-500"),
        "data/000002-00000007/": KEYS.data_prefix(2, 7),
        "data/000002-00000007/checkpoint-500/a/model.bin": KEYS.data(2, 7, "checkpoint-500", "a/model.bin"),
        "pins/000002-00000007.json": KEYS.pin(2, 7),
        "history/000002/000000000042.jsonl": KEYS.history(2).key(42),
        "logs/000002/training.log.000000000042": KEYS.log(2, "training.log").key(42),
    }
    for expected, key in relative.items():
        assert KEYS.relative(key) == expected
        assert KEYS.absolute(expected) == key


@pytest.mark.parametrize(
    ("name", "encoded"),
    [("epoch=3-step=500.ckpt", "epoch%3D3-step%3D500.ckpt"), ("a b/%", "a%20b%2F%25"), ("ä\udcff", "%C3%A4%FF")],
)
def test_names_are_percent_encoded(name: str, encoded: str) -> None:
    assert KEYS.manifest(1, 1, name).endswith(f"manifests/000001-00000001-{encoded}.json")


@RELAXED
@given(epochs, seqs, components, paths)
def test_a_manifest_key_says_where_it_belongs(epoch: int, seq: int, checkpoint: str, path: str) -> None:
    key = KEYS.manifest(epoch, seq, checkpoint)
    for form in (key, KEYS.relative(key)):
        found = parse_manifest_key(form)
        assert not isinstance(found, Malformed)
        assert found[:2] == (epoch, seq)
    assert KEYS.data(epoch, seq, checkpoint, path).startswith(KEYS.data_prefix(epoch, seq))


@RELAXED
@given(epochs, seqs, st.tuples(components, paths), st.tuples(components, paths))
def test_two_files_never_share_a_key(epoch: int, seq: int, one: tuple[str, str], two: tuple[str, str]) -> None:
    same = [os.fsencode(part) for part in one] == [os.fsencode(part) for part in two]
    assert (KEYS.data(epoch, seq, *one) == KEYS.data(epoch, seq, *two)) == same


def test_keys_that_would_be_too_long_are_hashed_and_stay_apart() -> None:
    deep = "/".join(["\udcff" * 255] * 4)
    keys = {KEYS.data(1, 1, "c", deep), KEYS.data(1, 1, "c", deep + "x"), KEYS.manifest(1, 1, "\udcff" * 400)}
    assert len(keys) == 3
    for key in keys:
        assert len(key) <= 1024
        assert "sha256-" in key
    assert parse_manifest_key(KEYS.manifest(1, 1, "\udcff" * 400))


@pytest.mark.parametrize("name", ["x" * 255, "\udcff" * 85, "x" * 250])
def test_no_part_of_a_key_is_longer_than_a_file_name(name: str) -> None:
    keys = {KEYS.manifest(1, 1, name), KEYS.data(1, 1, name, name), KEYS.data(1, 1, "c", f"{name}/{name}/x")}
    keys |= {KEYS.manifest(1, 1, name[1:]), KEYS.data(1, 1, name[1:], name)}
    assert len(keys) == 5
    assert max(len(part) for key in keys for part in key.split("/")) <= 255


def test_what_fits_is_not_hashed() -> None:
    assert KEYS.data(1, 1, "c", "x" * 255).endswith(f"/c/{'x' * 255}")
    assert KEYS.manifest(1, 1, "x" * 234).endswith(f"-{'x' * 234}.json")
    assert "sha256-" in KEYS.manifest(1, 1, "x" * 235)


@pytest.mark.parametrize(("epoch", "seq"), [(-1, 1), (10**6, 1), (1, 10**8)])
def test_numbers_that_do_not_fit_their_digits_are_refused(epoch: int, seq: int) -> None:
    with pytest.raises(ValueError, match="not between"):
        KEYS.manifest(epoch, seq, "c")


def test_a_key_of_another_run_is_refused() -> None:
    with pytest.raises(ValueError, match="is not under"):
        KEYS.relative("prefix/deep/other/latest.json")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "latest.json",
        "manifests/1-1-a.json",
        "manifests/000001-00000001-a",
        "manifests/000001-00000001-a/b.json",
        "manifests/000001-00000001-.json",
    ],
)
def test_what_is_no_manifest_key(key: str) -> None:
    assert isinstance(parse_manifest_key(key), Malformed)


@RELAXED
@given(st.text())
def test_any_text_gives_an_answer(text: str) -> None:
    parse_manifest_key(text)
    parse_destination(text)
    parse_destination(f"s3://{text}")
    parse_destination(f"s3://bucket/{text}")


@pytest.mark.parametrize(
    ("url", "destination"),
    [
        ("s3://bucket", Destination("bucket", "")),
        ("s3://bucket/", Destination("bucket", "")),
        ("s3://my.bucket-1/a/b/", Destination("my.bucket-1", "a/b")),
    ],
)
def test_destinations(url: str, destination: Destination) -> None:
    assert parse_destination(url) == destination
    assert parse_destination(destination.url) == destination


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("bucket/prefix", "is not s3://bucket/prefix"),
        ("s3://", "is not a bucket name"),
        ("s3://Bucket/a", "is not a bucket name"),
        ("s3://10.0.0.1/a", "is not a bucket name"),
        ("s3://mine--usw2-az1--x-s3/a", "is a directory bucket, which lists keys in no order"),
        ("s3://bucket//a", "has an empty part"),
        ("s3://bucket/a/../b", "has an empty part, or one that is . or .."),
        ("s3://bucket/a b", "has characters other than"),
        ("s3://bucket/" + "a" * 600, "longer than 512"),
    ],
)
def test_what_is_no_destination(url: str, reason: str) -> None:
    found = parse_destination(url)
    assert isinstance(found, Malformed)
    assert reason in found.reason


def test_the_borders_of_what_keys_can_number() -> None:
    assert KEYS.relative(KEYS.pin(999_999, 99_999_999)) == "pins/999999-99999999.json"
    assert KEYS.relative(KEYS.pin(0, 0)) == "pins/000000-00000000.json"
    for epoch, seq in ((1_000_000, 0), (0, 100_000_000), (-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="is not between"):
            KEYS.pin(epoch, seq)


def test_a_manifest_key_gives_all_that_it_bears() -> None:
    assert parse_manifest_key(KEYS.manifest(2, 7, "checkpoint-500")) == (2, 7, "checkpoint-500")


def test_a_prefix_has_so_many_characters_and_no_more() -> None:
    assert parse_destination("s3://bucket/" + "a" * 512) == Destination("bucket", "a" * 512)
    assert isinstance(parse_destination("s3://bucket/" + "a" * 513), Malformed)


def test_a_key_that_fits_to_the_last_byte_is_kept() -> None:
    head = KEYS.data(1, 1, "c", "")
    path = "/".join(["a" * 200] * 4)
    path += "/" + "b" * (1024 - len(head) - len(path) - 1)
    assert KEYS.data(1, 1, "c", path) == head + path
    longer = KEYS.data(1, 1, "c", path + "b")
    assert longer.startswith(KEYS.data_prefix(1, 1) + "sha256-")


@pytest.mark.parametrize("offset", [0, 12, 10**12 - 1, 10**12, 10**15])
def test_the_key_of_a_piece_gives_its_offset(offset: int) -> None:
    series = Series("logs/a.", ".jsonl")
    assert series.offset(series.key(offset)) == offset


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("logs/a.", "logs/a.00000000001"),
        ("logs/a.", "logs/a.0000000000012"),
        ("logs/a.", "logs/a.abcdefghijkl"),
        ("logs/a.", "logs/a.²²²²²²²²²²²²"),
        ("logs/a.", "logs/a.b"),
        ("logs/a.", "logs/b.000000000012"),
        ("logs/a.", "000000000012"),
        ("!", "000000000012"),
    ],
)
def test_the_key_of_something_else_is_no_piece(prefix: str, key: str) -> None:
    assert Series(prefix).offset(key) is None


@pytest.mark.parametrize(
    ("relative", "name"),
    [
        ("data/000001-00000007/a/b", "000001-00000007"),
        ("data/1-7/a", None),
        ("data/000001-00000007/", None),
        ("manifests/000001-00000007-a.json", None),
    ],
)
def test_an_object_belongs_to_the_checkpoint_under_whose_name_it_lies(relative: str, name: str | None) -> None:
    assert snapshot_of(relative) == name
