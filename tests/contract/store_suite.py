"""What every object store has to do: one suite, run on each of them.

A subclass gives the fixtures `store` and `prefix`: an empty place of its own.
"""

from __future__ import annotations

import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from runctl_agent.errors import BadChecksum, NoSuchUpload, NotFoundError, PreconditionFailed, StoreError, StoreUnavailable
from runctl_agent.store.objects import ObjectStore, SentPart, Source

PART = 5 * 1024 * 1024  # the least that S3 takes for any part but the last
FIRST = bytes(range(256)) * (PART // 256)
LAST = b"the last part may be shorter"
WHOLE = FIRST + LAST
NO_SUCH_UPLOAD = "0123456789abcdef_0123456789abcdef"


def _multipart(store: ObjectStore, key: str, *bodies: bytes) -> str:
    """The etag of an object made of these parts."""
    upload = store.create_multipart(key)
    etags = [store.put_part(key, upload, number, body, zlib.crc32(body)) for number, body in enumerate(bodies, 1)]
    parts = [SentPart(number, len(body), etag) for number, (body, etag) in enumerate(zip(bodies, etags, strict=True), 1)]
    return store.complete_multipart(key, upload, parts, zlib.crc32(b"".join(bodies)))


def whole(store: ObjectStore, key: str, offset: int, length: int, size: int = 2) -> list[bytes]:
    with store.open_range(key, offset, length) as body:
        return list(iter(lambda: body.read(size), b""))


class StoreSuite:
    @pytest.fixture
    def store(self) -> ObjectStore:
        raise NotImplementedError

    @pytest.fixture
    def prefix(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def key(self, prefix: str) -> str:
        return f"{prefix}/key"

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
            assert body.read(10) == FIRST[:10]
            assert body.read(10) == b""

    def test_a_range_that_is_left_before_its_end_spoils_no_later_call(self, store: ObjectStore, key: str) -> None:
        store.put(key, FIRST)
        for offset in (0, 1):
            with store.open_range(key, offset, PART - 1) as body:
                assert FIRST[offset:].startswith(body.read(100))
        assert store.get_range(key, 3, 4) == FIRST[3:7]

    def test_a_deleted_object_is_gone_and_may_be_deleted_again(self, store: ObjectStore, key: str) -> None:
        store.put(key, b"hello")
        store.delete(key)
        store.delete(key)
        assert store.get(key) is None
        assert list(store.list(key)) == []

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

    # --- multipart ---

    def test_an_upload_shows_nothing_until_it_is_completed(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        last = store.put_part(key, upload, 2, memoryview(LAST), zlib.crc32(LAST))
        first = store.put_part(key, upload, 1, memoryview(bytearray(FIRST)), zlib.crc32(FIRST))
        assert store.get(key) is None
        assert store.head(key) is None
        assert list(store.list(key)) == []
        sent = [SentPart(1, PART, first), SentPart(2, len(LAST), last)]
        assert list(store.list_parts(key, upload)) == sent

        etag = store.complete_multipart(key, upload, sent, zlib.crc32(WHOLE))
        head = store.head(key)
        assert head is not None
        assert (head.size, head.etag) == (len(WHOLE), etag)
        assert store.get_range(key, PART - 4, 8) == WHOLE[PART - 4 : PART + 4]
        with pytest.raises(NoSuchUpload):
            store.list_parts(key, upload)

    def test_a_part_sent_twice_is_one_part(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        first, second = (store.put_part(key, upload, 1, LAST, zlib.crc32(LAST)) for _ in range(2))
        assert first == second
        sent = [SentPart(1, len(LAST), first)]
        assert list(store.list_parts(key, upload)) == sent
        store.complete_multipart(key, upload, sent, zlib.crc32(LAST))
        got = store.get(key)
        assert got is not None
        assert got.body == LAST

    def test_a_part_sent_again_with_other_bytes_is_the_one_that_is_joined(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        store.put_part(key, upload, 1, b"other", zlib.crc32(b"other"))
        sent = SentPart(1, len(LAST), store.put_part(key, upload, 1, LAST, zlib.crc32(LAST)))
        assert sent in store.list_parts(key, upload)  # SeaweedFS goes on listing the first beside it
        store.complete_multipart(key, upload, [sent], zlib.crc32(LAST))
        got = store.get(key)
        assert got is not None
        assert got.body == LAST

    def test_a_part_may_be_copied_from_another_object(self, store: ObjectStore, key: str) -> None:
        source = _multipart(store, f"{key}-before", FIRST, LAST)
        upload = store.create_multipart(key)
        copied = store.copy_part(key, upload, 1, Source(f"{key}-before", source, 0, PART))
        sent = store.put_part(key, upload, 2, b"a new end", zlib.crc32(b"a new end"))
        assert [(part.number, part.size) for part in store.list_parts(key, upload)] == [(1, PART), (2, 9)]
        parts = [SentPart(1, PART, copied), SentPart(2, 9, sent)]
        store.complete_multipart(key, upload, parts, zlib.crc32(FIRST + b"a new end"))
        got = store.get(key)
        assert got is not None
        assert got.body == FIRST + b"a new end"
        store.delete(f"{key}-before")
        assert store.get(key) == got, "it is an object of its own"

    def test_two_uploads_of_one_key_do_not_mix(self, store: ObjectStore, key: str) -> None:
        one, two = store.create_multipart(key), store.create_multipart(key)
        etag = store.put_part(key, two, 1, b"two", zlib.crc32(b"two"))
        store.put_part(key, one, 1, b"one", zlib.crc32(b"one"))
        store.abort_multipart(key, one)
        store.complete_multipart(key, two, [SentPart(1, 3, etag)], zlib.crc32(b"two"))
        got = store.get(key)
        assert got is not None
        assert got.body == b"two"

    def test_an_upload_without_parts_lists_none(self, store: ObjectStore, key: str) -> None:
        assert list(store.list_parts(key, store.create_multipart(key))) == []

    def test_an_aborted_upload_is_gone_and_may_be_aborted_again(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        store.put_part(key, upload, 1, LAST, zlib.crc32(LAST))
        store.abort_multipart(key, upload)
        store.abort_multipart(key, upload)
        with pytest.raises(NoSuchUpload):
            store.list_parts(key, upload)
        assert store.head(key) is None

    def test_an_upload_that_never_was_is_no_upload(self, store: ObjectStore, key: str) -> None:
        with pytest.raises(NoSuchUpload):
            store.list_parts(key, NO_SUCH_UPLOAD)
        store.abort_multipart(key, NO_SUCH_UPLOAD)

    def test_a_part_that_is_not_the_one_sent_completes_nothing(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        store.put_part(key, upload, 1, LAST, zlib.crc32(LAST))
        other = SentPart(1, len(LAST), '"0123456789abcdef0123456789abcdef"')
        with pytest.raises(StoreError):
            store.complete_multipart(key, upload, [other], zlib.crc32(LAST))
        assert store.head(key) is None


class ExactingStoreSuite(StoreSuite):
    """For stores that also check what they are sent, and decide races."""

    def test_one_of_many_racers_wins(self, store: ObjectStore, key: str) -> None:
        def put(n: int) -> bytes | None:
            try:
                store.put(key, b"%d" % n, if_absent=True)
            except PreconditionFailed:
                return None
            return b"%d" % n

        with ThreadPoolExecutor(8) as pool:
            winners = [body for body in pool.map(put, range(8)) if body is not None]
        got = store.get(key)
        assert got is not None
        assert [got.body] == winners

    def test_the_checksum_of_the_whole_is_kept(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        first = store.put_part(key, upload, 1, FIRST, zlib.crc32(FIRST))
        last = store.put_part(key, upload, 2, LAST, zlib.crc32(LAST))
        sent = [SentPart(1, PART, first), SentPart(2, len(LAST), last)]
        store.complete_multipart(key, upload, sent, zlib.crc32(WHOLE))
        for name, body in (("small", b"hello"), ("empty", b"")):
            store.put(key + name, body, crc=zlib.crc32(body))
        heads = [store.head(name) for name in (key, key + "small", key + "empty")]
        assert [head.crc for head in heads if head is not None] == [zlib.crc32(WHOLE), zlib.crc32(b"hello"), 0]

    def test_no_part_goes_to_an_upload_that_is_gone_or_never_was(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        store.abort_multipart(key, upload)
        for gone in (upload, NO_SUCH_UPLOAD):
            with pytest.raises(NoSuchUpload):
                store.put_part(key, gone, 1, LAST, zlib.crc32(LAST))

    def test_a_body_that_is_not_its_checksum_is_not_stored(self, store: ObjectStore, key: str) -> None:
        with pytest.raises(BadChecksum):
            store.put(key, b"hello", crc=zlib.crc32(b"hellO"))
        assert store.head(key) is None
        assert list(store.list(key)) == []

    def test_a_bad_body_does_not_replace_a_good_one(self, store: ObjectStore, key: str) -> None:
        store.put(key, b"good", crc=zlib.crc32(b"good"))
        with pytest.raises(BadChecksum):
            store.put(key, b"bad", crc=zlib.crc32(b"good"))
        got = store.get(key)
        assert got is not None
        assert got.body == b"good"

    def test_a_part_that_is_not_its_checksum_is_no_part(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        with pytest.raises(BadChecksum):
            store.put_part(key, upload, 1, LAST, zlib.crc32(b"something else"))
        assert list(store.list_parts(key, upload)) == []

    def test_a_whole_that_is_not_its_checksum_is_no_object(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        first = store.put_part(key, upload, 1, FIRST, zlib.crc32(FIRST))
        last = store.put_part(key, upload, 2, LAST, zlib.crc32(LAST))
        sent = [SentPart(1, PART, first), SentPart(2, len(LAST), last)]
        with pytest.raises(BadChecksum):
            store.complete_multipart(key, upload, sent, zlib.crc32(LAST + FIRST))
        assert store.head(key) is None
        assert list(store.list(key)) == []

    def test_only_what_is_still_there_is_copied(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        with pytest.raises((NotFoundError, PreconditionFailed)):
            store.copy_part(key, upload, 1, Source(f"{key}-before", '"0123456789abcdef0123456789abcdef"', 0, PART))
        _multipart(store, f"{key}-before", FIRST, LAST)
        with pytest.raises(PreconditionFailed):
            store.copy_part(key, upload, 1, Source(f"{key}-before", '"0123456789abcdef0123456789abcdef"', 0, PART))
        assert list(store.list_parts(key, upload)) == []
