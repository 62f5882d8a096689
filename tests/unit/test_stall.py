"""Does the training still do anything?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from runctl_agent.training.stall import Signs, Stall

STILL = Signs(checkpoints=3, log_size=100, cpu=0, gpu=0)


def test_nothing_moves_for_so_long() -> None:
    stall = Stall(1800.0, 0.0)
    for now in range(0, 1800, 10):
        stall.look(STILL, float(now))
        assert stall.stalled == ""
    stall.look(STILL, 1800.0)
    assert stall.stalled == "alive, but for 30 min no new checkpoint, nothing in its log, CPU and GPU idle"
    assert stall.idle == ""


@pytest.mark.parametrize(
    "signs",
    [replace(STILL, checkpoints=4), replace(STILL, log_size=101), replace(STILL, cpu=50), replace(STILL, gpu=50)],
    ids=["a checkpoint", "a line", "CPU", "GPU"],
)
def test_any_sign_of_life_counts(signs: Signs) -> None:
    stall = Stall(1800.0, 0.0)
    stall.look(STILL, 0.0)
    stall.look(signs, 1000.0)
    stall.look(signs if signs.checkpoints != 3 or signs.log_size != 100 else STILL, 2000.0)
    assert stall.stalled == ""


def test_it_stalls_no_more_once_something_moves() -> None:
    stall = Stall(100.0, 0.0)
    stall.look(STILL, 0.0)
    stall.look(STILL, 200.0)
    assert stall.stalled
    stall.look(replace(STILL, log_size=101), 210.0)
    assert stall.stalled == ""


def test_what_does_not_live_neither_stalls_nor_idles() -> None:
    stall = Stall(100.0, 100.0)
    stall.look(STILL, 0.0)
    stall.look(STILL, 200.0)
    stall.look(None, 210.0)
    assert (stall.stalled, stall.idle) == ("", "")
    stall.look(STILL, 300.0)
    assert stall.stalled == "", "the next one begins anew"


def test_gpus_are_idle_though_the_log_grows() -> None:
    stall = Stall(100.0, 100.0)
    for now in range(0, 300, 10):
        stall.look(replace(STILL, log_size=now, cpu=100), float(now))
    assert (stall.stalled, stall.idle[:29]) == ("", "the GPUs were idle for 4 min:")


def test_without_gpus_nothing_is_idle() -> None:
    stall = Stall(0.0, 100.0)
    for now in range(0, 500, 10):
        stall.look(replace(STILL, gpu=None), float(now))
    assert (stall.stalled, stall.idle) == ("", "")
