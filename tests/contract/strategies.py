"""Hypothesis strategies for every value of the contract."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st

from runctl_agent.contract.document import LARGEST, LAST_SECOND
from runctl_agent.contract.files import IDENTITY, ZSTD
from runctl_agent.contract.gc import Gc, Pin
from runctl_agent.contract.keys import LAST_EPOCH, LAST_SEQ, Keys, snapshot
from runctl_agent.contract.manifest import Epoch, Latest, Manifest, ManifestFile, Part, Rank
from runctl_agent.contract.phases import Condition, ConditionName, Phase
from runctl_agent.contract.spec import Limits, Metrics, Publish, Recover, Retention, Spec, Staging, Training, Watched
from runctl_agent.contract.status import State

RELAXED = settings(deadline=None)  # how long an example takes says nothing on a shared machine

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
messages = st.text(max_size=120)
counts = st.integers(0, LARGEST)
times = st.integers(0, LAST_SECOND)
instants = st.floats(0, LAST_SECOND)
epochs = st.integers(0, LAST_EPOCH)
seqs = st.integers(0, LAST_SEQ)
nonces = st.text("0123456789abcdef", max_size=64)
labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789.-+ ", max_size=64)
runs = st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True)
words = st.sampled_from(["file", "final", "huggingface", "dcp", "identity", "zstd"])
digests = st.builds(
    "{}:{}".format, st.sampled_from(["blake3", "blake3-parts"]), st.text("0123456789abcdef", min_size=64, max_size=64)
)

# Any bytes that Linux lets be a name, as os.fsdecode gives them.
components = st.one_of(
    st.sampled_from(["last.pt", "checkpoint-500", "epoch=3-step=500.ckpt", "a b%c.pt", "gewicht-ä.bin"]),
    st.binary(min_size=1, max_size=30).filter(lambda b: not {0, ord("/")} & set(b) and b not in (b".", b"..")).map(os.fsdecode),
)
paths = st.lists(components, min_size=1, max_size=4).map("/".join)

ranks = st.builds(Rank, st.booleans(), epochs, counts, seqs)
small_ranks = st.builds(Rank, st.booleans(), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))


@st.composite
def manifest_files(draw: st.DrawFn) -> ManifestFile:
    sizes = draw(st.lists(st.integers(0, 2**40), max_size=3))
    encoding = draw(
        st.one_of(st.sampled_from([IDENTITY, ZSTD]) if sizes else st.just(IDENTITY), words.filter(lambda word: word != ZSTD))
    )
    stored = st.integers(0, 2**40) if encoding == ZSTD else st.none()
    crcs = st.integers(0, 2**32 - 1) if encoding == ZSTD else st.none()
    offsets = [sum(sizes[:n]) for n in range(len(sizes))]
    size = sum(sizes) if sizes else draw(st.integers(0, 2**45))
    return ManifestFile(
        path=draw(paths),
        size=size,
        mtime_ns=draw(st.integers(-(2**40), LARGEST)),
        digest=draw(digests),
        crc=draw(st.integers(0, 2**32 - 1)),
        object="data/000001-00000001/" + draw(st.from_regex(r"[A-Za-z0-9%]{1,20}", fullmatch=True)),
        encoding=encoding,
        parts=tuple(
            Part(offset, size, draw(digests), draw(stored), draw(crcs)) for offset, size in zip(offsets, sizes, strict=True)
        ),
        sampled=draw(st.none() | st.floats(0, 1000)),
        copied=draw(st.integers(0, size)),
    )


def _apart(files: list[ManifestFile]) -> tuple[ManifestFile, ...]:
    """Files below directories of their own, so that no two stand in each other's way."""
    return tuple(replace(f, path=f"{n}/{f.path}") for n, f in enumerate(files))


manifests = st.builds(
    Manifest,
    run=runs,
    epoch=epochs,
    seq=seqs,
    checkpoint=components,
    step=counts,
    rank=ranks,
    kind=words,
    complete=st.booleans(),
    created=instants,
    instance=labels,
    files=st.lists(manifest_files(), max_size=3).map(_apart),
    node=st.integers(0, 1000),
    directory=paths,
    nonce=nonces,
    trainer=st.dictionaries(st.text(max_size=10), st.none() | messages | st.integers(-LARGEST, LARGEST), max_size=3),
)


@st.composite
def latests(draw: st.DrawFn) -> Latest:
    fence, nonce = draw(epochs), draw(nonces)
    if draw(st.booleans()):
        return Latest(None, None, None, None, fence, nonce)
    name = draw(components)
    key = Keys("", "r").relative(Keys("", "r").manifest(draw(epochs), draw(seqs), name))
    return Latest(key, name, draw(counts), draw(ranks), fence, nonce)


epoch_documents = st.builds(
    Epoch, epoch=epochs, nonce=nonces, instance=labels, boot_id=labels, attempts_without_progress=counts, since=instants
)

snapshots = st.builds(snapshot, epochs, seqs)
near_snapshots = st.builds(snapshot, st.integers(0, 2), st.integers(0, 9))


@st.composite
def gc_documents(draw: st.DrawFn) -> Gc:
    names = draw(st.lists(snapshots | near_snapshots, max_size=12, unique=True))
    left = draw(st.lists(st.sampled_from(names), unique=True)) if names else []
    return Gc(draw(epochs), Gc().condemning(names), frozenset(left), draw(nonces))


