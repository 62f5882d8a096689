"""The training's code: one archive in S3, named by its SHA-256, fetched in pieces and checked before anybody unpacks it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable

from runctl_agent.errors import BadChecksum, ConfigError, NotFoundError
from runctl_agent.store.objects import ObjectStore

PIECE = 8 * 1024 * 1024
"""Bytes that are held in memory at a time."""

_URL = re.compile(r"s3://([^/]+)/((?:.*/)?([0-9a-f]{64})\.tar\.gz)")

Stores = Callable[[str], ObjectStore]
"""A bucket's name to its store."""


def fetch_code(url: str, path: str, stores: Stores) -> int:
    """Bring the archive at `url` to `path`, a file for the agent alone; a descriptor of it, at its beginning.

    Raises ConfigError: the name bears no hash; NotFoundError: there is no such object; BadChecksum; StoreError; OSError.
    """
    bucket, key, sha256 = _parsed(url)
    store = stores(bucket)
    head = store.head(key)
    if head is None:
        raise NotFoundError(f"the training's code {url} is not there", "somebody deleted it", "launch the run under another name")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        whole = hashlib.sha256()
        for offset in range(0, head.size, PIECE):
            body = store.get_range(key, offset, min(PIECE, head.size - offset))
            whole.update(body)
            os.write(fd, body)
        if whole.hexdigest() != sha256:
            raise BadChecksum(f"the training's code {url} is not what its name says", f"its SHA-256 is {whole.hexdigest()}")
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _parsed(url: str) -> tuple[str, str, str]:
    found = _URL.fullmatch(url)
    if found is None:
        raise ConfigError(
            f"the training's code {url} can't be checked",
            "expected s3://bucket/…/<sha256 of the archive>.tar.gz",
            "correct training.code, or let `runctl launch` write it",
        )
    return found[1], found[2], found[3]
