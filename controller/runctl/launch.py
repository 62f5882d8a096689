"""Launch a run: everything that can be checked first, then the spending.

Order: checks, all told at once → code → `run.json`, which claims the name → `launch.json` → RunInstances → the id is told.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from runctl_agent.contract.spec import Spec
from runctl_agent.contract.unmet import unmet
from runctl_agent.errors import RunctlError, StoreRefused
from runctl_agent.runtime import Runtime
from runctl_agent.store import mends

from . import documents
from .bundle import Bundle, packed, upload
from .claim import Claim, taken
from .draft import Asked, looks_secret, not_sent, script_problem, spec_of, spec_problems
from .ec2 import Ec2
from .exits import together
from .fleet import Machine
from .grouped import Grouped
from .image import Image, find_image
from .launched import Launched
from .recovering import recovering
from .request import request
from .shelf import Shelf
from .spend import Spending
from .tree import Root, root_around

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """A launch that was checked: nothing is uploaded, written or spent yet."""

    spec: Spec
    launched: Launched
    shelf: Shelf
    request: dict[str, Any]
    bundle: Bundle

    def plain(self) -> documents.Planned:
        spec, bundle = self.spec, self.bundle
        code: documents.Code = {
            "url": spec.training.code,
            "files": bundle.files,
            "bytes": bundle.bytes,
            "left_out": [list(one) for one in bundle.left_out],
        }
        return {"run": spec.run, "destination": spec.destination, "code": code, "request": self.request}


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
            "instance_type": self.launched.instance_type,
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
        root, spec, files = self._looked_at(asked, launched)
        if secret := looks_secret(spec):
            self._say(f"{', '.join(secret)}: the user-data, where it goes, is no place for a secret: fetch it in `setup`")
        for one in unmet(spec):
            self._say(one)
        with packed(root.path, files) as bundle:
            for path, why in bundle.left_out:
                self._say(f"left out of the code: {path}: {why}")
            plan = self._planned(spec, launched, bundle)
            if dry is not None:
                dry(plan)
                return None
            upload(bundle, plan.shelf.store, plan.shelf.code_key(bundle.sha256))
            return self._spent(plan, tell)

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

    def _planned(self, spec: Spec, launched: Launched, bundle: Bundle) -> Plan:
        """All that AWS can tell before money is spent. Raises every problem at once."""
        shelf = Shelf(spec.destination, self._runtime)
        code = shelf.url_of(shelf.code_key(bundle.sha256))
        spec = replace(spec, destination=shelf.url, training=replace(spec.training, code=code))
        if not launched.profile:
            self._say("no --instance-profile: its agent can reach S3 and tag the instance only if the image brings credentials")
        problems: list[RunctlError] = []
        try:
            if shelf.taken(spec.run):
                problems.append(taken(shelf, spec.run))
        except RunctlError as error:
            problems.append(error)
            if isinstance(error, StoreRefused) and error.mend == mends.CREDENTIALS:
                raise  # without credentials EC2 would only say the same
        try:
            spec = recovering(spec) if launched.recover else spec
            prepared = prepare(self._ec2, self._runtime, launched)
            wanted = request(spec, shelf.url_of(shelf.keys(spec.run).run_spec), *prepared)
            self._ec2.rehearse(wanted)
        except RunctlError as error:
            problems.append(error)
        together(f"{spec.run} was not launched", problems)
        return Plan(spec, prepared[0], shelf, wanted, bundle)

    def _spent(self, plan: Plan, tell: Callable[[Begun], None]) -> Begun:
        claim = Claim(plan.shelf, plan.spec.run)
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
            machine = Spending(self._ec2, self._runtime, claim, plan.spec.run, self._say).launch(begin, plan.request, told)
        return Begun(plan.spec, plan.launched, machine)


def prepare(ec2: Ec2, runtime: Runtime, launched: Launched) -> tuple[Launched, Image]:
    """The launch as it will be recorded, with a ClientToken of its own, and its image."""
    image = find_image(ec2, launched.image)
    begun = replace(launched, image=image.id, region=ec2.region, token=runtime.nonce(), at=int(runtime.now()))
    return begun, image
