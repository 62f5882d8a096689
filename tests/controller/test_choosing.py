"""What `list` shows: of which phases, whose, from where, in which order, and how wide."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
from collections.abc import Sequence
from contextlib import closing
from fcntl import ioctl
from termios import TIOCSWINSZ
from typing import Any, cast

import pytest
from boto3.session import Session

from runctl import prices
from runctl.choosing import ORDERS, Choice, choice, chosen
from runctl.cost import so_far
from runctl.ec2 import Ec2
from runctl.exits import Unavailable
from runctl.fleet import Machine, machine_of
from runctl.known import Known, known
from runctl.regions import Everywhere
from runctl_agent.contract.phases import Phase
from runctl_agent.contract.tags import DESTINATION, OWNER, PROJECT, RUN
from runctl_agent.errors import UsageError
from tests.controller.described import LAUNCHED, described, posted, state
from tests.controller.stage import RUNCTL, Stage, read_terminal
from tests.e2e.seaweed import SECRET
from tests.fakes.clock import FakeRuntime

NOW = LAUNCHED + 4000.0


def row(name: str, instance: dict[str, Any]) -> Known:
    return known(name, "s3://bucket/runs", machine_of(instance))


LOST = state(Phase.TRAINING, committed_at=LAUNCHED + 300, pending_bytes=9)
ROWS = [
    row("new", posted(state(Phase.TRAINING, heartbeat=int(NOW) - 9, step=5, committed_at=LAUNCHED + 500, pending_bytes=7))),
    row("silent", posted(state(Phase.TRAINING, heartbeat=int(NOW) - 999, step=9), launched=LAUNCHED - 50)),
    row(
        "lost",
        posted(state(Phase.TRAINING, committed_at=LAUNCHED + 300, pending_bytes=9), power="terminated", launched=LAUNCHED - 10),
    ),
    row("done", posted(state(Phase.FINISHED, step=7, committed_at=LAUNCHED + 400), launched=LAUNCHED - 60)),
    row("booting", described(launched=LAUNCHED + 5)),
]


@pytest.mark.parametrize(
    ("phases", "names"),
    [
        ([], ["new", "silent", "lost", "done", "booting"]),
        (["training"], ["new", "silent"]),
        (["silent"], ["silent"]),
        (["gone,finished"], ["lost", "done"]),
        (["gone", "silent"], ["silent", "lost"]),
        (["failed"], []),
    ],
)
def test_phases(phases: Sequence[str], names: Sequence[str]) -> None:
    assert [one.run for one in chosen(ROWS, choice(phases, "", "", ""), NOW)] == names


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("run", ["booting", "done", "lost", "new", "silent"]),
        ("phase", ["done", "lost", "booting", "silent", "new"]),
        ("age", ["done", "silent", "lost", "new", "booting"]),
        ("step", ["silent", "done", "new", "lost", "booting"]),
        ("behind", ["lost", "new", "silent", "done", "booting"]),
        ("safe", ["lost", "done", "new", "silent", "booting"]),
        ("cost", ["done", "silent", "new", "booting", "lost"]),
    ],
)
def test_orders(order: str, names: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "hourly", lambda kind, spot: 1.0)
    assert [one.run for one in chosen(ROWS, choice([], "", "", order), NOW)] == names
    assert order in ORDERS


def test_what_there_is_none_of_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        choice(["trainng"], "", "", "")
    assert caught.value.mend == "did you mean --phase training?"
    with pytest.raises(UsageError) as caught:
        choice([], "", "", "costs")
    assert caught.value.mend == "did you mean --sort cost?"


@pytest.mark.parametrize(
    ("power", "reason", "hours"),
    [
        ("running", "", 2.0),
        ("stopping", "", 2.0),
        ("terminated", "User initiated (2027-01-15 09:00:00 GMT)", 1.0),
        ("stopped", "User initiated (2027-01-15 08:30:00 UTC)", 0.5),
        ("terminated", "Server.SpotInstanceTermination", 0.25),
    ],
)
@pytest.mark.parametrize(("spot", "bound"), [(False, False), (True, True)])
def test_cost(power: str, reason: str, hours: float, monkeypatch: pytest.MonkeyPatch, *, spot: bool, bound: bool) -> None:
    monkeypatch.setattr(prices, "hourly", lambda kind, spot: None if spot else 2.0)
    instance = posted(state(Phase.TRAINING, heartbeat=LAUNCHED + 900), power=power, spot=spot)
    cost = so_far(row("gpt2", {**instance, "StateTransitionReason": reason}), LAUNCHED + 7200.0)
    assert cost is not None
    assert (cost.amount, cost.bound) == (2.0 * hours, bound)


def test_what_costs_nobody_knows_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "hourly", lambda kind, spot: 2.0)
    assert so_far(row("gpt2", described(power="terminated")), NOW) is None
    monkeypatch.setattr(prices, "hourly", lambda kind, spot: None)
    assert so_far(row("gpt2", described()), NOW) is None


class Region:
    def __init__(self, region: str, found: Sequence[dict[str, Any]] | Exception) -> None:
        self.region = region
        self._found = found

    def instances(self, filters: object) -> Sequence[dict[str, Any]]:
        if isinstance(self._found, Exception):
            raise self._found
        return self._found


class Account:
    """The regions of an account."""

    def __init__(self, **found: Sequence[dict[str, Any]] | Exception) -> None:
        self._found = found

    def regions(self) -> list[str]:
        return list(self._found)

    def of_region(self, region: str) -> Region:
        return Region(region, self._found[region])

    def all(self, said: list[str]) -> list[Machine]:
        return Everywhere(cast(Ec2, self), FakeRuntime(), said.append).all()


def test_a_region_that_does_not_answer_hides_no_other() -> None:
    said: list[str] = []
    old, new = described(run="old"), described(run="new", launched=LAUNCHED + 1)
    found = Account(here=[old], there=[new], nowhere=Unavailable("ec2", "no answer")).all(said)
    assert [machine.run for machine in found] == ["new", "old"]
    assert [text.partition(":")[0] for text in said] == ["nowhere"]
    with pytest.raises(Unavailable):
        Account(nowhere=Unavailable("ec2", "no answer")).all(said)
    assert Choice().takes(found[0])


def test_by_the_command(stage: Stage) -> None:
    mine = stage.launch("--project", stage.run)
    yours = elsewhere(stage, "eu-west-1")
    stage.env["RUNCTL_OWNER"] = "you"

    def shown(*options: str) -> list[tuple[str, str]]:
        rows = stage.json("list", "--project", stage.run, *options, env={"AWS_REGION": "us-east-1"})["runs"]
        return [(row["instance"]["id"], row["region"]) for row in rows if row["instance"] is not None]

    assert shown() == [(mine, "us-east-1")]
    assert sorted(shown("--all-regions")) == sorted([(mine, "us-east-1"), (yours, "eu-west-1")])
    assert shown("--all-regions", "--mine") == [(yours, "eu-west-1")]
    assert "no runs of these in us-east-1" in stage.command("list", "--phase", "failed", "--mine").stdout


def elsewhere(stage: Stage, region: str) -> str:
    """An instance of a run of somebody else's there."""
    wanted = {RUN: f"{stage.run}-b", DESTINATION: stage.s3.destination, OWNER: "you", PROJECT: stage.run}
    tags: Any = [{"ResourceType": "instance", "Tags": [{"Key": key, "Value": value} for key, value in wanted.items()]}]
    with closing(
        Session("admin", SECRET, region_name=region).client("ec2", endpoint_url=stage.env["AWS_ENDPOINT_URL_EC2"])
    ) as ec2:
        return ec2.run_instances(ImageId="ami-12345678", MinCount=1, MaxCount=1, TagSpecifications=tags)["Instances"][0][
            "InstanceId"
        ]


