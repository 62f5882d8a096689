"""Every benchmark still runs and says what its goals speak of; never how fast anything was."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from bench.__main__ import NAMES, command, results

ROOT = Path(__file__).parents[2]

FIGURES = {
    "upload": {"cpu_ratio_to_best", "speed_ratio_to_best", "peak_rss_mib"},
    "restore": {"cpu_ratio_to_best", "speed_ratio_to_best", "peak_rss_mib"},
    "incremental": {"sent_fraction", "seconds", "seconds_full"},
    "latency": {"settle_p50_ms", "settle_p99_ms", "phase_p50_ms", "phase_p99_ms"},
    "idle": {"idle_rss_mib", "after_upload_rss_mib", "idle_cpu_percent", "restart_100k_s"},
    "interference": {"slowdown_uploading_percent", "slowdown_idle_percent"},
    "recovery": {
        "steps_lost_per_notice",
        "steps_lost_per_loss",
        "baseline_steps_lost_per_notice",
        "baseline_steps_lost_per_loss",
        "boot_to_first_step_s",
        "goodput",
        "baseline_goodput",
    },
    "cli": {"help_ms", "list_10k_ratio"},
}


def is_figure(value: object) -> bool:
    """A number, or one for each of several sizes."""
    values = list(value.values()) if isinstance(value, dict) else [value]
    return bool(values) and all(isinstance(one, int | float) for one in values)


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_says_its_figures(name: str) -> None:
    ran = subprocess.run(command(name, quick=True), cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document.keys() >= FIGURES[name] | {"goals"}
    assert all(is_figure(document[figure]) for figure in FIGURES[name])
    assert document["goals"].keys() <= document.keys()
    text = results({name: document}, {})
    assert all(f"`{figure}`" in text for figure in document["goals"])


def test_what_failed_is_told() -> None:
    assert "ended with 1" in results({}, {"upload": "ended with 1"})
