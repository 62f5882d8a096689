"""An hour of all of it at random: python -m tests.proof.soak [--minutes N] [--seed N] (make soak).

Checkpoints are written and rotated, alone and in storms, among bursts of other files; the server freezes, is killed, is cut off
(iptables, root); the agent freezes, is stopped and is killed. At the end all is there once and whole, and within each life of the
agent memory, descriptors and threads were flat.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from runctl_simulator.seaweed import SeaweedFS
from tests.e2e.seaweed import S3
from tests.proof.proven import Proven, cut_off

KEPT = 20
"""Checkpoints that rotation leaves."""

WARM = 60.0
"""Seconds of a life before what it uses is counted."""

LOOSE = 1.2
"""What a life may use at its end, of what it used at its beginning; and a little of which one more or less is nothing."""
SPARE = {"MiB": 8.0, "descriptors": 8.0, "threads": 4.0}


@dataclass
class Life:
    """One process; `used`: by name, each look after it was warm."""

    process: subprocess.Popen[bytes]
    began: float
    used: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in SPARE})

    def look(self, now: float) -> None:
        if now - self.began < WARM:
            return
        one = psutil.Process(self.process.pid)
        self.used["MiB"].append(one.memory_info().rss / 2**20)
        self.used["descriptors"].append(one.num_fds())
        self.used["threads"].append(one.num_threads())

    def grown(self) -> list[str]:
        """What was not flat: the last third against the first."""
        found = []
        for name, looks in self.used.items():
            third = len(looks) // 3
            if third < 3:
                continue
            first, last = statistics.median(looks[:third]), statistics.median(looks[-third:])
            if last > first * LOOSE + SPARE[name]:
                found.append(f"{name}: {first:.0f} to {last:.0f}")
        return found


class Soak:
    def __init__(self, folder: Path, server: SeaweedFS, seed: int) -> None:
        self.chance = random.Random(seed)
        self.server = server
        self.proven = Proven(folder, S3(server.endpoint, "soak"))
        self.lives: list[Life] = []
        self.done: dict[str, int] = {}

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        self._begin()
        while (now := time.monotonic()) < end:
            self._act()
            self.lives[-1].look(now)
            time.sleep(self.chance.uniform(0.0, 2.0))
        self._stop(signal.SIGTERM)

    def _act(self) -> None:
        often = [self._save] * 200 + [self._storm] * 4 + [self._burst] * 2
        seldom = [self._freeze_server, self._freeze_agent, self._kill_server, self._cut_off] * 2 + [self._restart, self._kill]
        act = self.chance.choice(often + seldom)
        self.done[act.__name__.strip("_")] = self.done.get(act.__name__.strip("_"), 0) + 1
        act()

    def _save(self, most: float = 7.0) -> None:
        """From 1 KB to ten to the power of `most` bytes."""
        step = len(self.proven.sizes) + 1
        self.proven.save(step, int(10 ** self.chance.uniform(3, most)))
        old = self.proven.watched / f"model_step_{step - KEPT}.bin"
        old.unlink(missing_ok=True)

    def _freeze_server(self) -> None:
        self._frozen(self.server.pid)

    def _freeze_agent(self) -> None:
        self._frozen(self.lives[-1].process.pid)

    def _frozen(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        try:
            self._save_for_a_while()
        finally:
            os.kill(pid, signal.SIGCONT)

    def _save_for_a_while(self) -> None:
        for _ in range(self.chance.randrange(1, 8)):
            time.sleep(2.0)
            self._save()

    def _kill_server(self) -> None:
        self.server.kill()
        self._save_for_a_while()
        self.server.start()

    def _cut_off(self) -> None:
        with cut_off(self.server.endpoint):
            self._save_for_a_while()

    def _storm(self) -> None:
        """Each stands for two seconds."""
        for _ in range(2 * KEPT):
            self._save(most=4.5)
            time.sleep(2 / KEPT)

    def _burst(self) -> None:
        for number in range(20_000):
            passing = self.proven.watched / f"shard-{number}.tmp"
            passing.touch()
            passing.unlink()

    def _restart(self) -> None:
        self._stop(signal.SIGTERM)
        self._begin()

    def _kill(self) -> None:
        self._stop(signal.SIGKILL)
        self._begin()

    def _begin(self) -> None:
        self.lives.append(Life(self.proven.begin(), time.monotonic()))

    def _stop(self, number: signal.Signals) -> None:
        process = self.lives[-1].process
        assert process.poll() is None, self.proven.log.read_text()[-3000:]
        process.send_signal(number)
        process.wait(300)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="runctl-soak-") as place, SeaweedFS(Path(place) / "seaweed") as server:
        (folder := Path(place) / "run").mkdir()
        soak = Soak(folder, server, options.seed)
        soak.run(options.minutes * 60)
        soak.proven.until_all_is_safe()
        print(f"{options.minutes:g} minutes: {soak.proven.prove()}")
        print(", ".join(f"{count} × {name}" for name, count in sorted(soak.done.items())))
        longest = max(soak.lives, key=lambda life: len(life.used["MiB"]))
        for name, looks in longest.used.items():
            if looks:
                middle = statistics.median(looks)
                print(f"{name}, of the longest life: first {looks[0]:.0f}, median {middle:.0f}, last {looks[-1]:.0f}")
        grown = [text for life in soak.lives for text in life.grown()]
        print("not flat: " + "; ".join(grown) if grown else "memory, descriptors and threads are flat")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