def on_a_terminal(stage: Stage, columns: int, *arguments: str, **env: str) -> str:
    ours, theirs = pty.openpty()
    ioctl(theirs, TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    own = {name: value for name, value in stage.env.items() if name not in ("COLUMNS", "NO_COLOR")}
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        own |= {"TERM": "xterm", **env}
        process = subprocess.Popen([RUNCTL, *arguments], env=own, stdin=subprocess.DEVNULL, stdout=theirs)
        os.close(theirs)
        shown = b"".join(iter(lambda: read_terminal(terminal), b"")).decode()
        assert process.wait(60) == 0
        return shown.replace("\r\n", "\n")


def test_a_terminal_limits_and_colours_it_and_nothing_else_does(stage: Stage) -> None:
    instance = stage.launch("--project", stage.run)
    stage.posts(stage.state(instance, Phase.TRAINING, step=3, committed_at=1_800_000_000))
    asked = ("list", "--project", stage.run)
    narrow, plain = on_a_terminal(stage, 60, *asked), on_a_terminal(stage, 60, *asked, NO_COLOR="1")
    assert ("\x1b[36mtraining" in narrow, "\x1b" in plain) == (True, False)
    assert all(len(line) <= 60 for line in plain.splitlines())
    assert (instance in plain, instance in on_a_terminal(stage, 60, *asked, "--wide", TERM="dumb")) == (False, True)
    piped = stage.command(*asked).stdout
    assert (instance in piped, "\x1b" in piped) == (True, False)
    exactly = stage.command(*asked, "--exact").stdout
    assert "2027-01-15 08:00:00Z" in exactly
