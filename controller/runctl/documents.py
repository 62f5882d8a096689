"""The documents of `--json`: each command prints one, and nothing else on stdout; docs/schemas has them as JSON Schema
(tests/controller/schemas.py makes them of this). ASCII; times in seconds since the epoch, sizes in bytes; a key is never left
out. What is not known is null, or empty for a text.

    init                      Written
    config                    Settled
    doctor                    Examined
    launch, resume            Launched; with --wait Verdict; with --dry-run Planned
    list                      Runs
    status                    Standing
    watch                     Listed, one a line, of each run that stands otherwise than before
    stop, start, terminate, flush   Run, as it was seen last
    wait                      Verdict
    checkpoints               Checkpoints
    logs                      Logs
    pull                      Pulled
    prune                     Pruned; with --dry-run what would go
    docker build              Image
    any that fails            Failure, and the same in words on stderr; the exit code is the process's own
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Written(TypedDict):
    """`settings`: the keys that have a value in the file."""

    path: str
    settings: list[str]


class SettledOne(TypedDict):
    """`origin`: environment, file or default; `where`: the variable, or the file and line; `option` goes before either."""

    key: str
    value: Any
    origin: str
    where: str
    option: str


class Settled(TypedDict):
    """`file`: the nearest runctl.yaml, empty where there is none."""

    file: str
    settings: list[SettledOne]


class Finding(TypedDict):
    """`ok`: null for what is only to be known, or could not be tried; `what`, `why` and `mend` of what is not well."""

    name: str
    ok: bool | None
    text: str
    what: str
    why: str
    mend: str


class Examined(TypedDict):
    ok: bool
    findings: list[Finding]


class Instance(TypedDict):
    """One EC2 instance; `state` is EC2's, `reason` why EC2 changed it, `launch_time` new after each start."""

    id: str
    state: str
    reason: str
    launch_time: int
    type: str
    zone: str
    image: str
    spot: bool
    project: str
    owner: str


class Run(TypedDict):
    """`state` is the agent's own document (contract/status.py), read from `source`: `tags`, `status.json` or null.

    `current` is false for a state of another life of the instance; `reason` says what could not be read, and may be newer.
    """

    run: str
    destination: str
    instance: Instance | None
    state: dict[str, object] | None
    source: str | None
    current: bool
    reason: str


class Replacing(TypedDict):
    """The group that launches the next instance; `says`: what it last failed at, or is about, in Auto Scaling's words."""

    group: str
    says: str


class Listed(Run):
    """`silent`: seconds for which its agent was not heard, where it should have been, else null. `region`: of the instance.

    `cost`: US dollars that the instance has cost since it was last started, by the price of its type; null where that is not
    known; `cost_bound`: it is the price on demand of a spot instance, which costs less.
    """

    silent: int | None
    cost: float | None
    cost_bound: bool
    region: str


class Standing(Listed):
    """`replacing`: null where nothing takes the place of an instance that is gone."""

    replacing: Replacing | None


class Runs(TypedDict):
    runs: list[Listed]


class Verdict(Run):
    """`outcome`: finished, failed, interrupted, stopped or gone; `exit_code` is the training's own."""

    outcome: str
    exit_code: int | None
    why: str


class Launched(TypedDict):
    """`instance` is the id, empty where the `group` (with --recover) has found none yet; `code` is the archive's URL."""

    run: str
    destination: str
    instance: str
    group: str
    image: str
    instance_type: str
    spot: bool
    region: str
    code: str


class Code(TypedDict):
    """`left_out` has [path, why]."""

    url: str
    files: int
    bytes: int
    left_out: list[list[str]]


class Cost(TypedDict):
    """USD an hour, null where not known; `hourly` is what this launch would pay: spot's, in `zone`, or on demand.

    `source`: AWS's price list, or the table that ships, of the day `as_of`; `region`, if it is of another region.
    """

    instance_type: str
    hourly: float | None
    on_demand: float | None
    spot: float | None
    zone: str
    source: str
    as_of: str
    region: str


class Planned(TypedDict):
    """`request` as RunInstances takes it; `code` only of a launch: a resume sends none. `costs`: of each type that may be taken,
    in order; `unknown`: what could not be checked, and why."""

    run: str
    destination: str
    request: dict[str, Any]
    code: NotRequired[Code]
    costs: list[Cost]
    unknown: list[str]


class Checkpoint(TypedDict):
    """One manifest; `where` is the URL that its data lies below.

    `sent`: bytes that went to S3 for it, `saved`: those that were there already, both as they are stored. `verified`: when S3
    said last that it has all of it: `at commit`; with --verify `now`, or how many of its objects are `missing`.
    """

    checkpoint: str
    step: int
    bytes: int
    epoch: int
    seq: int
    created: float
    complete: bool
    instance: str
    where: str
    sent: int
    saved: int
    verified: str
    missing: list[str]


class Checkpoints(TypedDict):
    """Newest rank first; `unreadable` has [key, why]."""

    run: str
    checkpoints: list[Checkpoint]
    unreadable: list[list[str]]


class Attempt(TypedDict):
    """One epoch's log. `began` and the numbers are by its history, null where that does not say."""

    epoch: int
    attempt: int | None
    instance: str
    began: int | None
    text: str


class Logs(TypedDict):
    """`log`: training.log or agent.log; `attempts` in order."""

    run: str
    log: str
    attempts: list[Attempt]


class PassedBy(TypedDict):
    checkpoint: str
    reason: str


class Pulled(TypedDict):
    """`path` is absolute; `bytes` is what was fetched; `passed_by` ranked higher and could not be had."""

    run: str
    path: str
    checkpoint: str
    step: int
    bytes: int
    passed_by: list[PassedBy]


class KeptData(TypedDict):
    """`data`: `<epoch>-<seq>`, as in the keys; `named_by`: a checkpoint that names some of it, or is about to."""

    data: str
    bytes: int
    named_by: str


class Pruned(TypedDict):
    """`checkpoints` are gone, newest rank first, where `deleted`, else they would go; so `objects` and `bytes` of data.

    `kept`: data of deleted checkpoints that stays.
    """

    run: str
    deleted: bool
    checkpoints: list[Checkpoint]
    objects: int
    bytes: int
    kept: list[KeptData]


class Image(TypedDict):
    """`id` is the engine's own; `bytes` unpacked; `digest` is the registry's, empty where the image was not pushed."""

    image: str
    id: str
    bytes: int
    architecture: str
    dockerfile: str
    pushed: bool
    digest: str


class Error(TypedDict):
    """Three parts: what happened to what, why, and what mends it. `problems`, where several stand in the way."""

    what: str
    why: str
    mend: str
    exit_code: int
    problems: NotRequired[list[Error]]


class Failure(TypedDict):
    error: Error
