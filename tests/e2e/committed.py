"""What a run has in S3, read as any reader would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runctl_agent.contract.keys import Keys, Series
from runctl_agent.contract.manifest import Manifest
from runctl_agent.contract.pieces import put_together
from runctl_agent.runtime import ThreadRuntime
from runctl_agent.store.catalog import Catalog, Ranked
from tests.e2e.seaweed import S3


def committed(s3: S3, run: str = "test-run") -> list[Manifest]:
    """Every checkpoint, complete or not, highest rank first; all that they name is there."""
    with s3.store() as store:
        catalog = Catalog(store, Keys(s3.prefix, run), ThreadRuntime())
        listing = catalog.listing()
        assert not listing.malformed
        assert [reason for one in listing.ranked if (reason := catalog.missing(one.manifest))] == []
        return [_whole(catalog, one) for one in listing.ranked]


def _whole(catalog: Catalog, one: Ranked) -> Manifest:
    manifest = catalog.whole(one)
    assert isinstance(manifest, Manifest), manifest
    return manifest


def names(s3: S3) -> list[str]:
    return sorted(manifest.checkpoint for manifest in committed(s3))


def has_commits(count: int, status: Mapping[str, Any]) -> bool:
    return bool(status["commits"] == count)


def everything(s3: S3) -> list[str]:
    """Every key below the test's own prefix."""
    with s3.store() as store:
        return list(store.list(s3.prefix))


def grown(s3: S3, series: Series) -> bytes:
    """What grows piece by piece, put together."""
    with s3.store() as store:
        offsets = {key: offset for key in store.list(series.prefix) if (offset := series.offset(key)) is not None}
        found = [(offset, got.body) for key, offset in offsets.items() if (got := store.get(key)) is not None]
    return put_together(found)
