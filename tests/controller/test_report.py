"""A run's report: its figures, and a page in which nothing of what others named is markup."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest

from runctl.past import Past
from runctl.report import POINTS, Report, report, thinned
from runctl.report_page import page
from runctl_agent.contract.history import Moment, encode_moment
from runctl_agent.contract.keys import Keys
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.status import State
from tests.controller.stage import Stage
from tests.controller.test_list import commit

T0 = 1_800_000_000
HOSTILE = "<script>alert(1)</script>\u202e\"'&"
VOID = {"meta", "line", "rect", "circle", "path"}


def told(began: int, steps: Sequence[int], phase: Phase = Phase.TRAINING, attempt: int = 1, **more: object) -> list[Moment]:
    found = [
        Moment(
            began + 60 * n, Phase.TRAINING, f"i-{attempt}", attempt, step=step, safe_step=max(0, step - 10), pending_bytes=step
        )
        for n, step in enumerate(steps)
    ]
    return [*found, Moment(began + 60 * len(steps), phase, f"i-{attempt}", attempt, **more)]  # type: ignore[arg-type]


def three() -> Report:
    """Taken with a notice, lost without a word, finished."""
    return report(
        Past(
            "gpt2",
            {
                1: told(T0, [10, 20, 30], Phase.INTERRUPTED, notice="spot terminate"),
                2: told(T0 + 600, [30, 40], attempt=2),
                3: told(T0 + 1200, [40, 50, 60], Phase.FINISHED, attempt=3),
            },
            state=State("gpt2", Phase.FINISHED, "i-3", 0, 9, T0 + 1380, "1", epoch=3, exit_code=0),
            type="g5.xlarge",
        )
    )


class Checked(HTMLParser):
    """Raises where a tag is not closed, or anything but text and pictures is there."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.fetched: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href", "xlink:href", "onload", "onclick")]
        assert tag not in ("script", "link", "img", "iframe", "object")
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in ("meta",):
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_what_took_each_machine() -> None:
    found = three()
    assert [(one.attempt, one.how, one.taken) for one in found.stretches] == [
        (1, "interrupted (spot terminate)", True),
        (2, "lost while training", True),
        (3, "finished", False),
    ]
    assert (found.phase, found.exit_code, found.began, found.ended) == ("finished", 0, T0, T0 + 1380)
    assert found.paid == 180 + 120 + 180
    assert found.cost == pytest.approx(480 / 3600 * 1.006)
    assert [one.first_step for one in found.stretches] == [10, 30, 40]
    assert found.most_behind == 60


def test_a_living_run_is_as_its_last_word_says() -> None:
    state = State("gpt2", Phase.SAVING, "i-1", 0, 9, T0 + 500, "1", epoch=1)
    (one,) = report(Past("gpt2", {1: told(T0, [1, 2])}, state=state)).stretches
    assert (one.phase, one.ended) == (Phase.SAVING, T0 + 500)


def test_the_page() -> None:
    seen = Checked(page(three(), T0 + 2000))
    assert seen.fetched == []
    for words in ("finished, exit code 0", "taken away 2 times", "lost while training", "spot terminate", "safe in S3", "$0.13"):
        assert words in seen.text
    assert "GPU utilisation" not in seen.text, "there was none"


def test_nothing_of_what_others_named_is_markup() -> None:
    moments = told(T0, [1, 2], Phase.INTERRUPTED, notice=HOSTILE)
    state = State("gpt2", Phase.INTERRUPTED, HOSTILE, 0, 9, T0 + 60, "1", epoch=1)
    text = page(report(Past(HOSTILE, {1: moments}, state=state)), T0)
    seen = Checked(text)
    assert "alert(1)" in seen.text
    assert "\u202e" not in text


@pytest.mark.parametrize("moment", [Moment(T0, Phase.STARTING), Moment(T0, Phase.TRAINING, loss=float("nan"))])
def test_a_run_of_which_there_is_next_to_nothing(moment: Moment) -> None:
    assert "attempt" in Checked(page(report(Past("gpt2", {1: [moment]})), T0)).text


def test_one_that_never_told_its_history() -> None:
    state = State("gpt2", Phase.FAILED, "i-1", 0, 9, T0, "1", epoch=1)
    assert "failed" in Checked(page(report(Past("gpt2", {}, state=state)), T0)).text


def test_a_long_run_makes_no_large_page() -> None:
    moments = [Moment(T0 + 60 * n, Phase.TRAINING, step=n, pending_bytes=n % 977, loss=1.0, gpu=n % 100) for n in range(100_000)]
    found = report(Past("gpt2", {1: moments}))
    assert max(map(len, found.lines.values())) <= POINTS
    assert len(page(found, T0)) < 200_000


def test_a_peak_is_never_left_out() -> None:
    points = [(n, 1.0) for n in range(10_000)]
    points[7777] = (7777, 9.0)
    found = thinned(points)
    assert (len(found), found[0], found[-1]) == (POINTS, points[0], points[-1])
    assert points[7777] in found


def test_the_command(stage: Stage, tmp_path: Path) -> None:
    instance = stage.launch()
    assert "told nothing yet" in stage.refused("report", stage.run, code=5)["why"]
    commit(stage, "checkpoint-10", 10, b"ten", seq=1)
    lines = b"".join(encode_moment(one) + b"\n" for one in told(T0, [10, 20], Phase.FINISHED))
    with stage.s3.store() as store:
        keys = Keys(stage.s3.prefix, stage.run)
        store.put(keys.history(1).key(0), lines[:100])
        store.put(keys.history(1).key(100), lines[100:])
    told_it = stage.json("report", stage.run)
    assert [one["phase"] for one in told_it["attempts"]] == ["finished"]
    assert (told_it["committed"], told_it["sent"]) == (1, 3)
    file = tmp_path / "page.html"
    said = stage.command("report", instance, "--out", str(file)).stdout
    assert str(file) in said
    assert "checkpoint-10" in Checked(file.read_text()).text
    assert "can't be written" in stage.command("report", stage.run, "--out", str(tmp_path / "no" / "x"), code=3).stderr
