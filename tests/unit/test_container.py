"""The arguments of docker, and what it says, without docker."""

from __future__ import annotations

import csv
import json
from dataclasses import fields, replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runctl_agent.account import Account
from runctl_agent.contract.malformed import Malformed
from runctl_agent.training.container import (
    OPEN,
    Around,
    by_name,
    create_arguments,
    inner_env,
    needed,
    obeyed,
    parse_found,
)
from runctl_agent.training.job import Inside, decode_job, encode_job

JOB = Inside(
    user=Account("ubuntu", 1000, 1001, "/home/ubuntu", "/bin/bash"),
    workdir="/home/ubuntu/gpt2",
    env={"KEY": "secret", "DOCKER_HOST": "tcp://elsewhere", "HOME": "/home/ubuntu/gpt2"},
    command=("python", "train.py", "--privileged"),
    log_file="training.log",
    run="gpt2",
    attempt=3,
    state_dir="/var/lib/runctl",
    pid_file="training.pid",
    exit_code_file="code.txt",
    complete_file="",
    image="ghcr.io/me/gpt2:1",
    setup=("pip install x",),
    mounts=("/home/ubuntu/gpt2",),
    stop_signal="SIGUSR1",
    stop_timeout=90,
)
AROUND = Around("boot", (27, 44), False, ("/home/ubuntu/gpt2", '/mnt/a,"b"'))

INSPECTED = {
    "Id": "0123",
    "State": {
        "Status": "exited",
        "Running": False,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": True,
        "Dead": False,
        "Pid": 0,
        "ExitCode": 137,
        "Error": "",
        "StartedAt": "2026-11-26T18:32:31.303343467Z",
        "FinishedAt": "2026-11-26T18:32:32.303343467Z",
    },
    "Config": {"Labels": {"runctl.run": "gpt2"}},
}
"""The shape is what podman's service answers the real client; the OOM flag is set by hand: no runtime here raises it."""


def options(arguments: list[str], name: str) -> list[str]:
    return [value for option, value in pairwise(arguments) if option == name]


def test_how_it_is_made() -> None:
    made = create_arguments(JOB, AROUND, "/proc/self/fd/9")
    ours, inner = made[: made.index(JOB.image)], made[made.index(JOB.image) :]
    assert made[:3] == ["create", "--name", "runctl-gpt2-3"]
    assert {"--init", "--ipc", "--network", "--userns"} <= set(ours)
    assert options(ours, "--user") == ["1000:1001"]
    assert options(ours, "--group-add") == ["27", "44"]
    assert options(ours, "--workdir") == [JOB.workdir]
    assert options(ours, "--label") == ["runctl.run=gpt2", "runctl.attempt=3", "runctl.boot=boot"]
    assert (options(ours, "--stop-signal"), options(ours, "--stop-timeout")) == (["SIGUSR1"], ["90"])
    assert options(ours, "--entrypoint") == ["/bin/sh"]
    assert inner[1:5] == ["-c", OPEN, "runctl", "/home/ubuntu/gpt2/training.log"]
    assert "pip install x" in inner[5]
    assert inner[6:] == list(JOB.command), "what follows the image is the command's"


def test_what_it_must_not_have() -> None:
    made = create_arguments(JOB, AROUND, "/proc/self/fd/9")
    ours = made[: made.index(JOB.image)]
    assert "--privileged" not in ours
    assert "--rm" not in ours, "its end has to be read first"
    assert "--gpus" not in ours
    assert not any("secret" in argument or "tcp://" in argument for argument in made)
    assert options(ours, "--env") == ["KEY"], "the others are for the client, too: they come by the file"


def test_gpus_where_there_are_some() -> None:
    assert options(create_arguments(JOB, replace(AROUND, gpus=True), "/f"), "--gpus") == ["all"]


def test_a_mount_is_a_line_of_csv() -> None:
    lines = options(create_arguments(JOB, AROUND, "/f"), "--mount")
    assert [next(csv.reader([line])) for line in lines] == [
        ["type=bind", f"source={path}", f"target={path}"] for path in AROUND.mounts
    ]


def test_a_signal_to_the_group() -> None:
    assert "TINI_KILL_PROCESS_GROUP" not in inner_env(JOB)
    assert inner_env(replace(JOB, to_group=True))["TINI_KILL_PROCESS_GROUP"] == "1"


@given(st.dictionaries(st.text(min_size=1), st.text()))
def test_every_variable_goes_one_way(env: dict[str, str]) -> None:
    assert set(by_name(env)) == {name for name in env if not obeyed(name)}


@given(st.lists(st.lists(st.sampled_from(["a", "ab", "b"]), min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))))
def test_every_path_lies_below_one_mount_and_no_mount_below_another(paths: list[str]) -> None:
    kept = needed(paths)
    for path in paths:
        assert sum(f"{path}/".startswith(f"{mount}/") for mount in kept) == 1
    assert set(kept) <= set(paths)


def test_what_docker_says_of_an_end() -> None:
    found = parse_found(json.dumps(INSPECTED))
    assert not isinstance(found, Malformed)
    assert (found.over, found.begun, found.pid, found.code, found.oom) == (True, True, 0, 137, True)
    assert found.finished - found.started == pytest.approx(1.0)


def test_one_that_was_only_made() -> None:
    state = {**INSPECTED["State"], "Status": "created", "ExitCode": 0, "StartedAt": "0001-01-01T00:00:00Z"}  # type: ignore[dict-item]
    found = parse_found(json.dumps({**INSPECTED, "State": state}))
    assert not isinstance(found, Malformed)
    assert (found.over, found.begun) == (False, False)


@pytest.mark.parametrize("state", [{"Pid": 1e999}, {"StartedAt": "0002-01-01T00:00:00"}, {"FinishedAt": "9999-12-31T23:59:59"}])
def test_numbers_and_times_that_nothing_can_have_are_malformed(state: dict[str, object]) -> None:
    text = json.dumps({**INSPECTED, "State": {**INSPECTED["State"], **state}})  # type: ignore[dict-item]
    found = parse_found(text.replace("Infinity", "1e999"))
    assert isinstance(found, Malformed) or state.get("Pid") is None


def test_what_is_nested_too_deeply_is_malformed() -> None:
    assert isinstance(parse_found("[" * 100_000), Malformed)


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5).map(json.dumps))
def test_garbage_is_malformed(text: str) -> None:
    assert isinstance(parse_found(text), Malformed)


def test_the_job_on_its_way_to_the_worker() -> None:
    again = decode_job(encode_job(JOB))
    assert isinstance(again, Inside)
    assert {field.name: getattr(again, field.name) for field in fields(Inside)} == {
        field.name: getattr(JOB, field.name) for field in fields(Inside)
    }
