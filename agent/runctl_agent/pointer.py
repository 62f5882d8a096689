"""A run spec that is too large for user-data: what lies on the instance points to it in S3.

It is fetched once, and kept beside the journal: an agent that comes back needs no network to know its run.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress

from .boot import boot_id, boot_time
from .config import LARGEST, PATIENCE, load_document, parse_spec
from .contract.spec import Spec, SpecPointer
from .errors import ConfigError, NotFoundError
from .publish import write_atomically
from .runtime import Runtime
from .store.s3 import S3Store
from .training.imds import Imds


def load_whole(path: str, state_dir: str, runtime: Runtime, *, patience: int = PATIENCE) -> Spec:
    """The spec in the file at `path`, or the one it points to. Raises ConfigError, StoreError, ImdsUnavailable."""
    document = load_document(path, runtime, patience=patience)
    if isinstance(document, Spec):
        return document
    kept = os.path.join(state_dir, f"spec-{hashlib.sha256(document.url.encode()).hexdigest()[:16]}.json")
    folder = os.path.dirname(os.path.abspath(path))
    if (body := _kept(kept)) is not None:
        with suppress(ConfigError):  # what a power cut left of it is fetched again
            return _parsed(body, document, folder)
    body = _fetched(document)
    spec = _parsed(body, document, folder)
    os.makedirs(state_dir, exist_ok=True)
    write_atomically(kept, body, mode=0o600)  # its env may hold secrets
    return spec


def _parsed(body: bytes, pointer: SpecPointer, folder: str) -> Spec:
    return parse_spec(body.decode("utf-8", "replace"), source=pointer.url, folder=folder)


def _kept(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read(LARGEST)
    except FileNotFoundError:
        return None


def _fetched(pointer: SpecPointer) -> bytes:
    bucket, _, key = pointer.url.removeprefix("s3://").partition("/")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region is None and (instance := Imds().identity(boot_id(), boot_time())) is not None:
        region = instance.region
    with S3Store(bucket, region=region) as store:
        head = store.head(key)
        if head is None:
            raise NotFoundError(
                f"the run spec {pointer.url} is not there", "somebody deleted it", "launch the run under another name"
            )
        if head.size > LARGEST:
            raise ConfigError(
                f"the run spec {pointer.url} can't be used", f"it is larger than {LARGEST} bytes", "launch another run"
            )
        return store.get_range(key, 0, head.size)
