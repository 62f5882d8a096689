"""The run spec's file: what it gives, and what it says of mistakes."""

from __future__ import annotations

import os
import pwd

import pytest

from runctl_agent.config import parse_document, parse_spec
from runctl_agent.contract.spec import (
    Limits,
    Metrics,
    Publish,
    Recover,
    Retention,
    Spec,
    SpecPointer,
    Staging,
    Training,
    Watched,
    encode_run,
)
from runctl_agent.errors import ConfigError
from runctl_agent.yaml_text import YamlText

LEAST = "run: gpt2\ndestination: s3://bucket/prefix\ncheckpoints: [{path: checkpoints}]\n"

WHOLE = """\
run: gpt2-20261123-7f3a
destination: s3://bucket/prefix
project: gpt2
workdir: /home/ubuntu/gpt2
checkpoints:
  - path: checkpoints
    include: ["*"]
    exclude: []
  - path: /data/more
    include: ["*.pt"]
    exclude: ["old-*"]
settle: 500ms
staging: {keep_free: 10%}
retention: {keep_last: 3, keep_every: 1000}
compression: zstd
dedup: false
bandwidth: 200MB/s
training:
  command: [python, train.py]
  user: ubuntu
  env: {OMP_NUM_THREADS: "8"}
  setup: ["pip install -r requirements.txt"]
  code: s3://bucket/prefix/code/0a.tar.gz
  image: ""
  saves_on_signal: true
  stop_signal: SIGUSR1
  signal_to: group
  grace: 1h30m
  pid_file: training.pid
  exit_code_file: training_exit_code.txt
  complete_file: training_complete.txt
  complete_pattern: "^done in [0-9]+"
  log_file: training.log
resume: never
on_finish: terminate
on_failure: keep
limits: {max_runtime: 2d, stalled_after: 30m, idle_gpu_after: 0, attempts_without_progress: 5}
publish: {heartbeat: 30s}
metrics: {textfile: /var/lib/node_exporter/textfile/runctl.prom}
recover: {group: runctl-gpt2, hook: save, hook_timeout: 2m}
isolate_credentials: true
"""


def parse(text: str) -> Spec:
    return parse_spec(text, source="run.yaml", folder="/srv/gpt2")


def mistakes(text: str) -> list[str]:
    """The lines that the error names, without indentation."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.mend == "correct run.yaml at the lines named"
    return [line.strip() for line in caught.value.why.strip().splitlines()]


def test_everything_that_a_spec_can_say() -> None:
    assert parse(WHOLE) == Spec(
        run="gpt2-20261123-7f3a",
        destination="s3://bucket/prefix",
        checkpoints=(Watched("/home/ubuntu/gpt2/checkpoints"), Watched("/data/more", ("*.pt",), ("old-*",))),
        project="gpt2",
        workdir="/home/ubuntu/gpt2",
        settle=0.5,
        staging=Staging(0.1),
        retention=Retention(3, 1000),
        compression="zstd",
        dedup=False,
        bandwidth=200_000_000,
        training=Training(
            command=("python", "train.py"),
            user="ubuntu",
            env={"OMP_NUM_THREADS": "8"},
            setup=("pip install -r requirements.txt",),
            code="s3://bucket/prefix/code/0a.tar.gz",
            saves_on_signal=True,
            stop_signal="SIGUSR1",
            signal_to="group",
            grace=5400.0,
            complete_pattern="^done in [0-9]+",
        ),
        resume="never",
        on_finish="terminate",
        limits=Limits(172_800.0, 1800.0, 0.0, 5),
        publish=Publish(30.0),
        metrics=Metrics("/var/lib/node_exporter/textfile/runctl.prom"),
        recover=Recover("runctl-gpt2", "save", 120.0),
        isolate_credentials=True,
    )


def test_on_an_instance_it_works_in_the_home_of_the_trainings_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    me = pwd.getpwuid(os.geteuid()).pw_name
    own = parse_spec(LEAST + f"training: {{user: {me}}}\n", source="run.yaml", folder="/etc/runctl")
    with_code = parse(LEAST + f"training: {{user: {me}, code: 's3://bucket/code/0a.tar.gz'}}\n")
    assert own.workdir == with_code.workdir == "/home/me/gpt2"
    assert own.checkpoints == (Watched("/home/me/gpt2/checkpoints"),)
    named = LEAST + f"workdir: /data\ntraining: {{user: {me}, code: 's3://bucket/code/0a.tar.gz'}}\n"
    assert parse(named).workdir == "/data"


def test_the_least_that_a_spec_must_say() -> None:
    expected = Spec("gpt2", "s3://bucket/prefix", (Watched("/srv/gpt2/checkpoints"),), workdir="/srv/gpt2")
    assert parse(LEAST) == expected
    assert parse(LEAST + "training:\n") == expected  # a section with nothing in it


@pytest.mark.parametrize(
    ("workdir", "path", "watched"),
    [("work", "out", "/srv/gpt2/work/out"), ("/w", "../out", "/out"), ("/w", "/out/./x/", "/out/x"), ("..", ".", "/srv")],
)
def test_relative_paths_start_at_the_workdir_and_that_at_the_folder(workdir: str, path: str, watched: str) -> None:
    assert parse(LEAST.replace("checkpoints}", f"{path}}}") + f"workdir: {workdir}\n").checkpoints[0].path == watched


def test_run_json_is_itself_a_spec() -> None:
    spec = parse(WHOLE)
    assert parse(encode_run(spec).decode()) == spec


def test_every_mistake_is_reported_at_once_with_line_path_value_and_what_was_expected() -> None:
    text = """\