pins = st.builds(Pin, epoch=epochs, seq=seqs, names=st.frozensets(snapshots, max_size=4), rank=st.none() | ranks, nonce=nonces)

conditions = st.lists(
    st.builds(Condition, st.sampled_from(ConditionName), times, messages), unique_by=lambda condition: condition.name, max_size=8
).map(tuple)
states = st.builds(
    State,
    run=runs,
    phase=st.sampled_from(Phase),
    instance=labels,
    boot_time=times,
    generation=counts,
    heartbeat=times,
    agent_version=labels,
    epoch=epochs,
    attempt=st.integers(0, 1000),
    conditions=conditions,
    checkpoint=st.none() | components,
    step=st.none() | counts,
    committed_at=st.none() | times,
    commits=counts,
    pending_checkpoints=st.integers(0, 10**6),
    pending_bytes=counts,
    pending_since=st.none() | times,
    rate=counts,
    eta=st.none() | counts,
    sending=st.none() | components,
    sending_bytes=counts,
    sent_bytes=counts,
    failures=counts,
    retry_at=st.none() | times,
    owed_aborts=counts,
    exit_code=st.none() | st.integers(0, 255),
    error=messages,
    want=nonces,
    trainer_pid=st.none() | st.integers(1, 2**22),
    notice=labels,
    notice_at=st.none() | times,
    ran=counts,
    train_step=st.none() | counts,
    train_steps=st.none() | st.integers(0, 10**9),
    train_epoch=st.none() | st.floats(0, 1e6),
    loss=st.none() | st.floats(-1e9, 1e9),
    cpu=st.none() | st.integers(0, 12_800),
    rss=st.none() | counts,
    disk_free=st.none() | counts,
    gpu=st.none() | st.integers(0, 100),
    gpu_memory=st.none() | counts,
    gpu_heat=st.none() | st.integers(0, 200),
    sent_total=st.none() | counts,
    details=st.lists(messages, max_size=40).map(tuple),
)

_texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
_lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
_globs = _texts.filter(lambda glob: glob and "/" not in glob)
_local_paths = _texts.filter(lambda path: not path.startswith("~"))
_durations = st.floats(0, 10**6)
_env: st.SearchStrategy[Mapping[str, str]] = st.dictionaries(
    st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), _texts, max_size=3
)
_power = st.sampled_from(["keep", "stop", "terminate"])

trainings = st.builds(
    Training,
    command=st.lists(_texts.filter(bool), max_size=3).map(tuple),
    user=st.sampled_from(["", "ubuntu", "ec2-user"]),
    env=_env,
    setup=st.lists(_texts, max_size=2).map(tuple),
    code=st.sampled_from(["", "s3://bucket/code/abc.tar.gz"]),
    image=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,30}", fullmatch=True) | st.just(""),
    saves_on_signal=st.booleans(),
    stop_signal=st.sampled_from(["SIGTERM", "SIGUSR1"]),
    signal_to=st.sampled_from(["main", "group"]),
    grace=_durations,
    pid_file=_local_paths,
    exit_code_file=_local_paths,
    complete_file=_local_paths,
    complete_pattern=st.sampled_from(["", "done in [0-9]+ s", "^Training complete"]),
    log_file=_local_paths,
)
specs = st.builds(
    Spec,
    run=runs,
    destination=st.sampled_from(["s3://bucket", "s3://my.bucket-1/a/b"]),
    checkpoints=st.lists(
        st.builds(
            Watched,
            path=_local_paths.filter(bool),
            include=st.lists(_globs, min_size=1, max_size=2).map(tuple),
            exclude=st.lists(_globs, max_size=2).map(tuple),
        ),
        min_size=1,
        max_size=2,
        unique_by=lambda watched: os.path.normpath(watched.path),
    ).map(tuple),
    project=_lines,
    workdir=_local_paths,
    settle=_durations,
    staging=st.builds(Staging, st.floats(0, 0.99) | st.integers(1, 2**50).map(float)),
    retention=st.builds(Retention, counts, counts),
    compression=st.sampled_from(["none", "zstd", "auto"]),
    dedup=st.booleans(),
    bandwidth=st.integers(0, 2**40),
    training=trainings,
    resume=st.sampled_from(["auto", "never"]),
    on_finish=_power,
    on_failure=st.just("keep"),
    limits=st.builds(Limits, _durations, _durations, _durations, counts),
    publish=st.builds(Publish, st.floats(0.001, 10**6)),
    metrics=st.builds(Metrics, st.sampled_from(["", "/var/lib/node_exporter/textfile/runctl.prom"])),
    recover=st.builds(Recover, _lines, _lines, _durations),
    isolate_credentials=st.booleans(),
)


@st.composite
def broken_json(draw: st.DrawFn, document: bytes) -> bytes:
    """A document of which one value, at any depth, is another."""
    value = json.loads(document)
    holder, key = value, draw(st.sampled_from(sorted(value)))
    while True:
        below = holder[key]
        inner = sorted(below) if isinstance(below, dict) else range(len(below)) if isinstance(below, list) else []
        if not inner or draw(st.booleans()):
            break
        holder, key = below, draw(st.sampled_from(list(inner)))
    holder[key] = draw(json_values)
    return json.dumps(value).encode()
