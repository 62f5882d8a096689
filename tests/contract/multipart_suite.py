"""What every object store has to do with multipart uploads: part of `store_suite.py`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress

import pytest

from runctl_agent.errors import (
    BadChecksum,
    NoSuchUpload,
    NotFoundError,
    PreconditionFailed,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from runctl_agent.store.objects import ObjectStore, SentPart, Source
from tests.contract.store_place import ELSE, FIRST, LAST, PART, WHOLE, Lack, StorePlace, body_of, made_of_parts, sent_parts

NO_SUCH_UPLOAD = "0123456789abcdef_0123456789abcdef"
MANY = range(1, 1002)
"""ListParts has at most 1,000 a page."""
FLAWS: dict[str, Callable[[SentPart, SentPart], tuple[Sequence[SentPart], bytes]]] = {
    "another etag": lambda first, last: ([first, SentPart(2, last.size, ELSE)], WHOLE),
    "a part that was never sent": lambda first, last: ([first, last, SentPart(3, last.size, last.etag)], WHOLE + LAST),
    "a part taken for another": lambda first, last: ([first, SentPart(2, PART, first.etag)], FIRST + FIRST),
    "out of order": lambda first, last: ([last, first], LAST + FIRST),
    "one twice": lambda first, last: ([first, first, last], FIRST + WHOLE),
    "none": lambda first, last: ([], b""),
}
"""What is named as sent, and the whole that it would make."""


class MultipartSuite(StorePlace):
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
        source = made_of_parts(store, f"{key}-before", FIRST, LAST)
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

    def test_an_upload_has_a_thousand_parts_and_more(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        with ThreadPoolExecutor(8) as pool:
            etags = list(pool.map(lambda n: store.put_part(key, upload, n, b"%d" % n, zlib.crc32(b"%d" % n)), MANY))
        assert list(store.list_parts(key, upload)) == [
            SentPart(n, len(b"%d" % n), etag) for n, etag in zip(MANY, etags, strict=True)
        ]
        store.abort_multipart(key, upload)

    @pytest.mark.parametrize("number", [0, 10_001])
    def test_parts_are_numbered_from_one_to_ten_thousand(self, store: ObjectStore, key: str, number: int) -> None:
        upload = store.create_multipart(key)
        store.put_part(key, upload, 10_000, LAST, zlib.crc32(LAST))
        with pytest.raises(StoreError):
            store.put_part(key, upload, number, LAST, zlib.crc32(LAST))
        assert [part.number for part in store.list_parts(key, upload)] == [10_000]

    @pytest.mark.parametrize("flaw", FLAWS)
    def test_parts_that_are_not_those_sent_in_their_order_complete_nothing(self, store: ObjectStore, key: str, flaw: str) -> None:
        upload = store.create_multipart(key)
        first, last = sent_parts(store, key, upload, FIRST, LAST)
        named, whole = FLAWS[flaw](first, last)
        lacks = flaw == "one twice" and Lack.TWICE in self.lacks
        with nullcontext() if lacks else pytest.raises(StoreError):
            store.complete_multipart(key, upload, named, zlib.crc32(whole))
        assert list(store.list(key)) == ([key] if lacks else [])

    def test_what_was_refused_may_be_completed_rightly_after_it(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        first, last = sent_parts(store, key, upload, FIRST, LAST)
        with pytest.raises(StoreError):
            store.complete_multipart(key, upload, [first, SentPart(2, len(LAST), ELSE)], zlib.crc32(WHOLE))
        store.complete_multipart(key, upload, [first, last], zlib.crc32(WHOLE))
        assert body_of(store, key) == WHOLE

    def test_a_part_that_is_too_small_and_not_the_last_completes_nothing(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        parts = sent_parts(store, key, upload, LAST, LAST)
        with pytest.raises(StoreRefused):
            store.complete_multipart(key, upload, parts, zlib.crc32(LAST + LAST))
        assert store.head(key) is None

    def test_what_is_done_to_a_completed_upload_does_nothing_to_the_object(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        parts = sent_parts(store, key, upload, LAST)
        store.complete_multipart(key, upload, parts, zlib.crc32(LAST))
        store.abort_multipart(key, upload)
        with suppress(NoSuchUpload):  # S3 answers as it did the first time, for a while
            store.complete_multipart(key, upload, parts, zlib.crc32(LAST))
        with self.refused(Lack.GONE_UPLOADS, NoSuchUpload, known=StoreUnavailable):
            store.put_part(key, upload, 1, FIRST, zlib.crc32(FIRST))
        assert body_of(store, key) == LAST
        assert list(store.list(key)) == [key]

    def test_an_upload_goes_with_its_key(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        with self.refused(Lack.KEY_OF_AN_UPLOAD, NoSuchUpload):
            store.list_parts(f"{key}-other", upload)
        with self.refused(Lack.KEY_OF_AN_UPLOAD, NoSuchUpload):
            store.put_part(f"{key}-other", upload, 1, LAST, zlib.crc32(LAST))

    # --- what is only taken on trust elsewhere ---

    def test_the_checksum_of_the_whole_is_kept(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        store.complete_multipart(key, upload, sent_parts(store, key, upload, FIRST, LAST), zlib.crc32(WHOLE))
        store.put(f"{key}-told", b"hello", crc=zlib.crc32(b"hello"))
        store.put(f"{key}-computed", b"hello")
        store.put(f"{key}-empty", b"")
        heads = [store.head(name) for name in (key, f"{key}-told", f"{key}-computed", f"{key}-empty")]
        hello = None if Lack.CRC_OF_AN_OBJECT in self.lacks else zlib.crc32(b"hello")
        empty = None if Lack.CRC_OF_AN_OBJECT in self.lacks else 0
        assert [head.crc for head in heads if head is not None] == [zlib.crc32(WHOLE), hello, hello, empty]

    def test_no_part_goes_to_an_upload_that_is_gone_or_never_was(self, store: ObjectStore, key: str) -> None:
        source = Source(f"{key}-before", store.put(f"{key}-before", LAST), 0, len(LAST))
        upload = store.create_multipart(key)
        store.abort_multipart(key, upload)
        for gone in (upload, NO_SUCH_UPLOAD):
            with self.refused(Lack.GONE_UPLOADS, NoSuchUpload, known=StoreUnavailable):
                store.put_part(key, gone, 1, LAST, zlib.crc32(LAST))
            with self.refused(Lack.GONE_UPLOADS, NoSuchUpload, known=StoreUnavailable):
                store.copy_part(key, gone, 1, source)
        assert list(store.list(key)) == [source.key]

    def test_a_part_that_is_not_its_checksum_is_no_part(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        with self.refused(Lack.CHECKSUMS, BadChecksum):
            store.put_part(key, upload, 1, LAST, zlib.crc32(b"something else"))
        assert (list(store.list_parts(key, upload)) == []) == (Lack.CHECKSUMS not in self.lacks)

    @pytest.mark.parametrize("copied", [False, True], ids=["sent", "copied"])
    def test_a_whole_that_is_not_its_checksum_is_no_object(self, store: ObjectStore, key: str, copied: bool) -> None:
        upload = store.create_multipart(key)
        first, last = sent_parts(store, key, upload, FIRST, LAST)
        if copied:
            before = f"{key[:-1]}-before"
            source = Source(before, store.put(before, FIRST), 0, PART)
            first = SentPart(1, PART, store.copy_part(key, upload, 1, source))
        with self.refused(Lack.CHECKSUMS, BadChecksum):
            store.complete_multipart(key, upload, [first, last], zlib.crc32(LAST + FIRST))
        assert (list(store.list(key)) == []) == (Lack.CHECKSUMS not in self.lacks)

    def test_a_whole_that_has_not_its_size_is_no_object(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        (sent,) = sent_parts(store, key, upload, LAST)
        with self.refused(Lack.SIZE_OF_THE_WHOLE, BadChecksum):
            store.complete_multipart(key, upload, [SentPart(1, sent.size + 1, sent.etag)], zlib.crc32(LAST))
        assert (store.head(key) is None) == (Lack.SIZE_OF_THE_WHOLE not in self.lacks)

    def test_what_is_not_there_is_not_copied(self, store: ObjectStore, key: str) -> None:
        upload = store.create_multipart(key)
        with pytest.raises(NotFoundError):
            store.copy_part(key, upload, 1, Source(f"{key}-before", ELSE, 0, PART))
        assert list(store.list_parts(key, upload)) == []

    def test_only_what_is_still_the_same_and_has_the_bytes_is_copied(self, store: ObjectStore, key: str) -> None:
        before = f"{key}-before"
        stale = made_of_parts(store, before, LAST)
        etag = made_of_parts(store, before, FIRST, LAST)
        upload = store.create_multipart(key)
        with self.refused(Lack.SOURCE_OF_A_COPY, PreconditionFailed):
            store.copy_part(key, upload, 1, Source(before, stale, 0, PART))
        for offset, length in ((10, len(WHOLE)), (len(WHOLE), 1)):
            with self.refused(Lack.SOURCE_OF_A_COPY, StoreError):
                store.copy_part(key, upload, 1, Source(before, etag, offset, length))
        assert (list(store.list_parts(key, upload)) == []) == (Lack.SOURCE_OF_A_COPY not in self.lacks)
