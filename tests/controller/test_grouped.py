"""A group that stands is told of, whatever comes after; one that is another's is left alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from runctl import grouped, resume
from runctl.exits import Interrupted, Unavailable
from runctl.grouped import Grouped
from runctl.resume import Resume
from runctl_agent.contract.spec import Recover, Spec, Watched
from runctl_agent.errors import WrongStateError
from tests.fakes.clock import FakeRuntime

SPEC = Spec("gpt2", "s3://bucket/runs", (Watched("/w"),), recover=Recover("runctl-gpt2", "hook", 600.0))


class Scaling:
    removed: tuple[str, ...] = ()

    def __init__(self, ec2: object) -> None: ...

    def create(self, request: object) -> None: ...

    def said(self, name: str) -> str:
        return ""


@pytest.mark.parametrize("error", [Unavailable("ec2:DescribeInstances", "no answer", ""), KeyboardInterrupt()])
def test_a_group_that_stands_is_told_of(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fleet:
        def __init__(self, ec2: object) -> None: ...

        def of(self, *names: str) -> Any:
            raise error

    told: list[object] = []
    for name, value in {"AutoScaling": Scaling, "Fleet": Fleet}.items():
        monkeypatch.setattr(grouped, name, value)
    monkeypatch.setattr("runctl.recovering.group", lambda *given: {})
    monkeypatch.setattr("runctl.recovering.template", lambda request: {})
    ec2: Any = SimpleNamespace(create_template=lambda *given: None, zones=lambda: ())
    made, claim = Grouped(ec2, FakeRuntime(), lambda said: None), cast(Any, SimpleNamespace(take_back=lambda: None))
    launched = cast(Any, SimpleNamespace(subnet="", owner="me"))
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(Interrupted):
            made.launch(claim, lambda: None, SPEC, launched, {}, told.append)
    else:
        made.launch(claim, lambda: None, SPEC, launched, {}, told.append)
    assert told == [None], "it costs money from now on"


def test_who_loses_the_claim_of_a_resume_removes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    did: list[str] = []

    class Claim:
        def __init__(self, *given: object) -> None: ...

        def next(self, *given: object) -> None:
            did.append("claim lost")
            raise WrongStateError("gpt2 was not resumed", "another resume is under way", "")

    class Groups:
        def __init__(self, *given: object) -> None: ...

        def remove(self, *given: object) -> None:
            did.append("removed")

        def launch(self, claim: object, begin: Any, *given: object) -> None:
            begin()

    launched: Any = SimpleNamespace(recover=True)
    stubs: dict[str, Any] = {
        "Claim": Claim,
        "Grouped": Groups,
        "checked": lambda *given: SimpleNamespace(launched=launched, request={}),
        "said": lambda *given: None,
    }
    stubs |= {"spec_problems": lambda *given: [], "together": lambda *given: None, "recovering": lambda spec, attempt: spec}
    for name, value in stubs.items():
        monkeypatch.setattr(resume, name, value)
    shelf = SimpleNamespace(url_of=lambda key: "", keys=lambda run: SimpleNamespace(run_spec=""))
    resolver: Any = SimpleNamespace(runtime=FakeRuntime(), whole=lambda target: target, shelf=lambda target: shelf)
    made = Resume(cast(Any, SimpleNamespace(rehearse=lambda wanted: None)), resolver, lambda said: None)
    own: dict[str, Any] = {"_require_ended": lambda target: 1, "_read": lambda *given: (SPEC, SimpleNamespace(launched=launched))}
    own |= {"_require_nothing_under_way": lambda *given: None, "_require_region": lambda region: None}
    for name, value in own.items():
        monkeypatch.setattr(made, name, value)
    unchanged: Any = SimpleNamespace(over=lambda before: before)
    with pytest.raises(WrongStateError):
        made.run(cast(Any, SimpleNamespace(run="gpt2")), unchanged, lambda begun: None)
    assert did == ["claim lost"]
