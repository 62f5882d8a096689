"""Which lifecycle rules harm a run, and what takes their place."""

from __future__ import annotations

import json
import shlex
from datetime import UTC, datetime
from typing import Any

import pytest

from runctl_agent.contract.keys import Keys
from runctl_agent.errors import WrongStateError
from runctl_agent.store.lifecycle import DAYS, Advice, Lifecycle, Rule, examine

KEYS = Keys("prefix", "gpt2")
ABORT: dict[str, Any] = {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3}}


def rule(name: str = "r", prefix: str = "", *, status: str = "Enabled", **what: Any) -> Rule:
    return {"ID": name, "Status": status, "Filter": {"Prefix": prefix}, **what}


def examined(*rules: Rule, small: str = "", keys: Keys = KEYS) -> Advice:
    return examine(Lifecycle(rules, small), "bucket", keys)


def refused(*rules: Rule) -> WrongStateError:
    with pytest.raises(WrongStateError) as caught:
        examined(*rules)
    return caught.value


def put(mend: str) -> tuple[list[str], list[Rule]]:
    """The options of the command in a mend, and the rules that it leaves."""
    words = shlex.split(mend[mend.index("`aws ") + 1 : mend.rindex("`")])
    at = words.index("--lifecycle-configuration")
    assert words[:3] == ["aws", "s3api", "put-bucket-lifecycle-configuration"]
    return words[3:at], json.loads(words[at + 1])["Rules"]


@pytest.mark.parametrize("prefix", ["", "pre", "prefix/", "prefix/gpt2/", "prefix/gpt2/data/"])
def test_a_rule_that_aborts_everywhere_is_well(prefix: str) -> None:
    assert examined(rule("a", prefix, **ABORT)) == Advice(
        "unfinished uploads are aborted after 3 d, and nothing of the run expires"
    )


@pytest.mark.parametrize(
    "rules",
    [
        (),
        (rule("other run", "prefix/gpt3/", **ABORT),),
        (rule("one checkpoint", "prefix/gpt2/data/000001", **ABORT),),
        (rule("off", status="Disabled", **ABORT),),
    ],
)
def test_without_one_the_mend_adds_it_and_keeps_the_others(rules: tuple[Rule, ...]) -> None:
    advice = examined(*rules)
    assert "no rule aborts" in advice.text
    options, left = put(advice.mend)
    assert options == ["--bucket", "bucket"]
    assert left[:-1] == list(rules)
    assert left[-1]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": DAYS}
    assert left[-1]["Filter"] == {"Prefix": "prefix/"}, "the bucket may be others' too"
    assert examined(*left).mend == ""


def test_a_destination_without_a_prefix_is_the_bucket() -> None:
    _, left = put(examined(keys=Keys("", "gpt2")).mend)
    assert left[-1]["Filter"] == {"Prefix": ""}
    assert examined(*left, keys=Keys("", "gpt2")).mend == ""


@pytest.mark.parametrize("expiration", [{"Days": 30}, {"Date": datetime(2030, 1, 1, tzinfo=UTC)}])
@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "prefix/",
        "prefix/gpt2/data/",
        "prefix/gpt2/data/000001-00000001/a",
        "prefix/gpt2/manifests/",
        "prefix/gpt2/latest",
        "prefix/gpt2/pins/",
        "prefix/gpt2/gc.json",
    ],
)
def test_a_rule_that_deletes_what_a_run_needs_is_refused(prefix: str, expiration: dict[str, Any]) -> None:
    deadly = rule("old's", prefix, Expiration=expiration)
    error = refused(rule("keep", "elsewhere/", Expiration={"Days": 1}), deadly)
    assert "old's" in error.what
    assert "s3://bucket" in error.what
    _, left = put(error.mend)
    assert [one["ID"] for one in left] == ["keep", "runctl-unfinished-uploads"]
    assert examined(*left).mend == ""


@pytest.mark.parametrize(
    "chosen",
    [
        {"Prefix": ""},  # as rules were before filters
        {"Filter": {}},
        {"Filter": {"ObjectSizeGreaterThan": 5}},
        {"Filter": {"And": {"Prefix": "prefix/", "ObjectSizeLessThan": 10**12}}},
    ],
)
def test_every_form_of_a_filter_is_understood(chosen: dict[str, Any]) -> None:
    deadly = {"ID": "old", "Status": "Enabled", "Expiration": {"Days": 1}, **chosen}
    assert "'old'" in refused(deadly).what


@pytest.mark.parametrize(
    "harmless",
    [
        rule("other run", "prefix/gpt3/", Expiration={"Days": 1}),
        rule("its logs", "prefix/gpt2/logs/", Expiration={"Days": 1}),
        rule("off", status="Disabled", Expiration={"Days": 1}),
        rule("versions", NoncurrentVersionExpiration={"NoncurrentDays": 1}),
        rule("markers", Expiration={"ExpiredObjectDeleteMarker": True}),
        rule("cheaper", Transitions=[{"Days": 30, "StorageClass": "GLACIER_IR"}]),
        rule("old versions", NoncurrentVersionTransitions=[{"NoncurrentDays": 1, "StorageClass": "GLACIER"}]),
        {"ID": "tag", "Status": "Enabled", "Filter": {"Tag": {"Key": "k", "Value": "v"}}, "Expiration": {"Days": 1}},
        {
            "ID": "tags",
            "Status": "Enabled",
            "Filter": {"And": {"Prefix": "", "Tags": [{"Key": "k", "Value": "v"}]}},
            "Expiration": {"Days": 1},
        },
    ],
    ids=lambda one: one["ID"],
)
def test_what_never_meets_a_checkpoint_is_left_alone(harmless: Rule) -> None:
    assert examined(harmless, rule("a", **ABORT)).mend == ""


@pytest.mark.parametrize("archive", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archive_is_told_of(archive: str) -> None:
    advice = examined(rule("a", **ABORT), rule("cold", "prefix/", Transitions=[{"Days": 30, "StorageClass": archive}]))
    assert "'cold' moves checkpoints to an archive" in advice.text
    _, left = put(advice.mend)
    assert [one["ID"] for one in left] == ["a"]


def test_how_small_objects_are_moved_stays_as_it_was() -> None:
    options, _ = put(examined(small="varies_by_storage_class").mend)
    assert options == ["--bucket", "bucket", "--transition-default-minimum-object-size", "varies_by_storage_class"]
