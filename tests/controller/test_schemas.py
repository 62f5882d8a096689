"""docs/schemas says what `--json` prints: the stage holds every document of every test against it."""

from __future__ import annotations

import inspect

import pytest
from jsonschema import Draft202012Validator, ValidationError

from runctl.cli import application
from tests.controller import schemas
from tests.controller.stage import Stage
from tests.controller.test_list import commit


def test_every_command_that_prints_json_has_a_schema() -> None:
    commands = {one.name: one.callback for one in application().registered_commands}
    for group in application().registered_groups:
        assert group.typer_instance is not None
        commands |= {
            f"{group.typer_instance.info.name}-{one.name}": one.callback for one in group.typer_instance.registered_commands
        }
    printing = {name for name, callback in commands.items() if callback and "as_json" in inspect.signature(callback).parameters}
    assert printing == set(schemas.COMMANDS) - {schemas.ERROR}
    assert {path.stem for path in schemas.FOLDER.iterdir()} == set(schemas.COMMANDS)


@pytest.mark.parametrize("command", schemas.COMMANDS)
def test_the_files_say_what_the_code_does(command: str) -> None:
    Draft202012Validator.check_schema(schemas.schema(command))
    written = (schemas.FOLDER / f"{command}.json").read_text()
    assert written == schemas.text(command), "python -m tests.controller.schemas writes them anew"


@pytest.mark.parametrize("wrong", [{}, {"runs": None}, {"runs": [], "more": 1}, {"runs": [{"run": "x"}]}, []])
def test_a_document_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError):
        schemas.check("list", wrong)


def test_those_that_no_other_test_prints(stage: Stage) -> None:
    """`launch`, `list`, `status`, `wait`, `stop`, `start`, `flush`, `terminate` and `error` are printed all over."""
    instance = stage.launch("--config", str(kept(stage)))
    commit(stage, "checkpoint-10", 10, b"ten", seq=1)
    commit(stage, "checkpoint-20", 20, b"twenty", seq=2)
    assert stage.json("checkpoints", stage.run, "--verify")["checkpoints"][0]["verified"] == "now"
    assert stage.json("pull", stage.run)["checkpoint"] == "checkpoint-20"
    assert stage.json("logs", stage.run)["attempts"] == []
    assert stage.json("prune", stage.run, "--dry-run")["deleted"] is False
    stage.ec2.terminate_instances(InstanceIds=[instance])
    assert stage.json("resume", stage.run, "--dry-run")["request"]
    assert stage.json("resume", stage.run)["instance"]


def kept(stage: Stage) -> object:
    file = stage.folder / "run.yaml"
    file.write_text("retention: {keep_last: 1}\n")
    return file
