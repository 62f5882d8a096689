"""Two machines on one run, each with its own checkpoints: the second takes over, the first says so, nothing of either is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from runctl_agent.contract.manifest import Latest, decode_latest
from tests.e2e.committed import committed
from tests.proof.proven import Proven


def test_the_first_is_fenced_and_both_are_whole(proven: Proven, tmp_path: Path) -> None:
    (place := tmp_path / "second").mkdir()
    second = Proven(place, replace(proven.s3))
    with proven.running() as process:
        for step in range(1, 6):
            proven.save(step, 3_000_000)
        proven.wait_for(lambda status: status["commits"] == 5, process)
        with second.running() as other:
            second.wait_for(lambda status: status["epoch"] == 2, other)
            for step in range(1, 11):
                second.save(100 + step, 3_000_000)
                proven.save(200 + step, 3_000_000)
            second.wait_for(lambda status: status["commits"] == 10 and status["pending_checkpoints"] == 0, other)
            status = proven.wait_for(lambda status: status["commits"] == 15 and status["pending_checkpoints"] == 0, process)
            assert [one["name"] for one in status["conditions"]] == ["Fenced"]
            assert second.status()["conditions"] == []
        with proven.s3.store() as store:
            stored = store.get(f"{proven.s3.prefix}/{proven.run}/latest.json")
    assert stored is not None
    latest = decode_latest(stored.body)
    assert isinstance(latest, Latest)
    assert latest.manifest is not None
    assert "model_step_110.bin" in latest.manifest, "the second's newest, whatever the first's steps are"
    assert len(committed(proven.s3, proven.run)) == 25
    proven.sizes |= second.sizes
    print(f"two agents: {proven.prove()}")
