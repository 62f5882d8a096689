"""What `--json` prints has exactly the keys that are documented."""

from __future__ import annotations

from collections.abc import Mapping

from runctl import documents
from runctl_agent.contract.phases import Phase
from tests.controller.stage import Stage


def same(found: Mapping[str, object], documented: type, *, absent: str = "") -> None:
    assert found.keys() == documented.__annotations__.keys() - {absent}


def test_every_document(stage: Stage) -> None:
    same(stage.json("launch", "train.py", "--run", stage.run, "--ami", stage.image), documents.Launched)
    planned = stage.json("launch", "train.py", "--ami", stage.image, "--dry-run")
    same(planned, documents.Planned)
    same(planned["code"], documents.Code)
    same(planned["costs"][0], documents.Cost)
    same(stage.json("init", "--destination", stage.s3.destination), documents.Written)
    settled = stage.json("config")
    same(settled, documents.Settled)
    same(settled["settings"][0], documents.SettledOne)
    examined = stage.json("doctor", "--ami", stage.image)
    same(examined, documents.Examined)
    same(examined["findings"][0], documents.Finding)
    (instance,) = (one["InstanceId"] for one in stage.instances())
    stage.posts(stage.state(instance, Phase.FAILED, exit_code=3))
    status = stage.json("status", stage.run)
    same(status, documents.Standing)
    same(status["instance"], documents.Instance)
    same(stage.json("list"), documents.Runs)
    same(stage.json("wait", stage.run, code=10), documents.Verdict)
    same(stage.json("checkpoints", stage.run), documents.Checkpoints)
    same(stage.json("stop", stage.run), documents.Run)
    same(stage.json("start", stage.run), documents.Run)
    same(stage.refused("status", "nothing-like-it", code=5), documents.Error, absent="problems")
