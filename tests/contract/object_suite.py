"""What every object store has to do with whole objects, conditions and lists: part of `store_suite.py`."""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from runctl_agent.errors import (
    BadChecksum,
    NotFoundError,
    PreconditionFailed,
    StoreRefused,
    StoreUnavailable,
)
from runctl_agent.store.objects import Body, ObjectStore, SentPart, Source
from tests.contract.store_place import FIRST, PART, Lack, StorePlace, body_of

ODD = ["a b", "a%20b", "a%2Fb%25", "\u00fc", "\u65e5\u672c/\u8a9e", "a+b&c=d?e#f", "a//b", "~!*'()"]
ODD += ['<>"{}|^`', "tab\there", "\x7f", "\U0001f600"]


def whole(store: ObjectStore, key: str, offset: int, length: int, size: int = 2) -> list[bytes]:
    with store.open_range(key, offset, length) as body:
        return list(iter(lambda: read(body, size), b""))


def read(body: Body, size: int) -> bytes:
    """The next piece; what lies behind its end is untouched."""
    room = bytearray(b"?" * (size + 1))
    count = body.readinto(memoryview(room)[:size])
    assert room[count:] == b"?" * (size + 1 - count)
    return bytes(room[:count])


class ObjectSuite(StorePlace):
    # --- whole objects ---

    def test_what_was_put_is_there(self, store: ObjectStore, key: str) -> None:
        etag = store.put(key, b"hello", crc=zlib.crc32(b"hello"))
        got, head = store.get(key), store.head(key)
        assert got is not None
        assert head is not None
        assert (got.body, got.etag) == (b"hello", etag)
        assert (head.size, head.etag) == (5, etag)

    def test_an_empty_object_is_an_object(self, store: ObjectStore, key: str) -> None:
        store.put(key, b"", crc=0)
        got, head = store.get(key), store.head(key)
        assert got is not None
        assert got.body == b""
        assert head is not None
        assert head.size == 0
        assert store.get_range(key, 0, 0) == b""

    @pytest.mark.parametrize("view", [slice(0, None), slice(1, -1), slice(3, 3)], ids=["whole", "inside", "empty"])
    @pytest.mark.parametrize("owner", [bytes, bytearray])
    def test_a_view_is_sent_as_the_bytes_it_shows(
        self, store: ObjectStore, key: str, owner: type[bytes] | type[bytearray], view: slice
    ) -> None:
        data = FIRST[:70_000]
        store.put(key, memoryview(owner(data))[view], crc=zlib.crc32(data[view]))
        got = store.get(key)
        assert got is not None
        assert got.body == data[view]

    def test_a_later_put_replaces(self, store: ObjectStore, key: str) -> None:
        first = store.put(key, b"one")
        second = store.put(key, b"two")
        got = store.get(key)
        assert first != second
        assert got is not None
        assert got.body == b"two"

    def test_what_was_never_put_is_not_there(self, store: ObjectStore, key: str) -> None:
        assert store.get(key) is None
        assert store.head(key) is None
        with pytest.raises(NotFoundError):
            store.get_range(key, 0, 1)
        with pytest.raises(NotFoundError):
            store.get_range(key, 0, 0)
        with pytest.raises(NotFoundError), store.open_range(key, 0, 1):
            pass

    def test_a_range_is_exactly_what_was_asked_for(self, store: ObjectStore, key: str) -> None:
        store.put(key, b"0123456789")
        assert store.get_range(key, 0, 10) == b"0123456789"
        assert store.get_range(key, 3, 4) == b"3456"
        assert store.get_range(key, 9, 1) == b"9"

    @pytest.mark.parametrize(("offset", "length"), [(8, 3), (10, 1), (99, 2)])
    def test_a_range_past_the_end_is_never_cut_short(self, store: ObjectStore, key: str, offset: int, length: int) -> None:
        store.put(key, b"0123456789")
        with pytest.raises(StoreUnavailable):
            store.get_range(key, offset, length)
        with pytest.raises(StoreUnavailable):
            whole(store, key, offset, length)

    def test_a_range_is_read_in_pieces_as_it_arrives(self, store: ObjectStore, key: str) -> None:
        store.put(key, FIRST)
        offset, length = 70_001, PART - 100_000
        pieces = whole(store, key, offset, length, 1_000_003)
        assert b"".join(pieces) == FIRST[offset : offset + length]
        assert max(map(len, pieces)) <= 1_000_003
        with store.open_range(key, 0, 10) as body:
            assert read(body, 10) == FIRST[:10]
            assert read(body, 10) == b""

    def test_a_range_that_is_left_before_its_end_spoils_no_later_call(self, store: ObjectStore, key: str) -> None:
        store.put(key, FIRST)
        for offset in (0, 1):
            with store.open_range(key, offset, PART - 1) as body:
                assert FIRST[offset:].startswith(read(body, 100))
        assert store.get_range(key, 3, 4) == FIRST[3:7]

    def test_a_deleted_object_is_gone_and_may_be_deleted_again(self, store: ObjectStore, key: str) -> None:
        store.put(key, b"hello")
        store.delete(key)
        store.delete(key)
        assert store.get(key) is None
        assert list(store.list(key)) == []

    @pytest.mark.parametrize("odd", ODD)
    def test_an_odd_key_is_a_key_like_any_other(self, store: ObjectStore, prefix: str, odd: str) -> None:
        key, other = f"{prefix}/{odd}", f"{prefix}/{odd}-joined"
        etag = store.put(key, b"12345")
        upload = store.create_multipart(other)
        copied = store.copy_part(other, upload, 1, Source(key, etag, 1, 4))
        assert [part.etag for part in store.list_parts(other, upload)] == [copied]
        store.complete_multipart(other, upload, [SentPart(1, 4, copied)], zlib.crc32(b"2345"))
        assert (body_of(store, key), store.get_range(other, 0, 2)) == (b"12345", b"23")
        assert list(store.list(key)) == sorted([key, other])
        store.delete(key)
        assert (store.head(key), body_of(store, other)) == (None, b"2345")

    def test_a_key_longer_than_s3_allows_is_refused(self, store: ObjectStore, prefix: str) -> None:
        key = f"{prefix}/" + ("y" * 200 + "/") * 6
        for length in (1024, 1025):
            with self.refused(Lack.KEY_LENGTH, StoreRefused) if length > 1024 else nullcontext():
                store.put(key[: length - 1] + "z", b"x")
        assert len(list(store.list(prefix))) == 1 + (Lack.KEY_LENGTH in self.lacks)

    # --- conditions ---

    def test_the_second_put_if_absent_is_refused_and_changes_nothing(self, store: ObjectStore, key: str) -> None:
        etag = store.put(key, b"first", if_absent=True)
        with pytest.raises(PreconditionFailed):
            store.put(key, b"second", if_absent=True)
        got = store.get(key)
        assert got is not None
        assert (got.body, got.etag) == (b"first", etag)

    def test_put_if_match_follows_the_etag(self, store: ObjectStore, key: str) -> None:
        first = store.put(key, b"first")
        second = store.put(key, b"second", if_match=first)
        with pytest.raises(PreconditionFailed):
            store.put(key, b"third", if_match=first)
        got = store.get(key)
        assert got is not None
        assert (got.body, got.etag) == (b"second", second)

    def test_put_if_match_on_a_missing_key_is_refused(self, store: ObjectStore, key: str) -> None:
        with pytest.raises(PreconditionFailed):
            store.put(key, b"body", if_match='"0123456789abcdef0123456789abcdef"')
        assert store.get(key) is None

    # --- listing ---

    def test_only_keys_under_the_prefix_are_listed_each_as_it_was_written(self, store: ObjectStore, prefix: str) -> None:
        names = ["b", "a/2", "a/10", "a.json", "a%2Fb", "a b+c&d", "A", "~", "a" * 240]
        for name in names:
            store.put(f"{prefix}/in/{name}", b"x")
        store.put(f"{prefix}/inside-not", b"x")
        assert sorted(store.list(f"{prefix}/in/")) == sorted(f"{prefix}/in/{name}" for name in names)
        assert list(store.list(f"{prefix}/in/a/")) == [f"{prefix}/in/a/10", f"{prefix}/in/a/2"]
        assert len(list(store.list(f"{prefix}/i"))) == len(names) + 1
        assert list(store.list(f"{prefix}/nothing")) == []

    def test_the_keys_of_one_folder_are_listed_in_order(self, store: ObjectStore, prefix: str) -> None:
        keys = [f"{prefix}/{name}" for name in ("B", "a", "a%2F", "a-", "a.", "b", "\u00e9")]
        for key in reversed(keys):
            store.put(key, b"x")
        assert list(store.list(f"{prefix}/")) == sorted(keys)

    def test_a_listing_has_all_its_pages(self, store: ObjectStore, prefix: str) -> None:
        keys = [f"{prefix}/many/{n:05d}" for n in range(1001)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: store.put(key, b""), keys))
        assert list(store.list(f"{prefix}/many/")) == keys

    def test_a_key_may_be_as_long_as_s3_allows(self, store: ObjectStore, prefix: str) -> None:
        key = f"{prefix}/data/000001-00000001/" + ("%C3%A9" * 40 + "/") * 4
        key = key[:1023] + "x"
        store.put(key, b"x")
        assert list(store.list(prefix)) == [key]
        assert store.head(key) is not None

    # --- what is only taken on trust elsewhere ---

    def test_one_of_many_racers_wins(self, store: ObjectStore, key: str) -> None:
        def put(n: int) -> bytes | None:
            try:
                store.put(key, b"%d" % n, if_absent=True)
            except PreconditionFailed:
                return None
            return b"%d" % n

        with ThreadPoolExecutor(8) as pool:
            winners = [body for body in pool.map(put, range(8)) if body is not None]
        assert body_of(store, key) in winners
        assert len(winners) == 1 or Lack.RACES in self.lacks

    def test_a_body_that_is_not_its_checksum_is_not_stored(self, store: ObjectStore, key: str) -> None:
        with self.refused(Lack.CHECKSUMS, BadChecksum):
            store.put(key, b"hello", crc=zlib.crc32(b"hellO"))
        assert (body_of(store, key) is None) == (Lack.CHECKSUMS not in self.lacks)

    def test_a_bad_body_does_not_replace_a_good_one(self, store: ObjectStore, key: str) -> None:
        store.put(key, b"good", crc=zlib.crc32(b"good"))
        with self.refused(Lack.CHECKSUMS, BadChecksum):
            store.put(key, b"bad", crc=zlib.crc32(b"good"))
        assert (body_of(store, key) == b"good") == (Lack.CHECKSUMS not in self.lacks)
