"""CRC-32 (ISO 3309, as `zlib.crc32`): of bytes, and of a whole from the CRCs of its parts.

Of bytes it is ISA-L's: 27 GB/s a thread, zlib's own 4. Appending n bytes multiplies a CRC by x^(8n) modulo the CRC's
polynomial over GF(2); the method of zlib's `crc32_combine`, which neither Python's zlib module nor isal offers.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from isal.isal_zlib import crc32 as crc32

_POLYNOMIAL = 0xEDB88320  # bit-reflected: the highest bit is x^0
_ONE = 1 << 31


def combine(first: int, second: int, second_length: int) -> int:
    """The CRC of two byte strings put together; `second_length` is in bytes.

    >>> import zlib
    >>> combine(zlib.crc32(b"check"), zlib.crc32(b"point"), 5) == zlib.crc32(b"checkpoint")
    True
    """
    return _multiply(_shift(second_length), first) ^ second


def combine_all(parts: Iterable[tuple[int, int]]) -> int:
    """The CRC of a whole; `parts` are (crc, length in bytes) in order."""
    whole = 0
    for crc, length in parts:
        whole = combine(whole, crc, length)
    return whole


def _multiply(a: int, b: int) -> int:
    """a · b modulo the polynomial."""
    product = 0
    mask = _ONE
    while a:
        if a & mask:
            product ^= b
            a ^= mask
        mask >>= 1
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


@lru_cache(maxsize=64)
def _shift(length: int) -> int:
    """x^(8 · length) modulo the polynomial. All parts of a file but the last have one length, hence the cache."""
    power, square = _ONE, _ONE >> 8  # x^0, x^8
    while length:
        if length & 1:
            power = _multiply(square, power)
        square = _multiply(square, square)
        length >>= 1
    return power
