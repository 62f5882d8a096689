"""What no document may have, at the border of each limit."""

from __future__ import annotations

import json

import pytest

from runctl_agent.contract import document
from runctl_agent.contract.document import LAST_SECOND, Fields, Wrong, encode, parse
from runctl_agent.contract.files import encode_crc, read_crc
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import decode_manifest, encode_manifest
from runctl_agent.contract.names import LONGEST_KEY, line, object_key
from runctl_agent.contract.options import command, tag_value
from runctl_agent.contract.tags import rfc3339

from .test_manifest import EXAMPLE


def test_what_is_malformed_never_passes_for_a_value() -> None:
    assert not Malformed("not JSON")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """The largest document, where it is not that of the contract."""
    monkeypatch.setattr(document, "LARGEST_BODY", 100)
    return 100


def test_a_document_has_so_many_bytes_and_no_more(small: int) -> None:
    body = b'"' + b"a" * (small - 2) + b'"'
    assert parse(body) == "a" * (small - 2)
    with pytest.raises(Wrong, match="more than"):
        parse(body + b" ")


def test_no_document_is_written_that_would_not_be_read(small: int) -> None:
    def anything(fields: Fields) -> None:
        """Every field is allowed."""

    room = small - len(b'{"a":""}')
    assert len(encode({"a": "b" * room}, anything)) == small
    with pytest.raises(ValueError, match=f"would have {small + 1} bytes"):
        encode({"a": "b" * (room + 1)}, anything)


@pytest.mark.parametrize(("crc", "shown"), [(0, "AAAAAA=="), (1, "AAAAAQ=="), (2**32 - 1, "/////w==")])
def test_a_crc_is_shown_as_s3_shows_it(crc: int, shown: str) -> None:
    assert encode_crc(crc) == shown
    assert read_crc(shown) == crc


@pytest.mark.parametrize("crc", [-1, 2**32])
def test_what_is_no_crc_is_not_written(crc: int) -> None:
    with pytest.raises(ValueError, match="not a CRC-32"):
        encode_crc(crc)


@pytest.mark.parametrize("shown", ["", "AAAA", "AAAAAAA=", "AAAAAA", "ä", "AAAA AA==", "!!!!!!=="])
def test_what_is_not_four_bytes_in_base64_is_no_crc(shown: str) -> None:
    with pytest.raises(Wrong):
        read_crc(shown)


def without_a_part(which: int) -> bytes:
    plain = json.loads(encode_manifest(EXAMPLE))
    del plain["files"][0]["parts"][which]
    return json.dumps(plain).encode()


@pytest.mark.parametrize(("which", "reason"), [(0, "begins at 8388608, not at 0"), (1, "the parts end at 8388608")])
def test_parts_follow_each_other_from_the_first_byte_to_the_last(which: int, reason: str) -> None:
    found = decode_manifest(without_a_part(which))
    assert isinstance(found, Malformed)
    assert reason in found.reason


def test_a_line_has_no_control_characters() -> None:
    assert line(" ~ä") == " ~ä"
    for char in ("\0", "\n", "\x1f", "\x7f"):
        with pytest.raises(Wrong):
            line(f"a{char}")


def test_a_key_has_so_many_bytes_and_no_more() -> None:
    longest = "ä/" * (LONGEST_KEY // 3) + "a"
    assert len(longest.encode()) == LONGEST_KEY
    assert object_key(longest) == longest
    with pytest.raises(Wrong, match="longer"):
        object_key(longest + "a")


def test_a_tag_has_so_many_characters_and_no_more() -> None:
    assert tag_value("ä" * 256) == "ä" * 256
    with pytest.raises(Wrong, match="256"):
        tag_value("ä" * 257)


def test_a_command_is_a_list_that_begins_with_a_program() -> None:
    assert command([]) == ()
    assert command(["python", "", "a b"]) == ("python", "", "a b")
    for wrong in ("python train.py", [""], ["", "a"], [1]):
        with pytest.raises(Wrong):
            command(wrong)


def test_times_are_those_that_people_can_write() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
    assert rfc3339(LAST_SECOND).startswith("9999-12-31T23:59:59")
    for at in (-1, LAST_SECOND + 1):
        with pytest.raises(Wrong):
            rfc3339(at)
