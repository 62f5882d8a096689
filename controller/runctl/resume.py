"""The next attempt of a run: a new instance with the same spec, once no instance of it lives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from runctl_agent.contract.phases import Phase
from runctl_agent.contract.spec import Recover, Spec
from runctl_agent.errors import ConfigError, NotFoundError, RunctlError, WrongStateError

from .checked import checked, said
from .claim import Claim, recent, under_way
from .draft import spec_problems
from .ec2 import Ec2
from .exits import interruptible, together
from .fleet import Machine
from .grouped import Grouped
from .launch import Begun
from .launched import Launched
from .plan import Plan
from .recovering import recovering
from .resolve import Resolver, Target
from .shelf import Shelf, Standing
from .spend import AGAIN, Spending
from .tries import others

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Changes:
    """What the options of `resume` say otherwise than the launch before; None: as it was."""

    instance_type: str | None = None
    image: str | None = None
    spot: bool | None = None
    key_name: str | None = None
    subnet: str | None = None
    security_groups: tuple[str, ...] | None = None
    profile: str | None = None
    disk: int | None = None
    more_types: tuple[str, ...] | None = None

    def over(self, launched: Launched) -> Launched:
        given = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        return replace(launched, **given)


class Resume:
    def __init__(self, ec2: Ec2, resolver: Resolver, say: Say) -> None:
        self._ec2 = ec2
        self._resolver = resolver
        self._runtime = resolver.runtime
        self._say = say

    def run(
        self, target: Target, changes: Changes, tell: Callable[[Begun], None], dry: Callable[[Plan], None] | None = None
    ) -> Begun | None:
        """`dry` gets the request, and nothing is done; else `tell` gets the run once it is launched."""
        with interruptible(f"{target.run} was not resumed", "interrupted; nothing was written or spent", AGAIN):
            return self._run(self._resolver.whole(target), changes, tell, dry)

    def _run(
        self, target: Target, changes: Changes, tell: Callable[[Begun], None], dry: Callable[[Plan], None] | None
    ) -> Begun | None:
        attempt = self._require_ended(target)
        shelf = self._resolver.shelf(target)
        spec, standing = self._read(shelf, target.run)
        self._require_nothing_under_way(target, standing)
        launched = changes.over(standing.launched)
        together(f"{target.run} was not resumed", spec_problems(replace(spec, recover=Recover()), launched))
        self._require_region(launched)
        spec = recovering(spec, attempt) if launched.recover else replace(spec, recover=Recover())
        problems: list[RunctlError] = []
        plan = checked(self._ec2, self._runtime, spec, launched, shelf.url_of(shelf.keys(spec.run).run_spec), problems)
        together(f"{target.run} was not resumed", problems)
        if plan is None:
            raise AssertionError("nothing stands in the way")
        if dry is not None:
            dry(plan)
            return None
        said(plan, self._say)
        launched, wanted = plan.launched, plan.request
        claim = Claim(shelf, spec.run)

        grouped = Grouped(self._ec2, self._runtime, self._say)

        def begin() -> None:
            claim.next(standing, launched)
            if launched.recover:
                grouped.remove(spec.run, spec.destination)  # what an earlier attempt left

        def told(machine: Machine | None) -> None:
            tell(Begun(spec, launched, machine))

        machine: Machine | None
        if launched.recover:
            machine = grouped.launch(claim, begin, spec, launched, wanted, told)
        else:
            more = others(self._ec2, self._runtime, launched, wanted)
            machine = Spending(self._ec2, self._runtime, claim, spec.run, self._say).launch(begin, wanted, told, more)
        return Begun(spec, launched, machine)

    def _require_ended(self, target: Target) -> int:
        """The number of its last attempt; 0 where that is not known."""
        for machine in target.machines:
            if machine.lives:
                raise _living(target.run, machine)
        known = self._resolver.known(target)
        if known.state is not None and known.state.phase is Phase.FINISHED:
            raise WrongStateError(
                f"{target.run} was not resumed", "it is finished, and everything is durable", f"runctl pull {target.run}"
            )
        return known.state.attempt if known.state is not None else 0

    def _read(self, shelf: Shelf, run: str) -> tuple[Spec, Standing]:
        spec, standing = shelf.spec(run), shelf.launched(run)
        if spec is None or standing is None:
            missing = "run.json" if spec is None else "launch.json"
            raise NotFoundError(
                f"{run} can't be resumed",
                f"{shelf.url_of(shelf.keys(run).base)} has no {missing}: it was not launched by runctl launch",
                f"runctl launch SCRIPT --run {run}-2 launches a run of its own",
            )
        return spec, standing

    def _require_nothing_under_way(self, target: Target, standing: Standing) -> None:
        """An instance that another command has just launched may not be seen yet."""
        launched = standing.launched
        seen = any(
            machine.token == launched.token or (launched.recover and machine.launch_time >= launched.at)  # a group has its own
            for machine in target.machines
        )
        if recent(standing, self._runtime) and not seen:
            raise under_way(target.run)

    def _require_region(self, launched: Launched) -> None:
        if launched.region and launched.region != self._ec2.region:
            raise ConfigError(
                "the run was not resumed",
                f"it was launched in {launched.region}, where its image and network are, and this is {self._ec2.region}",
                f"AWS_REGION={launched.region}",
            )


def _living(run: str, machine: Machine) -> WrongStateError:
    mends = {
        "stopped": f"go on with it: runctl start {run}",
        "stopping": f"once it is stopped: runctl start {run}",
    }
    mend = mends.get(machine.power, f"runctl wait {run}, or end it: runctl terminate {run}")
    return WrongStateError(f"{run} was not resumed", f"instance {machine.id} of it is {machine.power}", mend)
