"""The destination in the run spec is changed: what is pending goes along only while nothing was written elsewhere."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.e2e.agent import Agent
from tests.e2e.seaweed import S3


def torch_like(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x80\x04N.")  # a whole pickle


def redirect(agent: Agent, destination: str) -> None:
    spec = yaml.safe_load(agent.config.read_text())
    spec["destination"] = destination
    agent.config.write_text(yaml.safe_dump(spec))


def test_after_the_first_epoch_it_is_refused_and_the_old_one_still_works(s3: S3, tmp_path: Path) -> None:
    watched = tmp_path / "checkpoints"
    torch_like(watched / "model_step_1.pt")
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms")
    agent.command("flush")
    redirect(agent, s3.destination + "-elsewhere")
    refused = agent.command("flush", check=False)
    assert refused.returncode == 6
    assert "belongs to " + s3.destination in refused.stderr
    assert "--state-dir" in refused.stderr
    assert list(s3.store().list(f"{s3.prefix}-elsewhere/")) == []
    redirect(agent, s3.destination)
    agent.command("flush")


def test_before_that_what_is_pending_goes_to_the_corrected_one(s3: S3, tmp_path: Path) -> None:
    watched = tmp_path / "checkpoints"
    torch_like(watched / "model_step_1.pt")
    agent = Agent(tmp_path, s3, checkpoints=watched, settle="300ms")
    redirect(agent, "s3://no-such-bucket-of-anybody/runs")
    assert agent.command("flush", check=False).returncode == 4
    (watched / "model_step_1.pt").unlink()
    redirect(agent, s3.destination)
    agent.command("flush")
    found = list(s3.store().list(f"{s3.prefix}/{agent.run}/manifests/"))
    assert len(found) == 1
    assert found[0].endswith("000001-00000001-model_step_1.pt.json")
