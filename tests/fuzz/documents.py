"""The shared contract: documents in S3, tags, the run spec."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path

from runctl_agent.config import parse_document
from runctl_agent.contract.gc import Gc, decode_gc, decode_pin, encode_gc, encode_pin
from runctl_agent.contract.history import encode_moment, moments
from runctl_agent.contract.keys import (
    Keys,
    parse_destination,
    parse_manifest_key,
    parse_pin_key,
    parse_snapshot,
    snapshot_of,
)
from runctl_agent.contract.malformed import Malformed
from runctl_agent.contract.manifest import (
    Manifest,
    decode_epoch,
    decode_latest,
    decode_manifest,
    encode_epoch,
    encode_latest,
    encode_manifest,
)
from runctl_agent.contract.names import object_key, relative_path
from runctl_agent.contract.pieces import put_together
from runctl_agent.contract.registry import ecr
from runctl_agent.contract.slots import CHUNK, SLOTS
from runctl_agent.contract.spec import decode_run, encode_run
from runctl_agent.contract.status import State, decode_state, encode_state
from runctl_agent.contract.summary import progress, summary
from runctl_agent.contract.tags import SLOT_KEYS, read
from runctl_agent.contract.want import decode_want, encode_want
from runctl_agent.errors import ConfigError
from runctl_agent.store.catalog import read_manifest
from runctl_agent.store.check import portions
from runctl_agent.store.conditional import nonce_of
from runctl_agent.store.epoch import _claimed
from runctl_agent.store.outline import outline

from .target import MIB, Target, text_of, there_and_back

GOLDEN = Path(__file__).parents[1] / "contract" / "golden"
KEYS = Keys("runs", "gpt2")
NOW = 1_795_457_400


def golden(name: str) -> bytes:
    return (GOLDEN / name).read_bytes()


def _manifest(body: bytes) -> object:
    found = read_manifest(KEYS, "manifests/000001-00000001-a.json", body), there_and_back(decode_manifest, encode_manifest)(body)
    if isinstance(found[1], Manifest):
        outline(found[1])
        for file in found[1].files:
            portions(file)
    return found


def _pointers(body: bytes) -> object:
    """Whoever fights for `latest` and `epoch.json` looks at what stands there before it is decoded."""
    return (
        there_and_back(decode_latest, encode_latest)(body),
        there_and_back(decode_epoch, encode_epoch)(body),
        nonce_of(body),
        _claimed(body),
    )


def _condemned(body: bytes) -> object:
    found = there_and_back(decode_gc, encode_gc)(body), there_and_back(decode_pin, encode_pin)(body)
    if isinstance(found[0], Gc):
        found[0].condemns("000001-00000057")
        found[0].condemning(["000001-00000058"])
    return found


def _state(body: bytes) -> object:
    state = there_and_back(decode_state, encode_state)(body)
    if isinstance(state, State):
        summary(state, NOW)
        progress(state, NOW)
    return state


def _tags(body: bytes) -> object:
    """Its lines are the chunks of both slots, and its whole, packed as a state is, is a slot: past the checksum."""
    lines = text_of(body).split("\n")
    given = [*lines[:12], *[""] * (12 - len(lines))]
    keys = [key for slot in SLOTS for key in SLOT_KEYS[slot]]
    raw = dict(zip(keys, given, strict=True)) | {"runctl:state": lines[-1], "runctl:phase": lines[0]}
    whole = base64.urlsafe_b64encode(gzip.compress(body, mtime=0)).decode().rstrip("=")
    chunks = [whole[at : at + CHUNK] for at in range(0, len(whole), CHUNK)]
    packed = dict(zip(SLOT_KEYS["a"], chunks, strict=False)) | {"runctl:state": "a:9:3"}
    posted = [read(tags, instance="i-0123456789abcdef0", launch_time=NOW - 9000) for tags in (raw, packed)]
    return tuple("state" if one.state else Malformed(one.reason) for one in posted)


def _history(body: bytes) -> object:
    found = moments(put_together([(5, body), (0, body[:7]), (3 + len(body), body)])) + moments(body)
    for moment in found:
        encode_moment(moment)
    return len(found) > 0


def _want(body: bytes) -> object:
    return there_and_back(lambda given: decode_want(text_of(given)), lambda want: encode_want(want).encode())(body)


def _named(body: bytes) -> object:
    """Keys that a listing gives, URLs, names in documents."""
    name = text_of(body)
    found: list[object] = [
        parse_destination(name),
        parse_manifest_key(name),
        parse_pin_key(name),
        snapshot_of(name),
        ecr(name),
        KEYS.history(1).offset(name),
    ]
    for strict in (parse_snapshot, relative_path, object_key):
        try:
            found.append(strict(name))
        except ValueError as error:
            found.append(Malformed(str(error)))
    return tuple(one if one is None or isinstance(one, Malformed) else type(one).__name__ for one in found)


def _spec(body: bytes) -> object:
    try:
        return type(parse_document(body.decode("utf-8", "replace"), source="run.yaml", folder="/home/u")).__name__
    except ConfigError as error:
        return Malformed(error.why.strip())


LEAST = b'{"checkpoints": [{"path": "a"}], "destination": "s3://b", "run": "a", "settle": 0.5, "staging": {"keep_free": "1GiB"}}'
SPEC = b"""run: gpt2
destination: s3://bucket/prefix
checkpoints: [{path: checkpoints, include: ["*.pt"]}]
training: {command: [python, train.py], setup: ["pip install x"], env: {A: "1"}, grace: 1m30s, stop_signal: SIGUSR1}
retention: {keep_last: 3, keep_every: 500}
limits: {max_runtime: 2h, idle_gpu_after: 30m}
staging: {keep_free: 10%}
bandwidth: 200MB/s
"""
TAGS: dict[str, str] = json.loads(golden("tags.json"))
MOMENT = b'{"at":1795457375,"phase":"training","step":5,"loss":2.5,"gpu":90,"cpu":180,"rate":7,"notice":"spot terminate"}\n'
WANT = b'{"verb":"flush","nonce":"5f5f","launch_time":"2026-11-23T18:09:35+00:00"}'
NAMES = (
    b"s3://bucket/prefix/deep",
    b"runs/gpt2/manifests/000002-00000007-checkpoint-500.json",
    b"runs/gpt2/pins/000002-00000007.json",
    b"data/000001-00000007/a/b",
    b"runs/gpt2/history/000001/00000000000000000000.jsonl",
    b"111122223333.dkr.ecr.eu-central-1.amazonaws.com",
    b"000001-00000007",
)

TARGETS = (
    Target("manifest", _manifest, [golden("manifest.json")]),
    Target("latest-and-epoch", _pointers, [golden("latest.json"), golden("epoch.json")]),
    Target("gc-and-pins", _condemned, [golden("gc.json"), golden("pin.json")]),
    Target("state", _state, [golden("status.json")]),
    # A gzip of six chunks may hold 1032 times as much, and the document as much again in objects.
    Target("tags", _tags, ["\n".join(list(TAGS.values())[-6:]).encode(), golden("status.json")], room=8 * MIB),
    Target("history", _history, [MOMENT, MOMENT * 3]),
    Target("want", _want, [WANT, b'{"launch_time":1795456000,"nonce":"a.b_c-1","verb":"prune"}']),
    Target("names-in-s3", _named, NAMES),
    Target("run-json", there_and_back(decode_run, encode_run), [golden("run.json")]),
    Target(
        "run-yaml",
        _spec,
        [SPEC, LEAST, b"spec: s3://bucket/run.json\n"],
        room=2 * MIB,
        ratio=3000,
        deepest=100,
    ),
)
