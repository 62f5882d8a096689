"""Launch a run: everything that can be checked first, then the spending.

Order: checks, all told at once → code → `run.json`, which claims the name → `launch.json` → RunInstances → the id is told.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from runctl_agent.contract.spec import Spec
from runctl_agent.contract.unmet import unmet
from runctl_agent.errors import RunctlError
from runctl_agent.runtime import Runtime
from runctl_agent.store import mends

from . import documents
from .bundle import Bundle, packed, upload
from .checked import checked, elsewhere, said
from .claim import Claim, taken
from .draft import Asked, looks_secret, not_sent, script_problem, spec_of, spec_problems
from .ec2 import Ec2
from .exits import CredentialsError, interruptible, together
from .fleet import Machine
from .grouped import Grouped
from .launched import Launched
from .plan import Plan
from .recovering import recovering
from .refusals import MEND_EXPIRED, MEND_KEYS
from .shelf import Shelf
from .spend import AGAIN, Spending
from .tree import Root, root_around
from .tries import others

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Begun:
    """A run whose instance was launched."""

    spec: Spec
    launched: Launched
    machine: Machine | None  # None: its group has found none yet

    @property
    def launched_as(self) -> str:
        """The instance, else the group that looks for one."""
        return self.machine.id if self.machine is not None else self.spec.recover.group

    def plain(self) -> documents.Launched:
        return {
            "run": self.spec.run,
            "destination": self.spec.destination,
            "instance": self.machine.id if self.machine is not None else "",
            "group": self.spec.recover.group,
            "image": self.launched.image,
            "instance_type": self.machine.type if self.machine is not None else self.launched.instance_type,
            "spot": self.launched.spot,
            "region": self.launched.region,
            "code": self.spec.training.code,
        }


class Launch:
    """`launched` comes without image, token and time: those are found out here."""

    def __init__(self, ec2: Ec2, runtime: Runtime, say: Say) -> None:
        self._ec2 = ec2
        self._runtime = runtime
        self._say = say

    def run(
        self, asked: Asked, launched: Launched, tell: Callable[[Begun], None], dry: Callable[[Plan], None] | None = None
    ) -> Begun | None:
        """`dry` gets the plan, and nothing is done; else `tell` gets the run once it is launched."""
        with interruptible(f"{asked.script} was not launched", "interrupted; nothing was sent, written or spent", AGAIN):
            return self._run(asked, launched, tell, dry)

    def _run(
        self, asked: Asked, launched: Launched, tell: Callable[[Begun], None], dry: Callable[[Plan], None] | None
    ) -> Begun | None:
        root, spec, files = self._looked_at(asked, launched)
        if secret := looks_secret(spec):
            self._say(f"{', '.join(secret)}: the user-data, where it goes, is no place for a secret: fetch it in `setup`")
        for one in unmet(spec):
            self._say(one)
        with packed(root.path, files) as bundle:
            for path, why in bundle.left_out:
                self._say(f"left out of the code: {path}: {why}")
            plan, shelf = self._planned(spec, launched, bundle, asked.gpus)
            if dry is not None:
                dry(plan)
                return None
            said(plan, self._say)
            with interruptible(f"{plan.spec.run} was not launched", "interrupted; nothing was spent", AGAIN):
                upload(bundle, shelf.store, shelf.code_key(bundle.sha256))
            return self._spent(plan, shelf, tell)

    def _looked_at(self, asked: Asked, launched: Launched) -> tuple[Root, Spec, Sequence[str]]:
        """All that this machine alone can tell. Raises every problem at once."""
        missing = script_problem(asked.script)
        problems = [missing] if missing is not None else []
        root = Root(os.path.dirname(os.path.abspath(asked.script)), git=False) if missing else root_around(asked.script)
        files: Sequence[str] = ()
        try:
            spec = spec_of(asked, root, self._runtime)
            problems += spec_problems(spec, launched)
            if missing is None:
                files = root.files([watched.path for watched in spec.checkpoints])
                problems += filter(None, [not_sent(asked.script, root, files)])
        except RunctlError as error:
            problems.append(error)
        together(f"{asked.script} was not launched", problems)
        return root, spec, files

    def _planned(self, spec: Spec, launched: Launched, bundle: Bundle, gpus: int) -> tuple[Plan, Shelf]:
        """All that AWS can tell before money is spent. Raises every problem at once."""
        shelf = Shelf(spec.destination, self._runtime)
        code = shelf.url_of(shelf.code_key(bundle.sha256))
        spec = replace(spec, destination=shelf.url, training=replace(spec.training, code=code))
        spec = recovering(spec) if launched.recover else spec
        problems: list[RunctlError] = []
        try:
            if shelf.taken(spec.run):
                problems.append(taken(shelf, spec.run))
            problems += filter(None, [elsewhere(shelf, self._ec2.region)])
        except RunctlError as error:
            problems.append(error)
            if error.mend in (mends.CREDENTIALS, mends.EXPIRED):  # EC2 would only say the same
                mend = MEND_KEYS if error.mend == mends.CREDENTIALS else MEND_EXPIRED
                raise CredentialsError(f"{spec.run} was not launched", error.why, mend) from error
        spec_url = shelf.url_of(shelf.keys(spec.run).run_spec)
        plan = checked(self._ec2, self._runtime, spec, launched, spec_url, problems, gpus)
        together(f"{spec.run} was not launched", problems)
        if plan is None:
            raise AssertionError("nothing stands in the way")
        return replace(plan, bundle=bundle), shelf

    def _spent(self, plan: Plan, shelf: Shelf, tell: Callable[[Begun], None]) -> Begun:
        claim = Claim(shelf, plan.spec.run)
        launched = replace(plan.launched, at=int(self._runtime.now()))  # sending the code may have taken a while

        def begin() -> None:
            claim.new(plan.spec, launched)

        def told(machine: Machine | None) -> None:
            tell(Begun(plan.spec, plan.launched, machine))

        machine: Machine | None
        if launched.recover:
            grouped = Grouped(self._ec2, self._runtime, self._say)
            machine = grouped.launch(claim, begin, plan.spec, launched, plan.request, told)
        else:
            more = others(self._ec2, self._runtime, launched, plan.request)
            machine = Spending(self._ec2, self._runtime, claim, plan.spec.run, self._say).launch(begin, plan.request, told, more)
        return Begun(plan.spec, plan.launched, machine)