run: GPT
destination: s3://x--a--x-s3/a
grace: 3s
trainig: {}
checkpoints:
  - paht: foo
  - path: a
  - path: ./a
settle: soon
settle: 3s
training:
  command: train
  signal_to: all
  grase: 1s
on_finish: stop
on_failure: terminate
publish: {heartbeat: 0}
metrics: {textfile: a.prom}
retention: {keep_last: -1}
dedup: "no"
"""
    assert mistakes(text) == [
        "line 1: run: 'GPT' is not a run name: 1 to 63 of a-z, 0-9 and -, not starting with -",
        "line 2: destination: x--a--x-s3 is a directory bucket, which lists keys in no order: use a general purpose bucket",
        "line 3: grace: unknown key; the nearest is `training.grace`",
        "line 4: trainig: unknown key; the nearest is `training`",
        "line 6: checkpoints[0].paht: unknown key; the nearest is `checkpoints[0].path`",
        "line 6: checkpoints[0].path: missing, and required",
        "line 8: checkpoints[2].path: './a' is watched already",
        "line 9: settle: stands twice: in line 9, and again in line 10",
        "line 12: training.command: expected a list of the program and its arguments, such as [python, train.py], not 'train'",
        "line 13: training.signal_to: expected main or group, not 'all'",
        "line 14: training.grase: unknown key; the nearest is `training.grace`",
        "line 16: on_failure: terminate beside on_finish stop: a run takes one power action, or none",
        "line 17: publish.heartbeat: expected a duration such as 500ms, 2s, 30m or 1h30m, or a number of seconds, above 0",
        "line 18: metrics.textfile: expected an absolute path that ends in .prom, for node_exporter reads no other, not 'a.prom'",
        "line 19: retention.keep_last: expected a whole number from 0 on, not -1",
        "line 20: dedup: expected true or false, not 'no'",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("settle: -2s", "settle: expected a duration"),
        ("settle: [2]", "settle: expected a duration"),
        ("settle: .inf", "settle: expected a duration"),
        ("settle: 1:30", "settle: expected a duration"),
        ("bandwidth: 20Mb/s", "bandwidth: expected a size"),
        ("bandwidth: -1", "bandwidth: expected a size"),
        ("staging: {keep_free: 100%}", "staging.keep_free: expected a percentage below 100%"),
        ("staging: 10%", "staging: expected a mapping of settings, not '10%'"),
        ("retention: {keep_last: 1.5}", "retention.keep_last: expected a whole number, not 1.5"),
        ("retention: {keep_last: true}", "retention.keep_last: expected a whole number, not true"),
        ("compression: gzip", "compression: expected none, zstd or auto, not 'gzip'"),
        ("resume: no", "resume: expected auto or never, not false"),
        ("workdir: ~/gpt2", "workdir: '~/gpt2' begins with ~"),
        ('workdir: "a\\0b"', "workdir: 'a\\x00b' has a NUL"),
        ("project: 7", "project: expected text, not 7"),
        ("training: {command: [python, 1]}", "training.command[1]: expected text, not 1"),
        ("training: {stop_signal: TERM}", "training.stop_signal: expected the name of a signal"),
        ("training: {stop_signal: SIGKILL}", "training.stop_signal: a process can't answer SIGKILL"),
        ('training: {complete_pattern: "("}', "training.complete_pattern: '(' is not a regular expression"),
        ("training: {env: {9: x}}", "training.env: expected text, not 9"),
        ("training: {env: {A-B: x}}", "training.env: 'A-B' is not the name of a variable"),
        ("training: {code: /tmp/x}", "training.code: expected s3://bucket/key, not '/tmp/x'"),
        ("training: {user: a b}", "training.user: 'a b' is not the name of a user"),
        ("spec: s3://b/k", "spec: stands alone"),
        ("3: x", "3: unknown key"),
        ("<<: {a: b}", "<<: unknown key"),
        ("training: !!python/object:os.system {}", "training: a value of the kind"),
        ("? [a]\n: b", "a key that is itself a list or a mapping"),
    ],
)
def test_what_is_wrong_is_named(line: str, expected: str) -> None:
    found = mistakes(LEAST + line + "\n")
    assert len(found) == 1
    assert found[0].startswith("line 4: " + expected) or (line.startswith("?") and expected in found[0])


@pytest.mark.parametrize(
    "checkpoints",
    ["[]", "{}", "checkpoints", "[checkpoints]", '[{path: ""}]', "[{path: a, include: []}]", "[{path: a, exclude: [a/b]}]"],
)
def test_checkpoints_are_one_or_more_mappings(checkpoints: str) -> None:
    found = mistakes(LEAST.replace("[{path: checkpoints}]", checkpoints))
    assert len(found) == 1
    assert found[0].startswith("line 3: checkpoints")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "line 1: there is nothing in it"),
        ("# only a comment\n", "line 1: there is nothing in it"),
        ("- run\n", "line 1: expected a mapping of settings, not a list"),
        ("just words", "line 1: expected a mapping of settings, not 'just words'"),
        ("run: a\n\tsettle: 2s\n", "line 2: not YAML: "),
        ("run: a\nx: \x07", "line 2: not YAML: the character U+0007 can't stand in YAML"),
        ("run: [a\n", "line 2: not YAML: "),
        ("run: *nowhere\n", "line 1: not YAML: "),
        ("a: 1\n---\nb: 2\n", "line 2: not YAML: "),
        ("[" * 5000, "line 1: nested too deeply"),
        ("a: &a [x]\nb: *a\n", "line 2: b: an alias: write its value out"),
        ("a: &a [*a]\n", "line 1: a[0]: an alias: write its value out"),
    ],
)
def test_what_is_no_spec_at_all(text: str, expected: str) -> None:
    assert any(line.startswith(expected) for line in mistakes(text))


def test_aliases_of_aliases_do_not_grow() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60))
    assert len(mistakes(LEAST + bomb)) < 300


def test_the_value_of_a_variable_is_never_shown() -> None:
    for value in ("314159265", '"314159265\\0"'):
        found = mistakes(LEAST + f"training: {{env: {{API_KEY: {value}}}}}\n")
        assert "API_KEY" in found[0]
        assert "314159265" not in found[0]


def test_a_pointer_says_where_the_spec_lies() -> None:
    text = "spec: s3://bucket/prefix/run.yaml\n"
    assert parse_document(text, source="x", folder="/") == SpecPointer("s3://bucket/prefix/run.yaml")
    with pytest.raises(ConfigError, match="it points to s3://bucket/prefix/run"):
        parse(text)
    assert mistakes("spec: here\n") == ["line 1: spec: expected s3://bucket/key, not 'here'"]


@pytest.mark.parametrize("again", ["true", "1.0", "0x1"])
def test_a_key_that_stands_twice_in_another_spelling_is_named(again: str) -> None:
    """To Python, 1 and true are one key."""
    document = YamlText(f"a: 1\nb:\n  1: x\n  {again}: y\n")
    assert [str(mistake) for mistake in document.mistakes if "stands twice" in mistake.reason]
    assert not any("not YAML" in mistake.reason for mistake in document.mistakes)
