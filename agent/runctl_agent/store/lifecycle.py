"""What the lifecycle rules of a bucket do to a run. Pure: rules are as GetBucketLifecycleConfiguration writes them.

Sources: "Lifecycle configuration elements" and "Configuring a bucket lifecycle configuration to delete incomplete multipart
uploads" (Amazon S3 User Guide); PutBucketLifecycleConfiguration (Amazon S3 API Reference), which replaces all rules.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runctl_agent.contract.keys import Keys
from runctl_agent.errors import WrongStateError

Rule = Mapping[str, Any]

ARCHIVES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes whose objects can't be read until somebody asked for them and hours have passed."""

DAYS = 7
"""For which an upload may stand unfinished: longer than any outage that an agent goes on after."""


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """`small`: what becomes of objects below 128 KiB in transitions, where S3 says it (TransitionDefaultMinimumObjectSize)."""

    rules: tuple[Rule, ...]
    small: str = ""


@dataclass(frozen=True, slots=True)
class Advice:
    """`mend` is empty where nothing is to be mended."""

    text: str
    mend: str = ""


def examine(found: Lifecycle, bucket: str, keys: Keys) -> Advice:
    """Raises WrongStateError for rules that delete what a run needs."""
    standing = [rule for rule in found.rules if rule.get("Status") == "Enabled"]
    deadly = [rule for rule in standing if _expires(rule) and _reaches(rule, keys)]
    archiving = [rule for rule in standing if _archives(rule) and _reaches(rule, keys)]
    aborting = [rule for rule in standing if _aborts(rule) is not None and _covers(rule, keys)]
    if not (deadly or archiving) and aborting:
        days = min(_aborts(rule) or 0 for rule in aborting)
        return Advice(f"unfinished uploads are aborted after {days} d, and nothing of the run expires")
    kept = [rule for rule in found.rules if rule not in deadly and rule not in archiving]
    mend = _command(bucket, [*kept, *([] if aborting else [_abort_rule(keys)])], found.small)
    if deadly:
        raise WrongStateError(
            f"{_named(deadly)} of s3://{bucket} expires what lies below {keys.base}",
            "S3 would delete checkpoints by their age, the newest too; only retention and prune may",
            f"let `destination` lie where no such rule reaches, or take it out: {mend}",
        )
    problems = [f"{_named(archiving)} moves checkpoints to an archive, from which nothing can be restored"] if archiving else []
    if not aborting:
        problems.append("no rule aborts what agents that never came back left unfinished, which is billed for ever")
    return Advice("; ".join(problems), mend)


def _expires(rule: Rule) -> bool:
    """Noncurrent versions, and delete markers that hide nothing, may go."""
    return bool({"Days", "Date"} & rule.get("Expiration", {}).keys())


def _archives(rule: Rule) -> bool:
    return any(transition.get("StorageClass") in ARCHIVES for transition in rule.get("Transitions", ()))


def _aborts(rule: Rule) -> int | None:
    days = rule.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
    return days if isinstance(days, int) else None


def _reaches(rule: Rule, keys: Keys) -> bool:
    """Whether it touches anything that a run can't do without. The agent tags no object; sizes are of any kind."""
    prefix, tagged = _filter(rule)
    needed = (keys.base + "data/", keys.manifests, keys.pins, keys.latest, keys.epoch, keys.gc, keys.run_spec)
    return not tagged and any(key.startswith(prefix) or prefix.startswith(key) for key in needed)


def _covers(rule: Rule, keys: Keys) -> bool:
    prefix, tagged = _filter(rule)
    return not tagged and (keys.base + "data/").startswith(prefix)


def _filter(rule: Rule) -> tuple[str, bool]:
    """The prefix, and whether only objects with some tag are meant. Old rules have the prefix outside of a filter."""
    chosen = rule.get("Filter", rule)
    chosen = chosen.get("And", chosen)
    return chosen.get("Prefix") or "", bool(chosen.get("Tag") or chosen.get("Tags"))


def _abort_rule(keys: Keys) -> Rule:
    return {
        "ID": "runctl-unfinished-uploads",
        "Status": "Enabled",
        "Filter": {"Prefix": f"{keys.prefix}/" if keys.prefix else ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": DAYS},
    }


def _named(rules: Sequence[Rule]) -> str:
    names = ", ".join(repr(rule.get("ID", "")) for rule in rules)
    return f"the lifecycle rule {names}" if len(rules) == 1 else f"each of the lifecycle rules {names}"


def _command(bucket: str, rules: Sequence[Rule], small: str) -> str:
    """With every rule that stays: what is put takes the place of all."""
    whole = json.dumps({"Rules": rules}, separators=(",", ":"), default=lambda date: date.isoformat())
    sizes = f" --transition-default-minimum-object-size {shlex.quote(small)}" if small else ""
    command = "aws s3api put-bucket-lifecycle-configuration"
    return f"`{command} --bucket {bucket}{sizes} --lifecycle-configuration {shlex.quote(whole)}`"
