"""From the moment that the instance metadata has a notice to the state that says so: the real agent, all four sources."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.instance import AMI
from runctl_agent.training.notice import Source
from runctl_simulator.imds import Identity, ImdsServer, ScheduledEvent
from tests.e2e.agent import Agent
from tests.e2e.moto_server import moto_server
from tests.e2e.seaweed import S3, SeaweedFS

PATIENCE = 30.0
PERIOD = 2.0
"""Seconds between two looks of the agent: each notice comes at a moment of it that is drawn by lot."""


def measure(lives: int, base: Path) -> dict[str, list[float]]:
    """Milliseconds of each source, one a life; what matters least comes first, so that each is what the state names next."""
    taken: dict[str, list[float]] = {source.value: [] for source in reversed(Source)}
    with SeaweedFS(base / "s3") as server, moto_server(base) as endpoint:
        for number in range(lives):
            folder = base / f"life-{number}"
            (folder / "checkpoints").mkdir(parents=True)
            with ImdsServer(Identity(image_id=AMI)) as imds:
                imds.set_lifecycle_state("InService")
                agent = Agent(folder, S3(server.endpoint, folder.name), checkpoints=folder / "checkpoints")
                agent.env |= {
                    "AWS_EC2_METADATA_DISABLED": "",
                    "AWS_EC2_METADATA_SERVICE_ENDPOINT": imds.endpoint,
                    "AWS_ENDPOINT_URL_EC2": endpoint,
                }
                with agent.running():
                    agent.wait_for(lambda status: status["phase"] == "waiting")
                    for source, tell in _tellers(imds).items():
                        taken[source].append(_seen(agent, source, tell))
    return taken


def _tellers(imds: ImdsServer) -> dict[str, Callable[[], None]]:
    later = datetime.now(UTC) + timedelta(hours=1)
    event = ScheduledEvent("system-reboot", later, later + timedelta(hours=1))
    return {
        Source.EVENT.value: lambda: imds.schedule(event),
        Source.REBALANCE.value: lambda: imds.recommend_rebalance(datetime.now(UTC)),
        Source.GROUP.value: lambda: imds.set_lifecycle_state("Terminated"),
        Source.SPOT.value: lambda: imds.interrupt_spot("terminate", later),
    }


def _seen(agent: Agent, source: str, tell: Callable[[], None]) -> float:
    time.sleep(random.uniform(0, PERIOD))
    tell()
    told = time.monotonic()
    while not str(agent.status().get("notice", "")).startswith(source):
        if time.monotonic() - told > PATIENCE:
            raise TimeoutError(f"no state names the notice of {source}: {agent.log.read_text()[-2000:]}")
        time.sleep(0.005)
    return 1000 * (time.monotonic() - told)
